//! `average-outputs`: runs consecutive blocks on one input and averages them.

use prunebench_model::graph::Step;

use crate::range::{OnRange, Range, replace_steps};
use crate::{Card, Entry, Family, Report, Result, Run};

static CARD: Card = Card {
    id: "average-outputs",
    title: "The mean of the outputs of blocks",
    summary: "averages the outputs of a range of blocks",
    paper: "Sun et al., Transformer Layers as Painters (AAAI 2025)",
    family: Family::Arrangement,
    changes: "runs consecutive blocks on one input and averages them",
    example: "average-outputs(start=2, end=4)",
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
    let step = Step::Average(range.blocks().collect());
    Ok(replace_steps(run, range, first, vec![step]))
}
