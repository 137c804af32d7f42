//! Every way in which a token store can be wrong.

use crate::Fault;

/// What can be wrong with a token store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another kind of file.
    #[error("this is no token store (its first 8 bytes are {found:02x?})")]
    Foreign {
        /// First bytes of the file.
        found: Vec<u8>,
    },
    /// Written by another version of Polyseme.
    #[error("a token store of version {found}, expected version {expected}")]
    Version {
        /// Version found.
        found: u32,
        /// Version that is read.
        expected: u32,
    },
    /// Cut short, or longer than it should be.
    #[error("the token store has {found} bytes, expected {expected}")]
    Size {
        /// Bytes found.
        found: u64,
        /// Bytes by its header.
        expected: u64,
    },
    /// The header's checksum is wrong.
    #[error("the header of the token store is damaged (checksum {found:08x}, expected {expected:08x})")]
    HeaderDamaged {
        /// Checksum computed.
        found: u32,
        /// Checksum written.
        expected: u32,
    },
    /// The checksum is right but the header makes no sense.
    #[error("the header of the token store is wrong: {message}")]
    Header {
        /// What is wrong.
        message: String,
    },
    /// Document offsets do not add up.
    #[error("document offsets are out of order at document {document}")]
    Offsets {
        /// First document where they are.
        document: u64,
    },
    /// The token ids were changed.
    #[error("the token ids are damaged (checksum {found:08x}, expected {expected:08x})")]
    IdsDamaged {
        /// Checksum computed.
        found: u32,
        /// Checksum written.
        expected: u32,
    },
    /// A document has an id beyond the vocabulary.
    #[error("document {document} has the token id {id}, expected less than {vocab_size}")]
    Id {
        /// Number of the document.
        document: u64,
        /// The id.
        id: u32,
        /// Size of the vocabulary.
        vocab_size: u64,
    },
    /// A vocabulary that ids of 32 bits cannot number.
    #[error("a vocabulary of {vocab_size} cannot be stored, expected 1 to 4,294,967,296")]
    VocabSize {
        /// Its size.
        vocab_size: u64,
    },
}

impl StoreError {
    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Id { .. } | Self::VocabSize { .. } => Fault::System,
            _ => Fault::Input,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Foreign { .. } => "give another path for the store; this file is left as it is".into(),
            Self::Id { .. } | Self::VocabSize { .. } => {
                "tokenizer and vocabulary size do not belong together; this is a bug, please report it".into()
            }
            _ => "remove the file; it is built again from the corpus".into(),
        })
    }
}
