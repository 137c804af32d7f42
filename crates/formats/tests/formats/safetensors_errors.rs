//! One file for every way in which a file of tensors can be wrong.

use crate::common::{fixture, folder, refused, refused_by_system};
use polyseme_formats::tensors::{DType, TensorFile, TensorInfo, TensorOut, stream_safetensors, write_safetensors};
use polyseme_formats::{Error, Result};
use std::path::PathBuf;

/// A safetensors file with this header and so many bytes of data.
fn raw(header: &str, data: usize) -> Vec<u8> {
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.resize(file.len() + data, 7);
    file
}

fn open(bytes: &[u8]) -> Result<TensorFile> {
    let dir = folder();
    let path = dir.path().join("model.safetensors");
    std::fs::write(&path, bytes).unwrap();
    TensorFile::open(&path)
}

/// Two tensors of four bytes each with these offsets.
fn two(a: [u64; 2], b: [u64; 2], data: usize) -> Result<TensorFile> {
    let entry = |name: &str, o: [u64; 2]| {
        format!(r#""{name}":{{"dtype":"U8","shape":[{}],"data_offsets":[{},{}]}}"#, o[1].wrapping_sub(o[0]), o[0], o[1])
    };
    open(&raw(&format!("{{{},{}}}", entry("first", a), entry("second", b)), data))
}

fn one(entry: &str, data: usize) -> Result<TensorFile> {
    open(&raw(&format!(r#"{{"x":{entry}}}"#), data))
}

#[test]
fn impostors_are_called_by_their_name() {
    let cases: [(&[u8], &str); 8] = [
        (b"", "an empty file"),
        (b"abc", "less than 8 bytes"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "a Git LFS pointer"),
        (b"\n<!DOCTYPE html><html><body>Sign in</body></html>", "a web page"),
        (b"<?xml version='1.0'?><Error>AccessDenied</Error>", "a web page"),
        (b"{\"weight_map\": {\"a\": \"b\"}}", "JSON text"),
        (b"\x1f\x8b\x08\x08aaaaaaaaaaaaaaa", "a gzip archive"),
        (b"\x80\x02}q\x00(X\x01\x00\x00\x00aK\x01u.", "a Python pickle"),
    ];
    for (bytes, words) in cases {
        refused(open(bytes), &["model.safetensors", words, "expected a safetensors file"]);
    }
    let zip = std::fs::read(fixture("all.bin")).unwrap();
    refused(open(&zip), &["a zip archive"]);
}

#[test]
fn a_header_of_123_bytes_is_no_json_text() {
    // 123 is the code of `{`, so a careless check of the first byte would refuse this file.
    let mut header = r#"{"x":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}"#.to_owned();
    header.extend(std::iter::repeat_n(' ', 123 - header.len()));
    let file = raw(&header, 2);
    assert_eq!(file[0], b'{');
    assert_eq!(open(&file).unwrap().get("x").unwrap().bytes.as_ref(), [7, 7]);
}

#[test]
fn a_lying_header_length() {
    let mut file = raw("{}", 0);
    file[0] = 200;
    refused(open(&file), &["announce a header of 200 bytes, but 2 bytes follow"]);
    let huge = raw(&" ".repeat(100_000_001), 0);
    refused(open(&huge), &["100000001 bytes", "100000000"]);
}

#[test]
fn a_header_that_is_no_json() {
    refused(open(&raw("{\"x\": oops}", 0)), &["its header is not valid JSON at line 1, column 7"]);
    refused(open(&raw("[1]", 0)), &["its header is", "expected an object of tensors"]);
    refused(open(&raw("\"\u{0}\"", 0)), &["its header is"]);
    let mut not_text = raw("{\"x\": 1}", 0);
    not_text[10] = 0xff;
    refused(open(&not_text), &["its header is"]);
}

#[test]
fn wrong_fields() {
    refused(one("3", 0), &["tensor `x`", "`dtype` should be a string"]);
    refused(one(r#"{"dtype":"F32","data_offsets":[0,4]}"#, 4), &["tensor `x`", "`shape`"]);
    refused(one(r#"{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}"#, 4), &["`shape`"]);
    refused(one(r#"{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}"#, 4), &["`shape`"]);
    refused(one(r#"{"dtype":"F32","shape":[1]}"#, 4), &["`data_offsets` should be two"]);
    refused(one(r#"{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}"#, 4), &["`data_offsets` should be two"]);
    refused(open(&raw(r#"{"__metadata__":{"a":1}}"#, 0)), &["`__metadata__`", "object of strings"]);
    refused(one(r#"{"dtype":"F8_E4M3","shape":[4],"data_offsets":[0,4]}"#, 4), &["tensor `x`", "F8_E4M3", "BF16"]);
}

#[test]
fn bytes_that_do_not_fit_the_shape() {
    refused(
        one(r#"{"dtype":"F32","shape":[2,3],"data_offsets":[0,20]}"#, 20),
        &["tensor `x` of shape [2, 3] and type F32 needs 24 bytes, its offsets say 20"],
    );
    let big = u64::MAX / 2;
    refused(
        one(&format!(r#"{{"dtype":"F32","shape":[{big},{big}],"data_offsets":[0,4]}}"#), 4),
        &["more than fit into memory"],
    );
}

#[test]
fn offsets_that_lie() {
    let reversed = one(r#"{"dtype":"U8","shape":[1],"data_offsets":[4,3]}"#, 4);
    refused(reversed, &["tensor `x` begins at byte 4 and ends before that, at 3"]);
    refused(two([0, 4], [2, 6], 6), &["`first` and `second` overlap", "ends at byte 4", "begins at 2"]);
    refused(two([0, 4], [0, 4], 4), &["overlap"]);
    refused(two([0, 4], [6, 10], 10), &["2 bytes before tensor `second` belong to no tensor"]);
    refused(two([0, 4], [90, 94], 8), &["tensor `second` ends at byte 94 of the data, which has 8"]);
    refused(two([0, 4], [4, 8], 7), &["cut short: 7 bytes of tensors, expected 8"]);
    refused(two([0, 4], [4, 8], 9), &["1 bytes after the last tensor"]);
    assert_eq!(two([4, 8], [0, 4], 8).unwrap().len(), 2);
}

#[test]
fn names_that_are_there_twice() {
    let entry = r#"{"dtype":"U8","shape":[1],"data_offsets":[0,1]}"#;
    refused(open(&raw(&format!(r#"{{"x":{entry},"x":{entry}}}"#), 1)), &["tensor `x` is there twice"]);
    refused(open(&raw(r#"{"__metadata__":{},"__metadata__":{}}"#, 0)), &["`__metadata__` is there twice"]);
}

#[test]
fn every_cut_of_a_real_file_is_refused() {
    let whole = std::fs::read(fixture("all.safetensors")).unwrap();
    for n in 0..whole.len() {
        assert!(open(&whole[..n]).is_err(), "{n} bytes");
    }
    assert!(open(&whole).is_ok());
}

#[test]
fn unknown_kinds_folders_and_nothing() {
    let dir = folder();
    let path = dir.path().join("weights.npz");
    std::fs::write(&path, "x").unwrap();
    refused(TensorFile::open(&path), &["weights.npz", "no known kind of weights file"]);
    refused(TensorFile::open(&dir.path().join("model.safetensors")), &["cannot read"]);
    refused(TensorFile::open(&dir.path().join("weights.none")), &["cannot read"]);
    std::fs::create_dir(dir.path().join("folder.safetensors")).unwrap();
    refused(TensorFile::open(&dir.path().join("folder.safetensors")), &["it is a folder"]);
}

/// A copy of the sharded fixture with this index.
fn sharded(index: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = folder();
    for name in ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"] {
        std::fs::copy(fixture("sharded").join(name), dir.path().join(name)).unwrap();
    }
    let path = dir.path().join("model.safetensors.index.json");
    std::fs::write(&path, index).unwrap();
    (dir, path)
}

#[test]
fn an_index_that_is_wrong() {
    let one = "model-00001-of-00002.safetensors";
    let cases = [
        ("{}".to_owned(), "there is no `weight_map`"),
        (r#"{"weight_map": 3}"#.into(), "`weight_map` should be an object"),
        (r#"{"weight_map": {}}"#.into(), "`weight_map` is empty"),
        (r#"{"weight_map": {"a": 3}}"#.into(), "the shard of `a` should be a string"),
        (r#"{"weight_map": {"a": "../secret.safetensors"}}"#.into(), "`../secret.safetensors`"),
        (r#"{"weight_map": {"a": "/etc/passwd"}}"#.into(), "`/etc/passwd`"),
        (r#"{"weight_map": {"a": ""}}"#.into(), "plain name"),
        (r#"{"weight_map": "#.into(), "not valid JSON"),
        (
            format!(r#"{{"weight_map": {{"a": "{one}", "z": "model-3.safetensors"}}}}"#),
            "1 of 2 shards are missing: `model-3.safetensors`",
        ),
        (
            format!(r#"{{"weight_map": {{"a": "{one}", "z": "{one}"}}}}"#),
            "tensor `z` is in `model-00001-of-00002.safetensors`, but it is not",
        ),
        (format!(r#"{{"weight_map": {{"b": "{one}"}}}}"#), "tensor `b`"),
    ];
    for (index, words) in cases {
        let (_dir, path) = sharded(&index);
        refused(TensorFile::open(&path), &[words]);
    }
}

#[test]
fn a_tensor_in_two_shards_or_a_damaged_shard() {
    let index = std::fs::read_to_string(fixture("sharded/model.safetensors.index.json")).unwrap();
    let (dir, path) = sharded(&index);
    let second = dir.path().join("model-00002-of-00002.safetensors");
    let tensors = [TensorOut::f32("a", vec![1], &[1.0]), TensorOut::f32("b", vec![4, 1], &[0.0; 4])];
    write_safetensors(&second, &tensors, &Default::default()).unwrap();
    refused(TensorFile::open(&path), &["model-00002-of-00002", "tensor `a` is there twice"]);
    std::fs::write(&second, "").unwrap();
    refused(TensorFile::open(&path), &["model-00002-of-00002", "an empty file"]);
}

#[test]
fn asking_for_what_is_not_there_or_has_another_shape_or_type() {
    let file = TensorFile::open(&fixture("all.safetensors")).unwrap();
    assert!(file.get("embedings.weight").is_none());
    let error = refused(file.require("bert.embeddings.weight"), &["`bert.embeddings.weight` is missing among 13"]);
    assert!(error.hint().unwrap().contains("did you mean `embeddings.weight`"));
    refused(file.require("qqqqqqqqqqqqqqq"), &["is missing"]);
    refused(file.require("position_ids").unwrap().to_f32(), &["all.safetensors", "`position_ids` holds I64"]);
    let half = file.require("half").unwrap();
    half.expect_shape(&[2, 3]).unwrap();
    refused(half.expect_shape(&[3, 2]), &["`half` has the shape [2, 3], expected [3, 2]"]);
}

#[test]
fn what_we_would_write_wrongly_is_our_fault_and_leaves_nothing() {
    let dir = folder();
    let path = dir.path().join("out.safetensors");
    let none = Default::default();
    let x = TensorOut::f32("x", vec![2], &[1.0, 2.0]);
    let short = TensorOut { bytes: vec![0; 7], ..x.clone() };
    refused_by_system(write_safetensors(&path, &[short], &none), &["`x`: 7 bytes given", "need 8"]);
    refused_by_system(write_safetensors(&path, &[x.clone(), x.clone()], &none), &["`x`", "used twice"]);
    let reserved = TensorOut { name: "__metadata__".into(), ..x };
    refused_by_system(write_safetensors(&path, &[reserved], &none), &["reserved"]);
    let infos = [TensorInfo { name: "y".into(), dtype: DType::U8, shape: vec![3] }];
    let error = stream_safetensors(&path, &infos, &none, &mut |_, out| out.write_all(b"ab")).unwrap_err();
    assert!(
        matches!(&error, Error::Io { source, .. } if source.to_string().contains("`y`: 2 bytes written, expected 3"))
    );
    let overflow = [TensorInfo { name: "y".into(), dtype: DType::F64, shape: vec![usize::MAX, 2] }];
    refused_by_system(stream_safetensors(&path, &overflow, &none, &mut |_, _| Ok(())), &["`y`"]);
    assert_eq!(crate::common::names(dir.path()), Vec::<String>::new());
}
