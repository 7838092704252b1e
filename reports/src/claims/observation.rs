//! The numbers of records, each as samples whose mean it is.

use prunebench_results::{Inputs, Record, Status};

use crate::{
    comparison::{method, place},
    gate::{Series, series::series, snapshot::machine},
    paired::{per_item, weighted},
};

/// A number of one record.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
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
    /// Another round.
    Rounds,
    Nothing,
}

impl Observation {
    /// The numbers of the records of one store, samples included, by the names that a gate's rules give them; and
    /// `decode seconds per token` and `all-reduces per token`, each with its setting. Speeds are over those of the recipe
    /// `dense` in the same round.
    pub fn of(records: &[Record], dense: &[String]) -> Vec<Self> {
        let ok = records.iter().filter(|record| record.status == Status::Ok);
        ok.flat_map(|record| of_record(record, dense, records)).collect()
    }
}

fn of_record(record: &Record, dense: &[String], records: &[Record]) -> Vec<Observation> {
    let Some(metrics) = &record.metrics else {
        return Vec::new();
    };
    let observation = |metric: String, scope: String, noise: Noise, samples: Vec<f64>| Observation {
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
    };
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
