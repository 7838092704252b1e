//! `merge`: replaces consecutive blocks by the mean of their weights.

use serde_json::json;

use crate::range::{OnRange, Range};
use crate::{Basis, Card, Entry, Family, Report, Result, Run};

static CARD: Card = Card {
    id: "merge",
    title: "Consecutive blocks averaged into one",
    summary: "averages the weights of a range into a block",
    paper: "Calvo González et al., Leveraging the true depth of LLMs (arXiv 2502.02790)",
    family: Family::Depth,
    changes: "replaces consecutive blocks by the mean of their weights",
    example: "merge(start=2, end=4)",
    needs: &[],
    version: 1,
    deviations: &[],
    readme: include_str!("README.md"),
};

pub(crate) const ENTRY: Entry = Entry {
    card: &CARD,
    parse: |table| OnRange::parse(&CARD, edit, table),
};

fn edit(run: &mut Run, range: Range, _: usize) -> Result<Report> {
    let removed: Vec<usize> = range.blocks().skip(1).collect();
    run.model.merge_blocks(&range.blocks().collect::<Vec<_>>())?;
    Ok(Report::of(Basis::Blocks, None, json!({ "removed_blocks": removed })))
}
