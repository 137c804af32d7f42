//! A way to make a model smaller, with all its settings.

use crate::prune::{PruneSettings, prune};
use crate::quantize::{QuantizeSettings, quantize};
use crate::share::{ShareSettings, share};
use crate::vocab::{VocabSettings, vocab};
use crate::{Error, Result};
use polyseme_tensor::Device;
use polyseme_train::{Error as TrainError, FinetuneSettings, Observer, Stop, finetune};
use std::path::Path;

/// A way to make a model smaller, with all its settings: what the command of the same name runs.
#[derive(Clone, Debug)]
pub enum Way {
    /// Learning from a teacher, or learning in which weights become zero.
    Learn(Box<FinetuneSettings>),
    /// Cutting parts out.
    Prune(Box<PruneSettings>),
    /// Writing values in fewer bits.
    Quantize(Box<QuantizeSettings>),
    /// Letting layers share their weights.
    Share(Box<ShareSettings>),
    /// Dropping pieces of the vocabulary.
    Vocab(VocabSettings),
}

impl Way {
    /// The folder that it writes.
    pub fn out(&self) -> &Path {
        match self {
            Self::Learn(settings) => &settings.out,
            Self::Prune(settings) => &settings.finetune.out,
            Self::Quantize(settings) => &settings.out,
            Self::Share(settings) => &settings.finetune.out,
            Self::Vocab(settings) => &settings.out,
        }
    }

    /// Makes the model, going on with what a killed run has left; `false`: it was asked to stop.
    ///
    /// # Errors
    /// Those of the way.
    pub fn make(&self, device: &Device, observer: &mut dyn Observer, stop: &Stop) -> Result<bool> {
        let begun = self.out().join("run").join("settings.toml").is_file();
        if !begun {
            let _ = std::fs::remove_dir_all(self.out());
        }
        let made = match self {
            Self::Learn(settings) => {
                finetune(settings, begun, device, observer, stop).map(|o| !o.interrupted).map_err(Error::from)
            }
            Self::Prune(settings) => prune(settings, begun, device, observer, stop).map(|o| !o.interrupted),
            Self::Quantize(settings) => quantize(settings, device, observer, stop).map(|o| o.is_some()),
            Self::Share(settings) => share(settings, begun, device, observer, stop).map(|o| !o.interrupted),
            Self::Vocab(settings) => vocab(settings, device, observer, stop).map(|_| true),
        };
        match made {
            Err(Error::Text(polyseme_text::Error::Stopped) | Error::Train(TrainError::Stopped)) => Ok(false),
            made => made,
        }
    }
}
