//! How far each pair in parallel is from the two blocks in sequence.

use prunebench_model::graph::Step;
use prunebench_tensor::Tensor;

use super::{CARD, Norms, norms};
use crate::depth::sequential_blocks;
use crate::{Result, Run};

/// For each block k and its successor the mean over tokens of |y_seq − y_lp| / |y_seq − x|, L2 over the hidden size, on the
/// calibration text. `None` if it is no finite number.
pub(super) fn pair_errors(run: &mut Run, variant: Norms, step: fn(Vec<usize>) -> Step) -> Result<Vec<Option<f64>>> {
    let blocks = sequential_blocks(CARD.id, &run.model.graph)?;
    let pairs = blocks.len().saturating_sub(1);
    let mut errors = Vec::with_capacity(pairs);
    if pairs == 0 {
        return Ok(errors);
    }
    let mut before = run.streams()?;
    let mut between = run.step(0, &before, &mut |_, _| Ok(()))?;
    for (first, pair) in blocks.windows(2).enumerate() {
        let after = run.step(first + 1, &between, &mut |_, _| Ok(()))?;
        let mut paired = run.model.clone();
        norms::share(&mut paired, pair, variant)?;
        paired.graph.steps[first] = step(pair.to_vec());
        let parallel = run.step_of(&paired, first, &before)?;
        let mut ratios = Vec::new();
        for ((x, y), parallel) in before.iter().zip(&after).zip(&parallel) {
            let (off, moved) = (lengths(&y.sub(parallel)?)?, lengths(&y.sub(x)?)?);
            ratios.extend(off.into_iter().zip(moved).map(relative_error));
        }
        let mean = ratios.iter().sum::<f64>() / ratios.len() as f64;
        errors.push(mean.is_finite().then_some(mean));
        run.progress(first + 1, pairs, "errors of the pairs");
        (before, between) = (between, after);
    }
    Ok(errors)
}

/// Of each token of `[1, T, hidden]`.
fn lengths(tensor: &Tensor) -> Result<Vec<f64>> {
    let hidden = tensor.dim(2)?;
    let length = |token: &[f64]| token.iter().map(|v| v * v).sum::<f64>().sqrt();
    Ok(tensor.to_f64_vec()?.chunks(hidden).map(length).collect())
}

/// Of a token that neither moves there is no error; of one that only the pair moves, an infinite one.
fn relative_error((off, moved): (f64, f64)) -> f64 {
    match off == 0.0 {
        true => 0.0,
        false => off / moved,
    }
}

#[cfg(test)]
mod tests {
    use super::relative_error;

    #[test]
    fn a_pair_that_moves_what_the_blocks_leave_has_no_finite_error() {
        assert_eq!(relative_error((0.0, 0.0)), 0.0);
        assert_eq!(relative_error((1.0, 4.0)), 0.25);
        assert_eq!(relative_error((1.0, 0.0)), f64::INFINITY);
        assert!(relative_error((f64::NAN, 0.0)).is_nan() && relative_error((1.0, f64::NAN)).is_nan());
    }
}
