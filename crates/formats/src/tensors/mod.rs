//! Tensors on disk: safetensors (one file or shards with an index) and `pytorch_model.bin`.

mod dtype;
mod error;
mod header;
mod index;
mod write;

pub use dtype::DType;
pub(crate) use dtype::byte_count;
pub use error::TensorsError;
pub(crate) use write::{Plan, wrong};
pub use write::{TensorInfo, TensorOut, hf_metadata, stream_safetensors, write_safetensors};

use crate::mapped::Mapped;
use crate::near::nearest;
use crate::{Result, pickle};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// One tensor of an open file. Bytes are little-endian and row-major.
#[derive(Clone, Debug)]
pub struct TensorRef<'a> {
    /// The file it is in, for messages.
    pub file: &'a Path,
    /// Its name there.
    pub name: &'a str,
    /// Element type.
    pub dtype: DType,
    /// Dimensions, outermost first.
    pub shape: Vec<usize>,
    /// The bytes, borrowed from the mapped file where possible.
    pub bytes: Cow<'a, [u8]>,
}

impl TensorRef<'_> {
    /// Values as f32; F64, F16 and BF16 are converted (to the nearest), integer types are an error
    /// naming tensor and type.
    pub fn to_f32(&self) -> Result<Vec<f32>> {
        fn each<const N: usize>(bytes: &[u8], f: impl Fn([u8; N]) -> f32) -> Vec<f32> {
            bytes.as_chunks::<N>().0.iter().map(|c| f(*c)).collect()
        }
        Ok(match self.dtype {
            DType::F32 => each(&self.bytes, f32::from_le_bytes),
            DType::F64 => each(&self.bytes, |b| f64::from_le_bytes(b) as f32),
            DType::F16 => each(&self.bytes, |b| half::f16::from_le_bytes(b).to_f32()),
            DType::BF16 => each(&self.bytes, |b| half::bf16::from_le_bytes(b).to_f32()),
            DType::I64 | DType::I32 | DType::I16 | DType::I8 | DType::U8 | DType::Bool => {
                let (name, found) = (self.name.to_owned(), self.dtype.name());
                return Err(wrong(self.file, TensorsError::NotFloat { name, found }));
            }
        })
    }

    /// Errors unless the shape is this one.
    pub fn expect_shape(&self, expected: &[usize]) -> Result<()> {
        if self.shape == expected {
            return Ok(());
        }
        let (found, expected) = (self.shape.clone(), expected.to_vec());
        Err(wrong(self.file, TensorsError::Shape { name: self.name.to_owned(), found, expected }))
    }

    /// A copy to be written elsewhere.
    pub fn to_out(&self) -> TensorOut {
        TensorOut {
            name: self.name.to_owned(),
            dtype: self.dtype,
            shape: self.shape.clone(),
            bytes: self.bytes.to_vec(),
        }
    }
}

/// The tensors of a model folder, memory-mapped; nothing is copied until asked for.
pub struct TensorFile {
    path: PathBuf,
    files: Vec<Mapped>,
    entries: BTreeMap<String, Entry>,
    metadata: BTreeMap<String, String>,
}

/// Where a tensor lies. Everything was checked against the size of the file when it was opened.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) file: usize,
    pub(crate) dtype: DType,
    pub(crate) shape: Vec<usize>,
    /// First byte in the file.
    pub(crate) start: usize,
    /// Bytes of the values when laid out row by row.
    pub(crate) len: usize,
    /// Steps in elements along each dimension, where that is not row-major without gaps.
    pub(crate) strides: Option<Vec<usize>>,
}

impl TensorFile {
    /// Opens a `.safetensors` file, a `.safetensors.index.json` with its shards, or a `.bin`/`.pt`
    /// written by `torch.save` (weights only: pickled code is refused).
    ///
    /// Errors: see [`TensorsError`] and [`pickle::PickleError`].
    pub fn open(path: &Path) -> Result<Self> {
        let name = path.file_name().map(|n| n.to_string_lossy().to_lowercase()).unwrap_or_default();
        if name.ends_with(".index.json") {
            Self::open_shards(path)
        } else if name.ends_with(".safetensors") {
            Self::open_safetensors(path)
        } else if [".bin", ".pt", ".pth"].iter().any(|end| name.ends_with(end)) {
            Self::open_pickle(path)
        } else {
            Mapped::open(path)?;
            Err(wrong(path, TensorsError::UnknownKind))
        }
    }

    fn open_safetensors(path: &Path) -> Result<Self> {
        let file = Mapped::open(path)?;
        let header = header::parse(&file).map_err(|what| wrong(path, what))?;
        let entry = |t: header::Placed| {
            let entry = Entry { file: 0, dtype: t.dtype, shape: t.shape, start: t.start, len: t.len, strides: None };
            (t.name, entry)
        };
        let entries = header.tensors.into_iter().map(entry).collect();
        Ok(Self { path: path.to_path_buf(), files: vec![file], entries, metadata: header.metadata })
    }

    fn open_pickle(path: &Path) -> Result<Self> {
        let file = Mapped::open(path)?;
        let entries =
            pickle::read(&file).map_err(|what| crate::Error::Pickle { path: path.into(), what: Box::new(what) })?;
        Ok(Self { path: path.to_path_buf(), files: vec![file], entries, metadata: BTreeMap::new() })
    }

    /// All shards of an index as one. Tensors that the index does not list are there too, as in the
    /// reference library.
    fn open_shards(path: &Path) -> Result<Self> {
        let index = index::read(path)?;
        let mut all =
            Self { path: path.into(), files: Vec::new(), entries: BTreeMap::new(), metadata: BTreeMap::new() };
        let mut shard_of = BTreeMap::new();
        for (shard, shard_path) in &index.shards {
            let file = Self::open(shard_path)?;
            for (name, mut entry) in file.entries {
                entry.file += all.files.len();
                if all.entries.insert(name.clone(), entry).is_some() {
                    return Err(wrong(shard_path, TensorsError::Duplicate { name }));
                }
                shard_of.insert(name, shard.clone());
            }
            all.files.extend(file.files);
            all.metadata.extend(file.metadata);
        }
        for (name, shard) in index.weights {
            if shard_of.get(&name) != Some(&shard) {
                return Err(wrong(path, TensorsError::NotInShard { name, shard }));
            }
        }
        Ok(all)
    }

    /// The file that was opened, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Names in sorted order.
    pub fn names(&self) -> Vec<String> {
        self.entries.keys().cloned().collect()
    }

    /// Number of tensors.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no tensor.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// A tensor by its name.
    pub fn get(&self, name: &str) -> Option<TensorRef<'_>> {
        let (name, entry) = self.entries.get_key_value(name)?;
        let file = &self.files[entry.file];
        let bytes = match &entry.strides {
            None => Cow::Borrowed(&file[entry.start..entry.start + entry.len]),
            Some(strides) => Cow::Owned(gather(&file[entry.start..], entry, strides)),
        };
        Some(TensorRef { file: &file.path, name, dtype: entry.dtype, shape: entry.shape.clone(), bytes })
    }

    /// A tensor that must be there. Errors: it is missing (with "did you mean").
    pub fn require(&self, name: &str) -> Result<TensorRef<'_>> {
        self.get(name).ok_or_else(|| {
            let near = nearest(name, self.entries.keys().map(String::as_str)).map(str::to_owned);
            wrong(&self.path, TensorsError::NoSuchTensor { name: name.into(), count: self.len(), near })
        })
    }

    /// Dimensions of a tensor, without touching its bytes.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.entries.get(name).map(|e| e.shape.as_slice())
    }

    /// The safetensors header's metadata.
    pub fn metadata(&self) -> BTreeMap<String, String> {
        self.metadata.clone()
    }
}

/// Lays a strided view out row by row.
fn gather(storage: &[u8], entry: &Entry, strides: &[usize]) -> Vec<u8> {
    let size = entry.dtype.size();
    let mut out = Vec::with_capacity(entry.len);
    let mut at = vec![0; entry.shape.len()];
    while out.len() < entry.len {
        let element: usize = at.iter().zip(strides).map(|(i, s)| i * s).sum();
        out.extend_from_slice(&storage[element * size..(element + 1) * size]);
        // Count up like an odometer, the last dimension fastest.
        for d in (0..at.len()).rev() {
            at[d] += 1;
            if at[d] < entry.shape[d] {
                break;
            }
            at[d] = 0;
        }
    }
    out
}
