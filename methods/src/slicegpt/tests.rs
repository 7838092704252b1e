use prunebench_model::checkpoint::{load, save};
use prunebench_model::graph::Step;
use prunebench_tensor::Device;

use super::*;
use crate::fixture::{BLOCKS, HIDDEN, adders, apply, model, refusal, windows};

fn sliced(model: &Decoder, width: usize) -> Decoder {
    let windows = windows();
    let mut quiet = |_: usize, _: usize, _: &str| {};
    let mut run = Run::new(model, &windows, 0, &mut quiet);
    slice(&mut run, width).unwrap();
    run.model
}

fn logits(model: &Decoder, window: &[u32]) -> Vec<f64> {
    model
        .forward(&model.ids(&[window]).unwrap())
        .unwrap()
        .to_f64_vec()
        .unwrap()
}

/// Largest difference, as a share of the largest logit.
fn distance(a: &[f64], b: &[f64]) -> f64 {
    let largest = |values: &mut dyn Iterator<Item = f64>| values.fold(0.0, |most: f64, x| most.max(x.abs()));
    largest(&mut a.iter().zip(b).map(|(a, b)| a - b)) / largest(&mut a.iter().copied())
}

/// The fixture with gains that a fold could forget and biases that a rotation could.
fn with_gains(device: &Device) -> Decoder {
    let mut model = model(device);
    let gain = |seed| {
        let spread = Tensor::randn(&[HIDDEN], seed, DType::F32, device).unwrap();
        spread.mul_scalar(0.3).unwrap().add_scalar(1.0).unwrap()
    };
    for (seed, block) in (100..).step_by(2).zip(&mut model.blocks) {
        block.attention.as_mut().unwrap().norm.gain = gain(seed);
        block.ffn.as_mut().unwrap().norm.gain = gain(seed + 1);
        for name in [LinearName::Q, LinearName::O, LinearName::Down] {
            let linear = block.linear_mut(name).unwrap();
            let rows = linear.weight.dim(0).unwrap();
            linear.bias = Some(Tensor::randn(&[rows], seed + 50, DType::F32, device).unwrap());
        }
    }
    model.final_norm.gain = gain(99);
    model
}

#[test]
fn at_full_width_the_model_is_the_dense_one() {
    for device in Device::available() {
        let dense = with_gains(&device);
        let whole = sliced(&dense, HIDDEN);
        for window in &windows() {
            let far = distance(&logits(&dense, window), &logits(&whole, window));
            assert!(far < 1e-4, "{far}");
        }
        // It is rotated nonetheless.
        let moved = distance(
            &dense.embedding.to_f64_vec().unwrap(),
            &whole.embedding.to_f64_vec().unwrap(),
        );
        assert!(moved > 0.1);
    }
}

#[test]
fn a_stream_that_fills_half_its_directions_loses_nothing_with_the_other_half() {
    for device in Device::available() {
        // Embedding and outputs lie in a random half of the space.
        let noise = Tensor::randn(&[HIDDEN, HIDDEN / 2], 7, DType::F64, &device).unwrap();
        let half = noise.qr().unwrap().0;
        let onto = half.matmul(&half.transpose(0, 1).unwrap()).unwrap();
        let mut dense = with_gains(&device);
        dense.embedding = times(&dense.embedding, &onto).unwrap();
        for block in &mut dense.blocks {
            for name in [LinearName::O, LinearName::Down] {
                slice_output(block, name, &onto).unwrap();
            }
        }
        let halved = sliced(&dense, HIDDEN / 2);
        assert_eq!(halved.embedding.shape(), [64, HIDDEN / 2]);
        // Also on a text that it was not calibrated with.
        for window in [windows()[1].as_slice(), &[5, 60, 33, 2, 2, 41]] {
            let far = distance(&logits(&dense, window), &logits(&halved, window));
            assert!(far < 1e-4, "{far}");
        }
        let lossy = sliced(&dense, HIDDEN / 4);
        assert!(distance(&logits(&dense, &windows()[1]), &logits(&lossy, &windows()[1])) > 0.01);
    }
}

#[test]
fn directions_shortcuts_and_biases_are_those_computed_by_hand() {
    for device in Device::available() {
        // Every token is (3, 4), so the first direction is (0.6, 0.8). The first block adds (8, −6), of norm 10: the stream (11, −2)
        // has the direction (11, −2) / sqrt(125). The second block leads back to two dimensions.
        let dense = adders(&device, [3.0, 4.0], &[[8.0, -6.0], [1.0, 1.0]]);
        let windows = [vec![0, 1, 1]];
        let mut quiet = |_: usize, _: usize, _: &str| {};
        let mut run = Run::new(&dense, &windows, 0, &mut quiet);
        slice(&mut run, 1).unwrap();
        let (first, second) = (
            run.model.blocks[0].ffn.as_ref().unwrap(),
            run.model.blocks[1].ffn.as_ref().unwrap(),
        );
        let values = |tensor: &Tensor| tensor.to_f64_vec().unwrap();
        // An eigenvector is one up to its sign.
        let embedded = values(&run.model.embedding);
        let (sign, root) = (embedded[0].signum(), 125_f64.sqrt());
        let back = values(second.shortcut.as_ref().unwrap());
        let next = back[0].signum();
        for (found, wanted) in [
            (embedded, vec![5.0 * sign; 2]),
            // (11, −2) · (0.6, 0.8) / sqrt(125)
            (values(first.shortcut.as_ref().unwrap()), vec![sign * next * 5.0 / root]),
            // (11, −2) · (8, −6) / sqrt(125)
            (
                values(first.linears.as_ref().unwrap().down.bias.as_ref().unwrap()),
                vec![next * 100.0 / root],
            ),
            (back, vec![next * 11.0 / root, next * -2.0 / root]),
            (
                values(second.linears.as_ref().unwrap().down.bias.as_ref().unwrap()),
                vec![1.0, 1.0],
            ),
            (values(&first.norm.gain), vec![2_f64.sqrt()]),
        ] {
            assert!(distance(&wanted, &found) < 1e-6, "{found:?}, want {wanted:?}");
        }
        // The stream ends at (12, −1), as without slicing: it never leaves the directions kept.
        assert!(distance(&logits(&dense, &[0]), &logits(&run.model, &[0])) < 1e-6);
    }
}

#[test]
fn the_width_rounds_down_to_a_multiple_of_eight() {
    let of = |hidden, ratio: f64| width(hidden, Ratio::try_from(ratio).unwrap());
    for (hidden, ratio, wanted) in [(4096, 0.3, 2864), (4096, 0.25, 3072), (576, 0.1, 512), (64, 0.125, 56)] {
        assert_eq!(of(hidden, ratio).unwrap(), wanted);
    }
    assert_eq!(
        refusal("slicegpt(ratio=0.8)"),
        "slicegpt: key `ratio`: 0.8 of a stream of 32 leaves 6 directions, fewer than the 8 that widths are multiples of; a lower ratio is wanted"
    );
}

/// Stored parameters of a graph, counted without making them.
fn size(graph: &Graph, device: &Device) -> f64 {
    let mut elements = 0;
    Decoder::from_parameters(graph.clone(), |_, shape| {
        elements += shape.iter().product::<usize>();
        Ok(Tensor::zeros(&[1], DType::F32, device)?)
    })
    .unwrap();
    elements as f64
}

/// The shares that follow from the sizes of Llama-2-7B: at 10 % the model grows.
#[test]
fn the_true_reduction_counts_the_shortcuts() {
    let device = Device::available()[0];
    let mut small = model(&device);
    small.graph.hidden_size = 4096;
    small.graph.vocab_size = 32000;
    small.graph.tie_word_embeddings = false;
    let mut block = small.graph.blocks[0].clone();
    if let (Some(attention), Some(ffn)) = (&mut block.attention, &mut block.ffn) {
        (attention.heads, attention.kv_heads, attention.head_dim, ffn.width) = (32, 32, 128, 11008);
    }
    small.graph.blocks = vec![block; 32];
    small.graph.steps = (0..32).map(Step::Block).collect();
    small.blocks = vec![small.blocks[0].clone(); 32];
    let sublayers = sublayers(&small).unwrap();
    for (ratio, wanted) in [(0.1, -3.0), (0.2, 9.4), (0.25, 15.3), (0.3, 21.5), (0.4, 33.2)] {
        let width = width(4096, Ratio::try_from(ratio).unwrap()).unwrap();
        let after = size(&sliced_graph(&small.graph, &sublayers, width), &device);
        let found = 100.0 * (1.0 - after / size(&small.graph, &device));
        assert!((found - wanted).abs() < 0.06, "{ratio}: {found}, want {wanted}");
    }
}

#[test]
fn the_report_counts_the_parameters_that_are_there() {
    let dense = model(&Device::available()[0]);
    let outcome = apply("slicegpt(ratio=0.25)", &dense, 0).unwrap();
    assert_eq!(outcome.report.achieved_ratio, 0.25);
    assert_eq!(outcome.report.basis, "hidden width");
    let accounting = outcome.model.accounting().unwrap();
    let details = &outcome.report.details;
    assert_eq!(details["stored_parameters_after"], accounting.stored_parameters);
    assert_eq!(
        details["stored_parameters_before"],
        dense.accounting().unwrap().stored_parameters
    );
    // 24 of 32 directions: embedding and a head of its own, six blocks (the last writes 32), the final norm.
    let attention = 24 * (32 + 16 + 16) + 32 * 24 + 24 + 24 * 24;
    let ffn = |to: u64| 24 * 96 + 48 * to + 24 + 24 * to;
    let wanted = 64 * 24 + 64 * 32 + 6 * attention + 5 * ffn(24) + ffn(32) + 32;
    assert_eq!(accounting.stored_parameters, wanted);
    let products = wanted - 64 * 24 - 12 * 24 - 32;
    assert_eq!(accounting.flops_per_token, 2 * products);
}

#[test]
fn one_pass_without_the_last_sublayer_is_counted() {
    let outcome = apply("slicegpt(ratio=0.5)", &model(&Device::available()[0]), 0).unwrap();
    // 3 windows through 11 of 12 sublayers: 2.75 passes.
    assert_eq!(
        (outcome.budget.calibration_tokens, outcome.budget.forward_passes),
        (48, 3)
    );
}

#[test]
fn engines_and_seeds_give_the_same_function() {
    let of = |device: &Device, seed| {
        let outcome = apply("slicegpt(ratio=0.25)", &with_gains(device), seed).unwrap();
        logits(&outcome.model, &windows()[2])
    };
    let first = of(&Device::available()[0], 0);
    for device in Device::available() {
        assert!(distance(&first, &of(&device, 1)) < 1e-3);
    }
}

#[test]
fn a_sliced_model_decodes_with_a_cache_and_comes_back_from_its_folder() {
    for device in Device::available() {
        let model = apply("slicegpt(ratio=0.25)", &model(&device), 0).unwrap().model;
        let window = &windows()[0];
        let whole = logits(&model, window);
        let mut cache = model.cache(1, window.len()).unwrap();
        let mut steps = Vec::new();
        for token in window {
            let ids = model.ids(&[&[*token]]).unwrap();
            let hidden = model.hidden(&ids, Some(&mut cache), &mut |_, _| Ok(())).unwrap();
            steps.extend(model.logits(&hidden).unwrap().to_f64_vec().unwrap());
        }
        assert!(distance(&whole, &steps) < 1e-5);

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sliced");
        save(&model, None, &path).unwrap();
        assert!(path.join("prunebench_graph.json").exists());
        let again = load(&path, &device, DType::F32).unwrap().decoder;
        assert_eq!(again.graph, model.graph);
        assert_eq!(logits(&again, window), whole);
    }
}

#[test]
fn a_sliced_model_is_not_sliced_or_shortened_again() {
    let dense = model(&Device::available()[0]);
    for after in ["slicegpt(ratio=0.5)", "shortgpt(blocks=1)", "sleb(blocks=1)"] {
        let recipe = crate::Recipe::parse(&["slicegpt(ratio=0.25)", after]).unwrap();
        let windows = windows();
        let mut quiet = |_: usize, _: usize, _: &str| {};
        let error = recipe
            .apply(&mut Run::new(&dense, &windows, 0, &mut quiet))
            .unwrap_err()
            .to_string();
        assert!(error.contains("shortcut"), "{after}: {error}");
    }
    // Masking its weights is fine.
    let recipe = crate::Recipe::parse(&["slicegpt(ratio=0.25)", "wanda(ratio=0.5)"]).unwrap();
    let windows = windows();
    let mut quiet = |_: usize, _: usize, _: &str| {};
    let mut run = Run::new(&dense, &windows, 0, &mut quiet);
    recipe.apply(&mut run).unwrap();
    assert_eq!(run.model.blocks.len(), BLOCKS);
}

#[test]
fn layer_norms_and_streams_that_overflow_are_errors() {
    let device = Device::available()[0];
    let mut layered = model(&device);
    layered.graph.norm = NormKind::Layer;
    let error = apply("slicegpt(ratio=0.5)", &layered, 0).err().unwrap().to_string();
    assert!(error.contains("a model with RMSNorms is wanted"), "{error}");
    let mut model = model(&device);
    model.embedding = Tensor::full(&[64, HIDDEN], f64::INFINITY, DType::F32, &device).unwrap();
    let error = apply("slicegpt(ratio=0.5)", &model, 0).err().unwrap().to_string();
    assert!(error.contains("not finite on the calibration text"), "{error}");
}
