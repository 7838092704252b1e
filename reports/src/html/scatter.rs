//! One number of rows against another: which there are, how points look, and what nothing is better than.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;

use super::measure::{Measure, NONZERO, SIZES};
use super::rows::{Number, Numbers, Row};
use crate::figure::{Axis, Dot, Dots, Figure, Look, Shown, Values};
use crate::paired::Scale;
use crate::quantity::Better;

/// What quality is drawn against beside sizes, and what is drawn against sizes where no quality was measured.
const SPEEDS: [&str; 2] = ["decode speed", "prefill speed"];

/// A number that points may have on an axis.
#[derive(Debug, Serialize)]
pub(super) struct PlotAxis {
    #[serde(flatten)]
    pub(super) axis: Axis,
    /// The number.
    pub(super) name: String,
    /// Whether it says how good a model is.
    pub(super) quality: bool,
    /// Its change against the dense model, in percent or points, rather than itself.
    pub(super) against: Option<Scale>,
}

/// A look with what has it.
#[derive(Debug, Serialize)]
pub(super) struct NamedLook {
    pub(super) name: String,
    #[serde(skip)]
    pub(super) look: Look,
    #[serde(flatten)]
    shown: Shown,
}

/// Every number, and its change where it has one.
pub(super) fn axes(measures: &[Measure]) -> Vec<PlotAxis> {
    let axis = |measure: &Measure, against: Option<Scale>| PlotAxis {
        axis: Axis {
            title: match (against, measure.unit) {
                (Some(Scale::Points), _) => format!("{}, change against dense (points)", measure.name),
                (Some(Scale::Relative), _) => format!("{}, change against dense (%)", measure.name),
                (None, "") => measure.name.clone(),
                (None, unit) => format!("{} ({unit})", measure.name),
            },
            better: measure.better,
            values: match against {
                Some(_) => Values::Signed,
                None => Values::Positive,
            },
            ..Axis::default()
        },
        name: measure.name.clone(),
        quality: measure.quality,
        against,
    };
    let both = measures.iter().flat_map(|measure| {
        let change = measure.scale.map(|scale| axis(measure, Some(scale)));
        std::iter::once(axis(measure, None)).chain(change)
    });
    both.collect()
}

/// Which measure is drawn against which.
pub(super) fn scatters<'a>(axes: &'a [PlotAxis], rows: &[Row]) -> Vec<(&'a PlotAxis, &'a PlotAxis)> {
    let varies = |axis: &&PlotAxis| {
        let mut values = rows
            .iter()
            .filter_map(|row| Some(row.numbers.get(axis.name.as_str())?.value));
        values.next().is_some_and(|first| values.any(|value| value != first))
    };
    let plain = || axes.iter().filter(|axis| axis.against.is_none());
    let named = |name: &str| plain().find(|axis| axis.name == name).filter(varies);
    // Without a mask these differ from what is stored by nothing that can be seen.
    let masked = rows.iter().any(|row| row.masked);
    let sizes = SIZES
        .into_iter()
        .filter(|name| masked || *name != NONZERO)
        .filter_map(named);
    let speeds = SPEEDS.into_iter().filter_map(named);
    let quality: Vec<&PlotAxis> = plain().filter(|axis| axis.quality).collect();
    let (across, up): (Vec<&PlotAxis>, Vec<&PlotAxis>) = match quality.is_empty() {
        true => (sizes.collect(), speeds.collect()),
        false => (sizes.chain(speeds).collect(), quality),
    };
    let against = |y| across.iter().map(move |x| (*x, y));
    up.into_iter().flat_map(against).collect()
}

/// One number against another, a point for each row.
pub(super) fn scatter(model: &str, place: &str, (x, y): (&PlotAxis, &PlotAxis), numbers: &Numbers) -> Figure {
    let Numbers { rows, looks, .. } = numbers;
    let points: Vec<(&Row, &Number, (f64, f64))> = rows
        .iter()
        .filter_map(|row| {
            let [x, y] = [x, y].map(|measure| row.numbers.get(measure.name.as_str()));
            Some((row, y?, (x?.value, y?.value)))
        })
        .collect();
    let places: Vec<(f64, f64)> = points.iter().map(|(.., at)| *at).collect();
    let front = front(&places, (x.axis.better, y.axis.better));
    let mut series: BTreeMap<usize, Vec<Dot>> = BTreeMap::new();
    let mut labelled = HashSet::new();
    for (place, (row, y, at)) in points.iter().enumerate() {
        let first = front.contains(&place);
        series.entry(row.look).or_default().push(Dot {
            at: *at,
            interval: y.interval,
            hollow: row.masked,
            ringed: first,
            label: ((first || row.dense) && labelled.insert(&row.recipe)).then(|| row.recipe.clone()),
        });
    }
    let mut line: Vec<(f64, f64)> = front.iter().map(|place| places[*place]).collect();
    line.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut key = Vec::new();
    if points.iter().any(|(_, y, _)| y.interval.is_some()) {
        key.extend(["whiskers: 95 %, over windows", "or items and seeds"]);
    }
    if points.iter().any(|(row, ..)| row.masked) {
        key.push("hollow: masked, its zeros are stored");
    }
    if !line.is_empty() {
        key.push("ringed and joined: Pareto front");
    }
    Figure {
        title: format!("{model}: {} against {}", y.name, x.name),
        remark: place.to_owned(),
        key,
        across: x.axis.clone(),
        up: y.axis.clone(),
        series: series
            .into_iter()
            .filter_map(|(look, dots)| {
                let NamedLook { name, look, .. } = looks.get(look)?;
                let (name, look) = (name.clone(), *look);
                Some(Dots { name, look, dots })
            })
            .collect(),
        joined: false,
        front: line,
    }
}

/// A recipe without its settings, but the dense model's.
fn family(row: &Row) -> String {
    if row.dense {
        return row.recipe.clone();
    }
    let (mut depth, mut name) = (0u32, String::new());
    for letter in row.recipe.chars() {
        match letter {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            letter if depth == 0 => name.push(letter),
            _ => {}
        }
    }
    name
}

/// The looks of rows, in the order of a legend: one for each family, by how many rows it has. Each row is told its look's place.
pub(super) fn looks(rows: &mut [Row]) -> Vec<NamedLook> {
    let mut counts: Vec<(String, usize)> = Vec::new();
    for row in rows.iter().filter(|row| !row.dense) {
        let name = family(row);
        match counts.iter_mut().find(|(other, _)| *other == name) {
            Some((_, count)) => *count += 1,
            None => counts.push((name, 1)),
        }
    }
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let ranked = counts.into_iter().enumerate();
    let ranks: HashMap<String, Look> = ranked.map(|(rank, (name, _))| (name, Look::ranked(rank))).collect();
    let look_of = |row: &Row| match row.dense {
        true => Look::Reference,
        false => ranks.get(&family(row)).copied().unwrap_or(Look::Rest),
    };
    let all: BTreeMap<Look, String> = rows.iter().map(|row| (look_of(row), family(row))).collect();
    let places: HashMap<Look, usize> = all.keys().copied().zip(0..).collect();
    for row in rows {
        row.look = places.get(&look_of(row)).copied().unwrap_or_default();
    }
    let named = all.into_iter().map(|(look, family)| NamedLook {
        name: match look {
            Look::Rest => "other methods".to_owned(),
            _ => family,
        },
        look,
        shown: look.shown(),
    });
    named.collect()
}

/// The points that no other is better than in both, equal ones among them; none where an axis has no good end.
fn front(points: &[(f64, f64)], better: (Option<Better>, Option<Better>)) -> Vec<usize> {
    let (Some(x), Some(y)) = better else {
        return Vec::new();
    };
    let cost = |value: f64, better: Better| match better {
        Better::Lower => value,
        Better::Higher => -value,
    };
    let costs: Vec<[f64; 2]> = points.iter().map(|at| [cost(at.0, x), cost(at.1, y)]).collect();
    let mut order: Vec<usize> = (0..points.len())
        .filter(|place| costs[*place].iter().all(|cost| cost.is_finite()))
        .collect();
    order.sort_by(|a, b| {
        costs[*a][0]
            .total_cmp(&costs[*b][0])
            .then(costs[*a][1].total_cmp(&costs[*b][1]))
    });
    let mut front: Vec<usize> = Vec::new();
    for place in order {
        match front.last() {
            Some(last) if costs[place] != costs[*last] && costs[place][1] >= costs[*last][1] => {}
            _ => front.push(place),
        }
    }
    front
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_front_has_what_nothing_is_better_than_and_equal_points_with_it() {
        let better = (Some(Better::Lower), Some(Better::Lower));
        let points = [
            (1.0, 9.0),
            (2.0, 5.0),
            (2.0, 5.0),
            (2.0, 6.0),
            (3.0, 5.0),
            (4.0, 1.0),
            (0.5, f64::INFINITY),
        ];
        assert_eq!(front(&points, better), [0, 1, 2, 5]);
        let fast = (Some(Better::Higher), Some(Better::Lower));
        assert_eq!(front(&points[..6], fast), [5]);
        assert_eq!(front(&points, (None, Some(Better::Lower))), Vec::<usize>::new());
    }
}
