//! `shuffle`: runs consecutive blocks in another order.

use prunebench_model::graph::Step;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::range::{OnRange, Range, replace_steps};
use crate::{Card, Entry, Family, Report, Result, Run};

static CARD: Card = Card {
    id: "shuffle",
    title: "Blocks in random order",
    summary: "runs a range of blocks in random order",
    paper: "Calvo González et al., Leveraging the true depth of LLMs (arXiv 2502.02790)",
    family: Family::Arrangement,
    changes: "runs consecutive blocks in another order",
    example: "shuffle(start=2, end=4)",
    needs: &[],
    version: 1,
    deviations: &[
        "one order for all forward passes, where the paper is remembered to draw one for each; seeds average over orders",
    ],
    readme: include_str!("README.md"),
};

pub(crate) const ENTRY: Entry = Entry {
    card: &CARD,
    parse: |table| OnRange::by_lot(&CARD, edit, table),
};

fn edit(run: &mut Run, range: Range, first: usize) -> Result<Report> {
    let mut blocks: Vec<usize> = range.blocks().collect();
    if blocks.len() > 1 {
        blocks.shuffle(&mut ChaCha8Rng::seed_from_u64(run.seed(CARD.id)?));
    }
    let steps = blocks.into_iter().map(Step::Block).collect();
    Ok(replace_steps(run, range, first, steps))
}
