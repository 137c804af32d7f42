//! A tokenizer with its special tokens, as the model folder describes them.

pub(crate) mod definition;
mod encode;
mod open;
mod special;
pub(crate) mod stretches;
mod target;
mod trim;

use crate::{Error, Result};
use encode::Slot;
pub use encode::Window;
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, OnceLock};
pub use target::SourceTarget;
pub use trim::{Keep, Trimmed};

/// Ids of the special tokens that objectives and heads need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecialTokens {
    /// `[PAD]`, `<pad>`.
    pub pad: u32,
    /// `[UNK]`, `<unk>`; byte-level tokenizers have none.
    pub unk: Option<u32>,
    /// `[CLS]`, `<s>`: begins every sequence.
    pub cls: u32,
    /// `[SEP]`, `</s>`: ends every sequence.
    pub sep: u32,
    /// `[MASK]`, `<mask>`.
    pub mask: Option<u32>,
}

/// A text (or pair) as the encoder sees it, special tokens included.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Encoding {
    /// Token ids.
    pub ids: Vec<u32>,
    /// 0 for the first text, 1 for the second (all 0 for families without segments).
    pub type_ids: Vec<u32>,
    /// Byte range of each token in its text; empty for special tokens.
    pub offsets: Vec<Range<usize>>,
    /// Index of the word each token belongs to, counted from 0 in each text of a pair; `None` for
    /// special tokens.
    pub words: Vec<Option<u32>>,
    /// Tokens cut off by truncation.
    pub truncated: usize,
}

/// A tokenizer: cheap to clone, safe to share between threads.
///
/// Settings for truncation and padding inside a `tokenizer.json` are ignored: batches are packed, and
/// [`Tokenizer::encode`] is told how long a sequence may be.
#[derive(Clone)]
pub struct Tokenizer {
    inner: Arc<Inner>,
}

struct Inner {
    tokenizer: tokenizers::Tokenizer,
    /// The same, but with special tokens in a text read as plain text; made when first needed.
    plain: OnceLock<tokenizers::Tokenizer>,
    /// Ids of stretches of documents, for tokenizers whose texts can be cut.
    memory: Option<stretches::Memory>,
    special: SpecialTokens,
    vocab_size: usize,
    is_special: Vec<bool>,
    continues_word: Vec<bool>,
    /// How a text, and how a pair, is set between special tokens.
    single: Vec<Slot>,
    pair: Vec<Slot>,
    hash: String,
    model_max_length: Option<usize>,
    /// What [`Tokenizer::save`] writes: file names and bytes.
    files: BTreeMap<String, Vec<u8>>,
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokenizer")
            .field("vocab_size", &self.inner.vocab_size)
            .field("special", &self.inner.special)
            .field("hash", &self.inner.hash)
            .finish_non_exhaustive()
    }
}

impl Tokenizer {
    /// Opens `tokenizer.json`, or `vocab.txt` with `tokenizer_config.json`, or `vocab.json` with
    /// `merges.txt`, of a model folder.
    ///
    /// Where `tokenizer_config.json` names `do_lower_case`, `strip_accents` or
    /// `tokenize_chinese_chars`, it wins over BERT's normalizer inside `tokenizer.json`, as it does in
    /// `transformers`.
    pub fn open(folder: &Path) -> Result<Self> {
        open::open(folder)
    }

    /// A tokenizer from the files of a folder held in memory; `folder` is named in errors.
    pub(crate) fn from_files(folder: &Path, files: BTreeMap<String, Vec<u8>>) -> Result<Self> {
        open::from_files(folder, files)
    }

    /// Writes `tokenizer.json`, `tokenizer_config.json`, `special_tokens_map.json` and, for
    /// WordPiece, `vocab.txt`, so that `AutoTokenizer` opens the folder. Files of the folder that the
    /// tokenizer was opened from are written as they were, byte for byte.
    pub fn save(&self, folder: &Path) -> Result<()> {
        std::fs::create_dir_all(folder).map_err(|source| Error::Unwritable { path: folder.to_owned(), source })?;
        // The definition last: where it is, all are.
        let (definition, others): (Vec<_>, Vec<_>) =
            self.inner.files.iter().partition(|(name, _)| *name == "tokenizer.json");
        for (name, bytes) in others.into_iter().chain(definition) {
            polyseme_formats::atomic::write(&folder.join(name), |out| out.write_all(bytes))?;
        }
        Ok(())
    }

    /// Number of ids, added tokens included: the highest id and one.
    pub fn vocab_size(&self) -> usize {
        self.inner.vocab_size
    }

    /// Special tokens.
    pub fn special(&self) -> &SpecialTokens {
        &self.inner.special
    }

    /// Whether `id` is a special token (never masked, not part of a word).
    pub fn is_special(&self, id: u32) -> bool {
        self.inner.is_special.get(id as usize).copied().unwrap_or(false)
    }

    /// Whether the piece continues the word of the piece before it (`##ing`; no `Ġ`/`▁` in front).
    pub fn continues_word(&self, id: u32) -> bool {
        self.inner.continues_word.get(id as usize).copied().unwrap_or(false)
    }

    /// Encodes a text or a pair with special tokens, at most `max_len` ids; a pair is cut at the
    /// longer text first. Special tokens written in the text (`[MASK]`) become their ids.
    /// Error: `max_len` has no room for the special tokens.
    pub fn encode(&self, text: &str, pair: Option<&str>, max_len: usize) -> Result<Encoding> {
        let inner = &*self.inner;
        let layout = if pair.is_some() { &inner.pair } else { &inner.single };
        encode::encode(&inner.tokenizer, layout, text, pair, max_len)
    }

    /// Encodes many in parallel, in order.
    pub fn encode_batch(&self, texts: &[(String, Option<String>)], max_len: usize) -> Result<Vec<Encoding>> {
        texts.par_iter().map(|(text, pair)| self.encode(text, pair.as_deref(), max_len)).collect()
    }

    /// Encodes a text of any length in windows of at most `max_len` ids, `overlap` of which (or half a window)
    /// are those of the window before; each stands behind the same other text, if there is one (a question
    /// before a passage). No token is lost. An empty text is one window.
    /// Error: `max_len` has no room for the special tokens and two more.
    pub fn windows(&self, before: Option<&str>, text: &str, max_len: usize, overlap: usize) -> Result<Vec<Window>> {
        let inner = &*self.inner;
        let layout = if before.is_some() { &inner.pair } else { &inner.single };
        encode::windows(&inner.tokenizer, layout, before, text, max_len, overlap)
    }

    /// Ids of a document for the store: no special tokens around it, no truncation, and special
    /// tokens that happen to be written in the text are plain text.
    pub fn encode_document(&self, text: &str) -> Result<Vec<u32>> {
        match &self.inner.memory {
            Some(memory) => memory.ids(self.plain(), text),
            None => encode::ids(self.plain(), text),
        }
    }

    fn plain(&self) -> &tokenizers::Tokenizer {
        self.inner.plain.get_or_init(|| {
            let mut plain = self.inner.tokenizer.clone();
            plain.set_encode_special_tokens(true);
            plain
        })
    }

    /// Text of ids.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String> {
        self.inner
            .tokenizer
            .decode(ids, skip_special)
            .map_err(|e| Error::Decode { count: ids.len(), what: e.to_string() })
    }

    /// The piece with this id.
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.tokenizer.id_to_token(id)
    }

    /// The id of a piece.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.tokenizer.token_to_id(token)
    }

    /// Hash of the definition: equal hashes encode alike.
    pub fn hash(&self) -> String {
        self.inner.hash.clone()
    }

    /// `model_max_length` of `tokenizer_config.json`, when it says something sensible.
    pub fn model_max_length(&self) -> Option<usize> {
        self.inner.model_max_length
    }
}

/// Hash over everything that decides the ids of a text.
fn hash_of(tokenizer: &tokenizers::Tokenizer, special: &SpecialTokens, layouts: [&[Slot]; 2]) -> Result<String> {
    let definition = tokenizer.to_string(false).map_err(|e| Error::Training { what: e.to_string() })?;
    let mut hash = Sha256::new();
    hash.update(definition);
    hash.update(format!("{special:?}{layouts:?}"));
    Ok(crate::hex(&hash.finalize()))
}
