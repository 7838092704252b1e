//! Downloads: a bar for each on a terminal, a line at its begin and one at its end elsewhere.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use prunebench_hub::{Download, DownloadState, observe_downloads};

use super::draw::line;
use super::region::{Drawn, Region, is_live};
use crate::output::{note, time};

/// Files smaller than this are there before one could read of them.
const SMALL: u64 = 1_000_000;

/// Shows every download of this process.
pub fn show_downloads() {
    let shown = Mutex::new(Shown::default());
    // The first observer stays, and there is no other.
    observe_downloads(move |download| {
        if download.total.is_none_or(|total| total >= SMALL) {
            let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
            shown.hear(download);
        }
    });
}

/// What is shown of the downloads that go on.
#[derive(Default)]
struct Shown {
    since: BTreeMap<u64, Instant>,
    /// There only while a download goes on, so that it is in nobody's way.
    region: Option<Region<Fetched>>,
}

impl Shown {
    fn hear(&mut self, download: &Download) {
        let now = Instant::now();
        let since = *self.since.entry(download.id).or_insert(now);
        let goes_on = matches!(download.state, DownloadState::Begins | DownloadState::GoesOn);
        if !goes_on {
            self.since.remove(&download.id);
        }
        if !is_live() {
            if let Some(line) = plain(download, now.duration_since(since)) {
                note(&line);
            }
            return;
        }
        if self.region.is_none() && goes_on {
            self.region = Region::on_terminal(Fetched::default());
        }
        if let Some(region) = &self.region {
            region.change(|fetched| match goes_on {
                true => drop(fetched.0.insert(download.id, (download.clone(), since))),
                false => drop(fetched.0.remove(&download.id)),
            });
        }
        if self.since.is_empty() {
            self.region = None;
        }
    }
}

/// The line at the begin of a download, or at its end.
fn plain(download: &Download, gone: Duration) -> Option<String> {
    let Download {
        name,
        from,
        bytes,
        total,
        state,
        ..
    } = download;
    let size = total.map_or_else(
        || "of unknown size".to_owned(),
        |total| format!("{} MB", megabytes(total)),
    );
    let so_far = || format!("{} MB of it are there", megabytes(*bytes));
    Some(match state {
        DownloadState::GoesOn => return None,
        DownloadState::Begins if *from > 0 => format!("fetching {name}, {size}; {}", so_far()),
        DownloadState::Begins => format!("fetching {name}, {size}"),
        DownloadState::Whole => format!("fetched {name} in {}", time(gone.as_secs_f64())),
        DownloadState::Cut => format!("{name} was cut after {}; {}", time(gone.as_secs_f64()), so_far()),
    })
}

/// Whole megabytes, as the word has it.
fn megabytes(bytes: u64) -> u64 {
    (bytes + 500_000) / 1_000_000
}

/// The downloads that go on, and when each began.
#[derive(Default)]
struct Fetched(BTreeMap<u64, (Download, Instant)>);

impl Fetched {
    fn lines_at(&self, now: Instant, width: usize) -> Vec<String> {
        let lines = self.0.values().map(|(download, since)| {
            let Download {
                name,
                from,
                bytes,
                total,
                ..
            } = download;
            let of = total.map_or_else(String::new, |total| format!(" of {}", megabytes(total)));
            let mut words = format!("{}{of} MB", megabytes(*bytes));
            let seconds = now.duration_since(*since).as_secs_f64();
            // Before that a rate is that of a buffer.
            if seconds > 1.0 {
                words += &format!(" · {:.1} MB/s", (bytes - from) as f64 / 1e6 / seconds);
            }
            let fraction = total.map_or(0.0, |total| *bytes as f64 / total.max(1) as f64);
            line(name, fraction, &words, None, width)
        });
        lines.collect()
    }
}

impl Drawn for Fetched {
    fn lines(&self, width: usize) -> Vec<String> {
        self.lines_at(Instant::now(), width)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn download(state: DownloadState, from: u64, bytes: u64) -> Download {
        Download {
            id: 1,
            name: "smollm2-135m".to_owned(),
            from,
            bytes,
            total: Some(92_871_040),
            state,
        }
    }

    #[test]
    fn a_rate_is_of_the_bytes_that_came_and_a_bar_of_those_that_are_there() {
        console::set_colors_enabled_stderr(false);
        let now = Instant::now();
        let since = now - Duration::from_secs(4);
        let cut = download(DownloadState::GoesOn, 10_000_000, 46_435_520);
        let fetched = Fetched(BTreeMap::from([(1, (cut, since))]));
        let lines = fetched.lines_at(now, 60);
        assert_eq!(lines, ["smollm2-135m  ━━━━━━━━━━━───────────  46 of 93 MB · 9.1 MB/s"]);
    }

    #[test]
    fn a_plain_line_stands_at_the_begin_and_at_the_end() {
        let of = |state, from, bytes| plain(&download(state, from, bytes), Duration::from_secs(8));
        let said = [
            of(DownloadState::Begins, 0, 0),
            of(DownloadState::GoesOn, 0, 5_000_000),
            of(DownloadState::Cut, 0, 40_600_000),
            of(DownloadState::Begins, 40_600_000, 40_600_000),
            of(DownloadState::Whole, 40_600_000, 92_871_040),
        ];
        let wanted = [
            Some("fetching smollm2-135m, 93 MB"),
            None,
            Some("smollm2-135m was cut after 8 s; 41 MB of it are there"),
            Some("fetching smollm2-135m, 93 MB; 41 MB of it are there"),
            Some("fetched smollm2-135m in 8 s"),
        ];
        assert_eq!(said.each_ref().map(Option::as_deref), wanted);
    }
}
