//! Numbers that stand beside nothing.

use super::{PairedDifference, Pairs, mean};
use crate::gate::Series;
use crate::statistics::Interval;

/// A number over some seeds, by itself, with its 95 % interval if it has noise. Of samples that are all alike nothing is known of
/// how they might vary, and no share is beyond all.
pub(crate) fn alone(seeds: &[&Series]) -> Option<(f64, Option<Interval>)> {
    let nothing: Vec<Series> = seeds.iter().map(|series| series.nothing()).collect();
    let series: Vec<(&Series, &Series)> = nothing.iter().zip(seeds.iter().copied()).collect();
    match seeds.first()? {
        // The perplexity of no loss is 1.
        Series::Losses { .. } => of(&series, |end| 1.0 + end),
        Series::Answers { .. } => of(&series, |end| end.clamp(0.0, 1.0)),
        Series::Count { .. } | Series::Speed { .. } => {
            let value = |series: &&Series| match series {
                Series::Count { value } => Some(*value),
                Series::Speed { rate, .. } => Some(*rate),
                _ => None,
            };
            let values: Vec<f64> = seeds.iter().map(value).collect::<Option<_>>()?;
            Some((mean(values.into_iter()), None))
        }
    }
}

fn of(series: &Pairs, end: impl Fn(f64) -> f64) -> Option<(f64, Option<Interval>)> {
    let difference = PairedDifference::of_samples(series).ok()?;
    let interval = difference.interval.filter(|ends| ends.low < ends.high);
    let interval = interval.map(|Interval { low, high }| Interval {
        low: end(low),
        high: end(high),
    });
    Some((difference.after, interval))
}

impl Series {
    /// The same items without loss or right answer.
    fn nothing(&self) -> Self {
        let mut nothing = self.clone();
        match &mut nothing {
            Self::Losses { nll, .. } => nll.fill(0.0),
            Self::Answers { right, .. } => right.iter_mut().for_each(|task| task.fill(0)),
            Self::Count { .. } | Self::Speed { .. } => {}
        }
        nothing
    }
}
