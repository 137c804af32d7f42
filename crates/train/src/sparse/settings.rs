//! How many weights become zero while a model learns, and which.

use crate::error::Result;
use crate::pretrain::settings::{positive, setting};
use serde::{Deserialize, Serialize};

/// What tells which weights stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// The largest ones (Han et al. 2015; Zhu & Gupta 2018).
    Magnitude,
    /// Those that are large, and that learning moves away from zero (after Sanh et al. 2020).
    Movement,
}

/// Among which weights those that stay are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Across {
    /// Each matrix keeps the same share.
    Matrix,
    /// All matrices together keep it.
    Model,
}

/// The share of zeros in the matrices of the encoder's layers, over the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SparseSettings {
    /// Share of the weights that are zero in the end; 0: weights stay as they are learned.
    pub sparsity: f64,
    /// What tells which weights stay.
    pub by: By,
    /// Among which weights they are chosen.
    pub across: Across,
    /// Share that is zero at the beginning.
    pub initial: f64,
    /// Share of the run that goes by at the initial sparsity.
    pub warmup: f64,
    /// Share of the run, at its end, that goes by at the final sparsity. The best epoch is one of these.
    pub cooldown: f64,
    /// Peak learning rate of the scores (movement), which begin at magnitudes, the root of whose mean square in a matrix
    /// is 1; it follows the schedule of the weights' own.
    pub score_rate: f64,
}

impl Default for SparseSettings {
    /// None; the rest as the paper's recipes have it, nearly.
    fn default() -> Self {
        Self {
            sparsity: 0.0,
            by: By::Movement,
            across: Across::Matrix,
            initial: 0.0,
            warmup: 0.1,
            cooldown: 0.3,
            score_rate: 1e-2,
        }
    }
}

impl SparseSettings {
    /// Whether any weights become zero.
    pub fn is_on(&self) -> bool {
        self.sparsity != 0.0
    }

    /// The share of zeros at `progress` in 0..=1 of the run: the initial one, then along a cubic curve, steep at first,
    /// to the final one (Zhu & Gupta 2018).
    pub fn at(&self, progress: f64) -> f64 {
        let rise = 1.0 - self.warmup - self.cooldown;
        let left = (1.0 - (progress - self.warmup) / rise).clamp(0.0, 1.0);
        self.sparsity + (self.initial - self.sparsity) * left.powi(3)
    }

    /// Looks for values that cannot be.
    pub(crate) fn check(&self) -> Result<()> {
        if !(0.0..1.0).contains(&self.sparsity) {
            return Err(setting(
                "sparse.sparsity",
                self.sparsity,
                "from 0 to less than 1, the share that becomes zero",
            ));
        }
        if !(0.0..=self.sparsity).contains(&self.initial) {
            return Err(setting("sparse.initial", self.initial, format!("from 0 to {}, the final one", self.sparsity)));
        }
        for (key, share) in [("sparse.warmup", self.warmup), ("sparse.cooldown", self.cooldown)] {
            if !(0.0..1.0).contains(&share) {
                return Err(setting(key, share, "from 0 to less than 1, a share of the run"));
            }
        }
        if self.warmup + self.cooldown >= 1.0 {
            let expected = format!("less than {}: the rest of the run is what sparsity rises in", 1.0 - self.warmup);
            return Err(setting("sparse.cooldown", self.cooldown, expected));
        }
        positive("sparse.score_rate", self.score_rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sparsity_rises_along_a_cubic_curve() {
        let s = SparseSettings { sparsity: 0.9, warmup: 0.2, cooldown: 0.3, ..SparseSettings::default() };
        assert_eq!([s.at(0.0), s.at(0.2)], [0.0, 0.0]);
        // Half of the rise: an eighth is left to go.
        assert!((s.at(0.45) - 0.9 * 7.0 / 8.0).abs() < 1e-12);
        assert_eq!([s.at(0.7), s.at(1.0), s.at(2.0)], [0.9; 3]);
        let s = SparseSettings { sparsity: 0.8, initial: 0.4, warmup: 0.0, cooldown: 0.0, by: By::Magnitude, ..s };
        assert!((s.at(0.5) - (0.8 - 0.4 / 8.0)).abs() < 1e-12);
        s.check().unwrap();
    }
}
