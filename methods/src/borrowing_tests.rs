//! Every method on models with blocks that borrow, low-rank deltas and gates: it works, or says what stands in its way.

use std::collections::BTreeMap;

use prunebench_model::graph::{BlockShape, DEFAULT_DELTA, DeltaShape, Graph, ScalesShape};
use prunebench_model::{Decoder, LinearName};
use prunebench_tensor::{DType, Device, Tensor, no_grad};
use prunebench_train::{Domain, Source};

use crate::fixture::{model, trained_after, windows};
use crate::{Need, Recipe, Recovery, Run, registry};

fn random(graph: Graph, device: &Device) -> Decoder {
    let mut seed = 0;
    Decoder::from_parameters(graph, |name, shape| {
        seed += 1;
        Ok(match shape.len() {
            1 if name.contains("gate") => Tensor::full(shape, 0.8, DType::F32, device)?,
            1 => Tensor::ones(shape, DType::F32, device)?,
            _ => Tensor::randn(shape, seed, DType::F32, device)?.mul_scalar(0.15)?,
        })
    })
    .unwrap()
}

fn deltas() -> BTreeMap<LinearName, Vec<DeltaShape>> {
    let delta = DeltaShape {
        name: DEFAULT_DELTA.to_owned(),
        rank: 2,
        scale: 0.5,
        keeps_zeros: false,
    };
    LinearName::ALL.map(|name| (name, vec![delta.clone()])).into()
}

/// What each method of the registry says to a model, by its id: nothing where it works.
fn answers(dense: &Decoder) -> BTreeMap<&'static str, String> {
    let text = Domain {
        name: "a".to_owned(),
        source: Source::Stream((0..500).map(|t: u32| (t * t * 7 + t * 5) % 64).collect()),
    };
    let recovery = Recovery {
        domains: vec![(text, 1.0)],
        validation: Vec::new(),
    };
    let mut answers = BTreeMap::new();
    for entry in registry() {
        if entry.card.needs.contains(&Need::TrainingRun) {
            continue;
        }
        let example = match entry.card.id {
            "finetune" | "lora" => format!("{}(steps=1, batch=2, length=16)", entry.card.id),
            "layer-parallel" => "layer-parallel(start=1, end=5, fused=true)".to_owned(),
            "laco" => "laco(layers=3, threshold=-1.0, blocks=2)".to_owned(),
            _ => entry.card.example.to_owned(),
        };
        let (windows, mut quiet) = (windows(), |_: usize, _: usize, _: &str| {});
        let mut run = Run::new(dense, &windows, 0, &mut quiet).with(recovery.clone(), None);
        let mut recipe = vec![example.as_str()];
        recipe.extend(trained_after(entry.card));
        let answer = match Recipe::parse(&recipe).unwrap().apply(&mut run) {
            Err(error) => error.to_string(),
            Ok(_) => {
                run.model.graph.validate().unwrap();
                let ids = run.model.ids(&[&windows[0]]).unwrap();
                let logits = no_grad(|| run.model.forward(&ids)).unwrap().to_f64_vec().unwrap();
                assert!(logits.iter().all(|logit| logit.is_finite()), "{example}");
                String::new()
            }
        };
        answers.insert(entry.card.id, answer);
    }
    answers
}

#[test]
fn no_method_refuses_a_model_for_low_rank_deltas() {
    let device = Device::available()[0];
    let mut graph = model(&device).graph;
    let untouched = answers(&random(graph.clone(), &device));
    for shape in &mut graph.blocks {
        shape.deltas = deltas();
    }
    assert_eq!(answers(&random(graph, &device)), untouched);
}

#[test]
fn methods_refuse_borrowed_blocks_and_gates_only_with_the_reason() {
    let device = Device::available()[0];
    let plain = model(&device).graph;
    let untouched = answers(&random(plain.clone(), &device));
    let refusals = |graph: Graph| -> BTreeMap<&'static str, String> {
        let mut answers = answers(&random(graph, &device));
        answers.retain(|method, answer| *answer != untouched[method]);
        answers
    };
    let mut borrowing = plain.clone();
    let normalised = ScalesShape {
        norm: true,
        ..ScalesShape::default()
    };
    let mut slot = BlockShape {
        borrows: Some(4),
        deltas: deltas(),
        ..plain.blocks[0].clone()
    };
    slot.attention.iter_mut().for_each(|shape| shape.scales = normalised);
    slot.ffn.iter_mut().for_each(|shape| shape.scales = normalised);
    borrowing.blocks[2] = slot;
    let mut gated = plain.clone();
    let gates = ScalesShape {
        unit_gates: true,
        gate: true,
        norm: false,
    };
    for shape in &mut gated.blocks {
        shape.attention.iter_mut().for_each(|shape| shape.scales = gates);
        shape.ffn.iter_mut().for_each(|shape| shape.scales = gates);
    }
    let stream = Graph {
        stream_gates: true,
        ..plain
    };
    for (graph, wanted) in [
        (
            borrowing,
            &["gromov", "laco", "layer-parallel", "merge", "slicegpt"][..],
        ),
        (gated, &[]),
        (stream, &["slicegpt"]),
    ] {
        let refused = refusals(graph);
        assert_eq!(refused.keys().copied().collect::<Vec<_>>(), wanted);
        for (method, answer) in refused {
            let reasons = [
                "borrows",
                "linears are those of block",
                "linears of block",
                "the stream is gated",
                "different shapes",
            ];
            assert!(
                reasons.iter().any(|reason| answer.contains(reason)),
                "{method}: {answer}"
            );
        }
    }
}
