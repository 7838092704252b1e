//! What a person sees while work goes on: lines at the end of a terminal that change, or plain lines that are written once
//! where no terminal shows them.

mod downloads;
mod draw;
mod names;
mod region;
mod steps;
mod sweep;

use std::collections::HashMap;
use std::time::Instant;

use console::{Term, truncate_str};
use prunebench_results::{Record, Status};
use prunebench_sweep::{Observer, Plan, Planned};

pub use self::downloads::show_downloads;
pub use self::draw::named;
use self::draw::{green, red, yellow};
use self::names::{Names, ending, reason};
pub use self::names::{name, outcome};
use self::region::Region;
pub use self::steps::{Step, Steps};
use self::sweep::Sweep;
use crate::output::note;

/// What stands for a field of a line that has none.
const NONE: &str = "-";

/// Tells on standard error how far the cells of a plan are. On a terminal that is a [`Region`], above which only cells without
/// numbers leave a line. Elsewhere each cell leaves a line when it ends, with two spaces between its fields: how many have ended,
/// how it ended, model, place, recipe, time, numbers.
pub struct Progress<'a> {
    cells: &'a [Planned],
    names: Names,
    ended: usize,
    /// When the processes of cells began.
    since: HashMap<usize, Instant>,
    region: Option<Region<Sweep>>,
}

impl<'a> Progress<'a> {
    pub fn new(plan: &'a Plan) -> Self {
        let cells = plan.cells.as_slice();
        let open = cells.iter().filter(|planned| planned.skip.is_none()).count();
        Self {
            cells,
            names: Names::of(cells),
            ended: 0,
            since: HashMap::new(),
            region: Region::on_terminal(Sweep::new(&plan.experiment, cells.len(), open)),
        }
    }

    fn place_and_recipe(&self, cell: usize) -> (String, String) {
        let cell = &self.cells[cell].cell;
        (self.names.place(cell), self.names.recipe(cell))
    }

    /// A plain line, with `word` in colour if that is wanted.
    fn line(&self, cell: usize, word: &str, colour: fn(&str) -> String, time: &str, rest: &str) -> String {
        let cell = &self.cells[cell].cell;
        let all = self.cells.len().to_string();
        format!(
            "[{:>width$}/{all}]  {}  {}  {} {} {} seed {}  {}  {time}  {rest}",
            self.ended,
            colour(&format!("{word:<7}")),
            cell.model,
            cell.engine,
            cell.device,
            cell.dtype,
            cell.seed,
            self.names.recipe(cell),
            width = all.len(),
        )
    }
}

impl Observer for Progress<'_> {
    fn started(&mut self, cell: usize, _: u32) {
        self.since.insert(cell, Instant::now());
        if let Some(region) = &self.region {
            let (place, recipe) = self.place_and_recipe(cell);
            region.change(|sweep| sweep.started(cell, place, recipe));
        }
    }

    fn waits(&mut self, cell: usize, reason: &str) {
        match &self.region {
            Some(region) => {
                let (place, recipe) = self.place_and_recipe(cell);
                region.change(|sweep| sweep.waits(cell, place, recipe, reason));
            }
            None => note(&self.line(cell, "waits", yellow, NONE, reason)),
        }
    }

    fn progress(&mut self, cell: usize, phase: &str, done: usize, total: usize) {
        if let Some(region) = &self.region {
            region.change(|sweep| sweep.progress(cell, phase, done, total));
        }
    }

    fn finished(&mut self, cell: usize, record: &Record, measured: bool) {
        self.ended += 1;
        let since = self.since.remove(&cell).filter(|_| measured);
        let has_failed = !matches!(record.status, Status::Ok | Status::Skipped);
        let Some(region) = &self.region else {
            let time = match since {
                Some(since) => format!("{:.1} s", since.elapsed().as_secs_f64()),
                None if record.status == Status::Skipped => NONE.to_owned(),
                None if measured => "by a job".to_owned(),
                None => "done before".to_owned(),
            };
            let colour = match record.status {
                Status::Ok => green,
                Status::Skipped => yellow,
                _ => red,
            };
            note(&self.line(cell, &record.status.to_string(), colour, &time, &outcome(record)));
            return;
        };
        let measurable = self.cells[cell].skip.is_none();
        region.change(|sweep| sweep.finished(cell, measurable, has_failed, measured && !has_failed));
        if has_failed {
            let (place, recipe) = self.place_and_recipe(cell);
            let width = Term::stderr().size().1.into();
            region.keep(&failed(&place, &recipe, record.status, reason(record), width));
        }
    }
}

/// `✗ torch  laco 25 %  out of memory: took ...`, its end cut off where there is no room: the table tells the whole of it.
fn failed(place: &str, recipe: &str, status: Status, reason: &str, width: usize) -> String {
    let line = format!("✗ {place}  {recipe}  {}{reason}", ending(status));
    truncate_str(&line, width, "…").replacen('✗', &red("✗"), 1)
}

#[cfg(test)]
mod tests {
    use console::measure_text_width;

    use super::*;

    #[test]
    fn the_line_of_a_cell_that_failed_begins_with_its_reason_and_fits() {
        console::set_colors_enabled_stderr(false);
        let reason = "took 0.7 GB, and limits.memory_gb is 0.6";
        let line = |width| failed("torch", "laco 25 %", Status::Oom, reason, width);
        assert_eq!(line(90), format!("✗ torch  laco 25 %  out of memory: {reason}"));
        assert_eq!(line(48), "✗ torch  laco 25 %  out of memory: took 0.7 GB,…");
        assert!((1..90).all(|width| measure_text_width(&line(width)) <= width));
    }
}
