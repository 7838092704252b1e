//! Bad input gives the right typed error on every engine, and never a panic.

use std::ops::Range;

use prunebench_tensor::{
    AdamW, AttentionMask, DEVICE_VARIABLE, DType, Device, DeviceKind, Engine, Error, Result, Segment, Tensor, tf32,
};

use crate::case::FLOATS;

type Attempt = fn(&Device) -> Result<Tensor>;

fn f32s(shape: &[usize], device: &Device) -> Result<Tensor> {
    Tensor::ones(shape, DType::F32, device)
}

fn f64s(shape: &[usize], device: &Device) -> Result<Tensor> {
    Tensor::ones(shape, DType::F64, device)
}

fn indices(values: &[i64], device: &Device) -> Result<Tensor> {
    Tensor::from_slice(values, &[values.len()], device)
}

fn attend(shapes: [&[usize]; 3], device: &Device) -> Result<Tensor> {
    let [q, k, v] = shapes.map(|shape| f32s(shape, device));
    let mask = AttentionMask {
        causal: true,
        window: None,
    };
    Tensor::attention(&q?, &k?, &v?, &mask, 1.0)
}

/// Queries, and the ranges of their keys.
type Queries<'a> = (Range<usize>, &'a [(usize, usize)]);

/// Attention of three queries over three keys.
fn segments(device: &Device, list: &[Queries]) -> Result<Tensor> {
    let x = f32s(&[1, 1, 3, 4], device)?;
    let segments: Vec<Segment> = list
        .iter()
        .map(|(queries, keys)| Segment {
            queries: queries.clone(),
            keys: keys.iter().map(|&(start, end)| start..end).collect(),
        })
        .collect();
    Tensor::segment_attention(&x, &x, &x, &segments, None, 1.0)
}

/// A step of parameter, gradient, first and second moment.
fn adamw([parameter, gradient, first, second]: [Tensor; 4]) -> Result<Tensor> {
    let step = AdamW {
        learning_rate: 0.1,
        betas: (0.9, 0.999),
        eps: 1e-8,
        weight_decay: 0.0,
        step: 1,
        gradient_scale: 1.0,
    };
    parameter.adamw_in_place(&gradient, &first, &second, &step)?;
    Ok(parameter)
}

const WRONG_SHAPES: &[(&str, Attempt)] = &[
    ("from_slice with too few elements", |d| {
        Tensor::from_slice(&[1f32, 2.0], &[3], d)
    }),
    ("from_slice with too many elements", |d| {
        Tensor::from_slice(&[1f32, 2.0], &[1], d)
    }),
    ("from_le_bytes cut off", |d| {
        Tensor::from_le_bytes(&[0; 7], DType::F32, &[2], d)
    }),
    ("from_le_bytes of an overflowing shape", |d| {
        Tensor::from_le_bytes(&[0; 8], DType::F32, &[usize::MAX, 2, 2], d)
    }),
    ("zeros of an overflowing shape", |d| {
        Tensor::zeros(&[1 << 40, 1 << 40], DType::F32, d)
    }),
    ("rand of an overflowing shape", |d| {
        Tensor::rand(&[usize::MAX, 3], 0, DType::F32, d)
    }),
    ("add of shapes that don't broadcast", |d| {
        f32s(&[2, 3], d)?.add(&f32s(&[2], d)?)
    }),
    ("lt of shapes that don't broadcast", |d| {
        f32s(&[2, 3], d)?.lt(&f32s(&[4, 3], d)?)
    }),
    ("where_cond of shapes that don't broadcast", |d| {
        f32s(&[3], d)?.where_cond(&f32s(&[2], d)?, &f32s(&[2], d)?)
    }),
    ("matmul with unequal inner sizes", |d| {
        f32s(&[2, 3], d)?.matmul(&f32s(&[4, 2], d)?)
    }),
    ("matmul with unequal batches", |d| {
        f32s(&[2, 2, 3], d)?.matmul(&f32s(&[3, 3, 2], d)?)
    }),
    ("matmul of a vector", |d| f32s(&[3], d)?.matmul(&f32s(&[3, 2], d)?)),
    ("linear with unequal features", |d| {
        f32s(&[2, 3], d)?.linear(&f32s(&[4, 5], d)?, None)
    }),
    ("linear with a bias of the wrong size", |d| {
        f32s(&[2, 3], d)?.linear(&f32s(&[4, 3], d)?, Some(&f32s(&[3], d)?))
    }),
    ("linear of a scalar", |d| f32s(&[], d)?.linear(&f32s(&[4, 3], d)?, None)),
    ("rms_norm with a weight of the wrong size", |d| {
        f32s(&[2, 3], d)?.rms_norm(&f32s(&[2], d)?, 1e-5)
    }),
    ("layer_norm of a scalar", |d| f32s(&[], d)?.layer_norm(1e-5)),
    ("softmax of a scalar", |d| f32s(&[], d)?.softmax()),
    ("log_softmax of a scalar", |d| f32s(&[], d)?.log_softmax()),
    ("swiglu of unequal shapes", |d| {
        f32s(&[2, 3], d)?.swiglu(&f32s(&[2, 4], d)?)
    }),
    ("rope with tables of too few positions", |d| {
        f32s(&[1, 1, 3, 4], d)?.rope(&f32s(&[2, 2], d)?, &f32s(&[2, 2], d)?)
    }),
    ("rope with tables of the wrong width", |d| {
        f32s(&[1, 1, 3, 4], d)?.rope(&f32s(&[3, 4], d)?, &f32s(&[3, 4], d)?)
    }),
    ("rope of an odd head size", |d| {
        f32s(&[1, 1, 3, 5], d)?.rope(&f32s(&[3, 2], d)?, &f32s(&[3, 2], d)?)
    }),
    ("rope of a matrix", |d| {
        f32s(&[3, 4], d)?.rope(&f32s(&[3, 2], d)?, &f32s(&[3, 2], d)?)
    }),
    ("attention with fewer keys than queries", |d| {
        attend([&[1, 2, 3, 4], &[1, 2, 2, 4], &[1, 2, 2, 4]], d)
    }),
    ("attention with heads that don't group", |d| {
        attend([&[1, 3, 2, 4], &[1, 2, 2, 4], &[1, 2, 2, 4]], d)
    }),
    ("attention with unequal keys and values", |d| {
        attend([&[1, 2, 2, 4], &[1, 2, 3, 4], &[1, 2, 2, 4]], d)
    }),
    ("attention with unequal head sizes", |d| {
        attend([&[1, 2, 2, 4], &[1, 2, 2, 6], &[1, 2, 2, 6]], d)
    }),
    ("attention of matrices", |d| attend([&[2, 4], &[2, 4], &[2, 4]], d)),
    ("segment_attention with a query in no segment", |d| {
        segments(d, &[(0..2, &[(0, 3)])])
    }),
    ("segment_attention with segments out of order", |d| {
        segments(d, &[(1..3, &[(0, 3)]), (0..1, &[(0, 3)])])
    }),
    ("segment_attention with fewer keys than queries", |d| {
        segments(d, &[(0..3, &[(0, 2)])])
    }),
    ("segment_attention with keys that aren't there", |d| {
        segments(d, &[(0..3, &[(0, 4)])])
    }),
    ("segment_attention with a key twice", |d| {
        segments(d, &[(0..3, &[(0, 2), (1, 3)])])
    }),
    ("token_log_likelihoods of a row that isn't there", |d| {
        Ok(f32s(&[2, 3], d)?.token_log_likelihoods(&[(2, 0)])?.0)
    }),
    ("token_log_likelihoods of a token that isn't there", |d| {
        Ok(f32s(&[2, 3], d)?.token_log_likelihoods(&[(0, 3)])?.0)
    }),
    ("kl_divergence of unequal shapes", |d| {
        f32s(&[2, 3], d)?.kl_divergence(&f32s(&[2, 4], d)?)
    }),
    ("cross_entropy with too few targets", |d| {
        f32s(&[2, 3], d)?.cross_entropy(&indices(&[0], d)?)
    }),
    ("cross_entropy of three dimensions", |d| {
        f32s(&[2, 1, 3], d)?.cross_entropy(&indices(&[0, 1], d)?)
    }),
    ("sum over a dimension that isn't there", |d| {
        f32s(&[2, 3], d)?.sum(2, false)
    }),
    ("mean over a dimension that isn't there", |d| {
        f32s(&[2, 3], d)?.mean(7, true)
    }),
    ("max over a dimension that isn't there", |d| {
        f32s(&[2, 3], d)?.max(2, false)
    }),
    ("argmax over a dimension that isn't there", |d| {
        f32s(&[2, 3], d)?.argmax(2)
    }),
    ("argmax of a scalar", |d| f32s(&[], d)?.argmax(0)),
    ("max over no element", |d| f32s(&[2, 0], d)?.max(1, false)),
    ("argmax over no element", |d| f32s(&[2, 0], d)?.argmax(1)),
    ("max_all of no element", |d| f32s(&[0], d)?.max_all()),
    ("sort of a scalar", |d| Ok(f32s(&[], d)?.sort(true)?.0)),
    ("reshape to another element count", |d| f32s(&[2, 3], d)?.reshape(&[5])),
    ("reshape to an overflowing shape", |d| {
        f32s(&[2, 3], d)?.reshape(&[usize::MAX, 6])
    }),
    ("transpose of a dimension that isn't there", |d| {
        f32s(&[2, 3], d)?.transpose(0, 2)
    }),
    ("unsqueeze beyond the end", |d| f32s(&[2, 3], d)?.unsqueeze(3)),
    ("squeeze of a dimension that isn't 1", |d| f32s(&[2, 3], d)?.squeeze(0)),
    ("squeeze of a dimension that isn't there", |d| {
        f32s(&[2, 3], d)?.squeeze(5)
    }),
    ("expand of a dimension that isn't 1", |d| {
        f32s(&[2, 3], d)?.expand(&[4, 3])
    }),
    ("expand to a lower rank", |d| f32s(&[2, 3], d)?.expand(&[3])),
    ("narrow beyond the end", |d| f32s(&[2, 3], d)?.narrow(1, 2, 2)),
    ("narrow from beyond the end", |d| f32s(&[2, 3], d)?.narrow(1, 4, 0)),
    ("narrow whose end overflows", |d| {
        f32s(&[2, 3], d)?.narrow(1, 1, usize::MAX)
    }),
    ("narrow of a dimension that isn't there", |d| {
        f32s(&[2, 3], d)?.narrow(2, 0, 1)
    }),
    ("cat of nothing", |_| Tensor::cat(&[], 0)),
    ("cat of unequal shapes", |d| {
        Tensor::cat(&[&f32s(&[2, 3], d)?, &f32s(&[2, 4], d)?], 0)
    }),
    ("cat of unequal ranks", |d| {
        Tensor::cat(&[&f32s(&[2, 3], d)?, &f32s(&[2], d)?], 0)
    }),
    ("cat along a dimension that isn't there", |d| {
        Tensor::cat(&[&f32s(&[2, 3], d)?], 2)
    }),
    ("index_select of a dimension that isn't there", |d| {
        f32s(&[2, 3], d)?.index_select(2, &indices(&[0], d)?)
    }),
    ("index_select with a matrix of indices", |d| {
        f32s(&[2, 3], d)?.index_select(0, &indices(&[0, 1], d)?.reshape(&[2, 1])?)
    }),
    ("gather with another rank", |d| {
        f32s(&[2, 3], d)?.gather(1, &indices(&[0, 1], d)?)
    }),
    ("gather of a dimension that isn't there", |d| {
        f32s(&[2, 3], d)?.gather(2, &indices(&[0, 1], d)?.reshape(&[2, 1])?)
    }),
    ("write_slice beyond the end", |d| {
        let target = f32s(&[2, 3], d)?;
        target.write_slice(1, 2, &f32s(&[2, 2], d)?).map(|()| target)
    }),
    ("write_slice of another shape", |d| {
        let target = f32s(&[2, 3], d)?;
        target.write_slice(1, 0, &f32s(&[1, 2], d)?).map(|()| target)
    }),
    ("write_slice of another rank", |d| {
        let target = f32s(&[2, 3], d)?;
        target.write_slice(1, 0, &f32s(&[2], d)?).map(|()| target)
    }),
    ("write_le_bytes beyond the end", |d| {
        let target = f32s(&[2, 3], d)?;
        target.write_le_bytes(1, &[0; 24], DType::F32).map(|()| target)
    }),
    ("write_le_bytes of a part of a position", |d| {
        let target = f32s(&[2, 3], d)?;
        target.write_le_bytes(0, &[0; 16], DType::F32).map(|()| target)
    }),
    ("write_le_bytes of a single element", |d| {
        let target = f32s(&[1], d)?.reshape(&[])?;
        target.write_le_bytes(0, &[0; 4], DType::F32).map(|()| target)
    }),
    ("add_in_place of unequal shapes", |d| {
        let target = f32s(&[2, 3], d)?;
        target.add_in_place(&f32s(&[3], d)?, 1.0).map(|()| target)
    }),
    ("lerp_in_place of a tensor with itself", |d| {
        let target = f32s(&[2, 3], d)?;
        target.lerp_in_place(&target.clone(), 0.5).map(|()| target)
    }),
    ("mul_in_place of overlapping views", |d| {
        let whole = f32s(&[4], d)?;
        whole
            .narrow(0, 0, 3)?
            .mul_in_place(&whole.narrow(0, 1, 3)?)
            .map(|()| whole)
    }),
    ("add_in_place to a transposed view", |d| {
        let target = f64s(&[2, 3], d)?;
        target
            .transpose(0, 1)?
            .add_in_place(&f64s(&[3, 2], d)?, 1.0)
            .map(|()| target)
    }),
    ("adamw_in_place of unequal shapes", |d| {
        adamw([f32s(&[4], d)?, f32s(&[4], d)?, f32s(&[4], d)?, f32s(&[2, 2], d)?])
    }),
    ("adamw_in_place with one tensor for both moments", |d| {
        let moment = f32s(&[4], d)?;
        adamw([f32s(&[4], d)?, f32s(&[4], d)?, moment.clone(), moment])
    }),
    ("adamw_in_place with the gradient as a moment", |d| {
        let gradient = f32s(&[4], d)?;
        adamw([f32s(&[4], d)?, gradient.clone(), f32s(&[4], d)?, gradient])
    }),
    ("adamw_in_place with a transposed moment", |d| {
        let square = || f32s(&[2, 2], d);
        adamw([square()?, square()?, square()?.transpose(0, 1)?, square()?])
    }),
    ("dropout of everything", |d| f32s(&[2], d)?.dropout(1.0, 0)),
    ("dropout of less than nothing", |d| f32s(&[2], d)?.dropout(-0.1, 0)),
    ("dropout of no share", |d| f32s(&[2], d)?.dropout(f64::NAN, 0)),
    ("to_f64 of two elements", |d| {
        f32s(&[2], d)?
            .to_f64()
            .and_then(|value| Tensor::full(&[], value, DType::F64, d))
    }),
    ("dim that isn't there", |d| {
        f32s(&[2], d)?.dim(1).and_then(|n| Tensor::arange(n, d))
    }),
    ("svd of a vector", |d| Ok(f32s(&[2], d)?.svd()?.0)),
    ("qr of three dimensions", |d| Ok(f32s(&[2, 2, 2], d)?.qr()?.0)),
    ("eigh of a matrix that isn't square", |d| {
        Ok(f32s(&[2, 3], d)?.eigh()?.0)
    }),
    ("backward from two elements", |d| {
        let leaf = f32s(&[2], d)?.param()?;
        Ok(Tensor::backward(&leaf.square()?, &[&leaf])?[0].clone())
    }),
];

const WRONG_DTYPES: &[(&str, Attempt)] = &[
    ("add", |d| f32s(&[2], d)?.add(&f64s(&[2], d)?)),
    ("div", |d| f32s(&[2], d)?.div(&f64s(&[2], d)?)),
    ("eq", |d| f32s(&[2], d)?.eq(&f64s(&[2], d)?)),
    ("maximum", |d| f32s(&[2], d)?.maximum(&f64s(&[2], d)?)),
    ("where_cond", |d| {
        f32s(&[2], d)?.where_cond(&f32s(&[2], d)?, &f64s(&[2], d)?)
    }),
    ("matmul", |d| f32s(&[2, 2], d)?.matmul(&f64s(&[2, 2], d)?)),
    ("linear weight", |d| f32s(&[2, 2], d)?.linear(&f64s(&[2, 2], d)?, None)),
    ("linear bias", |d| {
        f32s(&[2, 2], d)?.linear(&f32s(&[2, 2], d)?, Some(&f64s(&[2], d)?))
    }),
    ("rms_norm", |d| f32s(&[2], d)?.rms_norm(&f64s(&[2], d)?, 1e-5)),
    ("swiglu", |d| f32s(&[2], d)?.swiglu(&f64s(&[2], d)?)),
    ("rope", |d| {
        f32s(&[1, 1, 1, 2], d)?.rope(&f64s(&[1, 1], d)?, &f64s(&[1, 1], d)?)
    }),
    ("attention", |d| {
        let (q, k) = (f32s(&[1, 1, 1, 2], d)?, f64s(&[1, 1, 1, 2], d)?);
        let mask = AttentionMask {
            causal: true,
            window: None,
        };
        Tensor::attention(&q, &k, &k, &mask, 1.0)
    }),
    ("cat", |d| Tensor::cat(&[&f32s(&[2], d)?, &f64s(&[2], d)?], 0)),
    ("write_slice", |d| {
        let target = f32s(&[2], d)?;
        target.write_slice(0, 0, &f64s(&[1], d)?).map(|()| target)
    }),
    ("add_in_place", |d| {
        let target = f32s(&[2], d)?;
        target.add_in_place(&f64s(&[2], d)?, 1.0).map(|()| target)
    }),
    ("add_in_place of integers", |d| {
        let target = indices(&[1], d)?;
        target.add_in_place(&indices(&[1], d)?, 1.0).map(|()| target)
    }),
    ("adamw_in_place with wider moments", |d| {
        adamw([f32s(&[2], d)?, f32s(&[2], d)?, f64s(&[2], d)?, f64s(&[2], d)?])
    }),
    ("dropout of integers", |d| indices(&[1], d)?.dropout(0.5, 0)),
    ("square_sum of integers", |d| {
        Tensor::full(&[], indices(&[1], d)?.square_sum()?, DType::F64, d)
    }),
    ("index_select by floats", |d| {
        f32s(&[2], d)?.index_select(0, &f32s(&[1], d)?)
    }),
    ("gather by floats", |d| f32s(&[2], d)?.gather(0, &f32s(&[1], d)?)),
    ("cross_entropy with float targets", |d| {
        f32s(&[2, 3], d)?.cross_entropy(&f32s(&[2], d)?)
    }),
    ("cross_entropy of integers", |d| {
        indices(&[0, 1], d)?.reshape(&[1, 2])?.cross_entropy(&indices(&[0], d)?)
    }),
    ("exp of integers", |d| indices(&[1], d)?.exp()),
    ("softmax of integers", |d| indices(&[1], d)?.softmax()),
    ("mean of integers", |d| indices(&[1], d)?.mean(0, false)),
    ("matmul of integers", |d| {
        let matrix = indices(&[1], d)?.reshape(&[1, 1])?;
        matrix.matmul(&matrix)
    }),
    ("svd of integers", |d| Ok(indices(&[1], d)?.reshape(&[1, 1])?.svd()?.0)),
    ("param of integers", |d| indices(&[1], d)?.param()),
    ("to_vec of another type", |d| {
        f32s(&[2], d)?
            .to_vec::<f64>()
            .and_then(|values| Tensor::from_slice(&values, &[2], d))
    }),
    ("to_vec of floats as integers", |d| {
        f32s(&[2], d)?
            .to_vec::<i64>()
            .and_then(|values| Tensor::from_slice(&values, &[2], d))
    }),
];

fn expect(attempts: &[(&str, Attempt)], wanted: &str, is_wanted: fn(&Error) -> bool) {
    let mut failures = Vec::new();
    for device in Device::available() {
        for (name, attempt) in attempts {
            match attempt(&device) {
                Err(error) if is_wanted(&error) => {}
                Err(error) => failures.push(format!("{name} on {device}: {error:?}, wanted {wanted}")),
                Ok(tensor) => failures.push(format!("{name} on {device}: {tensor:?}, wanted {wanted}")),
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn shapes_that_do_not_fit_are_shape_errors() {
    expect(WRONG_SHAPES, "Error::Shape", |error| {
        matches!(error, Error::Shape { .. })
    });
}

#[test]
fn dtypes_that_do_not_fit_are_dtype_errors() {
    expect(WRONG_DTYPES, "Error::DType", |error| {
        matches!(error, Error::DType { .. })
    });
}

/// On a GPU the kernel itself would notice, after the call has returned.
#[test]
fn an_index_out_of_range_is_an_error_on_the_host() {
    for device in Device::available() {
        if device.kind != DeviceKind::Cpu {
            continue;
        }
        for bad in [-1, 3, i64::MAX, i64::MIN] {
            let attempts = || -> Result<[(&str, Result<Tensor>); 3]> {
                let x = f32s(&[1, 3], &device)?;
                let ids = indices(&[bad], &device)?;
                Ok([
                    ("index_select", x.index_select(1, &ids)),
                    ("gather", x.gather(1, &ids.reshape(&[1, 1])?)),
                    ("cross_entropy", x.cross_entropy(&ids)),
                ])
            };
            for (op, outcome) in attempts().expect("the inputs themselves are fine") {
                assert!(
                    matches!(outcome, Err(Error::Shape { .. } | Error::Engine { .. })),
                    "{op} with index {bad} of 3 on {device}: {outcome:?}"
                );
            }
        }
    }
}

#[test]
fn engines_never_mix() {
    type Mix = fn(&Tensor, &Tensor) -> Result<Tensor>;
    const MIXES: &[(&str, Mix)] = &[
        ("add", Tensor::add),
        ("lt", Tensor::lt),
        ("div", Tensor::div),
        ("matmul", Tensor::matmul),
        ("linear", |a, b| a.linear(b, None)),
        ("linear bias", |a, b| a.linear(a, Some(b))),
        ("rms_norm", |a, b| a.rms_norm(b, 1e-5)),
        ("swiglu", Tensor::swiglu),
        ("where_cond mask", |a, b| a.where_cond(b, b)),
        ("where_cond values", |a, b| a.where_cond(a, b)),
        ("cat", |a, b| Tensor::cat(&[a, b], 0)),
        ("write_slice", |a, b| a.write_slice(0, 0, b).map(|()| a.clone())),
        ("add_in_place", |a, b| a.add_in_place(b, 1.0).map(|()| a.clone())),
        ("lerp_in_place", |a, b| a.lerp_in_place(b, 0.5).map(|()| a.clone())),
        ("mul_in_place", |a, b| a.mul_in_place(b).map(|()| a.clone())),
        ("adamw_in_place", |a, b| {
            adamw([a.clone(), b.clone(), a.param()?, a.param()?])
        }),
        ("index_select", |a, b| {
            a.index_select(0, &Tensor::arange(1, &b.device())?)
        }),
        ("gather", |a, b| {
            a.gather(0, &Tensor::arange(1, &b.device())?.reshape(&[1, 1])?)
        }),
        ("cross_entropy", |a, b| {
            a.cross_entropy(&Tensor::arange(1, &b.device())?)
        }),
        ("rope", |a, b| a.reshape(&[1, 1, 1, 1])?.rope(b, b)),
        ("attention", |a, b| {
            let (a, b) = (a.reshape(&[1, 1, 1, 1])?, b.reshape(&[1, 1, 1, 1])?);
            let mask = AttentionMask {
                causal: true,
                window: None,
            };
            Tensor::attention(&a, &b, &b, &mask, 1.0)
        }),
        ("to_device", |a, b| a.to_device(&b.device())),
        ("backward", |a, b| Ok(Tensor::backward(&a.sum_all()?, &[b])?[0].clone())),
    ];
    let devices = Device::available();
    for a in &devices {
        for b in &devices {
            for (op, mix) in MIXES {
                let same_engine_move = *op == "to_device" && a.engine == b.engine;
                if a == b || same_engine_move {
                    continue;
                }
                let operand = |device| f32s(&[1, 1], device).expect("ones");
                let outcome = mix(&operand(a), &operand(b));
                assert!(
                    matches!(outcome, Err(Error::EngineMismatch { .. })),
                    "{op} of {a} with {b}: {outcome:?}"
                );
            }
        }
    }
}

#[test]
fn a_device_that_is_not_there_is_unsupported() {
    // Two engines don't share a process on GPUs.
    let on_gpu = Device::available()
        .into_iter()
        .find(|device| device.kind != DeviceKind::Cpu);
    let engines = [Engine::Candle, Engine::Torch].into_iter();
    for engine in engines.filter(|engine| on_gpu.is_none_or(|device| device.engine == *engine)) {
        let device = Device::cuda(engine, 1000);
        let outcome = Tensor::zeros(&[1], DType::F32, &device);
        assert!(
            matches!(outcome, Err(Error::Unsupported { .. })),
            "{device}: {outcome:?}"
        );
        assert!(matches!(device.is_available(), Err(Error::Unsupported { .. })));
    }
}

#[test]
fn the_device_that_is_named_is_checked() {
    if let Ok(name) = std::env::var(DEVICE_VARIABLE) {
        let device: Device = name
            .parse()
            .unwrap_or_else(|error| panic!("{DEVICE_VARIABLE}: {error}"));
        assert!(Device::available().contains(&device));
        eprintln!("conformance on {device}, TF32 {}", if tf32() { "on" } else { "off" });
    }
}

#[test]
fn every_device_computes_in_every_float_type_and_in_no_integer() {
    for device in Device::available() {
        for dtype in FLOATS {
            assert_eq!(
                device.computes_in(dtype).err().map(|error| error.to_string()),
                None,
                "{device} {dtype}"
            );
        }
        assert!(device.computes_in(DType::I64).is_err(), "{device}");
    }
}
