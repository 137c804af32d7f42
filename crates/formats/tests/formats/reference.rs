//! Files made by the reference libraries, compared value by value with what Python says is in them.

use crate::common::{fixture, folder};
use polyseme_formats::tensors::{DType, TensorFile, write_safetensors};
use serde_json::Value;
use std::collections::BTreeMap;

/// Compares all tensors of a file with a part of `expected.json`.
fn same_as_python(file: &str, part: &str) {
    let expected: Value = serde_json::from_slice(&std::fs::read(fixture("expected.json")).unwrap()).unwrap();
    let expected = expected[part].as_object().unwrap();
    let file = TensorFile::open(&fixture(file)).unwrap();
    let mut names: Vec<String> = expected.keys().cloned().collect();
    names.sort();
    assert_eq!(file.names(), names);
    for (name, python) in expected {
        let tensor = file.get(name).unwrap();
        let shape: Vec<usize> =
            python["shape"].as_array().unwrap().iter().map(|d| d.as_u64().unwrap() as usize).collect();
        assert_eq!(tensor.shape, shape, "{name}");
        assert_eq!(file.shape(name), Some(&shape[..]));
        let values: Vec<f64> = python["values"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
        assert_eq!(dtype_name(tensor.dtype), python["dtype"].as_str().unwrap(), "{name}");
        if matches!(tensor.dtype, DType::F64 | DType::F32 | DType::F16 | DType::BF16) {
            let values: Vec<f32> = values.iter().map(|v| *v as f32).collect();
            assert_eq!(tensor.to_f32().unwrap(), values, "{name}");
        } else {
            let values: Vec<i64> = values.iter().map(|v| *v as i64).collect();
            assert_eq!(integers(tensor.dtype, &tensor.bytes), values, "{name}");
        }
    }
}

fn dtype_name(dtype: DType) -> &'static str {
    match dtype {
        DType::F64 => "float64",
        DType::F32 => "float32",
        DType::F16 => "float16",
        DType::BF16 => "bfloat16",
        DType::I64 => "int64",
        DType::I32 => "int32",
        DType::I16 => "int16",
        DType::I8 => "int8",
        DType::U8 => "uint8",
        DType::Bool => "bool",
    }
}

fn integers(dtype: DType, bytes: &[u8]) -> Vec<i64> {
    bytes
        .chunks(dtype.size())
        .map(|c| match dtype {
            DType::I64 => i64::from_le_bytes(c.try_into().unwrap()),
            DType::I32 => i32::from_le_bytes(c.try_into().unwrap()).into(),
            DType::I16 => i16::from_le_bytes(c.try_into().unwrap()).into(),
            DType::I8 => (c[0] as i8).into(),
            _ => c[0].into(),
        })
        .collect()
}

#[test]
fn safetensors_of_every_type() {
    same_as_python("all.safetensors", "all");
    let file = TensorFile::open(&fixture("all.safetensors")).unwrap();
    assert_eq!(file.metadata(), BTreeMap::from([("format".into(), "pt".into())]));
}

#[test]
fn shards_with_an_index() {
    same_as_python("sharded/model.safetensors.index.json", "sharded");
}

#[test]
fn pickles_with_views_shared_storage_and_parameters() {
    same_as_python("all.bin", "pickled");
}

#[test]
fn the_state_of_a_module() {
    same_as_python("module.bin", "module");
}

#[test]
fn the_newer_protocol_of_pickle() {
    let file = TensorFile::open(&fixture("protocol4.pt")).unwrap();
    assert_eq!(file.names(), ["brain", "embeddings.weight", "half"]);
}

/// Reading a file of the reference library and writing it again gives the same bytes.
#[test]
fn reading_then_writing_gives_the_same_bytes() {
    let dir = folder();
    for name in ["all.safetensors", "no_metadata.safetensors", "sharded/model-00001-of-00002.safetensors"] {
        let file = TensorFile::open(&fixture(name)).unwrap();
        let tensors: Vec<_> = file.names().iter().map(|n| file.get(n).unwrap().to_out()).collect();
        let path = dir.path().join("copy.safetensors");
        write_safetensors(&path, &tensors, &file.metadata()).unwrap();
        assert_eq!(std::fs::read(path).unwrap(), std::fs::read(fixture(name)).unwrap(), "{name}");
    }
}
