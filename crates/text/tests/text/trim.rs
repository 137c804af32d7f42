//! Tokenizers without pieces that nobody uses: exact on what is kept, and nothing dropped that is needed.

use crate::help::{folder, sentence_corpus};
use polyseme_text::train_tokenizer::{TokenizerKind, TokenizerTraining, train_tokenizer};
use polyseme_text::{Keep, Tokenizer, Trimmed, piece_counts};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tokenizers").join(name)
}

/// Numbers that look random and are always the same.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((self.0 >> 33) as usize) % n
    }
}

/// All fixtures, and tokenizers of each kind trained on the sentences.
fn tokenizers() -> Vec<(String, Tokenizer)> {
    let fixtures =
        ["albert", "bert-cased", "bert-vocab", "distilbert", "electra", "roberta-json", "roberta-merges", "unigram"];
    let mut all: Vec<_> =
        fixtures.iter().map(|name| ((*name).to_owned(), Tokenizer::open(&fixture(name)).unwrap())).collect();
    let dir = folder();
    let corpus = sentence_corpus(dir.path());
    for kind in [TokenizerKind::WordPiece, TokenizerKind::ByteBpe, TokenizerKind::Unigram] {
        let how = TokenizerTraining {
            kind,
            vocab_size: 900,
            lowercase: true,
            min_frequency: 1,
            max_length: 128,
            sample_bytes: 1 << 30,
        };
        all.push((format!("{kind:?}"), train_tokenizer(&corpus, &how, &mut |_| true).unwrap()));
    }
    all
}

/// Words of the sentences, and pieces of words.
fn words() -> Vec<String> {
    let text = std::fs::read_to_string(fixture("sentences.json")).unwrap();
    let sentences: serde_json::Value = serde_json::from_str(&text).unwrap();
    let singles = sentences["singles"].as_array().unwrap().iter().filter_map(|s| s.as_str());
    singles.flat_map(str::split_whitespace).map(str::to_owned).collect()
}

fn trim(tokenizer: &Tokenizer, wanted: &BTreeSet<u32>) -> Trimmed {
    let keep = Keep { wanted: &|id| wanted.contains(&id), characters: false, first: 0 };
    tokenizer.trim(Path::new("here"), &keep).unwrap()
}

#[test]
fn a_text_of_kept_pieces_is_cut_as_before() {
    let words = words();
    for (name, tokenizer) in tokenizers() {
        let mut dice = Dice(3);
        let (mut same, mut other) = (0, 0);
        for round in 1..20 {
            let wanted: BTreeSet<u32> = (0..12 * round)
                .flat_map(|_| tokenizer.encode_document(&words[dice.roll(words.len())]).unwrap())
                .collect();
            let trimmed = trim(&tokenizer, &wanted);
            assert!(wanted.iter().all(|id| trimmed.kept.contains(id)), "{name}");
            for _ in 0..400 {
                // Words cut anywhere, so that pieces meet that never met.
                let text: String = (0..1 + dice.roll(4))
                    .map(|_| {
                        let word: Vec<char> = words[dice.roll(words.len())].chars().collect();
                        let from = dice.roll(word.len());
                        let part = word[from..from + 1 + dice.roll(word.len() - from)].iter().collect::<String>();
                        part + ["", " ", "  "][dice.roll(3)]
                    })
                    .collect();
                let before = tokenizer.encode_document(&text).unwrap();
                if before.iter().all(|id| trimmed.kept.binary_search(id).is_ok()) {
                    let after = trimmed.tokenizer.encode_document(&text).unwrap();
                    let after: Vec<u32> = after.iter().map(|&id| trimmed.kept[id as usize]).collect();
                    assert_eq!(after, before, "{name}: {text:?}");
                    same += 1;
                } else {
                    other += 1;
                }
            }
        }
        assert!(same > 300 && other > 300, "{name}: {same} texts of kept pieces, {other} others");
    }
}

#[test]
fn special_tokens_and_what_pieces_are_made_of_stay() {
    for (name, tokenizer) in tokenizers() {
        let wanted: BTreeSet<u32> = tokenizer.encode_document("meaning").unwrap().into_iter().collect();
        let trimmed = trim(&tokenizer, &wanted);
        let smaller = &trimmed.tokenizer;
        assert!(smaller.vocab_size() < tokenizer.vocab_size(), "{name}");
        assert_eq!(smaller.vocab_size(), trimmed.kept.len(), "{name}");
        assert!(trimmed.kept.windows(2).all(|pair| pair[0] < pair[1]), "{name}");
        let tokens = |of: &Tokenizer| {
            let special = of.special();
            let ids = [Some(special.pad), special.unk, Some(special.cls), Some(special.sep), special.mask];
            ids.map(|id| id.map(|id| of.token(id).unwrap()))
        };
        assert_eq!(tokens(smaller), tokens(&tokenizer), "{name}");
        // Its letters stay, in whatever order they come.
        for text in ["gninaem", "a", "m e a n"] {
            let ids = smaller.encode_document(text).unwrap();
            assert!(!ids.iter().any(|id| Some(*id) == smaller.special().unk), "{name}: {text:?}");
            assert_eq!(
                smaller.decode(&ids, true).unwrap(),
                tokenizer.decode(&tokenizer.encode_document(text).unwrap(), true).unwrap()
            );
        }
        // Pairs stand between the same special tokens.
        let old = tokenizer.encode("meaning", Some("meaning"), 64).unwrap();
        let new = smaller.encode("meaning", Some("meaning"), 64).unwrap();
        assert_eq!(new.ids.iter().map(|&id| trimmed.kept[id as usize]).collect::<Vec<_>>(), old.ids, "{name}");
        assert_eq!((&new.type_ids, &new.offsets), (&old.type_ids, &old.offsets), "{name}");
    }
}

#[test]
fn a_smaller_tokenizer_is_read_back_as_it_was_and_can_be_cut_again() {
    for (name, tokenizer) in tokenizers() {
        let all: BTreeSet<u32> = (0..tokenizer.vocab_size() as u32).filter(|id| id % 3 != 1).collect();
        let trimmed = trim(&tokenizer, &all);
        let out = folder();
        trimmed.tokenizer.save(out.path()).unwrap();
        let again = Tokenizer::open(out.path()).unwrap();
        assert_eq!(again.hash(), trimmed.tokenizer.hash(), "{name}");
        assert_eq!(
            out.path().join("vocab.txt").exists(),
            !name.contains("rob") && again.token(0) == Some("[PAD]".into()),
            "{name}"
        );
        let everything: BTreeSet<u32> = (0..again.vocab_size() as u32).collect();
        let same = trim(&again, &everything);
        assert_eq!(same.tokenizer.hash(), again.hash(), "{name}");
        assert_eq!(same.kept.len(), again.vocab_size(), "{name}");
    }
}

#[test]
fn first_ids_and_single_characters_stay_where_it_is_asked() {
    let tokenizer = Tokenizer::open(&fixture("bert-vocab")).unwrap();
    let keep = Keep { wanted: &|_| false, characters: true, first: 9 };
    let trimmed = tokenizer.trim(Path::new("here"), &keep).unwrap();
    assert_eq!(trimmed.kept[..9], [0, 1, 2, 3, 4, 5, 6, 7, 8]);
    for id in 0..tokenizer.vocab_size() as u32 {
        let token = tokenizer.token(id).unwrap();
        if token.trim_start_matches("##").chars().count() == 1 {
            assert!(trimmed.kept.contains(&id), "{token}");
        }
    }
}

#[test]
fn pieces_are_counted_as_documents_are_cut() {
    let dir = folder();
    let corpus = sentence_corpus(dir.path());
    let tokenizer = Tokenizer::open(&fixture("electra")).unwrap();
    let found = piece_counts::count(&corpus, &tokenizer, 3, &mut |_| true).unwrap();
    let mut expected = vec![0; tokenizer.vocab_size()];
    let (mut documents, mut first) = (0, Vec::new());
    let mut see = |text: String| {
        tokenizer.encode_document(&text).unwrap().iter().for_each(|&id| expected[id as usize] += 1);
        documents += 1;
        first.push(text);
    };
    corpus
        .for_each(
            &mut |document| {
                see(document.text);
                Ok(())
            },
            &mut |_| true,
        )
        .unwrap();
    assert_eq!((found.counts, found.documents), (expected, documents));
    assert_eq!(found.first, first[..3]);
}
