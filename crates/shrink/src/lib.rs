//! Smaller encoders from larger ones. Each way reads a model folder and writes a model folder.

mod error;
pub mod prune;

pub use error::{Error, Result};
