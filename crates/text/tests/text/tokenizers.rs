//! Tokenizers against the reference library's, opened, saved and opened again.

use crate::help::{data, fixtures, folder, on_threads, put, sentence_corpus, sentences};
use polyseme_text::train_tokenizer::{TokenizerKind, TokenizerTraining, train_tokenizer};
use polyseme_text::{Encoding, Tokenizer};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

fn expected() -> Value {
    serde_json::from_slice(&std::fs::read(fixtures().join("expected.json")).unwrap()).unwrap()
}

fn offsets(e: &Encoding) -> Value {
    e.offsets.iter().map(|r| json!([r.start, r.end])).collect()
}

/// Compares a tokenizer with what `transformers` said.
fn compare(name: &str, tokenizer: &Tokenizer, expected: &Value) {
    let bytes = std::fs::read(fixtures().join("sentences.json")).unwrap();
    let texts: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(json!(tokenizer.vocab_size()), expected["vocab_size"], "{name}");
    let singles: Vec<(String, Option<String>)> =
        texts["singles"].as_array().unwrap().iter().map(|s| (s.as_str().unwrap().into(), None)).collect();
    let encoded = tokenizer.encode_batch(&singles, 512).unwrap();
    for (i, want) in expected["singles"].as_array().unwrap().iter().enumerate() {
        assert_eq!(json!(encoded[i].ids), *want, "{name}: ids of {:?}", singles[i].0);
    }
    for (i, want) in expected["offsets"].as_array().unwrap().iter().enumerate() {
        assert_eq!(offsets(&encoded[i]), *want, "{name}: offsets of {:?}", singles[i].0);
        assert_eq!(json!(encoded[i].words), expected["words"][i], "{name}: words of {:?}", singles[i].0);
    }
    let all: Vec<&Vec<u32>> = encoded.iter().map(|e| &e.ids).collect();
    let digest = Sha256::digest(serde_json::to_vec(&all).unwrap());
    let digest: String = digest.iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(json!(digest), expected["sha256_of_all_ids"], "{name}: some id of {} texts", all.len());

    let max_len = texts["max_len"].as_u64().unwrap() as usize;
    for (pair, want) in texts["pairs"].as_array().unwrap().iter().zip(expected["pairs"].as_array().unwrap()) {
        let e = tokenizer.encode(pair[0].as_str().unwrap(), pair[1].as_str(), max_len).unwrap();
        assert!(e.ids.len() <= max_len);
        assert_eq!(json!(e.ids), want["ids"], "{name}: {pair}");
        assert_eq!(json!(e.type_ids), want["type_ids"], "{name}: {pair}");
    }
}

#[test]
fn folders_of_the_reference_library_give_its_ids() {
    let expected = expected();
    for name in
        ["albert", "bert-vocab", "bert-cased", "distilbert", "electra", "roberta-merges", "roberta-json", "unigram"]
    {
        let tokenizer = Tokenizer::open(&fixtures().join(name)).unwrap();
        compare(name, &tokenizer, &expected["tokenizers"][name]);
        // What we save, we read again; the script checks that the reference reads it, too.
        let saved = folder();
        tokenizer.save(saved.path()).unwrap();
        let again = Tokenizer::open(saved.path()).unwrap();
        compare(name, &again, &expected["tokenizers"][name]);
        assert_eq!(tokenizer.hash(), again.hash(), "{name}");
        assert_eq!(tokenizer.special(), again.special(), "{name}");
    }
}

#[test]
fn trained_tokenizers_give_the_ids_the_reference_library_read_from_them() {
    let expected = expected();
    let scratch = folder();
    let corpus = sentence_corpus(scratch.path());
    for (kind, name, size) in [
        (TokenizerKind::WordPiece, "word-piece", 900),
        (TokenizerKind::ByteBpe, "byte-bpe", 700),
        (TokenizerKind::Unigram, "unigram", 700),
    ] {
        for (lowercase, ending) in [(false, ""), (true, "-lowercase")] {
            let how = TokenizerTraining {
                kind,
                vocab_size: size,
                lowercase,
                min_frequency: 2,
                max_length: 512,
                sample_bytes: 1 << 30,
            };
            let tokenizer = train_tokenizer(&corpus, &how, &mut |_| true).unwrap();
            let name = format!("trained-{name}{ending}");
            compare(&name, &tokenizer, &expected["tokenizers"][&name]);
        }
    }
}

#[test]
fn a_real_tokenizer_gives_the_reference_ids() {
    let folder = data().join("all-MiniLM-L6-v2");
    if !folder.exists() {
        println!("skipped: all-MiniLM-L6-v2 is not downloaded");
        return;
    }
    let tokenizer = Tokenizer::open(&folder).unwrap();
    assert_eq!(tokenizer.model_max_length(), Some(512));
    compare("all-MiniLM-L6-v2", &tokenizer, &expected()["tokenizers"]["all-MiniLM-L6-v2"]);
}

#[test]
fn offsets_are_ranges_of_the_text() {
    for name in ["bert-vocab", "roberta-json", "roberta-merges", "unigram"] {
        let tokenizer = Tokenizer::open(&fixtures().join(name)).unwrap();
        for text in sentences() {
            let e = tokenizer.encode(&text, None, 512).unwrap();
            for (range, word) in e.offsets.iter().zip(&e.words) {
                assert!(text.get(range.clone()).is_some(), "{name}: {range:?} of {text:?}");
                assert!(word.is_some() || range.is_empty());
            }
        }
    }
}

#[test]
fn special_tokens_are_found_and_known() {
    let bert = Tokenizer::open(&fixtures().join("bert-vocab")).unwrap();
    let s = bert.special();
    assert_eq!((s.pad, s.unk, s.cls, s.sep, s.mask), (0, Some(1), 2, 3, Some(4)));
    assert_eq!(bert.token(4).as_deref(), Some("[MASK]"));
    assert_eq!(bert.id("[SEP]"), Some(3));
    let roberta = Tokenizer::open(&fixtures().join("roberta-merges")).unwrap();
    let s = roberta.special();
    assert_eq!((s.cls, s.pad, s.sep, s.unk, s.mask), (0, 1, 2, Some(3), Some(4)));
    for tokenizer in [bert, roberta] {
        assert!((0..5).all(|id| tokenizer.is_special(id)));
        assert!((5..tokenizer.vocab_size() as u32 + 9).all(|id| !tokenizer.is_special(id)));
    }
}

#[test]
fn continued_words_are_told_from_new_ones() {
    for (name, whole, part) in [("bert-vocab", "the", "##s"), ("roberta-merges", "Ġthe", "s"), ("unigram", "▁the", "s")]
    {
        let tokenizer = Tokenizer::open(&fixtures().join(name)).unwrap();
        let id = |t: &str| tokenizer.id(t).unwrap_or_else(|| panic!("{name} has no {t}"));
        assert!(!tokenizer.continues_word(id(whole)), "{name}");
        assert!(tokenizer.continues_word(id(part)), "{name}");
        assert!(!tokenizer.continues_word(tokenizer.special().cls), "{name}");
        assert!(!tokenizer.continues_word(u32::MAX), "{name}");
    }
}

#[test]
fn special_tokens_in_a_document_are_plain_text() {
    for (name, text) in [("bert-vocab", "the [MASK] and [SEP] sat"), ("roberta-merges", "the <mask> and </s> sat")] {
        let tokenizer = Tokenizer::open(&fixtures().join(name)).unwrap();
        let document = tokenizer.encode_document(text).unwrap();
        assert!(document.iter().all(|id| !tokenizer.is_special(*id)), "{name}: {document:?}");
        let asked = tokenizer.encode(text, None, 64).unwrap().ids;
        assert_eq!(asked.iter().filter(|id| Some(**id) == tokenizer.special().mask).count(), 1, "{name}");
    }
}

#[test]
fn a_document_has_the_ids_of_its_text_without_special_tokens() {
    let tokenizer = Tokenizer::open(&fixtures().join("bert-vocab")).unwrap();
    for text in sentences().iter().filter(|s| !s.contains(['[', '<'])) {
        let ids = tokenizer.encode(text, None, 512).unwrap().ids;
        assert_eq!(tokenizer.encode_document(text).unwrap(), ids[1..ids.len() - 1]);
    }
}

#[test]
fn truncation_keeps_special_tokens_and_counts() {
    let tokenizer = Tokenizer::open(&fixtures().join("bert-vocab")).unwrap();
    let long = "the cat ".repeat(50);
    let whole = tokenizer.encode(&long, None, 512).unwrap();
    assert_eq!(whole.truncated, 0);
    let cut = tokenizer.encode(&long, None, 10).unwrap();
    assert_eq!(cut.ids.len(), 10);
    assert_eq!(cut.ids[..9], whole.ids[..9]);
    assert_eq!(cut.ids[9], tokenizer.special().sep);
    assert_eq!(cut.truncated, whole.ids.len() - 10);

    let pair = tokenizer.encode("the cat", Some(&long), 20).unwrap();
    let seps = pair.ids.iter().filter(|id| **id == tokenizer.special().sep).count();
    assert_eq!((pair.ids.len(), seps), (20, 2));
    assert_eq!(pair.type_ids.iter().filter(|t| **t == 0).count(), 4, "the shorter text is whole");
}

#[test]
fn a_batch_is_its_texts_one_by_one_on_any_number_of_threads() {
    let tokenizer = Tokenizer::open(&fixtures().join("roberta-json")).unwrap();
    let texts: Vec<(String, Option<String>)> = sentences().into_iter().map(|s| (s, None)).collect();
    let alone: Vec<Encoding> = texts.iter().map(|(t, _)| tokenizer.encode(t, None, 64).unwrap()).collect();
    for threads in [1, 4] {
        assert_eq!(on_threads(threads, || tokenizer.encode_batch(&texts, 64).unwrap()), alone);
    }
}

#[test]
fn a_long_text_is_encoded_as_if_whole() {
    for name in ["bert-vocab", "roberta-merges", "unigram"] {
        let tokenizer = Tokenizer::open(&fixtures().join(name)).unwrap();
        let sentence = "the cat sat on the mat and the dog lay 天 under it";
        let one = tokenizer.encode_document(&format!("{sentence} {sentence}")).unwrap();
        let once = tokenizer.encode_document(sentence).unwrap();
        let again = &one[once.len()..];
        let count = 20_000;
        let long = vec![sentence; count].join(" ");
        assert!(long.len() > 1_000_000);
        let ids = tokenizer.encode_document(&long).unwrap();
        assert_eq!(ids.len(), once.len() + (count - 1) * again.len(), "{name}");
        assert!(ids[once.len()..].chunks(again.len()).all(|c| c == again), "{name}");

        let e = tokenizer.encode(&long, None, usize::MAX).unwrap();
        assert_eq!(e.ids[1..e.ids.len() - 1], ids, "{name}");
        let last = e.offsets[e.offsets.len() - 2].clone();
        // The reference counts the space to the piece where the space is part of it.
        assert_eq!(long[last].trim_start(), "it", "{name}");
        let words: Vec<u32> = e.words.iter().flatten().copied().collect();
        assert!(words.is_sorted() && words.iter().all(|w| (*w as usize) < words.len()), "{name}");
    }
}

#[test]
fn decoding_gives_the_text_back() {
    let tokenizer = Tokenizer::open(&fixtures().join("roberta-merges")).unwrap();
    for text in sentences().iter().filter(|s| !s.contains('<')) {
        let ids = tokenizer.encode(text, None, 512).unwrap().ids;
        assert_eq!(tokenizer.decode(&ids, true).unwrap(), *text);
    }
    let bert = Tokenizer::open(&fixtures().join("bert-vocab")).unwrap();
    assert_eq!(bert.decode(&bert.encode("the cat", None, 9).unwrap().ids, false).unwrap(), "[CLS] the cat [SEP]");
}

#[test]
fn files_that_came_with_a_tokenizer_are_kept() {
    let saved = folder();
    let from = fixtures().join("electra");
    Tokenizer::open(&from).unwrap().save(saved.path()).unwrap();
    for name in ["tokenizer.json", "tokenizer_config.json"] {
        assert_eq!(std::fs::read(from.join(name)).unwrap(), std::fs::read(saved.path().join(name)).unwrap(), "{name}");
    }
    let config: Value =
        serde_json::from_slice(&std::fs::read(saved.path().join("tokenizer_config.json")).unwrap()).unwrap();
    assert_eq!(config["a_key_nobody_knows"], json!([1, 2]));
    // What was missing is made.
    let vocab = std::fs::read_to_string(saved.path().join("vocab.txt")).unwrap();
    assert_eq!(vocab.lines().next(), Some("[PAD]"));
    assert!(saved.path().join("special_tokens_map.json").exists());
}

#[test]
fn tokens_added_after_a_vocabulary_file_have_ids_behind_it() {
    let dir = folder();
    put(dir.path(), "vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n");
    put(dir.path(), "added_tokens.json", r#"{"newword": 6, "far": 99}"#);
    let tokenizer = Tokenizer::open(dir.path()).unwrap();
    assert_eq!((tokenizer.vocab_size(), tokenizer.id("newword"), tokenizer.id("far")), (7, Some(6), None));
}

#[test]
fn special_tokens_may_be_named_by_objects_and_unusual_names() {
    let dir = folder();
    put(dir.path(), "vocab.txt", "<nil>\n[UNK]\nBEGIN\nEND\na\n");
    put(
        dir.path(),
        "special_tokens_map.json",
        r#"{"pad_token": {"content": "<nil>", "lstrip": false}, "cls_token": "BEGIN", "sep_token": "END"}"#,
    );
    let tokenizer = Tokenizer::open(dir.path()).unwrap();
    let s = tokenizer.special();
    assert_eq!((s.pad, s.cls, s.sep, s.mask), (0, 2, 3, None));
    assert_eq!(tokenizer.encode("a", Some("a"), 9).unwrap().ids, [2, 4, 3, 4, 3]);
}

#[test]
fn a_tokenizer_without_a_post_processor_gets_the_usual_layout() {
    for (name, specials) in [("electra", 3), ("unigram", 4)] {
        let dir = folder();
        let bytes = std::fs::read(fixtures().join(name).join("tokenizer.json")).unwrap();
        let mut definition: Value = serde_json::from_slice(&bytes).unwrap();
        definition["post_processor"] = Value::Null;
        put(dir.path(), "tokenizer.json", definition.to_string());
        let tokenizer = Tokenizer::open(dir.path()).unwrap();
        let (cls, sep) = (tokenizer.special().cls, tokenizer.special().sep);
        let one = tokenizer.encode("a", None, 9).unwrap().ids;
        assert_eq!((one[0], one[one.len() - 1]), (cls, sep), "{name}");
        let pair = tokenizer.encode("a", Some("a"), 99).unwrap().ids;
        assert_eq!(pair.len(), 2 * (one.len() - 2) + specials, "{name}");
    }
}

#[test]
fn a_sensible_length_is_told() {
    assert_eq!(Tokenizer::open(&fixtures().join("bert-cased")).unwrap().model_max_length(), Some(77));
    assert_eq!(Tokenizer::open(&fixtures().join("roberta-merges")).unwrap().model_max_length(), None);
}
