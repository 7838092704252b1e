//! Where the numbers of an axis lie.

use std::ops::Range;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use serde::Serialize;

/// Pixels from one tick to the next, at least.
const APART: f64 = 60.0;
/// Ticks of an axis, about at most.
const MOST: f64 = 9.0;
/// From this ratio of the largest to the smallest value on an axis is logarithmic.
const LOGARITHMIC: f64 = 30.0;
/// The room beside the outermost values, as a share of all.
const PAD: f64 = 0.06;
/// Whiskers widen an axis as far as so many times the range of the points, and are cut there.
pub(super) const REACH: f64 = 1.5;

/// The same for those who draw elsewhere.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct ScaleRules {
    apart: f64,
    most: f64,
    logarithmic: f64,
    pad: f64,
    reach: f64,
}

impl ScaleRules {
    pub(crate) const ALL: Self = Self {
        apart: APART,
        most: MOST,
        logarithmic: LOGARITHMIC,
        pad: PAD,
        reach: REACH,
    };
}

/// What values may lie on an axis.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Values {
    /// None below 0: on logarithms where they are far apart.
    #[default]
    Positive,
    /// Any: never on logarithms.
    Signed,
    /// Ratios: on logarithms.
    Ratios,
}

/// An axis from the smallest to the largest of its values, with ticks at round numbers.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scale {
    /// Of logarithms to base 10, if it has them.
    low: f64,
    high: f64,
    pub(super) log: bool,
    pub(super) ticks: Vec<f64>,
}

impl Scale {
    /// An axis of `room` pixels; `None` without a finite value.
    pub(super) fn new(numbers: impl Iterator<Item = f64>, values: Values, room: u32) -> Option<Self> {
        let (mut low, mut high) = numbers
            .filter(|value| value.is_finite())
            .map(|value| (value, value))
            .reduce(|(low, high), (value, _)| (low.min(value), high.max(value)))?;
        let log = low > 0.0
            && match values {
                Values::Positive => high / low > LOGARITHMIC,
                Values::Signed => false,
                Values::Ratios => true,
            };
        if log {
            (low, high) = (low.log10(), high.log10());
        }
        let width = match high - low {
            0.0 if high == 0.0 => 1.0,
            0.0 => high.abs(),
            width => width,
        };
        (low, high) = (low - PAD * width, high + PAD * width);
        let most = (f64::from(room) / APART).clamp(2.0, MOST);
        let powers = if log { logarithmic_ticks(low, high) } else { Vec::new() };
        let ticks = match log {
            true if powers.len() > 2 => powers,
            true => linear_ticks(10f64.powf(low), 10f64.powf(high), most),
            false => linear_ticks(low, high, most),
        };
        Some(Self { low, high, log, ticks })
    }

    /// An axis of `count` names at 0, 1, … with at most `most` of them told.
    pub(super) fn of_names(count: usize, most: usize) -> Self {
        let step = count.div_ceil(most.max(1)).max(1);
        Self {
            low: -0.5,
            high: count as f64 - 0.5,
            log: false,
            ticks: (0..count).step_by(step).map(|place| place as f64).collect(),
        }
    }
}

fn logarithmic_ticks(low: f64, high: f64) -> Vec<f64> {
    let steps: &[f64] = match high - low {
        decades if decades > 4.0 => &[1.0],
        decades if decades > 1.2 => &[1.0, 3.0],
        _ => &[1.0, 2.0, 5.0],
    };
    let powers = low.floor() as i32..=high.floor() as i32;
    let ticks = powers.flat_map(|power| steps.iter().map(move |step| step * 10f64.powi(power)));
    ticks.filter(|tick| (low..=high).contains(&tick.log10())).collect()
}

fn linear_ticks(low: f64, high: f64, most: f64) -> Vec<f64> {
    let rough = (high - low) / most;
    let power = 10f64.powf(rough.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
    let step = steps.into_iter().find(|step| *step >= rough).unwrap_or(steps[3]);
    let places = (low / step).ceil() as i64..=(high / step).floor() as i64;
    places.map(|place| place as f64 * step).collect()
}

impl Ranged for Scale {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        let value = if self.log { value.log10() } else { *value };
        let share = (value - self.low) / (self.high - self.low);
        // Whiskers may be cut at the frame, rather than squeeze the points.
        from + (share.clamp(0.0, 1.0) * f64::from(to - from)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        match hint.weight().allow_light_points() {
            true => Vec::new(),
            false => self.ticks.clone(),
        }
    }

    fn range(&self) -> Range<f64> {
        if self.log {
            10f64.powf(self.low)..10f64.powf(self.high)
        } else {
            self.low..self.high
        }
    }
}

impl ValueFormatter<f64> for Scale {
    fn format(value: &f64) -> String {
        short(*value)
    }
}

/// As the page has numbers at its axes: four digits at most.
fn short(value: f64) -> String {
    let size = value.abs();
    let units = [(1e12, 1e12, " T"), (1e9, 1e9, " G"), (1e6, 1e6, " M"), (1e4, 1e3, " k")];
    let unit = units.into_iter().find(|(from, ..)| size >= *from);
    let (divisor, letter) = unit.map_or((1.0, ""), |(_, divisor, letter)| (divisor, letter));
    // Through the text of four digits, so that 0.30000000000000004 is 0.3.
    let rounded: f64 = format!("{:.3e}", value / divisor).parse().unwrap_or(value);
    if rounded != 0.0 && rounded.abs() < 1e-4 {
        format!("{rounded:e}")
    } else {
        format!("{rounded}{letter}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(values: &[f64]) -> Vec<String> {
        let scale = Scale::new(values.iter().copied(), Values::Positive, 350).unwrap();
        scale.ticks.iter().map(Scale::format).collect()
    }

    #[test]
    fn ticks_are_round_numbers_within_the_values_and_their_margin() {
        assert_eq!(ticks(&[0.1, 0.5]), ["0.1", "0.2", "0.3", "0.4", "0.5"]);
        assert_eq!(
            ticks(&[900_000.0, 1_300_000.0]),
            ["900 k", "1 M", "1.1 M", "1.2 M", "1.3 M"]
        );
        assert_eq!(ticks(&[5.0, 5.0]), ["4.8", "5", "5.2"]);
    }

    #[test]
    fn values_far_apart_are_on_logarithms_unless_some_may_be_negative() {
        assert_eq!(ticks(&[3.0, 1000.0]), ["3", "10", "30", "100", "300", "1000"]);
        let linear = Scale::new([3.0, 1000.0].into_iter(), Values::Signed, 350).unwrap();
        assert!(!linear.log && linear.ticks[0] == 0.0, "{linear:?}");
        let scale = Scale::new([1.0, 100.0].into_iter(), Values::Positive, 350).unwrap();
        assert_eq!((scale.map(&10.0, (0, 100)), scale.map(&1e9, (0, 100))), (50, 100));
    }

    #[test]
    fn ratios_are_on_logarithms_however_near_they_are() {
        let scale = Scale::new([1.0, 1.2].into_iter(), Values::Ratios, 350).unwrap();
        assert!(scale.log);
        assert_eq!(
            scale.ticks.iter().map(Scale::format).collect::<Vec<_>>(),
            ["1", "1.05", "1.1", "1.15", "1.2"]
        );
        assert!(!Scale::new([0.0, 1.2].into_iter(), Values::Ratios, 350).unwrap().log);
    }

    #[test]
    fn no_finite_value_is_no_axis_and_names_are_told_as_far_as_there_is_room() {
        assert_eq!(
            Scale::new([f64::INFINITY, f64::NAN].into_iter(), Values::Positive, 350),
            None
        );
        assert_eq!(Scale::of_names(10, 4).ticks, [0.0, 3.0, 6.0, 9.0]);
        assert_eq!(Scale::of_names(2, 4).ticks, [0.0, 1.0]);
    }
}
