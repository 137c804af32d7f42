//! Scores of a matrix's weights by how learning moves them.

use crate::error::Result;
use polyseme_tensor::Tensor;
use polyseme_tensor::ops::optimizer::AdamWStep;

/// Scores, with moments as those of Adam, but that the second one is of the whole matrix.
pub struct Movement {
    pub scores: Tensor<1>,
    momentum: Tensor<1>,
    /// Running mean of the squared gradient, one number.
    square: Tensor<1>,
    /// Of this step.
    gradient: Option<Tensor<1>>,
}

/// Prefixes of what is saved of it: scores, momentum, square.
const SAVED: [&str; 3] = ["sparse.scores.", "sparse.m.", "sparse.v."];

impl Movement {
    /// Before a step: scores are magnitudes, in units of their root mean square.
    pub fn begin(weights: &Tensor<1>) -> Self {
        let square = (weights.clone() * weights.clone()).mean();
        Self {
            scores: weights.clone().abs() / (square.clone().sqrt() + f32::MIN_POSITIVE),
            momentum: weights.zeros_like(),
            square: square.zeros_like(),
            gradient: None,
        }
    }

    /// Takes the gradient of the masked weights: that of the mask is its product with the weights, straight through.
    pub fn gradient(&mut self, of_masked: &Tensor<1>, weights: &Tensor<1>) {
        self.gradient = Some(of_masked.clone() * weights.clone());
    }

    /// One step, the `number`th from 1, by the gradient that was taken.
    pub fn learn(&mut self, step: AdamWStep, number: u64) {
        let gradient = self.gradient.take().expect("a gradient comes before each step") * step.gradient_scale;
        let corrected = |beta: f64| 1.0 - beta.powf(number as f64);
        let squared = (gradient.clone() * gradient.clone()).mean();
        self.square = self.square.clone() * step.beta2 + squared * (1.0 - step.beta2);
        self.momentum = self.momentum.clone() * step.beta1 + gradient * (1.0 - step.beta1);
        let size = (self.square.clone() / corrected(step.beta2)).sqrt() + step.epsilon;
        let change = self.momentum.clone() * (step.learning_rate / corrected(step.beta1)) / size;
        self.scores = self.scores.clone() - change;
    }

    /// What is saved, with a prefix of each.
    pub fn saved(&self) -> impl Iterator<Item = (&'static str, Tensor<1>)> {
        let all = [&self.scores, &self.momentum, &self.square];
        SAVED.into_iter().zip(all.map(Tensor::clone))
    }

    /// What was saved of a matrix of `count` weights, each tensor read by its prefix and size.
    pub fn restored(count: usize, mut read: impl FnMut(&str, usize) -> Result<Tensor<1>>) -> Result<Self> {
        let [scores, momentum, square] = SAVED;
        let (scores, momentum, square) = (read(scores, count)?, read(momentum, count)?, read(square, 1)?);
        Ok(Self { scores, momentum, square, gradient: None })
    }
}
