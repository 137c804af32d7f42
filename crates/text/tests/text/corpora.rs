//! Reading corpora: formats, documents, oddities.

use crate::help::{data, documents, folder, gzip, parquet, put, read, zstd};
use polyseme_text::corpus::{LONGEST_DOCUMENT, SHORTEST_BLOCK, TextDocuments};
use polyseme_text::{CorpusReader, CorpusWarning};

fn paragraph(word: &str, bytes: usize) -> String {
    format!("{word} ").repeat(bytes / (word.len() + 1) + 1).trim_end().to_owned()
}

#[test]
fn blank_lines_end_a_document_that_is_long_enough() {
    let dir = folder();
    let (a, b, c) = (paragraph("alpha", SHORTEST_BLOCK), paragraph("beta", 50), paragraph("gamma", SHORTEST_BLOCK));
    let path = put(dir.path(), "a.txt", format!("\n\n{a}\n\n{b}\n   \n{c}\n\nthe end\n"));
    let (texts, warnings) = documents(&path).unwrap();
    assert_eq!(texts, [a.clone(), format!("{b}\n   \n{c}"), "the end".into()]);
    assert!(warnings.is_empty());

    let corpus = CorpusReader::open(&[path], None).unwrap().with_text_documents(TextDocuments::File);
    let (texts, _) = read(&corpus).unwrap();
    assert_eq!(texts, [format!("{a}\n\n{b}\n   \n{c}\n\nthe end")]);
}

#[test]
fn line_ends_of_windows_and_a_byte_order_mark_are_taken_off() {
    let dir = folder();
    let a = paragraph("alpha", SHORTEST_BLOCK);
    let path = put(dir.path(), "a.md", format!("\u{FEFF}one\r\ntwo {a}\r\n\r\nthree\r\n"));
    assert_eq!(documents(&path).unwrap().0, [format!("one\ntwo {a}"), "three".into()]);
}

#[test]
fn every_format_and_packing_gives_the_same_documents() {
    let dir = folder();
    let texts = ["first, \"one\"\nwith two lines", "第二篇", "third\tone"];
    let jsonl: String = texts.iter().map(|t| format!("{}\n\n", serde_json::json!({"id": 1, "text": t}))).collect();
    let csv: String = std::iter::once("id,text\n".to_owned())
        .chain(texts.iter().map(|t| format!("1,\"{}\"\n", t.replace('"', "\"\""))))
        .collect();
    let files = [
        put(dir.path(), "a.jsonl", &jsonl),
        put(dir.path(), "a.ndjson.gz", gzip(jsonl.as_bytes())),
        put(dir.path(), "b.jsonl.zst", zstd(jsonl.as_bytes())),
        put(dir.path(), "a.csv", &csv),
        put(dir.path(), "b.CSV.GZ", gzip(csv.as_bytes())),
    ];
    for file in &files {
        assert_eq!(documents(file).unwrap().0, texts, "{}", file.display());
    }
    let path = dir.path().join("a.parquet");
    parquet(&path, &texts.map(Some), 2);
    assert_eq!(documents(&path).unwrap().0, texts);

    let tsv = put(dir.path(), "a.tsv", "id\tbody\n1\tone \"quoted\" word\n2\t\"whole \"\"cell\"\"\"\n3\t\"lone\n");
    assert_eq!(documents(&tsv).unwrap().0, ["one \"quoted\" word", "whole \"cell\"", "\"lone"]);
}

#[test]
fn gzip_of_several_members_and_zstd_of_several_frames_are_read_whole() {
    let dir = folder();
    let (a, b) = (paragraph("alpha", 3000), paragraph("beta", 3000));
    let both = [a.clone(), b.clone()];
    for (name, packed) in [
        ("a.txt.gz", [gzip(format!("{a}\n\n").as_bytes()), gzip(b.as_bytes())].concat()),
        ("a.dict.dz", [gzip(format!("{a}\n\n").as_bytes()), gzip(b.as_bytes())].concat()),
        ("a.rst.zst", [zstd(format!("{a}\n\n").as_bytes()), zstd(b.as_bytes())].concat()),
    ] {
        assert_eq!(documents(&put(dir.path(), name, packed)).unwrap().0, both, "{name}");
    }
}

#[test]
fn bad_bytes_are_replaced_counted_and_reported_once_a_file() {
    let dir = folder();
    // One bad byte, a character cut short by another, one cut short by the end.
    let path = put(dir.path(), "a.txt", b"good \xFF then \xE5\xA4 and\xE5\xA4");
    let (texts, warnings) = documents(&path).unwrap();
    assert_eq!(texts, ["good \u{FFFD} then \u{FFFD} and\u{FFFD}"]);
    assert_eq!(warnings, [CorpusWarning::BadUtf8 { file: path, first: 5, count: 3 }]);

    // Far behind the first chunk, and in a packed file: the position is that of the text.
    let mut bytes = "天".repeat(100_000).into_bytes();
    bytes.extend(b"\xFF\n");
    let path = put(dir.path(), "b.txt.gz", gzip(&bytes));
    let (_, warnings) = documents(&path).unwrap();
    assert_eq!(warnings, [CorpusWarning::BadUtf8 { file: path.clone(), first: 300_000, count: 1 }]);
    assert!(warnings[0].to_string().contains("b.txt.gz") && warnings[0].to_string().contains("byte 300000"));
}

#[test]
fn nul_bytes_are_dropped_and_counted() {
    let dir = folder();
    let path = put(dir.path(), "a.txt", b"a\0b\0\0c");
    let (texts, warnings) = documents(&path).unwrap();
    assert_eq!(texts, ["abc"]);
    assert_eq!(warnings, [CorpusWarning::NulBytes { file: path, first: 1, count: 3 }]);
}

#[test]
fn characters_at_the_ends_of_chunks_are_whole() {
    let dir = folder();
    // Every offset of a three-byte character against the reader's chunks.
    for shift in 0..3 {
        let text = "x".repeat(shift) + &"天地".repeat(40_000);
        let (texts, warnings) = documents(&put(dir.path(), "a.txt", &text)).unwrap();
        assert_eq!(texts.concat(), text);
        assert!(warnings.is_empty());
    }
}

#[test]
fn a_long_document_is_split_at_white_space() {
    let dir = folder();
    let text = "some words in a row ".repeat(200_000);
    let jsonl = format!("{}\n", serde_json::json!({"text": text}));
    for path in [put(dir.path(), "a.txt", &text), put(dir.path(), "b.jsonl", jsonl)] {
        let (texts, _) = documents(&path).unwrap();
        assert!(texts.len() > 3 && texts.iter().all(|t| t.len() <= LONGEST_DOCUMENT));
        assert!(texts.iter().all(|t| t.split(' ').all(|w| ["some", "words", "in", "a", "row"].contains(&w))));
        assert_eq!(texts.join(" "), text.trim());
    }
    let text = "天".repeat(1_000_000);
    let (texts, _) = documents(&put(dir.path(), "c.txt", &text)).unwrap();
    assert!(texts.iter().all(|t| t.len() <= LONGEST_DOCUMENT));
    assert_eq!(texts.concat(), text);
}

#[test]
fn folders_are_walked_sorted_and_hidden_or_unknown_files_skipped() {
    let dir = folder();
    for name in ["b.txt", "a/z.txt", "a/b/c.md", "c.jsonl", ".hidden.txt", ".git/x.txt", "picture.png", "README"] {
        let text = if name.ends_with("jsonl") { format!("{{\"text\": \"{name}\"}}") } else { name.to_owned() };
        put(dir.path(), name, text);
    }
    let corpus = CorpusReader::open(&[dir.path().to_owned(), dir.path().join("b.txt")], None).unwrap();
    let names: Vec<String> =
        corpus.files.iter().map(|f| f.strip_prefix(dir.path()).unwrap().display().to_string()).collect();
    assert_eq!(names, ["a/b/c.md", "a/z.txt", "b.txt", "c.jsonl"]);
    assert_eq!(read(&corpus).unwrap().0, ["a/b/c.md", "a/z.txt", "b.txt", "c.jsonl"]);
}

#[cfg(unix)]
#[test]
fn a_link_to_a_folder_above_does_not_go_round_for_ever() {
    let dir = folder();
    put(dir.path(), "a/b.txt", "text");
    std::os::unix::fs::symlink(dir.path(), dir.path().join("a/up")).unwrap();
    assert_eq!(documents(dir.path()).unwrap().0, ["text"]);
}

#[test]
fn an_empty_file_in_a_folder_is_a_warning() {
    let dir = folder();
    put(dir.path(), "a.txt", "text");
    let empty = put(dir.path(), "b.txt", "");
    let blank = put(dir.path(), "c.txt", " \n\n ");
    let packed = put(dir.path(), "d.jsonl.gz", gzip(b""));
    let (texts, mut warnings) = documents(dir.path()).unwrap();
    assert_eq!(texts, ["text"]);
    warnings.sort_by_key(|w| w.to_string());
    assert_eq!(warnings, [empty, blank, packed].map(|file| CorpusWarning::EmptyFile { file }));
}

#[test]
fn rows_without_text_are_skipped_and_counted() {
    let dir = folder();
    let path = put(
        dir.path(),
        "a.jsonl",
        "{\"text\":\"a\"}\n{\"text\":null}\n{\"other\":1}\n{\"text\":\" \"}\n{\"text\":\"b\"}",
    );
    let (texts, warnings) = documents(&path).unwrap();
    assert_eq!(texts, ["a", "b"]);
    assert_eq!(warnings, [CorpusWarning::RowsWithoutText { file: path, first: 2, count: 3 }]);

    let path = dir.path().join("b.parquet");
    parquet(&path, &[Some("a"), None, Some("b")], 2);
    let (texts, warnings) = documents(&path).unwrap();
    assert_eq!(texts, ["a", "b"]);
    assert_eq!(warnings, [CorpusWarning::RowsWithoutText { file: path, first: 2, count: 1 }]);
}

#[test]
fn the_text_column_may_be_named_with_a_path() {
    let dir = folder();
    let path = put(dir.path(), "a.jsonl", "{\"meta\":{\"title\":\"one\"},\"text\":\"x\"}\n{\"meta.title\":\"two\"}\n");
    let corpus = CorpusReader::open(&[path], Some("meta.title")).unwrap();
    assert_eq!(read(&corpus).unwrap().0, ["one", "two"]);

    let path = dir.path().join("b.parquet");
    parquet(&path, &[Some("a"), Some("b")], 1);
    let corpus = CorpusReader::open(&[path], Some("meta.title")).unwrap();
    assert_eq!(read(&corpus).unwrap().0, ["title 0", "title 1"]);
}

#[test]
fn the_fingerprint_tells_files_and_options_apart() {
    let dir = folder();
    let path = put(dir.path(), "a.txt", "text");
    let open = || CorpusReader::open(std::slice::from_ref(&path), None).unwrap();
    let first = open().fingerprint().unwrap();
    assert_eq!(first, open().fingerprint().unwrap());
    let column = CorpusReader::open(std::slice::from_ref(&path), Some("text")).unwrap().fingerprint().unwrap();
    let whole = open().with_text_documents(TextDocuments::File).fingerprint().unwrap();
    let other = CorpusReader::open(&[put(dir.path(), "b.txt", "text")], None).unwrap().fingerprint().unwrap();
    std::fs::write(&path, "longer text").unwrap();
    let changed = open().fingerprint().unwrap();
    let all = std::collections::BTreeSet::from([&first, &column, &whole, &other, &changed]);
    assert_eq!(all.len(), 5);
}

#[test]
fn an_error_of_the_receiver_stops_the_reading() {
    let dir = folder();
    let corpus = CorpusReader::open(&[put(dir.path(), "a.jsonl", "{\"text\":\"a\"}\n{\"text\":\"b\"}")], None).unwrap();
    let mut calls = 0;
    let stop = corpus.for_each(
        &mut |_| {
            calls += 1;
            Err(polyseme_text::Error::NothingGiven)
        },
        &mut |_| true,
    );
    assert!(stop.is_err());
    assert_eq!(calls, 1);
}

#[test]
fn real_corpora_are_read() {
    let gcide = data().join("gcide.txt.dz");
    if !gcide.exists() {
        println!("skipped: the dictionary and the documentation are not downloaded");
        return;
    }
    let (texts, warnings) = documents(&gcide).unwrap();
    assert!(texts.iter().map(String::len).sum::<usize>() > 35_000_000);
    assert!(texts.iter().all(|t| t.len() <= LONGEST_DOCUMENT));
    // Where Python's decoder finds the first bad byte.
    assert!(matches!(warnings[..], [CorpusWarning::BadUtf8 { first: 3_641_181, .. }]), "{warnings:?}");

    let corpus = CorpusReader::open(&[data().join("linux-docs"), data().join("python-docs")], None).unwrap();
    let (texts, warnings) = read(&corpus).unwrap();
    assert!(texts.iter().map(String::len).sum::<usize>() > 25_000_000);
    assert!(warnings.iter().all(|w| matches!(w, CorpusWarning::EmptyFile { .. })), "{warnings:?}");
}
