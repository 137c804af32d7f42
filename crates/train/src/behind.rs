//! What stands behind weights that a model computes with in another form than they are learned in.

use polyseme_tensor::Tensor;
use polyseme_tensor::ops::optimizer::AdamWStep;

/// Weights behind those of a model. All tensors are flat, in the order of the trained parameters.
pub trait Behind {
    /// Before the gradients' norm is taken: makes of gradients of the weights that the model computed with those of the
    /// weights behind them, and keeps what it learns from itself.
    fn gradients(&mut self, gradients: &mut [Tensor<1>]);

    /// Before a step of the weights: learns itself (`factor` is the share of the peak rate that the schedule leaves), and puts the weights behind
    /// in the others' places.
    fn before(&mut self, values: &mut [Tensor<1>], step: AdamWStep, factor: f64);

    /// After a step, the `done`-th of the run: puts in those that the model computes with. Gives the share that is zero.
    fn after(&mut self, values: &mut [Tensor<1>], done: u64) -> f64;

    /// Whether an epoch may be the best already.
    fn is_settled(&self) -> bool;

    /// What a run needs to go on beside the model's own values, by name.
    fn saved(&self) -> Vec<(String, Tensor<1>)>;
}
