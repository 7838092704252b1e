//! The process of one cell: loads the model, applies the recipe, measures, and says so on standard output.

use std::io::{self, BufRead, Write};
use std::time::{Duration, Instant};

use prunebench_datasets::{Catalogue, Places, Scoring, text, text_documents};
use prunebench_eval::{Dense, peak_resident, perplexity, rolling_perplexity, task, throughput, training_throughput};
use prunebench_methods::{Keeping, Sharing};
use prunebench_model::Decoder;
use prunebench_model::checkpoint::LoadedModel;
use prunebench_model::source::{Location, ModelSource, ResolvedModel};
use prunebench_results::{Metrics, PerplexityResult, SharedWorkCache, Status, TaskResult};
use prunebench_tensor::Device;

use crate::evaluation::{documents, task_input};
use crate::gpu;
use crate::machine::hardware;
use crate::message::{Message, Request};
use crate::precision::Precision;
use crate::recipe::{Compressed, Supplies, compress};
use crate::unchanged::{check, check_model, text_input};

/// Progress closer together than this is not sent.
const QUIET: Duration = Duration::from_millis(100);

/// What kept a cell from being measured.
#[derive(Debug, thiserror::Error)]
pub enum CellError {
    /// The model or a tensor operation failed.
    #[error(transparent)]
    Model(#[from] prunebench_model::ModelError),
    /// A method failed.
    #[error(transparent)]
    Method(#[from] prunebench_methods::Error),
    /// A text can't be had or cut.
    #[error(transparent)]
    Data(#[from] prunebench_datasets::Error),
    /// A measurement failed.
    #[error(transparent)]
    Evaluation(#[from] prunebench_eval::Error),
    /// The model or the data changed since the cell was planned.
    #[error(
        "{input} ({place}) has the sha256 {found}, and had {planned} when the cell was planned; leave models and data alone \
         until a sweep has ended, and run or submit it again"
    )]
    Changed {
        /// Name among the cell's inputs.
        input: String,
        /// Where it lies.
        place: String,
        /// Hash now.
        found: String,
        /// Hash in the plan.
        planned: String,
    },
    /// A number of the measurement that JSON does not have.
    #[error("a number that was measured is none, or infinite: compress less, or use a wider dtype")]
    NotFinite,
    /// The device has too little memory for the model.
    #[error("{0}")]
    Memory(String),
    /// A name in the cell that is none.
    #[error("{0}")]
    Name(String),
}

impl CellError {
    fn status(&self) -> Status {
        match self {
            Self::NotFinite => Status::Nan,
            Self::Memory(_) => Status::Oom,
            Self::Evaluation(prunebench_eval::Error::Measurement(error)) if error.is_not_finite() => Status::Nan,
            _ => Status::Failed,
        }
    }
}

/// Refuses metrics that would not come back as they are sent: a NaN or an infinity is `null` in JSON.
fn checked(metrics: Metrics) -> Result<Metrics, CellError> {
    let sent = serde_json::to_vec(&metrics).ok();
    match sent.and_then(|sent| serde_json::from_slice::<Metrics>(&sent).ok()) {
        Some(received) if received == metrics => Ok(metrics),
        _ => Err(CellError::NotFinite),
    }
}

/// Serves one cell: reads a request from standard input and writes messages to standard output. Returns at the end of the
/// cell, measured or not.
///
/// Standard input stays open as long as whoever asked is there. Once it closes nobody waits for the answer, and the process
/// ends, so that no worker outlives its run.
///
/// # Errors
/// Standard input without a request, or standard output that is closed.
pub fn serve() -> io::Result<()> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    let request: Request = serde_json::from_str(&line).map_err(|error| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("no request of `prunebench run` on standard input ({error})"),
        )
    })?;
    std::thread::spawn(|| {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        std::process::exit(1);
    });

    let mut last: Option<(String, Instant)> = None;
    let mut progress = |phase: &str, done: usize, total: usize| {
        let recent = last
            .as_ref()
            .is_some_and(|(same, at)| same == phase && at.elapsed() < QUIET);
        if recent && done < total {
            return;
        }
        last = Some((phase.to_owned(), Instant::now()));
        let phase = phase.to_owned();
        // Nothing is lost with a progress message; the last message must arrive, and is checked.
        let _ = send(&Message::Progress { phase, done, total });
    };
    // From a thread of the pool, which takes part in every product; a thread outside would hand each one over and wait.
    let outcome = rayon::scope(|_| measure(&request, &mut progress));
    let outcome = outcome.and_then(|metrics| Ok((checked(metrics)?, peak_resident()?)));
    send(&match outcome {
        Ok((metrics, memory)) => Message::Measured {
            metrics: Box::new(metrics),
            memory,
        },
        Err(error) => Message::Failed {
            status: error.status(),
            error: error.to_string(),
            memory: peak_resident().ok(),
        },
    })
}

fn send(message: &Message) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, message)?;
    writeln!(out)?;
    out.flush()
}

pub(crate) fn measure(
    request: &Request,
    progress: &mut (dyn FnMut(&str, usize, usize) + Send),
) -> Result<Metrics, CellError> {
    let cell = &request.cell;
    let device = Device {
        engine: cell.engine.parse().map_err(CellError::Name)?,
        kind: cell.device.parse().map_err(CellError::Name)?,
    };
    let precision: Precision = cell.dtype.parse().map_err(CellError::Name)?;
    let source = match &request.model {
        Some(path) => ResolvedModel {
            name: cell.model.clone(),
            location: Location::Path(path.clone()),
        },
        None => cell.model.parse::<ModelSource>()?.resolve()?,
    };
    let shares = &request.shares;
    let cache = shares
        .cache
        .as_ref()
        .map(|cache| SharedWorkCache::new(&cache.folder, cache.limit_bytes, hardware(device.kind)));
    device.is_available().map_err(prunebench_model::ModelError::from)?;
    if let Some(refusal) = gpu::refusal(&source, &device, precision.dtype)? {
        return Err(CellError::Memory(refusal));
    }
    progress("load", 0, 1);
    let stamps = check_model(&source, request.stamps.as_ref(), &request.inputs)?;
    let loaded = source.load(&device, precision.dtype);
    // Files that change while they are read can be no model at all.
    check_model(&source, Some(&stamps), &request.inputs)?;
    let mut model = loaded?;
    let places = Places::from_env(request.data.clone());
    let Compressed {
        decoder,
        compression,
        accounting,
        mut budget,
    } = compress(
        &model,
        &cell.recipe,
        Supplies {
            calibration: request.calibration.as_ref(),
            recovery: request.recovery.as_ref(),
            places: &places,
            planned: Some(&request.inputs),
            sharing: cache.as_ref().map(|cache| Sharing {
                cache,
                of_methods: &shares.of_methods,
            }),
            keeping: request.checkpoints.as_ref().map(|checkpoints| Keeping {
                folder: checkpoints.folder.clone(),
                every: Duration::try_from_secs_f64(checkpoints.every_s).unwrap_or(Duration::MAX),
                machine: hardware(device.kind),
            }),
        },
        cell.seed,
        progress,
    )?;
    // What a training left is read by the methods.
    check_model(&source, Some(&stamps), &request.inputs)?;
    let dense = std::mem::replace(&mut model.decoder, decoder);
    // The dense weights that the recipe replaced are not held through the evaluation, unless it compares with them.
    let compares = cell.evaluation.tasks.iter().any(|request| request.divergence);
    let dense = compares.then_some(dense);

    let catalogue = Catalogue::embedded()?;
    let perplexity = perplexities(request, &model, &catalogue, &places, progress)?;
    let with = Compared {
        dense: dense.as_ref(),
        cache: cache.as_ref(),
    };
    let tasks = tasks(request, &model, with, &catalogue, &places, progress)?;
    drop(dense);
    if let Some(cache) = &cache {
        (budget.shared, budget.cache_faults) = (cache.taken(), cache.faults());
    }
    let training = cell.evaluation.training.as_ref().map(|wanted| {
        training_throughput(
            &model.decoder,
            wanted,
            request.threads,
            cell.seed,
            &mut |done, total| {
                progress("training", done, total);
            },
        )
    });
    let throughput = cell.evaluation.throughput.as_ref().map(|wanted| {
        throughput(
            &mut model.decoder,
            wanted,
            request.threads,
            cell.seed,
            &mut |done, total| {
                progress("throughput", done, total);
            },
        )
    });
    Ok(Metrics {
        perplexity,
        throughput: throughput.transpose()?,
        training: training.transpose()?,
        tasks,
        compression,
        accounting,
        budget,
    })
}

fn perplexities(
    request: &Request,
    model: &LoadedModel,
    catalogue: &Catalogue,
    places: &Places,
    progress: &mut dyn FnMut(&str, usize, usize),
) -> Result<Vec<PerplexityResult>, CellError> {
    let mut results = Vec::new();
    for wanted in &request.cell.evaluation.perplexity {
        let protocol = catalogue.protocol(&wanted.protocol)?;
        let input = text_input(&protocol.data_set, &protocol.split);
        let (decoder, tokenizer) = (&model.decoder, model.tokenizer()?);
        let mut heard = |done, total| progress("perplexity", done, total);
        results.push(match protocol.scoring {
            Scoring::Stream { .. } => {
                let text = text(catalogue, &protocol.data_set, &protocol.split, places)?;
                check(&request.inputs, &input, &text.sha256, &text.origin)?;
                perplexity(decoder, tokenizer, &text.content, protocol, wanted.windows, &mut heard)?
            }
            Scoring::Rolling { .. } => {
                let documents = text_documents(catalogue, protocol, places)?;
                check(&request.inputs, &input, &documents.sha256, &documents.origin)?;
                rolling_perplexity(decoder, tokenizer, &documents, protocol, wanted.windows, &mut heard)?
            }
        });
    }
    Ok(results)
}

/// What answers are compared with.
#[derive(Clone, Copy)]
struct Compared<'a> {
    dense: Option<&'a Decoder>,
    cache: Option<&'a SharedWorkCache>,
}

fn tasks(
    request: &Request,
    model: &LoadedModel,
    with: Compared,
    catalogue: &Catalogue,
    places: &Places,
    progress: &mut dyn FnMut(&str, usize, usize),
) -> Result<Vec<TaskResult>, CellError> {
    let work = |index: usize| request.shares.of_tasks.get(index)?.as_ref();
    let mut results = Vec::new();
    for (index, wanted) in request.cell.evaluation.tasks.iter().enumerate() {
        let definition = catalogue.task(&wanted.task)?;
        let documents = documents(definition, wanted, places)?;
        let origins: Vec<String> = documents.origins.iter().map(ToString::to_string).collect();
        check(
            &request.inputs,
            &task_input(wanted),
            &documents.sha256,
            origins.join(", "),
        )?;
        results.push(task(
            &model.decoder,
            model.tokenizer()?,
            definition,
            &documents,
            wanted,
            with.dense.filter(|_| wanted.divergence).map(|decoder| Dense {
                decoder,
                shared: with.cache.zip(work(index)),
            }),
            &mut |done, total| progress(&definition.name, done, total),
        )?);
    }
    Ok(results)
}
