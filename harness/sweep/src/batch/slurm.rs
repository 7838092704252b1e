//! Slurm, through its own commands.

use std::ffi::OsString;
use std::io::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::process::{Command, Stdio};

use prunebench_results::Status;

use super::scheduler::{Active, Ending, JobArray, Scheduler, SchedulerError, TaskId};

/// Slurm as this machine's commands `sbatch`, `squeue`, `scontrol`, `sacct` and `scancel` reach it.
#[derive(Debug)]
pub struct Slurm;

impl Scheduler for Slurm {
    fn largest_array(&self) -> Result<usize, SchedulerError> {
        let config = output(Command::new("scontrol").args(["show", "config"]), &[])?;
        let size = config.lines().find_map(|line| {
            let (key, value) = line.split_once('=')?;
            (key.trim() == "MaxArraySize").then(|| value.trim().parse().ok())?
        });
        match size {
            Some(size) if size > 0 => Ok(size),
            _ => Err(SchedulerError::Refused {
                command: "scontrol show config".to_owned(),
                reason: "MaxArraySize isn't a positive number there: this Slurm runs no arrays".to_owned(),
            }),
        }
    }

    fn submit(&self, array: &JobArray) -> Result<String, SchedulerError> {
        let mut sbatch = Command::new("sbatch");
        sbatch.args(arguments(array)?).args(array.options);
        let said = output(&mut sbatch, &script(array)?)?;
        // `JOB`, or `JOB;CLUSTER`.
        let job = said.trim().split(';').next().unwrap_or_default();
        if job.is_empty() || !job.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(SchedulerError::Refused {
                command: "sbatch --parsable".to_owned(),
                reason: format!("it named no job but said: {}", said.trim()),
            });
        }
        Ok(job.to_owned())
    }

    fn active(&self) -> Result<Vec<Active>, SchedulerError> {
        let wanted = ["--me", "--noheader", "--array", "--format=%F|%K|%T|%r"];
        let queue = output(Command::new("squeue").args(wanted), &[])?;
        Ok(queue.lines().filter_map(active).collect())
    }

    fn ending(&self, task: &TaskId, log: Option<&str>) -> Result<Ending, SchedulerError> {
        Ok(judge(task, state(task)?.as_deref(), log))
    }

    fn cancel(&self, jobs: &[String]) -> Result<(), SchedulerError> {
        output(Command::new("scancel").args(jobs), &[]).map(drop)
    }
}

/// What `sbatch` is told beside the script.
fn arguments(array: &JobArray) -> Result<Vec<OsString>, SchedulerError> {
    let shape = array.shape;
    let mut arguments = vec![
        "--parsable".to_owned(),
        format!("--job-name={}", array.name),
        format!("--array=0-{}", array.tasks - 1),
        "--nodes=1".to_owned(),
        "--ntasks=1".to_owned(),
        format!("--cpus-per-task={}", shape.cores),
        "--open-mode=append".to_owned(),
    ];
    arguments.extend(shape.memory_mib.map(|memory| format!("--mem={memory}M")));
    arguments.extend(shape.minutes.map(|minutes| format!("--time={minutes}")));
    arguments.extend(shape.gpu.then(|| "--gres=gpu:1".to_owned()));
    arguments.extend(shape.exclusive.then(|| "--exclusive".to_owned()));
    let before = [("afterok", array.after_success), ("afterany", array.after)];
    let dependencies: Vec<String> = before
        .into_iter()
        .filter(|(_, jobs)| !jobs.is_empty())
        .map(|(kind, jobs)| format!("{kind}:{}", jobs.join(":")))
        .collect();
    if !dependencies.is_empty() {
        arguments.push(format!("--dependency={}", dependencies.join(",")));
        arguments.push("--kill-on-invalid-dep=yes".to_owned());
    }
    let mut arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
    arguments.push(log_pattern(array.logs)?);
    Ok(arguments)
}

/// Names the files that [`TaskId::log`] does.
fn log_pattern(logs: &Path) -> Result<OsString, SchedulerError> {
    let bytes = logs.as_os_str().as_bytes();
    if bytes.contains(&b'\\') {
        return Err(SchedulerError::Unspeakable(format!(
            "{} has a backslash, which Slurm allows in no name of an output file; take another results folder",
            logs.display()
        )));
    }
    let mut pattern = b"--output=".to_vec();
    for &byte in bytes {
        // A single % begins one of Slurm's own names.
        pattern.extend(std::iter::repeat_n(byte, if byte == b'%' { 2 } else { 1 }));
    }
    pattern.extend(b"/%A_%a.log");
    Ok(OsString::from_vec(pattern))
}

/// The array's command as a shell script.
fn script(array: &JobArray) -> Result<Vec<u8>, SchedulerError> {
    let words = array.command.iter().map(|word| word.as_bytes());
    let command = shlex::bytes::try_join(words)
        .map_err(|error| SchedulerError::Unspeakable(format!("the command can't be written as a script: {error}")))?;
    let job = "export PRUNEBENCH_JOB=\"${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID\"";
    let mut script = format!("#!/bin/sh\n{job}\nexec ").into_bytes();
    script.extend(command);
    script.extend(b" \"$SLURM_ARRAY_TASK_ID\"\n");
    Ok(script)
}

/// A line of the queue: job, task, state, reason.
fn active(line: &str) -> Option<Active> {
    let mut fields = line.splitn(4, '|');
    let (job, index) = (fields.next()?.trim(), fields.next()?.trim().parse().ok()?);
    let (state, reason) = (fields.next()?.to_lowercase(), fields.next()?);
    let waits = state == "pending" && reason != "None";
    Some(Active {
        task: TaskId {
            job: job.to_owned(),
            index,
        },
        state: if waits { format!("{state}: {reason}") } else { state },
    })
}

/// The last state of a task, if Slurm still knows it: from the accounting where there is one, else from the controller, which
/// forgets after some minutes.
fn state(task: &TaskId) -> Result<Option<String>, SchedulerError> {
    let id = task.to_string();
    let ask = |program: &str, arguments: &[&str]| output(Command::new(program).args(arguments).arg(&id), &[]);
    let accounting = ["--noheader", "--parsable2", "--allocations", "--format=State", "--jobs"];
    // Many a Slurm keeps no accounts, and says so by failing.
    let accounts = ask("sacct", &accounting).unwrap_or_default();
    if let Some(state) = accounts.lines().next().map(str::trim).filter(|state| !state.is_empty()) {
        return Ok(Some(state.to_owned()));
    }
    match ask("scontrol", &["--oneliner", "show", "job"]) {
        Ok(job) => {
            let mut words = job.split_whitespace();
            Ok(words.find_map(|word| word.strip_prefix("JobState=")).map(str::to_owned))
        }
        Err(SchedulerError::Refused { reason, .. })
            if reason.contains("Invalid job id") || reason.contains("not found") =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// What a state means together with what the task's output says of it: with some plugins the state of a job that was killed
/// for its memory is the same as of one that its user cancelled, and only the output tells.
fn judge(task: &TaskId, state: Option<&str>, log: Option<&str>) -> Ending {
    // `slurmstepd: error: *** JOB 3 ON node CANCELLED AT … DUE TO TIME LIMIT ***`
    let words: Vec<String> = log
        .unwrap_or_default()
        .lines()
        .filter(|line| line.contains("slurmstepd"))
        .map(str::to_lowercase)
        .collect();
    let says = |any: &[&str]| words.iter().any(|line| any.iter().any(|word| line.contains(word)));
    let state = state.map(|state| state.split([' ', '+']).next().unwrap_or_default().to_uppercase());
    let cut = |status, what: &str| Ending::Cut(status, format!("Slurm ended the task {task}: {what}"));
    match state.as_deref() {
        Some("OUT_OF_MEMORY") => cut(Status::Oom, "it took more memory than it was given"),
        _ if says(&["memory limit", "oom"]) => cut(Status::Oom, "it took more memory than it was given"),
        Some("TIMEOUT" | "DEADLINE") => cut(Status::Timeout, "its time was over"),
        _ if says(&["due to time limit"]) => cut(Status::Timeout, "its time was over"),
        Some("CANCELLED" | "PREEMPTED" | "REVOKED") => Ending::Cancelled,
        _ if says(&["cancelled at"]) => Ending::Cancelled,
        Some(state) => {
            let text = format!("the task {task} of Slurm ended as {state} and left no record");
            Ending::Cut(Status::Failed, text)
        }
        // It never began, and is gone from the queue.
        None if log.is_none() => Ending::Cancelled,
        None => {
            let text = format!("the task {task} left no record, and Slurm has forgotten how it ended");
            Ending::Cut(Status::Failed, text)
        }
    }
}

/// Runs a command with this input to its end.
fn output(command: &mut Command, input: &[u8]) -> Result<String, SchedulerError> {
    let absent = |command: &Command, source| SchedulerError::Absent {
        program: command.get_program().display().to_string(),
        source,
    };
    let child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.map_err(|source| absent(command, source))?;
    // A command that doesn't read it says itself why.
    let _ = child.stdin.take().map(|mut stdin| stdin.write_all(input));
    let output = child.wait_with_output().map_err(|source| absent(command, source))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let words = [command.get_program()].into_iter().chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    let said = [output.stderr, output.stdout].map(|said| String::from_utf8_lossy(&said).trim().replace('\n', "; "));
    let said = said.into_iter().find(|said| !said.is_empty());
    Err(SchedulerError::Refused {
        command: words.join(" "),
        reason: said.unwrap_or_else(|| output.status.to_string()),
    })
}

#[cfg(test)]
#[path = "slurm_tests.rs"]
mod tests;
