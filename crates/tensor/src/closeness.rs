//! The one way in which tests compare numbers: named levels, and the greatest difference with its
//! place in every message.

use burn::tensor::Tensor;

/// How close two lists of numbers must be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Level {
    /// The same bits.
    Bits,
    /// Outputs of a model against the reference: 1e-5.
    Output,
    /// Gradients against the reference: 1e-4 of the greatest value of the tensor.
    Gradient,
    /// Losses of a training run against the reference: 1e-4.
    Loss,
    /// A fused operation against its plain twin: 1e-5 of the greatest value, at least of 1.
    Twin,
    /// Two ways of computing the same in f32: 2e-6 of the greatest value, at least of 1.
    Rounding,
}

impl Level {
    /// Greatest difference allowed, when the greatest expected value is `scale`.
    fn limit(self, scale: f32) -> f32 {
        match self {
            Self::Bits => 0.0,
            Self::Output => 1e-5,
            // A gradient that is zero but for rounding (a key's bias) has no scale of its own.
            Self::Gradient => 1e-4 * scale.max(1e-3),
            Self::Loss => 1e-4,
            Self::Twin => 1e-5 * scale.max(1.0),
            Self::Rounding => 2e-6 * scale.max(1.0),
        }
    }
}

/// The greatest difference, where it is, and what stands there.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Difference {
    pub greatest: f32,
    pub index: usize,
    pub found: f32,
    pub expected: f32,
    /// Greatest difference allowed.
    pub limit: f32,
}

/// Compares numbers; `Err` with the place of the greatest difference if they are not close enough
/// or not as many. What is not a number is close to nothing.
pub fn compare(found: &[f32], expected: &[f32], level: Level) -> Result<Difference, String> {
    if found.len() != expected.len() {
        return Err(format!("{} values; expected {}", found.len(), expected.len()));
    }
    let scale = expected.iter().fold(0.0f32, |scale, value| scale.max(value.abs()));
    let difference = |i: usize| {
        let same = found[i].to_bits() == expected[i].to_bits();
        let distance = (found[i] - expected[i]).abs();
        if same {
            0.0
        } else if distance.is_nan() {
            f32::INFINITY
        } else {
            distance.max(f32::MIN_POSITIVE)
        }
    };
    let index = (0..found.len()).max_by(|&a, &b| difference(a).total_cmp(&difference(b)));
    let Some(index) = index else {
        return Ok(Difference { greatest: 0.0, index: 0, found: 0.0, expected: 0.0, limit: 0.0 });
    };
    let result = Difference {
        greatest: difference(index),
        index,
        found: found[index],
        expected: expected[index],
        limit: level.limit(scale),
    };
    if result.greatest <= result.limit { Ok(result) } else { Err(format!("{result:?} at level {level:?}")) }
}

/// Panics unless `found` is as close to `expected` as the level says.
#[track_caller]
pub fn assert_close(what: &str, found: &[f32], expected: &[f32], level: Level) {
    if let Err(message) = compare(found, expected, level) {
        panic!("{what}: {message}");
    }
}

/// The values of a tensor, row by row.
pub fn values<const D: usize>(tensor: &Tensor<D>) -> Vec<f32> {
    tensor.clone().inner().into_data_as::<f32>().try_into_vec().expect("f32 was asked for")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_where_the_greatest_difference_is() {
        let message = compare(&[1.0, 2.0, 3.5], &[1.0, 2.25, 3.0], Level::Output).unwrap_err();
        assert!(message.contains("greatest: 0.5, index: 2, found: 3.5, expected: 3.0"), "{message}");
    }

    #[test]
    fn bits_tell_zero_from_minus_zero() {
        assert!(compare(&[0.0], &[-0.0], Level::Bits).is_err());
        assert!(compare(&[0.1], &[0.1], Level::Bits).is_ok());
    }

    #[test]
    fn what_is_not_a_number_is_close_to_nothing() {
        assert!(compare(&[f32::NAN], &[1.0], Level::Loss).is_err());
        assert!(compare(&[1.0], &[f32::NAN], Level::Loss).is_err());
    }

    #[test]
    fn lengths_must_agree() {
        assert!(compare(&[], &[1.0], Level::Loss).is_err());
        assert!(compare(&[], &[], Level::Bits).is_ok());
    }

    #[test]
    fn gradients_are_measured_against_the_greatest_of_the_tensor() {
        assert!(compare(&[100.0, 0.009], &[100.0, 0.0], Level::Gradient).is_ok());
        assert!(compare(&[1.0, 0.009], &[1.0, 0.0], Level::Gradient).is_err());
    }
}
