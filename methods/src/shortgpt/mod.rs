//! `shortgpt`: the blocks removed that turn the residual stream least.

use prunebench_model::{Decoder, Place};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config::parse_strict;
use crate::depth::{Depth, sequential_blocks};
use crate::residual::{cosine, lowest};
use crate::{Basis, Card, Entry, Error, Family, Method, Need, Ratio, Report, Result, Run};

static CARD: Card = Card {
    id: "shortgpt",
    title: "ShortGPT",
    summary: "removes blocks that turn the stream least",
    paper: "Men et al., ShortGPT: Layers in Large Language Models are More Redundant Than You Expect (arXiv 2403.03853)",
    family: Family::Depth,
    changes: "removes blocks",
    example: "shortgpt(ratio=0.3)",
    needs: &[Need::CalibrationText],
    version: 1,
    deviations: &["calibration text is what the run gives; the paper's is PG19"],
    readme: include_str!("README.md"),
};

pub(crate) const ENTRY: Entry = Entry {
    card: &CARD,
    parse: |table| {
        let config: Config = parse_strict(CARD.id, table)?;
        let depth = Depth::new(CARD.id, config.ratio, config.blocks)?;
        Ok(Box::new(ShortGpt { config, depth }))
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
struct ShortGpt {
    config: Config,
    depth: Depth,
}

/// Block influence of each step: 1 − mean over all tokens of cos(x, step(x)), x the raw residual stream, in f64 (ShortGPT,
/// equation 1). Where a stream is zero the cosine counts as 0.5.
///
/// # Errors
/// No windows, an operation that fails, or activations that are not finite.
pub fn block_influence(decoder: &Decoder, windows: &[Vec<u32>]) -> Result<Vec<f64>> {
    let mut quiet = |_: usize, _: usize, _: &str| {};
    influence(&mut Run::new(decoder, windows, 0, &mut quiet))
}

fn influence(run: &mut Run) -> Result<Vec<f64>> {
    Need::CalibrationText.check(CARD.id, run)?;
    let hidden = run.model.graph.hidden_size;
    let mut sums = vec![0.0; run.model.graph.steps.len()];
    let mut tokens = vec![0_usize; sums.len()];
    let mut before = Vec::new();
    run.forward("block influence", &mut |place, x| {
        if let Place::Residual(index) = place {
            let after = x.to_f64_vec()?;
            if let Some(step) = index.checked_sub(1) {
                for (x, y) in before.chunks(hidden).zip(after.chunks(hidden)) {
                    let zero = [x, y].iter().any(|v| v.iter().all(|&v| v == 0.0));
                    sums[step] += if zero { 0.5 } else { cosine(x, y) };
                    tokens[step] += 1;
                }
            }
            before = after;
        }
        Ok(())
    })?;
    let scores: Vec<f64> = sums
        .iter()
        .zip(&tokens)
        .map(|(sum, &tokens)| 1.0 - sum / tokens as f64)
        .collect();
    match scores.iter().position(|score| !score.is_finite()) {
        None => Ok(scores),
        Some(step) => Err(Error::Model {
            method: CARD.id,
            detail: format!(
                "the residual stream at step {step} is not finite on the calibration text; load the model as f32"
            ),
        }),
    }
}

impl Method for ShortGpt {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn config(&self) -> Value {
        json!(self.config)
    }

    fn shared_work(&self) -> Option<String> {
        Some("block influence".to_owned())
    }

    fn apply(&self, run: &mut Run) -> Result<Report> {
        let order = sequential_blocks(CARD.id, &run.model.graph)?;
        let count = self.depth.count(CARD.id, order.len())?;
        let scores = run.shared("all blocks", influence)?;
        let removed: Vec<usize> = lowest(&scores, count).into_iter().map(|step| order[step]).collect();
        run.model.remove_blocks(&removed)?;
        let details = json!({ "block_influence": scores, "removed_blocks": removed });
        Ok(Report::of(
            Basis::Blocks,
            Some(self.depth.nominal(order.len())),
            details,
        ))
    }
}

#[cfg(test)]
mod tests {
    use prunebench_tensor::{DType, Device, Tensor};

    use super::*;
    use crate::fixture::{BLOCKS, HIDDEN, apply, make_identity, model, refusal, removed, windows};

    #[test]
    fn a_block_that_passes_its_input_through_has_no_influence_and_goes_first() {
        for device in Device::available() {
            for planted in 0..BLOCKS {
                let mut model = model(&device);
                make_identity(&mut model, planted);
                let scores = block_influence(&model, &windows()).unwrap();
                assert!(
                    scores[planted].abs() < 1e-12 && scores.iter().filter(|s| s.abs() < 1e-6).count() == 1,
                    "{scores:?}"
                );
                let outcome = apply("shortgpt(blocks=1)", &model, 0).unwrap();
                assert_eq!(removed(&outcome), [planted]);
                assert_eq!(outcome.model.blocks.len(), BLOCKS - 1);
            }
        }
    }

    #[test]
    fn the_lowest_scores_go_and_every_score_is_reported() {
        let model = model(&Device::available()[0]);
        let scores = block_influence(&model, &windows()).unwrap();
        let outcome = apply("shortgpt(ratio=0.5)", &model, 0).unwrap();
        let gone = removed(&outcome);
        assert_eq!(gone.len(), 3);
        let most = gone.iter().map(|&block| scores[block]).fold(0.0, f64::max);
        assert!(
            (0..BLOCKS)
                .filter(|block| !gone.contains(block))
                .all(|block| scores[block] >= most)
        );
        assert_eq!(outcome.report.details["block_influence"], json!(scores));
        assert_eq!(outcome.budget.forward_passes, 3);
    }

    #[test]
    fn the_score_is_one_minus_the_cosine_of_raw_streams() {
        let device = Device::available()[0];
        let mut model = model(&device);
        // Only one residual update is left in the model: x + f(x) against x.
        (1..BLOCKS).for_each(|block| make_identity(&mut model, block));
        let streams = |decoder: &Decoder| {
            let mut seen = Vec::new();
            let ids = decoder.ids(&[&windows()[0]]).unwrap();
            let tap = &mut |place, x: &Tensor| {
                seen.extend(
                    matches!(place, Place::Residual(0 | 1))
                        .then(|| x.to_f64_vec())
                        .transpose()?,
                );
                Ok(())
            };
            decoder.hidden(&ids, None, tap).unwrap();
            seen
        };
        let seen = streams(&model);
        let cosines = seen[0].chunks(HIDDEN).zip(seen[1].chunks(HIDDEN)).map(|(x, y)| {
            let dot: f64 = x.iter().zip(y).map(|(a, b)| a * b).sum();
            let (xx, yy): (f64, f64) = (x.iter().map(|a| a * a).sum(), y.iter().map(|a| a * a).sum());
            dot / (xx * yy).sqrt()
        });
        let wanted = 1.0 - cosines.sum::<f64>() / 16.0;
        assert!((block_influence(&model, &windows()[..1]).unwrap()[0] - wanted).abs() < 1e-12);
    }

    #[test]
    fn a_zero_stream_counts_as_a_cosine_of_one_half() {
        let device = Device::available()[0];
        let mut model = model(&device);
        model.embedding = Tensor::zeros(&[64, HIDDEN], DType::F32, &device).unwrap();
        assert_eq!(block_influence(&model, &windows()).unwrap(), [0.5; BLOCKS]);
    }

    #[test]
    fn a_stream_that_overflows_is_an_error() {
        let device = Device::available()[0];
        let mut model = model(&device);
        model.blocks[1].ffn.as_mut().unwrap().norm.gain = Tensor::full(&[HIDDEN], 1e30, DType::F32, &device).unwrap();
        assert!(
            block_influence(&model, &windows())
                .unwrap_err()
                .to_string()
                .contains("not finite")
        );
    }

    #[test]
    fn removing_no_block_or_all_is_refused() {
        assert_eq!(
            refusal("shortgpt(ratio=0.16)"),
            "shortgpt: key `ratio`: 0.16 of 6 blocks removes nothing; at least 1/6 is wanted"
        );
        assert_eq!(
            refusal("shortgpt(blocks=6)"),
            "shortgpt: key `blocks`: 6 of 6 blocks removes everything; at most 5 is wanted"
        );
    }

    #[test]
    fn blocks_that_run_in_parallel_are_refused() {
        use prunebench_model::graph::Step;
        let mut model = model(&Device::available()[0]);
        model.graph.steps = vec![
            Step::Block(0),
            Step::Parallel(vec![1, 2]),
            Step::Block(3),
            Step::Block(4),
            Step::Block(5),
        ];
        let error = apply("shortgpt(blocks=1)", &model, 0).err().unwrap().to_string();
        assert!(error.contains("step 1 is Parallel([1, 2])"), "{error}");
    }

    #[test]
    fn engines_remove_the_same_blocks() {
        let of = |device: &Device| removed(&apply("shortgpt(blocks=3)", &model(device), 0).unwrap());
        let first = of(&Device::available()[0]);
        assert!(Device::available().iter().all(|device| of(device) == first));
    }
}
