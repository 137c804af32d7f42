//! Vectors as a NumPy file: one row a text, 32-bit floats, in the order of the input.
//!
//! Format: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>, version 1.0.

use super::Sink;
use polyseme_formats::atomic::Pending;
use polyseme_infer::TokenVectors;
use polyseme_inspect::index::npy_header;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

/// An `.npy` file being written; the number of rows is filled in at the end.
pub struct Npy {
    file: Pending,
    width: usize,
    rows: u64,
}

impl Npy {
    /// Begins a file of vectors with `width` numbers each.
    pub fn create(path: &Path, width: usize) -> anyhow::Result<Self> {
        let mut npy = Self { file: Pending::create(path)?, width, rows: 0 };
        npy.write(&npy_header(0, width))?;
        Ok(npy)
    }

    fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let written = self.file.file_mut().write_all(bytes);
        Ok(written.map_err(|e| polyseme_formats::Error::io("write", self.file.path(), e))?)
    }
}

impl Sink for Npy {
    fn texts(&mut self, texts: &[&str], vectors: &[Vec<f32>]) -> anyhow::Result<()> {
        let mut bytes = Vec::with_capacity(vectors.len() * self.width * 4);
        for x in vectors.iter().flatten() {
            bytes.extend_from_slice(&x.to_le_bytes());
        }
        debug_assert_eq!(bytes.len(), texts.len() * self.width * 4);
        self.rows += texts.len() as u64;
        self.write(&bytes)
    }

    fn words(&mut self, _texts: &[&str], _words: &[TokenVectors]) -> anyhow::Result<()> {
        unreachable!("refused when the file was named")
    }

    fn finish(mut self: Box<Self>) -> anyhow::Result<()> {
        let back = self.file.file_mut().seek(SeekFrom::Start(0));
        back.map_err(|e| polyseme_formats::Error::io("write", self.file.path(), e))?;
        self.write(&npy_header(self.rows as usize, self.width))?;
        self.file.commit()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyseme_inspect::index::NPY_HEADER;

    #[test]
    fn the_header_has_one_length_whatever_the_numbers() {
        for (rows, width) in [(0, 1), (usize::MAX, 65536)] {
            let h = npy_header(rows, width);
            assert_eq!(h.len(), NPY_HEADER);
            assert_eq!(h.last(), Some(&b'\n'));
            assert!(h[..NPY_HEADER - 1].ends_with(b" "), "no room left");
        }
    }
}
