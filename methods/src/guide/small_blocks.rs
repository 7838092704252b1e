//! `small-blocks`: removes the blocks that add least to the stream, by the size of what they write with.

use prunebench_model::LinearName;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config::parse_strict;
use crate::residual::lowest;
use crate::{Basis, Card, Entry, Family, Method, Ratio, Report, Result, Run};

static CARD: Card = Card {
    id: "small-blocks",
    title: "Blocks with small output projections removed",
    summary: "removes the blocks that write least",
    paper: "baseline",
    family: Family::Depth,
    changes: "removes blocks",
    example: "small-blocks(ratio=0.25)",
    needs: &[],
    version: 1,
    deviations: &[],
    readme: include_str!("README.md"),
};

pub(crate) const ENTRY: Entry = Entry {
    card: &CARD,
    parse: |table| Ok(Box::new(parse_strict::<SmallBlocks>(CARD.id, table)?)),
};

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SmallBlocks {
    ratio: Ratio,
}

impl Method for SmallBlocks {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn config(&self) -> Value {
        json!(self)
    }

    fn apply(&self, run: &mut Run) -> Result<Report> {
        let mut norms = Vec::new();
        for block in &run.model.blocks {
            let mut squares = 0.0;
            // What attention and FFN write into the stream goes through these two.
            for name in [LinearName::O, LinearName::Down] {
                if let Some(linear) = block.linear(name) {
                    squares += linear.weight.to_f64_vec()?.iter().map(|w| w * w).sum::<f64>();
                }
            }
            norms.push(squares.sqrt());
        }
        let removed = lowest(&norms, self.ratio.floor_of(norms.len(), "blocks", CARD.id)?);
        run.model.remove_blocks(&removed)?;
        let details = json!({ "norms": norms, "removed_blocks": removed });
        Ok(Report::of(Basis::Blocks, Some(self.ratio.value()), details))
    }
}

#[cfg(test)]
mod tests {
    use prunebench_tensor::Device;

    use super::*;
    use crate::fixture::{BLOCKS, make_identity, model, windows};

    #[test]
    fn the_block_that_writes_nothing_goes_first() {
        for device in Device::available() {
            let mut dense = model(&device);
            make_identity(&mut dense, 4);
            let method = (ENTRY.parse)(toml::from_str("ratio = 0.2").unwrap()).unwrap();
            let (windows, mut quiet) = (windows(), |_: usize, _: usize, _: &str| {});
            let mut run = Run::new(&dense, &windows, 0, &mut quiet);
            let report = method.apply(&mut run).unwrap();
            assert_eq!(report.details["removed_blocks"], json!([4]));
            assert_eq!(run.model.blocks.len(), BLOCKS - 1);
        }
    }
}
