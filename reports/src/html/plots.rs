//! The plots of a page as files: quality against size and speed, and what methods report of blocks and steps.

use std::collections::HashSet;
use std::path::Path;

use rayon::prelude::*;

use super::curves::curves;
use super::rows::{Numbers, Section};
use super::scatter::{scatter, scatters};
use crate::plot::{Plot, PlotError};

/// Letters of a file's name.
const LONGEST: usize = 200;

pub(super) fn plots(sections: &[Section], dense: &[String]) -> Result<Vec<Plot>, PlotError> {
    let mut taken = HashSet::new();
    let mut figures = Vec::new();
    for section in sections {
        let numbers = section.numbers(dense);
        let Numbers {
            measures, axes, rows, ..
        } = &numbers;
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
        let across = scatters(axes, rows).into_iter().map(|(x, y)| {
            let figure = scatter(&section.model, &place, (x, y), &numbers);
            (format!("{start}-{}-by-{}", y.name, x.name), figure)
        });
        let charts = curves(&section.model, &place, rows).into_iter();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_names_of_small_letters_and_no_two_have_the_same() {
        let mut taken = HashSet::new();
        assert_eq!(free("quick-../../etc: A/b@1", &mut taken), "quick-etc-a-b-1");
        assert_eq!(free("QUICK etc a b 1", &mut taken), "quick-etc-a-b-1-2");
        assert!(free(&"x".repeat(1000), &mut taken).len() <= LONGEST);
    }
}
