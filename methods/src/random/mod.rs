//! `random`: blocks or weights removed by lot, the floor under every method that claims to choose.

use prunebench_model::Decoder;
use rand::{SeedableRng, seq::index};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config::parse_strict;
use crate::weights::{apply_mask, prunable};
use crate::{Basis, Card, Entry, Family, Method, Ratio, Report, Result, Run};

static CARD: Card = Card {
    id: "random",
    title: "Random",
    summary: "removes blocks or zeros weights by lot",
    paper: "baseline",
    family: Family::Depth,
    changes: "removes blocks, or sets weights of the blocks' linears to zero",
    example: "random(ratio=0.3, unit=blocks)",
    needs: &[],
    version: 1,
    deviations: &[],
    readme: include_str!("README.md"),
};

pub(crate) const ENTRY: Entry = Entry {
    card: &CARD,
    parse: |table| Ok(Box::new(parse_strict::<Random>(CARD.id, table)?)),
};

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Random {
    ratio: Ratio,
    #[serde(default)]
    unit: Unit,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Unit {
    #[default]
    Blocks,
    Weights,
}

impl Random {
    fn blocks(&self, model: &mut Decoder, seed: u64) -> Result<Vec<usize>> {
        let count = self.ratio.floor_of(model.blocks.len(), "blocks", CARD.id)?;
        let mut removed = index::sample(&mut ChaCha8Rng::seed_from_u64(seed), model.blocks.len(), count).into_vec();
        removed.sort_unstable();
        model.remove_blocks(&removed)?;
        Ok(removed)
    }

    fn weights(&self, run: &mut Run, seed: u64) -> Result<()> {
        let targets = prunable(&run.model);
        for (number, &(block, name)) in targets.iter().enumerate() {
            let total = run.model.blocks[block]
                .linear(name)
                .map_or(0, |linear| linear.weight.elem_count());
            let count = self.ratio.round_of(total, "weights of a matrix", CARD.id)?;
            // A stream of its own for each matrix: what one draws does not move the others.
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            rng.set_stream(number as u64 + 1);
            let mut mask = vec![1.0; total];
            index::sample(&mut rng, total, count)
                .into_iter()
                .for_each(|zeroed| mask[zeroed] = 0.0);
            apply_mask(&mut run.model, block, name, &mask)?;
            run.progress(number + 1, targets.len(), "random weights");
        }
        Ok(())
    }
}

impl Method for Random {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn family(&self) -> Family {
        match self.unit {
            Unit::Blocks => Family::Depth,
            Unit::Weights => Family::Masks,
        }
    }

    fn config(&self) -> Value {
        json!(self)
    }

    fn is_stochastic(&self) -> bool {
        true
    }

    fn apply(&self, run: &mut Run) -> Result<Report> {
        let seed = run.seed(CARD.id)?;
        let (basis, details) = match self.unit {
            Unit::Blocks => {
                let removed = self.blocks(&mut run.model, seed)?;
                (Basis::Blocks, json!({ "removed_blocks": removed }))
            }
            Unit::Weights => {
                self.weights(run, seed)?;
                (Basis::EachMatrix, json!({}))
            }
        };
        Ok(Report::of(basis, Some(self.ratio.value()), details))
    }
}

#[cfg(test)]
mod tests {
    use prunebench_tensor::Device;

    use crate::fixture::{BLOCKS, apply, model, refusal, removed, zeros};

    #[test]
    fn every_matrix_loses_exactly_the_share_asked_for() {
        let model = model(&Device::available()[0]);
        let outcome = apply("random(ratio=0.37, unit=weights)", &model, 0).unwrap();
        for (name, rows) in zeros(&outcome.model) {
            let (zero, all) = (rows.concat().iter().filter(|&&z| z).count(), rows.concat().len());
            assert_eq!(zero, (0.37 * all as f64).round() as usize, "{name:?}");
        }
    }

    #[test]
    fn a_seed_gives_one_mask_on_every_engine_and_another_seed_another() {
        for recipe in ["random(ratio=0.5, unit=weights)", "random(ratio=0.5)"] {
            let outcome = |device: &Device, seed| {
                let outcome = apply(recipe, &model(device), seed).unwrap();
                (outcome.report.details.to_string(), zeros(&outcome.model))
            };
            let first = outcome(&Device::available()[0], 1);
            for device in Device::available() {
                assert_eq!(outcome(&device, 1), first, "{recipe} on {device}");
            }
            assert!(
                (2..6).any(|seed| outcome(&Device::available()[0], seed) != first),
                "{recipe}"
            );
        }
    }

    #[test]
    fn masks_of_matrices_of_one_shape_differ() {
        let outcome = apply("random(ratio=0.5, unit=weights)", &model(&Device::available()[0]), 0).unwrap();
        let zeros = zeros(&outcome.model);
        assert_ne!(zeros[0].1, zeros[7].1);
    }

    #[test]
    fn blocks_removed_are_the_share_rounded_down_and_every_block_can_be_hit() {
        let model = model(&Device::available()[0]);
        let mut hit = [false; BLOCKS];
        for seed in 0..30 {
            let outcome = apply("random(ratio=0.4)", &model, seed).unwrap();
            assert_eq!((removed(&outcome).len(), outcome.model.blocks.len()), (2, 4));
            assert_eq!(outcome.report.achieved_ratio, 2.0 / 6.0);
            removed(&outcome).into_iter().for_each(|block| hit[block] = true);
        }
        assert_eq!(hit, [true; BLOCKS]);
    }

    #[test]
    fn a_ratio_below_one_block_says_which_removes_one() {
        assert_eq!(
            refusal("random(ratio=0.1)"),
            "random: key `ratio`: 0.1 of 6 blocks removes nothing; at least 1/6 is wanted"
        );
    }
}
