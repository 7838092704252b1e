//! What is kept of records to compare others with them: each number with its samples, and where it comes from.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::{BufRead, BufReader, Read, Write};

use flate2::{Compression, bufread::GzDecoder, write::GzEncoder};
use prunebench_results::{Cell, CellKey, Inputs, Provenance, Record, Status};
use serde::{Deserialize, Serialize};

use super::{GateError, series::series};

/// The version of a baseline's file.
const FORMAT: u32 = 1;

/// Cells with their numbers: a store to be judged, or the baseline to judge it by.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// In the order of the records, each cell once.
    pub cells: Vec<Observed>,
}

/// A cell with its numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Observed {
    /// The key of its record.
    pub key: CellKey,
    /// What was asked.
    pub cell: Cell,
    /// What else decided the numbers.
    pub inputs: Inputs,
    /// How it ended.
    pub status: Status,
    /// Why it is not ok.
    pub error: Option<String>,
    /// Where, when and by what it was measured.
    pub provenance: Provenance,
    /// Its numbers by name; none if it is not ok.
    pub series: BTreeMap<String, Series>,
}

/// A number with what it was made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Series {
    /// A perplexity.
    Losses {
        /// Which windows or documents.
        scope: String,
        /// Summed loss of each.
        nll: Vec<f64>,
        /// What each is spread over.
        units: Vec<f64>,
    },
    /// An accuracy, or an unweighted mean of several.
    Answers {
        /// Which items.
        scope: String,
        /// Of each task whether each item is right, 1 or 0.
        right: Vec<Vec<u8>>,
        /// SHA-256 of the items' log-likelihoods, which differ before an answer does.
        sha256: String,
    },
    /// A number without noise.
    Count {
        /// The number.
        value: f64,
    },
    /// A speed.
    Speed {
        /// Median tokens a second.
        rate: f64,
        /// That over the uncompressed model's in the same interleaved round, if there was one.
        ratio: Option<f64>,
    },
}

/// Where records come from, as sets of what occurs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Git revisions of the program, `dirty` where the checkout differed.
    pub revisions: BTreeSet<String>,
    /// Versions of prunebench.
    pub prunebench: BTreeSet<String>,
    /// Engines with their versions.
    pub engines: BTreeSet<String>,
    /// Machines.
    pub machines: BTreeSet<String>,
    /// The first start, RFC 3339 in UTC.
    pub from: String,
    /// The last end.
    pub to: String,
}

/// What a baseline's file may inflate to: some thousand cells with all their items.
const MOST_BYTES: u64 = 1 << 30;
/// How long its first line may be, before which nothing tells that it is a baseline.
const LONGEST_HEADER: u64 = 1 << 20;

/// The first line of a baseline's file.
#[derive(Debug, Serialize, Deserialize)]
struct Header {
    prunebench_baseline: u32,
    cells: usize,
    origin: Origin,
}

impl Snapshot {
    /// Takes from records, samples included, what a comparison needs. Speeds are related to the records of the recipe
    /// `dense`.
    ///
    /// # Errors
    /// If there is no record, or two of a cell.
    pub fn of(records: &[Record], dense: &[String]) -> Result<Self, GateError> {
        if records.is_empty() {
            return Err(GateError::Empty { what: "the store" });
        }
        let mut seen = HashSet::new();
        for record in records {
            if !seen.insert(&record.cell) {
                return Err(GateError::Twice {
                    cell: crate::comparison::name(record),
                });
            }
        }
        let cells = records.iter().map(|record| Observed {
            key: record.key.clone(),
            cell: record.cell.clone(),
            inputs: record.inputs.clone(),
            status: record.status,
            error: record.error.clone(),
            provenance: record.provenance.clone(),
            series: record
                .metrics
                .as_ref()
                .map(|metrics| series(record, metrics, dense, records))
                .unwrap_or_default(),
        });
        Ok(Self { cells: cells.collect() })
    }

    /// Writes a baseline: gzip over JSON lines, the first with the origin, then one for each cell.
    ///
    /// # Errors
    /// If a cell is neither ok nor skipped, or `out` can't be written.
    pub fn write(&self, out: impl Write) -> Result<(), GateError> {
        if let Some(cell) = self
            .cells
            .iter()
            .find(|cell| !matches!(cell.status, Status::Ok | Status::Skipped))
        {
            return Err(GateError::Unacceptable {
                cell: cell.name(),
                problem: cell.outcome(),
            });
        }
        let mut out = GzEncoder::new(out, Compression::default());
        let header = Header {
            prunebench_baseline: FORMAT,
            cells: self.cells.len(),
            origin: self.origin(),
        };
        serde_json::to_writer(&mut out, &header).map_err(std::io::Error::from)?;
        for cell in &self.cells {
            out.write_all(b"\n")?;
            serde_json::to_writer(&mut out, cell).map_err(std::io::Error::from)?;
        }
        out.write_all(b"\n")?;
        out.finish()?;
        Ok(())
    }

    /// Reads a baseline that [`Self::write`] wrote.
    ///
    /// # Errors
    /// If it is none, or of another version, or not whole.
    pub fn read(file: impl Read) -> Result<Self, GateError> {
        let foreign = |problem: String| GateError::Foreign { problem };
        let unreadable = |error: std::io::Error| foreign(error.to_string());
        let mut content = BufReader::new(GzDecoder::new(BufReader::new(file)).take(MOST_BYTES));
        let mut first = String::new();
        (&mut content)
            .take(LONGEST_HEADER)
            .read_line(&mut first)
            .map_err(unreadable)?;
        let at_line = |number: usize| move |error: serde_json::Error| foreign(format!("line {number}: {error}"));
        let header: Option<Header> = match first.is_empty() {
            true => None,
            false => Some(serde_json::from_str(&first).map_err(at_line(1))?),
        };
        let mut cells = Vec::new();
        for (number, line) in (2..).zip((&mut content).lines()) {
            cells.push(serde_json::from_str(&line.map_err(unreadable)?).map_err(at_line(number))?);
        }
        match header {
            None => Err(foreign("it is empty".to_owned())),
            Some(header) if header.prunebench_baseline != FORMAT => Err(foreign(format!(
                "it is of format {}, this program reads {FORMAT}",
                header.prunebench_baseline
            ))),
            Some(header) if header.cells != cells.len() => {
                Err(foreign(format!("it has {} of {} cells", cells.len(), header.cells)))
            }
            Some(_) => Ok(Self { cells }),
        }
    }

    /// Where its records come from.
    pub fn origin(&self) -> Origin {
        let all = |of: &dyn Fn(&Provenance) -> String| self.cells.iter().map(|cell| of(&cell.provenance)).collect();
        let times = |of: fn(&Provenance) -> &String| self.cells.iter().map(move |cell| of(&cell.provenance));
        Origin {
            revisions: all(&|p| {
                let revision = p.git_revision.as_deref().unwrap_or("unknown");
                format!("{revision}{}", if p.git_dirty { " dirty" } else { "" })
            }),
            prunebench: all(&|p| p.prunebench_version.clone()),
            engines: all(&|p| p.engine_version.clone()),
            machines: all(&machine),
            from: times(|p| &p.started_at).min().cloned().unwrap_or_default(),
            to: times(|p| &p.finished_at).max().cloned().unwrap_or_default(),
        }
    }
}

impl Observed {
    /// How rules and reports call the cell, whatever its seed.
    pub fn group(&self) -> String {
        let Cell {
            model,
            recipe,
            engine,
            device,
            dtype,
            ..
        } = &self.cell;
        format!("{model} {} on {engine} {device} {dtype}", recipe.join(" + "))
    }

    /// How reports call the single cell.
    pub fn name(&self) -> String {
        format!("{}, seed {}", self.group(), self.cell.seed)
    }

    /// Its status, and why it is not ok.
    pub(crate) fn outcome(&self) -> String {
        match &self.error {
            Some(error) => format!("{}: {error}", self.status),
            None => self.status.to_string(),
        }
    }
}

/// What a speed depends on beside the program.
pub(crate) fn machine(p: &Provenance) -> String {
    let gpu = p.gpu.as_ref().map_or_else(String::new, |gpu| format!(", {gpu}"));
    // With all vector extensions, so that machines that differ are written differently.
    format!("{:#}, {} cores, {} threads{gpu}", p.cpu, p.cores, p.threads)
}
