//! Learning rate over the run.

use serde::{Deserialize, Serialize};

/// How the learning rate falls after warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// Stays.
    Constant,
    /// To zero along a line.
    Linear,
    /// To zero along half a cosine.
    Cosine,
}

/// The factor on the peak learning rate at `progress` in 0..=1 of the run (steps done over all
/// steps, or time spent over the budget), with `warmup` as a share of the run.
///
/// During warm-up the factor rises along a line from 0; then it follows the schedule over what is
/// left. A `progress` outside 0..=1 is moved to the nearer end.
pub fn factor(schedule: Schedule, warmup: f64, progress: f64) -> f64 {
    let progress = progress.clamp(0.0, 1.0);
    if progress < warmup {
        return progress / warmup;
    }
    let left = 1.0 - warmup;
    let done = if left > 0.0 { (progress - warmup) / left } else { 1.0 };
    match schedule {
        Schedule::Constant => 1.0,
        Schedule::Linear => 1.0 - done,
        Schedule::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * done).cos()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warmup_rises_along_a_line_for_all_schedules() {
        for schedule in [Schedule::Constant, Schedule::Linear, Schedule::Cosine] {
            assert_eq!(factor(schedule, 0.2, 0.0), 0.0);
            assert!((factor(schedule, 0.2, 0.05) - 0.25).abs() < 1e-12);
            assert!((factor(schedule, 0.2, 0.2) - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn values_after_warmup_are_those_of_the_usual_formulas() {
        // With a warm-up of a fifth, 0.6 of the run is half of the rest.
        assert_eq!(factor(Schedule::Constant, 0.2, 0.6), 1.0);
        assert!((factor(Schedule::Linear, 0.2, 0.6) - 0.5).abs() < 1e-12);
        assert!((factor(Schedule::Cosine, 0.2, 0.6) - 0.5).abs() < 1e-12);
        assert!((factor(Schedule::Linear, 0.2, 0.8) - 0.25).abs() < 1e-12);
        assert!((factor(Schedule::Cosine, 0.2, 0.8) - 0.146_446_609).abs() < 1e-8);
        assert!(factor(Schedule::Cosine, 0.2, 1.0).abs() < 1e-12);
    }

    #[test]
    fn ends_are_safe() {
        assert_eq!(factor(Schedule::Linear, 0.0, 0.0), 1.0);
        assert_eq!(factor(Schedule::Linear, 0.0, 2.0), 0.0);
        assert_eq!(factor(Schedule::Linear, 1.0, 0.5), 0.5);
        assert_eq!(factor(Schedule::Linear, 1.0, 1.0), 0.0);
        assert_eq!(factor(Schedule::Linear, 0.1, -1.0), 0.0);
    }
}
