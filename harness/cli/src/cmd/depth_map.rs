//! `prunebench depth-map`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use prunebench_model::source::ModelSource;
use prunebench_reports::HeatMap;
use prunebench_results::{PerplexityRequest, Record, statistics};
use prunebench_sweep::{EvaluationText, Experiment, Limits, Plan, RecipeText, Source, ordered_records};
use prunebench_tensor::{DType, Device, Engine};
use serde::Serialize;

use crate::Outcome;
use crate::cmd::local::LocalArgs;
use crate::cmd::show::ShowArgs;
use crate::cmd::sweep::CarriedOut;
use crate::output::{print, print_json};

/// Perplexity from which on a map's colours are all alike, as a multiple of the dense model's.
const DARKEST: f64 = 10.0;

/// Apply a method to every range of blocks, and map the perplexities.
#[derive(Debug, Args)]
#[command(
    after_help = "Every method with `start` and `end` will do: prune-range, merge, shuffle, two-parallel, parallel-stretch, \
average-outputs, layer-parallel (which takes pairs). Each range is a cell of an experiment, in a process \
of its own; a run that was cut off goes on where it stopped when it is started again. Beside the records lie depth-map.csv, a line for each range, and \
depth-map-METHOD.svg, starts down and ends across. Printed is the best range of each length: where to put so many blocks.

Examples:
  prunebench depth-map --model tiny --method two-parallel,prune-range --protocol world/stream-128@1 --windows 64
  prunebench depth-map --model smollm2-135m --method layer-parallel --length 2,4,8 --protocol wikitext2/stream-512@1 --windows 16"
)]
pub struct DepthMap {
    /// Model: tiny, smollm2-135m, hf:org/name[@rev], a folder in HF layout, or a .gguf file
    #[arg(long, value_name = "SOURCE")]
    model: String,
    /// Methods, separated by commas
    #[arg(long, value_name = "METHOD", value_delimiter = ',', required = true)]
    method: Vec<String>,
    /// Only ranges of so many blocks, separated by commas
    #[arg(long, value_name = "BLOCKS", value_delimiter = ',')]
    length: Vec<usize>,
    /// Perplexity protocol
    #[arg(long)]
    protocol: String,
    /// First windows of the text; all if left out
    #[arg(long, value_name = "N")]
    windows: Option<usize>,
    /// Seeds of methods that draw, separated by commas; their perplexities are averaged
    #[arg(long, value_name = "SEED", value_delimiter = ',', default_value = "0")]
    seed: Vec<u64>,
    /// Engine; the last in this build if left out
    #[arg(long)]
    engine: Option<Engine>,
    /// Device: cpu, cuda or cuda:INDEX
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Name of the experiment; made of the model and the protocol if left out
    #[arg(long)]
    name: Option<String>,
    /// Folder of results, in which each experiment has its own
    #[arg(long, value_name = "DIR", default_value = "results/runs")]
    results: PathBuf,
    /// Folder with texts (text/NAME/...); else PRUNEBENCH_DATA, else the Hub
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    #[command(flatten)]
    local: LocalArgs,
    /// Print the lines of depth-map.csv as JSON
    #[arg(long)]
    json: bool,
}

/// A range, and what a method does to the model there.
#[derive(Debug, Clone, Serialize)]
struct Line {
    model: String,
    method: String,
    start: usize,
    end: usize,
    effective_depth: Option<u64>,
    seeds: usize,
    protocol: String,
    windows: Option<usize>,
    perplexity: Option<f64>,
    ratio_to_dense: Option<f64>,
    /// Of the first seed, over windows.
    perplexity_stderr: Option<f64>,
    status: String,
}

impl DepthMap {
    pub fn run(self) -> Outcome {
        let Some(engine) = self.engine.or_else(|| Engine::compiled().last().copied()) else {
            anyhow::bail!("this build has no engine; build with the cargo feature `candle` or `torch`");
        };
        let blocks = self
            .model
            .parse::<ModelSource>()?
            .resolve()?
            .load(&Device::cpu(engine), DType::F32)?
            .decoder
            .graph
            .blocks
            .len();
        let ranges = self.ranges(blocks);
        if ranges.is_empty() {
            anyhow::bail!(
                "no range of {:?} blocks is in a model of {blocks}; name other lengths with --length",
                self.length
            );
        }
        let plan = Plan::new(&self.experiment(engine, &ranges), self.data.as_deref())?;
        let folder = self.results.join(&plan.experiment);
        let carried_out = CarriedOut::new(&plan, &folder, &self.local.executor(&plan, &folder)?)?;
        let lines = self.lines(&ranges, &ordered_records(&folder)?);
        let files = self.write(&folder, &lines)?;
        match self.json {
            true => print_json(&lines)?,
            false => print(&best(&lines))?,
        }
        carried_out.close(&ShowArgs::default(), &folder, files)
    }

    /// Method, start and end.
    fn ranges(&self, blocks: usize) -> Vec<(String, usize, usize)> {
        let mut ranges = Vec::new();
        for method in &self.method {
            let (prunes, pairs) = (method == "prune-range", method == "layer-parallel");
            // Of one block there is nothing to rearrange.
            let shortest = if prunes { 1 } else { 2 };
            for start in 0..blocks {
                for end in start + shortest..=blocks {
                    let length = end - start;
                    let everything = length == blocks && prunes;
                    let wanted = self.length.is_empty() || self.length.contains(&length);
                    if wanted && !everything && (!pairs || length.is_multiple_of(2)) {
                        ranges.push((method.clone(), start, end));
                    }
                }
            }
        }
        ranges
    }

    fn experiment(&self, engine: Engine, ranges: &[(String, usize, usize)]) -> Experiment {
        let plain = |text: &str| -> String {
            let letters = text
                .chars()
                .map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' });
            letters.collect()
        };
        let model = Path::new(&self.model)
            .file_name()
            .map_or_else(|| self.model.clone(), |name| name.display().to_string());
        let recipes = ranges.iter().map(|range| RecipeText::One(recipe(range))).collect();
        Experiment {
            include: Vec::new(),
            axes: BTreeMap::new(),
            source: Source::default(),
            name: self
                .name
                .clone()
                .unwrap_or_else(|| format!("depth-map-{}-{}", plain(&model), plain(&self.protocol))),
            description: String::new(),
            models: vec![self.model.clone()],
            recipes,
            engines: vec![engine.to_string()],
            devices: vec![self.device.clone()],
            dtypes: vec!["f32".to_owned()],
            seeds: self.seed.clone(),
            threads: self.local.threads(),
            calibration: None,
            recovery: None,
            evaluation: EvaluationText {
                perplexity: vec![PerplexityRequest {
                    protocol: self.protocol.clone(),
                    windows: self.windows,
                }],
                ..EvaluationText::default()
            },
            expect: Vec::new(),
            limits: Limits::default(),
        }
    }

    /// A line for each range, in order.
    fn lines(&self, ranges: &[(String, usize, usize)], records: &[Record]) -> Vec<Line> {
        let perplexity = |record: &Record| Some(record.metrics.as_ref()?.perplexity.first()?.value);
        let dense = records
            .iter()
            .find(|record| record.cell.recipe == prunebench_sweep::baseline())
            .and_then(perplexity);
        let line = |range: &(String, usize, usize)| {
            let wanted = canonical(&recipe(range));
            let of_range: Vec<&Record> = records.iter().filter(|record| record.cell.recipe == wanted).collect();
            let values: Vec<f64> = of_range.iter().filter_map(|record| perplexity(record)).collect();
            let mean = statistics::mean(&values);
            let first = of_range.first().and_then(|record| record.metrics.as_ref());
            let result = first.and_then(|metrics| metrics.perplexity.first());
            Line {
                model: self.model.clone(),
                method: range.0.clone(),
                start: range.1,
                end: range.2,
                effective_depth: first.map(|metrics| metrics.accounting.effective_depth),
                seeds: values.len(),
                protocol: self.protocol.clone(),
                windows: result.map(|result| result.windows),
                perplexity: mean,
                // As tables have it.
                ratio_to_dense: dense.and_then(|dense| geometric_mean(values.iter().map(|value| value / dense))),
                perplexity_stderr: result.and_then(|result| result.stderr),
                status: of_range
                    .first()
                    .map_or_else(|| "to do".to_owned(), |record| record.status.to_string()),
            }
        };
        ranges.iter().map(line).collect()
    }

    /// The lines as CSV, and a picture of each method.
    fn write(&self, folder: &Path, lines: &[Line]) -> anyhow::Result<Vec<PathBuf>> {
        let mut csv = csv::Writer::from_writer(Vec::new());
        for line in lines {
            csv.serialize(line)?;
        }
        let mut files = vec![(folder.join("depth-map.csv"), csv.into_inner()?)];
        for method in &self.method {
            let of_method = lines.iter().filter(|line| line.method == *method);
            let map = HeatMap {
                title: format!("{}, {method}: perplexity over that of dense", self.model),
                rows: "start".to_owned(),
                columns: format!("end (excluded); {}", self.protocol),
                values: "ratio".to_owned(),
                cells: of_method
                    .filter_map(|line| Some(((line.start, line.end), line.ratio_to_dense?)))
                    .collect(),
                most: DARKEST,
            };
            if !map.cells.is_empty() {
                let plot = map.plot(format!("depth-map-{method}"))?;
                files.push((folder.join(format!("{}.svg", plot.name)), plot.svg.into_bytes()));
            }
        }
        for (path, content) in &files {
            prunebench_files::write(path, content)
                .with_context(|| format!("{} can't be written; check the folder and the disk", path.display()))?;
        }
        Ok(files.into_iter().map(|(path, _)| path).collect())
    }
}

fn geometric_mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let logarithms: Vec<f64> = values.map(f64::ln).collect();
    statistics::mean(&logarithms).map(f64::exp)
}

fn recipe((method, start, end): &(String, usize, usize)) -> String {
    format!("{method}(start={start}, end={end})")
}

/// The recipe as records spell it.
fn canonical(recipe: &str) -> Vec<String> {
    prunebench_methods::Recipe::parse(&[recipe]).map_or_else(|_| vec![recipe.to_owned()], |recipe| recipe.canonical())
}

/// The best range of each method and length.
fn best(lines: &[Line]) -> String {
    let mut best: BTreeMap<(&str, usize), &Line> = BTreeMap::new();
    for line in lines.iter().filter(|line| line.perplexity.is_some()) {
        let entry = best.entry((&line.method, line.end - line.start)).or_insert(line);
        if line.perplexity < entry.perplexity {
            *entry = line;
        }
    }
    let mut text = String::new();
    for ((method, length), line) in best {
        text += &format!(
            "{method}: {length} blocks at their best {}..{}, perplexity {:.4} ({:.3} of dense), effective depth {}\n",
            line.start,
            line.end,
            line.perplexity.unwrap_or(f64::NAN),
            line.ratio_to_dense.unwrap_or(f64::NAN),
            line.effective_depth.unwrap_or_default()
        );
    }
    text
}
