//! How the learning rate changes over a run.

use serde::{Deserialize, Serialize};

/// The learning rate's course after the warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Course {
    /// Stays.
    #[default]
    Constant,
    /// Falls on a straight line.
    Linear,
    /// Falls on half a cosine.
    Cosine,
}

/// Warm-up, course and floor of the learning rate, as factors of its peak.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// Steps in which the rate rises linearly from 0: step s of them has s / warm-up of the peak.
    pub warmup: u64,
    /// What follows.
    pub course: Course,
    /// The course's last value, as a share of the peak.
    pub floor: f64,
    /// Steps of the whole run.
    pub steps: u64,
}

impl Schedule {
    /// The factor of step `step`, from 1. A course falls from 1 at the first step after the warm-up towards the floor, which it
    /// would reach one step after the last, as in `transformers`.
    pub fn factor(&self, step: u64) -> f64 {
        if step <= self.warmup {
            return step as f64 / self.warmup as f64;
        }
        let fallen = (step - self.warmup - 1) as f64 / (self.steps.saturating_sub(self.warmup)).max(1) as f64;
        let fallen = fallen.min(1.0);
        let height = match self.course {
            Course::Constant => return 1.0,
            Course::Linear => 1.0 - fallen,
            Course::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * fallen).cos()),
        };
        self.floor + (1.0 - self.floor) * height
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn factors(course: Course, floor: f64) -> Vec<f64> {
        let schedule = Schedule {
            warmup: 2,
            course,
            floor,
            steps: 6,
        };
        (1..=6).map(|step| schedule.factor(step)).collect()
    }

    #[test]
    fn the_rate_rises_in_the_warm_up_and_falls_towards_the_floor() {
        assert_eq!(factors(Course::Constant, 0.0), [0.5, 1.0, 1.0, 1.0, 1.0, 1.0]);
        assert_eq!(factors(Course::Linear, 0.0), [0.5, 1.0, 1.0, 0.75, 0.5, 0.25]);
        let floored = factors(Course::Linear, 0.2);
        for (factor, wanted) in floored.iter().zip([0.5, 1.0, 1.0, 0.8, 0.6, 0.4]) {
            assert!((factor - wanted).abs() < 1e-12, "{floored:?}");
        }
        let cosine = factors(Course::Cosine, 0.0);
        assert!((cosine[4] - 0.5).abs() < 1e-12 && cosine[3] > 0.75 && cosine[5] < 0.25);
    }

    #[test]
    fn without_warm_up_the_first_step_has_the_peak() {
        let schedule = Schedule {
            warmup: 0,
            course: Course::Cosine,
            floor: 0.1,
            steps: 1,
        };
        assert_eq!(schedule.factor(1), 1.0);
    }
}
