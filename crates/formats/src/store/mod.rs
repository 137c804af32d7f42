//! The token store: documents as token ids, memory-mapped.
//!
//! Ids take two bytes where the vocabulary allows, places of documents 64 bits. The header names the
//! hash of the tokenizer and of the corpus, so that a stale store is noticed. Any document is reached
//! in constant time. The bytes are described in `store/layout.rs`.

mod error;
mod layout;
mod writer;

pub use error::StoreError;
pub use writer::StoreWriter;

use crate::mapped::Mapped;
use crate::{Error, Result};
use layout::{BLOCK, Block, PREAMBLE, Preamble, RECORD, packed_len, unpack};
use std::path::Path;

/// What a store was made from.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct StoreHeader {
    /// Bound on ids.
    pub vocab_size: u64,
    /// Hash of the tokenizer's definition.
    pub tokenizer: String,
    /// Hash of the corpus: paths, sizes, modification times and reader options.
    pub corpus: String,
    /// Number of documents.
    pub documents: u64,
    /// Number of tokens.
    pub tokens: u64,
    /// Exact duplicates that were dropped.
    pub duplicates: u64,
}

/// An open store.
pub struct TokenStore {
    file: Mapped,
    preamble: Preamble,
    header: StoreHeader,
}

impl TokenStore {
    /// Maps a store. Errors: not a store, truncated, other version, damaged header or tables,
    /// offsets out of order. The ids themselves are not read; see [`TokenStore::verify`].
    pub fn open(path: &Path) -> Result<Self> {
        let file = Mapped::open(path)?;
        let preamble = Preamble::parse(&file).map_err(|what| wrong(path, what))?;
        let header = read_header(&file, &preamble).map_err(|what| wrong(path, what))?;
        let store = Self { file, preamble, header };
        store.check_tables().map_err(|what| wrong(path, what))?;
        Ok(store)
    }

    /// What it was made from.
    pub fn header(&self) -> &StoreHeader {
        &self.header
    }

    /// Number of documents.
    pub fn len(&self) -> usize {
        self.preamble.documents as usize
    }

    /// Whether there is no document.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Length of document `i` in tokens; at least 1. Panics if there is no such document.
    pub fn doc_len(&self, i: usize) -> usize {
        assert!(i < self.len(), "document {i} of {}", self.len());
        let (packed, bits) = self.lengths_of(&self.block(i / BLOCK), i / BLOCK);
        unpack(packed, bits, i % BLOCK) as usize
    }

    /// Number of the first token of document `i`, counted over the whole store. Panics if there is
    /// no such document.
    pub fn doc_start(&self, i: usize) -> u64 {
        assert!(i < self.len(), "document {i} of {}", self.len());
        let block = self.block(i / BLOCK);
        let (packed, bits) = self.lengths_of(&block, i / BLOCK);
        block.first_token + (0..i % BLOCK).map(|k| unpack(packed, bits, k)).sum::<u64>()
    }

    /// Appends `tokens[from..to]` of document `i` to `out`. Panics if there is no such document or
    /// the range is not inside it.
    pub fn read_into(&self, i: usize, from: usize, to: usize, out: &mut Vec<u32>) {
        let len = self.doc_len(i);
        assert!(from <= to && to <= len, "tokens {from}..{to} of document {i}, which has {len}");
        let size = self.preamble.id_bytes as usize;
        let start = PREAMBLE + (self.doc_start(i) as usize + from) * size;
        let bytes = &self.file[start..start + (to - from) * size];
        match size {
            2 => out.extend(bytes.as_chunks().0.iter().map(|c| u32::from(u16::from_le_bytes(*c)))),
            _ => out.extend(bytes.as_chunks().0.iter().map(|c| u32::from_le_bytes(*c))),
        }
    }

    /// Reads all ids once. Errors: their checksum is wrong.
    pub fn verify(&self) -> Result<()> {
        let path = &self.file.path;
        let end = PREAMBLE + self.preamble.tokens as usize * self.preamble.id_bytes as usize;
        let (found, expected) = (crc32c::crc32c(&self.file[PREAMBLE..end]), self.preamble.ids_crc);
        if found != expected {
            return Err(wrong(path, StoreError::IdsDamaged { found, expected }));
        }
        Ok(())
    }

    fn block(&self, number: usize) -> Block {
        let at = self.preamble.blocks_at as usize + number * RECORD;
        Block::parse(self.file[at..at + RECORD].try_into().expect("a record's size"))
    }

    /// The packed lengths of a block and their bits.
    fn lengths_of(&self, block: &Block, number: usize) -> (&[u8], u32) {
        let count = (self.len() - number * BLOCK).min(BLOCK);
        let start = (self.preamble.lengths_at + block.lengths_at) as usize;
        (&self.file[start..start + packed_len(count, block.bits)], block.bits)
    }

    /// Every block begins where the one before ends, in tokens and in bytes, and no document is
    /// empty; after this nothing can be out of range.
    fn check_tables(&self) -> std::result::Result<(), StoreError> {
        let p = &self.preamble;
        let (mut token, mut byte) = (0u64, 0u64);
        for number in 0..self.len().div_ceil(BLOCK) {
            let first = number * BLOCK;
            let count = (self.len() - first).min(BLOCK);
            let block = self.block(number);
            let wrong = |k: usize| StoreError::Offsets { document: (first + k) as u64 };
            let end = byte + packed_len(count, block.bits) as u64;
            let fits = block.bits <= 64 && p.lengths_at + end <= p.blocks_at;
            if block.first_token != token || block.lengths_at != byte || !fits {
                return Err(wrong(0));
            }
            let (packed, bits) = self.lengths_of(&block, number);
            for k in 0..count {
                let length = unpack(packed, bits, k);
                token = token.checked_add(length).filter(|&t| length > 0 && t <= p.tokens).ok_or_else(|| wrong(k))?;
            }
            byte = end;
        }
        match token == p.tokens {
            true => Ok(()),
            false => Err(StoreError::Offsets { document: p.documents }),
        }
    }
}

fn read_header(file: &[u8], p: &Preamble) -> std::result::Result<StoreHeader, StoreError> {
    let (found, expected) = (crc32c::crc32c(&file[p.lengths_at as usize..]), p.tables_crc);
    if found != expected {
        return Err(StoreError::HeaderDamaged { found, expected });
    }
    let bad = |message: String| StoreError::Header { message };
    let header: StoreHeader = serde_json::from_slice(&file[p.json_at as usize..]).map_err(|e| bad(e.to_string()))?;
    if (header.documents, header.tokens) != (p.documents, p.tokens) {
        return Err(bad("the counts of documents and tokens are not those of the file".into()));
    }
    if writer::id_bytes(header.vocab_size) != p.id_bytes {
        return Err(bad(format!("{} bytes an id for a vocabulary of {}", p.id_bytes, header.vocab_size)));
    }
    Ok(header)
}

fn wrong(path: &Path, what: StoreError) -> Error {
    Error::Store { path: path.to_path_buf(), what }
}
