//! What stands beside an encoder's weights and learns in their place: low-rank changes, bottlenecks, prefixes.
//!
//! To add a kind: a file here with its parameters and what they do, its settings in [`AdapterSettings`], and how its
//! folder looks in `folder.rs`.

mod bottleneck;
pub(crate) mod folder;
mod lora;

use crate::model::Model;
use crate::params::{ParamId, ParamInfo, kaiming};
use crate::{EncoderConfig, Error, Result};
pub(crate) use bottleneck::Bottleneck;
pub use folder::{FILES, WEIGHT_FILES, is_adapter};
pub use lora::LoraSettings;
use polyseme_tensor::Stream;
use std::path::Path;

/// Which adapter a model has.
#[derive(Clone, Debug, PartialEq)]
pub enum AdapterSettings {
    /// Low-rank changes of matrices.
    Lora(LoraSettings),
    /// A bottleneck of this width after each layer.
    Bottleneck(usize),
}

impl AdapterSettings {
    /// What it is called in a sentence.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Lora(_) => "low-rank changes",
            Self::Bottleneck(_) => "bottlenecks between layers",
        }
    }

    /// What its parameters are, in order, where `layers` is what the names of layers begin with; low-rank changes
    /// are among the matrices instead.
    fn parameters(&self, layers: &str, config: &EncoderConfig) -> Vec<ParamInfo> {
        let of_layer: &dyn Fn(usize) -> Vec<ParamInfo> = match self {
            Self::Lora(_) => &|_| Vec::new(),
            Self::Bottleneck(size) => &|index| bottleneck::parameters(layers, config, index, *size),
        };
        (0..config.num_hidden_layers).flat_map(of_layer).collect()
    }
}

/// The parts of an adapter that layers meet on the way.
#[derive(Default)]
pub(crate) enum Added {
    #[default]
    Nothing,
    /// One after each layer.
    Bottlenecks(Vec<Bottleneck>),
}

impl ParamInfo {
    /// Whether it belongs to an adapter.
    pub fn is_adapter(&self) -> bool {
        [".lora_", ".adapter."].iter().any(|part| self.name.contains(part))
    }
}

impl Model {
    /// Puts a bottleneck after each layer, added to the parameters; new ones change nothing yet.
    ///
    /// # Errors
    /// A width of 0, or one above the encoder's.
    pub fn add_bottlenecks(&mut self, size: usize, stream: Stream) -> Result<()> {
        let hidden = self.config.hidden_size;
        if size == 0 || size > hidden {
            let expected = format!("from 1 to the width of the encoder, {hidden}");
            return Err(Error::setting("the width of a bottleneck", size, expected));
        }
        self.add_new(AdapterSettings::Bottleneck(size), stream);
        Ok(())
    }

    /// The adapter it has, where that is not folded into its weights.
    pub fn adapter(&self) -> Option<&AdapterSettings> {
        self.adapter.as_ref()
    }

    /// Writes the adapter and the head, naming the folder of the model that they change. Panics without an adapter.
    pub fn save_adapter(&self, folder: &Path, base: &Path) -> Result<()> {
        folder::save(self, self.adapter.as_ref().expect("an adapter was added"), folder, base)
    }

    /// Errors where an adapter would be lost if the model were written as a whole one.
    pub fn check_whole(&self) -> Result<()> {
        match &self.adapter {
            None | Some(AdapterSettings::Lora(_)) => Ok(()),
            Some(other) => Err(Error::NotFolded { what: other.name() }),
        }
    }

    fn add_new(&mut self, settings: AdapterSettings, stream: Stream) {
        let initial = |info: &ParamInfo| match info.name.ends_with(bottleneck::DOWN) {
            true => kaiming(stream.named(&info.name), info.elements(), self.config.hidden_size),
            false => vec![0.0; info.elements()],
        };
        let values = self.added_parameters(&settings).iter().map(initial).collect();
        self.add(settings, values);
    }

    /// Adds an adapter with these values.
    pub(crate) fn add(&mut self, settings: AdapterSettings, values: Vec<Vec<f32>>) {
        let infos = self.added_parameters(&settings);
        let ids: Vec<ParamId> = infos.into_iter().zip(values).map(|(info, v)| self.params.add(info, v)).collect();
        self.parts.encoder.added = match settings {
            AdapterSettings::Lora(_) => Added::Nothing,
            AdapterSettings::Bottleneck(_) => Added::Bottlenecks(ids.chunks_exact(4).map(Bottleneck::of).collect()),
        };
        self.adapter = Some(settings);
    }

    fn added_parameters(&self, settings: &AdapterSettings) -> Vec<ParamInfo> {
        settings.parameters(&self.family.form().layers(), &self.config)
    }
}
