//! What is heard of downloads while they go on.
//!
//! One observer hears of all downloads of a process. They begin deep below: planning an experiment resolves its models and reads
//! its texts and tasks, each with settings of its own, and not all of it through the Hub. Who watches is no part of what is
//! fetched, so none of those calls names it.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

type Observer = Box<dyn Fn(&Download) + Send + Sync>;

static OBSERVER: OnceLock<Observer> = OnceLock::new();

/// Lets `observer` hear of every download of this process from now on, on the thread that it goes on in. Only the first observer
/// stays; gives whether it is this one.
pub fn observe_downloads(observer: impl Fn(&Download) + Send + Sync + 'static) -> bool {
    OBSERVER.set(Box::new(observer)).is_ok()
}

/// How far a download is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Download {
    /// No other of this process has it.
    pub id: u64,
    /// What is fetched.
    pub name: String,
    /// Bytes that were there when it began: a download that was cut goes on.
    pub from: u64,
    /// Bytes that are there.
    pub bytes: u64,
    /// Bytes of the whole, if they were announced.
    pub total: Option<u64>,
    /// Where in its life it is.
    pub state: DownloadState,
}

/// Where in its life a download is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DownloadState {
    /// Its bytes are about to come.
    Begins,
    /// Bytes came.
    GoesOn,
    /// All bytes came.
    Whole,
    /// It ended before.
    Cut,
}

/// A download that its observer hears of, and whose end it hears of when this is dropped.
#[derive(Debug)]
pub struct ObservedDownload(Download);

impl ObservedDownload {
    /// Begins to fetch what is called `name`, of which `from` bytes are there and `total` are announced.
    pub fn begin(name: &str, from: u64, total: Option<u64>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let download = Download {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            name: name.to_owned(),
            from,
            bytes: from,
            total,
            state: DownloadState::Begins,
        };
        tell(&download);
        Self(download)
    }

    /// So many bytes are there now.
    pub fn has(&mut self, bytes: u64) {
        (self.0.bytes, self.0.state) = (bytes, DownloadState::GoesOn);
        tell(&self.0);
    }

    /// It ends with all that was to come.
    pub fn is_whole(mut self) {
        self.0.state = DownloadState::Whole;
    }
}

impl Drop for ObservedDownload {
    fn drop(&mut self) {
        if self.0.state != DownloadState::Whole {
            self.0.state = DownloadState::Cut;
        }
        tell(&self.0);
    }
}

fn tell(download: &Download) {
    if let Some(observer) = OBSERVER.get() {
        observer(download);
    }
}
