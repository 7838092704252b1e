//! Engines whose numbers agree share a row.

use crate::accuracy::Score;
use crate::comparison::{Comparison, Group};

/// Numbers agree that differ by no more than this share of their standard error.
const WITHIN: f64 = 0.5;

/// Numbers without one agree that differ by no more than this, relatively.
const RELATIVE: f64 = 1e-6;

/// The engines of a comparison, and how far apart their numbers are.
pub(super) struct Places {
    /// Engines in the order of the records; the first is that of rows which several share.
    engines: Vec<String>,
    /// The largest relative difference of a perplexity, and the largest difference of an accuracy, among numbers that agree.
    largest: [f64; 2],
    /// Whether any two agree.
    merged: bool,
    /// Whether any two don't.
    apart: bool,
    speed: bool,
}

/// The groups of one recipe that a row is of: the one whose numbers it shows.
pub(super) struct Shown<'c, 'a> {
    pub(super) group: &'c Group<'a>,
    /// What tells it from other rows of its recipe.
    pub(super) place: Option<String>,
}

impl Places {
    pub(super) fn of(comparison: &Comparison) -> Self {
        let mut engines: Vec<String> = Vec::new();
        for record in comparison.records() {
            if !engines.contains(&record.cell.engine) {
                engines.push(record.cell.engine.clone());
            }
        }
        // The quickest engine's speeds are shown, where it is the baseline that says which is.
        let decode = |engine: &String| {
            let mut groups = comparison.groups.iter();
            let group =
                groups.find(|group| group.first().cell.engine == *engine && comparison.is_baseline(group.first()))?;
            Some(group.rate(|throughput| &throughput.decode)?.0)
        };
        engines.sort_by(|a, b| decode(b).unwrap_or(0.0).total_cmp(&decode(a).unwrap_or(0.0)));
        let mut places = Self {
            engines,
            largest: [0.0; 2],
            merged: false,
            apart: false,
            speed: comparison.first().cell.evaluation.throughput.is_some(),
        };
        let mut seen: Vec<&Group> = Vec::new();
        for group in &comparison.groups {
            let of_one = |other: &&&Group| is_of_one_row(other, group);
            let others: Vec<&&Group> = seen.iter().filter(of_one).collect();
            for other in others {
                places.compare(comparison, other, group);
            }
            seen.push(group);
        }
        places
    }

    fn compare(&mut self, comparison: &Comparison, a: &Group, b: &Group) {
        match differences(comparison, a, b) {
            Some(found) if found.agree => {
                self.merged = true;
                for (largest, found) in self.largest.iter_mut().zip(found.largest) {
                    *largest = largest.max(found);
                }
            }
            Some(_) => self.apart = true,
            None => {}
        }
    }

    /// What the rows of a recipe are, given all its groups: one for each device and element type where its engines agree, else one
    /// for each group.
    pub(super) fn rows<'c, 'a>(&self, comparison: &Comparison<'a>, groups: &[&'c Group<'a>]) -> Vec<Shown<'c, 'a>> {
        let mut parts: Vec<Vec<&'c Group<'a>>> = Vec::new();
        for group in groups {
            match parts.iter_mut().find(|part| is_of_one_row(part[0], group)) {
                Some(part) => part.push(group),
                None => parts.push(vec![group]),
            }
        }
        let several = several_devices(comparison);
        let mut rows = Vec::new();
        for part in parts {
            let measured = || part.iter().filter(|group| group.metrics().next().is_some());
            let agree =
                measured().all(|a| measured().all(|b| differences(comparison, a, b).is_none_or(|found| found.agree)));
            let rank = |group: &&&Group| {
                let engine = &group.first().cell.engine;
                self.engines.iter().position(|known| known == engine)
            };
            if agree {
                let shown = measured().min_by_key(rank).unwrap_or(&part[0]);
                let cell = &shown.first().cell;
                rows.push(Shown {
                    group: shown,
                    place: several.then(|| format!("{} {}", cell.device, cell.dtype)),
                });
            } else {
                rows.extend(part.iter().map(|group| {
                    let cell = &group.first().cell;
                    let device = if several {
                        format!(" {} {}", cell.device, cell.dtype)
                    } else {
                        String::new()
                    };
                    Shown {
                        group,
                        place: Some(format!("{}{device}", cell.engine)),
                    }
                }));
            }
        }
        rows
    }

    /// Which engines the rows are of.
    pub(super) fn notes(&self, comparison: &Comparison) -> Vec<String> {
        let [shown, others @ ..] = self.engines.as_slice() else {
            return Vec::new();
        };
        if others.is_empty() {
            return Vec::new();
        }
        let mut notes = Vec::new();
        if self.merged {
            let evaluation = &comparison.first().cell.evaluation;
            let mut within = Vec::new();
            if !evaluation.perplexity.is_empty() {
                within.push(match self.largest[0] {
                    0.0 => "perplexities to the last digit".to_owned(),
                    largest => format!("perplexities to {largest:.0e}"),
                });
            }
            if !evaluation.tasks.is_empty() {
                within.push(match self.largest[1] {
                    0.0 => "all accuracies".to_owned(),
                    largest => format!("accuracies to {:.1} points", 100.0 * largest),
                });
            }
            let mut text = format!("{} agree", self.engines.join(" and "));
            if !within.is_empty() {
                text += &format!(": {}", within.join(", "));
            }
            if self.apart {
                text += "; where they don't, each has its row";
            }
            text += &format!(
                ". The {} {shown}'s",
                if self.speed { "speeds are" } else { "numbers are" }
            );
            notes.push(format!("{text} ({}: --engine {}).", others.join(", "), others[0]));
        } else if self.apart {
            notes.push(format!(
                "{} differ by more than half a standard error, so each has its rows.",
                self.engines.join(" and ")
            ));
        }
        notes
    }
}

fn several_devices(comparison: &Comparison) -> bool {
    let place = |group: &Group| (group.first().cell.device.clone(), group.first().cell.dtype.clone());
    let first = place(&comparison.groups[0]);
    comparison.groups.iter().any(|group| place(group) != first)
}

/// Whether two groups differ in nothing but their engine.
fn is_of_one_row(a: &Group, b: &Group) -> bool {
    let (a, b) = (&a.first().cell, &b.first().cell);
    (&a.recipe, &a.device, &a.dtype) == (&b.recipe, &b.device, &b.dtype)
}

struct Found {
    agree: bool,
    largest: [f64; 2],
}

/// How far apart two groups are; `None` if either has no numbers.
fn differences(comparison: &Comparison, a: &Group, b: &Group) -> Option<Found> {
    let stored = |group: &Group| group.mean(|metrics| metrics.accounting.stored_parameters as f64);
    let mut found = Found {
        agree: stored(a)? == stored(b)?,
        largest: [0.0; 2],
    };
    let evaluation = &comparison.first().cell.evaluation;
    for index in 0..evaluation.perplexity.len() {
        let of = |group: &Group| comparison.perplexity(&group.records, index);
        let (a, b) = (of(a)?, of(b)?);
        let relative = (a.value / b.value - 1.0).abs();
        found.agree &= within(a.value - b.value, a.stderr, a.value);
        found.largest[0] = found.largest[0].max(relative);
    }
    for score in comparison.scores() {
        let of = |group: &Group| comparison.score(&group.records, score);
        let (a, b) = (of(a)?, of(b)?);
        found.agree &= within(a.value - b.value, a.stderr, a.value);
        if matches!(score, Score::Suite(_)) || !comparison.is_perplexity(score) {
            found.largest[1] = found.largest[1].max((a.value - b.value).abs());
        }
    }
    Some(found)
}

fn within(difference: f64, stderr: Option<f64>, value: f64) -> bool {
    let noise = stderr.map_or(0.0, |stderr| WITHIN * stderr);
    difference.abs() <= noise.max(RELATIVE * value.abs())
}
