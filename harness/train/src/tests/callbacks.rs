//! What a callback learns of its own, and what it makes of it.

use std::path::Path;

use prunebench_tensor::Tensor;

use super::*;
use crate::gradient::loss;
use crate::weights::Weights;

/// Gates of the channels of some FFNs.
fn channel_gates(graph: &Graph) -> Vec<String> {
    let gates = |block| format!("model.layers.{block}.mlp.channel_gates");
    (0..graph.blocks.len()).map(gates).collect()
}

/// [`rotary`] with gates of the channels of every FFN.
pub(super) fn gated() -> Graph {
    let mut graph = rotary();
    for shape in &mut graph.blocks {
        shape.ffn.iter_mut().for_each(|ffn| ffn.scales.unit_gates = true);
    }
    graph
}

/// How gates are made of the logits.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Gate {
    /// Gates are the logits.
    Identity,
    /// The hyperbolic tangent of the logits, moved by noise for each pass, and without it outside training.
    Noisy,
}

/// Domain, place and loss of an example.
type Told = (String, u64, Loss);

/// Learns one tensor of logits for all channels, and a multiplier that pulls their mean down.
pub(super) struct Masks {
    gate: Gate,
    width: usize,
    pub(super) names: Vec<String>,
    device: Device,
    pub(super) rates: Vec<Rate>,
    penalised: bool,
    /// Of each pass.
    seeds: Vec<u64>,
    /// Moving mean of the losses of the questions.
    questions: f64,
    losses: Vec<(Pass, Vec<Told>)>,
    validated: Vec<Moment>,
}

impl Masks {
    pub(super) fn new(gate: Gate, graph: &Graph, device: &Device) -> Self {
        let rate = |group, learning_rate| Rate {
            group,
            learning_rate,
            weight_decay: 0.0,
        };
        Self {
            gate,
            width: 12,
            names: channel_gates(graph),
            device: *device,
            rates: vec![rate("logits", 0.05), rate("multipliers", -0.1)],
            penalised: gate == Gate::Noisy,
            seeds: Vec::new(),
            questions: 0.0,
            losses: Vec::new(),
            validated: Vec::new(),
        }
    }

    fn made(&self, gates: &Tensor) -> Result<Made> {
        let gates_of = |(block, name): (usize, &String)| {
            let gates = gates.narrow(0, block * self.width, self.width)?;
            Ok((name.clone(), gates))
        };
        self.names.iter().enumerate().map(gates_of).collect()
    }

    /// tanh x = 1 − 2 / (1 + e^2x)
    fn tanh(&self, x: &Tensor) -> Result<Tensor> {
        let denominator = x.mul_scalar(2.0)?.exp()?.add_scalar(1.0)?;
        Ok(denominator.powf(-1.0)?.mul_scalar(-2.0)?.add_scalar(1.0)?)
    }

    fn settled(&self, leaves: &Leaves) -> Result<Tensor> {
        match self.gate {
            Gate::Identity => Ok(leaves["logits"].clone()),
            Gate::Noisy => self.tanh(&leaves["logits"]),
        }
    }
}

impl Callback for Masks {
    fn leaves(&self) -> Result<Vec<Leaf>> {
        let count = self.names.len() * self.width;
        let leaf = |name: &str, values: Vec<f32>, group| -> Result<Leaf> {
            Ok(Leaf {
                name: name.to_owned(),
                value: Tensor::from_slice(&values, &[values.len()], &self.device)?,
                group,
            })
        };
        let mut leaves = vec![leaf("logits", vec![1.0; count], "logits")?];
        if self.penalised {
            leaves.push(leaf("multiplier", vec![0.0], "multipliers")?);
        }
        Ok(leaves)
    }

    fn rates(&self) -> Vec<Rate> {
        let of = |rate: &&Rate| self.penalised || rate.group != "multipliers";
        self.rates.iter().filter(of).copied().collect()
    }

    fn makes(&self) -> Vec<String> {
        self.names.clone()
    }

    fn before_pass(&mut self, pass: &Pass, leaves: &Leaves) -> Result<Made> {
        self.seeds.push(pass.seed);
        if self.gate == Gate::Identity {
            return self.made(&leaves["logits"]);
        }
        let logits = &leaves["logits"];
        let noise = Tensor::randn(&logits.shape(), pass.seed, DType::F32, &self.device)?;
        self.made(&self.tanh(&logits.add(&noise.mul_scalar(0.1)?)?)?)
    }

    fn passed(&mut self, pass: &Pass, losses: &[(&Example, Loss)]) -> Result<()> {
        let told = losses
            .iter()
            .map(|(example, loss)| (example.domain.to_string(), example.id, *loss));
        self.losses.push((*pass, told.collect()));
        for (_, loss) in losses.iter().filter(|(example, _)| &*example.domain == "questions") {
            self.questions = 0.9 * self.questions + 0.1 * loss.sum;
        }
        Ok(())
    }

    /// λ (mean gate − 0.6 + 0.1 t/T)
    fn penalty(&mut self, at: &Moment, leaves: &Leaves) -> Result<Option<Tensor>> {
        if !self.penalised {
            return Ok(None);
        }
        let wanted = 0.6 - 0.1 * at.step as f64 / at.steps as f64;
        let excess = self.settled(leaves)?.mean_all()?.add_scalar(-wanted)?;
        Ok(Some(excess.mul(&leaves["multiplier"])?.sum_all()?))
    }

    fn updated(&mut self, _: &Moment, weights: &Weights) -> Result<()> {
        // At most 2, as a method keeps its logits in their range.
        let logits = weights.leaves()["logits"];
        Ok(logits.write_slice(0, 0, &logits.clamp(-2.0, 2.0)?)?)
    }

    fn before_validation(&mut self, _: &Moment, leaves: &Leaves) -> Result<Made> {
        self.made(&self.settled(leaves)?)
    }

    fn validated(&mut self, at: &Moment, _: &[(String, Loss)], mixture: &mut Mixture) -> Result<()> {
        self.validated.push(*at);
        mixture.set_proportions(&[1.0, 0.1 + self.questions])
    }

    fn configuration(&self) -> Option<(&'static str, serde_json::Value)> {
        Some(("masks", self.width.into()))
    }

    fn state(&self) -> Result<Vec<(String, Tensor)>> {
        let questions = Tensor::from_slice(&[self.questions], &[1], &self.device)?;
        Ok(vec![("questions".to_owned(), questions)])
    }

    fn restore(&mut self, state: BTreeMap<String, Tensor>) -> Result<()> {
        self.questions = state["questions"].to_f64()?;
        Ok(())
    }
}

fn in_parts(steps: u64) -> Settings {
    Settings {
        micro_batch: Some(2),
        validate_every: Some(2),
        clip: Some(1.0),
        ..settings(steps)
    }
}

fn sets() -> Vec<Validation> {
    vec![validated("text", &[&[0, 7, 4, 2]])]
}

#[test]
fn gates_that_are_made_of_a_leaf_learn_as_gates_that_are_trained() {
    for device in devices() {
        let decoder = decoder(gated(), DType::F32, &device);
        let names = channel_gates(&decoder.graph);
        let groups = vec![Group {
            names: vec!["channel_gates".to_owned()],
            learning_rate: Some(0.05),
            weight_decay: None,
        }];
        let with_groups = Settings { groups, ..in_parts(5) };
        let wanted = values(&trained(&decoder, Trainable::All, with_groups, &mut []).decoder);
        let mut masks = Masks::new(Gate::Identity, &decoder.graph, &device);
        let got = trained(&decoder, Trainable::All, in_parts(5), &mut [&mut masks]);
        let logits = got.leaves["logits"].to_f64_vec().unwrap();
        assert!(got.leaves.len() == 1 && logits.iter().all(|&logit| logit != 1.0 && logit < 2.0));
        let got = values(&got.decoder);
        let difference = largest_difference(&got, &wanted);
        assert!(difference < 1e-6, "{device}: {difference}");
        let gates: Vec<f64> = names.iter().flat_map(|name| got[name].clone()).collect();
        assert_eq!(gates, logits, "{device}");
    }
}

/// With so large an epsilon the first change is almost the gradient, −g / (|g| + 1), from which it can be had again.
#[test]
fn gradients_reach_leaves_through_what_is_made_and_through_penalties() {
    for device in devices() {
        let decoder = decoder(gated(), DType::F64, &device);
        let wide = Settings {
            eps: 1.0,
            clip: None,
            batch: 1,
            ..settings(1)
        };
        let mut masks = Masks::new(Gate::Noisy, &decoder.graph, &device);
        masks.rates.iter_mut().for_each(|rate| rate.learning_rate = 1.0);
        let got = trained(
            &decoder,
            Trainable::Named(vec!["model.norm".to_owned()]),
            wide,
            &mut [&mut masks],
        );
        let gradient = |leaf: &str, start: f64| -> Vec<f64> {
            let after = got.leaves[leaf].to_f64_vec().unwrap();
            after
                .into_iter()
                .map(|x| (start - x) / (1.0 - (x - start).abs()))
                .collect()
        };
        let sequence = mixture_of(6, 3).next_sequence();
        let batch = Batch::new(&[sequence], false);
        let seed = masks.seeds[0];
        // The loss with gates of these logits in this pass. The multiplier is 0, so the penalty has no gradient here.
        let at = |index: usize, shift: f32| {
            let mut logits = vec![1.0f32; 36];
            logits[index] += shift;
            let leaves = Leaves::from([(
                "logits".to_owned(),
                Tensor::from_slice(&logits, &[36], &device)
                    .unwrap()
                    .to_dtype(DType::F64)
                    .unwrap(),
            )]);
            let pass = Pass {
                at: Moment { step: 1, steps: 1 },
                index: 0,
                seed,
            };
            let mut fresh = Masks::new(Gate::Noisy, &decoder.graph, &device);
            let logits = leaves["logits"].to_dtype(DType::F32).unwrap();
            let made = fresh
                .before_pass(&pass, &Leaves::from([("logits".to_owned(), logits)]))
                .unwrap();
            let made: BTreeMap<String, Tensor> = made.into_iter().collect();
            let with = decoder.map_parameters(|name, tensor| match made.get(name) {
                Some(gates) => Ok(gates.to_dtype(DType::F64)?),
                None => Ok(tensor.clone()),
            });
            loss(&with.unwrap(), &batch).unwrap().mean()
        };
        for (index, got) in gradient("logits", 1.0).into_iter().enumerate().step_by(5) {
            let wanted = (at(index, 0.02) - at(index, -0.02)) / 0.04;
            assert!(
                (got - wanted).abs() < 2e-4 + 2e-2 * wanted.abs(),
                "{device}: {index}: {got}, wanted {wanted}"
            );
        }
        // Ascent: the gradient of the multiplier is what it multiplies, tanh 1 − ½.
        let multiplier = gradient("multiplier", 0.0)[0];
        let wanted = 1f64.tanh() - 0.5;
        assert!(
            (multiplier - wanted).abs() < 1e-5,
            "{device}: {multiplier}, wanted {wanted}"
        );
    }
}

#[test]
fn a_multiplier_with_a_negative_rate_ascends_and_its_penalty_is_told() {
    for device in devices() {
        let decoder = decoder(gated(), DType::F32, &device);
        let run = |penalised| {
            let mut masks = Masks::new(Gate::Noisy, &decoder.graph, &device);
            masks.penalised = penalised;
            trained(&decoder, Trainable::All, in_parts(10), &mut [&mut masks])
        };
        let (got, free) = (run(true), run(false));
        let multiplier = got.leaves["multiplier"].to_f64().unwrap();
        assert!(multiplier > 0.5, "{device}: {multiplier}");
        let logits = |trained: &Trained| -> f64 { trained.leaves["logits"].to_f64_vec().unwrap().iter().sum() };
        assert!(logits(&got) < logits(&free), "{device}");
        assert!(free.entries.iter().all(|entry| entry.penalty.is_none()));
        let penalties: Vec<f64> = got.entries.iter().filter_map(|entry| entry.penalty).collect();
        assert_eq!(penalties.len(), got.entries.len());
        assert_eq!(penalties[0], 0.0, "{device}: the multiplier starts at 0");
        assert!(penalties[penalties.len() - 1] != 0.0);
    }
}

#[test]
fn a_callback_hears_of_every_example_and_draws_anew_for_every_pass() {
    for device in devices() {
        let decoder = decoder(gated(), DType::F32, &device);
        let heard = |seed| {
            let mut masks = Masks::new(Gate::Noisy, &decoder.graph, &device);
            let mut steps = Vec::new();
            let mut trainer = Trainer::new(&decoder, Trainable::All, in_parts(4), mixture(3), sets(), seed).unwrap();
            trainer.call(&mut masks).unwrap();
            trainer.train(&mut |entry| steps.push(entry.loss)).unwrap();
            drop(trainer);
            (masks, steps)
        };
        let (masks, steps) = heard(5);
        assert_eq!(masks.losses.len(), 8, "two passes a step");
        let mut seeds = masks.seeds.clone();
        seeds.sort_unstable();
        seeds.dedup();
        assert_eq!(seeds.len(), 8);
        assert_eq!(heard(5).0.seeds, masks.seeds);
        assert_ne!(heard(6).0.seeds, masks.seeds);
        for (step, loss) in (1..).zip(steps) {
            let passes: Vec<_> = masks.losses.iter().filter(|(pass, _)| pass.at.step == step).collect();
            assert!(
                passes
                    .iter()
                    .enumerate()
                    .all(|(index, (pass, _))| pass.index == index && pass.at.steps == 4)
            );
            let examples = || passes.iter().flat_map(|(_, examples)| examples);
            assert_eq!(examples().count(), 4);
            let sum: f64 = examples().map(|(.., loss)| loss.sum).sum();
            let predictions: u64 = examples().map(|(.., loss)| loss.predictions).sum();
            assert!(
                (sum / predictions as f64 - loss).abs() < 1e-5,
                "{device}: {sum}, {predictions}, {loss}"
            );
            for (domain, id, loss) in examples() {
                match domain.as_str() {
                    "text" => assert!(*id < 294 && loss.predictions == 6),
                    "questions" => assert!(*id < 9 && loss.predictions < 7),
                    other => panic!("{other}"),
                }
            }
        }
        let validated: Vec<u64> = masks.validated.iter().map(|at| at.step).collect();
        assert_eq!(validated, [2, 4]);
    }
}

#[test]
fn the_finished_model_has_what_is_made_outside_training() {
    for device in devices() {
        let decoder = decoder(gated(), DType::F32, &device);
        for keep_best in [false, true] {
            let settings = Settings {
                keep_best,
                // Ascent, so that the first validation is the best.
                learning_rate: -1e-2,
                ..in_parts(6)
            };
            let mut masks = Masks::new(Gate::Noisy, &decoder.graph, &device);
            let mut trainer = Trainer::new(&decoder, Trainable::All, settings, mixture(3), sets(), 5).unwrap();
            trainer.call(&mut masks).unwrap();
            trainer.train(&mut |_| {}).unwrap();
            let got = trainer.finish().unwrap();
            let wanted = masks
                .before_validation(&Moment { step: 6, steps: 6 }, &got.leaves)
                .unwrap();
            let parameters = values(&got.decoder);
            for (name, gates) in wanted {
                assert_eq!(parameters[&name], gates.to_f64_vec().unwrap(), "{device}: {name}");
            }
            assert_eq!(got.best.map(|best| best.step), keep_best.then_some(2), "{device}");
        }
    }
}

/// Ends a run as a kill would, in the middle of a step.
struct Kill(u64);

impl Callback for Kill {
    fn updated(&mut self, at: &Moment, _: &Weights) -> Result<()> {
        match at.step == self.0 {
            true => Err(TrainError::Data("killed".to_owned())),
            false => Ok(()),
        }
    }
}

#[test]
fn a_run_with_leaves_rates_and_state_goes_on_bit_by_bit() {
    for device in devices() {
        let decoder = decoder(gated(), DType::F32, &device);
        let run = |folder: &Path, kill: u64| {
            let (mut masks, mut kill) = (Masks::new(Gate::Noisy, &decoder.graph, &device), Kill(kill));
            let settings = Settings {
                keep_best: true,
                ..in_parts(9)
            };
            let mut trainer = Trainer::new(&decoder, Trainable::All, settings, mixture(3), sets(), 5)?;
            trainer.call(&mut masks)?;
            trainer.call(&mut kill)?;
            trainer.checkpoint_to(Checkpoints::new(folder.to_path_buf(), 2));
            trainer.resume()?;
            trainer.train(&mut |_| {})?;
            let trained = trainer.finish()?;
            let leaves: Vec<Vec<f64>> = trained.leaves.values().map(|leaf| leaf.to_f64_vec().unwrap()).collect();
            let entries: Vec<String> = trained
                .entries
                .into_iter()
                .map(|entry| format!("{:?}", (entry.step, entry.loss, entry.penalty, entry.validation)))
                .collect();
            let last = std::fs::read(folder.join("step-00000008/tensors.safetensors")).unwrap();
            Ok::<_, TrainError>((values(&trained.decoder), leaves, masks.questions, entries, last))
        };
        let [whole, stopped] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let wanted = run(whole.path(), 0).unwrap();
        for kill in [4, 7] {
            let error = run(stopped.path(), kill).unwrap_err().to_string();
            assert!(error.contains("killed"), "{error}");
        }
        assert!(run(stopped.path(), 0).unwrap() == wanted, "{device}");
    }
}
