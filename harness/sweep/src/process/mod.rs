//! One cell in a process of its own, with a time and a memory limit.

mod ending;
mod following;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::channel;
use std::thread;

use prunebench_results::{Record, SCHEMA, Status};
use prunebench_tensor::TF32_VARIABLE;

use self::ending::{Ending, judge};
use self::following::{Waited, last_lines, receive, wait};
use crate::experiment::Limits;
use crate::gpu;
use crate::machine::{Machine, QUIET_WAITS, memory_kills, now};
use crate::plan::Planned;

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

#[cfg(all(test, unix))]
mod tests;
