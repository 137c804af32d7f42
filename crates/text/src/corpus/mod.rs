//! Documents from files and folders: `.txt`, `.md`, `.rst`, `.jsonl`, `.csv`, `.tsv`, `.parquet`,
//! plain or compressed with gzip (`.gz`, `.dz`) or zstd (`.zst`).
//!
//! What a document is:
//! * in a table (`.jsonl`, `.csv`, `.tsv`, `.parquet`): one row's text column;
//! * in running text: see [`TextDocuments`].
//!
//! White space around a document is dropped, `\r\n` becomes `\n`, a document longer than
//! [`LONGEST_DOCUMENT`] is split at white space, and one without any text is skipped.

mod files;
mod read;
mod warning;

pub(crate) use read::cut_before;
pub use read::{LONGEST_DOCUMENT, SHORTEST_BLOCK};
pub use warning::CorpusWarning;

use crate::{Error, Result};
use polyseme_formats::Error as FormatError;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// One document of a corpus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Its text, not empty.
    pub text: String,
}

/// How running text is cut into documents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TextDocuments {
    /// At blank lines, but a document goes on over them until it has [`SHORTEST_BLOCK`] bytes: a
    /// paragraph of prose is too short a context to learn from, and a heading belongs to what
    /// follows it.
    #[default]
    BlankLine,
    /// One file is one document.
    File,
}

/// A corpus: an ordered list of files and how to read them.
#[derive(Clone, Debug)]
pub struct CorpusReader {
    /// The files, folders walked, sorted by path.
    pub files: Vec<PathBuf>,
    /// The column or key that holds the text in tables; `None` guesses file by file.
    pub text_column: Option<String>,
    /// How running text is cut into documents.
    pub text_documents: TextDocuments,
    /// Oddities found while looking through folders.
    found: Vec<CorpusWarning>,
    /// Size of each file on disk.
    sizes: Vec<u64>,
}

impl CorpusReader {
    /// Resolves files and folders (sorted by path, each file once, hidden ones skipped). Errors:
    /// nothing there, a folder without any readable file, an unknown extension given directly, an
    /// empty file given directly, a file that may not be read. An empty file in a folder is a
    /// warning of [`CorpusReader::for_each`].
    pub fn open(paths: &[PathBuf], text_column: Option<&str>) -> Result<Self> {
        let mut found = Vec::new();
        let files = files::resolve(paths, &mut found)?;
        Ok(Self {
            sizes: files.iter().map(|(_, size)| *size).collect(),
            files: files.into_iter().map(|(path, _)| path).collect(),
            text_column: text_column.map(str::to_owned),
            text_documents: TextDocuments::default(),
            found,
        })
    }

    /// The same corpus with running text cut in another way.
    #[must_use]
    pub fn with_text_documents(mut self, how: TextDocuments) -> Self {
        self.text_documents = how;
        self
    }

    /// Total size on disk, for progress.
    pub fn bytes(&self) -> u64 {
        self.sizes.iter().sum()
    }

    /// Hash of names, sizes, modification times and options: equal hashes hold the same text.
    pub fn fingerprint(&self) -> Result<String> {
        let mut hash = Sha256::new();
        // Raised whenever the rules of reading change, so that older stores are built anew.
        hash.update(b"corpus rules 1\0");
        hash.update(format!("{:?}\0{:?}\0", self.text_column, self.text_documents));
        for path in &self.files {
            let full = path.canonicalize().map_err(|e| unreadable(path, e))?;
            let meta = full.metadata().map_err(|e| unreadable(path, e))?;
            let time = meta.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
            hash.update(full.as_os_str().as_encoded_bytes());
            hash.update(format!("\0{}\0{}\0", meta.len(), time.as_nanos()));
        }
        Ok(crate::hex(&hash.finalize()))
    }

    /// Calls `f` with every document in order, in bounded memory (a document longer than 1 MiB is
    /// split at white space). `progress` receives bytes read from disk so far; once it gives `false`,
    /// reading ends with [`Error::Stopped`].
    pub fn for_each(
        &self,
        f: &mut dyn FnMut(Document) -> Result<()>,
        progress: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Vec<CorpusWarning>> {
        let mut warnings = self.found.clone();
        let mut before = 0;
        for (path, size) in self.files.iter().zip(&self.sizes) {
            let mut here = |done: u64| progress(before + done.min(*size));
            warnings.extend(read::file(self, path, f, &mut here)?);
            before += size;
            go_on(progress(before))?;
        }
        Ok(warnings)
    }
}

/// What a report of progress was answered with, as a result.
pub(crate) fn go_on(answer: bool) -> Result<()> {
    if answer { Ok(()) } else { Err(Error::Stopped) }
}

fn unreadable(path: &Path, source: std::io::Error) -> Error {
    match source.kind() {
        std::io::ErrorKind::NotFound => Error::NotFound { path: path.to_owned() },
        std::io::ErrorKind::PermissionDenied => Error::Unreadable { path: path.to_owned(), source },
        _ => FormatError::Io { action: "read", path: path.to_owned(), source }.into(),
    }
}
