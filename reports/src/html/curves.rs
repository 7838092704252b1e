//! What methods report of blocks and steps, as lines.

use std::collections::HashSet;

use serde_json::Value;

use super::{charts::Chart, rows::Row};
use crate::figure::{Axis, Dot, Dots, Figure, Look, Values};

/// What methods report, a picture for each list with a line for each recipe, and its name. Recipes with the same numbers have
/// one line, and more than can be told apart go on in a further picture.
pub(super) fn curves(model: &str, place: &str, rows: &[Row]) -> Vec<(String, Figure)> {
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
                curve(model, place, first, lines),
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
            values: Values::Signed,
            names,
            ..Axis::default()
        },
        up: Axis {
            title: first.name.clone(),
            values: Values::Signed,
            ..Axis::default()
        },
        series,
        joined: numeric,
        front: Vec::new(),
    }
}
