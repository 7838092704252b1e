//! How far a sweep is: bars on a terminal, a line per cell elsewhere.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use prunebench_results::{Cell, Record};
use prunebench_sweep::{Observer, Planned, Watch};

use crate::output::note;

/// Tells on standard error how far a sweep of so many cells is.
pub struct Progress {
    bar: ProgressBar,
    terminal: bool,
    cells: usize,
    /// Number of the cell, from 1.
    current: usize,
    started: Instant,
}

impl Progress {
    pub fn new(cells: usize) -> Self {
        let terminal = io::stderr().is_terminal();
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        // The template is fixed and valid; without it the bar would only look different.
        if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix}: {msg} [{bar:24}] {pos}/{len} {elapsed}") {
            bar.set_style(style.progress_chars("=> "));
        }
        Self {
            bar,
            terminal,
            cells,
            current: 0,
            started: Instant::now(),
        }
    }

    fn line(&self, cell: &Cell) -> String {
        format!("[{}/{}] {}", self.current, self.cells, name(cell))
    }

    fn say(&self, text: &str) {
        self.bar.suspend(|| note(text));
    }
}

/// `wanda(ratio=0.5) on torch cpu f32, seed 1`.
pub fn name(cell: &Cell) -> String {
    let Cell {
        recipe,
        engine,
        device,
        dtype,
        seed,
        ..
    } = cell;
    format!("{} on {engine} {device} {dtype}, seed {seed}", recipe.join(" + "))
}

/// The numbers of a record in one line, or what went wrong.
pub fn summary(record: &Record) -> String {
    let Some(metrics) = &record.metrics else {
        let error = record.error.as_deref().unwrap_or_default();
        return format!("{}: {error}", record.status);
    };
    let mut parts: Vec<String> = metrics
        .perplexity
        .iter()
        .map(|result| format!("{} {:.4}", result.protocol, result.value))
        .collect();
    let suites = &record.cell.evaluation.suites;
    for result in &metrics.tasks {
        let mut members = suites.iter().flat_map(|suite| &suite.members);
        if !members.any(|member| member.is_of(&result.request)) {
            let task = &result.request.task;
            parts.extend(
                result
                    .own()
                    .iter()
                    .map(|metric| format!("{task} {} {:.4}", metric.name, metric.value)),
            );
        }
    }
    for suite in suites {
        parts.extend(
            suite
                .mean(&metrics.tasks)
                .map(|(value, _)| format!("{} {value:.4}", suite.suite)),
        );
    }
    if let Some(throughput) = &metrics.throughput {
        let (prefill, decode) = (throughput.prefill.median, throughput.decode.median);
        parts.push(format!("prefill {prefill:.1} and decode {decode:.1} tokens/s"));
    }
    if let Some(training) = &metrics.training {
        parts.push(format!("training {:.1} tokens/s", training.steps.median));
    }
    if let Some(memory) = &record.memory {
        parts.push(format!("peak {} MiB", memory.peak_resident_bytes >> 20));
    }
    format!("{}: {}", record.status, parts.join(", "))
}

impl Watch for Progress {
    fn started(&mut self, planned: &Planned, process: u32) {
        self.started = Instant::now();
        self.current += 1;
        let line = self.line(&planned.cell);
        if self.terminal {
            self.bar.reset();
            self.bar.set_prefix(line);
            self.bar.set_message("start");
            self.bar.enable_steady_tick(Duration::from_millis(200));
        } else {
            note(&format!("{line}: process {process}"));
        }
    }

    fn progress(&mut self, phase: &str, done: usize, total: usize) {
        self.bar.set_message(phase.to_owned());
        self.bar.set_length(total as u64);
        self.bar.set_position(done as u64);
    }
}

impl Observer for Progress {
    fn finished(&mut self, record: &Record, measured: bool) {
        let how = if measured {
            format!("{:.1} s", self.started.elapsed().as_secs_f64())
        } else {
            self.current += 1;
            "done before".to_owned()
        };
        self.say(&format!("{}: {} ({how})", self.line(&record.cell), summary(record)));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
