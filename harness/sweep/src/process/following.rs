//! What is heard of a cell's process while it runs, and whether it keeps to its limits.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::process::Child;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::thread::sleep;
use std::time::{Duration, Instant};

use prunebench_results::{Memory, Status};
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

use super::Terms;
use super::ending::{Ending, over_limit};
use crate::message::Message;

/// How often limits are checked.
const TICK: Duration = Duration::from_millis(50);
/// Lines of a worker's standard error that the record of a cell that failed keeps.
const LAST_LINES: usize = 10;

pub(super) fn receive(out: impl Read, sender: &Sender<Message>) {
    for line in BufReader::new(out).split(b'\n').map_while(Result::ok) {
        // A library may print, and in any encoding; what is no message says nothing about the cell.
        if let Ok(message) = serde_json::from_slice(&line)
            && sender.send(message).is_err()
        {
            return;
        }
    }
}

pub(super) fn last_lines(err: impl Read) -> Vec<String> {
    let mut last = VecDeque::new();
    for line in BufReader::new(err).split(b'\n').map_while(Result::ok) {
        if last.len() == LAST_LINES {
            last.pop_front();
        }
        last.push_back(String::from_utf8_lossy(&line).trim_end().to_owned());
    }
    last.into()
}

/// Why a process is not followed any more.
pub(super) enum Waited {
    /// It ended, after this last word.
    Ended(Option<Message>),
    /// It is beyond a limit, and shall have this ending.
    Beyond(Box<Ending>),
    /// The run is over.
    Interrupted,
}

pub(super) fn wait(
    child: &mut Child,
    messages: &Receiver<Message>,
    terms: &Terms,
    heard: &mut dyn FnMut(&str, usize, usize),
) -> Waited {
    let limits = terms.limits;
    let start = Instant::now();
    let mut memory = ResidentMemory::of(child.id());
    let mut last = None;
    loop {
        match messages.recv_timeout(TICK) {
            Ok(Message::Progress { phase, done, total }) => heard(&phase, done, total),
            Ok(word) => last = Some(word),
            // It may have closed its output and go on.
            Err(RecvTimeoutError::Disconnected) => match child.try_wait() {
                Ok(None) => sleep(TICK),
                _ => return Waited::Ended(last),
            },
            Err(RecvTimeoutError::Timeout) => {}
        }
        if terms.interrupted.load(Ordering::Relaxed) {
            return Waited::Interrupted;
        }
        let beyond = |status, error| Ending {
            status,
            error: Some(error),
            metrics: None,
            memory: None,
        };
        if let Some(seconds) = limits.timeout_s
            && start.elapsed().as_secs_f64() > seconds
        {
            let error = format!("ended after limits.timeout_s = {seconds} s; raise it, or measure less");
            return Waited::Beyond(Box::new(beyond(Status::Timeout, error)));
        }
        if let Some(limit) = limits.memory_gb
            && let Some(found) = memory.bytes().filter(|bytes| *bytes as f64 > limit * 1e9)
        {
            let ending = Ending {
                memory: Some(Memory {
                    peak_resident_bytes: found,
                    how: "resident memory when the process was ended".to_owned(),
                }),
                ..beyond(Status::Oom, over_limit(found, limit))
            };
            return Waited::Beyond(Box::new(ending));
        }
    }
}

/// Resident memory of a process as the operating system counts it now.
struct ResidentMemory {
    system: System,
    process: Pid,
}

impl ResidentMemory {
    fn of(process: u32) -> Self {
        Self {
            system: System::new(),
            process: Pid::from_u32(process),
        }
    }

    fn bytes(&mut self) -> Option<u64> {
        let wanted = ProcessRefreshKind::nothing().with_memory().without_tasks();
        let this = ProcessesToUpdate::Some(&[self.process]);
        self.system.refresh_processes_specifics(this, true, wanted);
        Some(self.system.process(self.process)?.memory())
    }
}
