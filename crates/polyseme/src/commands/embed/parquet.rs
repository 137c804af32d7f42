//! Vectors as a Parquet file: `text, embedding` a row, or `row, word, start, end, embedding` for
//! words.

use super::Sink;
use parquet::basic::Compression;
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use polyseme_formats::atomic::Pending;
use polyseme_infer::TokenVectors;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::sync::Arc;

const TEXTS: &str = "message texts {
    required binary text (STRING);
    required group embedding (LIST) { repeated group list { required float element; } }
}";

const WORDS: &str = "message words {
    required int64 row;
    required binary word (STRING);
    required int64 start;
    required int64 end;
    required group embedding (LIST) { repeated group list { required float element; } }
}";

/// A Parquet file being written, a row group a piece.
pub struct Parquet {
    file: Pending,
    writer: SerializedFileWriter<BufWriter<File>>,
    rows: i64,
}

type Group<'a> = SerializedRowGroupWriter<'a, BufWriter<File>>;

impl Parquet {
    /// Begins a file of texts or of words.
    pub fn create(path: &Path, words: bool) -> anyhow::Result<Self> {
        let mut file = Pending::create(path)?;
        let handle = file.file_mut().try_clone().map_err(|e| polyseme_formats::Error::io("write", path, e))?;
        let schema = parse_message_type(if words { WORDS } else { TEXTS }).expect("our own schema is right");
        // Dictionaries of random floats are larger than the floats.
        let properties =
            WriterProperties::builder().set_compression(Compression::SNAPPY).set_dictionary_enabled(false).build();
        let writer = SerializedFileWriter::new(BufWriter::new(handle), Arc::new(schema), Arc::new(properties))
            .map_err(|e| failed(path, e))?;
        Ok(Self { file, writer, rows: 0 })
    }

    fn group(
        &mut self,
        fill: impl FnOnce(&mut Group<'_>) -> Result<(), parquet::errors::ParquetError>,
    ) -> anyhow::Result<()> {
        let path = self.file.path();
        let mut group = self.writer.next_row_group().map_err(|e| failed(path, e))?;
        fill(&mut group).map_err(|e| failed(path, e))?;
        group.close().map_err(|e| failed(path, e))?;
        Ok(())
    }
}

impl Sink for Parquet {
    fn texts(&mut self, texts: &[&str], vectors: &[Vec<f32>]) -> anyhow::Result<()> {
        self.group(|group| {
            strings(group, texts.iter().copied())?;
            lists(group, vectors.iter().map(Vec::as_slice))
        })
    }

    fn words(&mut self, texts: &[&str], words: &[TokenVectors]) -> anyhow::Result<()> {
        let first = self.rows;
        self.rows += texts.len() as i64;
        let each = |f: &dyn Fn(i64, &TokenVectors, usize) -> i64| -> Vec<i64> {
            let texts = words.iter().enumerate();
            texts.flat_map(|(r, t)| (0..t.words.len()).map(move |w| f(first + r as i64, t, w))).collect()
        };
        self.group(|group| {
            integers(group, &each(&|row, _, _| row))?;
            strings(group, words.iter().flat_map(|t| t.words.iter().map(String::as_str)))?;
            integers(group, &each(&|_, t, w| t.ranges[w].start as i64))?;
            integers(group, &each(&|_, t, w| t.ranges[w].end as i64))?;
            lists(group, words.iter().flat_map(|t| t.vectors.iter().map(Vec::as_slice)))
        })
    }

    fn finish(self: Box<Self>) -> anyhow::Result<()> {
        let Self { file, mut writer, .. } = *self;
        writer.finish().map_err(|e| failed(file.path(), e))?;
        let inner = writer.inner_mut();
        std::io::Write::flush(inner).map_err(|e| polyseme_formats::Error::io("write", file.path(), e))?;
        file.commit()?;
        Ok(())
    }
}

fn integers(group: &mut Group<'_>, values: &[i64]) -> Result<(), parquet::errors::ParquetError> {
    let mut column = group.next_column()?.expect("the schema has this column");
    let ColumnWriter::Int64ColumnWriter(writer) = column.untyped() else { unreachable!("the schema says int64") };
    writer.write_batch(values, None, None)?;
    column.close()
}

fn strings<'a>(
    group: &mut Group<'_>,
    values: impl Iterator<Item = &'a str>,
) -> Result<(), parquet::errors::ParquetError> {
    let mut column = group.next_column()?.expect("the schema has this column");
    let ColumnWriter::ByteArrayColumnWriter(writer) = column.untyped() else { unreachable!("the schema says binary") };
    let values: Vec<ByteArray> = values.map(ByteArray::from).collect();
    writer.write_batch(&values, None, None)?;
    column.close()
}

/// A list a row; repetition level 0 begins a list, 1 goes on with it.
fn lists<'a>(
    group: &mut Group<'_>,
    rows: impl Iterator<Item = &'a [f32]>,
) -> Result<(), parquet::errors::ParquetError> {
    let mut column = group.next_column()?.expect("the schema has this column");
    let ColumnWriter::FloatColumnWriter(writer) = column.untyped() else { unreachable!("the schema says float") };
    let (mut values, mut repetition) = (Vec::new(), Vec::new());
    for row in rows {
        values.extend_from_slice(row);
        repetition.extend((0..row.len()).map(|i| i16::from(i > 0)));
    }
    let definition = vec![1; values.len()];
    writer.write_batch(&values, Some(&definition), Some(&repetition))?;
    column.close()
}

/// What the library says, as an error about the file.
fn failed(path: &Path, e: parquet::errors::ParquetError) -> polyseme_formats::Error {
    let source = match e {
        parquet::errors::ParquetError::External(inner) => match inner.downcast::<std::io::Error>() {
            Ok(io) => *io,
            Err(other) => std::io::Error::other(other),
        },
        other => std::io::Error::other(other),
    };
    polyseme_formats::Error::io("write", path, source)
}
