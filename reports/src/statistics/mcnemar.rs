//! McNemar's test: two models right or wrong on the same items.

use serde::Serialize;
use statrs::distribution::{Binomial, DiscreteCDF};

use super::normal_quantile;

/// How many items only one of two models gets right. Those that both get right, or neither, say nothing of which is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct McNemar {
    /// Items that only the model gets right.
    pub gained: u64,
    /// Items that only the baseline gets right.
    pub lost: u64,
}

impl McNemar {
    /// The probability of a split as uneven or more if both are equally likely to be right alone: twice the smaller
    /// binomial tail (`statsmodels.stats.contingency_tables.mcnemar(exact=True)`).
    pub fn exact(&self) -> f64 {
        let smaller = self.gained.min(self.lost);
        let tail = Binomial::new(0.5, self.gained + self.lost).map_or(1.0, |split| split.cdf(smaller));
        (2.0 * tail).min(1.0)
    }
}

/// The smallest difference of accuracy over `n` items that McNemar's test at level `alpha` finds with probability `power`,
/// where a share `discordant` of the items is answered right by one model only.
///
/// It solves `d · sqrt(n) = z(1 - alpha/2) · sqrt(discordant) + z(power) · sqrt(discordant - d²)` (Connor 1987). A
/// difference can't be larger than the discordant share, so where it would be, the true share is taken to be as large as
/// the difference, all of it lost: `d = (z(1 - alpha/2) + z(power))² / n`. At most 1; `None` of no item.
pub fn smallest_difference(n: usize, discordant: f64, alpha: f64, power: f64) -> Option<f64> {
    if n == 0 {
        return None;
    }
    let n = n as f64;
    let (z_alpha, z_power) = (normal_quantile(1.0 - alpha / 2.0), normal_quantile(power));
    let base = z_alpha * discordant.sqrt();
    let weight = n + z_power.powi(2);
    let root = discordant * weight - base.powi(2);
    let solved = (base * n.sqrt() + z_power * root.max(0.0).sqrt()) / weight;
    let smallest = if root >= 0.0 && solved < discordant {
        solved
    } else {
        (z_alpha + z_power).powi(2) / n
    };
    Some(smallest.min(1.0))
}
