//! Corpus + tokenizer → token store, in bounded memory, on any number of threads, in order.

use crate::{CorpusReader, CorpusWarning, Error, Result, Tokenizer};
use polyseme_formats::store::{StoreHeader, StoreWriter, TokenStore};
use rayon::prelude::*;
use std::collections::HashSet;
use std::path::Path;
use xxhash_rust::xxh3::xxh3_128;

/// What building (or finding) a store came to.
#[derive(Clone, Debug)]
pub struct StoreReport {
    /// The store's header.
    pub header: StoreHeader,
    /// Whether an existing store was still right and nothing had to be done.
    pub reused: bool,
    /// What was odd in the corpus; nothing when the store was reused.
    pub warnings: Vec<CorpusWarning>,
}

/// Text is tokenized in batches of this many bytes.
const BATCH: usize = 2 << 20;

/// Builds the store at `path` unless the one there is of the same corpus and tokenizer.
/// Exact duplicates of documents are dropped and counted (128-bit hashes, 16 bytes a document).
/// `progress(bytes_read)` is called as it goes; once it gives `false`, it ends without
/// having written anything at `path`.
/// Errors: a corpus without any document, [`Error::Stopped`].
pub fn build_store(
    corpus: &CorpusReader,
    tokenizer: &Tokenizer,
    path: &Path,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<StoreReport> {
    let fingerprint = corpus.fingerprint()?;
    let hash = tokenizer.hash();
    // A store that cannot be opened is built anew.
    if let Ok(store) = TokenStore::open(path) {
        let header = store.header();
        if header.corpus == fingerprint && header.tokenizer == hash {
            return Ok(StoreReport { header: header.clone(), reused: true, warnings: Vec::new() });
        }
    }
    let writer = StoreWriter::create(path, tokenizer.vocab_size(), &hash, &fingerprint)?;
    let mut builder = Builder { tokenizer, writer, batch: Vec::new(), batch_bytes: 0, documents: 0 };
    let mut seen: HashSet<u128> = HashSet::new();
    let mut duplicates = 0;
    let warnings = corpus.for_each(
        &mut |document| {
            if !seen.insert(xxh3_128(document.text.as_bytes())) {
                duplicates += 1;
                return Ok(());
            }
            builder.add(document.text)
        },
        progress,
    )?;
    builder.flush()?;
    if builder.documents == 0 {
        return Err(Error::EmptyCorpus { files: corpus.files.len() });
    }
    let header = builder.writer.finish(duplicates)?;
    Ok(StoreReport { header, reused: false, warnings })
}

struct Builder<'a> {
    tokenizer: &'a Tokenizer,
    writer: StoreWriter,
    batch: Vec<String>,
    batch_bytes: usize,
    /// Documents with at least one token.
    documents: u64,
}

impl Builder<'_> {
    fn add(&mut self, text: String) -> Result<()> {
        self.batch_bytes += text.len();
        self.batch.push(text);
        if self.batch_bytes >= BATCH { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        let batch = std::mem::take(&mut self.batch);
        self.batch_bytes = 0;
        let encoded: Vec<Vec<u32>> =
            batch.par_iter().map(|text| self.tokenizer.encode_document(text)).collect::<Result<_>>()?;
        for ids in encoded {
            self.documents += u64::from(!ids.is_empty());
            self.writer.push(&ids)?;
        }
        Ok(())
    }
}
