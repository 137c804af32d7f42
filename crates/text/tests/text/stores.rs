//! Building token stores: order, duplicates, reuse.

use crate::help::{fixtures, folder, on_threads, put, sentences};
use polyseme_formats::store::TokenStore;
use polyseme_text::store_builder::build_store;
use polyseme_text::{CorpusReader, Error, Tokenizer};
use std::path::Path;

fn lines(texts: &[String]) -> String {
    texts.iter().map(|t| format!("{}\n", serde_json::json!({"text": t}))).collect()
}

fn tokenizer() -> Tokenizer {
    Tokenizer::open(&fixtures().join("bert-vocab")).unwrap()
}

fn ids(store: &TokenStore) -> Vec<Vec<u32>> {
    (0..store.len())
        .map(|i| {
            let mut out = Vec::new();
            store.read_into(i, 0, store.doc_len(i), &mut out);
            out
        })
        .collect()
}

fn open(path: &Path) -> CorpusReader {
    CorpusReader::open(&[path.to_owned()], None).unwrap()
}

#[test]
fn a_store_holds_the_documents_in_order_without_special_tokens() {
    let dir = folder();
    let mut texts = sentences();
    texts.retain(|t| !t.trim().is_empty());
    let corpus = open(&put(dir.path(), "a.jsonl", lines(&texts)));
    let tokenizer = tokenizer();
    let mut seen = std::collections::BTreeSet::new();
    let want: Vec<Vec<u32>> = texts
        .iter()
        .map(|t| t.trim().to_owned())
        .filter(|t| seen.insert(t.clone()))
        .map(|t| tokenizer.encode_document(&t).unwrap())
        .filter(|ids| !ids.is_empty())
        .collect();
    let mut files = Vec::new();
    for threads in [1, 4] {
        let path = dir.path().join(format!("store-{threads}"));
        let report = on_threads(threads, || build_store(&corpus, &tokenizer, &path, &mut |_| true)).unwrap();
        assert!(!report.reused);
        let store = TokenStore::open(&path).unwrap();
        assert_eq!(ids(&store), want);
        assert_eq!(store.header(), &report.header);
        assert_eq!(report.header.tokens, want.iter().map(|d| d.len() as u64).sum::<u64>());
        assert_eq!(report.header.vocab_size, tokenizer.vocab_size() as u64);
        files.push(std::fs::read(&path).unwrap());
    }
    assert!(files[0] == files[1], "the store differs with the number of threads");
}

#[test]
fn exact_duplicates_are_dropped_over_files_and_counted() {
    let dir = folder();
    let texts: Vec<String> = ["the cat", "the dog", "the cat", " the cat ", "the Cat"].map(String::from).to_vec();
    for name in ["c/a.jsonl", "c/b.jsonl"] {
        put(dir.path(), name, lines(&texts));
    }
    let report = build_store(&open(&dir.path().join("c")), &tokenizer(), &dir.path().join("s"), &mut |_| true).unwrap();
    // "the Cat" is another text, though it has the same ids.
    assert_eq!((report.header.documents, report.header.duplicates), (3, 7));
}

#[test]
fn a_store_is_reused_only_for_the_same_corpus_and_tokenizer() {
    let dir = folder();
    let path = dir.path().join("s");
    let file = put(dir.path(), "a.jsonl", lines(&sentences()));
    let build = |tokenizer: &Tokenizer| build_store(&open(&file), tokenizer, &path, &mut |_| true).unwrap();
    let tokenizer = tokenizer();
    let first = build(&tokenizer);
    let again = build(&tokenizer);
    assert!(!first.reused && again.reused);
    assert_eq!(first.header, again.header);

    let other = Tokenizer::open(&fixtures().join("distilbert")).unwrap();
    assert!(!build(&other).reused);
    assert!(build(&other).reused);

    put(dir.path(), "a.jsonl", lines(&sentences()[1..]));
    assert!(!build(&other).reused);
    // A store that is damaged is built anew.
    std::fs::write(&path, b"not a store").unwrap();
    assert!(!build(&other).reused);
    assert!(build(&other).reused);
}

#[test]
fn an_id_takes_two_bytes() {
    let dir = folder();
    let text = "the cat sat on the mat and the dog lay under the table ".repeat(2000);
    let path = dir.path().join("s");
    let report = build_store(&open(&put(dir.path(), "a.txt", text)), &tokenizer(), &path, &mut |_| true).unwrap();
    let bytes = std::fs::metadata(&path).unwrap().len();
    assert!(bytes as f64 <= 2.1 * report.header.tokens as f64, "{bytes} bytes for {:?}", report.header);
}

#[test]
fn warnings_of_the_corpus_are_passed_on_and_nothing_is_left_half_written() {
    let dir = folder();
    let bad = put(dir.path(), "bad.txt", b"good text and \xFF a bad byte");
    let report = build_store(&open(&bad), &tokenizer(), &dir.path().join("s"), &mut |_| true).unwrap();
    assert_eq!(report.warnings.len(), 1);

    let torn = put(dir.path(), "torn.txt.gz", &crate::help::gzip("words ".repeat(90_000).as_bytes())[..300]);
    let path = dir.path().join("out").join("s");
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    assert!(build_store(&open(&torn), &tokenizer(), &path, &mut |_| true).is_err());
    let whole = put(dir.path(), "whole.txt", "words ".repeat(90_000));
    let stopped = build_store(&open(&whole), &tokenizer(), &path, &mut |_| false);
    assert!(matches!(stopped, Err(Error::Stopped)));
    assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 0);
}
