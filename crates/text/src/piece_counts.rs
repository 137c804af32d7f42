//! How often each piece of a tokenizer stands in a corpus.

use crate::{CorpusReader, CorpusWarning, Error, Result, Tokenizer};
use rayon::prelude::*;

/// What [`count`] found.
#[derive(Clone, Debug)]
pub struct PieceCounts {
    /// For each id how often it stands in the corpus.
    pub counts: Vec<u64>,
    /// Documents with at least one piece.
    pub documents: u64,
    /// The first of them.
    pub first: Vec<String>,
    /// What was odd in the corpus.
    pub warnings: Vec<CorpusWarning>,
}

/// Text is tokenized in batches of this many bytes.
const BATCH: usize = 2 << 20;

/// Counts the pieces of all documents, of which the first `keep` are kept. `progress(bytes_read)` is called as it goes,
/// and ends it with `false`.
///
/// # Errors
/// A file that cannot be read, a corpus without text, [`Error::Stopped`].
pub fn count(
    corpus: &CorpusReader,
    tokenizer: &Tokenizer,
    keep: usize,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<PieceCounts> {
    let counts = vec![0; tokenizer.vocab_size()];
    let mut found = PieceCounts { counts, documents: 0, first: Vec::new(), warnings: Vec::new() };
    let (mut batch, mut bytes) = (Vec::new(), 0);
    found.warnings = corpus.for_each(
        &mut |document| {
            bytes += document.text.len();
            batch.push(document.text);
            if bytes < BATCH {
                return Ok(());
            }
            bytes = 0;
            found.add(std::mem::take(&mut batch), tokenizer, keep)
        },
        progress,
    )?;
    found.add(batch, tokenizer, keep)?;
    if found.documents == 0 {
        return Err(Error::EmptyCorpus { files: corpus.files.len() });
    }
    Ok(found)
}

impl PieceCounts {
    fn add(&mut self, batch: Vec<String>, tokenizer: &Tokenizer, keep: usize) -> Result<()> {
        let encoded: Vec<Vec<u32>> =
            batch.par_iter().map(|text| tokenizer.encode_document(text)).collect::<Result<_>>()?;
        for (text, ids) in batch.into_iter().zip(encoded).filter(|(_, ids)| !ids.is_empty()) {
            self.documents += 1;
            ids.iter().for_each(|&id| self.counts[id as usize] += 1);
            if self.first.len() < keep {
                self.first.push(text);
            }
        }
        Ok(())
    }
}
