//! Training tokenizers: the same every time, whatever the threads; small, large and odd corpora.

use crate::help::{folder, on_threads, put, sentence_corpus};
use polyseme_text::train_tokenizer::{
    TokenizerKind, TokenizerTraining, TrainingReport, train_tokenizer, train_tokenizer_with_report,
};
use polyseme_text::{CorpusReader, Error, Tokenizer};
use serde_json::Value;

const KINDS: [TokenizerKind; 3] = [TokenizerKind::WordPiece, TokenizerKind::ByteBpe, TokenizerKind::Unigram];

fn how(kind: TokenizerKind, vocab_size: usize) -> TokenizerTraining {
    TokenizerTraining { kind, vocab_size, lowercase: true, min_frequency: 1, max_length: 128, sample_bytes: 1 << 30 }
}

fn definition(tokenizer: &Tokenizer) -> Vec<u8> {
    let saved = folder();
    tokenizer.save(saved.path()).unwrap();
    std::fs::read(saved.path().join("tokenizer.json")).unwrap()
}

fn train(corpus: &CorpusReader, how: &TokenizerTraining) -> (Tokenizer, TrainingReport) {
    train_tokenizer_with_report(corpus, how, &mut |_| true).unwrap()
}

#[test]
fn training_gives_the_same_bytes_every_time_on_any_number_of_threads() {
    let dir = folder();
    let corpus = sentence_corpus(dir.path());
    for kind in KINDS {
        // Min frequency 1 and a small corpus: nearly all choices are ties.
        let all: Vec<Vec<u8>> =
            [1, 2, 5, 5].map(|threads| on_threads(threads, || definition(&train(&corpus, &how(kind, 800)).0))).to_vec();
        assert!(all.windows(2).all(|w| w[0] == w[1]), "{kind:?} differs from run to run");
    }
}

#[test]
fn special_tokens_come_first_and_settings_are_written() {
    let dir = folder();
    let corpus = sentence_corpus(dir.path());
    for (kind, first, class) in [
        (TokenizerKind::WordPiece, ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], "BertTokenizer"),
        (TokenizerKind::ByteBpe, ["<s>", "<pad>", "</s>", "<unk>", "<mask>"], "RobertaTokenizer"),
        (TokenizerKind::Unigram, ["<s>", "<pad>", "</s>", "<unk>", "<mask>"], "PreTrainedTokenizerFast"),
    ] {
        let (tokenizer, _) = train(&corpus, &TokenizerTraining { lowercase: false, ..how(kind, 600) });
        for (id, name) in first.iter().enumerate() {
            assert_eq!(tokenizer.token(id as u32).as_deref(), Some(*name), "{kind:?}");
        }
        assert_eq!(tokenizer.model_max_length(), Some(128));
        let out = folder();
        tokenizer.save(out.path()).unwrap();
        let read =
            |name: &str| -> Value { serde_json::from_slice(&std::fs::read(out.path().join(name)).unwrap()).unwrap() };
        assert_eq!(read("tokenizer_config.json")["tokenizer_class"], class);
        assert_eq!(read("special_tokens_map.json")["cls_token"], first[if class == "BertTokenizer" { 2 } else { 0 }]);
        let vocab = std::fs::read_to_string(out.path().join("vocab.txt"));
        assert_eq!(vocab.is_ok(), kind == TokenizerKind::WordPiece);
        if let Ok(vocab) = vocab {
            assert_eq!(vocab.lines().count(), tokenizer.vocab_size());
        }
    }
}

#[test]
fn the_vocabulary_is_never_larger_than_wanted_and_its_size_is_told() {
    let dir = folder();
    let corpus = sentence_corpus(dir.path());
    for kind in KINDS {
        for wanted in [300, 500, 100_000] {
            let (tokenizer, report) = train(&corpus, &how(kind, wanted));
            assert_eq!(report.vocab_size, tokenizer.vocab_size(), "{kind:?} {wanted}");
            assert_eq!(report.wanted_vocab_size, wanted);
            assert!(tokenizer.vocab_size() <= wanted, "{kind:?}: {} of {wanted}", tokenizer.vocab_size());
            assert!(tokenizer.vocab_size() > wanted.min(250), "{kind:?}: {} of {wanted}", tokenizer.vocab_size());
        }
    }
}

#[test]
fn chinese_is_learned_and_read() {
    let dir = folder();
    let text = "天地人你我他日月水火山石田土\n天下人人都爱日月山水\n".repeat(60);
    let path = put(dir.path(), "chinese.txt", text);
    let corpus = CorpusReader::open(&[path], None).unwrap();
    for (kind, size) in [(TokenizerKind::WordPiece, 40), (TokenizerKind::ByteBpe, 400), (TokenizerKind::Unigram, 60)] {
        let (tokenizer, _) = train(&corpus, &how(kind, size));
        let ids = tokenizer.encode_document("天下人都爱水").unwrap();
        assert!(!ids.is_empty() && ids.iter().all(|id| Some(*id) != tokenizer.special().unk), "{kind:?}: {ids:?}");
        let back = tokenizer.decode(&ids, true).unwrap().replace(' ', "");
        assert_eq!(back, "天下人都爱水", "{kind:?}");
    }
}

#[test]
fn a_sample_is_even_bounded_and_the_same() {
    let dir = folder();
    // Five parts with words of their own: an even sample has all of them in like measure.
    let parts = ["alpha", "beta", "gamma", "delta", "epsilon"];
    let mut lines = String::new();
    for part in parts {
        for i in 0..3000 {
            lines.push_str(&format!("{{\"text\": \"{part} {part} number{} and some more words here\"}}\n", i % 40));
        }
    }
    let corpus =
        CorpusReader::open(&[put(dir.path(), "a.jsonl.gz", crate::help::gzip(lines.as_bytes()))], None).unwrap();
    let limit = 60_000;
    let sampled = TokenizerTraining { sample_bytes: limit, ..how(TokenizerKind::WordPiece, 200) };
    let (tokenizer, report) = train(&corpus, &sampled);
    assert!(report.sampled_bytes <= limit && report.sampled_bytes > limit * 9 / 10, "{report:?}");
    assert!(report.corpus_bytes > limit * 10);
    for part in parts {
        assert!(tokenizer.id(part).is_some(), "{part} was not seen often enough");
    }
    assert_eq!(definition(&tokenizer), definition(&train(&corpus, &sampled).0));

    let (_, whole) = train(&corpus, &how(TokenizerKind::WordPiece, 200));
    assert_eq!((whole.sampled_bytes, whole.corpus_bytes), (report.corpus_bytes, report.corpus_bytes));
}

#[test]
fn rare_letters_do_not_fill_a_small_vocabulary() {
    let dir = folder();
    let mut text = "the cat sat on the mat and the dog lay under it ".repeat(2000);
    text.extend((0x4E00..0x4E00 + 500).filter_map(char::from_u32).take(3));
    let corpus = CorpusReader::open(&[put(dir.path(), "a.txt", text)], None).unwrap();
    let (tokenizer, _) = train(&corpus, &how(TokenizerKind::WordPiece, 60));
    assert!(tokenizer.id("一").is_none());
    assert!(tokenizer.id("the").is_some());
}

#[test]
fn a_stop_is_heard_while_reading_and_while_learning() {
    let dir = folder();
    let corpus = sentence_corpus(dir.path());
    for kind in KINDS {
        let answers = |most: u64| {
            let mut told = 0;
            train_tokenizer(&corpus, &how(kind, 800), &mut |_| {
                told += 1;
                told < most
            })
            .map(drop)
        };
        assert!(matches!(answers(1), Err(Error::Stopped)), "{kind:?}, while reading");
        // Told of the file's only chunk, of the file, of the words counted, then of merges.
        assert!(
            matches!(answers(4), Err(Error::Stopped)) || kind == TokenizerKind::Unigram,
            "{kind:?}, while learning"
        );
    }
}

#[test]
fn progress_reaches_the_end() {
    let dir = folder();
    let corpus = sentence_corpus(dir.path());
    let mut last = 0;
    train_tokenizer(&corpus, &how(TokenizerKind::WordPiece, 300), &mut |done| {
        last = done;
        true
    })
    .unwrap();
    assert_eq!(last, corpus.bytes());
}
