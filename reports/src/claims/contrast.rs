//! A weighted sum of recipes' numbers, from the same items of each.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use wildmatch::WildMatch;

use super::{
    definition::{Choice, Contrast, Definition, Samples, Scale, Term},
    observation::{Noise, Observation},
};
use crate::statistics::{COVERAGE, Estimate, Interval};

/// Observations that can be paired, since no two have another value of one input: by recipe, model and seed.
pub(super) type Setting<'a> = BTreeMap<&'a str, BTreeMap<&'a str, BTreeMap<u64, &'a Observation>>>;

/// One contrast as it was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Part {
    /// The weighted sum, in words.
    pub of: String,
    /// Model, place and metric.
    pub setting: String,
    /// Its value: of perplexities and speeds in logarithms, unless the claim says otherwise.
    pub value: f64,
    /// The 95 % interval; absent of too few samples.
    pub interval: Option<Interval>,
    /// What it is claimed to be above.
    pub above: Option<f64>,
    /// What it is claimed to be below.
    pub below: Option<f64>,
    /// The chance of a value as far on the claim's side, if the claim just isn't so; absent of numbers without noise.
    pub p: Option<f64>,
    /// Keys of the records.
    pub records: BTreeSet<String>,
}

/// On which side of a claim an interval lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Claimed,
    Other,
    Neither,
}

impl Part {
    pub(super) fn side(&self) -> Side {
        let Some(Interval { low, high }) = self.interval else {
            return Side::Neither;
        };
        if self.above.is_some_and(|bound| high <= bound) || self.below.is_some_and(|bound| low >= bound) {
            Side::Other
        } else if self.above.is_none_or(|bound| low > bound) && self.below.is_none_or(|bound| high < bound) {
            Side::Claimed
        } else {
            Side::Neither
        }
    }

    /// What it is claimed to be, in words.
    pub(super) fn wanted(&self) -> String {
        match (self.above, self.below) {
            (Some(above), Some(below)) => format!("between {above} and {below}"),
            (Some(above), None) => format!("above {above}"),
            (None, Some(below)) => format!("below {below}"),
            (None, None) => String::new(),
        }
    }
}

impl Contrast {
    /// Whether one of its terms may be this recipe.
    pub(super) fn names(&self, recipe: &str) -> bool {
        let mut patterns = self.terms.iter().flat_map(|(_, term)| &term.of);
        patterns.any(|pattern| WildMatch::new(pattern).matches(recipe))
    }

    /// How many of its terms have no record in a setting.
    pub(super) fn absent(&self, setting: &Setting) -> usize {
        self.terms
            .iter()
            .filter(|(_, term)| term.resolve(setting).is_err())
            .count()
    }

    /// Its value in a setting.
    ///
    /// # Errors
    /// What is missing, or may not be paired.
    pub(super) fn measure(&self, claim: &Definition, setting: &Setting, name: &str) -> Result<Part, String> {
        let mut terms: Vec<(f64, &str)> = Vec::new();
        for (weight, term) in &self.terms {
            terms.push((*weight, term.resolve(setting)?));
        }
        let words = describe(&terms);
        let mut models: Option<BTreeSet<&str>> = None;
        for (_, recipe) in &terms {
            let here: BTreeSet<&str> = setting[recipe].keys().copied().collect();
            models = Some(models.map_or(here.clone(), |models| &models & &here));
        }
        let models = models.unwrap_or_default();
        let mut records = BTreeSet::new();
        let mut noise = Noise::Nothing;
        let mut by_model = Vec::new();
        for model in models {
            let of_terms: Vec<(f64, &BTreeMap<u64, &Observation>)> = terms
                .iter()
                .map(|(weight, recipe)| (*weight, &setting[recipe][model]))
                .collect();
            // What a method reports may be certain of one recipe and not of another.
            let mut noises = of_terms.iter().flat_map(|(_, seeds)| seeds.values()).map(|of| of.noise);
            noise = noises.find(|of| *of != Noise::Nothing).unwrap_or(noise);
            let seeds = paired(&of_terms, claim.scale, &mut records)?;
            if seeds.len() < claim.seeds {
                return Err(format!("{} of {} seeds of {words}", seeds.len(), claim.seeds));
            }
            by_model.push(seeds);
        }
        let estimate = match (claim.samples, by_model.as_slice()) {
            (_, []) => return Err(format!("no model with all of {words}")),
            (Samples::Models, models) => {
                let means: Vec<f64> = models.iter().map(|seeds| mean(&means(seeds))).collect();
                found(&means)
            }
            (Samples::Items, [seeds, ..]) => match noise {
                Noise::Items => over_items(seeds),
                Noise::Rounds => found(&means(seeds)),
                Noise::Nothing => exact(&means(seeds)),
            },
        };
        let (value, interval) = (estimate.value, estimate.interval);
        Ok(Part {
            of: words,
            setting: name.to_owned(),
            value,
            interval,
            above: self.above,
            below: self.below,
            p: estimate.of.map(|of| {
                let above = self.above.map(|bound| one_sided(of, value - bound));
                let below = self.below.map(|bound| one_sided(of, bound - value));
                above.into_iter().chain(below).fold(0.0, f64::max)
            }),
            records,
        })
    }
}

/// A value, with its error where there is one.
struct Found {
    value: f64,
    interval: Option<Interval>,
    of: Option<Estimate>,
}

fn of_estimate(estimate: Estimate) -> Found {
    Found {
        value: estimate.value,
        interval: estimate.interval(COVERAGE),
        of: Some(estimate),
    }
}

fn found(values: &[f64]) -> Found {
    Estimate::of_mean(values).map_or_else(
        || Found {
            value: mean(values),
            interval: None,
            of: None,
        },
        of_estimate,
    )
}

/// Of a number without noise; several seeds give it the range of their values.
fn exact(values: &[f64]) -> Found {
    let [low, high] = [f64::min, f64::max].map(|of| values.iter().copied().reduce(of).unwrap_or(f64::NAN));
    Found {
        value: mean(values),
        interval: Some(Interval { low, high }),
        of: None,
    }
}

/// Over windows or items, and over seeds if there are several.
fn over_items(seeds: &[Vec<f64>]) -> Found {
    if let Some(estimate) = Estimate::of_seeds(seeds) {
        return of_estimate(estimate);
    }
    let items = seeds.iter().map(Vec::len).min().unwrap_or(0);
    let over_seeds: Vec<f64> = (0..items)
        .map(|item| mean(&seeds.iter().map(|seed| seed[item]).collect::<Vec<_>>()))
        .collect();
    found(&over_seeds)
}

/// The chance of a mean `distance` or more on its side of a bound, if it lies on the bound in truth.
fn one_sided(estimate: Estimate, distance: f64) -> f64 {
    let two_sided = Estimate {
        value: distance,
        ..estimate
    }
    .p_value();
    if distance > 0.0 {
        two_sided / 2.0
    } else {
        1.0 - two_sided / 2.0
    }
}

/// The weighted sums of the samples under each seed that all terms with several have; those with one stand beside each.
fn paired(
    terms: &[(f64, &BTreeMap<u64, &Observation>)],
    scale: Scale,
    records: &mut BTreeSet<String>,
) -> Result<Vec<Vec<f64>>, String> {
    let several = terms.iter().filter(|(_, seeds)| seeds.len() > 1);
    let shared = several
        .map(|(_, seeds)| seeds.keys().copied().collect::<BTreeSet<u64>>())
        .reduce(|a, b| &a & &b);
    let seeds: Vec<Option<u64>> = shared.map_or_else(|| vec![None], |seeds| seeds.into_iter().map(Some).collect());
    let mut columns: Vec<Vec<f64>> = Vec::new();
    for seed in seeds {
        let mut column: Vec<f64> = Vec::new();
        for (weight, by_seed) in terms {
            let single = by_seed.values().next().filter(|_| by_seed.len() == 1);
            let Some(observation) = single.or_else(|| by_seed.get(&seed?)) else {
                continue;
            };
            records.insert(observation.key.clone());
            let samples = scaled(&observation.samples, scale);
            if column.is_empty() {
                column = vec![0.0; samples.len()];
            }
            let wanted = columns.first().map_or(column.len(), Vec::len);
            if wanted != samples.len() {
                let found = samples.len();
                return Err(format!(
                    "{found} samples of {}, and {wanted} of what it stands beside",
                    observation.recipe
                ));
            }
            for (sum, sample) in column.iter_mut().zip(samples) {
                *sum += weight * sample;
            }
        }
        columns.push(column);
    }
    Ok(columns)
}

/// By the delta method where the exponential is wanted.
fn scaled(samples: &[f64], scale: Scale) -> Vec<f64> {
    match scale {
        Scale::Loss => samples.to_vec(),
        Scale::Perplexity => {
            let centre = mean(samples);
            let value = |sample: &f64| centre.exp() * (1.0 + sample - centre);
            samples.iter().map(value).collect()
        }
    }
}

pub(super) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn means(seeds: &[Vec<f64>]) -> Vec<f64> {
    seeds.iter().map(|samples| mean(samples)).collect()
}

impl Term {
    /// The recipe of the setting that it stands for.
    fn resolve<'a>(&self, setting: &Setting<'a>) -> Result<&'a str, String> {
        let mut all: Vec<(f64, &'a str)> = Vec::new();
        for pattern in &self.of {
            let mut fitting = setting
                .iter()
                .filter(|(recipe, _)| WildMatch::new(pattern).matches(recipe));
            let (recipe, models) = fitting.next().ok_or_else(|| format!("no record of {pattern}"))?;
            if let Some((other, _)) = fitting.next() {
                return Err(format!("several recipes are {pattern}: {recipe} and {other}"));
            }
            let numbers = models.values().flat_map(|seeds| seeds.values());
            all.push((
                mean(&numbers.map(|number| mean(&number.samples)).collect::<Vec<_>>()),
                *recipe,
            ));
        }
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        let place = match self.choice {
            Choice::Only | Choice::Lowest => 0,
            Choice::Median => all.len() / 2,
        };
        all.get(place)
            .map(|(_, recipe)| *recipe)
            .ok_or_else(|| "a recipe".to_owned())
    }
}

/// `A − 2 · B`.
fn describe(terms: &[(f64, &str)]) -> String {
    let mut positive_first: Vec<&(f64, &str)> = terms.iter().collect();
    positive_first.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut words = String::new();
    for (weight, recipe) in positive_first {
        words += match (words.is_empty(), *weight < 0.0) {
            (true, true) => "−",
            (true, false) => "",
            (false, true) => " − ",
            (false, false) => " + ",
        };
        if (weight.abs() - 1.0).abs() > 1e-12 {
            words += &format!("{:.3} · ", weight.abs());
        }
        words += recipe;
    }
    words
}
