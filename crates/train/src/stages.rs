//! Gradual unfreezing (ULMFiT, Howard & Ruder 2018): at first only the head is tuned, then one more layer from the
//! top in each stage, the embeddings last.
//!
//! What is frozen is not differentiated and has no moments. Each stage begins with fresh ones, as the reference's
//! (fastai's) fits do, so that the bias correction is right for what was tuned before and for what is new. The
//! schedule of the learning rate is one over all stages. Patience begins to count in the last one: before it there
//! is always something to come.

use polyseme_models::{Model, ParamGroup};

/// Epochs a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stages {
    /// At least 1.
    pub epochs: u64,
}

impl Stages {
    /// The stage of an epoch, from 0.
    pub fn of_epoch(self, epoch: u64, model: &Model) -> u64 {
        (epoch / self.epochs).min(self.last(model))
    }

    /// The stage in which the embeddings are tuned with all else.
    pub fn last(self, model: &Model) -> u64 {
        model.config().num_hidden_layers as u64 + 1
    }

    /// Chooses what is trained in a stage.
    pub fn enter(self, stage: u64, model: &mut Model) {
        let depth = model.config().num_hidden_layers as u64;
        model.set_trainable(&|p| match p.group {
            ParamGroup::Head => true,
            ParamGroup::Layer(layer) => layer as u64 + stage >= depth,
            ParamGroup::Embeddings => stage > depth,
        });
    }

    /// What is tuned in a stage, in words.
    pub fn tuned(self, stage: u64, model: &Model) -> String {
        let depth = model.config().num_hidden_layers as u64;
        match stage {
            0 => "the head alone is tuned".to_owned(),
            1 => "the last layer is tuned too".to_owned(),
            n if n <= depth => format!("the last {n} layers are tuned"),
            _ => "everything is tuned, the embeddings too".to_owned(),
        }
    }
}
