//! p-values of several tests at once.

/// Holm's adjusted p-values, in the order given (`statsmodels.stats.multitest.multipletests(method="holm")`): rejecting
/// those below a level makes a single false alarm in the whole family no more likely than the level, however the tests
/// depend on each other. For gates.
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let n = p_values.len();
    let mut adjusted = vec![0.0; n];
    let mut largest = 0.0f64;
    for (rank, index) in rising(p_values).into_iter().enumerate() {
        largest = largest.max(((n - rank) as f64 * p_values[index]).min(1.0));
        adjusted[index] = largest;
    }
    adjusted
}

/// Benjamini's and Hochberg's adjusted p-values, in the order given (`method="fdr_bh"`): of those below a level, the
/// level is the share expected to be false, if the tests are independent or rise together. For exploration.
pub fn benjamini_hochberg(p_values: &[f64]) -> Vec<f64> {
    let n = p_values.len();
    let mut adjusted = vec![0.0; n];
    let mut smallest = 1.0f64;
    for (rank, index) in rising(p_values).into_iter().enumerate().rev() {
        smallest = smallest.min(n as f64 * p_values[index] / (rank + 1) as f64);
        adjusted[index] = smallest;
    }
    adjusted
}

/// The places of the values from the smallest to the largest.
fn rising(values: &[f64]) -> Vec<usize> {
    let mut places: Vec<usize> = (0..values.len()).collect();
    places.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    places
}
