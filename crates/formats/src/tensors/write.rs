//! Writing safetensors files: byte-stable, aligned, streaming.
//!
//! The layout is that of the reference library (widest element type first, then by name; the header
//! padded with spaces to 8 bytes), so that reading a file of its and writing it gives the same bytes.

use super::dtype::{DType, byte_count};
use super::error::TensorsError;
use crate::{Error, Result, atomic};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

/// A tensor to be written.
#[derive(Clone, Debug)]
pub struct TensorOut {
    /// Name in the file.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Dimensions, outermost first.
    pub shape: Vec<usize>,
    /// Little-endian, row-major.
    pub bytes: Vec<u8>,
}

impl TensorOut {
    /// An f32 tensor from its values.
    pub fn f32(name: impl Into<String>, shape: Vec<usize>, values: &[f32]) -> Self {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Self { name: name.into(), dtype: DType::F32, shape, bytes }
    }

    /// What is known of it without its bytes.
    pub fn info(&self) -> TensorInfo {
        TensorInfo { name: self.name.clone(), dtype: self.dtype, shape: self.shape.clone() }
    }
}

/// A tensor to be written, without its bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorInfo {
    /// Name in the file.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Dimensions, outermost first.
    pub shape: Vec<usize>,
}

/// The metadata that `transformers` wants to see: `{"format": "pt"}`.
pub fn hf_metadata() -> BTreeMap<String, String> {
    BTreeMap::from([("format".into(), "pt".into())])
}

/// Writes a safetensors file atomically and byte-stable (same tensors, same bytes), streaming the
/// tensors rather than holding a second copy of the file in memory.
///
/// Errors: two tensors of one name, bytes that do not fit a shape, and those of [`atomic::write`].
pub fn write_safetensors(path: &Path, tensors: &[TensorOut], metadata: &BTreeMap<String, String>) -> Result<()> {
    let plan = Plan::of_tensors(tensors, metadata).map_err(|what| wrong(path, what))?;
    atomic::write(path, |out| plan.write(out, &mut |i, out| out.write_all(&tensors[i].bytes)))
}

/// As [`write_safetensors`] for tensors that are made one at a time: `fill` is called once for each
/// tensor, with its number in `infos`, in the order of the file, and writes its bytes (little-endian,
/// row-major). Writing too few or too many is an error and leaves nothing behind.
pub fn stream_safetensors(
    path: &Path,
    infos: &[TensorInfo],
    metadata: &BTreeMap<String, String>,
    fill: &mut dyn FnMut(usize, &mut dyn Write) -> io::Result<()>,
) -> Result<()> {
    let plan = Plan::new(infos, metadata).map_err(|what| wrong(path, what))?;
    atomic::write(path, |out| plan.write(out, fill))
}

pub(crate) fn wrong(path: &Path, what: TensorsError) -> Error {
    Error::Tensors { path: path.to_path_buf(), what: Box::new(what) }
}

/// A file laid out: its header and the order of its tensors.
pub(crate) struct Plan {
    header: Vec<u8>,
    /// Number in the caller's list, name and bytes of each, in the order of the file.
    order: Vec<(usize, String, usize)>,
}

impl Plan {
    /// Lays tensors out whose bytes are there, and checks that they fit their shapes.
    pub(crate) fn of_tensors(
        tensors: &[TensorOut],
        metadata: &BTreeMap<String, String>,
    ) -> std::result::Result<Self, TensorsError> {
        for t in tensors {
            let expected = byte_count(t.dtype, &t.shape).unwrap_or(usize::MAX);
            if t.bytes.len() != expected {
                let (name, found) = (t.name.clone(), t.bytes.len());
                return Err(TensorsError::OutByteCount { name, found, expected });
            }
        }
        let infos: Vec<TensorInfo> = tensors.iter().map(TensorOut::info).collect();
        Self::new(&infos, metadata)
    }

    /// Lays tensors out and makes the header.
    pub(crate) fn new(
        infos: &[TensorInfo],
        metadata: &BTreeMap<String, String>,
    ) -> std::result::Result<Self, TensorsError> {
        let mut sorted: Vec<usize> = (0..infos.len()).collect();
        sorted.sort_by(|&a, &b| {
            let (a, b) = (&infos[a], &infos[b]);
            a.dtype.rank().cmp(&b.dtype.rank()).then_with(|| a.name.cmp(&b.name))
        });
        let mut object = serde_json::Map::new();
        if !metadata.is_empty() {
            object.insert("__metadata__".into(), serde_json::json!(metadata));
        }
        let mut begin = 0;
        let mut order = Vec::with_capacity(infos.len());
        for i in sorted {
            let TensorInfo { name, dtype, shape } = &infos[i];
            if name == "__metadata__" {
                return Err(TensorsError::OutName { name: name.clone(), why: "reserved by the format" });
            }
            let bytes = byte_count(*dtype, shape).ok_or_else(|| TensorsError::OutByteCount {
                name: name.clone(),
                found: 0,
                expected: usize::MAX,
            })?;
            let entry =
                serde_json::json!({"dtype": dtype.name(), "shape": shape, "data_offsets": [begin, begin + bytes]});
            if object.insert(name.clone(), entry).is_some() {
                return Err(TensorsError::OutName { name: name.clone(), why: "used twice" });
            }
            begin += bytes;
            order.push((i, name.clone(), bytes));
        }
        let mut header = serde_json::Value::Object(object).to_string().into_bytes();
        header.resize(header.len().next_multiple_of(8), b' ');
        Ok(Self { header, order })
    }

    /// Writes the whole file.
    pub(crate) fn write(
        &self,
        out: &mut dyn Write,
        fill: &mut dyn FnMut(usize, &mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        out.write_all(&(self.header.len() as u64).to_le_bytes())?;
        out.write_all(&self.header)?;
        for (i, name, bytes) in &self.order {
            let mut counted = Counted { out, count: 0 };
            fill(*i, &mut counted)?;
            if counted.count != *bytes {
                let found = counted.count;
                return Err(io::Error::other(format!("tensor `{name}`: {found} bytes written, expected {bytes}")));
            }
        }
        Ok(())
    }
}

struct Counted<'a> {
    out: &'a mut dyn Write,
    count: usize,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.out.write(bytes)?;
        self.count += n;
        Ok(n)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
