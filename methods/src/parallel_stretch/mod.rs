//! `parallel-stretch`: runs consecutive blocks on one input.

use prunebench_model::graph::Step;

use crate::range::{OnRange, Range, replace_steps};
use crate::{Card, Entry, Family, Report, Result, Run};

static CARD: Card = Card {
    id: "parallel-stretch",
    title: "A stretch of blocks in parallel",
    summary: "runs a range of blocks on one input",
    paper: "Calvo González et al., Leveraging the true depth of LLMs (arXiv 2502.02790)",
    family: Family::Arrangement,
    changes: "runs consecutive blocks on one input",
    example: "parallel-stretch(start=2, end=4)",
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
    let step = Step::Parallel(range.blocks().collect());
    Ok(replace_steps(run, range, first, vec![step]))
}
