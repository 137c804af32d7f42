//! The bytes of a token store.
//!
//! ```text
//! preamble  96 bytes: magic, version, bytes per id, places and sizes of the parts, checksums
//! ids       2 or 4 bytes each, little-endian; padded to 8 bytes
//! lengths   of documents, in blocks of 128 documents, each block with as many bits a length as its
//!           longest document needs; padded to 8 bytes
//! blocks    16 bytes a block: first token (u64), place in `lengths` (56 bits) and bits (8 bits)
//! header    JSON
//! ```
//!
//! A table of 64-bit offsets would cost 8 bytes a document, more than a tenth of the ids where
//! documents are lines of verse; this costs about one, and a document is still found in constant
//! time: one block, at most 127 additions.

use super::error::StoreError;

pub(super) const MAGIC: [u8; 8] = *b"polystor";
pub(super) const VERSION: u32 = 1;
/// Documents of a block.
pub(super) const BLOCK: usize = 128;
pub(super) const PREAMBLE: usize = 96;
/// Bytes of a record in the table of blocks.
pub(super) const RECORD: usize = 16;

/// The fixed part at the file's begin. Sizes and places in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Preamble {
    pub id_bytes: u32,
    pub tokens: u64,
    pub documents: u64,
    pub lengths_at: u64,
    pub blocks_at: u64,
    pub json_at: u64,
    pub file_len: u64,
    pub ids_crc: u32,
    /// Over lengths, blocks and JSON.
    pub tables_crc: u32,
}

impl Preamble {
    pub(super) fn to_bytes(self) -> [u8; PREAMBLE] {
        let mut out = Vec::with_capacity(PREAMBLE);
        out.extend(MAGIC);
        out.extend(VERSION.to_le_bytes());
        out.extend(self.id_bytes.to_le_bytes());
        for n in [self.tokens, self.documents, self.lengths_at, self.blocks_at, self.json_at, self.file_len] {
            out.extend(n.to_le_bytes());
        }
        out.extend(self.ids_crc.to_le_bytes());
        out.extend(self.tables_crc.to_le_bytes());
        out.resize(PREAMBLE - 4, 0);
        out.extend(crc32c::crc32c(&out).to_le_bytes());
        out.try_into().expect("the preamble's size")
    }

    /// Parses and checks everything that the first bytes alone can tell.
    pub(super) fn parse(file: &[u8]) -> Result<Self, StoreError> {
        let first = &file[..file.len().min(8)];
        if first != MAGIC {
            return Err(StoreError::Foreign { found: first.to_vec() });
        }
        if file.len() < PREAMBLE {
            return Err(StoreError::Size { found: file.len() as u64, expected: PREAMBLE as u64 });
        }
        let u32_at = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().expect("4 bytes"));
        let u64_at = |at: usize| u64::from_le_bytes(file[at..at + 8].try_into().expect("8 bytes"));
        if u32_at(8) != VERSION {
            return Err(StoreError::Version { found: u32_at(8), expected: VERSION });
        }
        let (found, expected) = (crc32c::crc32c(&file[..PREAMBLE - 4]), u32_at(PREAMBLE - 4));
        if found != expected {
            return Err(StoreError::HeaderDamaged { found, expected });
        }
        let preamble = Self {
            id_bytes: u32_at(12),
            tokens: u64_at(16),
            documents: u64_at(24),
            lengths_at: u64_at(32),
            blocks_at: u64_at(40),
            json_at: u64_at(48),
            file_len: u64_at(56),
            ids_crc: u32_at(64),
            tables_crc: u32_at(68),
        };
        if preamble.file_len != file.len() as u64 {
            return Err(StoreError::Size { found: file.len() as u64, expected: preamble.file_len });
        }
        preamble.check()?;
        Ok(preamble)
    }

    /// The parts follow one another and have the sizes that the counts ask for.
    fn check(&self) -> Result<(), StoreError> {
        let wrong = |message: &str| Err(StoreError::Header { message: message.into() });
        if ![2, 4].contains(&self.id_bytes) {
            return wrong("ids have neither 2 nor 4 bytes");
        }
        let ids_end = self.tokens.checked_mul(self.id_bytes.into()).and_then(|n| n.checked_add(PREAMBLE as u64));
        if ids_end.and_then(|n| n.checked_next_multiple_of(8)) != Some(self.lengths_at) {
            return wrong("the ids do not end where the lengths begin");
        }
        let blocks = self.documents.div_ceil(BLOCK as u64).checked_mul(RECORD as u64);
        if self.blocks_at < self.lengths_at || blocks.and_then(|n| self.blocks_at.checked_add(n)) != Some(self.json_at)
        {
            return wrong("the table of blocks has another size than the number of documents needs");
        }
        if self.json_at > self.file_len {
            return wrong("the description lies beyond the end");
        }
        Ok(())
    }
}

/// A record of the table of blocks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Block {
    /// Number of the first token of the block's first document.
    pub first_token: u64,
    /// Where its lengths begin, counted from the begin of all lengths. Below 2^56.
    pub lengths_at: u64,
    /// Bits a length takes.
    pub bits: u32,
}

impl Block {
    pub(super) fn to_bytes(self) -> [u8; RECORD] {
        let mut out = [0; RECORD];
        out[..8].copy_from_slice(&self.first_token.to_le_bytes());
        out[8..].copy_from_slice(&(self.lengths_at << 8 | u64::from(self.bits)).to_le_bytes());
        out
    }

    pub(super) fn parse(record: &[u8; RECORD]) -> Self {
        let (first, second) = record.split_at(8);
        let packed = u64::from_le_bytes(second.try_into().expect("8 bytes"));
        Self {
            first_token: u64::from_le_bytes(first.try_into().expect("8 bytes")),
            lengths_at: packed >> 8,
            bits: packed as u8 as u32,
        }
    }
}

/// Bits that every one of these lengths fits into.
pub(super) fn bits_for(lengths: &[u64]) -> u32 {
    64 - lengths.iter().fold(0, |all, n| all | n).leading_zeros()
}

/// Bytes that `count` lengths of `bits` bits take.
pub(super) fn packed_len(count: usize, bits: u32) -> usize {
    (count * bits as usize).div_ceil(8)
}

/// Lengths one after the other, lowest bits first.
pub(super) fn pack(lengths: &[u64], bits: u32, out: &mut Vec<u8>) {
    let (mut held, mut held_bits) = (0u128, 0);
    for &n in lengths {
        held |= u128::from(n) << held_bits;
        held_bits += bits;
        while held_bits >= 8 {
            out.push(held as u8);
            held >>= 8;
            held_bits -= 8;
        }
    }
    if held_bits > 0 {
        out.push(held as u8);
    }
}

/// The `i`-th of the lengths that [`pack`] wrote.
pub(super) fn unpack(packed: &[u8], bits: u32, i: usize) -> u64 {
    let first_bit = i * bits as usize;
    let mut window = [0; 16];
    let rest = &packed[(first_bit / 8).min(packed.len())..];
    let n = rest.len().min(16);
    window[..n].copy_from_slice(&rest[..n]);
    let shifted = u128::from_le_bytes(window) >> (first_bit % 8);
    (shifted & ((1u128 << bits) - 1)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_come_back_whatever_their_bits() {
        for bits in 0..=64u32 {
            let largest = if bits == 0 { 0 } else { u64::MAX >> (64 - bits) };
            let lengths: Vec<u64> =
                (0..BLOCK as u64).map(|i| if i % 3 == 0 { largest } else { largest / (i + 1) }).collect();
            assert_eq!(bits_for(&lengths), bits);
            let mut packed = Vec::new();
            pack(&lengths, bits, &mut packed);
            assert_eq!(packed.len(), packed_len(BLOCK, bits));
            let back: Vec<u64> = (0..BLOCK).map(|i| unpack(&packed, bits, i)).collect();
            assert_eq!(back, lengths, "{bits} bits");
        }
    }

    #[test]
    fn the_preamble_comes_back() {
        let p = Preamble {
            id_bytes: 2,
            tokens: 5,
            documents: 1,
            lengths_at: 112,
            blocks_at: 112,
            json_at: 128,
            file_len: 128,
            ids_crc: 3,
            tables_crc: 4,
        };
        let mut file = p.to_bytes().to_vec();
        file.resize(128, 0);
        assert_eq!(Preamble::parse(&file).unwrap(), p);
    }
}
