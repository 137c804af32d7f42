//! Labelled data: rows of CSV, TSV, JSON lines or Parquet.

use crate::corpus::CorpusWarning;
use crate::names::{guess_label, guess_text, nearest};
use crate::rows::Rows;
use crate::source::{
    Format, Packing, TABLE_ENDINGS, TextSource, by_ending_or_error, open_file, read_line, unknown_ending,
};
use crate::{Error, Result};
use std::path::{Path, PathBuf};

/// One column as strings; a missing value (an empty cell, a null, an absent key) is `None`.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Name from the header; for JSON a dotted path works (`meta.title`).
    pub name: String,
    /// Values, row by row.
    pub values: Vec<Option<String>>,
}

/// A table in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// Where it came from.
    pub path: PathBuf,
    /// Columns in file order, all of one length.
    pub columns: Vec<Column>,
}

impl Table {
    /// Reads a whole file by its extension. Errors name file, row and column: empty file, ragged
    /// row, bad JSON, unknown extension, not UTF-8.
    pub fn read(path: &Path) -> Result<Self> {
        Self::read_with(path, true)
    }

    /// As [`Table::read`], for CSV and TSV files without a header (such as STS-B): columns are named
    /// `0`, `1`, ….
    pub fn read_headerless(path: &Path) -> Result<Self> {
        Self::read_with(path, false)
    }

    fn read_with(path: &Path, header: bool) -> Result<Self> {
        // A folder is said to be one even when its name has a known ending.
        open_file(path)?;
        let (format, packing) = by_ending_or_error(path, TABLE_ENDINGS)?;
        if format == Format::Text {
            return Err(unknown_ending(path, TABLE_ENDINGS));
        }
        let mut rows = Rows::open(path, format, packing, header)?;
        let mut columns: Vec<Vec<Option<String>>> = Vec::new();
        let mut count = 0;
        loop {
            let next = rows.next_row();
            rows.oddities().refuse(path)?;
            let Some(row) = next? else { break };
            for (c, value) in row.cells {
                if c >= columns.len() {
                    columns.resize_with(c + 1, Vec::new);
                }
                columns[c].resize(count, None);
                columns[c].push(Some(value));
            }
            count += 1;
        }
        if count == 0 {
            return Err(Error::HeaderOnly { path: path.to_owned() });
        }
        columns.resize_with(rows.columns().len(), Vec::new);
        let columns = rows.columns().iter().zip(columns).map(|(name, mut values)| {
            values.resize(count, None);
            Column { name: name.clone(), values }
        });
        Ok(Self { path: path.to_owned(), columns: columns.collect() })
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.columns.first().map_or(0, |c| c.values.len())
    }

    /// A column by name. Error: names the columns there are and the nearest one.
    pub fn column(&self, name: &str) -> Result<&Column> {
        self.columns.iter().find(|c| c.name == name).ok_or_else(|| {
            let columns = self.names();
            Error::MissingColumn {
                path: self.path.clone(),
                wanted: name.to_owned(),
                nearest: nearest(name, &columns),
                columns,
            }
        })
    }

    /// The text column when the user named none: `text`, `sentence`, `content`, … or the only one
    /// that is not `label_column`. Error lists the columns.
    pub fn guess_text(&self, label_column: Option<&str>) -> Result<&Column> {
        let columns = self.names();
        match guess_text(&columns, label_column) {
            Some(i) => Ok(&self.columns[i]),
            None => Err(Error::NoTextColumn { path: self.path.clone(), columns }),
        }
    }

    /// The label column when the user named none: `label`, `labels`, `class`, `category`, `target`.
    pub fn guess_label(&self) -> Result<&Column> {
        let columns = self.names();
        match guess_label(&columns) {
            Some(i) => Ok(&self.columns[i]),
            None => Err(Error::NoLabelColumn { path: self.path.clone(), columns }),
        }
    }

    fn names(&self) -> Vec<String> {
        self.columns.iter().map(|c| c.name.clone()).collect()
    }
}

/// Streams the rows of a file (or of standard input as text lines) in batches of at most `batch`,
/// for `embed` and `predict` over inputs larger than memory. `.txt` and standard input: one text a
/// line, empty lines kept, so that rows stay in step with lines; they have no columns to name. Tables:
/// `text` and, if asked for, `pair` columns; a missing value is an empty text, an absent JSON key an error.
pub struct TextRows {
    path: PathBuf,
    size: Option<u64>,
    from: From,
}

enum From {
    Lines { source: TextSource, line: String, number: u64 },
    Table { rows: Box<Rows>, text: usize, pair: Option<usize> },
}

/// A row for embedding or prediction.
#[derive(Clone, Debug, PartialEq)]
pub struct TextRow {
    /// The text.
    pub text: String,
    /// The second text of a pair.
    pub pair: Option<String>,
}

impl TextRows {
    /// Opens a file; `None` reads standard input.
    pub fn open(path: Option<&Path>, text: Option<&str>, pair: Option<&str>) -> Result<Self> {
        let no_columns = |path: &Path| match text.or(pair) {
            Some(wanted) => Err(Error::MissingColumn {
                path: path.to_owned(),
                wanted: wanted.to_owned(),
                columns: Vec::new(),
                nearest: None,
            }),
            None => Ok(()),
        };
        let Some(path) = path else {
            let path = PathBuf::from("standard input");
            no_columns(&path)?;
            let source = TextSource::of_reader(&path, Box::new(std::io::stdin()));
            return Ok(Self { path, size: None, from: From::Lines { source, line: String::new(), number: 0 } });
        };
        let size = open_file(path)?.metadata().map_or(0, |m| m.len());
        let (format, packing) = by_ending_or_error(path, crate::source::ENDINGS)?;
        let from = match format {
            Format::Text => {
                if size == 0 {
                    return Err(Error::EmptyFile { path: path.to_owned() });
                }
                no_columns(path)?;
                From::Lines { source: TextSource::open(path, packing)?, line: String::new(), number: 0 }
            }
            _ => Self::open_table(path, format, packing, text, pair)?,
        };
        Ok(Self { path: path.to_owned(), size: Some(size), from })
    }

    fn open_table(
        path: &Path,
        format: Format,
        packing: Packing,
        text: Option<&str>,
        pair: Option<&str>,
    ) -> Result<From> {
        let mut rows = Rows::open(path, format, packing, true)?;
        let pair = pair.map(|p| rows.column(p)).transpose()?;
        let text = match text {
            Some(name) => rows.column(name)?,
            None => {
                let label = guess_label(rows.columns()).map(|i| rows.columns()[i].clone());
                guess_text(rows.columns(), label.as_deref())
                    .or_else(|| guess_text(rows.columns(), None))
                    .filter(|t| Some(*t) != pair)
                    .ok_or_else(|| Error::NoTextColumn { path: path.to_owned(), columns: rows.columns().to_vec() })?
            }
        };
        let wanted: Vec<usize> = [Some(text), pair].into_iter().flatten().collect();
        rows.only(&wanted)?;
        Ok(From::Table { rows: Box::new(rows), text, pair })
    }

    /// Next rows, at most `n`; empty at the end.
    pub fn next_batch(&mut self, n: usize) -> Result<Vec<TextRow>> {
        let mut batch = Vec::new();
        while batch.len() < n {
            match self.next_row()? {
                Some(row) => batch.push(row),
                None => break,
            }
        }
        Ok(batch)
    }

    fn next_row(&mut self) -> Result<Option<TextRow>> {
        match &mut self.from {
            From::Lines { source, line, number } => {
                if !read_line(source, line, *number + 1)? {
                    return Ok(None);
                }
                *number += 1;
                Ok(Some(TextRow { text: line.clone(), pair: None }))
            }
            From::Table { rows, text, pair } => {
                let Some(mut row) = rows.next_row()? else { return Ok(None) };
                let mut value = |column: usize| match row.take(column) {
                    Some(v) => Ok(v),
                    None => rows.absent(column).map_or(Ok(String::new()), Err),
                };
                Ok(Some(TextRow { text: value(*text)?, pair: pair.map(value).transpose()? }))
            }
        }
    }

    /// Bytes consumed of how many, for progress; `None` for standard input.
    pub fn progress(&self) -> Option<(u64, u64)> {
        let size = self.size?;
        let done = match &self.from {
            From::Lines { source, .. } => source.disk_bytes(),
            From::Table { rows, .. } => rows.disk_bytes(),
        };
        Some((done.min(size), size))
    }

    /// What was odd in the bytes read so far: replaced and dropped bytes.
    pub fn warnings(&self) -> Vec<CorpusWarning> {
        let odd = match &self.from {
            From::Lines { source, .. } => source.oddities(),
            From::Table { rows, .. } => rows.oddities(),
        };
        CorpusWarning::of_oddities(&self.path, odd)
    }
}
