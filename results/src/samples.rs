//! The samples of a record apart from it: JSON lines, gzipped, a line for each window and each item.

use std::io::{self, BufRead, BufReader, Read, Write};

use flate2::{Compression, bufread::GzDecoder, write::GzEncoder};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    record::{Metrics, Record},
    task::TaskItem,
};

/// A line has some hundred bytes, and some ten for each answer to choose from.
const LONGEST_LINE: u64 = 1 << 20;
/// What a file may inflate to: some million samples. No record needs more than a few per cent of it.
const MOST_BYTES: u64 = 1 << 30;

/// A line of the file, as it is written. Names stand beside places, for those who read it without the record.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Sample {
    /// A window or document of `metrics.perplexity[result]`.
    Window {
        result: usize,
        protocol: String,
        nll: f64,
        #[serde(skip_serializing_if = "Option::is_none")]
        units: Option<usize>,
    },
    /// An item of `metrics.tasks[result]`.
    Item {
        result: usize,
        task: String,
        shots: usize,
        #[serde(flatten)]
        item: TaskItem,
    },
}

/// A line of the file, as it is read: what any kind has, since serde takes three times as long to read a tagged line.
#[derive(Debug, Deserialize)]
struct Line {
    kind: Kind,
    result: usize,
    nll: Option<f64>,
    units: Option<usize>,
    document: Option<usize>,
    group: Option<usize>,
    log_likelihoods: Option<Vec<Option<f64>>>,
    greedy: Option<Vec<bool>>,
    gold: Option<usize>,
    #[serde(default)]
    chosen: Vec<usize>,
    divergence: Option<(f64, usize)>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Window,
    Item,
}

impl Line {
    fn item(self) -> Option<TaskItem> {
        Some(TaskItem {
            document: self.document?,
            group: self.group,
            log_likelihoods: self.log_likelihoods?,
            greedy: self.greedy?,
            gold: self.gold,
            chosen: self.chosen,
            divergence: self.divergence,
        })
    }
}

/// Takes the samples out of a record, as the content of their file; `None` if there are none.
pub(crate) fn split(record: &mut Record) -> io::Result<Option<Vec<u8>>> {
    let mut lines = GzEncoder::new(Vec::new(), Compression::default());
    let mut empty = true;
    let mut write = |sample: &Sample| {
        empty = false;
        serde_json::to_writer(&mut lines, sample)?;
        lines.write_all(b"\n")
    };
    let Some(metrics) = &mut record.metrics else {
        return Ok(None);
    };
    for (result, perplexity) in metrics.perplexity.iter_mut().enumerate() {
        let units = std::mem::take(&mut perplexity.units);
        for (index, nll) in std::mem::take(&mut perplexity.window_nll).into_iter().enumerate() {
            write(&Sample::Window {
                result,
                protocol: perplexity.protocol.clone(),
                nll,
                units: units.get(index).copied(),
            })?;
        }
    }
    for (result, task) in metrics.tasks.iter_mut().enumerate() {
        for item in std::mem::take(&mut task.items) {
            write(&Sample::Item {
                result,
                task: task.request.task.clone(),
                shots: task.request.shots,
                item,
            })?;
        }
    }
    let content = lines.finish()?;
    Ok((!empty).then_some(content))
}

/// Puts the samples in a file's content back into the record that they were taken from. However far the content inflates, no
/// more of it is held than a line, and no more samples are than the record names.
pub(crate) fn join(record: &mut Record, content: &[u8]) -> Result<(), String> {
    let metrics = record.metrics.as_mut().ok_or("its record has no metrics")?;
    let mut lines = BufReader::new(GzDecoder::new(content));
    let (mut line, mut left) = (Vec::new(), MOST_BYTES);
    for number in 1.. {
        line.clear();
        let mut longest = (&mut lines).take(LONGEST_LINE + 1);
        let bytes = longest.read_until(b'\n', &mut line);
        let bytes = bytes.map_err(|error| error.to_string())? as u64;
        if bytes == 0 {
            break;
        }
        let problem = |problem: &dyn std::fmt::Display| format!("line {number}: {problem}");
        if bytes > LONGEST_LINE {
            return Err(problem(&format!(
                "it goes on after {LONGEST_LINE} bytes, and a sample takes a few hundred"
            )));
        }
        left = left
            .checked_sub(bytes)
            .ok_or_else(|| problem(&format!("it inflates to more than {MOST_BYTES} bytes")))?;
        let more = |place: &str, wanted: usize| problem(&format!("a sample too many: its record has {wanted} {place}"));
        let line: Line = serde_json::from_slice(&line).map_err(|error| problem(&error))?;
        match line.kind {
            Kind::Window => {
                let result = metrics.perplexity.get_mut(line.result);
                let result = result.ok_or_else(|| problem(&"its record has no such perplexity"))?;
                if result.window_nll.len() >= result.windows {
                    return Err(more(&format!("windows of {}", result.protocol), result.windows));
                }
                let nll = line.nll.ok_or_else(|| problem(&"a window without `nll`"))?;
                result.window_nll.push(nll);
                result.units.extend(line.units);
            }
            Kind::Item => {
                let result = metrics.tasks.get_mut(line.result);
                let result = result.ok_or_else(|| problem(&"its record has no such task"))?;
                if result.items.len() >= result.documents {
                    return Err(more(&format!("items of {}", result.request.task), result.documents));
                }
                let item = line.item();
                let item = item.ok_or_else(|| problem(&"an item without `document`, `log_likelihoods` or `greedy`"))?;
                result.items.push(item);
            }
        }
    }
    Ok(())
}

/// What of a result's samples is missing, if anything is.
pub(crate) fn missing(metrics: &Metrics) -> Option<String> {
    let lacks = |name: &str, found: usize, wanted: usize| format!("{name} has {found} of {wanted} samples");
    let mut windows = metrics.perplexity.iter();
    let windows = windows.find_map(|result| {
        let (found, units) = (result.window_nll.len(), result.units.len());
        if found != result.windows {
            return Some(lacks(&result.protocol, found, result.windows));
        }
        (units != 0 && units != found).then(|| lacks(&result.protocol, units, found))
    });
    windows.or_else(|| {
        let lacking = metrics
            .tasks
            .iter()
            .find(|result| result.items.len() != result.documents)?;
        Some(lacks(&lacking.request.task, lacking.items.len(), lacking.documents))
    })
}

pub(crate) fn sha256(content: &[u8]) -> String {
    Sha256::digest(content)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
#[path = "samples_tests.rs"]
mod tests;
