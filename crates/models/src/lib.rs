//! Layers, the one encoder, its heads, the families and their registry.

pub mod adapters;
pub mod config;
mod encoder;
mod error;
mod families;
mod heads;
mod layers;
mod load;
mod model;
mod params;
pub mod registry;
mod save;
mod scalar_mix;
mod states;

pub use adapters::{AdapterSettings, LoraSettings};
pub use config::{Activation, ClassifierPooling, EncoderConfig, Variant};
pub use encoder::Grown;
pub use error::{Error, Result};

pub use model::{HeadKind, Model};
pub use params::{ParamGroup, ParamInfo};
pub use registry::Family;
