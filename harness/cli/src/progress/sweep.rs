//! A sweep as its region shows it: how far it is, and below that what runs.

use std::collections::BTreeMap;
use std::time::Instant;

use console::measure_text_width;
use prunebench_results::statistics::median;

use super::draw::{line, phase, times, yellow};
use super::region::Drawn;
use crate::terminal::shortened;

/// Recipes get no narrower than this while what the cells are at can give way.
const RECIPE: usize = 16;

/// How far the cells of a plan are.
pub struct Sweep {
    name: String,
    cells: usize,
    /// Of them, those that have to be measured.
    open: usize,
    ended: usize,
    failed: usize,
    since: Instant,
    /// How long the cells took that this run measured.
    seconds: Vec<f64>,
    /// By their place in the plan.
    running: BTreeMap<usize, Running>,
}

struct Running {
    place: String,
    recipe: String,
    at: String,
    /// When its process began; none while it waits.
    since: Option<Instant>,
}

impl Sweep {
    /// `open` of these cells have to be measured unless they are.
    pub fn new(name: &str, cells: usize, open: usize) -> Self {
        Self {
            name: name.to_owned(),
            cells,
            open,
            ended: 0,
            failed: 0,
            since: Instant::now(),
            seconds: Vec::new(),
            running: BTreeMap::new(),
        }
    }

    /// The process of a cell began.
    pub fn started(&mut self, cell: usize, place: String, recipe: String) {
        let running = Running {
            place,
            recipe,
            at: "start".to_owned(),
            since: Some(Instant::now()),
        };
        self.running.insert(cell, running);
    }

    /// A cell can't begin, for the reason that it gives.
    pub fn waits(&mut self, cell: usize, place: String, recipe: String, reason: &str) {
        let running = Running {
            place,
            recipe,
            at: reason.to_owned(),
            since: None,
        };
        self.running.insert(cell, running);
    }

    /// It is at this.
    pub fn progress(&mut self, cell: usize, name: &str, done: usize, total: usize) {
        if let Some(running) = self.running.get_mut(&cell) {
            running.at = phase(name, done, total);
        }
    }

    /// A cell has its record: `measurable` if it has to have numbers, `failed` if it has none, `timed` if how long it took says
    /// something of others.
    pub fn finished(&mut self, cell: usize, measurable: bool, failed: bool, timed: bool) {
        let running = self.running.remove(&cell);
        let seconds = running.and_then(|running| Some(running.since?.elapsed().as_secs_f64()));
        self.seconds.extend(seconds.filter(|_| timed));
        self.ended += 1;
        self.open = self.open.saturating_sub(usize::from(measurable));
        self.failed += usize::from(failed);
    }

    /// Seconds until the end, if every cell takes the median of those that ended here and as many run at once as now.
    fn left(&self, now: Instant) -> Option<f64> {
        let each = median(&self.seconds)?;
        let begun: Vec<Instant> = self.running.values().filter_map(|running| running.since).collect();
        if begun.is_empty() {
            return None;
        }
        let of_running = |since: &Instant| (each - now.duration_since(*since).as_secs_f64()).max(0.0);
        let running: f64 = begun.iter().map(of_running).sum();
        let waiting = self.open.saturating_sub(begun.len()) as f64 * each;
        Some((waiting + running) / begun.len() as f64)
    }

    fn lines_at(&self, now: Instant, width: usize) -> Vec<String> {
        let failed = (self.failed > 0).then(|| format!("{} failed", self.failed));
        let mut words = format!("{} of {} cells", self.ended, self.cells);
        words += &failed.iter().map(|failed| format!(" · {failed}")).collect::<String>();
        let times = times(now.duration_since(self.since), self.left(now));
        words += &format!(" · {times}");
        let fraction = self.ended as f64 / self.cells.max(1) as f64;
        let mut lines = vec![line(&self.name, fraction, &words, failed.as_deref(), width)];
        let longest = |part: fn(&Running) -> &str| {
            let widths = self.running.values().map(|running| measure_text_width(part(running)));
            widths.max().unwrap_or(0)
        };
        let place = longest(|running| &running.place);
        let at = longest(|running| if running.since.is_some() { &running.at } else { "" });
        let room = width.saturating_sub(2 + place + 2 + 3 + at);
        let recipe = longest(|running| &running.recipe);
        let recipe = recipe.min(room.max(RECIPE));
        for running in self.running.values() {
            let cut = shortened(&running.recipe, recipe);
            let text = format!("▸ {:place$}  {cut:recipe$}   {}", running.place, running.at);
            let text = shortened(&text, width);
            lines.push(if running.since.is_some() { text } else { yellow(&text) });
        }
        lines
    }
}

impl Drawn for Sweep {
    fn lines(&self, width: usize) -> Vec<String> {
        self.lines_at(Instant::now(), width)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use indicatif::InMemoryTerm;

    use super::*;
    use crate::progress::region::Region;

    fn sweep() -> Sweep {
        console::set_colors_enabled_stderr(false);
        let mut sweep = Sweep::new("quick", 40, 39);
        for (cell, failed) in [(0, false), (1, true)] {
            sweep.started(cell, "torch".into(), "dense".into());
            sweep.finished(cell, true, failed, !failed);
        }
        sweep.finished(2, false, false, false);
        sweep.started(3, "candle".into(), "shortgpt 25 % + lora".into());
        sweep.progress(3, "training", 312, 640);
        sweep.started(4, "torch".into(), "slicegpt 25 %".into());
        sweep
    }

    #[test]
    fn what_runs_stands_below_what_ended_and_what_is_left_is_by_the_median() {
        let mut sweep = sweep();
        let now = Instant::now();
        (sweep.since, sweep.seconds) = (now - Duration::from_secs(72), vec![2.0, 4.0, 30.0]);
        for (running, seconds) in sweep.running.values_mut().zip([1, 100]) {
            running.since = Some(now - Duration::from_secs(seconds));
        }
        let lines = sweep.lines_at(now, 100);
        // 35 cells of 4 s wait, 3 s are left of one that runs and nothing of the other, and two run at once.
        assert!(
            lines[0].ends_with("  3 of 40 cells · 1 failed · 1:12, about 1:11 left"),
            "{lines:?}"
        );
        assert!(lines[0].starts_with("quick  ━━━──"), "{lines:?}");
        assert_eq!(
            lines[1..],
            [
                "▸ candle  shortgpt 25 % + lora   training 312/640",
                "▸ torch   slicegpt 25 %          start"
            ]
        );
        sweep.seconds.clear();
        assert!(sweep.lines_at(now, 100)[0].ends_with(" · 1:12"));
    }

    #[test]
    fn no_line_is_wider_than_the_terminal_and_what_cells_are_at_stays_longest() {
        let mut sweep = sweep();
        let long = "finetune learning_rate=0.001 + prune-range end=5 start=3";
        sweep.started(5, "torch cuda".into(), long.into());
        sweep.progress(5, "perplexity", 1, 64);
        sweep.waits(
            6,
            "torch".into(),
            "dense".into(),
            "another run measures speed on this machine",
        );
        for width in 1..130 {
            let lines = sweep.lines_at(Instant::now(), width);
            assert_eq!(lines.len(), 5);
            assert!(
                lines.iter().all(|line| measure_text_width(line) <= width),
                "{width}\n{}",
                lines.join("\n")
            );
        }
        let lines = sweep.lines_at(Instant::now(), 60);
        assert!(
            lines[3].contains('…') && lines[3].ends_with("perplexity 1/64"),
            "{}",
            lines[3]
        );
    }

    #[test]
    fn a_line_that_is_kept_stands_above_and_the_region_goes_with_the_sweep() {
        let terminal = InMemoryTerm::new(12, 80);
        let region = Region::in_memory(&terminal, sweep());
        region.draw();
        assert_eq!(terminal.contents().lines().count(), 3);
        region.change(|sweep| sweep.finished(4, true, true, false));
        region.keep("✗ torch  slicegpt 25 %  out of memory");
        let shown = terminal.contents();
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines.len(), 3, "{shown}");
        assert_eq!(lines[0], "✗ torch  slicegpt 25 %  out of memory");
        assert!(lines[1].contains("4 of 40 cells · 2 failed"), "{shown}");
        assert!(lines[2].starts_with("▸ candle"), "{shown}");
        drop(region);
        assert_eq!(terminal.contents(), "✗ torch  slicegpt 25 %  out of memory");
    }
}
