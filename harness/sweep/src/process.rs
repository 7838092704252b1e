//! One cell in a process of its own, with a time and a memory limit.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use prunebench_results::{Memory, Metrics, Record, SCHEMA, Status};
use prunebench_tensor::TF32_VARIABLE;
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

use crate::experiment::Limits;
use crate::gpu;
use crate::machine::{Machine, QUIET_WAITS, memory_kills, now};
use crate::message::Message;
use crate::plan::Planned;

/// How often limits are checked.
const TICK: Duration = Duration::from_millis(50);
/// Lines of a worker's standard error that the record of a cell that failed keeps.
const LAST_LINES: usize = 10;

/// The command that [`crate::worker::serve`]s.
#[derive(Debug, Clone)]
pub struct Launcher {
    /// Program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
}

/// What a cell's process is given beside its request.
pub(crate) struct Terms<'a> {
    pub(crate) experiment: &'a str,
    pub(crate) limits: Limits,
    pub(crate) machine: &'a Machine,
    /// The only GPU that it shall see, as `CUDA_VISIBLE_DEVICES` names it; all if absent.
    pub(crate) gpu: Option<&'a str>,
    /// Ends it once it is set.
    pub(crate) interrupted: &'a AtomicBool,
}

/// What is heard of a running cell.
pub(crate) trait Watch {
    /// Its process began.
    fn started(&mut self, process: u32);
    /// Its process works on `phase`.
    fn progress(&mut self, phase: &str, done: usize, total: usize);
}

/// How a process ended, and what it said.
struct Ending {
    status: Status,
    error: Option<String>,
    metrics: Option<Metrics>,
    memory: Option<Memory>,
}

impl Planned {
    /// The record of a cell that can't be.
    pub(crate) fn skipped(&self, experiment: &str, reason: &str, machine: &Machine) -> Record {
        Record {
            error: Some(reason.to_owned()),
            ..self.record(Status::Skipped, experiment, machine, None, now())
        }
    }

    /// A record that says where the cell comes from, and what became of it on the GPU that it was given, if it was.
    pub(crate) fn record(
        &self,
        status: Status,
        experiment: &str,
        machine: &Machine,
        gpu: Option<&str>,
        started_at: String,
    ) -> Record {
        Record {
            schema: SCHEMA,
            key: self.key.clone(),
            cell: self.cell.clone(),
            inputs: self.inputs.clone(),
            experiment: experiment.to_owned(),
            status,
            error: None,
            log: Vec::new(),
            attempts: Vec::new(),
            metrics: None,
            samples: None,
            memory: None,
            provenance: machine.provenance(&self.cell, self.request.threads, gpu, started_at),
        }
    }
}

impl Launcher {
    /// Measures a cell in a process of its own. Whatever happens to that process is the record's status; there is none if it
    /// was interrupted.
    ///
    /// # Errors
    /// If the process can't be started.
    pub(crate) fn record(&self, planned: &Planned, terms: &Terms, watch: &mut dyn Watch) -> io::Result<Option<Record>> {
        let started_at = now();
        let Some((ending, log)) = self.execute(planned, terms, watch)? else {
            return Ok(None);
        };
        Ok(Some(Record {
            error: ending.error,
            log,
            metrics: ending.metrics,
            memory: ending.memory,
            ..planned.record(ending.status, terms.experiment, terms.machine, terms.gpu, started_at)
        }))
    }

    /// Gives the last lines of the process beside its ending, if that isn't `ok`.
    fn execute(
        &self,
        planned: &Planned,
        terms: &Terms,
        watch: &mut dyn Watch,
    ) -> io::Result<Option<(Ending, Vec<String>)>> {
        let threads = planned.request.threads.to_string();
        let kills = memory_kills();
        let mut command = Command::new(&self.program);
        // An interrupt at the terminal is for the run, which then ends its processes itself.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command
            .args(&self.arguments)
            .envs(terms.gpu.map(|gpu| ("CUDA_VISIBLE_DEVICES", gpu)))
            .envs([gpu::COUNTED_ALIKE])
            .env(TF32_VARIABLE, if planned.computes_in_tf32() { "1" } else { "0" })
            .envs(["RAYON_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"].map(|name| (name, &threads)))
            // A waiting OpenMP thread would spin on a core that the other pool of threads needs.
            .envs(QUIET_WAITS)
            // Of a panic the last lines shall keep the message and not the outermost callers.
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        watch.started(child.id());
        // If the machine's memory ends before its limit is seen to be, this process shall go, and no other. Where that can't be
        // said the limit still holds.
        #[cfg(target_os = "linux")]
        let _ = std::fs::write(format!("/proc/{}/oom_score_adj", child.id()), "1000");
        // Held open until the end: the worker lives as long as its standard input.
        let mut stdin = child.stdin.take();
        let request = serde_json::to_string(&planned.request)?;
        // A worker that is gone already is met below, with its status.
        let _ = stdin.as_mut().map(|stdin| writeln!(stdin, "{request}"));
        let (sender, messages) = channel();
        let output = child
            .stdout
            .take()
            .map(|out| thread::spawn(move || receive(out, &sender)));
        let errors = child.stderr.take().map(|err| thread::spawn(move || last_lines(err)));

        let mut progress = None;
        let waited = wait(&mut child, &messages, terms, &mut |phase, done, total| {
            progress = Some(format!("last progress: {phase} {done} of {total}"));
            watch.progress(phase, done, total);
        });
        if !matches!(waited, Waited::Ended(_)) {
            child.kill()?;
        }
        let status = child.wait()?;
        drop(stdin);
        let mut log = errors.and_then(|thread| thread.join().ok()).unwrap_or_default();
        drop(output);
        let ending = match waited {
            Waited::Ended(_) if was_killed(status) && memory_kills() > kills => Ending {
                status: Status::Oom,
                error: Some("the kernel ended it, for the machine's memory was at an end; take a smaller model, or fewer jobs at once".into()),
                metrics: None,
                memory: None,
            },
            Waited::Ended(last) => judge(last, status, &log, terms.limits),
            Waited::Beyond(ending) => *ending,
            Waited::Interrupted => return Ok(None),
        };
        if ending.status == Status::Ok {
            log.clear();
        } else {
            log.extend(progress);
        }
        Ok(Some((ending, log)))
    }
}

/// Whether somebody ended it at once.
fn was_killed(status: ExitStatus) -> bool {
    #[cfg(unix)]
    return std::os::unix::process::ExitStatusExt::signal(&status) == Some(9);
    #[cfg(not(unix))]
    false
}

fn receive(out: impl Read, sender: &Sender<Message>) {
    for line in BufReader::new(out).lines().map_while(Result::ok) {
        // A library may print; what is no message says nothing about the cell.
        if let Ok(message) = serde_json::from_str(&line)
            && sender.send(message).is_err()
        {
            return;
        }
    }
}

fn last_lines(err: impl Read) -> Vec<String> {
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
enum Waited {
    /// It closed its output, after this last word.
    Ended(Option<Message>),
    /// It is beyond a limit, and shall have this ending.
    Beyond(Box<Ending>),
    /// The run is over.
    Interrupted,
}

fn wait(
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
            Err(RecvTimeoutError::Disconnected) => return Waited::Ended(last),
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

fn over_limit(found: u64, limit: f64) -> String {
    format!(
        "took {:.3} GB, limits.memory_gb is {limit}; raise it, or take a smaller model",
        found as f64 / 1e9
    )
}

/// What the last word and the exit status of a process mean together.
fn judge(last: Option<Message>, status: ExitStatus, log: &[String], limits: Limits) -> Ending {
    let failed = |status, error: String, memory| Ending {
        status,
        error: Some(error),
        metrics: None,
        memory,
    };
    // The engines' and the allocator's own words.
    let of_memory = |text: &str| {
        let text = text.to_lowercase();
        text.contains("out of memory")
            || text.contains("memory allocation of")
            || text.contains("can't allocate memory")
            || text.contains("cublas_status_alloc_failed")
    };
    match last {
        Some(Message::Measured { metrics, memory }) if status.success() => {
            let peak = memory.peak_resident_bytes;
            match limits.memory_gb {
                // Shorter than a tick.
                Some(limit) if peak as f64 > limit * 1e9 => failed(Status::Oom, over_limit(peak, limit), Some(memory)),
                _ => Ending {
                    status: Status::Ok,
                    error: None,
                    metrics: Some(*metrics),
                    memory: Some(memory),
                },
            }
        }
        Some(Message::Failed {
            status: said,
            error,
            memory,
        }) if status.success() => {
            let kind = if of_memory(&error) { Status::Oom } else { said };
            failed(kind, error, memory)
        }
        _ => {
            let kind = if of_memory(&log.join("\n")) {
                Status::Oom
            } else {
                Status::Failed
            };
            let words = last_words(log);
            failed(kind, format!("the process ended with {status}; {words}"), None)
        }
    }
}

/// What a process that ended without a message said of it: its panic, else its last line.
fn last_words(log: &[String]) -> String {
    // Rust writes the place in one line, the message in the next, and then a note about backtraces.
    let message = log
        .iter()
        .rposition(|line| line.contains(" panicked at "))
        .map(|place| {
            let message = log[place..].iter().take_while(|line| !line.starts_with("note: "));
            message.map(String::as_str).collect::<Vec<_>>().join(" ")
        });
    let last = || log.iter().rfind(|line| !line.is_empty()).cloned();
    let words = message.or_else(last);
    words.unwrap_or_else(|| "it said nothing on standard error".to_owned())
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

#[cfg(all(test, unix))]
#[path = "process_tests.rs"]
mod tests;
