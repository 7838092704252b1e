//! The comparison for programs.

use std::io::Write;

use crate::{
    columns::{CELL, COMPARISON, Line, PERPLEXITY, RUN, WINDOWS, write_csv},
    comparison::Comparison,
};

impl Comparison<'_> {
    /// Writes CSV with a header: a line per record and protocol, in the order of the table. Cells
    /// without a number are empty; ratios are of this record alone to the mean of the baseline's seeds.
    ///
    /// # Errors
    /// If `out` can't be written.
    pub fn write_csv(&self, out: impl Write) -> Result<(), csv::Error> {
        let lines = self.records().flat_map(|record| {
            let protocols = record.cell.evaluation.perplexity.len().max(1);
            (0..protocols).map(move |index| Line {
                protocol: Some(index),
                baseline: self.baseline.join(" + "),
                ratio: self.ratio(&[record], index),
                ..Line::of(record)
            })
        });
        write_csv(&[CELL, PERPLEXITY, WINDOWS, COMPARISON, RUN], lines, out)
    }
}
