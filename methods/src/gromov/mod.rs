//! `gromov`: the run of consecutive blocks removed whose ends are nearest in angle, or simply the deepest blocks.

use std::f64::consts::PI;

use prunebench_model::{Decoder, Place};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config::parse_strict;
use crate::depth::{Depth, sequential_blocks};
use crate::residual::{cosine, lowest};
use crate::{Basis, Card, Entry, Error, Family, Method, Need, Ratio, Report, Result, Run};

static CARD: Card = Card {
    id: "gromov",
    title: "Unreasonable ineffectiveness of the deeper layers",
    summary: "removes the run that turns the stream least",
    paper: "Gromov et al., The Unreasonable Ineffectiveness of the Deeper Layers (arXiv 2403.17887)",
    family: Family::Depth,
    changes: "removes consecutive blocks",
    example: "gromov(ratio=0.3, variant=angular)",
    needs: &[Need::CalibrationText],
    version: 1,
    deviations: &[
        "no healing (the paper fine-tunes with QLoRA afterwards)",
        "calibration text is what the run gives",
        "the variant `deepest` follows an unverified recollection of the paper",
    ],
    readme: include_str!("README.md"),
};

pub(crate) const ENTRY: Entry = Entry {
    card: &CARD,
    parse: |table| {
        let config: Config = parse_strict(CARD.id, table)?;
        let depth = Depth::new(CARD.id, config.ratio, config.blocks)?;
        Ok(Box::new(Gromov { config, depth }))
    },
};

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio: Option<Ratio>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blocks: Option<usize>,
    #[serde(default)]
    variant: Variant,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Variant {
    #[default]
    Angular,
    Deepest,
}

#[derive(Debug)]
struct Gromov {
    config: Config,
    depth: Depth,
}

/// Angular distances d(l, l + n) between the residual stream before step l and before step l + n, for every l from 0 to L − n,
/// a list for each n in `spans`: arccos of the cosine at the last token, over π, averaged over the windows, in f64. All spans
/// come from one forward pass.
///
/// # Errors
/// A span of 0 or above L, no windows, an operation that fails, or a stream that is zero or not finite.
pub fn angular_distances(decoder: &Decoder, windows: &[Vec<u32>], spans: &[usize]) -> Result<Vec<Vec<f64>>> {
    let mut quiet = |_: usize, _: usize, _: &str| {};
    let mut run = Run::new(decoder, windows, 0, &mut quiet);
    let streams = last_tokens(&mut run)?;
    spans.iter().map(|&n| distances(&streams, n)).collect()
}

/// The residual stream at the last token: by window, then before each step and after the last.
fn last_tokens(run: &mut Run) -> Result<Vec<Vec<Vec<f64>>>> {
    Need::CalibrationText.check(CARD.id, run)?;
    let mut streams: Vec<Vec<Vec<f64>>> = Vec::with_capacity(run.calibration.len());
    run.forward("angular distance", &mut |place, x| {
        if let Place::Residual(index) = place {
            if index == 0 {
                streams.push(Vec::new());
            }
            let last = x.narrow(1, x.dim(1)? - 1, 1)?.to_f64_vec()?;
            if let Some(window) = streams.last_mut() {
                window.push(last);
            }
        }
        Ok(())
    })?;
    Ok(streams)
}

/// Mean over windows of the angular distance over `n` steps, from every step that has as many after it.
fn distances(streams: &[Vec<Vec<f64>>], n: usize) -> Result<Vec<f64>> {
    let fail = |detail: String| {
        Err(Error::Model {
            method: CARD.id,
            detail,
        })
    };
    let steps = streams.first().map_or(0, |window| window.len().saturating_sub(1));
    if n == 0 || n > steps {
        return fail(format!("a distance over {n} blocks asked for; 1 to {steps} is wanted"));
    }
    let mean = |l: usize| {
        let angles = streams
            .iter()
            .map(|window| cosine(&window[l], &window[l + n]).acos() / PI);
        angles.sum::<f64>() / streams.len() as f64
    };
    let distances: Vec<f64> = (0..=steps - n).map(mean).collect();
    match distances.iter().position(|distance| !distance.is_finite()) {
        None => Ok(distances),
        Some(l) => fail(format!(
            "the residual stream before step {l} or {} has no direction on the calibration text: it is zero or not finite; load \
             the model as f32",
            l + n
        )),
    }
}

impl Method for Gromov {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn config(&self) -> Value {
        json!(self.config)
    }

    fn needs(&self) -> &'static [Need] {
        match self.config.variant {
            Variant::Angular => CARD.needs,
            Variant::Deepest => &[],
        }
    }

    fn shared_work(&self) -> Option<String> {
        (self.config.variant == Variant::Angular).then(|| "residual streams at the last token".to_owned())
    }

    fn apply(&self, run: &mut Run) -> Result<Report> {
        let order = sequential_blocks(CARD.id, &run.model.graph)?;
        let total = order.len();
        let n = self.depth.count(CARD.id, total)?;
        let (first, mut details) = match self.config.variant {
            Variant::Angular => {
                let distances = distances(&run.shared("all steps", last_tokens)?, n)?;
                (lowest(&distances, 1)[0], json!({ "angular_distance": distances }))
            }
            // The last block is kept.
            Variant::Deepest => (total - 1 - n, json!({})),
        };
        let removed = order[first..first + n].to_vec();
        run.model.remove_blocks(&removed)?;
        details["removed_blocks"] = json!(removed);
        Ok(Report::of(Basis::Blocks, Some(self.depth.nominal(total)), details))
    }
}

#[cfg(test)]
mod tests {
    use prunebench_tensor::Device;

    use super::*;
    use crate::fixture::{BLOCKS, apply, apply_with, make_identity, model, removed, windows};

    fn distances_over(n: usize, model: &Decoder, windows: &[Vec<u32>]) -> Result<Vec<f64>> {
        Ok(angular_distances(model, windows, &[n])?.remove(0))
    }

    #[test]
    fn a_planted_run_of_blocks_that_pass_through_is_found() {
        for device in Device::available() {
            for (first, n) in [(0, 2), (2, 3), (BLOCKS - 2, 2)] {
                let mut model = model(&device);
                (first..first + n).for_each(|block| make_identity(&mut model, block));
                let distances = distances_over(n, &model, &windows()).unwrap();
                assert_eq!(distances.len(), BLOCKS - n + 1);
                assert!(distances[first] < 1e-7, "{distances:?}");
                let outcome = apply(&format!("gromov(blocks={n})"), &model, 0).unwrap();
                assert_eq!(removed(&outcome), (first..first + n).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn only_the_last_token_counts() {
        let model = model(&Device::available()[0]);
        let (mut a, mut b) = (windows()[0].clone(), windows()[0].clone());
        (a[15], b[15]) = (7, 7);
        // The last token sees the others through attention, so only a model without attention ignores them.
        let mut blind = model.clone();
        for block in &mut blind.blocks {
            let o = block.linear_mut(prunebench_model::LinearName::O).unwrap();
            o.weight = o.weight.mul_scalar(0.0).unwrap();
        }
        b[3] = 60;
        let (a, b) = ([a], [b]);
        assert_eq!(
            distances_over(2, &blind, &a).unwrap(),
            distances_over(2, &blind, &b).unwrap()
        );
        assert_ne!(
            distances_over(2, &model, &a).unwrap(),
            distances_over(2, &model, &b).unwrap()
        );
    }

    #[test]
    fn distances_are_averaged_over_windows_of_any_length() {
        let model = model(&Device::available()[0]);
        let windows = [windows()[0].clone(), windows()[1][..5].to_vec()];
        let both = distances_over(1, &model, &windows).unwrap();
        let each: Vec<_> = windows
            .iter()
            .map(|w| distances_over(1, &model, std::slice::from_ref(w)).unwrap())
            .collect();
        for (l, distance) in both.iter().enumerate() {
            assert!((distance - (each[0][l] + each[1][l]) / 2.0).abs() < 1e-12);
        }
    }

    #[test]
    fn of_equal_distances_the_first_is_taken() {
        let mut model = model(&Device::available()[0]);
        (0..BLOCKS).for_each(|block| make_identity(&mut model, block));
        assert_eq!(removed(&apply("gromov(blocks=2)", &model, 0).unwrap()), [0, 1]);
    }

    #[test]
    fn the_deepest_blocks_go_but_the_last_without_calibration_text() {
        let model = model(&Device::available()[0]);
        let outcome = apply_with("gromov(blocks=2, variant=deepest)", &model, 0, &[]).unwrap();
        assert_eq!(removed(&outcome), [3, 4]);
        assert_eq!(outcome.budget.forward_passes, 0);
        let outcome = apply_with("gromov(blocks=5, variant=deepest)", &model, 0, &[]).unwrap();
        assert_eq!(removed(&outcome), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn a_distance_over_no_block_or_too_many_is_refused() {
        let model = model(&Device::available()[0]);
        for n in [0, BLOCKS + 1] {
            assert!(
                distances_over(n, &model, &windows())
                    .unwrap_err()
                    .to_string()
                    .contains("1 to 6 is wanted")
            );
        }
        assert_eq!(distances_over(BLOCKS, &model, &windows()).unwrap().len(), 1);
    }

    #[test]
    fn no_windows_is_an_error_and_not_a_nan() {
        let model = model(&Device::available()[0]);
        assert!(
            distances_over(1, &model, &[])
                .unwrap_err()
                .to_string()
                .contains("needs calibration text")
        );
    }
}
