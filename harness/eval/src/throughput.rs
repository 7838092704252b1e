//! Speed of prefill and decode, each timed by itself.

use std::time::Instant;

use prunebench_model::Decoder;
use prunebench_results::{Samples, ThroughputRequest, ThroughputResult};
use prunebench_tensor::{Device, Tensor, no_grad};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{Error, Result};

/// Speed of `decoder` on `request`, with `threads` as part of its name. `progress` hears the repeats done, warm-up
/// included, and those in all.
///
/// *Prefill* is one forward pass of `batch × prompt_tokens` tokens with the logits of every position. *Decode* is
/// `generated_tokens − 1` greedy steps on a KV cache that holds the prompt; the pass that reads the prompt, and gives the
/// first generated token, is outside its clock. A repeat times both, one after the other, on fresh random tokens drawn
/// from `seed`; tokens that end a text end nothing here. The device is waited for at every reading of the clock.
///
/// # Errors
/// [`Error::Throughput`] for a request that times nothing, is not warmed up, or goes beyond the model's positions.
pub fn throughput(
    decoder: &Decoder,
    request: &ThroughputRequest,
    threads: usize,
    seed: u64,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<ThroughputResult> {
    check(decoder, request)?;
    let &ThroughputRequest {
        prompt_tokens,
        generated_tokens,
        batch,
        repeats,
        warmup,
    } = request;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut fresh = || -> Result<Tensor> {
        let mut sequence = || -> Vec<u32> {
            let vocabulary = decoder.graph.vocab_size as u32;
            (0..prompt_tokens).map(|_| rng.random_range(0..vocabulary)).collect()
        };
        let sequences: Vec<Vec<u32>> = (0..batch).map(|_| sequence()).collect();
        let sequences: Vec<&[u32]> = sequences.iter().map(Vec::as_slice).collect();
        Ok(decoder.ids(&sequences)?)
    };
    let device = decoder.device();
    no_grad(|| {
        let total = warmup + repeats;
        progress(0, total);
        let ids = fresh()?;
        let first_call_s = timed(&device, || Ok(decoder.forward(&ids)?))?;
        let (mut prefill, mut decode) = (Vec::new(), Vec::new());
        for done in 0..total {
            let ids = fresh()?;
            let prefill_s = timed(&device, || Ok(decoder.forward(&ids)?))?;
            let decode_s = timed_decode(decoder, &fresh()?, generated_tokens)?;
            if done >= warmup {
                prefill.push(prefill_s);
                decode.push(decode_s);
            }
            progress(done + 1, total);
        }
        Ok(ThroughputResult {
            prompt_tokens,
            generated_tokens,
            batch,
            threads,
            prefill: Samples::new(batch * prompt_tokens, prefill)?,
            decode: Samples::new(batch * (generated_tokens - 1), decode)?,
            first_call_s,
        })
    })
}

fn check(decoder: &Decoder, request: &ThroughputRequest) -> Result<()> {
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
    let positions = decoder.graph.max_position_embeddings;
    if request.prompt_tokens.saturating_add(request.generated_tokens) > positions {
        return fault(format!(
            "prompt_tokens {} and generated_tokens {} together exceed the model's {positions} positions",
            request.prompt_tokens, request.generated_tokens
        ));
    }
    Ok(())
}

fn timed(device: &Device, work: impl FnOnce() -> Result<Tensor>) -> Result<f64> {
    device.sync()?;
    let start = Instant::now();
    let result = work()?;
    device.sync()?;
    let seconds = start.elapsed().as_secs_f64();
    // The clock has stopped: freeing the result is no part of the work.
    drop(result);
    Ok(seconds)
}

fn timed_decode(decoder: &Decoder, prompt: &Tensor, generated: usize) -> Result<f64> {
    let (batch, tokens) = (prompt.dim(0)?, prompt.dim(1)?);
    let mut cache = decoder.cache(batch, tokens + generated)?;
    let mut next = |ids: &Tensor| -> Result<Tensor> {
        let last = ids.dim(1)? - 1;
        let hidden = decoder.hidden(ids, Some(&mut cache), &mut |_, _| Ok(()))?;
        let logits = decoder.logits(&hidden.narrow(1, last, 1)?)?;
        Ok(logits.argmax(2)?)
    };
    let first = next(prompt)?;
    timed(&decoder.device(), || {
        (1..generated).try_fold(first, |token, _| next(&token))
    })
}

#[cfg(test)]
#[path = "throughput_tests.rs"]
mod tests;
