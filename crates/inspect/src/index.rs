//! A folder of vectors with what each stands for, as `polyseme embed --out FOLDER` writes it, and what is near in it.
//!
//! `vectors.npy` (f32, a row each), `entries.jsonl` (a line each), of more than [`EXACT`] vectors `graph.usearch` and, written
//! last, `index.json`. Without a graph, or if asked to, search is exact: every vector is looked at.

use crate::graph::Graph;
use crate::{Error, Result};
use polyseme_formats::atomic::{self, Pending};
use polyseme_formats::mapped::Mapped;
use polyseme_infer::{EmbedOptions, Encoder};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::Xxh3;

const HEAD: &str = "index.json";
const VECTORS: &str = "vectors.npy";
const ENTRIES: &str = "entries.jsonl";
const GRAPH: &str = "graph.usearch";
/// Vectors beyond which an index gets a graph, in which not every one is looked at.
pub const EXACT: usize = 1_000_000;
/// Length of the header of `vectors.npy`, which is always written anew at the end.
pub const NPY_HEADER: usize = 128;
/// Rows that a thread looks at in one go.
const ROWS: usize = 4_096;

/// How the vectors of an index were made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Head {
    /// The model's folder, as it was named.
    pub model: PathBuf,
    /// Hash of its weights.
    pub weights: String,
    /// Whether entries are words of texts, not texts.
    pub words: bool,
    /// How texts became vectors.
    pub options: EmbedOptions,
    /// Numbers of a vector.
    pub dimensions: usize,
    /// Vectors.
    pub count: usize,
    /// Whether a graph stands beside them.
    #[serde(default)]
    pub graph: bool,
}

/// What a vector stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The text.
    pub text: String,
    /// The word in it, and where it begins and ends (bytes), where entries are words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub word: Option<(String, [usize; 2])>,
}

/// An entry that is near.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Hit {
    /// Its place in the index.
    pub row: usize,
    /// Cosine.
    pub score: f32,
    /// What it is.
    #[serde(flatten)]
    pub entry: Entry,
}

/// An index that is being written. Nothing can be opened before [`Writer::finish`].
pub struct Writer {
    head: Head,
    folder: PathBuf,
    vectors: BufWriter<Growing>,
    entries: BufWriter<Growing>,
    /// Dropped last, when the files are gone.
    _made: Made,
}

/// A folder that goes again if nothing came into it.
struct Made(PathBuf);

impl Drop for Made {
    fn drop(&mut self) {
        _ = std::fs::remove_dir(&self.0); // refused where there is anything in it
    }
}

/// A file under its final name's care, as a writer.
struct Growing(Pending);

impl Write for Growing {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.file_mut().write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        self.0.file_mut().flush()
    }
}

impl Writer {
    /// Begins an index in a folder, which is made if it is not there.
    ///
    /// # Errors
    /// A folder that holds other things than an index, or cannot be written.
    pub fn create(folder: &Path, head: Head) -> Result<Self> {
        let io = |e| polyseme_formats::Error::io("create", folder, e);
        std::fs::create_dir_all(folder).map_err(io)?;
        let made = Made(folder.to_owned());
        let ours = [HEAD, VECTORS, ENTRIES, GRAPH];
        for entry in std::fs::read_dir(folder).map_err(io)? {
            let name = entry.map_err(io)?.file_name();
            if !ours.iter().any(|own| name.to_string_lossy() == **own) && !name.to_string_lossy().starts_with('.') {
                return Err(Error::NotAnIndex { path: folder.to_owned(), found: name.to_string_lossy().into_owned() });
            }
        }
        let file = |name: &str| -> Result<BufWriter<Growing>> {
            Ok(BufWriter::new(Growing(Pending::create(&folder.join(name))?)))
        };
        let (mut vectors, entries) = (file(VECTORS)?, file(ENTRIES)?);
        vectors.write_all(&npy_header(0, head.dimensions)).map_err(io)?;
        Ok(Self { head: Head { count: 0, ..head }, folder: folder.to_owned(), vectors, entries, _made: made })
    }

    /// Adds an entry. Panics on a vector of another length.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub fn push(&mut self, entry: &Entry, vector: &[f32]) -> Result<()> {
        assert_eq!(vector.len(), self.head.dimensions, "numbers of a vector");
        let io = |e| polyseme_formats::Error::io("write", &self.folder, e);
        serde_json::to_writer(&mut self.entries, entry).map_err(|e| io(e.into()))?;
        self.entries.write_all(b"\n").map_err(io)?;
        for x in vector {
            self.vectors.write_all(&x.to_le_bytes()).map_err(io)?;
        }
        self.head.count += 1;
        Ok(())
    }

    /// Makes the index whole.
    ///
    /// # Errors
    /// A folder that cannot be written, or an index of nothing.
    pub fn finish(self) -> Result<()> {
        let folder = self.folder;
        let io = |e| polyseme_formats::Error::io("write", &folder, e);
        let mut vectors = self.vectors.into_inner().map_err(|e| io(e.into_error()))?.0;
        let entries = self.entries.into_inner().map_err(|e| io(e.into_error()))?.0;
        vectors.file_mut().seek(SeekFrom::Start(0)).map_err(io)?;
        vectors.file_mut().write_all(&npy_header(self.head.count, self.head.dimensions)).map_err(io)?;
        let mut head = self.head;
        head.graph |= head.count > EXACT;
        let graph = if head.graph {
            let graph = Pending::create(&folder.join(GRAPH))?;
            let file = Mapped::open(vectors.written())?;
            let rows = file[NPY_HEADER..].chunks_exact(4 * head.dimensions).map(|row| floats(row).collect());
            Graph::build(graph.written(), head.dimensions, head.count, rows)?;
            Some(graph)
        } else {
            None
        };
        // From here on the old one is none any more, if there was one.
        _ = std::fs::remove_file(folder.join(HEAD));
        vectors.commit()?;
        entries.commit()?;
        match graph {
            Some(graph) => graph.commit()?,
            None => _ = std::fs::remove_file(folder.join(GRAPH)),
        }
        let text = serde_json::to_vec_pretty(&head).expect("plain data");
        Ok(atomic::write(&folder.join(HEAD), |out| out.write_all(&text))?)
    }
}

/// Header of a NumPy file of f32, a row each, version 1.0: always as long.
pub fn npy_header(rows: usize, width: usize) -> Vec<u8> {
    let dict = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {width}), }}");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend_from_slice(&((NPY_HEADER - 10) as u16).to_le_bytes());
    bytes.extend_from_slice(dict.as_bytes());
    bytes.resize(NPY_HEADER - 1, b' ');
    bytes.push(b'\n');
    bytes
}

/// A hash of the weights of a model folder.
///
/// # Errors
/// Files that cannot be read.
pub fn weights_hash(folder: &Path) -> Result<String> {
    let io = |e| polyseme_formats::Error::io("read", folder, e);
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if path.extension().is_some_and(|e| e == "safetensors" || e == "bin") {
            files.push(path);
        }
    }
    files.sort();
    let (mut hash, mut buffer) = (Xxh3::new(), vec![0; 1 << 20]);
    for path in files {
        let mut file = std::fs::File::open(&path).map_err(io)?;
        loop {
            let n = file.read(&mut buffer).map_err(io)?;
            if n == 0 {
                break;
            }
            hash.update(&buffer[..n]);
        }
    }
    Ok(format!("{:016x}", hash.digest()))
}

/// An index.
pub struct Index {
    /// How it was made.
    pub head: Head,
    path: PathBuf,
    vectors: Mapped,
    entries: Mapped,
    graph: Option<Graph>,
    /// Where each entry begins, and the end.
    lines: Vec<usize>,
}

impl Index {
    /// Opens a folder. Vectors are read from disk as they are looked at.
    ///
    /// # Errors
    /// No index, or one that is damaged.
    pub fn open(folder: &Path) -> Result<Self> {
        let damaged = |what: String| Error::DamagedIndex { path: folder.to_owned(), what };
        let head = folder.join(HEAD);
        let text = match std::fs::read(&head) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::NoIndex { path: folder.to_owned() });
            }
            Err(e) => return Err(polyseme_formats::Error::io("read", &head, e).into()),
        };
        let head: Head = serde_json::from_slice(&text).map_err(|e| damaged(format!("{HEAD}: {e}")))?;
        let vectors = Mapped::open(&folder.join(VECTORS))?;
        let bytes = head.count.checked_mul(head.dimensions).and_then(|n| n.checked_mul(4)).map(|n| n + NPY_HEADER);
        if bytes != Some(vectors.len())
            || vectors[..NPY_HEADER.min(vectors.len())] != npy_header(head.count, head.dimensions)
        {
            let (count, dimensions, found) = (head.count, head.dimensions, vectors.len());
            return Err(damaged(format!(
                "{VECTORS} has {found} bytes, not those of {count} vectors of {dimensions} numbers"
            )));
        }
        let entries = Mapped::open(&folder.join(ENTRIES))?;
        let mut lines = vec![0];
        lines.extend(entries.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(at, _)| at + 1));
        if lines.len() != head.count + 1 || lines.last() != Some(&entries.len()) {
            let (count, found) = (head.count, lines.len() - 1);
            return Err(damaged(format!("{ENTRIES} has {found} lines, not {count}")));
        }
        let graph = head.graph.then(|| Graph::open(&folder.join(GRAPH), head.dimensions, head.count)).transpose()?;
        Ok(Self { head, path: folder.to_owned(), vectors, entries, graph, lines })
    }

    /// Opens the model that made it, or another folder with the same weights.
    ///
    /// # Errors
    /// A model with other weights, or none.
    pub fn model(
        &self,
        folder: Option<&Path>,
        open: impl Fn(&Path) -> polyseme_infer::Result<Encoder>,
    ) -> Result<Encoder> {
        let folder = folder.unwrap_or(&self.head.model);
        let encoder = open(folder)?;
        if weights_hash(folder)? != self.head.weights {
            return Err(Error::OtherWeights {
                path: self.path.clone(),
                model: folder.to_owned(),
                made_by: self.head.model.clone(),
            });
        }
        Ok(encoder)
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.head.count
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.head.count == 0
    }

    /// The vector of an entry. Panics beyond the last one.
    pub fn vector(&self, row: usize) -> Vec<f32> {
        floats(self.bytes(row, row + 1)).collect()
    }

    /// What an entry is.
    ///
    /// # Errors
    /// A line that is damaged.
    pub fn entry(&self, row: usize) -> Result<Entry> {
        serde_json::from_slice(&self.entries[self.lines[row]..self.lines[row + 1]]).map_err(|e| Error::DamagedIndex {
            path: self.path.clone(),
            what: format!("{ENTRIES}, line {}: {e}", row + 1),
        })
    }

    fn bytes(&self, from: usize, to: usize) -> &[u8] {
        let width = 4 * self.head.dimensions;
        &self.vectors[NPY_HEADER + from * width..NPY_HEADER + to * width]
    }

    /// Looks at every vector from now on, also where there is a graph.
    pub fn exactly(&mut self) {
        self.graph = None;
    }

    /// The entries nearest to a vector by cosine, the nearest first; equal ones in their order. With a graph some of them may
    /// be missing. Panics on a vector of another length.
    ///
    /// # Errors
    /// An entry or a graph that is damaged.
    pub fn nearest(&self, to: &[f32], top: usize, skip: Option<usize>) -> Result<Vec<Hit>> {
        assert_eq!(to.len(), self.head.dimensions, "numbers of a vector");
        let mut found = match &self.graph {
            None => self.among_all(to, top, skip),
            Some(graph) => {
                let length = norm(to.iter().copied());
                let rows = graph.near(&self.path.join(GRAPH), to, top + 1)?;
                let rows = rows.into_iter().filter(|row| Some(*row) != skip && *row < self.len());
                rows.map(|row| (cosine(self.bytes(row, row + 1), to, length), row)).collect()
            }
        };
        found.sort_by(better);
        found.truncate(top);
        found.into_iter().map(|(score, row)| Ok(Hit { row, score, entry: self.entry(row)? })).collect()
    }

    /// The best of all, in no order, and perhaps some more.
    fn among_all(&self, to: &[f32], top: usize, skip: Option<usize>) -> Vec<(f32, usize)> {
        let length = norm(to.iter().copied());
        let parts: Vec<usize> = (0..self.len()).step_by(ROWS).collect();
        let best = |first: &usize| {
            let end = (first + ROWS).min(self.len());
            let rows = self.bytes(*first, end).chunks_exact(4 * self.head.dimensions);
            let mut found: Vec<(f32, usize)> = rows
                .enumerate()
                .filter(|(i, _)| Some(first + i) != skip)
                .map(|(i, row)| (cosine(row, to, length), first + i))
                .collect();
            if found.len() > top {
                found.select_nth_unstable_by(top, better);
                found.truncate(top);
            }
            found
        };
        parts.par_iter().flat_map_iter(best).collect()
    }
}

/// The greater score first, then the smaller row.
fn better(a: &(f32, usize), b: &(f32, usize)) -> std::cmp::Ordering {
    b.0.total_cmp(&a.0).then(a.1.cmp(&b.1))
}

/// Cosine of a row with a vector of a length.
fn cosine(row: &[u8], to: &[f32], length: f32) -> f32 {
    let (dot, square) = products(row, to);
    let lengths = length * square.sqrt();
    if lengths > 0.0 { dot / lengths } else { 0.0 }
}

fn floats(bytes: &[u8]) -> impl Iterator<Item = f32> + '_ {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
}

fn norm(values: impl Iterator<Item = f32>) -> f32 {
    values.map(|x| f64::from(x).powi(2)).sum::<f64>().sqrt() as f32
}

/// The product of a row with a vector, and the row's square, in eight sums each, so that the loop vectorizes.
fn products(row: &[u8], to: &[f32]) -> (f32, f32) {
    let (mut dots, mut squares) = ([0f32; 8], [0f32; 8]);
    let (chunks, others) = (row.chunks_exact(32), to.chunks_exact(8));
    let rest = floats(chunks.remainder()).zip(others.remainder());
    let (mut dot, mut square) = rest.fold((0.0, 0.0), |(d, s), (x, y)| (d + x * y, s + x * x));
    for (x, y) in chunks.zip(others) {
        for i in 0..8 {
            let value = f32::from_le_bytes([x[4 * i], x[4 * i + 1], x[4 * i + 2], x[4 * i + 3]]);
            dots[i] += value * y[i];
            squares[i] += value * value;
        }
    }
    dot += dots.iter().sum::<f32>();
    square += squares.iter().sum::<f32>();
    (dot, square)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(dimensions: usize) -> Head {
        let (model, weights) = ("m".into(), "0".into());
        Head { model, weights, words: false, options: EmbedOptions::default(), dimensions, count: 0, graph: false }
    }

    fn entry(i: usize) -> Entry {
        Entry { text: format!("text {i}\nof two lines"), word: None }
    }

    #[test]
    fn the_nearest_are_those_of_looking_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let (width, count) = (11, ROWS + 300);
        let vector = |i: usize| (0..width).map(|k| ((i * 31 + k * 17) % 101) as f32 - 50.0).collect::<Vec<f32>>();
        let mut writer = Writer::create(folder.path(), head(width)).unwrap();
        (0..count).for_each(|i| writer.push(&entry(i), &vector(i)).unwrap());
        assert!(matches!(Index::open(folder.path()), Err(Error::NoIndex { .. })), "not before it is whole");
        writer.finish().unwrap();
        let index = Index::open(folder.path()).unwrap();
        assert_eq!((index.len(), index.vector(7)), (count, vector(7)));
        let to = vector(5);
        let cosine = |i: usize| {
            let v = vector(i);
            let dot: f64 = v.iter().zip(&to).map(|(a, b)| f64::from(a * b)).sum();
            dot / f64::from(norm(v.iter().copied())) / f64::from(norm(to.iter().copied()))
        };
        let mut wanted: Vec<usize> = (0..count).filter(|&i| i != 5).collect();
        wanted.sort_by(|&a, &b| (cosine(b) as f32).total_cmp(&(cosine(a) as f32)).then(a.cmp(&b)));
        let found = index.nearest(&to, 9, Some(5)).unwrap();
        for (hit, row) in found.iter().zip(&wanted) {
            assert!((f64::from(hit.score) - cosine(*row)).abs() < 1e-5, "{hit:?}");
            assert_eq!(hit.entry, entry(hit.row));
        }
        assert_eq!(found.len(), 9);
        assert_eq!(index.nearest(&to, count + 5, None).unwrap().len(), count);
    }

    #[test]
    fn an_index_that_is_not_finished_leaves_the_old_one_or_nothing() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("index");
        let begun = || {
            let mut writer = Writer::create(&folder, head(2)).unwrap();
            writer.push(&entry(0), &[1.0, 2.0]).unwrap();
            writer
        };
        drop(begun());
        assert!(!folder.exists());
        begun().finish().unwrap();
        let mut writer = begun();
        writer.push(&entry(1), &[3.0, 4.0]).unwrap();
        drop(writer);
        assert_eq!(Index::open(&folder).unwrap().len(), 1);
    }

    #[test]
    fn a_graph_finds_nearly_all_that_looking_at_all_does() {
        let folder = tempfile::tempdir().unwrap();
        let (width, count, top) = (24, 5_000, 10);
        let vector = |i: usize| polyseme_tensor::Stream::new(i as u64).normals(width, 1.0);
        let write = || {
            let mut writer = Writer::create(folder.path(), Head { graph: true, ..head(width) }).unwrap();
            (0..count).for_each(|i| writer.push(&entry(i), &vector(i)).unwrap());
            writer.finish().unwrap();
            std::fs::read(folder.path().join(GRAPH)).unwrap()
        };
        assert!(write() == write(), "the same vectors give the same graph");
        let (mut index, mut found) = (Index::open(folder.path()).unwrap(), Vec::new());
        assert!(index.head.graph);
        for i in 0..40 {
            found.push(index.nearest(&vector(count + i), top, None).unwrap());
            assert_eq!(index.nearest(&vector(i), 1, None).unwrap()[0].row, i, "a vector of the index finds itself");
            assert!(index.nearest(&vector(i), top, Some(i)).unwrap().iter().all(|hit| hit.row != i));
        }
        index.exactly();
        let mut common = 0;
        for (i, found) in found.iter().enumerate() {
            let exact = index.nearest(&vector(count + i), top, None).unwrap();
            common += found.iter().filter(|hit| exact.contains(hit)).count();
        }
        assert!(common as f64 >= 0.95 * (40 * top) as f64, "{common} of {}", 40 * top);
    }

    #[test]
    fn a_damaged_graph_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = Writer::create(folder.path(), Head { graph: true, ..head(4) }).unwrap();
        (0..50).for_each(|i| writer.push(&entry(i), &[i as f32, 1.0, 2.0, 3.0]).unwrap());
        writer.finish().unwrap();
        let graph = folder.path().join(GRAPH);
        let whole = std::fs::read(&graph).unwrap();
        for damaged in [&whole[..whole.len() / 2], &whole[..10], &[], &[7; 1_000]] {
            std::fs::write(&graph, damaged).unwrap();
            assert!(matches!(Index::open(folder.path()), Err(Error::Graph { .. })));
        }
        std::fs::remove_file(&graph).unwrap();
        assert!(matches!(Index::open(folder.path()), Err(Error::Graph { .. })));
    }

    #[test]
    fn what_is_no_index_says_so() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(Index::open(folder.path()), Err(Error::NoIndex { .. })));
        let mut writer = Writer::create(folder.path(), head(2)).unwrap();
        writer.push(&entry(0), &[1.0, 2.0]).unwrap();
        writer.finish().unwrap();
        let vectors = folder.path().join(VECTORS);
        let bytes = std::fs::read(&vectors).unwrap();
        std::fs::write(&vectors, &bytes[..bytes.len() - 1]).unwrap();
        assert!(matches!(Index::open(folder.path()), Err(Error::DamagedIndex { .. })));
        std::fs::write(&vectors, bytes).unwrap();
        std::fs::write(folder.path().join(ENTRIES), "").unwrap();
        assert!(matches!(Index::open(folder.path()), Err(Error::DamagedIndex { .. })));
        std::fs::write(folder.path().join("other.txt"), "").unwrap();
        assert!(matches!(Writer::create(folder.path(), head(2)), Err(Error::NotAnIndex { .. })));
    }
}
