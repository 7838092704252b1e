//! One piece of work in steps, without cells: a training, a compression.

use std::time::{Duration, Instant};

use super::draw::{line, times};
use super::region::{Drawn, Region};
use crate::output::note;

/// Time between two lines where no terminal shows the work.
const QUIET: Duration = Duration::from_secs(15);

/// Tells on standard error how far a piece of work is. On a terminal that is a [`Region`] of one line. Elsewhere a line is
/// written when a phase begins, every 15 s, and when a step is worth one: `[12/640] name  phase  numbers`.
pub struct Steps {
    name: String,
    region: Option<Region<Work>>,
    phase: String,
    said: Instant,
}

/// A step that ended.
pub struct Step<'a> {
    /// What it is a step of.
    pub phase: &'a str,
    /// Steps done.
    pub done: u64,
    /// Steps in all.
    pub total: u64,
    /// Numbers of it.
    pub numbers: &'a str,
    /// Whether it has a line of its own where no terminal shows the work.
    pub is_worth_a_line: bool,
}

impl Steps {
    /// Work of one phase after another; what is left after the first is not known.
    pub fn in_phases(name: &str) -> Self {
        Self::new(name, false)
    }

    /// Work of a single phase.
    pub fn in_one(name: &str) -> Self {
        Self::new(name, true)
    }

    fn new(name: &str, is_one: bool) -> Self {
        Self {
            name: name.to_owned(),
            region: Region::on_terminal(Work::new(name, is_one)),
            phase: String::new(),
            said: Instant::now(),
        }
    }

    /// Tells of a step.
    pub fn step(&mut self, step: &Step) {
        if let Some(region) = &self.region {
            region.change(|work| work.step(step));
            return;
        }
        if self.phase != step.phase || self.said.elapsed() > QUIET || step.is_worth_a_line {
            step.phase.clone_into(&mut self.phase);
            self.said = Instant::now();
            note(&plain(&self.name, step));
        }
    }
}

fn plain(name: &str, step: &Step) -> String {
    let Step {
        phase,
        done,
        total,
        numbers,
        ..
    } = step;
    let width = total.to_string().len();
    let text = format!("[{done:>width$}/{total}]  {name}  {phase}  {numbers}");
    text.trim_end().to_owned()
}

/// Work as its region shows it.
struct Work {
    name: String,
    is_one: bool,
    since: Instant,
    phase: String,
    numbers: String,
    /// When the first step of the phase was told of, and how many were done then: what came before says nothing about the time
    /// that is left.
    begun: (Instant, u64),
    done: u64,
    total: u64,
}

impl Work {
    fn new(name: &str, is_one: bool) -> Self {
        let since = Instant::now();
        Self {
            name: name.to_owned(),
            is_one,
            since,
            phase: "start".to_owned(),
            numbers: String::new(),
            begun: (since, 0),
            done: 0,
            total: 0,
        }
    }

    fn step(&mut self, step: &Step) {
        if self.phase != step.phase {
            step.phase.clone_into(&mut self.phase);
            self.begun = (Instant::now(), step.done);
        }
        step.numbers.clone_into(&mut self.numbers);
        (self.done, self.total) = (step.done, step.total);
    }

    fn line_at(&self, now: Instant, width: usize) -> String {
        let (begun, before) = self.begun;
        let done = self.done.saturating_sub(before);
        let each = now.duration_since(begun).as_secs_f64() / done as f64;
        let left = (self.is_one && done > 0).then(|| each * self.total.saturating_sub(self.done) as f64);
        let counted = match self.total {
            0 | 1 => self.phase.clone(),
            total => format!("{} {} of {total}", self.phase, self.done),
        };
        let parts = [
            counted,
            self.numbers.clone(),
            times(now.duration_since(self.since), left),
        ];
        let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        let fraction = self.done as f64 / self.total.max(1) as f64;
        line(&self.name, fraction, &parts.join(" · "), None, width)
    }
}

impl Drawn for Work {
    fn lines(&self, width: usize) -> Vec<String> {
        vec![self.line_at(Instant::now(), width)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step<'a>(phase: &'a str, done: u64, total: u64, numbers: &'a str) -> Step<'a> {
        Step {
            phase,
            done,
            total,
            numbers,
            is_worth_a_line: false,
        }
    }

    #[test]
    fn work_that_is_gone_on_with_says_what_is_left_by_the_steps_done_since() {
        console::set_colors_enabled_stderr(false);
        let mut work = Work::new("small", true);
        work.step(&step("training", 300, 640, ""));
        work.step(&step("training", 320, 640, "loss 1.93"));
        let now = work.begun.0 + Duration::from_secs(40);
        work.since = work.begun.0;
        let line = work.line_at(now, 100);
        assert!(
            line.ends_with("  training 320 of 640 · loss 1.93 · 0:40, about 10:40 left"),
            "{line}"
        );
        let mut phases = Work::new("small", false);
        phases.step(&step("calibration", 1, 1, ""));
        assert!(phases.line_at(phases.since, 100).ends_with("  calibration · 0:00"));
    }

    #[test]
    fn a_plain_line_says_how_far_what_it_is_and_where() {
        let said = plain("small", &step("training", 12, 640, "loss 1.9300"));
        assert_eq!(said, "[ 12/640]  small  training  loss 1.9300");
        assert_eq!(plain("small", &step("load", 0, 1, "")), "[0/1]  small  load");
    }
}
