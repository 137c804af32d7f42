//! What is learned: a loss over batches, and a way to measure it on data that is not learned from.
//!
//! To add an objective: a file here that implements [`Objective`] with an iterator of
//! [`StepData`], its name in [`NAMES`] if `pretrain` may use it, and an arm there.

pub mod document_words;
pub mod joint;
pub mod mlm;
pub mod order;

use crate::error::Result;
use crate::sampler::Position;
use joint::Joint;
use polyseme_models::Model;
use polyseme_tensor::{Mode, Tensor};
use std::collections::BTreeMap;

/// Objectives that `pretrain` knows.
pub const NAMES: [&str; 2] = ["mlm", "mlm+sop"];

/// The data of one optimizer step, prepared on the host.
#[derive(Clone, Debug, PartialEq)]
pub struct StepData<B> {
    /// Batches whose gradients are added up. None is without targets.
    pub batches: Vec<B>,
    /// Tokens in all of them.
    pub tokens: u64,
    /// Targets (masked tokens, rows) in all of them: the loss is the mean over these.
    pub targets: u64,
    /// Where in the data the run stands after this step.
    pub after: Position,
    /// How far the run is in the middle of this step, in 0..=1, where the data tells it; with a
    /// budget the clock does.
    pub progress: Option<f64>,
}

/// What a model is trained for.
pub trait Objective {
    /// What one forward pass takes.
    type Batch: Send;

    /// Sum of the losses of all targets of a batch, on the model's device.
    fn loss(&self, model: &Model, batch: &Self::Batch, mode: Mode) -> Tensor<1>;

    /// The loss of several batches of a step where that of one depends on the others; `None` where it does not.
    fn joint(&self, model: &Model, batches: &[Self::Batch], modes: &[Mode]) -> Option<Joint> {
        let _ = (model, batches, modes);
        None
    }

    /// What stands for the loss of a batch of [`Objective::joint`]: what the model says of it times its gradient.
    fn surrogate(&self, model: &Model, batch: &Self::Batch, mode: Mode, gradient: Tensor<2>) -> Tensor<1> {
        let _ = (model, batch, mode, gradient);
        unreachable!("only where there is a joint loss")
    }

    /// Measures the model on held-out data: name to value.
    fn validate(&self, model: &Model) -> Result<BTreeMap<String, f64>>;

    /// About how many seconds [`Objective::validate`] takes, from a small part of it.
    fn validation_seconds(&self, model: &Model) -> Result<f64>;
}
