//! The operations that decide a decoder's speed, in the shapes of SmolLM2-135M, on every engine.

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use prunebench_tensor::{AttentionMask, DType, Device, Result, Tensor, no_grad};

const HIDDEN: usize = 576;
const WIDTH: usize = 1536;
const VOCAB: usize = 49_152;
const HEADS: (usize, usize, usize) = (9, 3, 64);
const CAUSAL: AttentionMask = AttentionMask {
    causal: true,
    window: None,
};

fn random(shape: &[usize], device: &Device) -> Tensor {
    Tensor::randn(shape, 1, DType::F32, device).expect("a random tensor")
}

/// Times `f` on every device, counting `work` floating-point operations a call.
fn each_device(
    c: &mut Criterion,
    name: &str,
    case: &str,
    work: usize,
    prepare: impl Fn(&Device) -> Vec<Tensor>,
    f: impl Fn(&[Tensor]) -> Result<Tensor>,
) {
    let mut group = c.benchmark_group(name);
    group.sample_size(20).throughput(Throughput::Elements(work as u64));
    for device in Device::available() {
        let operands = prepare(&device);
        group.bench_function(BenchmarkId::new(case, device), |b| {
            b.iter_batched(
                || (),
                |()| {
                    let y = no_grad(|| f(black_box(&operands))).expect("the operation");
                    device.sync().expect("a device that syncs");
                    y
                },
                BatchSize::PerIteration,
            )
        });
    }
    group.finish();
}

fn linear(c: &mut Criterion) {
    for (rows, inner, out) in [
        (1, HIDDEN, WIDTH),
        (1, HIDDEN, VOCAB),
        (1024, HIDDEN, WIDTH),
        (1024, WIDTH, HIDDEN),
        (256, HIDDEN, VOCAB),
    ] {
        each_device(
            c,
            "linear",
            &format!("{rows}x{inner}x{out}"),
            2 * rows * inner * out,
            |device| vec![random(&[rows, inner], device), random(&[out, inner], device)],
            |x| x[0].linear(&x[1], None),
        );
    }
}

fn attention(c: &mut Criterion) {
    let (heads, kv_heads, size) = HEADS;
    for (queries, keys) in [(1024, 1024), (1, 160), (1, 1024)] {
        each_device(
            c,
            "attention",
            &format!("{queries}x{keys}"),
            4 * heads * size * queries * keys,
            |device| {
                let kv = [1, kv_heads, keys, size];
                vec![
                    random(&[1, heads, queries, size], device),
                    random(&kv, device),
                    random(&kv, device),
                ]
            },
            |x| Tensor::attention(&x[0], &x[1], &x[2], &CAUSAL, 0.125),
        );
    }
}

fn elementwise(c: &mut Criterion) {
    each_device(
        c,
        "swiglu",
        "1024x1536",
        1024 * WIDTH,
        |device| vec![random(&[1024, WIDTH], device), random(&[1024, WIDTH], device)],
        |x| x[0].swiglu(&x[1]),
    );
    each_device(
        c,
        "rms_norm",
        "1024x576",
        1024 * HIDDEN,
        |device| vec![random(&[1024, HIDDEN], device), random(&[HIDDEN], device)],
        |x| x[0].rms_norm(&x[1], 1e-5),
    );
    each_device(
        c,
        "rope",
        "9x1024x64",
        9 * 1024 * 64,
        |device| {
            vec![
                random(&[1, 9, 1024, 64], device),
                random(&[1024, 32], device),
                random(&[1024, 32], device),
            ]
        },
        |x| x[0].rope(&x[1], &x[2]),
    );
    each_device(
        c,
        "cross_entropy",
        "256x49152",
        256 * VOCAB,
        |device| {
            let targets = Tensor::from_slice(&[7i64; 256], &[256], device).expect("targets");
            vec![random(&[256, VOCAB], device), targets]
        },
        |x| x[0].cross_entropy(&x[1]),
    );
}

criterion_group!(benches, linear, attention, elementwise);
criterion_main!(benches);
