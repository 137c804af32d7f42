//! Every way in which input can be wrong: its own variant, a message that names the place, a hint.

use crate::help::{documents, fixtures, folder, gzip, parquet, put, zstd};
use polyseme_formats::Fault;
use polyseme_text::store_builder::build_store;
use polyseme_text::table::TextRows;
use polyseme_text::train_tokenizer::{TokenizerKind, TokenizerTraining, train_tokenizer};
use polyseme_text::{CorpusReader, Error, Table, Tokenizer};
use serde_json::{Value, json};
use std::path::Path;

/// Checks variant, words of the message and of the hint, and that it is the input's fault.
macro_rules! wrong {
    ($result:expr, $variant:pat, [$($word:expr),*], $hint:expr) => {{
        let error = $result.err().expect("an error");
        assert!(matches!(error, $variant), "another variant: {error:?}");
        let message = error.to_string();
        $(assert!(message.contains($word), "{message:?} does not say {:?}", $word);)*
        let hint = error.hint().unwrap_or_default();
        assert!(hint.contains($hint), "hint {hint:?} does not say {:?}", $hint);
        assert_eq!(error.fault(), Fault::Input, "{error}");
    }};
}

fn open(path: &Path) -> polyseme_text::Result<CorpusReader> {
    CorpusReader::open(&[path.to_owned()], None)
}

#[test]
fn files_of_a_corpus() {
    let dir = folder();
    wrong!(CorpusReader::open(&[], None), Error::NothingGiven, ["no file"], "name one");
    wrong!(open(&dir.path().join("no.txt")), Error::NotFound { .. }, ["no.txt"], "spelling");
    wrong!(open(&put(dir.path(), "e.txt", "")), Error::EmptyFile { .. }, ["e.txt", "empty"], "leave it out");
    wrong!(open(&put(dir.path(), "a.pdf", "x")), Error::UnknownExtension { .. }, ["a.pdf", "`.pdf`"], ".jsonl");
    wrong!(open(&put(dir.path(), "a.parquet.gz", "x")), Error::UnknownExtension { .. }, [".parquet.gz"], "rename");
    wrong!(open(&put(dir.path(), "a.json", "[]")), Error::UnknownExtension { .. }, [".json"], "jq -c");
    wrong!(open(&put(dir.path(), "README", "x")), Error::UnknownExtension { .. }, ["README"], ".txt");
    let empty = dir.path().join("empty");
    put(&empty, "picture.png", "x");
    wrong!(open(&empty), Error::EmptyFolder { files: 1, .. }, ["empty", "1 other"], ".parquet");
}

#[cfg(unix)]
#[test]
fn files_that_may_not_be_read() {
    use std::os::unix::fs::PermissionsExt;
    let dir = folder();
    let path = put(dir.path(), "secret.txt", "text");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).unwrap();
    if std::fs::read(&path).is_ok() {
        println!("skipped: this user may read everything");
        return;
    }
    wrong!(open(&path), Error::Unreadable { .. }, ["secret.txt"], "may be read");
    wrong!(open(dir.path()), Error::Unreadable { .. }, ["secret.txt"], "may be read");
}

#[test]
fn damaged_compression_names_file_and_position() {
    let dir = folder();
    let text: String = (0..60_000).map(|i| format!("word{} ", i * 7919 % 10_007)).collect();
    for (name, packed, tool) in
        [("a.txt.gz", gzip(text.as_bytes()), "gzip -t"), ("a.txt.zst", zstd(text.as_bytes()), "zstd -t")]
    {
        let torn = put(dir.path(), name, &packed[..packed.len() / 2]);
        wrong!(documents(&torn), Error::CorruptCompression { .. }, [name, "bytes of text"], tool);
        let mut flipped = packed.clone();
        let middle = flipped.len() / 2;
        flipped[middle..middle + 40].fill(0xA5);
        let flipped = put(dir.path(), name, flipped);
        wrong!(documents(&flipped), Error::CorruptCompression { .. }, [name], tool);
        let not = put(dir.path(), name, "plain text");
        wrong!(documents(&not), Error::CorruptCompression { position: 0, .. }, [name, "after 0 bytes"], tool);
    }
}

#[test]
fn damaged_parquet_names_file_and_row_group() {
    let dir = folder();
    let path = dir.path().join("a.parquet");
    let texts: Vec<String> = (0..400).map(|i| format!("text number {i} of many, with words {}", i * 7919)).collect();
    let texts: Vec<Option<&str>> = texts.iter().map(|t| Some(t.as_str())).collect();
    parquet(&path, &texts, 100);
    let good = std::fs::read(&path).unwrap();
    std::fs::write(&path, &good[..good.len() / 2]).unwrap();
    wrong!(documents(&path), Error::CorruptParquet { row_group: None, .. }, ["a.parquet", "footer"], "again");
    wrong!(Table::read(&path), Error::CorruptParquet { row_group: None, .. }, ["footer"], "again");
    // Wherever a stretch of bytes is damaged there is an error or text, never a panic.
    let mut groups = std::collections::BTreeSet::new();
    for at in (4..good.len() - 30).step_by(97) {
        let mut bad = good.clone();
        bad[at..at + 20].fill(0xEE);
        std::fs::write(&path, bad).unwrap();
        match Table::read(&path) {
            Err(Error::CorruptParquet { row_group: Some(g), .. }) => {
                groups.insert(g);
            }
            Err(Error::CorruptParquet { .. } | Error::DuplicateColumn { .. } | Error::HeaderOnly { .. }) | Ok(_) => {}
            Err(other) => panic!("{other}"),
        }
    }
    assert!(groups.len() > 1, "no row group was named: {groups:?}");
}

#[test]
fn utf16_is_told() {
    let dir = folder();
    let bytes: Vec<u8> = "\u{FEFF}text".encode_utf16().flat_map(u16::to_le_bytes).collect();
    wrong!(documents(&put(dir.path(), "a.txt", &bytes)), Error::Utf16 { .. }, ["a.txt"], "iconv");
    wrong!(Table::read(&put(dir.path(), "a.csv", &bytes)), Error::Utf16 { .. }, ["a.csv"], "iconv");
}

#[test]
fn labelled_tables() {
    let dir = folder();
    let table = |name: &str, bytes: &[u8]| Table::read(&put(dir.path(), name, bytes));
    wrong!(table("a.csv", b""), Error::EmptyFile { .. }, ["a.csv"], "leave it out");
    wrong!(table("a.csv", b"\n\n"), Error::EmptyFile { .. }, ["a.csv"], "leave it out");
    wrong!(table("a.jsonl", b" \n\n"), Error::EmptyFile { .. }, ["a.jsonl"], "leave it out");
    wrong!(table("a.csv", b"text,label\n"), Error::HeaderOnly { .. }, ["no row"], "rows below");
    wrong!(
        table("a.csv", b"text,label\na,b\na,b,c\n"),
        Error::RaggedRow { line: 3, found: 3, expected: 2, .. },
        ["line 3", "3 cells"],
        "quotes"
    );
    wrong!(table("a.tsv", b"text\tlabel\na\n"), Error::RaggedRow { line: 2, .. }, ["line 2"], "quotes");
    for open in [&b"text,label\na,\"b\nc,d\n"[..], b"text,label\na,\"b\"\"\n", b"text,label\n\"a,b\nc,d\ne,f"] {
        wrong!(table("a.csv", open), Error::UnclosedQuote { line: 2, .. }, ["line 2", "quote"], "close it");
    }
    wrong!(table("a.csv", b"\"text,label\na,b\n"), Error::UnclosedQuote { line: 1, .. }, ["line 1"], "close it");
    wrong!(table("a.csv", b"text,text\na,b\n"), Error::DuplicateColumn { .. }, ["`text`"], "name of its own");
    wrong!(
        table("a.jsonl", b"{\"a\":1}\n{\"a\":}\n"),
        Error::BadJsonLine { line: 2, .. },
        ["line 2", "not valid JSON"],
        "JSON lines"
    );
    wrong!(table("a.jsonl", b"[1,2]\n"), Error::NotAnObject { line: 1, .. }, ["line 1", "a list"], "jq -c");
    for (json, found) in [("\"a\"", "a string"), ("1", "a number"), ("true", "true or false"), ("null", "null")] {
        wrong!(table("a.jsonl", json.as_bytes()), Error::NotAnObject { .. }, [found], "jq -c");
    }
    wrong!(table("a.csv", b"text,label\na,b\n\xFFc,d\n"), Error::NotUtf8 { line: 3, .. }, ["line 3", "UTF-8"], "iconv");
    wrong!(table("a.jsonl", b"{\"a\":1}\n{\"a\":\"\xE5\"}"), Error::NotUtf8 { line: 2, .. }, ["line 2"], "iconv");
    wrong!(table("a.csv", b"text,label\na\0,b\n"), Error::NulByte { line: 2, .. }, ["line 2", "NUL"], "tr -d");
    wrong!(table("a.txt", b"text"), Error::UnknownExtension { .. }, ["a.txt", ".txt"], ".csv");
    wrong!(table("a.xlsx", b"text"), Error::UnknownExtension { .. }, [".xlsx"], ".csv");
    wrong!(Table::read(dir.path()), Error::IsFolder { .. }, ["is a folder"], "name one file");
    wrong!(Table::read(&dir.path().join("no.csv")), Error::NotFound { .. }, ["no.csv"], "spelling");
    std::fs::create_dir(dir.path().join("folder.csv")).unwrap();
    wrong!(Table::read(&dir.path().join("folder.csv")), Error::IsFolder { .. }, ["folder.csv"], "name one file");
}

#[test]
fn missing_columns_are_named_with_the_nearest() {
    let dir = folder();
    let path = put(dir.path(), "a.csv", "sentence,label\na,b\n");
    let table = Table::read(&path).unwrap();
    wrong!(
        table.column("lable"),
        Error::MissingColumn { .. },
        ["`lable`", "`sentence` and `label`"],
        "did you mean `label`"
    );
    wrong!(table.column("zzz"), Error::MissingColumn { nearest: None, .. }, ["`zzz`"], "name one");
    let other = Table::read(&put(dir.path(), "b.csv", "p,q\na,b\n")).unwrap();
    wrong!(other.guess_text(None), Error::NoTextColumn { .. }, ["`p` and `q`", "text"], "text column");
    wrong!(other.guess_label(), Error::NoLabelColumn { .. }, ["`p` and `q`", "label"], "label column");
    let many = (0..30).map(|i| format!("c{i}")).collect::<Vec<_>>().join(",");
    let many = Table::read(&put(dir.path(), "c.csv", format!("{many}\n{many}\n"))).unwrap();
    wrong!(many.guess_label(), Error::NoLabelColumn { .. }, ["`c0`, `c1`", "and 10 more"], "label column");
}

#[test]
fn columns_of_corpora_and_streams() {
    let dir = folder();
    let csv = put(dir.path(), "a.csv", "p,q\na,b\n");
    wrong!(documents(&csv), Error::NoTextColumn { .. }, ["a.csv", "`p` and `q`"], "text column");
    let named = CorpusReader::open(std::slice::from_ref(&csv), Some("text")).unwrap();
    wrong!(crate::help::read(&named), Error::MissingColumn { .. }, ["`text`"], "name one");
    let jsonl = put(dir.path(), "a.jsonl", "{\"txet\":\"a\"}\n");
    wrong!(
        TextRows::open(Some(&jsonl), Some("text"), None),
        Error::MissingColumn { .. },
        ["`txet`"],
        "did you mean `txet`"
    );
    wrong!(TextRows::open(Some(&csv), Some("p"), Some("z")), Error::MissingColumn { .. }, ["`z`"], "");
    wrong!(TextRows::open(Some(&csv), None, None), Error::NoTextColumn { .. }, ["a.csv"], "text column");
    let text = put(dir.path(), "a.txt", "a\n");
    wrong!(TextRows::open(Some(&text), None, Some("q")), Error::MissingColumn { .. }, ["`q`", "none"], "give a table");
    wrong!(TextRows::open(None, Some("p"), None), Error::MissingColumn { .. }, ["input", "`p`"], "give a table");
    wrong!(TextRows::open(Some(dir.path()), None, None), Error::IsFolder { .. }, [""], "name one");
    wrong!(TextRows::open(Some(&put(dir.path(), "e.txt", "")), None, None), Error::EmptyFile { .. }, ["e.txt"], "");
    let some = put(dir.path(), "b.jsonl", "{\"text\":\"a\"}\n{\"txt\":\"b\"}\n");
    let mut rows = TextRows::open(Some(&some), None, None).unwrap();
    wrong!(rows.next_batch(9), Error::MissingKey { line: 2, .. }, ["line 2", "`text`", "`txt`"], "may be null");
}

fn how(kind: TokenizerKind, vocab_size: usize) -> TokenizerTraining {
    TokenizerTraining { kind, vocab_size, lowercase: false, min_frequency: 1, max_length: 128, sample_bytes: 1 << 20 }
}

#[test]
fn corpora_without_text_and_vocabularies_without_room() {
    let dir = folder();
    let blank = open(&put(dir.path(), "blank.txt", "\n  \n")).unwrap();
    for kind in [TokenizerKind::WordPiece, TokenizerKind::ByteBpe, TokenizerKind::Unigram] {
        wrong!(
            train_tokenizer(&blank, &how(kind, 900), &mut |_| true),
            Error::EmptyCorpus { files: 1 },
            ["1 files", "empty"],
            "hold text"
        );
    }
    let tokenizer = Tokenizer::open(&fixtures().join("bert-vocab")).unwrap();
    let store = dir.path().join("store");
    wrong!(
        build_store(&blank, &tokenizer, &store, &mut |_| true),
        Error::EmptyCorpus { files: 1 },
        ["no document"],
        "hold text"
    );
    assert!(!store.exists());
    let text = open(&put(dir.path(), "a.txt", "some text")).unwrap();
    wrong!(
        train_tokenizer(&text, &how(TokenizerKind::WordPiece, 5), &mut |_| true),
        Error::VocabularyTooSmall { least: 6, .. },
        ["5 is too small", "6"],
        "8000"
    );
    wrong!(
        train_tokenizer(&text, &how(TokenizerKind::ByteBpe, 200), &mut |_| true),
        Error::VocabularyTooSmall { least: 261, .. },
        ["256 bytes"],
        "261"
    );
    let letters = open(&put(dir.path(), "b.txt", "abcdefgh")).unwrap();
    wrong!(
        train_tokenizer(&letters, &how(TokenizerKind::Unigram, 7), &mut |_| true),
        Error::VocabularyTooSmall { .. },
        ["the letters of the text"],
        "8000"
    );
}

/// A tokenizer folder of one file.
fn tokenizer(name: &str, bytes: impl AsRef<[u8]>) -> polyseme_text::Result<Tokenizer> {
    let dir = folder();
    put(dir.path(), name, bytes);
    Tokenizer::open(dir.path())
}

fn definition() -> Value {
    serde_json::from_slice(&std::fs::read(fixtures().join("electra/tokenizer.json")).unwrap()).unwrap()
}

#[test]
fn tokenizer_folders() {
    let dir = folder();
    wrong!(Tokenizer::open(dir.path()), Error::NoTokenizer { .. }, ["tokenizer.json", "vocab.txt"], "copy");
    wrong!(Tokenizer::open(&dir.path().join("no")), Error::NotFound { .. }, ["no"], "spelling");
    wrong!(tokenizer("tokenizer.json", "{"), Error::BadTokenizer { .. }, ["tokenizer.json"], "again");
    wrong!(tokenizer("tokenizer.json", "[]"), Error::BadTokenizer { .. }, ["no `model`"], "again");
    let mut torn = definition();
    torn["model"]["vocab"] = json!("nothing");
    wrong!(tokenizer("tokenizer.json", torn.to_string()), Error::BadTokenizer { .. }, ["tokenizer.json"], "again");
    let mut lying = definition();
    lying["model"]["vocab"]["far"] = json!(4_000_000_000_u32);
    wrong!(tokenizer("tokenizer.json", lying.to_string()), Error::BadTokenizer { .. }, ["4000000000"], "again");
    let mut alien = definition();
    alien["model"]["type"] = json!("Mystery");
    wrong!(
        tokenizer("tokenizer.json", alien.to_string()),
        Error::UnsupportedTokenizer { .. },
        ["model.type", "`Mystery`"],
        "transformers"
    );
    wrong!(tokenizer("vocab.txt", ""), Error::EmptyFile { .. }, ["vocab.txt"], "");
    wrong!(
        tokenizer("vocab.txt", b"[PAD]\n\xFF\n"),
        Error::BadVocabulary { line: 2, .. },
        ["line 2", "UTF-8"],
        "again"
    );
    wrong!(tokenizer("vocab.txt", "[PAD]\na\n"), Error::BadVocabulary { .. }, ["[UNK]"], "again");
    wrong!(
        tokenizer("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n"),
        Error::NoSpecialToken { role: "sep", .. },
        ["no sep token", "sep_token of special_tokens_map.json (not there)", "[SEP] and </s> in the vocabulary"],
        "\"sep_token\""
    );
}

#[test]
fn tokenizer_settings() {
    let dir = folder();
    put(dir.path(), "vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n");
    let with = |name: &str, text: &str| {
        put(dir.path(), name, text);
        let result = Tokenizer::open(dir.path());
        std::fs::remove_file(dir.path().join(name)).unwrap();
        result
    };
    wrong!(with("tokenizer_config.json", "[1]"), Error::BadTokenizerConfig { .. }, ["tokenizer_config.json"], "again");
    wrong!(
        with("special_tokens_map.json", "{"),
        Error::BadTokenizerConfig { .. },
        ["special_tokens_map.json"],
        "again"
    );
    wrong!(
        with("tokenizer_config.json", r#"{"tokenizer_class": "BertJapaneseTokenizer"}"#),
        Error::UnsupportedTokenizer { .. },
        ["tokenizer_class", "BertJapaneseTokenizer"],
        "transformers"
    );
    wrong!(
        with("tokenizer_config.json", r#"{"do_basic_tokenize": false}"#),
        Error::UnsupportedTokenizer { .. },
        ["do_basic_tokenize"],
        "transformers"
    );
    assert!(with("tokenizer_config.json", r#"{"tokenizer_class": "ElectraTokenizerFast"}"#).is_ok());
    put(dir.path(), "vocab.txt", "[PAD]\n[UNK]\n[CLS]\nx\n");
    wrong!(
        with("special_tokens_map.json", r#"{"sep_token": "[END]"}"#),
        Error::NoSpecialToken { .. },
        ["`[END]`, not in the vocabulary"],
        "sep_token"
    );
}

#[test]
fn lengths_and_unknown_tokens() {
    let bert = Tokenizer::open(&fixtures().join("bert-vocab")).unwrap();
    wrong!(bert.encode("a", None, 2), Error::LengthTooShort { max_len: 2, least: 3 }, ["2 ids", "3"], "3 ids");
    wrong!(bert.encode("a", Some("b"), 3), Error::LengthTooShort { least: 4, .. }, ["4"], "4 ids");
    // A model without its unknown token opens, and fails on what it does not know.
    let mut bad = definition();
    bad["model"]["unk_token"] = json!("[NONE]");
    let bad = tokenizer("tokenizer.json", bad.to_string()).unwrap();
    wrong!(bad.encode("\u{1F980}\u{1F980}", None, 9), Error::Encode { .. }, ["begins with"], "unknown token");
}

#[test]
fn what_the_disk_refuses_is_not_the_inputs_fault() {
    let bert = Tokenizer::open(&fixtures().join("bert-vocab")).unwrap();
    let dir = folder();
    let file = put(dir.path(), "file", "x");
    let error = bert.save(&file.join("below")).unwrap_err();
    assert!(matches!(error, Error::Unwritable { .. }), "{error:?}");
    assert_eq!(error.fault(), Fault::System);
    assert!(error.hint().unwrap().contains("written to"));
    // Errors of the formats crate keep their own words.
    let io = polyseme_formats::Error::Io { action: "read", path: file, source: std::io::Error::other("x") };
    assert_eq!(Error::from(io).fault(), Fault::System);
    for error in [Error::Training { what: "x".into() }, Error::Decode { count: 1, what: "x".into() }] {
        assert_eq!(error.fault(), Fault::System);
        assert!(error.to_string().contains('x'));
    }
}
