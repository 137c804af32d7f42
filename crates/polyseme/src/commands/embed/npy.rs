//! Vectors as a NumPy file: one row a text, 32-bit floats, in the order of the input.
//!
//! Format: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>, version 1.0.

use super::Sink;
use polyseme_formats::atomic::Pending;
use polyseme_infer::TokenVectors;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

/// Header and its padding; a multiple of 64, as the format wants.
const HEADER: usize = 128;

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
        npy.write(&header(0, width))?;
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
        self.write(&header(self.rows, self.width))?;
        self.file.commit()?;
        Ok(())
    }
}

fn header(rows: u64, width: usize) -> Vec<u8> {
    let dict = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {width}), }}");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend_from_slice(&((HEADER - 10) as u16).to_le_bytes());
    bytes.extend_from_slice(dict.as_bytes());
    bytes.resize(HEADER - 1, b' ');
    bytes.push(b'\n');
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_has_one_length_whatever_the_numbers() {
        for (rows, width) in [(0, 1), (u64::MAX, 65536)] {
            let h = header(rows, width);
            assert_eq!(h.len(), HEADER);
            assert_eq!(h.last(), Some(&b'\n'));
            assert!(h[..HEADER - 1].ends_with(b" "), "no room left");
        }
    }
}
