//! Files to test with.

use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use polyseme_text::{CorpusReader, CorpusWarning, Result};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

/// An empty folder.
pub fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// Writes a file into a folder, making folders on the way.
pub fn put(folder: &Path, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, bytes).unwrap();
    path
}

/// One gzip member.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

/// One zstd frame.
pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

/// A Parquet file with the columns `id`, `text` (optional), `score` and `meta.title`, in row groups of
/// `group` rows.
pub fn parquet(path: &Path, texts: &[Option<&str>], group: usize) {
    let schema = "message rows {
        required int64 id;
        optional binary text (STRING);
        required double score;
        required group meta { required binary title (STRING); }
    }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let file = std::fs::File::create(path).unwrap();
    let properties = Arc::new(WriterProperties::builder().build());
    let mut writer = SerializedFileWriter::new(file, schema, properties).unwrap();
    for (g, rows) in texts.chunks(group).enumerate() {
        let first = g * group;
        let ids: Vec<i64> = (first..first + rows.len()).map(|i| i as i64).collect();
        let values: Vec<ByteArray> = rows.iter().flatten().map(|t| ByteArray::from(*t)).collect();
        let levels: Vec<i16> = rows.iter().map(|t| i16::from(t.is_some())).collect();
        let scores: Vec<f64> = ids.iter().map(|i| *i as f64 / 2.0).collect();
        let titles: Vec<ByteArray> = ids.iter().map(|i| ByteArray::from(format!("title {i}").as_str())).collect();
        let mut out = writer.next_row_group().unwrap();
        let mut column = out.next_column().unwrap().unwrap();
        column.typed::<Int64Type>().write_batch(&ids, None, None).unwrap();
        column.close().unwrap();
        let mut column = out.next_column().unwrap().unwrap();
        column.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None).unwrap();
        column.close().unwrap();
        let mut column = out.next_column().unwrap().unwrap();
        column.typed::<DoubleType>().write_batch(&scores, None, None).unwrap();
        column.close().unwrap();
        let mut column = out.next_column().unwrap().unwrap();
        column.typed::<ByteArrayType>().write_batch(&titles, None, None).unwrap();
        column.close().unwrap();
        out.close().unwrap();
    }
    writer.close().unwrap();
}

/// Documents and warnings of a corpus.
pub fn read(corpus: &CorpusReader) -> Result<(Vec<String>, Vec<CorpusWarning>)> {
    let mut texts = Vec::new();
    let mut before = 0;
    let mut progress = |done: u64| {
        assert!(done >= before && done <= corpus.bytes(), "progress goes from {before} to {done}");
        before = done;
        true
    };
    let warnings = corpus.for_each(
        &mut |d| {
            texts.push(d.text);
            Ok(())
        },
        &mut progress,
    )?;
    assert_eq!(before, corpus.bytes(), "progress does not end at the end");
    Ok((texts, warnings))
}

/// Opens and reads a corpus of one path.
pub fn documents(path: &Path) -> Result<(Vec<String>, Vec<CorpusWarning>)> {
    read(&CorpusReader::open(&[path.to_owned()], None)?)
}

/// Runs something on a pool of so many threads.
pub fn on_threads<T: Send>(n: usize, f: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap().install(f)
}

/// The folder of tokenizers made by the reference library.
pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tokenizers")
}

/// Sentences in many scripts.
pub fn sentences() -> Vec<String> {
    let bytes = std::fs::read(fixtures().join("sentences.json")).unwrap();
    let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    value["singles"].as_array().unwrap().iter().map(|s| s.as_str().unwrap().to_owned()).collect()
}

/// A corpus file of the sentences, as check_tokenizers.py makes it.
pub fn sentence_corpus(folder: &Path) -> CorpusReader {
    let lines: String = sentences().iter().map(|s| format!("{}\n", serde_json::json!({"text": s}))).collect();
    let path = put(folder, "corpus.jsonl", lines.repeat(3));
    CorpusReader::open(&[path], None).unwrap()
}

/// The ignored folder of downloaded data, when it is there.
pub fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.data")
}

/// The message of an error, without the folder in which its file lies, and its hint; the input is at
/// fault.
pub fn said<T>(result: Result<T>, folder: &Path) -> (String, String) {
    let error = result.err().expect("an error");
    assert_eq!(error.fault(), polyseme_formats::Fault::Input, "{error}");
    let folder = format!("{}{}", folder.display(), std::path::MAIN_SEPARATOR);
    (error.to_string().replace(&folder, ""), error.hint().unwrap_or_default())
}
