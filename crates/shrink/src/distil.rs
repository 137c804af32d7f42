//! A smaller model learns from a larger one that knows the task. The learning itself is fine-tuning with a teacher
//! ([`polyseme_train::distil`]); here is what a teacher tells of itself.

use crate::Result;
use polyseme_formats::ModelFolder;
use polyseme_models::{HeadKind, Model};
use polyseme_tensor::{Device, Stream};
use std::path::Path;

/// What a folder that is to teach tells of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The task it has learned, by its head; `None` if it has no head of a task and no sentence vectors.
    pub task: Option<&'static str>,
    /// Whether it says what tokens are hidden.
    pub speaks: bool,
    /// Its layers.
    pub layers: usize,
}

impl Known {
    /// Looks into a folder.
    ///
    /// # Errors
    /// A folder that cannot be read.
    pub fn of(folder: &Path, device: &Device) -> Result<Self> {
        let source = ModelFolder::open(folder)?;
        let vectors = source.sentence_modules()?.is_some();
        let (model, _) = Model::open(&source, HeadKind::AsFound, Stream::new(0), device)?;
        let task = match model.head() {
            HeadKind::Classify(_) => Some("classify"),
            HeadKind::MultiLabel(_) => Some("multilabel"),
            HeadKind::Regress => Some("regress"),
            HeadKind::Tag(_) => Some("tag"),
            HeadKind::Answer => Some("qa"),
            HeadKind::Choice => Some("choice"),
            HeadKind::None if vectors => Some("similarity"),
            HeadKind::None | HeadKind::AsFound | HeadKind::MaskedLm | HeadKind::Generate | HeadKind::PreTraining => {
                None
            }
        };
        Ok(Self { task, speaks: model.head() == HeadKind::MaskedLm, layers: model.config().num_hidden_layers })
    }

    /// Every other layer from the first, as DistilBERT begins (Sanh et al. 2019).
    pub fn every_other_layer(&self) -> Vec<usize> {
        (0..self.layers).step_by(2).collect()
    }
}
