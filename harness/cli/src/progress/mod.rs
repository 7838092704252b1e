//! How far a sweep is: a bar for each running cell on a terminal, plain lines elsewhere.

use std::collections::HashMap;
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use prunebench_results::{Cell, Record, Status};
use prunebench_sweep::{Observer, Planned};

use crate::output::note;

/// Tells on standard error how far the cells of a plan are.
pub struct Progress<'a> {
    cells: &'a [Planned],
    bars: MultiProgress,
    terminal: bool,
    running: HashMap<usize, Running>,
}

struct Running {
    bar: ProgressBar,
    since: Instant,
}

impl<'a> Progress<'a> {
    pub fn new(cells: &'a [Planned]) -> Self {
        Self {
            cells,
            bars: MultiProgress::with_draw_target(ProgressDrawTarget::stderr()),
            terminal: io::stderr().is_terminal(),
            running: HashMap::new(),
        }
    }

    fn line(&self, cell: usize) -> String {
        format!("[{}/{}] {}", cell + 1, self.cells.len(), name(&self.cells[cell].cell))
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
    parts.extend(metrics.budget.cache_faults.iter().cloned());
    if let Some(memory) = &record.memory {
        parts.push(format!("peak {} MiB", memory.peak_resident_bytes >> 20));
    }
    format!("{}: {}", record.status, parts.join(", "))
}

impl Observer for Progress<'_> {
    fn started(&mut self, cell: usize, process: u32) {
        let line = self.line(cell);
        let bar = self.bars.add(ProgressBar::no_length());
        if self.terminal {
            // The template is fixed and valid; without it the bar would only look different.
            if let Ok(style) =
                ProgressStyle::with_template("{spinner} {prefix}: {msg} [{bar:24}] {pos}/{len} {elapsed}")
            {
                bar.set_style(style.progress_chars("=> "));
            }
            bar.set_prefix(line);
            bar.set_message("start");
            bar.enable_steady_tick(Duration::from_millis(200));
        } else {
            note(&format!("{line}: process {process}"));
        }
        let since = Instant::now();
        self.running.insert(cell, Running { bar, since });
    }

    fn waits(&mut self, cell: usize, reason: &str) {
        let text = format!("{}: {reason}", self.line(cell));
        self.bars.suspend(|| note(&text));
    }

    fn progress(&mut self, cell: usize, phase: &str, done: usize, total: usize) {
        if let Some(Running { bar, .. }) = self.running.get(&cell) {
            bar.set_message(phase.to_owned());
            bar.set_length(total as u64);
            bar.set_position(done as u64);
        }
    }

    fn finished(&mut self, cell: usize, record: &Record, measured: bool) {
        let running = self.running.remove(&cell);
        let how = match running.as_ref().filter(|_| measured) {
            Some(Running { since, .. }) => format!("{:.1} s", since.elapsed().as_secs_f64()),
            None if record.status == Status::Skipped => "not measured".to_owned(),
            None if measured => "measured by a job".to_owned(),
            None => "done before".to_owned(),
        };
        if let Some(Running { bar, .. }) = running {
            bar.finish_and_clear();
            self.bars.remove(&bar);
        }
        let text = format!("{}: {} ({how})", self.line(cell), summary(record));
        self.bars.suspend(|| note(&text));
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        // A line that could not be cleared stands there, and that is all.
        let _ = self.bars.clear();
    }
}
