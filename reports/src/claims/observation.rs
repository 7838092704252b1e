//! The numbers of records, each as samples whose mean it is.

use std::collections::{BTreeMap, BTreeSet};

use prunebench_results::{Inputs, Metrics, Record, Status};

use super::{Claims, detail::Detail};
use crate::{
    comparison::{method, place},
    gate::{Series, series::series, snapshot::machine},
    paired::{per_item, weighted},
};

/// Every number by which claims may be judged.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observations {
    pub(super) all: Vec<Observation>,
    /// By metric, why records whose method could have reported it have no such number.
    lacking: BTreeMap<String, BTreeSet<String>>,
}

/// A number of one record.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Observation {
    pub(super) key: String,
    pub(super) model: String,
    pub(super) engine: String,
    /// Engine, device and dtype.
    pub(super) place: String,
    pub(super) recipe: String,
    pub(super) seed: u64,
    pub(super) metric: String,
    /// What has to be equal for two numbers to be paired: windows, items, or the machine of a time.
    pub(super) scope: String,
    /// What else decided it.
    pub(super) inputs: Inputs,
    pub(super) finished_at: String,
    pub(super) noise: Noise,
    /// Their mean is the number: of perplexities and speeds the logarithm.
    pub(super) samples: Vec<f64>,
}

/// What a number would differ by if it was measured again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Noise {
    /// Other windows or items.
    Items,
    /// Another round or seed.
    Rounds,
    Nothing,
}

impl Observations {
    /// Adds those of the records of one store, samples included, that a claim of these papers may rest on: by the names that a
    /// gate's rules give them; `decode seconds per token` and `all-reduces per token`, each with its setting; and what methods
    /// report of themselves. Speeds are over those of the recipe `dense` in the same round.
    pub fn add(&mut self, records: &[Record], dense: &[String], papers: &[Claims]) {
        let ok = records.iter().filter(|record| record.status == Status::Ok);
        for (record, metrics) in ok.filter_map(|record| Some((record, record.metrics.as_ref()?))) {
            let found = of_record(record, metrics, dense, records).into_iter();
            self.all
                .extend(found.filter(|observation| papers.iter().any(|claims| claims.want(observation))));
            let (model, engine) = (&record.cell.model, &record.cell.engine);
            let wanted = papers.iter().flat_map(|claims| claims.details(model, engine));
            for (metric, detail) in wanted.collect::<BTreeMap<&str, Detail>>() {
                self.add_detail(record, metrics, metric, &detail);
            }
        }
    }

    fn add_detail(&mut self, record: &Record, metrics: &Metrics, metric: &str, detail: &Detail) {
        let reports = &metrics.compression.method_reports;
        match detail.of(reports) {
            None => {}
            Some(Err(reason)) => {
                let reasons = self.lacking.entry(metric.to_owned()).or_default();
                reasons.insert(reason);
            }
            Some(Ok(value)) => {
                // Another seed might make another model, and have the methods report something else.
                let noise = match reports.iter().any(|report| report.stochastic) {
                    true => Noise::Rounds,
                    false => Noise::Nothing,
                };
                let observation = observation(record, metric.to_owned(), String::new(), noise, vec![value]);
                self.all.push(observation);
            }
        }
    }

    /// Why records whose method could have reported a metric don't have it.
    pub(super) fn lacking(&self, metric: &str) -> impl Iterator<Item = String> {
        self.lacking.get(metric).into_iter().flatten().cloned()
    }
}

fn observation(record: &Record, metric: String, scope: String, noise: Noise, samples: Vec<f64>) -> Observation {
    Observation {
        key: record.key.to_string(),
        model: record.cell.model.clone(),
        engine: record.cell.engine.clone(),
        place: place(record),
        recipe: method(record),
        seed: record.cell.seed,
        metric,
        scope,
        inputs: record.inputs.clone(),
        finished_at: record.provenance.finished_at.clone(),
        noise,
        samples,
    }
}

fn of_record(record: &Record, metrics: &Metrics, dense: &[String], records: &[Record]) -> Vec<Observation> {
    let observation = |metric, scope, noise, samples| observation(record, metric, scope, noise, samples);
    let named = series(record, metrics, dense, records);
    let mut found: Vec<Observation> = named
        .into_iter()
        .filter_map(|(metric, series)| {
            let (scope, noise, samples) = match series {
                Series::Losses { scope, nll, units } => (scope, Noise::Items, per_item(&nll, &units)),
                Series::Answers { scope, right, .. } => (scope, Noise::Items, weighted(&right)),
                Series::Count { value } => (String::new(), Noise::Nothing, vec![value]),
                Series::Speed { ratio, .. } => (machine(&record.provenance), Noise::Rounds, vec![ratio?.ln()]),
            };
            Some(observation(metric, scope, noise, samples))
        })
        .collect();
    if let Some(throughput) = &metrics.throughput {
        let setting = throughput.setting();
        found.push(observation(
            format!("decode seconds per token, {setting}"),
            machine(&record.provenance),
            Noise::Rounds,
            vec![1.0 / throughput.decode.median],
        ));
        if let Some(count) = throughput.all_reduces_per_token {
            let metric = format!("all-reduces per token, {setting}");
            found.push(observation(metric, String::new(), Noise::Nothing, vec![count as f64]));
        }
    }
    found
}
