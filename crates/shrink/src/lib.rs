//! Smaller encoders from larger ones. Each way reads a model folder and writes a model folder.

pub mod distil;
mod error;
pub mod prune;
pub mod quantize;
pub mod recipe;
pub mod share;
pub mod vocab;
mod way;

pub use error::{Error, Result};
pub use way::Way;

use polyseme_formats::ModelFolder;
use polyseme_models::Model;
use polyseme_text::Tokenizer;
use std::path::{Path, PathBuf};

/// A number before and after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[allow(missing_docs)]
pub struct Both {
    pub before: usize,
    pub after: usize,
}

impl Both {
    /// The share of the number before that is gone.
    pub fn saved(&self) -> f64 {
        1.0 - self.after as f64 / self.before.max(1) as f64
    }
}

fn io(action: &'static str, path: &Path, source: std::io::Error) -> Error {
    polyseme_formats::Error::Io { action, path: path.to_owned(), source }.into()
}

/// Writes what was made of the model of a folder, with that folder's sentence modules.
///
/// # Errors
/// A folder that cannot be written, modules that cannot be read.
fn write_model(model: &Model, tokenizer: &Tokenizer, source: &ModelFolder, out: &Path) -> Result<()> {
    let modules = source.sentence_modules()?;
    std::fs::create_dir_all(out).map_err(|source| io("create", out, source))?;
    model.save(out)?;
    tokenizer.save(out)?;
    if let Some(modules) = modules {
        polyseme_formats::folder::write_sentence_modules(out, &modules, model.config().hidden_size)?;
    }
    Ok(())
}

/// Folders of a model folder that are no part of the model.
const NOT_THE_MODEL: [&str; 5] = ["run", "rounds", "steps", "trials", "candidates"];

/// Copies a model's files into a folder that may hold others.
///
/// # Errors
/// A file that cannot be read or written.
fn copy_model(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to).map_err(|source| io("create", to, source))?;
    for entry in std::fs::read_dir(from).map_err(|source| io("read", from, source))? {
        let entry = entry.map_err(|source| io("read", from, source))?;
        let (path, target): (PathBuf, PathBuf) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            if !NOT_THE_MODEL.iter().any(|name| entry.file_name() == *name) {
                copy_model(&path, &target)?;
            }
            continue;
        }
        std::fs::copy(&path, &target).map_err(|source| io("copy", &path, source))?;
    }
    Ok(())
}
