//! Rows of CSV, TSV, JSON lines and Parquet, one at a time, as strings by column.

use crate::names::nearest;
use crate::quotes::Quotes;
use crate::source::{Format, Oddities, Packing, TextSource, open_file, read_line};
use crate::{Error, Result};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::reader::RowIter;
use parquet::record::{Field, Row as ParquetRow};
use parquet::schema::types::Type as ParquetType;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One row: the cells that have a value, by the number of their column.
#[derive(Debug)]
pub(crate) struct Row {
    /// The line it begins at (for Parquet, its number), counted from 1.
    pub line: u64,
    /// `(column, value)`; a column is missing here when the row has no value for it.
    pub cells: Vec<(usize, String)>,
}

impl Row {
    /// Takes the value of a column out.
    pub fn take(&mut self, column: usize) -> Option<String> {
        let i = self.cells.iter().position(|(c, _)| *c == column)?;
        Some(self.cells.swap_remove(i).1)
    }
}

/// The rows of one file.
pub(crate) struct Rows {
    path: PathBuf,
    kind: Kind,
    columns: Columns,
    /// Columns wanted; none means all.
    only: Option<Vec<usize>>,
    /// A row read ahead to learn the columns of JSON lines.
    ahead: Option<Object>,
    /// The JSON line last given.
    last: Option<Object>,
    line: u64,
    file_bytes: u64,
}

enum Kind {
    Separated { reader: csv::Reader<Quotes>, record: csv::StringRecord, tabs: bool, done: bool },
    Jsonl { source: TextSource, line: String },
    Parquet(Box<Parquet>),
}

struct Parquet {
    rows: RowIter<'static>,
    schema: ParquetType,
    /// Rows at the end of each row group.
    ends: Vec<u64>,
    read: u64,
}

/// Names of columns in order of appearance.
#[derive(Default)]
struct Columns {
    names: Vec<String>,
    index: HashMap<String, usize>,
}

impl Columns {
    fn number(&mut self, name: &str) -> usize {
        if let Some(i) = self.index.get(name) {
            return *i;
        }
        self.names.push(name.to_owned());
        self.index.insert(name.to_owned(), self.names.len() - 1);
        self.names.len() - 1
    }
}

impl Rows {
    /// Opens a table. With `header` false, CSV and TSV columns are named `0`, `1`, ….
    pub fn open(path: &Path, format: Format, packing: Packing, header: bool) -> Result<Self> {
        let file_bytes = open_file(path)?.metadata().map_or(0, |m| m.len());
        if file_bytes == 0 {
            return Err(Error::EmptyFile { path: path.to_owned() });
        }
        let mut columns = Columns::default();
        let mut ahead = None;
        let mut line = 0;
        let kind = match format {
            Format::Csv | Format::Tsv => {
                open_separated(path, TextSource::open(path, packing)?, format == Format::Tsv, header, &mut columns)?
            }
            Format::Jsonl | Format::Text => {
                let mut kind = Kind::Jsonl { source: TextSource::open(path, packing)?, line: String::new() };
                if let Kind::Jsonl { source, line: text } = &mut kind {
                    ahead = next_object(path, source, text, &mut line)?;
                }
                let first = ahead.as_ref().ok_or_else(|| Error::EmptyFile { path: path.to_owned() })?;
                flatten(first, "", &mut |name, _| {
                    columns.number(name);
                });
                kind
            }
            Format::Parquet => Kind::Parquet(Box::new(open_parquet(path, &mut columns)?)),
        };
        Ok(Self { path: path.to_owned(), kind, columns, only: None, ahead, last: None, line, file_bytes })
    }

    /// The columns so far; JSON lines may bring more.
    pub fn columns(&self) -> &[String] {
        &self.columns.names
    }

    /// The number of a column that must be there.
    pub fn column(&self, name: &str) -> Result<usize> {
        self.columns.index.get(name).copied().ok_or_else(|| Error::MissingColumn {
            path: self.path.clone(),
            wanted: name.to_owned(),
            columns: self.columns.names.clone(),
            nearest: nearest(name, &self.columns.names),
        })
    }

    /// Reads only these columns from now on; to be called before the first row.
    pub fn only(&mut self, columns: &[usize]) -> Result<()> {
        if let Kind::Parquet(p) = &mut self.kind {
            let roots: Vec<&str> = columns.iter().map(|c| root(&self.columns.names[*c], &p.schema)).collect();
            **p = reopen_projected(&self.path, &p.schema, &roots)?;
        }
        self.only = Some(columns.to_vec());
        Ok(())
    }

    /// What was odd in the bytes so far.
    pub fn oddities(&self) -> Oddities {
        match &self.kind {
            Kind::Separated { reader, .. } => reader.get_ref().source.oddities(),
            Kind::Jsonl { source, .. } => source.oddities(),
            Kind::Parquet(_) => Oddities::default(),
        }
    }

    /// Bytes of the file dealt with so far.
    pub fn disk_bytes(&self) -> u64 {
        match &self.kind {
            Kind::Separated { reader, .. } => reader.get_ref().source.disk_bytes(),
            Kind::Jsonl { source, .. } => source.disk_bytes(),
            Kind::Parquet(p) => {
                let all = p.ends.last().copied().unwrap_or(0).max(1);
                (u128::from(self.file_bytes) * u128::from(p.read.min(all)) / u128::from(all)) as u64
            }
        }
    }

    /// The next row; `None` at the end.
    pub fn next_row(&mut self) -> Result<Option<Row>> {
        let only = self.only.as_deref();
        match &mut self.kind {
            Kind::Separated { reader, record, tabs, done } => {
                if *done {
                    return Ok(None);
                }
                if !read_record(&self.path, reader, record)? {
                    *done = true;
                    return Ok(None);
                }
                let line = record.position().map_or(0, csv::Position::line);
                let wanted = |i: &usize| only.is_none_or(|o| o.contains(i));
                let cells = record
                    .iter()
                    .enumerate()
                    .filter(|(i, cell)| wanted(i) && !cell.is_empty())
                    .map(|(i, cell)| (i, if *tabs { unquote(cell) } else { cell.to_owned() }));
                Ok(Some(Row { line, cells: cells.collect() }))
            }
            Kind::Jsonl { source, line } => {
                let object = match self.ahead.take() {
                    Some(first) => Some(first),
                    None => next_object(&self.path, source, line, &mut self.line)?,
                };
                let Some(object) = object else { return Ok(None) };
                let cells = object_cells(&object, &mut self.columns, only);
                self.last = Some(object);
                Ok(Some(Row { line: self.line, cells }))
            }
            Kind::Parquet(p) => {
                let Some(row) = next_parquet(&self.path, p)? else { return Ok(None) };
                let mut cells = Vec::new();
                let columns = &mut self.columns;
                flatten_parquet(row, "", &mut |name, value| {
                    let i = columns.number(name);
                    if only.is_none_or(|o| o.contains(&i)) {
                        cells.push((i, value));
                    }
                });
                Ok(Some(Row { line: p.read, cells }))
            }
        }
    }

    /// An error when the JSON line last read lacks the key of `column` altogether (a null is fine).
    pub fn absent(&self, column: usize) -> Option<Error> {
        let wanted = &self.columns.names[column];
        let last = self.last.as_ref()?;
        if lookup(last, wanted).is_some() {
            return None;
        }
        Some(Error::MissingKey {
            path: self.path.clone(),
            line: self.line,
            wanted: wanted.clone(),
            keys: last.keys().cloned().collect(),
        })
    }
}

// Comma- and tab-separated values.

fn open_separated(path: &Path, source: TextSource, tabs: bool, header: bool, columns: &mut Columns) -> Result<Kind> {
    // A tab-separated file has no quotes by its definition; those that tools put there all the same
    // are taken off cell by cell, so that a lone quote cannot swallow the rows behind it.
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(if tabs { b'\t' } else { b',' })
        .quoting(!tabs)
        .has_headers(header)
        .from_reader(Quotes::new(source, !tabs));
    if header {
        let names = match reader.headers() {
            Ok(h) => h.clone(),
            Err(e) => return Err(csv_error(path, &reader, e)),
        };
        closed(path, &reader)?;
        if names.is_empty() {
            return Err(Error::EmptyFile { path: path.to_owned() });
        }
        for name in &names {
            let name = if tabs { unquote(name) } else { name.to_owned() };
            let name = name.trim();
            if columns.index.contains_key(name) {
                return Err(Error::DuplicateColumn { path: path.to_owned(), name: name.to_owned() });
            }
            columns.number(name);
        }
        return Ok(Kind::Separated { reader, record: csv::StringRecord::new(), tabs, done: false });
    }
    // The first row tells how many columns there are; `headers` reads it without consuming it.
    let width = match reader.headers() {
        Ok(h) => h.len(),
        Err(e) => return Err(csv_error(path, &reader, e)),
    };
    if width == 0 {
        return Err(Error::EmptyFile { path: path.to_owned() });
    }
    for i in 0..width {
        columns.number(&i.to_string());
    }
    Ok(Kind::Separated { reader, record: csv::StringRecord::new(), tabs, done: false })
}

fn read_record(path: &Path, reader: &mut csv::Reader<Quotes>, record: &mut csv::StringRecord) -> Result<bool> {
    match reader.read_record(record) {
        Ok(more) => closed(path, reader).map(|()| more),
        Err(e) => Err(csv_error(path, reader, e)),
    }
}

/// Errors at the end of a file whose last quote was never closed: it has swallowed all rows behind it.
fn closed(path: &Path, reader: &csv::Reader<Quotes>) -> Result<()> {
    match reader.get_ref().unclosed() {
        Some(line) => Err(Error::UnclosedQuote { path: path.to_owned(), line }),
        None => Ok(()),
    }
}

fn csv_error(path: &Path, reader: &csv::Reader<Quotes>, error: csv::Error) -> Error {
    if let Err(unclosed) = closed(path, reader) {
        return unclosed;
    }
    let path = path.to_owned();
    match error.into_kind() {
        csv::ErrorKind::UnequalLengths { pos, expected_len, len } => {
            Error::RaggedRow { path, line: pos.map_or(0, |p| p.line()), found: len, expected: expected_len }
        }
        csv::ErrorKind::Io(e) => reader.get_ref().source.error(e),
        // The source gives valid UTF-8 only, so that a bad byte cannot arrive here.
        csv::ErrorKind::Utf8 { pos, .. } => Error::NotUtf8 { path, line: pos.map_or(0, |p| p.line()) },
        other => Error::Unreadable { path, source: std::io::Error::other(format!("{other:?}")) },
    }
}

/// Takes off quotes around a whole cell whose inner quotes are doubled.
fn unquote(cell: &str) -> String {
    let inner = cell.strip_prefix('"').and_then(|c| c.strip_suffix('"'));
    match inner {
        Some(inner) if !inner.replace("\"\"", "").contains('"') => inner.replace("\"\"", "\""),
        _ => cell.to_owned(),
    }
}

// JSON lines.

pub(crate) type Object = serde_json::Map<String, serde_json::Value>;

fn next_object(path: &Path, source: &mut TextSource, text: &mut String, number: &mut u64) -> Result<Option<Object>> {
    loop {
        if !read_line(source, text, *number + 1)? {
            return Ok(None);
        }
        *number += 1;
        if text.trim().is_empty() {
            continue;
        }
        return parse_object(path, text, *number).map(Some);
    }
}

/// The object on a line of JSON lines.
pub(crate) fn parse_object(path: &Path, text: &str, line: u64) -> Result<Object> {
    match serde_json::from_str(text) {
        Ok(serde_json::Value::Object(map)) => Ok(map),
        Ok(other) => Err(Error::NotAnObject { path: path.to_owned(), line, found: kind(&other) }),
        Err(source) => Err(Error::BadJsonLine { path: path.to_owned(), line, source }),
    }
}

/// What a value is, for messages.
pub(crate) fn kind(value: &serde_json::Value) -> &'static str {
    match value {
        serde_json::Value::Object(_) => "an object",
        serde_json::Value::Array(_) => "a list",
        serde_json::Value::String(_) => "a string",
        serde_json::Value::Number(n) if n.is_f64() => "a number with a fraction",
        serde_json::Value::Number(_) => "a number",
        serde_json::Value::Bool(_) => "true or false",
        serde_json::Value::Null => "null",
    }
}

/// Calls `f` with the dotted name and value of each leaf; a list is a leaf.
pub(crate) fn flatten<'a>(object: &'a Object, prefix: &str, f: &mut dyn FnMut(&str, &'a serde_json::Value)) {
    for (key, value) in object {
        let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match value {
            serde_json::Value::Object(inner) if !inner.is_empty() => flatten(inner, &name, f),
            leaf => f(&name, leaf),
        }
    }
}

fn object_cells(object: &Object, columns: &mut Columns, only: Option<&[usize]>) -> Vec<(usize, String)> {
    let mut cells = Vec::new();
    if let Some(only) = only {
        for &c in only {
            if let Some(v) = lookup(object, &columns.names[c]).and_then(json_string) {
                cells.push((c, v));
            }
        }
        return cells;
    }
    flatten(object, "", &mut |name, value| {
        let i = columns.number(name);
        if let Some(v) = json_string(value) {
            cells.push((i, v));
        }
    });
    cells
}

/// A value by its key, or by a dotted path through objects.
pub(crate) fn lookup<'a>(object: &'a Object, name: &str) -> Option<&'a serde_json::Value> {
    if let Some(v) = object.get(name) {
        return Some(v);
    }
    name.match_indices('.').find_map(|(dot, _)| {
        let inner = object.get(&name[..dot])?.as_object()?;
        lookup(inner, &name[dot + 1..])
    })
}

fn json_string(value: &serde_json::Value) -> Option<String> {
    match value {
        serde_json::Value::Null => None,
        serde_json::Value::String(s) => Some(s.clone()),
        other => Some(other.to_string()),
    }
}

// Parquet.

fn parquet_error(path: &Path, row_group: Option<usize>, what: impl ToString) -> Error {
    Error::CorruptParquet { path: path.to_owned(), row_group, what: what.to_string() }
}

fn open_parquet(path: &Path, columns: &mut Columns) -> Result<Parquet> {
    let reader = SerializedFileReader::new(open_file(path)?).map_err(|e| parquet_error(path, None, e))?;
    let meta = reader.metadata();
    let schema = meta.file_metadata().schema().clone();
    let mut total = 0;
    let ends: Vec<u64> = meta
        .row_groups()
        .iter()
        .map(|g| {
            total += g.num_rows().max(0) as u64;
            total
        })
        .collect();
    for field in schema.get_fields() {
        name_leaves(field, "", columns);
    }
    Ok(Parquet { rows: RowIter::from_file_into(Box::new(reader)), schema, ends, read: 0 })
}

/// Names of leaves of plain groups; lists and maps are leaves, as in [`flatten_parquet`].
fn name_leaves(field: &ParquetType, prefix: &str, columns: &mut Columns) {
    let name = if prefix.is_empty() { field.name().to_owned() } else { format!("{prefix}.{}", field.name()) };
    let plain_group = field.is_group()
        && field.get_basic_info().converted_type() == parquet::basic::ConvertedType::NONE
        && field.get_basic_info().logical_type_ref().is_none();
    if plain_group {
        for inner in field.get_fields() {
            name_leaves(inner, &name, columns);
        }
    } else {
        columns.number(&name);
    }
}

/// The column of the schema's first level that holds `name`.
fn root<'a>(name: &'a str, schema: &ParquetType) -> &'a str {
    let is_root = |n: &str| schema.get_fields().iter().any(|f| f.name() == n);
    if is_root(name) {
        return name;
    }
    name.match_indices('.').map(|(dot, _)| &name[..dot]).find(|n| is_root(n)).unwrap_or(name)
}

fn reopen_projected(path: &Path, schema: &ParquetType, roots: &[&str]) -> Result<Parquet> {
    let mut parquet = open_parquet(path, &mut Columns::default())?;
    let fields = schema.get_fields().iter().filter(|f| roots.contains(&f.name())).map(Arc::clone).collect();
    let projection = ParquetType::group_type_builder(schema.name())
        .with_fields(fields)
        .build()
        .map_err(|e| parquet_error(path, None, e))?;
    parquet.rows = parquet.rows.project(Some(projection)).map_err(|e| parquet_error(path, None, e))?;
    Ok(parquet)
}

fn next_parquet(path: &Path, p: &mut Parquet) -> Result<Option<ParquetRow>> {
    let group = p.ends.partition_point(|end| *end <= p.read);
    // The decoder panics on some damaged pages; that must not end the program.
    let next = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| p.rows.next()));
    match next {
        Ok(Some(Ok(row))) => {
            p.read += 1;
            Ok(Some(row))
        }
        Ok(Some(Err(e))) => Err(parquet_error(path, Some(group), e)),
        Ok(None) if p.read < p.ends.last().copied().unwrap_or(0) => {
            let what = format!("it ends after {} rows of {}", p.read, p.ends[p.ends.len() - 1]);
            Err(parquet_error(path, Some(group), what))
        }
        Ok(None) => Ok(None),
        Err(_) => Err(parquet_error(path, Some(group), "a damaged page")),
    }
}

fn flatten_parquet(row: ParquetRow, prefix: &str, f: &mut dyn FnMut(&str, String)) {
    for (key, field) in row.into_columns() {
        let name = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
        match field {
            Field::Group(inner) => flatten_parquet(inner, &name, f),
            Field::Null => {}
            Field::Str(s) => f(&name, s),
            Field::Bytes(b) => f(&name, String::from_utf8_lossy(b.data()).into_owned()),
            Field::Float(x) => f(&name, x.to_string()),
            Field::Double(x) => f(&name, x.to_string()),
            other => f(&name, other.to_string()),
        }
    }
}
