//! A run of consecutive blocks, and methods that only rearrange one.

use prunebench_model::graph::{Graph, Step};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config::parse_strict;
use crate::{Basis, Card, Error, Method, Report, Result, Run};

/// Blocks from `start` to `end`, `end` excluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Range {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Range {
    /// The index of the step that runs the first of the blocks, which run one after another and once each.
    pub(crate) fn first_step(self, method: &'static str, graph: &Graph) -> Result<usize> {
        let Self { start, end } = self;
        let refuse = |detail: String| {
            Err(Error::Config {
                what: method.to_owned(),
                detail,
            })
        };
        if start >= end {
            return refuse(format!(
                "keys `start` and `end`: {start} to {end}, the end excluded, has no block; a start below the end is wanted"
            ));
        }
        if end > graph.blocks.len() {
            return refuse(format!(
                "key `end`: {end}, but the model has {} blocks, and the end is excluded",
                graph.blocks.len()
            ));
        }
        let alone = |block: &usize| {
            let mut runs = graph.steps.iter().filter(|step| step.blocks().contains(block));
            runs.next() == Some(&Step::Block(*block)) && runs.next().is_none()
        };
        if let Some(block) = (start..end).find(|block| !alone(block)) {
            return refuse(format!(
                "keys `start` and `end`: block {block} does not run once and by itself; another method of the recipe has \
                 rearranged it, so name a range that does not overlap"
            ));
        }
        let wanted: Vec<Step> = (start..end).map(Step::Block).collect();
        match graph.steps.windows(wanted.len()).position(|steps| steps == wanted) {
            Some(first) => Ok(first),
            None => refuse(format!(
                "keys `start` and `end`: blocks {start} to {} do not run one after another; another method of the recipe has \
                 rearranged them",
                end - 1
            )),
        }
    }

    pub(crate) fn blocks(self) -> std::ops::Range<usize> {
        self.start..self.end
    }
}

/// What a method does to a range: the steps of the run's model in it are those from the given index on.
pub(crate) type Edit = fn(&mut Run, Range, usize) -> Result<Report>;

/// A method with a range and nothing else to set.
#[derive(Debug)]
pub(crate) struct OnRange {
    card: &'static Card,
    range: Range,
    edit: Edit,
    by_lot: bool,
}

impl OnRange {
    pub(crate) fn parse(card: &'static Card, edit: Edit, table: toml::Table) -> Result<Box<dyn Method>> {
        Self::boxed(card, edit, false, table)
    }

    /// A method whose edit asks for the seed.
    pub(crate) fn by_lot(card: &'static Card, edit: Edit, table: toml::Table) -> Result<Box<dyn Method>> {
        Self::boxed(card, edit, true, table)
    }

    fn boxed(card: &'static Card, edit: Edit, by_lot: bool, table: toml::Table) -> Result<Box<dyn Method>> {
        Ok(Box::new(Self {
            card,
            range: parse_strict(card.id, table)?,
            edit,
            by_lot,
        }))
    }
}

impl Method for OnRange {
    fn card(&self) -> &'static Card {
        self.card
    }

    fn config(&self) -> Value {
        json!(self.range)
    }

    fn is_stochastic(&self) -> bool {
        // One block has one order.
        self.by_lot && self.range.blocks().len() > 1
    }

    fn apply(&self, run: &mut Run) -> Result<Report> {
        let first = self.range.first_step(self.card.id, &run.model.graph)?;
        (self.edit)(run, self.range, first)
    }
}

/// Puts `steps` in the place of the range's own.
pub(crate) fn replace_steps(run: &mut Run, range: Range, first: usize, steps: Vec<Step>) -> Report {
    let after = first + range.blocks().len();
    run.model.graph.steps.splice(first..after, steps);
    Report::of(Basis::Nothing, None, json!({}))
}

/// The range in pairs of consecutive blocks; of an odd number the last is left by itself.
pub(crate) fn pairs(range: Range, pair: fn(Vec<usize>) -> Step) -> Vec<Step> {
    let blocks: Vec<usize> = range.blocks().collect();
    let step = |blocks: &[usize]| match blocks {
        [block] => Step::Block(*block),
        both => pair(both.to_vec()),
    };
    blocks.chunks(2).map(step).collect()
}

#[cfg(test)]
mod tests {
    use prunebench_model::Decoder;
    use prunebench_tensor::{Device, Tensor, no_grad};

    use super::*;
    use crate::fixture::{BLOCKS, apply, model, refusal, windows};

    /// Final hidden states of a window.
    fn stream(decoder: &Decoder) -> Tensor {
        let ids = decoder.ids(&[&windows()[0]]).unwrap();
        no_grad(|| decoder.hidden(&ids, None, &mut |_, _| Ok(()))).unwrap()
    }

    fn close(a: &Tensor, b: &Tensor) -> bool {
        let (a, b) = (a.to_f64_vec().unwrap(), b.to_f64_vec().unwrap());
        a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-4)
    }

    #[test]
    fn a_range_of_one_block_stays_as_it_is() {
        let dense = model(&Device::available()[0]);
        for method in [
            "two-parallel",
            "parallel-stretch",
            "average-outputs",
            "shuffle",
            "merge",
        ] {
            let edited = apply(&format!("{method}(start=2, end=3)"), &dense, 0).unwrap().model;
            assert!(close(&stream(&edited), &stream(&dense)), "{method}");
            assert_eq!(edited.blocks.len(), BLOCKS, "{method}");
        }
    }

    #[test]
    fn the_steps_are_those_of_the_method() {
        let dense = model(&Device::available()[0]);
        let steps = |method: &str| {
            let edited = apply(&format!("{method}(start=1, end=4)"), &dense, 0).unwrap().model;
            edited.graph.validate().unwrap();
            edited.graph.steps[1..edited.graph.steps.len() - 2].to_vec()
        };
        assert_eq!(steps("two-parallel"), [Step::Parallel(vec![1, 2]), Step::Block(3)]);
        assert_eq!(steps("parallel-stretch"), [Step::Parallel(vec![1, 2, 3])]);
        assert_eq!(steps("average-outputs"), [Step::Average(vec![1, 2, 3])]);
        assert_eq!(steps("prune-range"), []);
        assert_eq!(steps("merge"), [Step::Block(1)]);
        let mut order = steps("shuffle");
        order.sort_by_key(|step| step.blocks()[0]);
        assert_eq!(order, [Step::Block(1), Step::Block(2), Step::Block(3)]);
    }

    #[test]
    fn the_mean_of_equal_blocks_is_the_block_and_the_sum_of_their_updates_is_not() {
        for device in Device::available() {
            let mut dense = model(&device);
            dense.blocks[2] = dense.blocks[1].clone();
            dense.blocks[3] = dense.blocks[1].clone();
            let mut once = dense.clone();
            once.remove_blocks(&[2, 3]).unwrap();
            let of = |method: &str| stream(&apply(&format!("{method}(start=1, end=4)"), &dense, 0).unwrap().model);
            assert!(close(&of("average-outputs"), &stream(&once)));
            assert!(close(&of("merge"), &stream(&once)));
            assert!(!close(&of("parallel-stretch"), &stream(&once)));
        }
    }

    #[test]
    fn another_seed_draws_another_order() {
        let dense = model(&Device::available()[0]);
        let order = |seed| {
            apply("shuffle(start=0, end=6)", &dense, seed)
                .unwrap()
                .model
                .graph
                .steps
        };
        assert_eq!(order(0), order(0));
        assert!((1..5).any(|seed| order(seed) != order(0)));
    }

    #[test]
    fn a_range_that_is_none_is_refused_with_the_cure() {
        for (recipe, words) in [
            ("merge(start=3, end=3)", ["3 to 3", "below the end"]),
            ("shuffle(start=4, end=2)", ["4 to 2", "below the end"]),
            ("two-parallel(start=4, end=7)", ["`end`: 7", "6 blocks"]),
            ("prune-range(start=0, end=6)", ["every block", "lower the ratio"]),
        ] {
            let message = refusal(recipe);
            for word in words {
                assert!(message.contains(word), "{recipe}: {word}: {message}");
            }
        }
    }
}
