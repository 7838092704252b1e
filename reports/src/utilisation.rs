//! What share of a device's measured ceilings a model's speed is.

use prunebench_results::{Record, ThroughputResult};

/// Bytes of an element in a record's dtype.
fn element_bytes(dtype: &str) -> Option<f64> {
    match dtype {
        "f64" => Some(8.0),
        // The products of tf32 are rounded, not what is stored.
        "f32" | "tf32" => Some(4.0),
        "bf16" | "f16" => Some(2.0),
        _ => None,
    }
}

fn throughput(record: &Record) -> Option<&ThroughputResult> {
    record.metrics.as_ref()?.throughput.as_ref()
}

/// Seconds until the first token is chosen, by the median rate.
pub(crate) fn time_to_first_token(record: &Record) -> Option<f64> {
    let first = throughput(record)?.first_token.as_ref()?;
    Some(first.tokens as f64 / first.median)
}

/// Seconds between two tokens of one sequence, by the median rate.
pub(crate) fn time_per_token(record: &Record) -> Option<f64> {
    let result = throughput(record)?;
    Some(result.batch as f64 / result.decode.median)
}

/// Bytes that decoding reads a second, beside those of the copy: a step reads every executed weight once for all sequences, and of
/// each sequence the keys and values of all positions before, half of the generated ones on average.
pub(crate) fn bandwidth(record: &Record) -> Option<f64> {
    let result = throughput(record)?;
    let accounting = &record.metrics.as_ref()?.accounting;
    let ceiling = result.ceilings.as_ref()?.copy.per_second;
    let weights = accounting.executed_parameters as f64 * element_bytes(&record.cell.dtype)?;
    let positions = result.prompt_tokens as f64 + result.generated_tokens as f64 / 2.0;
    let keys_and_values = accounting.kv_bytes_per_token as f64 * positions * result.batch as f64;
    Some((weights + keys_and_values) / time_per_token(record)? / ceiling)
}

/// Operations a second of reading the prompt, beside those of the matrix product: those of every linear and the head, without the
/// attention's own.
pub(crate) fn flops(record: &Record) -> Option<f64> {
    let result = throughput(record)?;
    let per_token = record.metrics.as_ref()?.accounting.flops_per_token as f64;
    let ceiling = result.ceilings.as_ref()?.matmul.per_second;
    Some(per_token * result.prefill.median / ceiling)
}

#[cfg(test)]
mod tests {
    use prunebench_results::{Ceiling, Ceilings, Samples};

    use super::*;
    use crate::comparison::tests::record;

    #[test]
    fn shares_of_the_ceilings_follow_from_the_counted_work() {
        let mut record = record("dense", "candle", 0, 1.0);
        assert_eq!(
            (bandwidth(&record), flops(&record), time_to_first_token(&record)),
            (None, None, None)
        );
        let speed = record.metrics.as_mut().unwrap().throughput.as_mut().unwrap();
        speed.batch = 2;
        speed.decode = Samples::new(20, vec![2.0]).unwrap();
        speed.prefill = Samples::new(200, vec![0.5]).unwrap();
        speed.first_token = Some(Samples::new(2, vec![0.25]).unwrap());
        speed.ceilings = Some(Ceilings {
            copy: Ceiling::new(1_000_000, vec![0.5]).unwrap(),
            matmul: Ceiling::new(1_000_000_000, vec![1.0]).unwrap(),
        });
        assert_eq!(time_to_first_token(&record), Some(0.25));
        // Ten steps in two seconds.
        assert_eq!(time_per_token(&record), Some(0.2));
        // 134,515 parameters of 4 bytes, and 1024 bytes for each of 105.5 positions of two sequences.
        let bytes = 134_515.0 * 4.0 + 1024.0 * 105.5 * 2.0;
        assert_eq!(bandwidth(&record), Some(bytes / 0.2 / 2e6));
        assert_eq!(flops(&record), Some(269_030.0 * 400.0 / 1e9));
        record.cell.dtype = "tf32".into();
        assert_eq!(bandwidth(&record), Some(bytes / 0.2 / 2e6));
        record.cell.dtype = "bf16".into();
        assert!(bandwidth(&record) < Some(bytes / 0.2 / 2e6));
    }
}
