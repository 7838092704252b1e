//! Two stores, or two parts of one, compared item by item, with nothing to be judged by.

mod brief;
mod fields;
mod shown;

use std::collections::{BTreeSet, HashMap};

use prunebench_results::{Cell, CellKey, Status};
use serde::Serialize;

pub use self::fields::{CompareError, Differing, Field, part};

use crate::gate::{Observed, Origin, POWER, Series, Snapshot};
use crate::paired::{PairedDifference, Scale, Smallest};
use crate::statistics::{Interval, McNemar, benjamini_hochberg};

/// The chance of a false find that the smallest differences are reported at, shared by all comparisons.
const ALPHA: f64 = 0.05;

/// Everything that differs between two sides, and what can't be said.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Differences {
    /// What the cells were not matched by; nothing if they are of the same cells.
    pub between: Vec<Differing>,
    /// Inputs of matched cells that both sides have with other values, the program's version among them.
    pub inputs: BTreeSet<String>,
    /// Every number that both sides have, in the order of the first side's cells.
    pub numbers: Vec<Difference>,
    /// Numbers and cells that can't be compared.
    pub not_compared: Vec<NotCompared>,
    /// Cells that only the first side has, and only the second.
    pub unmatched: [Vec<String>; 2],
    /// Differences that were tested, whose p-values are corrected together.
    pub comparisons: usize,
    /// Where the two sides come from.
    pub origins: [Origin; 2],
}

/// A number on both sides.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// The cells, which differ in nothing but their seed and what the sides differ in.
    pub cell: String,
    /// The number.
    pub number: String,
    /// What `difference`, `interval` and `smallest` are in.
    pub scale: Scale,
    /// The first side's value, the mean over seeds, and the second's.
    pub values: [f64; 2],
    /// The second less the first.
    pub difference: f64,
    /// 95 %, of this difference alone.
    pub interval: Option<Interval>,
    /// Whether all samples are the same to the last digit.
    pub unchanged: bool,
    /// Windows, items or rounds in a seed.
    pub samples: usize,
    /// Seeds.
    pub seeds: usize,
    /// Answers that only the second side, and only the first, has right.
    pub flips: Option<McNemar>,
    /// The test of no difference; absent of a number without noise.
    pub test: Option<&'static str>,
    /// Its p-value.
    pub p: Option<f64>,
    /// Corrected by Benjamini and Hochberg over all comparisons.
    pub p_adjusted: Option<f64>,
    /// The smallest difference that would have been found with probability [`POWER`], if it were the only one.
    pub smallest: Option<f64>,
    /// The keys of the records that it rests on.
    pub records: Vec<[CellKey; 2]>,
    /// A cell of the first side.
    #[serde(skip)]
    pub(crate) of: Cell,
}

/// What can't be compared, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NotCompared {
    /// The cells.
    pub cell: String,
    /// The number; absent where it is the whole cell.
    pub number: Option<String>,
    /// Why.
    pub reason: String,
}

impl Differences {
    /// Compares two sides, their cells matched by everything but `between`.
    ///
    /// # Errors
    /// If no cell is on both sides.
    pub fn of(sides: [&Snapshot; 2], between: Vec<Differing>) -> Result<Self, CompareError> {
        let place = |cell: &Cell, side: usize| {
            let mut place = cell.clone();
            for differing in &between {
                if differing.field.value(cell) == differing.values[side] {
                    differing.field.clear(&mut place);
                }
            }
            place
        };
        let mut second: HashMap<Cell, &Observed> =
            sides[1].cells.iter().map(|cell| (place(&cell.cell, 1), cell)).collect();
        let mut groups: Vec<Vec<(&Observed, &Observed)>> = Vec::new();
        let mut group_of: HashMap<Cell, usize> = HashMap::new();
        let mut only_first = Vec::new();
        for cell in &sides[0].cells {
            let mut place = place(&cell.cell, 0);
            let Some(other) = second.remove(&place) else {
                only_first.push(cell.name());
                continue;
            };
            place.seed = 0;
            let group = *group_of.entry(place).or_insert_with(|| {
                groups.push(Vec::new());
                groups.len() - 1
            });
            groups[group].push((cell, other));
        }
        let left: BTreeSet<&CellKey> = second.values().map(|cell| &cell.key).collect();
        let only_second = sides[1].cells.iter().filter(|cell| left.contains(&cell.key));
        let only_second: Vec<String> = only_second.map(Observed::name).collect();
        if groups.is_empty() {
            let name = |side: &Snapshot| side.cells.first().map(Observed::name).unwrap_or_default();
            return Err(CompareError::NoneMatches {
                first: name(sides[0]),
                second: name(sides[1]),
            });
        }
        let mut all = Self {
            between,
            inputs: groups
                .iter()
                .flatten()
                .flat_map(|(a, b)| other_inputs(a, b))
                .cloned()
                .collect(),
            numbers: Vec::new(),
            not_compared: Vec::new(),
            unmatched: [only_first, only_second],
            comparisons: 0,
            origins: sides.map(Snapshot::origin),
        };
        let mut changes = Vec::new();
        for group in &groups {
            changes.extend(all.compare(group));
        }
        all.correct(changes);
        Ok(all)
    }

    /// The numbers of cells that differ in nothing but their seed; what can't be compared goes to `not_compared`.
    fn compare(&mut self, pairs: &[(&Observed, &Observed)]) -> Vec<(Difference, PairedDifference)> {
        let name = |(a, b): &(&Observed, &Observed)| match (a.group(), b.group()) {
            (a, b) if a == b => a,
            (a, b) => format!("{a} → {b}"),
        };
        let mut ok = Vec::new();
        for pair in pairs {
            match [pair.0, pair.1].iter().find(|cell| cell.status != Status::Ok) {
                None => ok.push(*pair),
                Some(cell) => self.not_compared.push(NotCompared {
                    cell: format!("{}, seed {}", name(pair), cell.cell.seed),
                    number: None,
                    reason: format!("{} is {}", cell.name(), cell.outcome()),
                }),
            }
        }
        let Some(first) = ok.first() else { return Vec::new() };
        let metrics: BTreeSet<&String> = first.0.series.keys().chain(first.1.series.keys()).collect();
        let mut changes = Vec::new();
        for metric in metrics {
            match self.change(metric, &ok) {
                Ok(change) => changes.push((
                    Difference {
                        cell: name(first),
                        number: metric.clone(),
                        scale: change.scale,
                        values: [change.before, change.after],
                        difference: change.difference,
                        interval: change.interval,
                        unchanged: change.unchanged,
                        samples: change.samples,
                        seeds: change.seeds,
                        flips: change.flips,
                        test: change.test.map(|(test, _)| test),
                        p: change.test.map(|(_, p)| p),
                        p_adjusted: None,
                        smallest: None,
                        records: ok.iter().map(|(a, b)| [a.key.clone(), b.key.clone()]).collect(),
                        of: first.0.cell.clone(),
                    },
                    change,
                )),
                Err(reason) => self.not_compared.push(NotCompared {
                    cell: name(first),
                    number: Some(metric.clone()),
                    reason,
                }),
            }
        }
        changes
    }

    fn change(&self, metric: &str, pairs: &[(&Observed, &Observed)]) -> Result<PairedDifference, String> {
        let of_another_model = self.between.iter().any(|differing| differing.field == Field::Model);
        for (a, b) in pairs {
            let (Some(series), Some(_)) = (a.series.get(metric), b.series.get(metric)) else {
                return Err("one side doesn't have it, or has items without a number".to_owned());
            };
            let is_of_items = |input: &&String| input.starts_with("data:") || input.starts_with("task:");
            if let Some(input) = other_inputs(a, b).find(is_of_items) {
                return Err(format!("the two sides have another `{input}`"));
            }
            if let Series::Losses { scope, .. } = series
                && of_another_model
                && scope.contains("tokens scored")
                && !scope.ends_with("words")
            {
                return Err("it is per token of each model's own tokenizer; compare a perplexity per word".to_owned());
            }
        }
        PairedDifference::of_numbers(metric, pairs).map_err(|error| error.to_string())
    }

    fn correct(&mut self, changes: Vec<(Difference, PairedDifference)>) {
        let p_values: Vec<f64> = changes.iter().filter_map(|(difference, _)| difference.p).collect();
        self.comparisons = p_values.len();
        let level = ALPHA / self.comparisons as f64;
        let mut adjusted = benjamini_hochberg(&p_values).into_iter();
        for (mut difference, change) in changes {
            if difference.p.is_some() {
                difference.p_adjusted = adjusted.next();
                difference.smallest = change.smallest(level, POWER).map(Smallest::change);
            }
            self.numbers.push(difference);
        }
    }
}

/// Inputs that both have, with other values.
fn other_inputs<'a>(a: &'a Observed, b: &'a Observed) -> impl Iterator<Item = &'a String> {
    let shared = a
        .inputs
        .iter()
        .filter(|(input, value)| b.inputs.get(*input).is_some_and(|other| other != *value));
    shared.map(|(input, _)| input)
}

#[cfg(test)]
mod differences_tests;
