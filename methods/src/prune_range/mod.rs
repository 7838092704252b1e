//! `prune-range`: removes consecutive blocks.

use serde_json::json;

use crate::range::{OnRange, Range};
use crate::{Basis, Card, Entry, Family, Report, Result, Run};

static CARD: Card = Card {
    id: "prune-range",
    title: "Consecutive blocks removed",
    summary: "removes a range of blocks",
    paper: "Calvo González et al., Leveraging the true depth of LLMs (arXiv 2502.02790)",
    family: Family::Depth,
    changes: "removes consecutive blocks",
    example: "prune-range(start=2, end=4)",
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
    let removed: Vec<usize> = range.blocks().collect();
    run.model.remove_blocks(&removed)?;
    Ok(Report::of(Basis::Blocks, None, json!({ "removed_blocks": removed })))
}
