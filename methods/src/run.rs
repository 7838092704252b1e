//! One application of a recipe: the model being edited, what the methods may read, and the meter of what they cost.

use std::ops::Range;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use prunebench_model::graph::BlockShape;
use prunebench_model::{Block, Decoder, ModelError, Rows, Tap};
use prunebench_results::{SharedWork, SharedWorkCache};
use prunebench_tensor::{Tensor, no_grad};
use prunebench_train::{Domain, TrainingRun, Validation};
use rustix::time::{ClockId, clock_gettime};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// What a recipe works on.
pub struct Run<'a> {
    /// The model being edited.
    pub model: Decoder,
    /// The model before the recipe.
    pub dense: &'a Decoder,
    /// Windows of calibration text, in tokens; none if no method needs them.
    pub calibration: &'a [Vec<u32>],
    /// What methods train on.
    pub recovery: Recovery,
    /// What the training of the dense model left beside it.
    pub training_run: Option<TrainingRun>,
    /// A method before this one set weights to zero, which the others keep.
    pub masked: bool,
    seed: u64,
    /// The method at work may draw from the seed.
    draws: bool,
    sharing: Option<Sharing<'a>>,
    keeping: Option<Keeping>,
    /// Trainings that began.
    phases: usize,
    /// Of the method at work.
    shared_work: Option<(&'a SharedWorkCache, &'a SharedWork)>,
    progress: &'a mut dyn FnMut(usize, usize, &str),
    meter: Meter,
}

/// Where the work of a recipe's methods is kept for other cells.
#[derive(Clone, Copy, Debug)]
pub struct Sharing<'a> {
    /// The folder.
    pub cache: &'a SharedWorkCache,
    /// The work of each method of the recipe that cells share, in order, as [`crate::Method::shared_work`] has it.
    pub of_methods: &'a [Option<SharedWork>],
}

/// Where the trainings of a recipe leave checkpoints, so that a run of the same recipe on the same model goes on with them.
#[derive(Clone, Debug)]
pub struct Keeping {
    /// The folder, of this recipe alone.
    pub folder: PathBuf,
    /// Time between two of them.
    pub every: Duration,
    /// What computes. A run on anything else starts afresh.
    pub machine: String,
}

/// Data to train on and to validate on.
#[derive(Clone, Debug, Default)]
pub struct Recovery {
    /// Domains, each with its share of the training sequences.
    pub domains: Vec<(Domain, f64)>,
    /// Sequences that are never trained on.
    pub validation: Vec<Validation>,
}

/// What a recipe cost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Budget {
    /// Tokens of calibration text that were read, however often.
    pub calibration_tokens: u64,
    /// Tokens that the model was trained on, however often.
    pub training_tokens: u64,
    /// Windows that went through the whole model, a part of a pass counted by its share of the model's sublayers; rounded up.
    pub forward_passes: u64,
    /// Time on the clock.
    pub wall_seconds: f64,
    /// CPU time of all threads of the process.
    pub cpu_seconds: f64,
    /// Time on the clock of scores and updates alone, forward passes excluded.
    pub update_seconds: f64,
}

/// Times in seconds.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
struct Meter {
    tokens: u64,
    trained: u64,
    passes: f64,
    forward: f64,
    wall: f64,
    cpu: f64,
}

impl<'a> Run<'a> {
    /// A run on a copy of `dense`. `progress` hears of work done, all work, and what is being done.
    pub fn new(
        dense: &'a Decoder,
        calibration: &'a [Vec<u32>],
        seed: u64,
        progress: &'a mut dyn FnMut(usize, usize, &str),
    ) -> Self {
        Self {
            model: dense.clone(),
            dense,
            calibration,
            recovery: Recovery::default(),
            training_run: None,
            masked: false,
            seed,
            draws: false,
            sharing: None,
            keeping: None,
            phases: 0,
            shared_work: None,
            progress,
            meter: Meter::default(),
        }
    }

    /// The run with data to train on, and with what the dense model's training left.
    pub fn with(mut self, recovery: Recovery, training_run: Option<TrainingRun>) -> Self {
        (self.recovery, self.training_run) = (recovery, training_run);
        self
    }

    /// The run with what other cells made of its work.
    pub fn sharing(self, sharing: Option<Sharing<'a>>) -> Self {
        Self { sharing, ..self }
    }

    /// The run with checkpoints of its trainings.
    pub fn keeping(self, keeping: Option<Keeping>) -> Self {
        Self { keeping, ..self }
    }

    /// What the training of the dense model left beside it.
    ///
    /// # Errors
    /// [`Error::Unmet`] if it left nothing.
    pub(crate) fn training_run(&self, method: &'static str) -> Result<&TrainingRun> {
        self.training_run.as_ref().ok_or(Error::Unmet {
            method,
            need: "what the model's training left beside it",
            cure: "take a model that `prunebench pretrain` made, or `tiny`",
        })
    }

    /// What the methods cost so far.
    pub fn budget(&self) -> Budget {
        let Meter {
            tokens,
            trained,
            passes,
            forward,
            wall,
            cpu,
        } = self.meter;
        Budget {
            calibration_tokens: tokens,
            training_tokens: trained,
            forward_passes: (passes - 1e-6).ceil() as u64,
            wall_seconds: wall,
            cpu_seconds: cpu,
            update_seconds: (wall - forward).max(0.0),
        }
    }

    /// Tells how far the work is.
    pub(crate) fn progress(&mut self, done: usize, total: usize, what: &str) {
        (self.progress)(done, total, what);
    }

    /// Runs `work` on the clocks.
    pub(crate) fn timed<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let (wall, cpu) = (Instant::now(), cpu_time());
        let result = work(self)?;
        self.model.device().sync()?;
        self.meter.wall += wall.elapsed().as_secs_f64();
        self.meter.cpu += cpu_time().saturating_sub(cpu).as_secs_f64();
        Ok(result)
    }

    /// Seed of every random choice of a method that says [`crate::Method::is_stochastic`].
    ///
    /// # Errors
    /// [`Error::Unmet`] if it doesn't: no other seed of such a configuration is ever measured.
    pub(crate) fn seed(&self, method: &'static str) -> Result<u64> {
        self.draws.then_some(self.seed).ok_or(Error::Unmet {
            method,
            need: "the seed",
            cure: "this is a defect of the method, whose `is_stochastic` must be true for this configuration",
        })
    }

    /// Begins method number `index` of the recipe, which may draw from the seed.
    pub(crate) fn begin(&mut self, index: usize, draws: bool) {
        self.draws = draws;
        self.shared_work = self.sharing.and_then(|sharing| {
            let work = sharing.of_methods.get(index)?.as_ref()?;
            Some((sharing.cache, work))
        });
    }

    /// A part of the method's [`crate::Method::shared_work`], made by another cell or by `make`, which leaves the run's model
    /// as it is. Either way the meter shows what it cost whoever made it, and not the time of keeping it or of waiting for it.
    pub(crate) fn shared<T: Serialize + DeserializeOwned>(
        &mut self,
        part: impl Serialize,
        make: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        let Some((cache, work)) = self.shared_work else {
            return make(self);
        };
        let (wall, cpu, before) = (Instant::now(), cpu_time(), self.meter);
        let (cost, made): (Meter, T) = cache.share(work, part, || {
            self.meter = Meter::default();
            let made = self.timed(make)?;
            Ok::<_, Error>((self.meter, made))
        })?;
        self.meter = before;
        self.meter.add(cost);
        // The clocks of the method are running.
        self.meter.wall -= wall.elapsed().as_secs_f64();
        self.meter.cpu -= cpu_time().saturating_sub(cpu).as_secs_f64();
        Ok(made)
    }

    /// Runs the model over each calibration window by itself; `tap` reads along.
    pub(crate) fn forward(&mut self, what: &str, tap: Tap) -> Result<()> {
        self.count_calibration_tokens();
        for (index, window) in self.calibration.iter().enumerate() {
            let ids = self.model.ids(&[window])?;
            self.meter
                .pass(&self.model, 1.0, tap, |tap| self.model.hidden(&ids, None, tap))?;
            self.progress(index + 1, self.calibration.len(), what);
        }
        Ok(())
    }

    /// The residual stream `[1, T, hidden]` of each calibration window before the model's first step.
    pub(crate) fn streams(&mut self) -> Result<Vec<Tensor>> {
        self.count_calibration_tokens();
        let stream = |window: &Vec<u32>| {
            let ids = self.model.ids(&[window])?;
            Ok(self.model.embed(&ids, &Rows::whole(window.len()))?)
        };
        self.calibration.iter().map(stream).collect()
    }

    /// Runs one step over each window's residual stream and gives the streams after it; `tap` reads along.
    pub(crate) fn step(&mut self, step: usize, streams: &[Tensor], tap: Tap) -> Result<Vec<Tensor>> {
        let share = self.share(&self.model, step..step + 1);
        self.meter.step(&self.model, share, step, streams, tap)
    }

    /// [`Run::step`] of `decoder`, which is a version of the run's model.
    pub(crate) fn step_of(&mut self, decoder: &Decoder, step: usize, streams: &[Tensor]) -> Result<Vec<Tensor>> {
        let share = self.share(decoder, step..step + 1);
        self.meter.step(decoder, share, step, streams, &mut |_, _| Ok(()))
    }

    /// The share of a pass through the run's model that some steps of a version of it are, in sublayers: a method may have taken
    /// one out of a block to run the other.
    fn share(&self, decoder: &Decoder, steps: Range<usize>) -> f64 {
        let present = |block: &Block| u32::from(block.attention.is_some()) + u32::from(block.ffn.is_some());
        let shape = |block: &BlockShape| u32::from(block.attention.is_some()) + u32::from(block.ffn.is_some());
        let steps = decoder.graph.steps.get(steps).unwrap_or_default();
        let blocks = steps.iter().flat_map(|step| step.blocks());
        let run: u32 = blocks.map(|&block| present(&decoder.blocks[block])).sum();
        let graph = &self.model.graph;
        let executed = graph.steps.iter().flat_map(|step| step.blocks());
        let whole: u32 = executed.map(|&block| shape(&graph.blocks[block])).sum();
        f64::from(run) / f64::from(whole.max(1))
    }

    /// Final hidden states `[1, T, hidden]` of each residual stream that stands before step `first` of `decoder`, which is a
    /// version of the run's model.
    pub(crate) fn finish(&mut self, decoder: &Decoder, first: usize, streams: &[Tensor]) -> Result<Vec<Tensor>> {
        let share = self.share(decoder, first..decoder.graph.steps.len());
        let one = |stream| {
            self.meter
                .pass(decoder, share, &mut |_, _| Ok(()), |_| finish(decoder, first, stream))
        };
        streams.iter().map(one).collect()
    }

    /// Mean nats per token of the calibration text in `decoder`, which is a version of the run's model. The first token of a
    /// window has no context and does not count.
    pub(crate) fn loss(&mut self, decoder: &Decoder) -> Result<f64> {
        let streams = self.streams()?;
        self.loss_from(decoder, 0, &streams)
    }

    /// [`Run::loss`] from the residual stream of each calibration window before step `first` of `decoder`.
    pub(crate) fn loss_from(&mut self, decoder: &Decoder, first: usize, streams: &[Tensor]) -> Result<f64> {
        let share = self.share(decoder, first..decoder.graph.steps.len());
        let (mut nats, mut tokens) = (0.0, 0);
        for (window, stream) in self.calibration.iter().zip(streams) {
            let Some((_, targets)) = window.split_first().filter(|(_, targets)| !targets.is_empty()) else {
                let detail = "a calibration window of one token predicts nothing; take windows of 2 tokens and more";
                return Err(ModelError::Graph(detail.to_string()).into());
            };
            let count = targets.len();
            let nll = self.meter.pass(decoder, share, &mut |_, _| Ok(()), |_| {
                let hidden = finish(decoder, first, stream)?.squeeze(0)?;
                decoder.target_nll(&hidden.narrow(0, 0, count)?, targets)
            })?;
            nats += nll.into_iter().sum::<f64>();
            tokens += count;
        }
        Ok(nats / tokens as f64)
    }

    /// Where the training that a method now begins leaves its checkpoints, if they are kept.
    pub(crate) fn next_phase(&mut self, method: &str) -> Option<Keeping> {
        let phase = self.phases;
        self.phases += 1;
        self.keeping.clone().map(|keeping| Keeping {
            folder: keeping.folder.join(format!("{phase}-{method}")),
            ..keeping
        })
    }

    /// Puts training on the budget: its tokens, and the seconds on the clock and of CPU that it took in processes before this one.
    pub(crate) fn count_training(&mut self, tokens: u64, [wall, cpu]: [f64; 2]) {
        self.meter.trained += tokens;
        self.meter.wall += wall;
        self.meter.cpu += cpu;
    }

    fn count_calibration_tokens(&mut self) {
        self.meter.tokens = self.calibration.iter().map(|window| window.len() as u64).sum();
    }
}

impl Meter {
    /// Puts the cost of a part of the work on it.
    fn add(&mut self, part: Self) {
        // Text that is read again counts once.
        self.tokens = self.tokens.max(part.tokens);
        self.trained += part.trained;
        self.passes += part.passes;
        self.forward += part.forward;
        self.wall += part.wall;
        self.cpu += part.cpu;
    }

    /// Runs one step, a `share` of a pass, over each window's residual stream.
    fn step(
        &mut self,
        decoder: &Decoder,
        share: f64,
        step: usize,
        streams: &[Tensor],
        tap: Tap,
    ) -> Result<Vec<Tensor>> {
        let mut after = Vec::with_capacity(streams.len());
        for stream in streams {
            let run_step = |tap: Tap| decoder.run_step(step, stream, &Rows::whole(stream.dim(1)?), tap);
            after.push(self.pass(decoder, share, tap, run_step)?);
        }
        Ok(after)
    }

    /// Runs `forward`, a `share` of the decoder's steps; the time in `tap` is the method's own and not the forward pass's.
    fn pass<T>(
        &mut self,
        decoder: &Decoder,
        share: f64,
        tap: Tap,
        forward: impl FnOnce(Tap) -> prunebench_model::Result<T>,
    ) -> Result<T> {
        let device = decoder.device();
        device.sync()?;
        let started = Instant::now();
        let mut in_tap = Duration::ZERO;
        let result = no_grad(|| {
            forward(&mut |place, x| {
                device.sync()?;
                let started = Instant::now();
                tap(place, x)?;
                device.sync()?;
                in_tap += started.elapsed();
                Ok(())
            })
        })?;
        device.sync()?;
        self.forward += started.elapsed().saturating_sub(in_tap).as_secs_f64();
        self.passes += share;
        Ok(result)
    }
}

/// Runs the steps from `first` on, and the final norm.
fn finish(decoder: &Decoder, first: usize, stream: &Tensor) -> prunebench_model::Result<Tensor> {
    let rows = Rows::whole(stream.dim(1)?);
    let mut steps = first..decoder.graph.steps.len();
    let last = steps.try_fold(stream.clone(), |x, step| {
        decoder.run_step(step, &x, &rows, &mut |_, _| Ok(()))
    })?;
    decoder.final_normed(&last)
}

pub(crate) fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(
        time.tv_sec.try_into().unwrap_or_default(),
        time.tv_nsec.try_into().unwrap_or_default(),
    )
}
