//! What stands beside an encoder's weights and learns in their place: low-rank changes, bottlenecks, prefixes.
//!
//! To add a kind: a file here with its parameters and what they do, its settings in [`AdapterSettings`], and how its
//! folder looks in `folder.rs`.

mod bottleneck;
pub(crate) mod folder;
mod lora;
mod prefix;

use crate::model::Model;
use crate::params::{ParamId, ParamInfo, kaiming};
use crate::{EncoderConfig, Error, Result};
pub(crate) use bottleneck::Bottleneck;
pub use folder::{FILES, WEIGHT_FILES, is_adapter};
pub use lora::LoraSettings;
use polyseme_tensor::{Mode, Stream};
pub(crate) use prefix::{Laid, Prefixes};
use std::path::Path;

/// Which adapter a model has.
#[derive(Clone, Debug, PartialEq)]
pub enum AdapterSettings {
    /// Low-rank changes of matrices.
    Lora(LoraSettings),
    /// A bottleneck of this width after each layer.
    Bottleneck(usize),
    /// So many virtual tokens before each sequence.
    Prefix(usize),
}

impl AdapterSettings {
    /// What it is called in a sentence.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Lora(_) => "low-rank changes",
            Self::Bottleneck(_) => "bottlenecks between layers",
            Self::Prefix(_) => "virtual tokens before a text",
        }
    }

    /// What its parameters are, in order, where `layers` is what the names of layers begin with; low-rank changes
    /// are among the matrices instead.
    fn parameters(&self, layers: &str, config: &EncoderConfig) -> Vec<ParamInfo> {
        let of_layer: &dyn Fn(usize) -> Vec<ParamInfo> = match self {
            Self::Lora(_) => &|_| Vec::new(),
            Self::Bottleneck(size) => &|index| bottleneck::parameters(layers, config, index, *size),
            Self::Prefix(length) => &|index| prefix::parameters(layers, config, index, *length),
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
    /// Before each layer.
    Prefixes(Prefixes),
}

impl ParamInfo {
    /// Whether it belongs to an adapter.
    pub fn is_adapter(&self) -> bool {
        [".lora_", ".adapter."].iter().any(|part| self.name.contains(part)) || self.name.ends_with(prefix::NAME)
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

    /// Puts virtual tokens before each sequence at every layer, added to the parameters, with small vectors. The
    /// longest input is then shorter by as many.
    ///
    /// # Errors
    /// As [`Model::check_prefix`].
    pub fn add_prefix(&mut self, length: usize, stream: Stream) -> Result<()> {
        self.check_prefix(length)?;
        self.add_new(AdapterSettings::Prefix(length), stream);
        Ok(())
    }

    /// Errors if the model cannot have so many virtual tokens: none, more than leave room for a text, or layers
    /// with windows, which would not see them from everywhere.
    pub fn check_prefix(&self, length: usize) -> Result<()> {
        let variant = &self.config.variant;
        if variant.is_rotary() || variant.pre_norm || variant.local_attention > 0 {
            return Err(Error::NoPrefix { family: self.family.model_type() });
        }
        let most = self.config.max_length().saturating_sub(prefix::LEAST);
        if length == 0 || length > most {
            let expected = format!("from 1 to {most}, so that a text has room behind it");
            return Err(Error::setting("the length of a prefix", length, expected));
        }
        Ok(())
    }

    /// Longest sequence that it takes, special tokens included.
    pub fn max_length(&self) -> usize {
        let prefix = if let Some(AdapterSettings::Prefix(length)) = self.adapter { length } else { 0 };
        self.config.max_length().saturating_sub(prefix)
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

    /// Keys and values of its virtual tokens, if it has any. `(length, layers · 2 · hidden)`
    pub(crate) fn prefix_keys_and_values(&self) -> Option<(Vec<usize>, Vec<f32>)> {
        let Added::Prefixes(prefixes) = &self.parts.encoder.added else { return None };
        let found = prefix::keys_and_values(prefixes, &self.parts.encoder, self.params.view(Mode::Eval));
        let shape = found.dims().to_vec();
        Some((shape, found.into_data_as::<f32>().try_into_vec().expect("f32 was asked for")))
    }

    fn add_new(&mut self, settings: AdapterSettings, stream: Stream) {
        let initial = |info: &ParamInfo| match info.name.ends_with(bottleneck::DOWN) {
            true => kaiming(stream.named(&info.name), info.elements(), self.config.hidden_size),
            false if info.name.ends_with(prefix::NAME) => {
                stream.named(&info.name).normals(info.elements(), self.config.initializer_range)
            }
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
            AdapterSettings::Prefix(length) => Added::Prefixes(Prefixes { vectors: ids, length }),
        };
        self.adapter = Some(settings);
    }

    fn added_parameters(&self, settings: &AdapterSettings) -> Vec<ParamInfo> {
        settings.parameters(&self.family.form().layers(), &self.config)
    }
}
