//! `sleb`: one block after another removed, each time the one whose removal costs the least likelihood.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config::parse_strict;
use crate::depth::{Depth, sequential_blocks};
use crate::residual::lowest;
use crate::{Basis, Card, Entry, Error, Family, Method, Need, Ratio, Report, Result, Run};

static CARD: Card = Card {
    id: "sleb",
    title: "SLEB",
    summary: "removes blocks one by one, by the loss",
    paper: "Song et al., SLEB: Streamlining LLMs through Redundancy Verification and Elimination of Transformer Blocks (arXiv \
            2402.09025)",
    family: Family::Depth,
    changes: "removes blocks",
    example: "sleb(ratio=0.2)",
    needs: &[Need::CalibrationText],
    version: 1,
    deviations: &[
        "calibration text is what the run gives; the authors' is the first 128 lines of WikiText-2, shuffled",
        "a ratio rounds down to blocks, as in the other methods that remove blocks; the authors round up",
    ],
    readme: include_str!("README.md"),
};

pub(crate) const ENTRY: Entry = Entry {
    card: &CARD,
    parse: |table| {
        let config: Config = parse_strict(CARD.id, table)?;
        let depth = Depth::new(CARD.id, config.ratio, config.blocks)?;
        Ok(Box::new(Sleb { config, depth }))
    },
};

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio: Option<Ratio>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blocks: Option<usize>,
}

#[derive(Debug)]
struct Sleb {
    config: Config,
    depth: Depth,
}

/// The first and the last of the blocks left are never removed.
const PROTECTED: usize = 2;

impl Method for Sleb {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn config(&self) -> Value {
        json!(self.config)
    }

    fn shared_work(&self) -> Option<String> {
        Some("losses without each block".to_owned())
    }

    fn apply(&self, run: &mut Run) -> Result<Report> {
        let mut alive = sequential_blocks(CARD.id, &run.model.graph)?;
        let total = alive.len();
        let count = self.depth.count(CARD.id, total)?;
        if count + PROTECTED > total {
            return Err(Error::Config {
                what: CARD.id.to_string(),
                detail: format!(
                    "{count} of {total} blocks asked for, but the first and the last stay; at most {} is wanted",
                    total.saturating_sub(PROTECTED)
                ),
            });
        }
        let before = run.shared("before", |run| run.loss(&run.model.clone()))?;
        let (mut removed, mut losses) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for _ in 0..count {
            // The order of removal is the same whatever the number, so each step of it is a part.
            let candidates = run.shared(("after", &removed), losses_without_each)?;
            // A candidate that overflows is no choice.
            let comparable: Vec<f64> = candidates.iter().map(|loss| loss.min(f64::INFINITY)).collect();
            let best = lowest(&comparable, 1)[0];
            if !candidates[best].is_finite() {
                return Err(Error::Model {
                    method: CARD.id,
                    detail: "the loss on the calibration text is not finite whichever block is removed; load the model as f32"
                        .to_string(),
                });
            }
            losses.push(candidates[best]);
            // The first step has no candidate.
            removed.push(alive.remove(best + 1));
            run.model
                .remove_blocks(&[run.model.graph.steps[best + 1].blocks()[0]])?;
            run.progress(removed.len(), count, "blocks removed");
        }
        let details = json!({ "loss_before": before, "loss_after_each": losses, "removed_blocks": removed });
        Ok(Report::of(Basis::Blocks, Some(self.depth.nominal(total)), details))
    }
}

/// Mean nats per token of the calibration text without each step but the first and the last, in order. The steps before the one
/// left out run once for all.
fn losses_without_each(run: &mut Run) -> Result<Vec<f64>> {
    let steps = run.model.graph.steps.len();
    let mut streams = run.streams()?;
    let mut losses = Vec::with_capacity(steps.saturating_sub(PROTECTED));
    for step in 1..steps.saturating_sub(1) {
        streams = run.step(step - 1, &streams, &mut |_, _| Ok(()))?;
        let mut without = run.model.clone();
        without.graph.steps.remove(step);
        losses.push(run.loss_from(&without, step, &streams)?);
    }
    Ok(losses)
}

#[cfg(test)]
mod tests {
    use prunebench_model::Decoder;
    use prunebench_tensor::Device;

    use crate::fixture::{BLOCKS, Outcome, adders, apply, apply_with, model, refusal, removed, windows};

    /// Blocks that add (0, c) to an embedding of (1, 1), whose logits are the normed stream; every token is the first of two.
    fn planted(device: &Device) -> Decoder {
        adders(
            device,
            [1.0, 1.0],
            &[[0.0, 0.0], [0.0, 3.0], [0.0, 2.5], [0.0, 0.1], [0.0, -4.6], [0.0, 0.0]],
        )
    }

    fn numbers(outcome: &Outcome, key: &str) -> Vec<f64> {
        serde_json::from_value(outcome.report.details[key].clone()).unwrap()
    }

    /// ln(1 + exp(−(u − v) / sqrt((u² + v²) / 2))): the loss of the first of two tokens at the stream (u, v).
    fn loss(u: f64, v: f64) -> f64 {
        (1.0 + (-(u - v) / ((u * u + v * v) / 2.0).sqrt()).exp()).ln()
    }

    #[test]
    fn the_second_block_is_chosen_on_the_model_without_the_first() {
        // The stream ends at (1, 2). Without block 1 at (1, −1), the best there is; without block 2 at (1, −0.5), the second
        // best. But with block 1 gone, losing block 2 leads to (1, −3.5) and losing block 3 to (1, −1.1).
        for device in Device::available() {
            let outcome = apply_with("sleb(blocks=2)", &planted(&device), 0, &[vec![0; 5], vec![0; 3]]).unwrap();
            assert_eq!(removed(&outcome), [1, 3]);
            let before = outcome.report.details["loss_before"].as_f64().unwrap();
            let found = [vec![before], numbers(&outcome, "loss_after_each")].concat();
            for (found, wanted) in found.iter().zip([loss(1.0, 2.0), loss(1.0, -1.0), loss(1.0, -1.1)]) {
                assert!((found - wanted).abs() < 1e-5, "{found}, want {wanted}");
            }
        }
    }

    #[test]
    fn the_first_and_the_last_block_stay_though_their_loss_is_lowest() {
        let device = Device::available()[0];
        let harmful = [[0.0, 9.0], [0.0, 1.0], [0.0, 1.0], [0.0, 9.0]];
        let outcome = apply_with(
            "sleb(blocks=2)",
            &adders(&device, [1.0, 1.0], &harmful),
            0,
            &[vec![0; 4]],
        )
        .unwrap();
        // Of equal losses the first.
        assert_eq!(removed(&outcome), [1, 2]);
    }

    #[test]
    fn each_loss_is_that_of_the_model_left_on_every_engine() {
        let windows = windows();
        for device in Device::available() {
            let model = model(&device);
            let outcome = apply("sleb(blocks=2)", &model, 0).unwrap();
            let (gone, losses) = (removed(&outcome), numbers(&outcome, "loss_after_each"));
            for (count, found) in (1..=2).zip(losses) {
                let mean = |removed: &[usize]| {
                    let mut left = model.clone();
                    left.remove_blocks(removed).unwrap();
                    let windows: Vec<&[u32]> = windows.iter().map(Vec::as_slice).collect();
                    let nll = left.negative_log_likelihood(&windows).unwrap().concat();
                    nll.iter().sum::<f64>() / nll.len() as f64
                };
                assert!((found - mean(&gone[..count])).abs() < 1e-5);
                for other in (1..BLOCKS - 1).filter(|block| !gone[..count].contains(block)) {
                    let others = [&gone[..count - 1], &[other]].concat();
                    assert!(mean(&others) > found - 1e-5, "{others:?}");
                }
            }
        }
    }

    #[test]
    fn forward_passes_are_counted_in_steps() {
        let outcome = apply("sleb(blocks=2)", &model(&Device::available()[0]), 0).unwrap();
        // The model before: 1. Of 6 blocks: 4 to begin with, and 4 + 3 + 2 + 1 after those left out. Of 5: 3 and 3 + 2 + 1.
        let passes: f64 = 1.0 + 14.0 / 6.0 + 9.0 / 5.0;
        assert_eq!(outcome.budget.forward_passes, (3.0 * passes).ceil() as u64);
        assert_eq!(outcome.budget.calibration_tokens, 48);
    }

    #[test]
    fn seeds_make_no_difference() {
        let model = model(&Device::available()[0]);
        let of = |seed| removed(&apply("sleb(ratio=0.5)", &model, seed).unwrap());
        assert_eq!(of(0), of(1));
        assert_eq!(of(0).len(), 3);
    }

    #[test]
    fn more_blocks_than_may_go_are_refused() {
        assert_eq!(
            refusal("sleb(blocks=5)"),
            "sleb: 5 of 6 blocks asked for, but the first and the last stay; at most 4 is wanted"
        );
        assert!(refusal("sleb(ratio=0.16)").contains("removes nothing"));
    }

    #[test]
    fn a_window_without_a_prediction_and_a_loss_without_end_are_errors() {
        let device = Device::available()[0];
        let error = apply_with("sleb(blocks=1)", &planted(&device), 0, &[vec![0]])
            .err()
            .unwrap();
        assert!(error.to_string().contains("one token predicts nothing"), "{error}");
        let endless = adders(&device, [1.0, 1.0], &[[f32::INFINITY, 0.0]; 4]);
        let error = apply_with("sleb(blocks=1)", &endless, 0, &[vec![0; 4]]).err().unwrap();
        assert!(error.to_string().contains("not finite whichever block"), "{error}");
    }
}
