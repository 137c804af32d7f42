//! Trains a unigram model with the `tokenizers` crate, the same every time.
//!
//! The crate's trainer is fed sorted words and run on a pool of one thread, since it adds floating
//! point numbers thread by thread. What is left of chance in it is undone afterwards: it walks a hash
//! set when it gives scores to letters that no piece covers, and leaves pieces of equal score in that
//! order.

use super::TokenizerTraining;
use super::words::Counted;
use crate::corpus::go_on;
use crate::{Error, Result};
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::time::Duration;
use tokenizers::models::unigram::{Unigram, UnigramTrainer};

/// Letters rarer than one in this many are left out: all letters kept must fit into the vocabulary.
const UNCOVERED: u64 = 10_000;
/// What the trainer adds for each further letter that no piece covers.
const STEP: f64 = 0.0001;
/// Between two questions whether to go on.
const ASKED_EVERY: Duration = Duration::from_millis(50);

pub(super) fn train(
    how: &TokenizerTraining,
    specials: &[&str],
    counted: &Counted,
    going: &mut dyn FnMut() -> bool,
) -> Result<(Value, usize)> {
    let size = how.vocab_size - specials.len();
    let words = within_alphabet(&counted.words, size / 2);
    if words.is_empty() {
        // No word whose letters are all among the most frequent ones that fit.
        let letters: BTreeSet<char> = counted.words.iter().flat_map(|(w, _)| w.chars()).collect();
        let least = specials.len() + 2 * letters.len();
        return Err(Error::VocabularyTooSmall { wanted: how.vocab_size, least, what: "the letters of the text" });
    }
    let failed = |what: String| Error::Training { what };
    let trainer = UnigramTrainer::builder()
        .show_progress(false)
        .vocab_size(u32::try_from(size).unwrap_or(u32::MAX))
        .build()
        .map_err(|e| failed(e.to_string()))?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().map_err(|e| failed(e.to_string()))?;
    let (done, wait) = mpsc::channel();
    pool.spawn(move || {
        let mut model = Unigram::default();
        // The trainer panics where a likelihood is not a number.
        let trained = catch_unwind(AssertUnwindSafe(|| trainer.do_train(words, &mut model).map_err(|e| e.to_string())));
        let _ = done.send(trained.map(|result| result.map(|_| model))); // nobody waits after a stop
    });
    // It cannot be stopped: when a stop is asked for, its thread is left to itself.
    let trained = loop {
        match wait.recv_timeout(ASKED_EVERY) {
            Ok(trained) => break trained,
            Err(mpsc::RecvTimeoutError::Timeout) => go_on(going())?,
            Err(mpsc::RecvTimeoutError::Disconnected) => return Err(failed("the unigram trainer has gone".into())),
        }
    };
    let model = trained.map_err(|_| failed("the unigram trainer stopped in the middle".into()))?.map_err(failed)?;

    let mut pieces: Vec<(String, f64)> = model.iter().cloned().collect();
    settle(&mut pieces);
    pieces.truncate(size);
    let unk = specials.iter().position(|s| *s == "<unk>").unwrap_or_default();
    let vocab: Vec<Value> = specials.iter().map(|s| json!([s, 0.0])).chain(pieces.iter().map(|p| json!(p))).collect();
    let len = vocab.len();
    Ok((json!({"type": "Unigram", "unk_id": unk, "vocab": vocab, "byte_fallback": false}), len))
}

/// Words of frequent letters only, with counts that fit the trainer.
fn within_alphabet(words: &[(String, u64)], most: usize) -> Vec<(String, u32)> {
    let mut counts: HashMap<char, u64> = HashMap::new();
    for (word, n) in words {
        for c in word.chars() {
            *counts.entry(c).or_default() += n;
        }
    }
    let total: u64 = counts.values().sum();
    let mut sorted: Vec<(u64, char)> = counts.into_iter().map(|(c, n)| (n, c)).collect();
    sorted.sort_unstable_by(|a, b| (b.0, a.1).cmp(&(a.0, b.1)));
    let mut left = total;
    let mut kept: Vec<char> = Vec::new();
    for (n, c) in sorted {
        if kept.len() == most.max(1) || left <= total / UNCOVERED {
            break;
        }
        left -= n;
        kept.push(c);
    }
    kept.sort_unstable();
    let known = |c: char| kept.binary_search(&c).is_ok();
    words
        .iter()
        .filter(|(word, _)| word.chars().all(known))
        .map(|(word, n)| (word.clone(), u32::try_from(*n).unwrap_or(u32::MAX)))
        .collect()
}

/// Undoes the hash orders of the trainer: the letters that no piece covered have the lowest scores,
/// `STEP` apart, and get them again in the order of their code points; equal scores are sorted by
/// piece.
fn settle(pieces: &mut [(String, f64)]) {
    let lowest = pieces.iter().map(|(_, s)| *s).fold(f64::INFINITY, f64::min);
    let mut slots: Vec<usize> = Vec::new();
    for k in 0..pieces.len() {
        let want = lowest + k as f64 * STEP;
        let near = |(i, (piece, score)): (usize, &(String, f64))| {
            ((score - want).abs() < STEP / 1000.0 && piece.chars().count() == 1).then_some(i)
        };
        let before = slots.len();
        slots.extend(pieces.iter().enumerate().filter_map(near));
        if slots.len() == before {
            break;
        }
    }
    let mut letters: Vec<String> = slots.iter().map(|i| pieces[*i].0.clone()).collect();
    let mut scores: Vec<f64> = slots.iter().map(|i| pieces[*i].1).collect();
    letters.sort_unstable();
    scores.sort_unstable_by(f64::total_cmp);
    for (slot, (letter, score)) in slots.into_iter().zip(letters.into_iter().zip(scores)) {
        pieces[slot] = (letter, score);
    }
    pieces.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
}
