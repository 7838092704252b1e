//! The baseline must come out as expected before anything compressed is measured.

use prunebench_results::{Record, Status};

use crate::experiment::Expectation;

/// Says what is wrong with a baseline's record: what was found, what was wanted, and what to look at.
pub(crate) fn check(record: &Record, expect: &[Expectation]) -> Result<(), String> {
    let cell = &record.cell;
    let place = format!(
        "{} {} on {} {} {}",
        cell.model,
        cell.recipe.join(" + "),
        cell.engine,
        cell.device,
        cell.dtype
    );
    let Some(metrics) = record.metrics.as_ref().filter(|_| record.status == Status::Ok) else {
        let error = record.error.as_deref().unwrap_or_default();
        return Err(format!(
            "{place} {}: {error}. The sweep stops here, for without it no compressed model can be judged",
            record.status
        ));
    };
    for expected in expect.iter().filter(|expected| expected.model == cell.model) {
        let asked = cell.evaluation.perplexity.iter().zip(&metrics.perplexity);
        for (request, result) in asked {
            if request.protocol != expected.protocol || request.windows != expected.windows {
                continue;
            }
            let off = (result.value - expected.value).abs() / expected.value;
            if off > expected.relative_tolerance {
                return Err(format!(
                    "{place}: {} over {} windows is {}, wanted {} within {:e} relative, off by {off:.1e}. The sweep stops \
                     here: check the model's file and hash, the tokenizer, the dtype and the engine before you trust any \
                     number",
                    result.protocol, result.windows, result.value, expected.value, expected.relative_tolerance
                ));
            }
        }
    }
    Ok(())
}
