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
    fn too_few_values_give_nothing() {
        assert_eq!(
            (mean(&[]), median(&[]), median_absolute_deviation(&[])),
            (None, None, None)
        );
        assert_eq!((sample_sd(&[1.0]), standard_error(&[1.0])), (None, None));
    }
}
