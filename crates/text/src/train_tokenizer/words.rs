//! Counts the words of a sample, as the tokenizer's own normalizer and pre-tokenizer cut them.

use super::TokenizerKind;
use crate::tokenizer::stretches::Cut;
use crate::{Error, Result};
use rayon::prelude::*;
use serde_json::Value;
use std::collections::HashMap;
use tokenizers::{
    NormalizedString, Normalizer, NormalizerWrapper, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer,
    PreTokenizerWrapper,
};

/// Words with their counts, sorted by word.
pub(super) struct Counted {
    pub words: Vec<(String, u64)>,
    /// Occurrences of words that were dropped because there were too many different ones.
    pub dropped: u64,
}

/// How many different words may be held.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    words: usize,
    bytes: usize,
}

impl Limits {
    /// Sized so that counting and training together stay well below a gigabyte; the unigram trainer
    /// needs some hundred bytes for each letter.
    pub fn of(kind: TokenizerKind) -> Self {
        match kind {
            TokenizerKind::WordPiece | TokenizerKind::ByteBpe => Self { words: 2_000_000, bytes: 48 << 20 },
            TokenizerKind::Unigram => Self { words: 500_000, bytes: 6 << 20 },
        }
    }
}

/// Cuts a text into words.
pub(super) struct Splitter {
    normalizer: Option<NormalizerWrapper>,
    pre_tokenizer: PreTokenizerWrapper,
    longest: usize,
    /// Where texts may be cut without changing their words.
    cut: Option<Cut>,
}

impl Splitter {
    pub fn new(normalizer: &Value, pre_tokenizer: &Value, kind: TokenizerKind) -> Result<Self> {
        let failed = |e: serde_json::Error| Error::Training { what: e.to_string() };
        Ok(Self {
            normalizer: serde_json::from_value(normalizer.clone()).map_err(failed)?,
            pre_tokenizer: serde_json::from_value(pre_tokenizer.clone()).map_err(failed)?,
            // Longer words teach nothing, and take the trainers' time by their square. WordPiece
            // never looks into a word of more than 100 letters.
            cut: Cut::of(&serde_json::json!({
                "normalizer": normalizer, "pre_tokenizer": pre_tokenizer,
                "model": {"type": if kind == TokenizerKind::WordPiece { "WordPiece" } else { "BPE" }},
            })),
            longest: if kind == TokenizerKind::Unigram { 64 } else { 100 },
        })
    }

    /// The different stretches of some texts with their counts, in any order: a word is normalized
    /// and split once, not each time it is met. Where texts cannot be cut, or most stretches are met
    /// only once, the texts themselves are the stretches.
    fn stretches<'a>(&self, texts: &'a [String]) -> Result<HashMap<&'a str, u64>> {
        if let Some(cut) = self.cut {
            let mut counts: HashMap<&str, u64> = HashMap::new();
            let mut met = 0;
            for text in texts {
                cut.for_each(text, &mut |range| {
                    met += 1;
                    *counts.entry(&text[range]).or_default() += 1;
                    Ok(())
                })?;
            }
            if 2 * counts.len() < met {
                return Ok(counts);
            }
        }
        let mut counts = HashMap::new();
        for text in texts {
            *counts.entry(text.as_str()).or_default() += 1;
        }
        Ok(counts)
    }

    fn words(&self, text: &str, count: &mut dyn FnMut(&str)) -> Result<()> {
        let failed =
            |e: tokenizers::Error| Error::Encode { begins: text.chars().take(40).collect(), what: e.to_string() };
        let mut normalized = NormalizedString::from(text);
        if let Some(n) = &self.normalizer {
            n.normalize(&mut normalized).map_err(failed)?;
        }
        let mut split = PreTokenizedString::from(normalized);
        self.pre_tokenizer.pre_tokenize(&mut split).map_err(failed)?;
        for (word, _, _) in split.get_splits(OffsetReferential::Original, OffsetType::None) {
            // Scripts without spaces give words as long as a sentence or a page.
            let mut rest = word;
            while let Some((at, _)) = rest.char_indices().nth(self.longest) {
                count(&rest[..at]);
                rest = &rest[at..];
            }
            if !rest.is_empty() {
                count(rest);
            }
        }
        Ok(())
    }
}

/// Counts in batches: the words of a batch are counted on all threads, then added up in order, so
/// that what is dropped does not depend on the number of threads.
pub(super) struct Counter {
    splitter: Splitter,
    limits: Limits,
    batch: Vec<String>,
    batch_bytes: usize,
    counts: HashMap<Box<str>, u64>,
    word_bytes: usize,
    dropped: u64,
}

const BATCH: usize = 16 << 20;
/// Texts (of at most 4 KiB) that one thread counts together.
const TOGETHER: usize = 256;

impl Counter {
    pub fn new(splitter: Splitter, limits: Limits) -> Self {
        Self { splitter, limits, batch: Vec::new(), batch_bytes: 0, counts: HashMap::new(), word_bytes: 0, dropped: 0 }
    }

    pub fn add(&mut self, text: &str) -> Result<()> {
        self.batch_bytes += text.len();
        self.batch.push(text.to_owned());
        if self.batch_bytes >= BATCH { self.count_batch() } else { Ok(()) }
    }

    fn count_batch(&mut self) -> Result<()> {
        let batch = std::mem::take(&mut self.batch);
        self.batch_bytes = 0;
        let splitter = &self.splitter;
        let partial: Vec<HashMap<Box<str>, u64>> = batch
            .par_chunks(TOGETHER)
            .map(|texts| {
                let mut counts: HashMap<Box<str>, u64> = HashMap::new();
                for (stretch, n) in splitter.stretches(texts)? {
                    splitter.words(stretch, &mut |word| match counts.get_mut(word) {
                        Some(total) => *total += n,
                        None => {
                            counts.insert(word.into(), n);
                        }
                    })?;
                }
                Ok(counts)
            })
            .collect::<Result<_>>()?;
        for (word, n) in partial.into_iter().flatten() {
            match self.counts.get_mut(&word) {
                Some(total) => *total += n,
                None => {
                    self.word_bytes += word.len();
                    self.counts.insert(word, n);
                }
            }
        }
        if self.counts.len() > self.limits.words || self.word_bytes > self.limits.bytes {
            self.drop_rarest();
        }
        Ok(())
    }

    /// Drops the rarest words until the table is half empty again.
    fn drop_rarest(&mut self) {
        let mut least = 1;
        while self.counts.len() > self.limits.words / 2 || self.word_bytes > self.limits.bytes / 2 {
            let (bytes, dropped) = (&mut self.word_bytes, &mut self.dropped);
            self.counts.retain(|word, n| {
                let keep = *n > least;
                if !keep {
                    *bytes -= word.len();
                    *dropped += *n;
                }
                keep
            });
            least *= 2;
        }
    }

    pub fn finish(mut self) -> Result<Counted> {
        self.count_batch()?;
        let mut words: Vec<(String, u64)> = self.counts.into_iter().map(|(w, n)| (w.into(), n)).collect();
        words.sort_unstable();
        Ok(Counted { words, dropped: self.dropped })
    }
}
