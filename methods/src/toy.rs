//! `toy`, of the tests alone: all that a method may ask of model and trainer, in one file. The last block runs once more, borrowed, with a
//! delta of its own; a learnt strength gates it, and noise of each pass the channels of the first block.

use std::collections::BTreeMap;
use std::time::Duration;

use prunebench_model::graph::{BlockShape, DEFAULT_DELTA, DeltaShape, Step};
use prunebench_model::{Decoder, Delta, LinearName, Units};
use prunebench_tensor::{DType, Device, Tensor};
use prunebench_train::{
    Callback, Domain, Leaf, Leaves, Made, Moment, Pass, Rate, Result as Trained, Settings, Source, Trainable,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::fixture::{BLOCKS, model, windows};
use crate::training::{config, needs, parse, train};
use crate::{Basis, Card, Entry, Family, Keeping, Method, Need, Recipe, Recovery, Report, Result, Run};

static CARD: Card = Card {
    id: "toy",
    title: "Toy",
    summary: "runs the last block again, with a strength",
    paper: "baseline",
    family: Family::Training,
    changes: "adds a block that borrows the last one's linears",
    example: "toy(steps=2, batch=2, length=16)",
    needs: &[Need::RecoveryData],
    version: 1,
    deviations: &[],
    readme: include_str!("finetune/README.md"),
};

pub(crate) const ENTRY: Entry = Entry {
    card: &CARD,
    parse: |table| {
        let (Own {}, settings) = parse(CARD.id, table)?;
        Ok(Box::new(Toy { settings }))
    },
};

#[derive(Debug)]
struct Toy {
    settings: Settings,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Own {}

impl Method for Toy {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn config(&self) -> Value {
        config(&Own {}, &self.settings)
    }

    fn needs(&self) -> &'static [Need] {
        needs(&self.settings)
    }

    fn is_stochastic(&self) -> bool {
        true
    }

    fn apply(&self, run: &mut Run) -> Result<Report> {
        let slot = run.model.blocks.len();
        run.model = with_slot(&run.model)?;
        let channels = run.model.units(Units::Channels(0))?;
        let ones = Tensor::ones(&[channels], run.model.dtype(), &run.model.device())?;
        run.model.gate(Units::Channels(0), &ones)?;
        let mut strength = Strength {
            slot,
            channels,
            device: run.model.device(),
            passes: 0.0,
        };
        let parts = Trainable::Named(vec![format!("layers.{slot}.")]);
        let callbacks = [&mut strength as &mut dyn Callback];
        let (trained, mut details) = train(CARD.id, run, parts, &self.settings, callbacks)?;
        details["strength"] = json!(trained.leaves["strength"].to_f64()?);
        details["passes"] = json!(strength.passes);
        run.model = trained.decoder;
        Ok(Report::of(Basis::Blocks, None, details))
    }
}

/// The model with its last block once more at the end.
fn with_slot(model: &Decoder) -> Result<Decoder> {
    let (lender, slot) = (model.blocks.len() - 1, model.blocks.len());
    let mut graph = model.graph.clone();
    let mut shape = BlockShape {
        borrows: Some(lender),
        deltas: BTreeMap::new(),
        ..graph.blocks[lender].clone()
    };
    shape.attention.iter_mut().for_each(|shape| shape.scales.gate = true);
    shape.ffn.iter_mut().for_each(|shape| shape.scales.gate = true);
    graph.blocks.push(shape);
    graph.steps.push(Step::Block(slot));
    let (dtype, device) = (model.dtype(), model.device());
    let stored: BTreeMap<String, &Tensor> = model.parameters().into_iter().collect();
    let mut extended = Decoder::from_parameters(graph, |name, shape| match stored.get(name) {
        Some(&tensor) => Ok(tensor.clone()),
        None => Ok(Tensor::ones(shape, dtype, &device)?),
    })?;
    let delta = DeltaShape {
        name: DEFAULT_DELTA.to_owned(),
        rank: 2,
        scale: 1.0,
        keeps_zeros: false,
    };
    let target = extended.blocks[lender]
        .linear(LinearName::Up)
        .map(|linear| linear.weight.shape());
    if let Some(&[out, inner]) = target.as_deref() {
        let delta = Delta::start(delta, [out, inner], 7, dtype, &device)?;
        extended.add_delta(slot, LinearName::Up, delta)?;
    }
    Ok(extended)
}

/// Learns how strongly the slot writes into the stream.
struct Strength {
    slot: usize,
    channels: usize,
    device: Device,
    passes: f64,
}

impl Strength {
    fn made(&self, leaves: &Leaves, gates: Tensor) -> Trained<Made> {
        let output = |half: &str| {
            (
                format!("model.layers.{}.{half}.output_gate", self.slot),
                leaves["strength"].clone(),
            )
        };
        let channels = ("model.layers.0.mlp.channel_gates".to_owned(), gates);
        Ok(vec![output("self_attn"), output("mlp"), channels])
    }
}

impl Callback for Strength {
    fn leaves(&self) -> Trained<Vec<Leaf>> {
        Ok(vec![Leaf {
            name: "strength".to_owned(),
            value: Tensor::full(&[1], 0.5, DType::F32, &self.device)?,
            group: "strength",
        }])
    }

    fn rates(&self) -> Vec<Rate> {
        vec![Rate {
            group: "strength",
            learning_rate: 0.05,
            weight_decay: 0.0,
        }]
    }

    fn makes(&self) -> Vec<String> {
        let output = |half: &str| format!("model.layers.{}.{half}.output_gate", self.slot);
        vec![
            output("self_attn"),
            output("mlp"),
            "model.layers.0.mlp.channel_gates".to_owned(),
        ]
    }

    fn before_pass(&mut self, pass: &Pass, leaves: &Leaves) -> Trained<Made> {
        self.passes += 1.0;
        let noise = Tensor::randn(&[self.channels], pass.seed, DType::F32, &self.device)?;
        self.made(leaves, noise.mul_scalar(0.1)?.add_scalar(1.0)?)
    }

    fn penalty(&mut self, _: &Moment, leaves: &Leaves) -> Trained<Option<Tensor>> {
        Ok(Some(leaves["strength"].sum_all()?.mul_scalar(0.01)?))
    }

    fn before_validation(&mut self, _: &Moment, leaves: &Leaves) -> Trained<Made> {
        self.made(leaves, Tensor::ones(&[self.channels], DType::F32, &self.device)?)
    }

    fn state(&self) -> Trained<Vec<(String, Tensor)>> {
        let passes = Tensor::from_slice(&[self.passes], &[1], &self.device)?;
        Ok(vec![("passes".to_owned(), passes)])
    }

    fn restore(&mut self, state: BTreeMap<String, Tensor>) -> Trained<()> {
        self.passes = state["passes"].to_f64()?;
        Ok(())
    }
}

/// Two phases after a pruning.
const RECIPE: [&str; 3] = [
    "shortgpt(blocks=1)",
    "toy(steps=5, batch=4, micro_batch=2, length=16, learning_rate=1e-2)",
    "finetune(steps=5, batch=4, length=16, learning_rate=1e-2, validate_every=2)",
];

/// What a recipe leaves.
#[derive(Debug, PartialEq)]
struct Left {
    graph: String,
    parameters: Vec<(String, Vec<f64>)>,
    details: Vec<Value>,
    tokens: u64,
}

/// Applies the recipe until something is told that `kills`, and gives what was told.
fn apply(device: &Device, keeping: Option<Keeping>, kills: impl Fn(&str) -> bool) -> (Option<Left>, Vec<String>) {
    let tokens: Vec<u32> = (0..500).map(|t: u32| (t * t * 7 + t * 5) % 64).collect();
    let held_out = prunebench_train::Validation {
        name: "a".to_owned(),
        examples: vec![prunebench_train::Example::new("a", 0, tokens[..16].to_vec(), 0)],
        cut: false,
    };
    let text = Domain {
        name: "a".to_owned(),
        source: Source::Stream(tokens),
    };
    let recovery = Recovery {
        domains: vec![(text, 1.0)],
        validation: vec![held_out],
    };
    let (dense, windows, mut told) = (model(device), windows(), Vec::new());
    let mut hear = |done: usize, _: usize, what: &str| {
        let what = what.split([',', '/']).next().unwrap_or_default();
        told.push(format!("{done} {what}"));
        assert!(!kills(&told[told.len() - 1]), "killed");
    };
    let work = || {
        let mut run = Run::new(&dense, &windows, 3, &mut hear)
            .with(recovery, None)
            .keeping(keeping);
        let applied = Recipe::parse(&RECIPE).unwrap().apply(&mut run).unwrap();
        let values = |(name, tensor): (String, &Tensor)| (name, tensor.to_f64_vec().unwrap());
        Left {
            graph: format!("{:?}", run.model.graph),
            parameters: run.model.parameters().into_iter().map(values).collect(),
            details: applied.methods.into_iter().map(|report| report.details).collect(),
            tokens: run.budget().training_tokens,
        }
    };
    let left = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    (left.ok(), told)
}

fn every_step(folder: &std::path::Path, machine: &str) -> Option<Keeping> {
    Some(Keeping {
        folder: folder.to_path_buf(),
        every: Duration::ZERO,
        machine: machine.to_owned(),
    })
}

#[test]
fn a_phase_without_data_is_refused_before_anything_is_done() {
    let device = Device::available()[0];
    let (dense, windows, mut quiet) = (model(&device), windows(), |_: usize, _: usize, _: &str| {});
    let mut run = Run::new(&dense, &windows, 3, &mut quiet);
    let refusal = Recipe::parse(&RECIPE).unwrap().apply(&mut run).unwrap_err().to_string();
    assert!(refusal.contains("toy needs data to train on"), "{refusal}");
    assert_eq!(run.model.blocks.len(), BLOCKS);
}

#[test]
fn it_borrows_gates_and_learns() {
    for device in Device::available() {
        let (left, _) = apply(&device, None, |_| false);
        let left = left.unwrap();
        let strength = left.details[1]["strength"].as_f64().unwrap();
        assert!(
            strength != 0.5 && left.details[1]["passes"] == 10.0,
            "{device}: {strength}"
        );
        let parameter = |name: String| {
            left.parameters
                .iter()
                .find(|(found, _)| *found == name)
                .map(|(_, values)| values)
        };
        // One block was removed, and the last of the others runs twice.
        assert!(parameter(format!("model.layers.{}.input_layernorm.weight", BLOCKS - 1)).is_some());
        assert!(parameter(format!("model.layers.{}.mlp.up_proj.weight", BLOCKS - 1)).is_none());
    }
}

#[test]
fn a_recipe_killed_in_either_phase_goes_on_to_the_last_bit_and_trains_nothing_twice() {
    for device in Device::available() {
        let (wanted, _) = apply(&device, None, |_| false);
        assert!(wanted.is_some());
        let folder = tempfile::tempdir().unwrap();
        let go_on = |kills: &str| {
            let (left, told) = apply(&device, every_step(folder.path(), "this"), |told| {
                told.starts_with(kills)
            });
            let trained = told.iter().filter(|told| told.contains(": loss")).cloned();
            (
                left,
                trained
                    .map(|told| told.split(" 0").next().unwrap_or_default().to_owned())
                    .collect::<Vec<_>>(),
            )
        };
        let steps = |told: &[String]| -> Vec<String> {
            let step = |told: &String| told.split(": loss").next().unwrap_or_default().to_owned();
            told.iter().map(step).collect()
        };
        let (left, told) = go_on("3 toy: loss");
        assert!(left.is_none());
        assert_eq!(steps(&told), ["1 toy", "2 toy", "3 toy"]);
        let (left, told) = go_on("2 finetune: loss");
        assert!(left.is_none());
        assert_eq!(steps(&told), ["4 toy", "5 toy", "1 finetune", "2 finetune"]);
        let (left, told) = go_on("nothing");
        assert_eq!(steps(&told), ["3 finetune", "4 finetune", "5 finetune"]);
        assert_eq!(left, wanted, "{device}");
        // All of it is there, for a cell whose measuring failed.
        let (left, told) = go_on("nothing");
        assert_eq!((left, told.len()), (wanted, 0), "{device}");
    }
}

#[test]
fn what_another_machine_or_another_version_left_is_said_and_not_gone_on_with() {
    let device = Device::available()[0];
    let folder = tempfile::tempdir().unwrap();
    let (wanted, _) = apply(&device, every_step(folder.path(), "this"), |_| false);
    let (left, told) = apply(&device, every_step(folder.path(), "that"), |_| false);
    assert_eq!(left, wanted);
    let afresh: Vec<&String> = told.iter().filter(|told| told.contains("starts afresh")).collect();
    assert_eq!(afresh.len(), 2, "{told:?}");
    for state in ["0-toy/step-00000005/state.json", "1-finetune/step-00000005/state.json"] {
        std::fs::write(folder.path().join(state), "{").unwrap();
    }
    let (left, told) = apply(&device, every_step(folder.path(), "that"), |_| false);
    assert_eq!(left, wanted);
    assert_eq!(told.iter().filter(|told| told.contains("starts afresh")).count(), 2);
}
