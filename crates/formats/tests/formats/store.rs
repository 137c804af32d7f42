//! The token store: round trips, size, and files that are wrong.

use crate::common::{Random, folder, names, refused, refused_by_system};
use polyseme_formats::store::{StoreHeader, StoreWriter, TokenStore};
use std::path::Path;

fn write(path: &Path, vocab_size: usize, documents: &[Vec<u32>]) -> StoreHeader {
    let mut writer = StoreWriter::create(path, vocab_size, "tokenizer", "corpus").unwrap();
    for d in documents {
        writer.push(d).unwrap();
    }
    writer.finish(3).unwrap()
}

fn document(random: &mut Random, vocab_size: usize, len: usize) -> Vec<u32> {
    (0..len).map(|_| random.below(vocab_size) as u32).collect()
}

#[test]
fn random_documents_come_back() {
    let dir = folder();
    let path = dir.path().join("tokens");
    for seed in 0..60 {
        let mut random = Random(seed);
        let vocab_size = [1, 2, 300, 65_535, 65_536, 65_537, 1 << 20, 1 << 32][random.below(8)];
        let longest = [1, 2, 15, 300, 3000][random.below(5)];
        let count = [0, 1, 2, 127, 128, 129, 500][random.below(7)];
        let documents: Vec<Vec<u32>> = (0..count)
            .map(|_| {
                let n = random.below(longest + 1);
                document(&mut random, vocab_size, n)
            })
            .collect();
        let header = write(&path, vocab_size, &documents);
        let kept: Vec<&Vec<u32>> = documents.iter().filter(|d| !d.is_empty()).collect();
        let tokens: usize = kept.iter().map(|d| d.len()).sum();
        let expected = StoreHeader {
            vocab_size: vocab_size as u64,
            tokenizer: "tokenizer".into(),
            corpus: "corpus".into(),
            documents: kept.len() as u64,
            tokens: tokens as u64,
            duplicates: 3,
        };
        assert_eq!(header, expected);

        let store = TokenStore::open(&path).unwrap();
        assert_eq!(store.header(), &expected);
        assert_eq!((store.len(), store.is_empty()), (kept.len(), kept.is_empty()));
        store.verify().unwrap();
        let mut start = 0;
        for (i, d) in kept.iter().enumerate() {
            assert_eq!((store.doc_len(i), store.doc_start(i)), (d.len(), start), "seed {seed}");
            let from = random.below(d.len() + 1);
            let to = from + random.below(d.len() + 1 - from);
            let mut out = vec![9];
            store.read_into(i, from, to, &mut out);
            assert_eq!(out[1..], d[from..to], "seed {seed}");
            start += d.len() as u64;
        }
    }
    assert_eq!(names(dir.path()), ["tokens"]);
}

#[test]
fn the_same_documents_give_the_same_bytes() {
    let dir = folder();
    let mut random = Random(5);
    let documents: Vec<_> = (0..300).map(|i| document(&mut random, 1000, i % 70)).collect();
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    write(&a, 1000, &documents);
    write(&b, 1000, &documents);
    assert_eq!(std::fs::read(a).unwrap(), std::fs::read(b).unwrap());
}

/// Lines of verse are the shortest documents that matter: 7 to 20 tokens.
#[test]
fn even_lines_of_verse_take_at_most_2_1_bytes_a_token() {
    let dir = folder();
    let path = dir.path().join("tokens");
    let mut random = Random(1);
    let documents: Vec<_> = (0..50_000)
        .map(|_| {
            let n = 7 + random.below(14);
            document(&mut random, 65_536, n)
        })
        .collect();
    let header = write(&path, 65_536, &documents);
    let per_token = std::fs::metadata(&path).unwrap().len() as f64 / header.tokens as f64;
    assert!(per_token <= 2.1, "{per_token}");
}

#[test]
fn a_document_longer_than_the_buffer() {
    let dir = folder();
    let path = dir.path().join("tokens");
    let mut random = Random(2);
    let long = document(&mut random, 70_000, 1_000_003);
    write(&path, 70_000, &[vec![1], long.clone(), vec![2, 3]]);
    let store = TokenStore::open(&path).unwrap();
    let mut out = Vec::new();
    store.read_into(1, 0, long.len(), &mut out);
    assert_eq!(out, long);
    store.read_into(2, 1, 2, &mut out);
    assert_eq!(out.last(), Some(&3));
}

#[test]
fn nothing_is_there_before_the_end() {
    let dir = folder();
    let path = dir.path().join("tokens");
    let mut writer = StoreWriter::create(&path, 10, "t", "c").unwrap();
    writer.push(&[1, 2]).unwrap();
    assert!(!path.exists());
    drop(writer);
    assert_eq!(names(dir.path()), Vec::<String>::new());
}

#[test]
fn ids_beyond_the_vocabulary_are_our_fault() {
    let dir = folder();
    let path = dir.path().join("tokens");
    let mut writer = StoreWriter::create(&path, 10, "t", "c").unwrap();
    writer.push(&[9]).unwrap();
    refused_by_system(writer.push(&[1, 10]), &["document 1 has the token id 10, expected less than 10"]);
    refused_by_system(StoreWriter::create(&path, 0, "t", "c").map(|_| ()), &["a vocabulary of 0"]);
    refused_by_system(StoreWriter::create(&path, (1 << 32) + 1, "t", "c").map(|_| ()), &["4294967297"]);
    refused(StoreWriter::create(&dir.path().join("no/tokens"), 1, "t", "c").map(|_| ()), &["cannot write"]);
}

/// A store of 3 documents, changed.
fn changed(change: impl FnOnce(&mut Vec<u8>)) -> polyseme_formats::Result<TokenStore> {
    let dir = folder();
    let path = dir.path().join("tokens");
    write(&path, 100, &[vec![1, 2, 3], vec![4], vec![5, 6]]);
    let mut bytes = std::fs::read(&path).unwrap();
    change(&mut bytes);
    std::fs::write(&path, bytes).unwrap();
    TokenStore::open(&path)
}

/// Corrects the checksums, so that what they protect is looked at.
fn resum(bytes: &mut [u8]) {
    let lengths_at = u64::from_le_bytes(bytes[32..40].try_into().unwrap()) as usize;
    let tables = crc32c::crc32c(&bytes[lengths_at.min(bytes.len())..]);
    bytes[68..72].copy_from_slice(&tables.to_le_bytes());
    let preamble = crc32c::crc32c(&bytes[..92]);
    bytes[92..96].copy_from_slice(&preamble.to_le_bytes());
}

#[test]
fn other_files_and_other_versions() {
    refused(changed(|b| b.clear()), &["this is no token store"]);
    refused(changed(|b| b[..4].copy_from_slice(b"PAR1")), &["no token store", "[50, 41, 52, 31"]);
    refused(changed(|b| b[8] = 2), &["of version 2, expected version 1"]);
    refused(TokenStore::open(Path::new("/")), &["it is a folder"]);
    refused(TokenStore::open(Path::new("/nowhere/tokens")), &["cannot read"]);
}

#[test]
fn every_cut_and_every_changed_byte_of_the_tables_is_noticed() {
    let mut len = 0;
    changed(|b| len = b.len()).unwrap();
    for n in 0..len {
        refused(changed(|b| b.truncate(n)), &["token store"]);
        let result = changed(|b| b[n] ^= 0x10);
        let is_id = (96..96 + 12).contains(&n);
        // Bytes 108..112 fill up to a multiple of 8.
        let is_padding = (108..112).contains(&n);
        assert_eq!(result.is_ok(), is_id || is_padding, "byte {n}");
        if is_id {
            refused(result.unwrap().verify(), &["the token ids are damaged"]);
        }
    }
    refused(changed(|b| b.push(0)), &["bytes, expected"]);
}

#[test]
fn a_header_that_makes_no_sense_in_spite_of_its_checksum() {
    let with = |at: usize, value: u8| {
        changed(|b| {
            b[at] = value;
            resum(b);
        })
    };
    refused(with(12, 3), &["ids have neither 2 nor 4 bytes"]);
    refused(with(12, 4), &["the ids do not end where the lengths begin"]);
    refused(with(16, 200), &["the ids do not end where the lengths begin"]);
    refused(with(26, 1), &["the table of blocks has another size"]);
    refused(with(24, 4), &["counts of documents and tokens"]);
    refused(with(20, 255), &["the ids do not end"]);
    // The vocabulary in the JSON, 100 → 999999.
    let json = changed(|b| {
        let at = b.windows(16).position(|w| w == b"\"vocab_size\":100").unwrap();
        b.splice(at..at + 16, *b"\"vocab_size\":999999");
        let len = b.len() as u64;
        b[56..64].copy_from_slice(&len.to_le_bytes());
        resum(b);
    });
    refused(json, &["2 bytes an id for a vocabulary of 999999"]);
    let garbled = changed(|b| {
        let last = b.len() - 1;
        b[last] = b'x';
        resum(b);
    });
    refused(garbled, &["the header of the token store is wrong"]);
}

#[test]
fn offsets_out_of_order() {
    // Lengths 3, 1, 2 in 2 bits each: 0b10_01_11 at the first byte of the lengths (112).
    changed(|b| assert_eq!(b[112], 0b10_01_11)).unwrap();
    let with = |at: usize, value: u8| {
        changed(|b| {
            b[at] = value;
            resum(b);
        })
    };
    refused(with(112, 0b10_00_11), &["out of order at document 1"]);
    refused(with(112, 0b11_01_11), &["out of order at document 2"]);
    refused(with(112, 0b01_01_11), &["out of order at document 3"]);
    refused(with(120, 1), &["out of order at document 0"]);
    refused(with(128, 200), &["out of order at document 0"]);
    refused(with(129, 1), &["out of order at document 0"]);
}
