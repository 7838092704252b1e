//! Cells that tests compare.

use std::collections::BTreeMap;

use prunebench_results::{Cell, Cpu, CpuModel, Evaluation, Inputs, PerplexityRequest, Provenance, Status};

use super::{GateError, Observed, Report, Rules, Series, Snapshot, judge};

/// A processor called `a CPU` that is identified.
pub(crate) fn cpu_model(family: u32) -> Cpu {
    Cpu::Identified(CpuModel {
        name: "a CPU".into(),
        vendor: "a maker".into(),
        family,
        model: 17,
        stepping: 1,
        vectors: vec!["avx2".into(), "avx512f".into()],
    })
}

/// A cell of a recipe with these numbers.
pub(crate) fn cell(recipe: &str, seed: u64, series: impl IntoIterator<Item = (&'static str, Series)>) -> Observed {
    let cell = Cell {
        model: "tiny".into(),
        recipe: vec![recipe.into()],
        engine: "candle".into(),
        device: "cpu".into(),
        dtype: "f32".into(),
        seed,
        evaluation: Evaluation {
            perplexity: vec![PerplexityRequest {
                protocol: "p@1".into(),
                windows: None,
            }],
            ..Evaluation::default()
        },
    };
    let inputs = Inputs::from([
        ("model".to_owned(), "ab".repeat(32)),
        ("engine:candle".to_owned(), "candle 0.11.1".to_owned()),
    ]);
    Observed {
        key: cell.key(&inputs),
        cell,
        inputs,
        status: Status::Ok,
        error: None,
        provenance: Provenance {
            git_revision: Some("0123abcd".into()),
            git_dirty: false,
            prunebench_version: "0.1.0".into(),
            rustc: "rustc 1.95.0".into(),
            engine_version: "candle 0.11.1".into(),
            host: None,
            cpu: Cpu::Named("a CPU".into()),
            cores: 2,
            threads: 2,
            memory_bytes: 1 << 33,
            gpu: None,
            gpu_uuid: None,
            driver: None,
            os: "an OS".into(),
            started_at: "2025-01-01T00:00:00Z".into(),
            finished_at: "2025-01-01T00:00:09Z".into(),
        },
        series: series
            .into_iter()
            .map(|(name, series)| (name.to_owned(), series))
            .collect::<BTreeMap<_, _>>(),
    }
}

pub(crate) fn failed(recipe: &str, seed: u64, status: Status) -> Observed {
    Observed {
        status,
        error: Some("took longer than 60 s".into()),
        ..cell(recipe, seed, [])
    }
}

/// Answers whose log-likelihoods are known by `digest`.
pub(crate) fn answers(right: Vec<u8>, digest: &str) -> Series {
    Series::Answers {
        scope: format!("{} items", right.len()),
        right: vec![right],
        sha256: digest.into(),
    }
}

/// `n` items, of which all but the first `wrong` are right.
pub(crate) fn all_but(wrong: usize, n: usize) -> Vec<u8> {
    (0..n).map(|item| u8::from(item >= wrong)).collect()
}

pub(crate) fn losses(nll: Vec<f64>) -> Series {
    Series::Losses {
        scope: format!("{} windows", nll.len()),
        units: vec![1.0; nll.len()],
        nll,
    }
}

pub(crate) fn snapshot(cells: impl IntoIterator<Item = Observed>) -> Snapshot {
    Snapshot {
        cells: cells.into_iter().collect(),
    }
}

/// Rules of one family at level 0.05, as lines `metric, margin, direction`.
pub(crate) fn rules(lines: &[(&str, f64, &str)]) -> Rules {
    let rules = lines.iter().map(|(metric, margin, direction)| {
        format!(
            "[[rule]]\nmetric = \"{metric}\"\nmargin = {margin:?}\ndirection = \"{direction}\"\nfamily = \"quality\"\n"
        )
    });
    Rules::parse(&("[family.quality]\nalpha = 0.05\n".to_owned() + &rules.collect::<String>())).unwrap()
}

pub(crate) fn accuracy(margin: f64) -> Rules {
    rules(&[("acc", margin, "higher-is-better")])
}

/// Judges one cell with one accuracy.
pub(crate) fn judged(before: Series, after: Series, rules: &Rules) -> Result<Report, GateError> {
    let of = |series| snapshot([cell("wanda(ratio=0.5)", 0, [("acc", series)])]);
    judge(&of(after), &of(before), rules)
}
