//! Which numbers of a column are surely the best.

use super::rows::Cell;
use crate::{
    gate::{Observed, Snapshot},
    paired::{PairedDifference, by_seed},
    quantity::Better,
    statistics::holm,
    table::{Mark, Rank},
};

/// The chance of a mark where there is no difference.
const ALPHA: f64 = 0.05;

pub(super) const NOTE: &str = "Marked: the best of a column and the second best, each where it differs from every row that is worse \
(paired tests over the same items, two-sided, at 5 % after Holm over these rows; of numbers without noise any difference). The \
baseline is not ranked.";

/// Marks of a column's numbers, given by their rows, within a part of the table; of column 0.
pub(super) fn mark(better: Better, cells: &[(usize, &Cell)]) -> Vec<Mark> {
    let mut ranked: Vec<Ranked> = cells.iter().filter_map(|&(row, cell)| Ranked::of(row, cell)).collect();
    ranked.sort_by(|a, b| match better {
        Better::Lower => a.value.total_cmp(&b.value),
        Better::Higher => b.value.total_cmp(&a.value),
    });
    let ranks = [Rank::Best, Rank::Second];
    let sure = ranks.into_iter().enumerate().take_while(|(place, _)| {
        let worse = ranked.get(place + 1..).unwrap_or_default();
        !worse.is_empty() && ranked[*place].surely_differs_from(worse)
    });
    sure.map(|(place, rank)| Mark {
        row: ranked[place].row,
        column: 0,
        rank,
    })
    .collect()
}

/// A number with what it can be tested by.
struct Ranked<'a> {
    row: usize,
    value: f64,
    series: &'a str,
    observed: Vec<Observed>,
}

impl<'a> Ranked<'a> {
    fn of(row: usize, cell: &'a Cell<'a>) -> Option<Self> {
        let comparison = cell.source.comparison;
        if comparison.is_baseline(cell.group.first()) || !cell.quantity.is_tested {
            return None;
        }
        // Speeds are over the baseline's of their round.
        let baseline = comparison.baseline_of(cell.group.first());
        let records = cell
            .group
            .records
            .iter()
            .chain(baseline.into_iter().flat_map(|group| &group.records));
        let records: Vec<_> = records.map(|&record| record.clone()).collect();
        let mut observed = Snapshot::of(&records, comparison.baseline).ok()?.cells;
        observed.truncate(cell.group.records.len());
        Some(Self {
            row,
            value: cell.value()?,
            series: cell.quantity.series.as_deref()?,
            observed,
        })
    }

    fn surely_differs_from(&self, others: &[Self]) -> bool {
        let tests: Option<Vec<f64>> = others.iter().map(|other| self.p(other)).collect();
        tests.is_some_and(|p| holm(&p).into_iter().all(|p| p < ALPHA))
    }

    /// The chance of such a difference where there is none; `None` where that can't be tested.
    fn p(&self, other: &Self) -> Option<f64> {
        let has = |cell: &&Observed| cell.series.contains_key(self.series);
        let [before, after] = [other, self].map(|side| side.observed.iter().filter(has).collect::<Vec<_>>());
        let pairs = by_seed(&before, &after, |cell| cell.cell.seed);
        let change = PairedDifference::of_numbers(self.series, &pairs).ok()?;
        Some(match change.test {
            Some((_, p)) => p,
            None if change.unchanged => 1.0,
            None => 0.0,
        })
    }
}
