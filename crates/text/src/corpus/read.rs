//! Reads the documents of one file.

use super::{CorpusReader, CorpusWarning, Document, TextDocuments, go_on};
use crate::names::guess_text;
use crate::rows::Rows;
use crate::source::{ENDINGS, Format, TextSource, by_ending_or_error};
use crate::{Error, Result};
use std::io::BufRead;
use std::path::Path;

/// Running text is not cut at a blank line before a document has this many bytes.
pub const SHORTEST_BLOCK: usize = 1000;
/// A document longer than this many bytes is split at white space.
pub const LONGEST_DOCUMENT: usize = 1 << 20;

/// Calls `f` with every document of one file; `progress` receives bytes of this file read from disk.
pub(super) fn file(
    corpus: &CorpusReader,
    path: &Path,
    f: &mut dyn FnMut(Document) -> Result<()>,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<Vec<CorpusWarning>> {
    let (format, packing) = by_ending_or_error(path, ENDINGS)?;
    let mut documents = 0u64;
    let mut count = |document: Document| {
        documents += 1;
        f(document)
    };
    let mut warnings = match format {
        Format::Text => {
            let mut source = TextSource::open(path, packing)?;
            running_text(&mut source, corpus.text_documents, &mut count, progress)?;
            CorpusWarning::of_oddities(path, source.oddities())
        }
        _ => {
            let mut rows = match Rows::open(path, format, packing, true) {
                // Not a byte of text after unpacking: the same as an empty file in a folder.
                Err(Error::EmptyFile { path }) => return Ok(vec![CorpusWarning::EmptyFile { file: path }]),
                other => other?,
            };
            table(path, &mut rows, corpus.text_column.as_deref(), &mut count, progress)?
        }
    };
    if documents == 0 {
        warnings.push(CorpusWarning::EmptyFile { file: path.to_owned() });
    }
    Ok(warnings)
}

fn table(
    path: &Path,
    rows: &mut Rows,
    text_column: Option<&str>,
    f: &mut dyn FnMut(Document) -> Result<()>,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<Vec<CorpusWarning>> {
    let column = match text_column {
        Some(name) => rows.column(name)?,
        None => guess_text(rows.columns(), None)
            .ok_or_else(|| Error::NoTextColumn { path: path.to_owned(), columns: rows.columns().to_vec() })?,
    };
    rows.only(&[column])?;
    let (mut without, mut first, mut told) = (0, 0, 0);
    while let Some(mut row) = rows.next_row()? {
        match row.take(column).filter(|t| !t.trim().is_empty()) {
            Some(text) => emit(&text, f)?,
            None => {
                without += 1;
                first = if first == 0 { row.line } else { first };
            }
        }
        // The source reads in chunks of many rows.
        if rows.disk_bytes() != told {
            told = rows.disk_bytes();
            go_on(progress(told))?;
        }
    }
    let mut warnings = CorpusWarning::of_oddities(path, rows.oddities());
    if without > 0 {
        warnings.push(CorpusWarning::RowsWithoutText { file: path.to_owned(), first, count: without });
    }
    Ok(warnings)
}

fn running_text(
    source: &mut TextSource,
    how: TextDocuments,
    f: &mut dyn FnMut(Document) -> Result<()>,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<()> {
    let mut blocks = Blocks { how, text: Vec::new(), line_start: 0 };
    loop {
        let chunk = match source.fill_buf() {
            Ok(chunk) => chunk,
            Err(e) => return Err(source.error(e)),
        };
        if chunk.is_empty() {
            break;
        }
        let n = chunk.len();
        let mut rest = chunk;
        while !rest.is_empty() {
            let end = rest.iter().position(|b| *b == b'\n').map_or(rest.len(), |e| e + 1);
            blocks.push(&rest[..end], f)?;
            rest = &rest[end..];
        }
        source.consume(n);
        go_on(progress(source.disk_bytes()))?;
    }
    blocks.finish(f)
}

/// Gathers running text into documents.
struct Blocks {
    how: TextDocuments,
    /// The document so far.
    text: Vec<u8>,
    /// Where its last line begins.
    line_start: usize,
}

impl Blocks {
    /// Adds a line or a piece of one, ending at a character's end.
    fn push(&mut self, piece: &[u8], f: &mut dyn FnMut(Document) -> Result<()>) -> Result<()> {
        self.text.extend_from_slice(piece);
        if self.text.ends_with(b"\r\n") {
            self.text.truncate(self.text.len() - 2);
            self.text.push(b'\n');
        }
        if self.text.ends_with(b"\n") {
            let blank = self.text[self.line_start..].iter().all(u8::is_ascii_whitespace);
            if blank && self.how == TextDocuments::BlankLine && self.text.len() > SHORTEST_BLOCK {
                return self.finish(f);
            }
            self.line_start = self.text.len();
        }
        while self.text.len() > LONGEST_DOCUMENT {
            let text = self.take();
            let cut = cut_before(&text, LONGEST_DOCUMENT);
            emit(&text[..cut], f)?;
            self.text = text.as_bytes()[cut..].to_vec();
            // A line that was cut is not blank, so that its new start does not matter.
            self.line_start = self.line_start.saturating_sub(cut);
        }
        Ok(())
    }

    fn take(&mut self) -> String {
        let bytes = std::mem::take(&mut self.text);
        String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
    }

    fn finish(&mut self, f: &mut dyn FnMut(Document) -> Result<()>) -> Result<()> {
        self.line_start = 0;
        emit(&self.take(), f)
    }
}

/// Gives a text as one document, or as several when it is too long.
fn emit(text: &str, f: &mut dyn FnMut(Document) -> Result<()>) -> Result<()> {
    let mut rest = text.trim();
    while rest.len() > LONGEST_DOCUMENT {
        let (first, second) = rest.split_at(cut_before(rest, LONGEST_DOCUMENT));
        f(Document { text: first.trim_end().to_owned() })?;
        rest = second.trim_start();
    }
    if rest.is_empty() { Ok(()) } else { f(Document { text: rest.to_owned() }) }
}

/// Where to cut a text longer than `limit` bytes: before the last white space in the second half of
/// `limit`, else between two characters. Never 0 for a `limit` of 8 or more.
pub(crate) fn cut_before(text: &str, limit: usize) -> usize {
    let end = text.floor_char_boundary(limit);
    let from = text.floor_char_boundary(limit / 2);
    match text[from..end].char_indices().rev().find(|(_, c)| c.is_whitespace()) {
        Some((at, _)) if from + at > 0 => from + at,
        _ => end,
    }
}
