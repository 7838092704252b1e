//! How far a sweep is, as people read it.

use std::collections::BTreeMap;
use std::path::Path;

use console::measure_text_width;
use prunebench_results::{Running, Status};
use prunebench_sweep::{Queued, Standing};

use crate::cmd::stores::short_name;
use crate::output::time;
use crate::terminal::{Grid, Line, Look, Side, bad, doubtful, faint, good, heading, indented, wrapped};

/// A bar shorter than this says nothing.
const SHORTEST: usize = 10;

/// A bar with counts, then what runs, what failed and why, and what to do next.
pub fn drawn(folder: &Path, standing: &Standing, queue: &[Queued], width: usize) -> String {
    let name = short_name(folder);
    let mut text = far(&name, standing, width);
    if !standing.running.is_empty() {
        text += &format!("\n{}\n{}", heading("running"), running(&standing.running).draw(width));
    }
    if !standing.unsuccessful.is_empty() {
        text += &format!("\n{}\n", heading("failed"));
        for failed in &standing.unsuccessful {
            text += &indented(&bad("✗ "), &failed.cell, width);
            let reason = failed.error.lines().next().unwrap_or_default();
            text += &indented("    ", &format!("{}: {reason}", failed.status), width);
        }
    }
    if !queue.is_empty() {
        text += &format!("\n{}\n", heading("queued"));
        let mut states: BTreeMap<&str, usize> = BTreeMap::new();
        for queued in queue {
            *states.entry(&queued.state).or_default() += 1;
        }
        for (state, cells) in states {
            text += &indented("  ", &format!("{}: {state}", counted(cells)), width);
        }
    }
    if !standing.earlier.is_empty() {
        let earlier = format!("{}; `prunebench run` measures their cells anew.", standing.earlier);
        text += &format!("\n{}\n", wrapped(&earlier, width).join("\n"));
    }
    text + "\n" + &indented(&faint("next  "), &next(&name, standing, queue), width)
}

fn counted(cells: usize) -> String {
    match cells {
        1 => "1 cell".to_owned(),
        cells => format!("{cells} cells"),
    }
}

/// The bar and the counts, in one line where there is room.
fn far(name: &str, standing: &Standing, width: usize) -> String {
    let done = standing.ended.get(&Status::Ok).copied().unwrap_or(0);
    let mut parts = vec![format!("{done} of {} done", counted(standing.cells))];
    for (status, &count) in standing.ended.iter().filter(|(status, _)| **status != Status::Ok) {
        let words = format!("{count} {status}");
        parts.push(match status {
            Status::Skipped => doubtful(&words),
            _ => bad(&words),
        });
    }
    for (count, what) in [(standing.running.len(), "running"), (standing.waiting, "waiting")] {
        if count > 0 {
            parts.push(format!("{count} {what}"));
        }
    }
    if let Some(seconds) = standing.seconds_left {
        parts.push(format!("about {} left", time(seconds)));
    } else if let Some(rate) = standing.cells_per_hour {
        parts.push(format!("{rate:.0} cells an hour"));
    }
    let counts = parts.join(" · ");
    let beside = measure_text_width(name) + measure_text_width(&counts) + 4;
    let ended: usize = standing.ended.values().sum();
    let bar = |room: usize| bar(ended, standing.cells, room);
    match width.checked_sub(beside) {
        Some(room) if room >= SHORTEST => format!("{}  {}  {counts}\n", heading(name), bar(room.min(30))),
        _ => {
            let room = width.saturating_sub(measure_text_width(name) + 2);
            let mut text = format!("{}  {}\n", heading(name), bar(room.clamp(SHORTEST, 60)));
            // Colours would be cut where a part is broken; a part is short.
            let mut line = String::new();
            for part in parts {
                if !line.is_empty() && measure_text_width(&line) + 3 + measure_text_width(&part) > width {
                    text += &format!("{line}\n");
                    line.clear();
                }
                let between = if line.is_empty() { "" } else { " · " };
                line += &format!("{between}{part}");
            }
            text + &line + "\n"
        }
    }
}

fn bar(ended: usize, cells: usize, room: usize) -> String {
    let filled = (room * ended).checked_div(cells).unwrap_or(room);
    good(&"━".repeat(filled)) + &faint(&"─".repeat(room - filled))
}

/// Cells, what each works on, how far it is, and who does it.
fn running(running: &[Running]) -> Grid {
    let cells = |running: &Running| {
        let Some(owner) = &running.owner else {
            return vec![running.stem.clone(), "starts".to_owned(), String::new(), String::new()];
        };
        let (phase, far) = match &owner.phase {
            Some(phase) => (phase.clone(), format!("{}/{}", owner.done, owner.total)),
            None => ("starts".to_owned(), String::new()),
        };
        let job = owner
            .job
            .as_ref()
            .map_or_else(String::new, |job| format!(", job {job}"));
        let by = format!("process {} on {}{job}", owner.process, owner.host);
        vec![owner.cell.clone(), phase, far, by]
    };
    let rows = running.iter().map(|running| Line::Cells(cells(running), Look::Plain));
    Grid {
        sides: vec![Side::Left, Side::Left, Side::Right, Side::Left],
        header: Vec::new(),
        lines: rows.collect(),
    }
}

fn next(name: &str, standing: &Standing, queue: &[Queued]) -> String {
    let report = format!("prunebench report {name}");
    let goes_on = !standing.running.is_empty() || !queue.is_empty();
    match (standing.unsuccessful.is_empty(), goes_on) {
        (_, true) => format!("{report} shows what is there; `watch prunebench status {name}` follows the rest"),
        (true, false) if standing.waiting == 0 => report,
        (true, false) => format!("run the experiment again for the cells that wait; {report}"),
        (false, false) => format!("run the experiment again for the cells that failed; {report}"),
    }
}

#[cfg(test)]
mod tests {
    use prunebench_results::Owner;

    use super::*;

    fn owner(phase: Option<&str>) -> Running {
        Running {
            stem: "tiny-finetune-0123".to_owned(),
            owner: Some(Owner {
                cell: "tiny finetune(steps=640) on candle cpu f32, seed 0".to_owned(),
                process: 4242,
                host: "here".to_owned(),
                since: "2026-01-01T00:00:00Z".to_owned(),
                job: Some("17_3".to_owned()),
                phase: phase.map(str::to_owned),
                done: 312,
                total: 640,
            }),
        }
    }

    #[test]
    fn what_runs_says_how_far_it_is_and_nothing_is_wider_than_asked() {
        console::set_colors_enabled(false);
        let mut standing = Standing {
            cells: 40,
            ended: [(Status::Ok, 27), (Status::Oom, 1)].into(),
            running: vec![owner(Some("finetune: loss 2.31")), owner(None)],
            waiting: 10,
            unsuccessful: Vec::new(),
            earlier: Default::default(),
            cells_per_hour: Some(60.0),
            seconds_left: Some(75.0),
        };
        for width in [40, 80, 120] {
            let drawn = drawn(Path::new("results/runs/a"), &standing, &[], width);
            assert!(drawn.lines().all(|line| measure_text_width(line) <= width), "{drawn}");
            for words in [
                "27 of 40 cells done",
                "1 oom",
                "2 running",
                "about 1 min 15 s left",
                "312/640",
            ] {
                assert!(drawn.contains(words), "{words}: {drawn}");
            }
        }
        standing.running.clear();
        let waits = next("a", &standing, &[]);
        assert!(waits.contains("again for the cells that wait"), "{waits}");
    }
}
