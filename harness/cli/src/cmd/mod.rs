//! One file per subcommand, and what they share.

pub mod cache;
pub mod claims;
pub mod compare;
pub mod completions;
pub mod compress;
pub mod depth_map;
pub mod doctor;
pub mod eval;
pub mod fetch;
pub mod gate;
pub mod list;
pub mod local;
pub mod new;
pub mod open;
pub mod paper;
pub mod pretrain;
pub mod probe;
pub mod report;
pub mod run;
pub mod schema;
pub mod show;
pub mod start;
pub mod status;
pub mod store;
pub mod stores;
pub mod submit;
pub mod sweep;
pub mod task;
pub mod throughput;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use prunebench_results::{Record, TaskResult};
use prunebench_sweep::{
    Calibration, EvaluationText, Experiment, Host, Launcher, Limits, Observer, Plan, RecipeText, Recovery, Source,
    baseline,
};
use prunebench_tensor::Engine;

use crate::output::{print, print_json};
use crate::progress::{Progress, name, outcome};

/// The user asked for something that isn't there.
#[derive(Debug)]
pub struct Usage(String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// An error that ends the program as wrong usage does.
pub fn usage(problem: String) -> anyhow::Error {
    Usage(problem).into()
}

/// A model and what is done to it.
#[derive(Debug, Args)]
pub struct ModelArgs {
    /// Model: tiny, smollm2-135m, hf:org/name[@rev], a folder in HF layout, a .gguf file, or shape:NAME
    #[arg(long, value_name = "SOURCE")]
    model: String,
    /// Method to apply, such as 'magnitude(ratio=0.5, scope=row)'; several are applied in order
    #[arg(long, value_name = "METHOD")]
    recipe: Vec<String>,
    /// Seed of random choices and of the places of calibration windows
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Calibration text
    #[arg(long, value_name = "TEXT/SPLIT", default_value = "wikitext2/validation")]
    calibration: String,
    /// Calibration windows
    #[arg(long, value_name = "N", default_value_t = 8)]
    calibration_windows: usize,
    /// Tokens in a calibration window
    #[arg(long, value_name = "TOKENS", default_value_t = 512)]
    calibration_window: usize,
    /// Text or instruction set for methods that train, such as wikitext2/validation or alpaca; several are mixed
    #[arg(long, value_name = "TEXT/SPLIT|SET")]
    recovery: Vec<String>,
    /// Sequences of each kept for validation
    #[arg(long, value_name = "N", default_value_t = 0)]
    recovery_validation: usize,
    /// Folder with texts and tasks (text/NAME/..., tasks/NAME/...); else PRUNEBENCH_DATA, else the Hub
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

impl ModelArgs {
    fn recipe(&self) -> Vec<String> {
        if self.recipe.is_empty() {
            baseline()
        } else {
            self.recipe.clone()
        }
    }

    fn recovery(&self) -> Option<Recovery> {
        let (texts, instructions): (Vec<String>, Vec<String>) =
            self.recovery.iter().cloned().partition(|name| name.contains('/'));
        (!self.recovery.is_empty()).then(|| Recovery {
            texts,
            instructions,
            validation: self.recovery_validation,
            ..Recovery::default()
        })
    }

    fn calibration(&self) -> Calibration {
        // Without a slash the split is empty, and the catalogue says which there are.
        let (text, split) = self.calibration.split_once('/').unwrap_or((&self.calibration, ""));
        Calibration {
            text: text.to_owned(),
            split: split.to_owned(),
            windows: self.calibration_windows,
            window: self.calibration_window,
        }
    }
}

/// Where a measurement runs.
#[derive(Debug, Args)]
pub struct PlaceArgs {
    /// Engines, separated by commas; all in this build if left out
    #[arg(long, value_name = "ENGINE", value_delimiter = ',')]
    engine: Vec<String>,
    /// Device: cpu, cuda or cuda:INDEX
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Element type: f32, bf16, f16 or f64; tf32 is f32 whose products a GPU may round
    #[arg(long, default_value = "f32")]
    dtype: String,
    /// Compute threads; all cores if left out
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Print the records as JSON
    #[arg(long)]
    json: bool,
}

/// This program as the process of a cell.
fn launcher() -> anyhow::Result<Launcher> {
    Ok(Launcher {
        program: std::env::current_exe().context("this program's own file can't be found")?,
        arguments: vec!["worker".to_owned()],
    })
}

/// One model on each engine.
fn plan(name_of_it: &str, model: &ModelArgs, place: &PlaceArgs, evaluation: EvaluationText) -> anyhow::Result<Plan> {
    let engines = if place.engine.is_empty() {
        Engine::compiled().iter().map(ToString::to_string).collect()
    } else {
        place.engine.clone()
    };
    let experiment = Experiment {
        include: Vec::new(),
        name: name_of_it.to_owned(),
        description: String::new(),
        models: vec![model.model.clone()],
        recipes: vec![RecipeText::Several(model.recipe())],
        axes: BTreeMap::new(),
        engines,
        devices: vec![place.device.clone()],
        dtypes: vec![place.dtype.clone()],
        seeds: vec![model.seed],
        threads: place.threads,
        calibration: Some(model.calibration()),
        recovery: model.recovery(),
        evaluation,
        expect: Vec::new(),
        limits: Limits::default(),
        source: Source::default(),
    };
    let mut plan = Plan::new(&experiment, model.data.as_deref())?;
    // A plan always has the baseline, which only was asked for if nothing else is there.
    if plan.cells.iter().any(|planned| !planned.is_baseline()) {
        plan.cells.retain(|planned| !planned.is_baseline());
    }
    Ok(plan)
}

/// Measures each cell in a process of its own, and prints what comes out. Nothing is kept.
fn measure(plan: &Plan, place: &PlaceArgs) -> anyhow::Result<Vec<Record>> {
    probe::check_devices(plan.cells.iter(), &[])?;
    let launcher = launcher()?;
    let mut progress = Progress::new(plan);
    let mut records = Vec::new();
    for cell in 0..plan.cells.len() {
        let record = plan.measure_only(cell, &launcher, &Host::this(), &mut progress)?;
        progress.finished(cell, &record, true);
        records.push(record);
    }
    drop(progress);
    if place.json {
        print_json(&records)?;
    } else {
        let lines: Vec<String> = records.iter().map(details).collect();
        print(&lines.join("\n"))?;
    }
    Ok(records)
}

/// Every number of a record that a reader would compare.
fn details(record: &Record) -> String {
    let head = format!("{} {}", record.cell.model, name(&record.cell));
    let Some(metrics) = &record.metrics else {
        return format!("{head}\n  {}: {}\n", record.status, outcome(record));
    };
    let mut text = format!("{head}\n");
    for result in &metrics.perplexity {
        let samples = if result.window.is_some() {
            "documents"
        } else {
            "windows"
        };
        text += &format!(
            "  {}: {:.6}{} per {} ({} of {} {samples}, {} tokens scored)\n",
            result.protocol,
            result.value,
            plus_minus(result.stderr),
            result.unit,
            result.windows,
            result.windows_available,
            result.tokens_scored
        );
        if let (Some(byte), Some(bits)) = (result.byte_perplexity(), result.bits_per_byte()) {
            text += &format!("    {byte:.6} per byte, {bits:.6} bits per byte\n");
        }
    }
    for result in &metrics.tasks {
        text += &accuracies(result);
    }
    for suite in &record.cell.evaluation.suites {
        if let Some((value, stderr)) = suite.mean(&metrics.tasks) {
            let members = suite.members.len();
            text += &format!(
                "  {}: {value:.4}{}, mean of {members} tasks\n",
                suite.suite,
                plus_minus(stderr)
            );
        }
    }
    if let Some(t) = &metrics.throughput {
        text += &format!(
            "  {}, {} repeats, median ± MAD:\n",
            t.setting(),
            t.prefill.seconds.len()
        );
        for (what, samples) in [("prefill, logits of all positions", &t.prefill), ("decode", &t.decode)] {
            text += &format!("    {what}: {:.1} ± {:.1} tokens/s\n", samples.median, samples.mad);
        }
        if let Some(first) = &t.first_token {
            text += &format!(
                "    first token after {:.2} ms\n",
                first.tokens as f64 / first.median * 1e3
            );
        }
        if let Some(ceilings) = &t.ceilings {
            text += &format!(
                "    ceilings: copy {:.1} GB/s, matrix product {:.1} GFLOP/s\n",
                ceilings.copy.per_second / 1e9,
                ceilings.matmul.per_second / 1e9
            );
        }
        if let Some(gpu) = &t.gpu {
            let energy = gpu
                .energy_joules
                .map_or("n/a".to_owned(), |joules| format!("{joules:.0} J"));
            let peak = gpu
                .peak_memory_bytes
                .map_or("n/a".to_owned(), |peak| format!("{} MiB", peak >> 20));
            text += &format!("    GPU: peak memory {peak}, energy {energy}\n");
        }
        if let Some(all_reduces) = t.all_reduces_per_token {
            text += &format!("    all-reduces per token, counted: {all_reduces}\n");
        }
    }
    if let Some(t) = &metrics.training {
        text += &format!(
            "  training of {} parameters, {} sequences of {} tokens, {} at once, threads {}, {} steps{}, median ± MAD: {:.1} ± {:.1} tokens/s\n",
            t.trained_parameters,
            t.batch,
            t.tokens,
            t.micro_batch,
            t.threads,
            t.steps.seconds.len(),
            if t.recompute { ", activations made anew" } else { "" },
            t.steps.median,
            t.steps.mad
        );
    }
    if let Some(memory) = &record.memory {
        text += &format!(
            "  peak memory: {} MiB ({})\n",
            memory.peak_resident_bytes >> 20,
            memory.how
        );
    }
    text
}

/// The task's own metrics.
fn accuracies(result: &TaskResult) -> String {
    let metrics = result.own().iter();
    let metrics: Vec<String> = metrics
        .map(|metric| format!("{} {:.4}{}", metric.name, metric.value, plus_minus(metric.stderr)))
        .collect();
    let request = &result.request;
    let shots = match request.shots {
        0 => String::new(),
        shots => format!(", {shots} shots"),
    };
    let mut text = format!(
        "  {}{shots}: {} ({} of {} documents",
        request.task,
        metrics.join(", "),
        result.documents,
        result.documents_available
    );
    for (count, what) in [
        (result.tied_items, "tied"),
        (result.nan_items, "NaN"),
        (result.scoring.truncated_requests, "requests cut"),
    ] {
        if count > 0 {
            text += &format!(", {count} {what}");
        }
    }
    text += &format!("; {:.1} s)\n", result.scoring.seconds);
    if let Some(divergence) = &result.divergence {
        let (mean, positions) = (divergence.mean, divergence.positions);
        let spread = plus_minus(divergence.stderr);
        text += &format!("    KL to the dense model: {mean:.4}{spread} nats ({positions} positions)\n");
    }
    text
}

fn plus_minus(stderr: Option<f64>) -> String {
    stderr.map_or_else(String::new, |stderr| format!(" ± {stderr:.4}"))
}

/// Whether the user should mend the recipe, and not the machine or the model.
pub fn is_usage(error: &prunebench_methods::Error) -> bool {
    use prunebench_methods::Error::{Config, Recipe, UnknownMethod};
    matches!(error, Config { .. } | Recipe { .. } | UnknownMethod { .. })
}
