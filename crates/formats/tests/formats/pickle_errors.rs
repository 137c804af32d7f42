//! One file for every way in which a file of torch.save can be wrong or more than weights.

use crate::common::{Random, fixture, folder, refused};
use polyseme_formats::Result;
use polyseme_formats::tensors::TensorFile;
use std::io::{Cursor, Write};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

fn open(bytes: &[u8]) -> Result<TensorFile> {
    let dir = folder();
    let path = dir.path().join("pytorch_model.bin");
    std::fs::write(&path, bytes).unwrap();
    TensorFile::open(&path)
}

/// A zip archive with these entries.
fn archive(entries: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        zip.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// Opens an archive with this pickle and one storage of 4 floats.
fn pickled(pickle: &[u8]) -> Result<TensorFile> {
    let entries: [(&str, &[u8]); 2] = [("a/data.pkl", pickle), ("a/data/0", &[0; 16])];
    open(&archive(&entries, CompressionMethod::Stored))
}

/// The pickle of `{"x": tensor}`: a storage of `elements` floats under `key`, then a view of it.
fn view(key: &str, elements: u8, offset: u8, shape: &[u8], strides: &[u8]) -> Vec<u8> {
    let mut p =
        b"\x80\x02}X\x01\0\0\0xctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\n".to_vec();
    p.extend([b'X', key.len() as u8, 0, 0, 0]);
    p.extend(key.as_bytes());
    p.extend(b"X\x03\0\0\0cpuK");
    p.push(elements);
    p.extend(b"tQK");
    p.push(offset);
    for sizes in [shape, strides] {
        p.push(b'(');
        p.extend(sizes.iter().flat_map(|&s| [b'K', s]));
        p.push(b't');
    }
    p.extend(b"\x89ccollections\nOrderedDict\n)RtRs.");
    p
}

#[test]
fn views_inside_and_outside_their_storage() {
    assert_eq!(pickled(&view("0", 4, 0, &[2, 2], &[1, 2])).unwrap().get("x").unwrap().to_f32().unwrap(), [0.0; 4]);
    assert!(pickled(&view("0", 4, 9, &[0, 2], &[1, 1])).unwrap().get("x").unwrap().to_f32().unwrap().is_empty());
    let words = ["tensor `x` of shape [2, 2] and strides [2, 1]", "beyond its storage of 4 elements"];
    refused(pickled(&view("0", 4, 1, &[2, 2], &[2, 1])), &words);
    refused(pickled(&view("0", 4, 0, &[100, 2], &[0, 1])), &["`x` of shape [100, 2] repeats the 4 elements"]);
    refused(pickled(&view("7", 4, 0, &[4], &[1])), &["tensor `x` needs the entry `data/7`, which the archive lacks"]);
    refused(pickled(&view("0", 5, 0, &[4], &[1])), &["the entry `data/0` has 16 bytes, expected 20"]);
    refused(pickled(&view("0", 4, 0, &[4], &[1, 1])), &["`torch._utils._rebuild_tensor_v2` was called"]);
}

#[test]
fn what_torch_save_writes_besides_weights() {
    refused(TensorFile::open(&fixture("legacy.bin")), &["legacy.bin", "before PyTorch 1.6"]);
    refused(
        TensorFile::open(&fixture("whole_module.bin")),
        &["`torch.nn.modules.container.Sequential`", "no code is run"],
    );
    refused(TensorFile::open(&fixture("counter.bin")), &["`collections.Counter`"]);
    refused(TensorFile::open(&fixture("nested.bin")), &["none of its entries is a tensor", "`epoch`, `state_dict`"]);
    refused(TensorFile::open(&fixture("single.bin")), &["holds a single tensor", "expected a dictionary"]);
    refused(TensorFile::open(&fixture("expanded.bin")), &["tensor `big` of shape [100, 2] repeats the 2 elements"]);
}

#[test]
fn code_is_never_run_but_named() {
    refused(pickled(b"\x80\x02cos\nsystem\nX\x04\0\0\0true\x85R."), &["`os.system`"]);
    refused(pickled(b"\x80\x04\x8c\x02os\x8c\x06system\x93)R."), &["`os.system`"]);
    refused(pickled(b"ctorch\nComplexFloatStorage\n."), &["`torch.ComplexFloatStorage`"]);
}

#[test]
fn files_that_are_no_archives() {
    refused(open(b""), &["an empty file"]);
    refused(open(b"version https://git-lfs.github.com/spec/v1\n"), &["a Git LFS pointer"]);
    refused(open(b"<!DOCTYPE html>"), &["a web page"]);
    refused(open(b"\x80\x02}q\0."), &["a Python pickle"]);
    refused(open(b"hello, world"), &["something else"]);
}

#[test]
fn archives_that_are_wrong() {
    let real = std::fs::read(fixture("all.bin")).unwrap();
    refused(open(&real[..real.len() / 2]), &["the zip archive is damaged"]);
    refused(
        open(&archive(&[("a/x.txt", b"x")], CompressionMethod::Stored)),
        &["holds `a/x.txt`, expected a `data.pkl`"],
    );
    let entries: [(&str, &[u8]); 1] = [("a/data.pkl", &[b'N'; 1000])];
    refused(open(&archive(&entries, CompressionMethod::Deflated)), &["entry `a/data.pkl` is compressed"]);
    let entries: [(&str, &[u8]); 2] = [("a/data.pkl", b"}."), ("a/byteorder", b"big")];
    refused(open(&archive(&entries, CompressionMethod::Stored)), &["byte order `big`"]);
}

#[test]
fn pickles_that_are_wrong() {
    refused(pickled(b"\x80\x02}i."), &["unknown pickle instruction 0x69 at byte 3"]);
    refused(pickled(b"N."), &["holds None"]);
    refused(pickled(b"}."), &["none of its entries is a tensor"]);
    let mut key = view("0", 4, 0, &[4], &[1]);
    key.splice(3..9, *b"K\x01");
    refused(pickled(&key), &["a key that is no string"]);
    let malformed: [&[u8]; 14] = [
        b"",
        b"}",
        b".",
        b"X\xff\xff\xff\xffabc.",
        b"X\x01\0\0\0\xff.",
        b"h\x05.",
        b"t.",
        b"(\x85.",
        b"Na.",
        b"NNNs.",
        b"}(Nu.",
        b"NQ.",
        b"N)R.",
        b"\x8a\x09aaaaaaaaa.",
    ];
    for pickle in malformed {
        refused(pickled(pickle), &["the pickle is damaged at byte"]);
    }
    refused(pickled(b"NNb."), &["what is no dictionary"]);
    refused(pickled(b"ccollections\nOrderedDict\nNR."), &["arguments are no tuple"]);
    refused(pickled(b"ctorch._utils\n_rebuild_parameter\n)R."), &["`torch._utils._rebuild_parameter` was called"]);
    refused(pickled(b"ctorch\nFloatStorage\n)R."), &["`torch storage` was called"]);
}

#[test]
fn hostile_nesting_costs_no_stack() {
    let mut deep = vec![b'N'];
    deep.extend(std::iter::repeat_n(0x85, 1_000_000));
    deep.push(b'.');
    refused(pickled(&deep), &["holds a tuple"]);
}

#[test]
fn damaged_files_never_panic() {
    let whole = std::fs::read(fixture("all.bin")).unwrap();
    let mut random = Random(3);
    let dir = folder();
    let path = dir.path().join("pytorch_model.bin");
    for _ in 0..1000 {
        let mut bytes = whole.clone();
        for _ in 0..=random.below(3) {
            let at = random.below(bytes.len());
            bytes[at] = random.next() as u8;
        }
        if random.below(4) == 0 {
            bytes.truncate(random.below(bytes.len()));
        }
        std::fs::write(&path, &bytes).unwrap();
        if let Ok(file) = TensorFile::open(&path) {
            for name in file.names() {
                let tensor = file.get(&name).unwrap();
                assert_eq!(tensor.bytes.len(), tensor.shape.iter().product::<usize>() * tensor.dtype.size());
            }
        }
    }
}
