//! Speed of prefill and decode, each timed by itself.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use prunebench_model::{Decoder, Graph, tensor_parallel};
use prunebench_results::{Samples, TensorParallel, ThroughputRequest, ThroughputResult};
use prunebench_tensor::{DeviceKind, Tensor, no_grad};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::ceilings::ceilings;
use crate::gpu::GpuWatch;
use crate::{Error, Result};

/// Speed of `decoder` on `request`, with `threads` as part of its name. `progress` hears the repeats done, warm-up
/// included, and those in all.
///
/// *Prefill* is one forward pass of `batch × prompt_tokens` tokens with the logits of every position. *First token* is the pass
/// that reads such a prompt into a KV cache, made before, and chooses the token after it. *Decode* is the
/// `generated_tokens − 1` greedy steps from there. A repeat times all three, one after the other, on fresh random tokens drawn
/// from `seed`; tokens that end a text end nothing here. The device is waited for at every reading of the clock.
///
/// The decoder's projections are stacked ([`Decoder::stack_projections`]), unless it is split over ranks. On a GPU the driver is
/// asked for memory, energy and clocks meanwhile; ceilings are measured after all.
///
/// A model that is split over ranks is timed by the first of them, from when all are ready. Every rank makes the same passes, the
/// head and the choice of the next token included.
///
/// # Errors
/// [`Error::Throughput`] for a request that times nothing, is not warmed up, goes beyond the model's positions, or wants more
/// ranks than there are threads; and what [`tensor_parallel::run`] refuses.
pub fn throughput(
    decoder: &mut Decoder,
    request: &ThroughputRequest,
    threads: usize,
    seed: u64,
    progress: &mut (dyn FnMut(usize, usize) + Send),
) -> Result<ThroughputResult> {
    let device = decoder.device();
    check_throughput(&decoder.graph, device.kind, request, threads)?;
    let stacked_projections = request.tensor_parallel.is_none();
    if stacked_projections {
        decoder.stack_projections()?;
    }
    let mut watch = GpuWatch::start(device.kind);
    let progress = &mut |done, total| {
        if let Some(watch) = watch.as_mut().filter(|_| done == request.warmup) {
            watch.begin_energy();
        }
        progress(done, total);
    };
    let times = match request.tensor_parallel {
        None => no_grad(|| times(decoder, request, seed, progress))?,
        Some(TensorParallel {
            ranks,
            all_reduce_latency_us,
        }) => {
            let progress = Mutex::new(progress as &mut (dyn FnMut(usize, usize) + Send));
            let latency = Duration::from_micros(all_reduce_latency_us);
            let of_ranks = tensor_parallel::run(decoder, ranks, latency, |decoder, group| {
                times(decoder, request, seed, &mut |done, total| {
                    if group.rank() == 0 {
                        (progress.lock().unwrap_or_else(PoisonError::into_inner))(done, total);
                    }
                })
            })?;
            of_ranks.into_iter().next().unwrap_or_default()
        }
    };
    let &ThroughputRequest {
        prompt_tokens,
        generated_tokens,
        batch,
        tensor_parallel,
        ..
    } = request;
    Ok(ThroughputResult {
        prompt_tokens,
        generated_tokens,
        batch,
        threads,
        prefill: Samples::new(batch * prompt_tokens, times.prefill)?,
        decode: Samples::new(batch * (generated_tokens - 1), times.decode)?,
        first_call_s: times.first_call,
        tensor_parallel,
        all_reduces_per_token: times.all_reduces_per_token,
        first_token: Some(Samples::new(batch, times.first_token)?),
        stacked_projections,
        gpu: watch.map(GpuWatch::finish),
        ceilings: match request.ceilings {
            true => Some(no_grad(|| ceilings(decoder.dtype(), &device))?),
            false => None,
        },
    })
}

/// Seconds, and what was counted beside them.
#[derive(Default)]
struct Times {
    first_call: f64,
    prefill: Vec<f64>,
    first_token: Vec<f64>,
    decode: Vec<f64>,
    all_reduces_per_token: Option<u64>,
}

fn times(
    decoder: &Decoder,
    request: &ThroughputRequest,
    seed: u64,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Times> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut fresh = || -> Result<Tensor> {
        let mut sequence = || -> Vec<u32> {
            let vocabulary = decoder.graph.vocab_size as u32;
            let tokens = 0..request.prompt_tokens;
            tokens.map(|_| rng.random_range(0..vocabulary)).collect()
        };
        let sequences: Vec<Vec<u32>> = (0..request.batch).map(|_| sequence()).collect();
        let sequences: Vec<&[u32]> = sequences.iter().map(Vec::as_slice).collect();
        Ok(decoder.ids(&sequences)?)
    };
    let total = request.warmup + request.repeats;
    progress(0, total);
    let ids = fresh()?;
    let mut times = Times {
        first_call: timed(decoder, || Ok(decoder.forward(&ids)?))?,
        ..Times::default()
    };
    for done in 0..total {
        let ids = fresh()?;
        let prefill = timed(decoder, || Ok(decoder.forward(&ids)?))?;
        let (first_token, decode, all_reduces) = timed_decode(decoder, &fresh()?, request.generated_tokens)?;
        if done >= request.warmup {
            times.prefill.push(prefill);
            times.first_token.push(first_token);
            times.decode.push(decode);
            times.all_reduces_per_token = all_reduces.map(|n| n / (request.generated_tokens - 1) as u64);
        }
        progress(done + 1, total);
    }
    Ok(times)
}

/// Whether [`throughput`] can time a model of this graph there.
///
/// # Errors
/// As [`throughput`].
pub fn check_throughput(graph: &Graph, device: DeviceKind, request: &ThroughputRequest, threads: usize) -> Result<()> {
    let fault = |problem: String| Err(Error::Throughput { problem });
    if request.prompt_tokens == 0 || request.batch == 0 || request.repeats == 0 {
        return fault(format!(
            "prompt_tokens {}, batch {} and repeats {} must each be at least 1",
            request.prompt_tokens, request.batch, request.repeats
        ));
    }
    if request.generated_tokens < 2 {
        return fault(format!(
            "generated_tokens is {}, but decode is timed between generated tokens: at least 2 are wanted",
            request.generated_tokens
        ));
    }
    if request.warmup == 0 {
        return fault("warmup is 0, but the first calls page in weights and fill caches: at least 1 is wanted".into());
    }
    let positions = graph.max_position_embeddings;
    // The last token is generated and never read.
    if request.prompt_tokens.saturating_add(request.generated_tokens - 1) > positions {
        return fault(format!(
            "prompt_tokens {} and all but the last of generated_tokens {} together exceed the model's {positions} positions",
            request.prompt_tokens, request.generated_tokens
        ));
    }
    let Some(TensorParallel { ranks, .. }) = request.tensor_parallel else {
        return Ok(());
    };
    if ranks > threads {
        return fault(format!(
            "{ranks} ranks want a compute thread each, but there are {threads}; take fewer ranks, or more threads if there \
             are cores for them"
        ));
    }
    if device != DeviceKind::Cpu {
        return fault(format!(
            "ranks are threads that share the host's memory, but the model is on {device}; put it on the cpu"
        ));
    }
    Ok(tensor_parallel::check(graph, ranks)?)
}

fn timed(decoder: &Decoder, work: impl FnOnce() -> Result<Tensor>) -> Result<f64> {
    let device = decoder.device();
    if let Some(group) = &decoder.group {
        // No rank gets the sum before all are here.
        group.all_reduce_sum(&Tensor::zeros(&[1], decoder.dtype(), &device)?)?;
    }
    device.sync()?;
    let start = Instant::now();
    let result = work()?;
    device.sync()?;
    let seconds = start.elapsed().as_secs_f64();
    // The clock has stopped: freeing the result is no part of the work.
    drop(result);
    Ok(seconds)
}

/// Seconds of the prompt's pass and of the steps after it, and how many all-reduces the steps took.
fn timed_decode(decoder: &Decoder, prompt: &Tensor, generated: usize) -> Result<(f64, f64, Option<u64>)> {
    let (batch, tokens) = (prompt.dim(0)?, prompt.dim(1)?);
    let mut cache = decoder.cache(batch, tokens + generated)?;
    let mut next = |ids: &Tensor| -> Result<Tensor> {
        let last = ids.dim(1)? - 1;
        let hidden = decoder.hidden(ids, Some(&mut cache), &mut |_, _| Ok(()))?;
        let logits = decoder.logits(&hidden.narrow(1, last, 1)?)?;
        Ok(logits.argmax(2)?)
    };
    let mut first = None;
    let first_token = timed(decoder, || Ok(first.insert(next(prompt)?).clone()))?;
    let counted = || decoder.group.as_ref().map_or(0, |group| group.all_reduces());
    let mut all_reduces = 0;
    let seconds = timed(decoder, || {
        let before = counted();
        let first = first.take().unwrap_or_else(|| prompt.clone());
        let last = (1..generated).try_fold(first, |token, _| next(&token))?;
        all_reduces = counted() - before;
        Ok(last)
    })?;
    Ok((first_token, seconds, decoder.group.is_some().then_some(all_reduces)))
}

#[cfg(test)]
#[path = "throughput_tests.rs"]
mod tests;
