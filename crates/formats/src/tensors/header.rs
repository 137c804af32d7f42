//! The header of a safetensors file: parsing and everything that can be wrong with it.
//!
//! Format: 8 bytes little-endian length, that many bytes of JSON, then the tensors without gaps.
//! Source: <https://github.com/huggingface/safetensors#format>. Read here rather than with the
//! `safetensors` crate because that one keeps the last of two tensors of one name without a word and
//! does not name the tensor whose byte count is wrong; the tests compare with it.

use super::dtype::{DType, byte_count};
use super::error::TensorsError;
use crate::config::not_json;
use crate::impostor;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use std::collections::BTreeMap;

/// Longest header that the reference library accepts.
pub(super) const MAX_HEADER: u64 = 100_000_000;

/// Where a tensor lies in its file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Placed {
    pub name: String,
    pub dtype: DType,
    pub shape: Vec<usize>,
    /// First byte, counted from the begin of the file.
    pub start: usize,
    /// Number of bytes.
    pub len: usize,
}

/// A header that was found right in every respect.
#[derive(Debug)]
pub(super) struct Header {
    pub tensors: Vec<Placed>,
    pub metadata: BTreeMap<String, String>,
}

/// Parses and checks the header of a whole file.
pub(super) fn parse(file: &[u8]) -> Result<Header, TensorsError> {
    let Some((first, rest)) = file.split_first_chunk::<8>() else {
        let (found, advice) = impostor::known(file).unwrap_or(("a file of less than 8 bytes", "get the file again"));
        return Err(TensorsError::NotSafetensors { found, advice });
    };
    let announced = u64::from_le_bytes(*first);
    if announced > rest.len() as u64 {
        // Any first 8 bytes may be an honest length, so impostors are looked for only here.
        return Err(match impostor::known(file) {
            Some((found, advice)) => TensorsError::NotSafetensors { found, advice },
            None => TensorsError::HeaderLength { announced, left: rest.len() },
        });
    }
    if announced > MAX_HEADER {
        return Err(TensorsError::HeaderTooLong { announced, limit: MAX_HEADER });
    }
    let (json, data) = rest.split_at(announced as usize);
    let pairs: Pairs = serde_json::from_slice(json).map_err(|e| TensorsError::Header(not_json(&e)))?;
    let mut metadata = None;
    let mut entries = Vec::new();
    for (name, value) in pairs.0 {
        if name != "__metadata__" {
            entries.push(entry(name, value)?);
        } else if metadata.replace(strings(value)?).is_some() {
            return Err(TensorsError::Duplicate { name });
        }
    }
    check_names(&entries)?;
    check_layout(&mut entries, data.len() as u64)?;
    let base = 8 + json.len();
    let tensors = entries.into_iter().map(|e| e.placed(base)).collect();
    Ok(Header { tensors, metadata: metadata.unwrap_or_default() })
}

/// The header's object with its keys as they come, twice where they are there twice.
struct Pairs(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Pairs;
            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("an object of tensors")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(All)
    }
}

struct Entry {
    name: String,
    dtype: DType,
    shape: Vec<usize>,
    begin: u64,
    end: u64,
}

impl Entry {
    fn placed(self, base: usize) -> Placed {
        let Self { name, dtype, shape, begin, end } = self;
        Placed { name, dtype, shape, start: base + begin as usize, len: (end - begin) as usize }
    }
}

/// One tensor: fields there, of their types, and bytes as many as shape and type need.
fn entry(name: String, value: Value) -> Result<Entry, TensorsError> {
    let bad = |message: &str| TensorsError::Entry { name: name.clone(), message: message.into() };
    let dtype_name = value.get("dtype").and_then(Value::as_str).ok_or_else(|| bad("`dtype` should be a string"))?;
    let dtype = DType::from_name(dtype_name).ok_or_else(|| TensorsError::UnknownDType {
        name: name.clone(),
        found: dtype_name.into(),
        expected: DType::ALL.map(DType::name).join(", "),
    })?;
    let numbers = |key: &str| -> Option<Vec<u64>> { value.get(key)?.as_array()?.iter().map(Value::as_u64).collect() };
    let shape: Option<Vec<usize>> =
        numbers("shape").and_then(|s| s.into_iter().map(|d| usize::try_from(d).ok()).collect());
    let shape = shape.ok_or_else(|| bad("`shape` should be a list of whole numbers"))?;
    let Some(&[begin, end]) = numbers("data_offsets").as_deref() else {
        return Err(bad("`data_offsets` should be two whole numbers"));
    };
    if end < begin {
        return Err(TensorsError::OffsetsReversed { name, begin, end });
    }
    let expected = byte_count(dtype, &shape);
    if expected.map(|n| n as u64) != Some(end - begin) {
        let expected = expected.map_or("more than fit into memory".into(), |n| n.to_string());
        return Err(TensorsError::ByteCount { name, shape, dtype: dtype.name(), found: end - begin, expected });
    }
    Ok(Entry { name, dtype, shape, begin, end })
}

fn strings(value: Value) -> Result<BTreeMap<String, String>, TensorsError> {
    let wrong =
        || TensorsError::Entry { name: "__metadata__".into(), message: "it should be an object of strings".into() };
    let object = value.as_object().ok_or_else(wrong)?;
    object.iter().map(|(k, v)| Ok((k.clone(), v.as_str().ok_or_else(wrong)?.to_owned()))).collect()
}

fn check_names(entries: &[Entry]) -> Result<(), TensorsError> {
    let mut names: Vec<&str> = entries.iter().map(|e| e.name.as_str()).collect();
    names.sort_unstable();
    match names.windows(2).find(|w| w[0] == w[1]) {
        Some(w) => Err(TensorsError::Duplicate { name: w[0].into() }),
        None => Ok(()),
    }
}

/// Sorts by place; the tensors must cover the data from its first byte to its last, once.
fn check_layout(entries: &mut [Entry], available: u64) -> Result<(), TensorsError> {
    entries.sort_by(|a, b| (a.begin, a.end, &a.name).cmp(&(b.begin, b.end, &b.name)));
    let mut end = 0;
    let mut previous = "";
    for e in entries.iter() {
        if e.begin < end {
            let (first, second) = (previous.to_owned(), e.name.clone());
            return Err(TensorsError::Overlap { first, second, end, begin: e.begin });
        }
        if e.begin > end {
            let name = e.name.clone();
            return Err(match e.end > available {
                true => TensorsError::OutOfRange { name, end: e.end, available },
                false => TensorsError::Gap { name, bytes: e.begin - end },
            });
        }
        (end, previous) = (e.end, &e.name);
    }
    if end > available {
        return Err(TensorsError::Truncated { found: available, expected: end });
    }
    if end < available {
        return Err(TensorsError::Trailing { extra: available - end });
    }
    Ok(())
}
