//! What lies on disk: model folders, configurations, tensors, the token store and run folders.
//!
//! This crate knows no tensors library, so looking into a folder takes milliseconds.
//!
//! | module | files |
//! |---|---|
//! | [`folder`] | a model folder in the Hugging Face layout, sentence-transformers' modules |
//! | [`config`] | `config.json`, every key consumed, kept or refused |
//! | [`tensors`] | safetensors, one file or shards; reading is memory-mapped, writing streams |
//! | [`pickle`] | `pytorch_model.bin`, without running any code in it |
//! | [`load_report`] | what happened to each tensor when a model was loaded |
//! | [`store`] | documents as token ids, memory-mapped |
//! | [`run`] | the run folder: settings, metrics, checkpoints |
//! | [`settings`] | TOML files: recipes and resolved plans |
//! | [`tensorboard`] | event files |
//! | [`atomic`] | files that are whole or not there |
//! | [`mapped`] | files read page by page |
//!
//! Nothing here prints, exits, reads environment variables or touches the network. Every error names
//! the file, what was found and what was expected; see [`Error::fault`] and [`Error::hint`].

pub mod atomic;
pub mod config;
mod error;
pub mod folder;
mod impostor;
pub mod load_report;
pub mod mapped;
mod near;
pub mod pickle;
pub mod run;
pub mod settings;
pub mod store;
pub mod tensorboard;
pub mod tensors;

pub use config::{ConfigJson, write_json};
pub use error::{Error, Fault, Result};
pub use folder::ModelFolder;
pub use load_report::LoadReport;
