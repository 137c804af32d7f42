//! What is odd in a corpus but does not stop the reading.

use crate::source::Oddities;
use std::fmt;
use std::path::{Path, PathBuf};

/// Something odd that did not stop the reading; each kind is reported once per file. `Display` gives
/// a sentence for the user.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CorpusWarning {
    /// Bytes that are not UTF-8 were replaced by U+FFFD.
    BadUtf8 {
        /// The file.
        file: PathBuf,
        /// Byte position of the first one in the decompressed text.
        first: u64,
        /// How many there were.
        count: u64,
    },
    /// NUL bytes were dropped.
    NulBytes {
        /// The file.
        file: PathBuf,
        /// Byte position of the first one in the decompressed text.
        first: u64,
        /// How many there were.
        count: u64,
    },
    /// A file in a folder holds no text.
    EmptyFile {
        /// The file.
        file: PathBuf,
    },
    /// Rows of a table without any text were skipped.
    RowsWithoutText {
        /// The file.
        file: PathBuf,
        /// The line (in Parquet: the row) of the first one, counted from 1.
        first: u64,
        /// How many there were.
        count: u64,
    },
}

impl CorpusWarning {
    /// Warnings for what a source counted.
    pub(crate) fn of_oddities(file: &Path, odd: Oddities) -> Vec<Self> {
        let bad = odd.first_bad.map(|(first, _)| Self::BadUtf8 { file: file.to_owned(), first, count: odd.bad });
        let nul = odd.first_nul.map(|(first, _)| Self::NulBytes { file: file.to_owned(), first, count: odd.nul });
        [bad, nul].into_iter().flatten().collect()
    }
}

impl fmt::Display for CorpusWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadUtf8 { file, first, count } => write!(
                f,
                "{}: {count} byte sequences that are not UTF-8 were replaced, the first at byte {first}",
                file.display()
            ),
            Self::NulBytes { file, first, count } => {
                write!(f, "{}: {count} NUL bytes were dropped, the first at byte {first}", file.display())
            }
            Self::EmptyFile { file } => write!(f, "{} holds no text", file.display()),
            Self::RowsWithoutText { file, first, count } => {
                write!(f, "{}: {count} rows without text were skipped, the first at line {first}", file.display())
            }
        }
    }
}
