//! Gradients of whole decoders.

use prunebench_tensor::Tensor;

use super::*;
use crate::gradient::{Gradients, Tracked, loss};
use crate::weights::Weights;

/// The random decoder, with `shift` added to element `index` of parameter `name`.
fn shifted(graph: &Graph, device: &Device, name: &str, index: usize, shift: f64) -> Decoder {
    let mut seed = 0;
    Decoder::from_parameters(graph.clone(), |parameter, shape| {
        seed += 1;
        let mut values = Tensor::randn(shape, seed, DType::F64, device)?
            .mul_scalar(0.5)?
            .to_vec::<f64>()?;
        if parameter == name {
            values[index] += shift;
        }
        Ok(Tensor::from_slice(&values, shape, device)?)
    })
    .unwrap()
}

#[test]
fn gradients_of_every_parameter_equal_central_differences() {
    for (&engine, graph) in Engine::compiled()
        .iter()
        .flat_map(|engine| [rotary(), gpt(), borrowing(), gated_stream()].map(|graph| (engine, graph)))
    {
        let device = Device::cpu(engine);
        let (_, gradients) = loss_and_gradients(&shifted(&graph, &device, "", 0, 0.0), &SEQUENCES).unwrap();
        let loss = |name: &str, index, shift| {
            let shifted = shifted(&graph, &device, name, index, shift);
            let nll = shifted.negative_log_likelihood(&SEQUENCES).unwrap();
            // The loss itself, in f64: likelihoods come back as f32.
            let (loss, _) = loss_and_gradients(&shifted, &SEQUENCES).unwrap();
            let mean = nll.iter().flatten().sum::<f64>() / 10.0;
            assert!(
                (mean - loss).abs() < 1e-5,
                "the loss is the mean negative log-likelihood"
            );
            loss
        };
        assert_eq!(gradients.len(), shifted(&graph, &device, "", 0, 0.0).parameters().len());
        for (name, gradient) in &gradients {
            let gradient = gradient.to_f64_vec().unwrap();
            assert!(gradient.iter().any(|&g| g != 0.0), "{engine}: {name} has no gradient");
            let index = gradient.len() * 2 / 3;
            let step = 1e-5;
            let want = (loss(name, index, step) - loss(name, index, -step)) / (2.0 * step);
            let got = gradient[index];
            assert!(
                (got - want).abs() < 1e-7 + 1e-5 * want.abs(),
                "{engine}: {name}[{index}]: {got}, want {want}"
            );
        }
    }
}

/// Loss and gradients of some batches, by the mean over all their predictions.
fn gradients(
    decoder: &Decoder,
    trainable: &Trainable,
    batches: &[Batch],
    recompute: bool,
) -> (Loss, BTreeMap<String, Vec<f64>>) {
    let mut weights = Weights::new(decoder, trainable, false, Vec::new()).unwrap();
    weights.draw_dropout(7);
    let tracked = Tracked {
        decoder: &weights.decoder,
        leaves: &weights.leaves,
        recompute,
    };
    let weight = 1.0 / batches.iter().map(|batch| batch.targets.len()).sum::<usize>() as f64;
    let (mut sum, mut gradients) = (Loss::default(), Gradients::default());
    for batch in batches {
        let (loss, _) = tracked.backward(batch, weight, &mut gradients).unwrap();
        sum.sum += loss.sum;
        sum.predictions += loss.predictions;
    }
    let map = gradients.into_map();
    (
        sum,
        map.into_iter()
            .map(|(name, tensor)| (name, tensor.to_f64_vec().unwrap()))
            .collect(),
    )
}

/// Examples of several lengths, one of a single token among them, and with prompts.
fn examples() -> Vec<Example> {
    let example = |tokens: &[u32], prompt| Example::new("a", 0, tokens.to_vec(), prompt);
    vec![
        example(&[1, 5, 9, 2, 7, 7, 3], 0),
        example(&[4], 0),
        example(&[3, 3, 8, 0], 2),
        example(&[10, 6], 0),
        example(&[2, 9, 4, 4, 1], 5),
    ]
}

/// The graphs in f64, on every engine. The second learns just as many positions as the longest example has inputs.
fn f64_decoders() -> impl Iterator<Item = Decoder> {
    let learned = Graph {
        max_position_embeddings: 6,
        ..gpt()
    };
    let graphs = [rotary(), learned, borrowing(), gated_stream()];
    devices().flat_map(move |device| graphs.clone().map(|graph| decoder(graph, DType::F64, &device)))
}

#[test]
fn micro_batches_add_up_to_the_gradient_of_the_whole_batch() {
    for decoder in f64_decoders() {
        let examples = examples();
        let (loss, whole) = gradients(&decoder, &Trainable::All, &[Batch::new(&examples, false)], false);
        for size in [1, 2, 3] {
            let parts: Vec<Batch> = examples.chunks(size).map(|part| Batch::new(part, false)).collect();
            let parts: Vec<Batch> = parts.into_iter().filter(|part| !part.targets.is_empty()).collect();
            let (sum, added) = gradients(&decoder, &Trainable::All, &parts, false);
            assert_eq!(sum.predictions, loss.predictions);
            assert!((sum.sum - loss.sum).abs() < 1e-12 * loss.sum);
            let difference = largest_difference(&whole, &added);
            assert!(difference < 1e-14, "{}: {difference}", decoder.device());
        }
    }
}

#[test]
fn sequences_packed_into_a_row_have_the_gradient_of_padded_ones() {
    for decoder in f64_decoders() {
        let (padded, by_padding) = gradients(&decoder, &Trainable::All, &[Batch::new(&examples(), false)], false);
        let (packed, by_packing) = gradients(&decoder, &Trainable::All, &[Batch::new(&examples(), true)], false);
        assert_eq!(padded.predictions, packed.predictions);
        assert!((padded.sum - packed.sum).abs() < 1e-12 * padded.sum);
        let difference = largest_difference(&by_padding, &by_packing);
        assert!(difference < 1e-14, "{}: {difference}", decoder.device());
    }
}

/// The first pass of a recomputing run may take kernels without a backward pass, which round otherwise.
#[test]
fn recomputed_activations_give_the_same_gradient() {
    for device in devices() {
        let agrees = |decoder: &Decoder, trainable| {
            let batches = [Batch::new(&examples(), false)];
            let [kept, again] = [false, true].map(|recompute| gradients(decoder, &trainable, &batches, recompute));
            assert!((kept.0.sum - again.0.sum).abs() < 1e-6 * kept.0.sum, "{device}");
            let largest = kept
                .1
                .values()
                .flatten()
                .fold(0.0, |largest: f64, g| largest.max(g.abs()));
            let difference = largest_difference(&kept.1, &again.1) / largest;
            assert!(difference < 1e-6, "{device}, {trainable:?}: {difference}");
        };
        let mut decoder = f32_decoder(&device);
        agrees(&decoder, Trainable::All);
        // Dropout draws the same elements when it comes again.
        let lora = Lora {
            dropout: 0.5,
            ..Lora::default()
        };
        lora.attach(&mut decoder, 3, true).unwrap();
        for delta in decoder.deltas_mut() {
            let up = Tensor::randn(&delta.up.shape(), 4, DType::F32, &device).unwrap();
            delta.up = up.mul_scalar(0.1).unwrap();
        }
        agrees(&decoder, Trainable::Adapters);
    }
}

#[test]
fn a_prompt_is_read_and_not_learnt() {
    for device in devices() {
        let example = |prompt| Example::new("a", 0, SEQUENCES[0].to_vec(), prompt);
        let batch = Batch::new(&[example(4)], false);
        let start = shifted(&rotary(), &device, "", 0, 0.0);
        let (masked, gradients) = gradients(&start, &Trainable::All, std::slice::from_ref(&batch), false);
        // Of six tokens the last two are learnt, and cost what they cost in the whole sequence.
        let nll = start.negative_log_likelihood(&SEQUENCES).unwrap();
        let wanted: f64 = nll[0][3..].iter().sum();
        assert_eq!(masked.predictions, 2);
        assert!(
            (masked.sum - wanted).abs() < 1e-5,
            "{device}: {}, wanted {wanted}",
            masked.sum
        );
        for (name, gradient) in &gradients {
            let index = gradient.len() / 3;
            let at = |shift| {
                loss(&shifted(&rotary(), &device, name, index, shift), &batch)
                    .unwrap()
                    .mean()
            };
            let wanted = (at(1e-5) - at(-1e-5)) / 2e-5;
            let got = gradient[index];
            assert!(
                (got - wanted).abs() < 1e-7 + 1e-5 * wanted.abs(),
                "{device}: {name}: {got}, wanted {wanted}"
            );
        }
    }
}

#[test]
fn a_token_outside_the_vocabulary_is_refused() {
    for device in devices() {
        let decoder = f32_decoder(&device);
        for tokens in [vec![1, 2, 11], vec![11, 1, 2]] {
            let error = loss_and_gradients(&decoder, &[&tokens]).unwrap_err().to_string();
            assert!(error.contains("11"), "{device}: {error}");
        }
    }
}
