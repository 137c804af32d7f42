//! Opens a file of text by its ending, unpacks it and makes valid UTF-8 of whatever it holds.

use crate::{Error, Result};
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Endings of files that can be read, for messages.
pub(crate) const ENDINGS: &str =
    ".txt, .md, .rst, .jsonl, .csv, .tsv (each also with .gz, .dz or .zst behind it) and .parquet";
/// Endings of tables.
pub(crate) const TABLE_ENDINGS: &str = ".csv, .tsv, .jsonl (each also with .gz or .zst behind it) and .parquet";

/// How the inside of a file is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Running text.
    Text,
    /// One JSON object a line.
    Jsonl,
    /// Comma-separated values with quotes.
    Csv,
    /// Tab-separated values.
    Tsv,
    /// Parquet.
    Parquet,
}

/// How a file is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    /// Not at all.
    Plain,
    /// gzip, possibly of several members; dictzip is gzip too.
    Gzip,
    /// zstd, possibly of several frames.
    Zstd,
}

/// The ending of the name in small letters without the packing's, and the packing.
pub(crate) fn ending(path: &Path) -> Option<(String, Packing)> {
    let name = path.file_name()?.to_string_lossy().to_lowercase();
    let (stem, packing) = if let Some(stem) = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".dz")) {
        (stem, Packing::Gzip)
    } else if let Some(stem) = name.strip_suffix(".zst") {
        (stem, Packing::Zstd)
    } else {
        (name.as_str(), Packing::Plain)
    };
    let (_, ending) = stem.rsplit_once('.')?;
    Some((ending.to_owned(), packing))
}

/// Format and packing by the ending of the name; `None` when the ending is not known.
pub(crate) fn by_ending(path: &Path) -> Option<(Format, Packing)> {
    let (ending, packing) = ending(path)?;
    let format = match ending.as_str() {
        // `.dict` is the text of a dictd dictionary, found as `.dict.dz`.
        "txt" | "text" | "md" | "markdown" | "rst" | "dict" => Format::Text,
        "jsonl" | "ndjson" => Format::Jsonl,
        "csv" => Format::Csv,
        "tsv" => Format::Tsv,
        "parquet" if packing == Packing::Plain => Format::Parquet,
        _ => return None,
    };
    Some((format, packing))
}

/// As [`by_ending`], or an error that names the endings in `known`.
pub(crate) fn by_ending_or_error(path: &Path, known: &'static str) -> Result<(Format, Packing)> {
    by_ending(path).ok_or_else(|| unknown_ending(path, known))
}

/// The error for an ending that is not among `known`.
pub(crate) fn unknown_ending(path: &Path, known: &'static str) -> Error {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let found = name.split_once('.').map_or(String::new(), |(_, rest)| format!(".{rest}"));
    Error::UnknownExtension { path: path.to_owned(), found, known }
}

/// The error for a table where something else is read.
pub(crate) fn table_not_read(path: &Path, what: &'static str, expected: &'static str) -> Error {
    let parquet = ending(path).is_some_and(|(ending, _)| ending == "parquet");
    let found = if parquet { "Parquet" } else { "a table" };
    Error::TableNotRead { path: path.to_owned(), found, what, expected }
}

/// Opens a file for reading; a folder or nothing is an error of its own.
pub(crate) fn open_file(path: &Path) -> Result<File> {
    let unreadable = |source: std::io::Error| match source.kind() {
        ErrorKind::NotFound => Error::NotFound { path: path.to_owned() },
        _ => Error::Unreadable { path: path.to_owned(), source },
    };
    let file = File::open(path).map_err(unreadable)?;
    let meta = file.metadata().map_err(unreadable)?;
    if meta.is_dir() {
        return Err(Error::IsFolder { path: path.to_owned() });
    }
    Ok(file)
}

/// What was odd in the bytes read so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Oddities {
    /// Malformed UTF-8 sequences, each replaced by one U+FFFD.
    pub bad: u64,
    /// Byte position (unpacked) and line of the first.
    pub first_bad: Option<(u64, u64)>,
    /// NUL bytes, dropped.
    pub nul: u64,
    /// Byte position (unpacked) and line of the first.
    pub first_nul: Option<(u64, u64)>,
}

impl Oddities {
    /// Labels must not change silently: in labelled data a bad byte is an error.
    pub fn refuse(self, path: &Path) -> Result<()> {
        if let Some((_, line)) = self.first_bad {
            return Err(Error::NotUtf8 { path: path.to_owned(), line });
        }
        if let Some((_, line)) = self.first_nul {
            return Err(Error::NulByte { path: path.to_owned(), line });
        }
        Ok(())
    }
}

/// Reads valid UTF-8 without NUL bytes and without a byte-order mark out of any bytes; each piece
/// given by `fill_buf` ends at a character's end.
pub(crate) struct TextSource {
    path: PathBuf,
    packing: Packing,
    inner: Box<dyn Read + Send>,
    /// Bytes read from disk, before unpacking.
    disk: Arc<AtomicU64>,
    /// Raw bytes: the unfinished character of the last chunk, then the new chunk.
    raw: Vec<u8>,
    kept: usize,
    out: Vec<u8>,
    out_at: usize,
    /// Unpacked bytes read so far, and lines begun.
    position: u64,
    lines: u64,
    started: bool,
    ended: bool,
    odd: Oddities,
}

const CHUNK: usize = 64 * 1024;

/// The marker inside an `io::Error` for UTF-16.
#[derive(Debug, thiserror::Error)]
#[error("UTF-16 text")]
struct Utf16Found;

struct Counting<R> {
    inner: R,
    disk: Arc<AtomicU64>,
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.disk.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

impl TextSource {
    /// Opens a file, unpacking it as `packing` says.
    pub fn open(path: &Path, packing: Packing) -> Result<Self> {
        let disk = Arc::new(AtomicU64::new(0));
        let raw = Counting { inner: open_file(path)?, disk: disk.clone() };
        let inner: Box<dyn Read + Send> = match packing {
            Packing::Plain => Box::new(raw),
            Packing::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(BufReader::with_capacity(CHUNK, raw))),
            Packing::Zstd => Box::new(
                zstd::stream::read::Decoder::new(raw)
                    .map_err(|source| Error::Unreadable { path: path.to_owned(), source })?,
            ),
        };
        Ok(Self::new(path, packing, inner, disk))
    }

    /// Reads from anything, for example standard input.
    pub fn of_reader(path: &Path, inner: Box<dyn Read + Send>) -> Self {
        Self::new(path, Packing::Plain, inner, Arc::default())
    }

    fn new(path: &Path, packing: Packing, inner: Box<dyn Read + Send>, disk: Arc<AtomicU64>) -> Self {
        Self {
            path: path.to_owned(),
            packing,
            inner,
            disk,
            raw: vec![0; CHUNK + 4],
            kept: 0,
            out: Vec::with_capacity(CHUNK + 4),
            out_at: 0,
            position: 0,
            lines: 1,
            started: false,
            ended: false,
            odd: Oddities::default(),
        }
    }

    /// What was odd so far.
    pub fn oddities(&self) -> Oddities {
        self.odd
    }

    /// Bytes read from disk so far.
    pub fn disk_bytes(&self) -> u64 {
        self.disk.load(Ordering::Relaxed)
    }

    /// An error of ours for one that reading from `self` gave.
    pub fn error(&self, source: std::io::Error) -> Error {
        let path = self.path.clone();
        if source.get_ref().is_some_and(|e| e.is::<Utf16Found>()) {
            return Error::Utf16 { path };
        }
        let kind = match self.packing {
            Packing::Plain => return Error::Unreadable { path, source },
            Packing::Gzip => "gzip",
            Packing::Zstd => "zstd",
        };
        match source.kind() {
            ErrorKind::UnexpectedEof | ErrorKind::InvalidData | ErrorKind::InvalidInput | ErrorKind::Other => {
                Error::CorruptCompression { path, kind, position: self.position, source }
            }
            _ => Error::Unreadable { path, source },
        }
    }

    /// Reads the next chunk and cleans it into `out`.
    fn refill(&mut self) -> std::io::Result<()> {
        self.out.clear();
        self.out_at = 0;
        while self.out.is_empty() && !self.ended {
            let n = loop {
                match self.inner.read(&mut self.raw[self.kept..]) {
                    Err(e) if e.kind() == ErrorKind::Interrupted => {}
                    other => break other?,
                }
            };
            self.ended = n == 0;
            let have = self.kept + n;
            let mut at = 0;
            if !self.started {
                if have < 3 && !self.ended {
                    self.kept = have;
                    self.position += n as u64;
                    continue;
                }
                self.started = true;
                if self.raw[..have].starts_with(&[0xFF, 0xFE]) || self.raw[..have].starts_with(&[0xFE, 0xFF]) {
                    return Err(std::io::Error::new(ErrorKind::InvalidData, Utf16Found));
                }
                if self.raw[..have].starts_with(&[0xEF, 0xBB, 0xBF]) {
                    at = 3;
                }
            }
            let raw = std::mem::take(&mut self.raw);
            // The position of raw[0] in the unpacked text.
            let base = self.position - self.kept as u64;
            let end = self.clean(&raw[..have], at, base);
            self.raw = raw;
            self.raw.copy_within(end..have, 0);
            self.kept = have - end;
            self.position += n as u64;
        }
        Ok(())
    }

    /// Appends the valid text of `raw[at..]` to `out`; returns where an unfinished character begins.
    fn clean(&mut self, raw: &[u8], mut at: usize, base: u64) -> usize {
        loop {
            match std::str::from_utf8(&raw[at..]) {
                Ok(_) => {
                    self.take_valid(&raw[at..], base + at as u64);
                    return raw.len();
                }
                Err(e) => {
                    let good = at + e.valid_up_to();
                    self.take_valid(&raw[at..good], base + at as u64);
                    let bad = match e.error_len() {
                        Some(n) => n,
                        None if self.ended => raw.len() - good,
                        None => return good,
                    };
                    self.odd.bad += 1;
                    self.odd.first_bad.get_or_insert((base + good as u64, self.lines));
                    self.out.extend_from_slice("\u{FFFD}".as_bytes());
                    at = good + bad;
                }
            }
        }
    }

    fn take_valid(&mut self, text: &[u8], base: u64) {
        let nuls = text.iter().filter(|b| **b == 0).count() as u64;
        if nuls == 0 {
            self.lines += text.iter().filter(|b| **b == b'\n').count() as u64;
            self.out.extend_from_slice(text);
            return;
        }
        self.odd.nul += nuls;
        for (i, &b) in text.iter().enumerate() {
            match b {
                0 => {
                    self.odd.first_nul.get_or_insert((base + i as u64, self.lines));
                }
                b => {
                    self.lines += u64::from(b == b'\n');
                    self.out.push(b);
                }
            }
        }
    }
}

impl Read for TextSource {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let n = self.fill_buf()?.read(buf)?;
        self.consume(n);
        Ok(n)
    }
}

impl BufRead for TextSource {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        if self.out_at >= self.out.len() {
            self.refill()?;
        }
        Ok(&self.out[self.out_at..])
    }
    fn consume(&mut self, n: usize) {
        self.out_at += n;
    }
}

/// The longest line of JSON that is read: it is held in memory.
pub(crate) const LONGEST_LINE: usize = 256 << 20;

/// Reads a line without its end into `line`; `false` at the end of the text. `number` is the line's
/// number for the error.
pub(crate) fn read_line(source: &mut TextSource, line: &mut String, number: u64) -> Result<bool> {
    let mut bytes = std::mem::take(line).into_bytes();
    bytes.clear();
    let mut any = false;
    loop {
        let chunk = match source.fill_buf() {
            Ok(chunk) => chunk,
            Err(e) => return Err(source.error(e)),
        };
        if chunk.is_empty() {
            break;
        }
        any = true;
        let end = chunk.iter().position(|b| *b == b'\n');
        bytes.extend_from_slice(&chunk[..end.unwrap_or(chunk.len())]);
        let used = end.map_or(chunk.len(), |e| e + 1);
        source.consume(used);
        if bytes.len() > LONGEST_LINE {
            return Err(Error::LineTooLong { path: source.path.clone(), line: number, limit: LONGEST_LINE });
        }
        if end.is_some() {
            break;
        }
    }
    if bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
    *line = String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned());
    Ok(any)
}

/// The whole text of a file of labelled data: no odd byte in it, and more than white space.
pub(crate) fn read_all(path: &Path, packing: Packing) -> Result<String> {
    let empty = || Error::EmptyFile { path: path.to_owned() };
    if open_file(path)?.metadata().is_ok_and(|m| m.len() == 0) {
        return Err(empty());
    }
    let mut source = TextSource::open(path, packing)?;
    let mut text = String::new();
    if let Err(e) = source.read_to_string(&mut text) {
        return Err(source.error(e));
    }
    source.oddities().refuse(path)?;
    if text.trim().is_empty() { Err(empty()) } else { Ok(text) }
}
