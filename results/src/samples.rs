//! The samples of a record apart from it: JSON lines, gzipped, a line for each window and each item.

use std::io::{self, BufRead, BufReader, Write};

use flate2::{Compression, bufread::GzDecoder, write::GzEncoder};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    record::{Metrics, Record},
    task::TaskItem,
};

/// A line of the file. Names stand beside places, for those who read it without the record.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Sample {
    /// A window or document of `metrics.perplexity[result]`.
    Window {
        result: usize,
        protocol: String,
        nll: f64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
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

/// Puts the samples in a file's content back into the record that they were taken from.
pub(crate) fn join(record: &mut Record, content: &[u8]) -> Result<(), String> {
    let metrics = record.metrics.as_mut().ok_or("its record has no metrics")?;
    for (number, line) in BufReader::new(GzDecoder::new(content)).lines().enumerate() {
        let problem = |problem: &dyn std::fmt::Display| format!("line {}: {problem}", number + 1);
        let line = line.map_err(|error| problem(&error))?;
        match serde_json::from_str(&line).map_err(|error| problem(&error))? {
            Sample::Window { result, nll, units, .. } => {
                let result = metrics.perplexity.get_mut(result);
                let result = result.ok_or_else(|| problem(&"its record has no such perplexity"))?;
                result.window_nll.push(nll);
                result.units.extend(units);
            }
            Sample::Item { result, item, .. } => {
                let result = metrics.tasks.get_mut(result);
                let result = result.ok_or_else(|| problem(&"its record has no such task"))?;
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
