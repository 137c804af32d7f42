//! Reads what `torch.save` wrote, without running any code in it.
//!
//! The file is a zip archive of stored (uncompressed) entries: `*/data.pkl`, a pickle that describes
//! the tensors, and `*/data/<key>`, their bytes, which stay mapped. Only dictionaries of tensors are
//! read; whatever else a pickle asks Python for is refused by its name.
//! Source: `torch/serialization.py`, `torch/_utils.py` of PyTorch 2.

mod error;
mod machine;

pub use error::PickleError;

use crate::impostor;
use crate::tensors::{Entry, byte_count};
use machine::{Storage, Tensor, Value};
use std::collections::{BTreeMap, HashMap};
use std::io::Cursor;

/// First bytes of the format before PyTorch 1.6: a pickled number.
const LEGACY: [u8; 14] = [0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// Finds all tensors of a mapped file.
pub(crate) fn read(file: &[u8]) -> Result<BTreeMap<String, Entry>, PickleError> {
    let archive = Archive::open(file)?;
    let (arena, top) = machine::run(archive.data_pkl()?)?;
    let Value::Dict(items) = &arena[top] else {
        return Err(PickleError::NotADict { found: kind(&arena[top]) });
    };
    let mut entries = BTreeMap::new();
    let mut keys = Vec::new();
    for &(key, value) in items {
        match (&arena[key], &arena[value]) {
            (Value::Str(name), Value::Tensor(tensor)) => {
                let Value::Storage(storage) = &arena[tensor.storage] else { unreachable!("checked when it was made") };
                // A key set twice has its last value, as in Python.
                entries.insert(name.clone(), archive.entry(name, tensor, storage)?);
            }
            (_, Value::Tensor(_)) => return Err(PickleError::KeyNotString),
            (Value::Str(name), _) => keys.push(name.clone()),
            _ => {}
        }
    }
    if entries.is_empty() {
        return Err(PickleError::NoTensors { keys });
    }
    Ok(entries)
}

/// The directory of the zip archive: where each entry's bytes are.
struct Archive<'a> {
    file: &'a [u8],
    /// Name without the archive's own folder → first byte and length.
    places: HashMap<String, (u64, u64)>,
    names: Vec<String>,
}

impl<'a> Archive<'a> {
    fn open(file: &'a [u8]) -> Result<Self, PickleError> {
        if file.starts_with(&LEGACY) {
            return Err(PickleError::Legacy);
        }
        if !file.starts_with(b"PK\x03\x04") {
            let other = ("something else", "get the file again, or take the model's model.safetensors if there is one");
            let (found, advice) = impostor::known(file).unwrap_or(other);
            return Err(PickleError::NotZip { found, advice });
        }
        let damaged = |e: zip::result::ZipError| PickleError::DamagedZip { message: e.to_string() };
        let mut zip = zip::ZipArchive::new(Cursor::new(file)).map_err(damaged)?;
        let mut archive = Self { file, places: HashMap::new(), names: Vec::new() };
        for i in 0..zip.len() {
            let entry = zip.by_index_raw(i).map_err(damaged)?;
            let name = entry.name().map_err(damaged)?.into_owned();
            let (start, len) = (entry.data_start().unwrap_or(u64::MAX), entry.size());
            if entry.compression() != zip::CompressionMethod::Stored || entry.compressed_size() != len {
                return Err(PickleError::Compressed { entry: name });
            }
            if start.checked_add(len).is_none_or(|end| end > file.len() as u64) {
                return Err(PickleError::DamagedZip { message: format!("entry `{name}` reaches beyond the file") });
            }
            let short = name.split_once('/').map_or(name.as_str(), |(_, rest)| rest).to_owned();
            archive.places.insert(short, (start, len));
            archive.names.push(name);
        }
        archive.check_byte_order()?;
        Ok(archive)
    }

    fn bytes(&self, (start, len): (u64, u64)) -> &'a [u8] {
        &self.file[start as usize..(start + len) as usize]
    }

    fn data_pkl(&self) -> Result<&'a [u8], PickleError> {
        match self.places.get("data.pkl") {
            Some(&place) => Ok(self.bytes(place)),
            None => Err(PickleError::NoData { found: self.names.clone() }),
        }
    }

    fn check_byte_order(&self) -> Result<(), PickleError> {
        match self.places.get("byteorder").map(|&place| self.bytes(place)) {
            None | Some(b"little") => Ok(()),
            Some(other) => Err(PickleError::ByteOrder { found: String::from_utf8_lossy(other).into_owned() }),
        }
    }

    /// Where the values of a tensor lie in the file; everything is checked here.
    fn entry(&self, name: &str, tensor: &Tensor, storage: &Storage) -> Result<Entry, PickleError> {
        let short = format!("data/{}", storage.key);
        let place = self.places.get(&short);
        let &(start, found) =
            place.ok_or_else(|| PickleError::MissingStorage { name: name.into(), entry: short.clone() })?;
        let size = storage.dtype.size();
        let expected = (storage.elements as u64).saturating_mul(size as u64);
        if found != expected {
            return Err(PickleError::StorageSize { name: name.into(), entry: short, found, expected });
        }
        let Tensor { offset, shape, strides, .. } = tensor;
        let out_of_bounds = || PickleError::OutOfBounds {
            name: name.into(),
            shape: shape.clone(),
            strides: strides.clone(),
            elements: storage.elements,
        };
        let reach = reach(*offset, shape, strides).ok_or_else(out_of_bounds)?;
        if reach > storage.elements {
            return Err(out_of_bounds());
        }
        let len = byte_count(storage.dtype, shape).ok_or_else(out_of_bounds)?;
        if len / size > storage.elements {
            return Err(PickleError::Expanded { name: name.into(), shape: shape.clone(), elements: storage.elements });
        }
        Ok(Entry {
            file: 0,
            dtype: storage.dtype,
            shape: shape.clone(),
            // An empty tensor may point anywhere.
            start: if len == 0 { start as usize } else { start as usize + offset * size },
            len,
            strides: (!is_row_major(shape, strides)).then(|| strides.clone()),
        })
    }
}

/// One more than the last element a view touches; 0 for an empty one. `None` where it overflows.
fn reach(offset: usize, shape: &[usize], strides: &[usize]) -> Option<usize> {
    if shape.contains(&0) {
        return Some(0);
    }
    let mut last = offset;
    for (d, s) in shape.iter().zip(strides) {
        last = last.checked_add((d - 1).checked_mul(*s)?)?;
    }
    last.checked_add(1)
}

/// Whether a view lies row by row without gaps. Strides of dimensions of size 1 do not matter.
fn is_row_major(shape: &[usize], strides: &[usize]) -> bool {
    if shape.contains(&0) {
        return true;
    }
    let mut step = 1;
    for (&d, &s) in shape.iter().zip(strides).rev() {
        if d != 1 && s != step {
            return false;
        }
        step *= d;
    }
    true
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::None => "None",
        Value::Bool => "a truth value",
        Value::Int(_) | Value::Float => "a number",
        Value::Str(_) => "a string",
        Value::Tuple(_) => "a tuple",
        Value::List(_) => "a list",
        Value::Dict(_) => "a dictionary",
        Value::Global(_) => "a Python function or class",
        Value::Storage(_) => "a bare storage",
        Value::Tensor(_) => "a single tensor",
    }
}
