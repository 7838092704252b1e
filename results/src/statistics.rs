//! Descriptive statistics of raw samples. All of them are pure; none of them rounds.

/// The arithmetic mean, or `None` of nothing.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The sample standard deviation, `sqrt(Σ (x - mean)² / (n - 1))`, or `None` of fewer than two values.
pub fn sample_sd(values: &[f64]) -> Option<f64> {
    if values.len() < 2 {
        return None;
    }
    let mean = mean(values)?;
    let squares: f64 = values.iter().map(|x| (x - mean).powi(2)).sum();
    Some((squares / (values.len() - 1) as f64).sqrt())
}

/// The standard error of the mean, `sd / sqrt(n)`, or `None` of fewer than two values.
pub fn standard_error(values: &[f64]) -> Option<f64> {
    Some(sample_sd(values)? / (values.len() as f64).sqrt())
}

/// The standard error of the mean of all values from the spread within their strata, `sqrt(Σ (x - mean of its stratum)²
/// / (n - k) / n)` over `n` values in `k` strata, or `None` if no stratum has two values. With one stratum it is
/// [`standard_error`]; with several it is lm-eval's pooled one.
pub fn pooled_standard_error(strata: &[Vec<f64>]) -> Option<f64> {
    let strata = strata.iter().filter(|values| !values.is_empty());
    let (mut n, mut k, mut squares) = (0, 0, 0.0);
    for values in strata {
        let mean = mean(values)?;
        squares += values.iter().map(|x| (x - mean).powi(2)).sum::<f64>();
        n += values.len();
        k += 1;
    }
    (n > k).then(|| (squares / (n - k) as f64 / n as f64).sqrt())
}

/// `Σ y / Σ x` over pairs, with its standard error by the delta method, `sqrt(n / (n - 1) · Σ (y - ratio · x)²) / Σ x`,
/// which is absent of a single pair. `None` of nothing, of lists of different lengths, or if `Σ x` is zero.
pub fn ratio_of_sums(y: &[f64], x: &[f64]) -> Option<(f64, Option<f64>)> {
    let sum: f64 = x.iter().sum();
    if y.len() != x.len() || x.is_empty() || sum == 0.0 {
        return None;
    }
    let ratio = y.iter().sum::<f64>() / sum;
    let squares: f64 = y.iter().zip(x).map(|(y, x)| (y - ratio * x).powi(2)).sum();
    let n = y.len() as f64;
    let stderr = (y.len() > 1).then(|| (n / (n - 1.0) * squares).sqrt() / sum);
    Some((ratio, stderr))
}

/// The unweighted mean of independent numbers with its standard error, `sqrt(Σ se²) / k`, which is absent if one of theirs
/// is. `None` of nothing.
pub fn mean_of_independent(values: &[(f64, Option<f64>)]) -> Option<(f64, Option<f64>)> {
    let mean = mean(&values.iter().map(|(value, _)| *value).collect::<Vec<_>>())?;
    let variance: Option<f64> = values.iter().map(|(_, stderr)| Some(stderr.as_ref()?.powi(2))).sum();
    Some((mean, variance.map(|variance| variance.sqrt() / values.len() as f64)))
}

/// The median (of an even number, the mean of the middle two), or `None` of nothing.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        n if n % 2 == 1 => Some(sorted[middle]),
        _ => Some((sorted[middle - 1] + sorted[middle]) / 2.0),
    }
}

/// The median absolute deviation from the median, unscaled, or `None` of nothing.
pub fn median_absolute_deviation(values: &[f64]) -> Option<f64> {
    let centre = median(values)?;
    median(&values.iter().map(|x| (x - centre).abs()).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hand_computed_values_come_out() {
        let values = [2.0, 4.0, 4.0, 10.0];
        assert_eq!(mean(&values), Some(5.0));
        // Squares of -3, -1, -1, 5 sum to 36; 36 / 3 = 12.
        assert_eq!(sample_sd(&values), Some(12f64.sqrt()));
        assert_eq!(standard_error(&values), Some(12f64.sqrt() / 2.0));
        assert_eq!(median(&values), Some(4.0));
        // Deviations 2, 0, 0, 6: the median is (0 + 2) / 2.
        assert_eq!(median_absolute_deviation(&values), Some(1.0));
        assert_eq!(median(&[9.0, 1.0, 5.0]), Some(5.0));
    }

    #[test]
    fn pooled_error_is_that_of_lm_eval() {
        // By lm_eval.api.metrics: the standard errors of the means, then pooled_sample_stderr of both.
        let strata = [vec![1.0, 0.0, 1.0, 1.0], vec![0.0, 0.0, 1.0]];
        assert_eq!(standard_error(&strata[0]), Some(0.25));
        assert!((pooled_standard_error(&strata).unwrap() - 0.20118695404073914).abs() < 1e-15);
        // One stratum is the plain error; a stratum of a single value knows nothing of the spread.
        assert_eq!(pooled_standard_error(&strata[..1]), Some(0.25));
        assert_eq!(pooled_standard_error(&[vec![1.0], vec![0.0]]), None);
        assert_eq!(pooled_standard_error(&[]), None);
    }

    #[test]
    fn a_ratio_of_sums_weighs_by_size_and_of_equal_sizes_is_a_mean() {
        // 6 / 3 = 2; deviations 1 - 2 = -1 and 5 - 4 = 1; sqrt(2 / 1 · 2) / 3.
        assert_eq!(ratio_of_sums(&[1.0, 5.0], &[1.0, 2.0]), Some((2.0, Some(2.0 / 3.0))));
        let values = [2.0, 4.0, 4.0, 10.0];
        let (mean_of_them, stderr) = ratio_of_sums(&values, &[1.0; 4]).unwrap();
        assert_eq!(Some(mean_of_them), mean(&values));
        assert!((stderr.unwrap() - standard_error(&values).unwrap()).abs() < 1e-15);
        assert_eq!(ratio_of_sums(&[3.0], &[2.0]), Some((1.5, None)));
        assert_eq!((ratio_of_sums(&[], &[]), ratio_of_sums(&[1.0], &[0.0])), (None, None));
    }

    #[test]
    fn independent_errors_add_in_squares() {
        let mean = mean_of_independent(&[(0.5, Some(0.3)), (0.7, Some(0.4))]);
        assert_eq!(mean, Some((0.6, Some(0.25))));
        assert_eq!(mean_of_independent(&[(0.5, Some(0.3)), (0.5, None)]), Some((0.5, None)));
        assert_eq!(mean_of_independent(&[]), None);
    }

    #[test]
    fn too_few_values_give_nothing() {
        assert_eq!(
            (mean(&[]), median(&[]), median_absolute_deviation(&[])),
            (None, None, None)
        );
        assert_eq!((sample_sd(&[1.0]), standard_error(&[1.0])), (None, None));
    }
}
