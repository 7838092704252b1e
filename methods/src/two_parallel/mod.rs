//! `two-parallel`: runs consecutive blocks in pairs on one input.

use prunebench_model::graph::Step;

use crate::range::{OnRange, Range, pairs, replace_steps};
use crate::{Card, Entry, Family, Report, Result, Run};

static CARD: Card = Card {
    id: "two-parallel",
    title: "Pairs of blocks in parallel",
    summary: "runs blocks in pairs, each its own chain",
    paper: "Calvo González et al., Leveraging the true depth of LLMs (arXiv 2502.02790)",
    family: Family::Arrangement,
    changes: "runs consecutive blocks in pairs on one input",
    example: "two-parallel(start=2, end=4)",
    needs: &[],
    version: 1,
    deviations: &[],
    readme: include_str!("README.md"),
};

pub(crate) const ENTRY: Entry = Entry {
    card: &CARD,
    parse: |table| OnRange::parse(&CARD, edit, table),
};

fn edit(run: &mut Run, range: Range, first: usize) -> Result<Report> {
    Ok(replace_steps(run, range, first, pairs(range, Step::Parallel)))
}
