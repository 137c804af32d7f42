//! Smaller encoders from larger ones. Each way reads a model folder and writes a model folder.

pub mod distil;
mod error;
pub mod prune;

pub use error::{Error, Result};
