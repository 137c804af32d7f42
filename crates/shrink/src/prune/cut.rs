//! A folder with what is left of a model.

use crate::{Result, write_model};
use polyseme_formats::ModelFolder;
use polyseme_models::{Cut, HeadKind, Model};
use polyseme_tensor::{Device, Stream};
use polyseme_text::Tokenizer;
use std::path::Path;

/// Writes a folder with what `cut` leaves of a model.
///
/// # Errors
/// A folder that cannot be read or written, or a part that the model does not have.
pub fn cut(model: &Path, cut: &Cut, out: &Path, device: &Device) -> Result<()> {
    let source = ModelFolder::open(model)?;
    let tokenizer = Tokenizer::open(model)?;
    let (whole, _) = Model::open(&source, HeadKind::AsFound, Stream::new(0), device)?;
    write_model(&whole.cut(cut)?, &tokenizer, &source, out)
}
