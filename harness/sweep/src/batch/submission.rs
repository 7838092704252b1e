//! What was handed to a batch system, in files beside the records: the tasks of each array, and the jobs that they became.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::scheduler::{Shape, TaskId};
use crate::machine::now;
use crate::plan::Plan;

/// Folder of the submissions, in that of an experiment's results.
const SUBMISSIONS: &str = "submissions";
const JOBS: &str = "jobs.json";
const LOGS: &str = "logs";

/// One submission of an experiment.
#[derive(Debug)]
pub(super) struct Submission {
    folder: PathBuf,
    pub(super) jobs: Vec<Job>,
}

/// An array that was submitted.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Job {
    /// As the batch system names it.
    pub(super) job: String,
    /// File of its tasks, beside this one.
    pub(super) tasks: PathBuf,
    pub(super) shape: Shape,
    /// RFC 3339.
    pub(super) submitted_at: String,
    /// Every task has ended, and every cell of theirs has what record it will have.
    pub(super) settled: bool,
}

/// What a task is told: a part of an experiment's plan.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Task {
    pub(super) plan: Plan,
    /// How often each cell had been tried before.
    pub(super) tries: Vec<usize>,
}

impl Submission {
    /// A new submission of the experiment whose results are in `results`.
    pub(super) fn new(results: &Path) -> io::Result<Self> {
        let all = results.join(SUBMISSIONS);
        fs::create_dir_all(&all)?;
        // Ordered by time, also as names.
        let stamp = format!("{}-", now().replace(':', ""));
        let mut builder = tempfile::Builder::new();
        builder.prefix(&stamp).rand_bytes(4);
        // As any folder, which a temporary one would not be.
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
        let folder = builder.tempdir_in(&all)?.keep();
        fs::create_dir(folder.join(LOGS))?;
        Ok(Self {
            folder: folder.canonicalize()?,
            jobs: Vec::new(),
        })
    }

    /// The submissions of an experiment, the first one first; none if there never was one.
    pub(super) fn all(results: &Path) -> io::Result<Vec<Self>> {
        let entries = match fs::read_dir(results.join(SUBMISSIONS)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut submissions = Vec::new();
        for entry in entries {
            let folder = entry?.path();
            let jobs = match fs::read_to_string(folder.join(JOBS)) {
                // Killed before its first job.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                jobs => serde_json::from_str(&jobs?).map_err(|error| foreign(&folder.join(JOBS), &error))?,
            };
            submissions.push(Self { folder, jobs });
        }
        submissions.sort_by(|a, b| a.folder.cmp(&b.folder));
        Ok(submissions)
    }

    /// Writes the tasks of an array.
    pub(super) fn write_tasks(&self, tasks: &[Task]) -> io::Result<PathBuf> {
        let path = self.folder.join(format!("array-{}.jsonl", self.jobs.len()));
        let mut text = Vec::new();
        for task in tasks {
            serde_json::to_writer(&mut text, task)?;
            text.push(b'\n');
        }
        prunebench_files::write(&path, &text)?;
        Ok(path)
    }

    /// Writes down that the array became this job.
    pub(super) fn add(&mut self, job: String, tasks: &Path, shape: Shape) -> io::Result<()> {
        self.jobs.push(Job {
            job,
            tasks: tasks.file_name().unwrap_or_default().into(),
            shape,
            submitted_at: now(),
            settled: false,
        });
        self.write_jobs()
    }

    pub(super) fn write_jobs(&self) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(&self.jobs)?;
        prunebench_files::write(&self.folder.join(JOBS), &text)
    }

    pub(super) fn logs(&self) -> PathBuf {
        self.folder.join(LOGS)
    }

    /// The tasks of a job with their names.
    pub(super) fn tasks(&self, job: &Job) -> io::Result<Vec<(TaskId, Task)>> {
        let path = self.folder.join(&job.tasks);
        let lines = BufReader::new(File::open(&path)?).lines().enumerate();
        let task = |(index, line): (usize, io::Result<String>)| {
            let task = serde_json::from_str(&line?).map_err(|error| foreign(&path, &error))?;
            let job = job.job.clone();
            Ok((TaskId { job, index }, task))
        };
        lines.map(task).collect()
    }
}

/// The task of this number in a file of tasks.
pub(super) fn task(path: &Path, index: usize) -> io::Result<Task> {
    let line = BufReader::new(File::open(path)?).lines().nth(index).transpose()?;
    let Some(line) = line else {
        let text = format!("{} has no line {index}, counted from 0", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    };
    serde_json::from_str(&line).map_err(|error| foreign(path, &error))
}

fn foreign(path: &Path, error: &serde_json::Error) -> io::Error {
    let text = format!("{}: {error}; was it written by another version?", path.display());
    io::Error::new(io::ErrorKind::InvalidData, text)
}
