//! Writing a token store in bounded memory.

use super::error::StoreError;
use super::layout::{BLOCK, Block, PREAMBLE, Preamble, bits_for, pack};
use super::{StoreHeader, wrong};
use crate::atomic::{self, Pending};
use crate::{Error, Result};
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// Writes a store in bounded memory; nothing is visible under the final name until `finish`.
///
/// Ids go straight into the file; lengths and the table of blocks go to nameless temporary files
/// beside it, since the ids come first and their number is known only at the end.
pub struct StoreWriter {
    file: Pending,
    ids: Vec<u8>,
    ids_crc: u32,
    lengths: Spill,
    blocks: Spill,
    /// Lengths of the documents of the block that is not full yet.
    block: Vec<u64>,
    block_first_token: u64,
    header: StoreHeader,
}

/// Bytes of ids gathered before they are written.
const BUFFER: usize = 1 << 20;

impl StoreWriter {
    /// Begins a store at `path` (a temporary file beside it until finished). Errors: the folder
    /// cannot be written, `vocab_size` is 0 or more than 2^32.
    pub fn create(path: &Path, vocab_size: usize, tokenizer: &str, corpus: &str) -> Result<Self> {
        let vocab_size = vocab_size as u64;
        if vocab_size == 0 || vocab_size > 1 << 32 {
            return Err(wrong(path, StoreError::VocabSize { vocab_size }));
        }
        let io = |e| Error::io("write", path, e);
        let mut file = Pending::create(path)?;
        file.file_mut().write_all(&[0; PREAMBLE]).map_err(io)?;
        Ok(Self {
            file,
            ids: Vec::with_capacity(BUFFER + 4096),
            ids_crc: 0,
            lengths: Spill::create(path).map_err(io)?,
            blocks: Spill::create(path).map_err(io)?,
            block: Vec::with_capacity(BLOCK),
            block_first_token: 0,
            header: StoreHeader {
                vocab_size,
                tokenizer: tokenizer.into(),
                corpus: corpus.into(),
                documents: 0,
                tokens: 0,
                duplicates: 0,
            },
        })
    }

    /// Appends a document (no special tokens inside). Empty ones are skipped. Errors: an id beyond
    /// the vocabulary, a full disk.
    pub fn push(&mut self, ids: &[u32]) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let vocab_size = self.header.vocab_size;
        if let Some(&id) = ids.iter().find(|&&id| u64::from(id) >= vocab_size) {
            let document = self.header.documents;
            return Err(wrong(self.file.path(), StoreError::Id { document, id, vocab_size }));
        }
        let short = id_bytes(vocab_size) == 2;
        // In pieces, so that one enormous document needs no second copy of itself.
        for piece in ids.chunks(BUFFER / 4) {
            match short {
                true => self.ids.extend(piece.iter().flat_map(|&id| (id as u16).to_le_bytes())),
                false => self.ids.extend(piece.iter().flat_map(|id| id.to_le_bytes())),
            }
            if self.ids.len() >= BUFFER {
                self.flush_ids()?;
            }
        }
        self.header.documents += 1;
        self.header.tokens += ids.len() as u64;
        self.block.push(ids.len() as u64);
        if self.block.len() == BLOCK {
            self.flush_block()?;
        }
        Ok(())
    }

    /// Writes offsets and header, syncs, renames into place.
    pub fn finish(mut self, duplicates: u64) -> Result<StoreHeader> {
        self.header.duplicates = duplicates;
        self.flush_block()?;
        let padding = (self.header.tokens * u64::from(id_bytes(self.header.vocab_size))).wrapping_neg() % 8;
        self.flush_ids()?;
        let path = self.file.path().to_path_buf();
        self.write_tables(padding as usize).map_err(|e| Error::io("write", &path, e))?;
        self.file.commit()?;
        Ok(self.header)
    }

    fn write_tables(&mut self, padding: usize) -> io::Result<()> {
        let file = self.file.file_mut();
        file.write_all(&[0; 8][..padding])?;
        let lengths_at = file.stream_position()?;
        let mut out = BufWriter::with_capacity(BUFFER, &mut *file);
        let mut crc = 0;
        let lengths = self.lengths.copy_to(&mut out, &mut crc)?;
        let padding = lengths.wrapping_neg() % 8;
        write_summed(&mut out, &[0; 8][..padding as usize], &mut crc)?;
        let blocks = self.blocks.copy_to(&mut out, &mut crc)?;
        let json = serde_json::to_vec(&self.header)?;
        write_summed(&mut out, &json, &mut crc)?;
        out.flush()?;
        drop(out);
        let blocks_at = lengths_at + lengths + padding;
        let preamble = Preamble {
            id_bytes: id_bytes(self.header.vocab_size),
            tokens: self.header.tokens,
            documents: self.header.documents,
            lengths_at,
            blocks_at,
            json_at: blocks_at + blocks,
            file_len: blocks_at + blocks + json.len() as u64,
            ids_crc: self.ids_crc,
            tables_crc: crc,
        };
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&preamble.to_bytes())
    }

    fn flush_ids(&mut self) -> Result<()> {
        self.ids_crc = crc32c::crc32c_append(self.ids_crc, &self.ids);
        let written = self.file.file_mut().write_all(&self.ids);
        self.ids.clear();
        written.map_err(|e| Error::io("write", self.file.path(), e))
    }

    fn flush_block(&mut self) -> Result<()> {
        if self.block.is_empty() {
            return Ok(());
        }
        let bits = bits_for(&self.block);
        let record = Block { first_token: self.block_first_token, lengths_at: self.lengths.len, bits };
        let mut packed = Vec::with_capacity(BLOCK * 8);
        pack(&self.block, bits, &mut packed);
        let spilled = self.lengths.write(&packed).and_then(|()| self.blocks.write(&record.to_bytes()));
        self.block_first_token += self.block.iter().sum::<u64>();
        self.block.clear();
        spilled.map_err(|e| Error::io("write", self.file.path(), e))
    }
}

/// Bytes of an id.
pub(super) fn id_bytes(vocab_size: u64) -> u32 {
    if vocab_size <= 1 << 16 { 2 } else { 4 }
}

fn write_summed(out: &mut impl Write, bytes: &[u8], crc: &mut u32) -> io::Result<()> {
    *crc = crc32c::crc32c_append(*crc, bytes);
    out.write_all(bytes)
}

/// A table that grows in a nameless temporary file.
struct Spill {
    out: BufWriter<File>,
    len: u64,
}

impl Spill {
    fn create(path: &Path) -> io::Result<Self> {
        let file = tempfile::tempfile_in(atomic::parent(path))?;
        Ok(Self { out: BufWriter::new(file), len: 0 })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.len += bytes.len() as u64;
        self.out.write_all(bytes)
    }

    /// Copies everything, in pieces; gives the number of bytes.
    fn copy_to(&mut self, to: &mut impl Write, crc: &mut u32) -> io::Result<u64> {
        self.out.flush()?;
        let file = self.out.get_mut();
        file.seek(SeekFrom::Start(0))?;
        let mut piece = vec![0; 1 << 16];
        loop {
            match file.read(&mut piece)? {
                0 => return Ok(self.len),
                n => write_summed(to, &piece[..n], crc)?,
            }
        }
    }
}
