//! The plots of a page as files: quality against size and speed, and what methods report of blocks and steps.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use rayon::prelude::*;
use serde_json::Value;

use super::{
    charts::Chart,
    measure::{Measure, NONZERO, SIZES},
    rows::{Number, Row, Section},
};
use crate::figure::{Axis, Dot, Dots, Figure, Look};
use crate::plot::{Plot, PlotError};
use crate::quantity::Better;

/// What quality is drawn against beside sizes, and what is drawn against sizes where no quality was measured.
const SPEEDS: [&str; 2] = ["decode speed", "prefill speed"];
/// Letters of a file's name.
const LONGEST: usize = 200;

pub(super) fn plots(sections: &[Section], dense: &[String]) -> Result<Vec<Plot>, PlotError> {
    let mut taken = HashSet::new();
    let mut figures = Vec::new();
    for section in sections {
        let (measures, rows) = section.rows(dense);
        let store = Path::new(&section.store)
            .file_name()
            .unwrap_or_default()
            .to_string_lossy();
        let quality = measures.iter().any(|measure| measure.quality);
        // A speed is nothing without its setting, and a store often has several.
        let start = match quality {
            true => format!("{store}-{}", section.model),
            false => format!("{store}-{}-{}", section.model, section.setting),
        };
        let place = match section.setting.as_str() {
            "" => section.store.clone(),
            setting => format!("{}; {setting}", section.store),
        };
        let across = scatters(&measures, &rows).into_iter().map(|(x, y)| {
            let figure = scatter(&section.model, &place, (x, y), &rows);
            (format!("{start}-{}-by-{}", y.name, x.name), figure)
        });
        let charts = curves(section, &place, &rows).into_iter();
        let charts = charts.map(|(what, figure)| (format!("{start}-{what}"), figure));
        for (name, figure) in across.chain(charts) {
            figures.push((free(&name, &mut taken), figure));
        }
    }
    let drawn = figures.into_par_iter().map(|(name, figure)| match figure.to_svg() {
        Ok(svg) => Ok(svg.map(|svg| Plot { name, svg })),
        Err(problem) => Err(PlotError::Drawing { name, problem }),
    });
    let plots: Vec<Plot> = drawn.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
    if plots.is_empty() {
        Err(PlotError::Nothing)
    } else {
        Ok(plots)
    }
}

/// A name as a file's, which nothing else has.
fn free(name: &str, taken: &mut HashSet<String>) -> String {
    let mut short = String::new();
    for letter in name.chars().take(LONGEST) {
        match letter {
            letter if letter.is_ascii_alphanumeric() => short.push(letter.to_ascii_lowercase()),
            _ if short.ends_with('-') => {}
            _ => short.push('-'),
        }
    }
    let short = short.trim_matches('-');
    let numbered = (2..).map(|number| format!("{short}-{number}"));
    let free = std::iter::once(short.to_owned())
        .chain(numbered)
        .find(|name| !taken.contains(name));
    let free = free.unwrap_or_default();
    taken.insert(free.clone());
    free
}

/// Which measure is drawn against which.
fn scatters<'m>(measures: &'m [Measure], rows: &[Row]) -> Vec<(&'m Measure, &'m Measure)> {
    let varies = |measure: &&Measure| {
        let mut values = rows
            .iter()
            .filter_map(|row| Some(row.numbers.get(measure.name.as_str())?.value));
        values.next().is_some_and(|first| values.any(|value| value != first))
    };
    let named = |name: &str| measures.iter().find(|measure| measure.name == name).filter(varies);
    // Without a mask these differ from what is stored by nothing that can be seen.
    let masked = rows.iter().any(|row| row.masked);
    let sizes = SIZES
        .into_iter()
        .filter(|name| masked || *name != NONZERO)
        .filter_map(named);
    let speeds = SPEEDS.into_iter().filter_map(named);
    let quality: Vec<&Measure> = measures.iter().filter(|measure| measure.quality).collect();
    let (across, up): (Vec<&Measure>, Vec<&Measure>) = match quality.is_empty() {
        true => (sizes.collect(), speeds.collect()),
        false => (sizes.chain(speeds).collect(), quality),
    };
    let against = |y| across.iter().map(move |x| (*x, y));
    up.into_iter().flat_map(against).collect()
}

fn scatter(model: &str, place: &str, (x, y): (&Measure, &Measure), rows: &[Row]) -> Figure {
    let axis = |measure: &Measure| Axis {
        title: match measure.unit {
            "" => measure.name.clone(),
            unit => format!("{} ({unit})", measure.name),
        },
        better: measure.better,
        ..Axis::default()
    };
    let points: Vec<(&Row, &Number, (f64, f64))> = rows
        .iter()
        .filter_map(|row| {
            let [x, y] = [x, y].map(|measure| row.numbers.get(measure.name.as_str()));
            Some((row, y?, (x?.value, y?.value)))
        })
        .collect();
    let places: Vec<(f64, f64)> = points.iter().map(|(.., at)| *at).collect();
    let front = front(&places, (x.better, y.better));
    let looks = looks(rows);
    let mut series: BTreeMap<Look, Dots> = BTreeMap::new();
    let mut labelled = HashSet::new();
    for (place, (row, y, at)) in points.iter().enumerate() {
        let look = looks.get(family(row).as_str()).copied().unwrap_or(Look::Rest);
        let dots = &mut series.entry(look).or_insert_with(|| Dots {
            name: match look {
                Look::Rest => "other methods".to_owned(),
                _ => family(row),
            },
            look,
            dots: Vec::new(),
        });
        let first = front.contains(&place);
        dots.dots.push(Dot {
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
        across: axis(x),
        up: axis(y),
        series: series.into_values().collect(),
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

/// A look for each family, by how many rows it has.
fn looks(rows: &[Row]) -> HashMap<String, Look> {
    let mut counts: Vec<(String, usize)> = Vec::new();
    let mut looks = HashMap::new();
    for row in rows {
        let name = family(row);
        if row.dense {
            looks.insert(name, Look::Reference);
        } else if let Some((_, count)) = counts.iter_mut().find(|(other, _)| *other == name) {
            *count += 1;
        } else {
            counts.push((name, 1));
        }
    }
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let ranked = counts.into_iter().enumerate();
    looks.extend(ranked.map(|(rank, (name, _))| (name, Look::ranked(rank))));
    looks
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

/// What methods report, a picture for each list with a line for each recipe, and its name. Recipes with the same numbers have
/// one line, and more than can be told apart go on in a further picture.
fn curves(section: &Section, place: &str, rows: &[Row]) -> Vec<(String, Figure)> {
    let mut lists: Vec<(&Chart, Vec<(String, &Chart)>)> = Vec::new();
    let places: HashSet<&str> = rows.iter().map(|row| row.place.as_str()).collect();
    for row in rows {
        for chart in row.charts {
            let name = match places.len() {
                1 => row.recipe.clone(),
                _ => format!("{}, {}", row.recipe, row.place),
            };
            match lists.iter_mut().find(|(first, _)| first.is_of_the_same(chart)) {
                Some((_, lines)) => lines.push((name, chart)),
                None => lists.push((chart, vec![(name, chart)])),
            }
        }
    }
    let mut figures = Vec::new();
    for (first, all) in lists {
        let mut lines: Vec<(String, &Chart, usize)> = Vec::new();
        for (name, chart) in all {
            match lines.iter_mut().find(|(_, other, _)| *other == chart) {
                Some((.., more)) => *more += 1,
                None => lines.push((name, chart, 0)),
            }
        }
        for lines in lines.chunks(Look::COUNT) {
            figures.push((
                format!("{}-{}", first.method, first.name),
                curve(&section.model, place, first, lines),
            ));
        }
    }
    figures
}

fn curve(model: &str, place: &str, first: &Chart, lines: &[(String, &Chart, usize)]) -> Figure {
    let numeric = first.places.iter().all(Value::is_number);
    let mut names: Vec<String> = Vec::new();
    let mut at = |place: &Value| match place.as_f64() {
        Some(number) if numeric => number,
        _ => {
            let name = place.as_str().map_or_else(|| place.to_string(), str::to_owned);
            let known = names.iter().position(|other| *other == name);
            known.unwrap_or_else(|| {
                names.push(name);
                names.len() - 1
            }) as f64
        }
    };
    let series = lines.iter().enumerate().map(|(rank, (name, chart, more))| Dots {
        name: match more {
            0 => name.clone(),
            more => format!("+{more}: {name}"),
        },
        look: Look::ranked(rank),
        dots: chart
            .places
            .iter()
            .zip(&chart.values)
            .map(|(place, value)| Dot {
                at: (at(place), *value),
                interval: None,
                hollow: false,
                ringed: false,
                label: None,
            })
            .collect(),
    });
    let series = series.collect();
    let mut key = vec!["of the first seed"];
    if lines.iter().any(|(.., more)| *more > 0) {
        key.extend(["+1: and one more recipe", "with the same numbers"]);
    }
    Figure {
        title: format!("{model}: {}, {}", first.method, first.name),
        remark: place.to_owned(),
        key,
        across: Axis {
            title: first.across.clone(),
            signed: true,
            names,
            ..Axis::default()
        },
        up: Axis {
            title: first.name.clone(),
            signed: true,
            ..Axis::default()
        },
        series,
        joined: numeric,
        front: Vec::new(),
    }
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

    #[test]
    fn files_have_names_of_small_letters_and_no_two_have_the_same() {
        let mut taken = HashSet::new();
        assert_eq!(free("quick-../../etc: A/b@1", &mut taken), "quick-etc-a-b-1");
        assert_eq!(free("QUICK etc a b 1", &mut taken), "quick-etc-a-b-1-2");
        assert!(free(&"x".repeat(1000), &mut taken).len() <= LONGEST);
    }
}
