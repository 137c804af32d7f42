//! Layers, the one encoder, its heads, the families and their registry.

pub mod adapters;
mod chosen;
pub mod config;
pub mod cut;
mod encoder;
mod error;
mod families;
mod heads;
mod layers;
mod load;
mod look;
mod model;
mod onnx;
mod params;
mod quantized;
pub mod registry;
mod save;
mod scalar_mix;
pub mod share;
mod states;
mod vocabulary;

pub use adapters::{AdapterSettings, LoraSettings};
pub use chosen::ScoreLine;
pub use config::{Activation, ClassifierPooling, EncoderConfig, LayerSize, Sharing, Variant};
pub use cut::Cut;
pub use encoder::Grown;
pub use error::{Error, Result};

pub use look::{Held, HeldTensor, Look};
pub use model::{HeadKind, Model};
pub use params::{Bf16, ParamGroup, ParamInfo};
pub use quantized::{MatrixInfo, MatrixRole, Precision};
pub use registry::Family;
pub use share::Share;
