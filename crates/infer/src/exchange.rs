//! Texts with some words exchanged for others that could stand there (Jiao et al. 2020): more rows for a student.

use crate::encoder::values;
use crate::words::words;
use crate::{Encoder, Result};
use polyseme_models::HeadKind;
use polyseme_tensor::packed::int_tensor;
use polyseme_tensor::{Stream, Tensor, TensorData};
use polyseme_text::Encoding;
use std::collections::{BTreeMap, BTreeSet};

/// Words that one may be exchanged for.
const CANDIDATES: usize = 15;

/// Words whose cosines with all others are computed at once.
const AT_ONCE: usize = 128;

/// Exchanges words that are a single piece: for what a model predicts in their place, or, where it predicts nothing,
/// for pieces whose embeddings are near theirs.
pub struct Exchange<'a> {
    encoder: &'a Encoder,
    /// Share of the words that are exchanged.
    share: f64,
    /// Pieces that are whole words of letters.
    is_word: Vec<bool>,
    /// Embeddings of length 1 where nothing is predicted. `(vocabulary, width)`
    embeddings: Option<Tensor<2>>,
    near: BTreeMap<u32, Vec<u32>>,
}

impl<'a> Exchange<'a> {
    /// By a model. `share` is how many of the words that can be exchanged are.
    pub fn new(encoder: &'a Encoder, share: f64) -> Self {
        let tokenizer = &encoder.tokenizer;
        let is_word = |id: u32| {
            let letters = |text: String| !text.trim().is_empty() && text.trim().chars().all(char::is_alphabetic);
            !tokenizer.is_special(id)
                && !tokenizer.continues_word(id)
                && tokenizer.decode(&[id], false).is_ok_and(letters)
        };
        let is_word = (0..tokenizer.vocab_size() as u32).map(is_word).collect();
        let predicts = encoder.model.head() == HeadKind::MaskedLm && tokenizer.special().mask.is_some();
        let embeddings = (!predicts).then(|| {
            let mut values = encoder.model.word_embeddings();
            let width = encoder.model.config().embedding_size;
            for row in values.chunks_exact_mut(width) {
                let length = row.iter().map(|x| x * x).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
                row.iter_mut().for_each(|x| *x /= length);
            }
            let shape = [values.len() / width, width];
            Tensor::from_data(TensorData::new(values, shape), encoder.model.device())
        });
        Self { encoder, share, is_word, embeddings, near: BTreeMap::new() }
    }

    /// Each text with some words exchanged; the same stream gives the same texts. A text without a word that can be
    /// exchanged stays as it is.
    ///
    /// # Errors
    /// A tokenizer that is not the model's.
    pub fn texts(&mut self, texts: &[String], stream: Stream) -> Result<Vec<String>> {
        let limit = self.encoder.limit();
        let alone: Vec<(String, Option<String>)> = texts.iter().map(|text| (text.clone(), None)).collect();
        let encodings = self.encoder.encode(&alone, Some(limit))?;
        let mut chosen = Vec::with_capacity(texts.len());
        for (i, (text, encoding)) in texts.iter().zip(&encodings).enumerate() {
            let stream = stream.at(i as u64);
            let words = words(text, encoding).into_iter();
            let known = words.filter(|w| w.tokens.len() == 1 && self.is_word[encoding.ids[w.tokens.start] as usize]);
            let drawn = known.enumerate().filter(|(k, _)| f64::from(stream.uniform(*k as u64)) < self.share);
            chosen.push(drawn.map(|(_, word)| word).collect::<Vec<_>>());
        }
        let places: Vec<Vec<usize>> =
            chosen.iter().map(|words| words.iter().map(|w| w.tokens.start).collect()).collect();
        let candidates = self.candidates(&encodings, &places)?;
        let mut exchanged = Vec::with_capacity(texts.len());
        for (i, text) in texts.iter().enumerate() {
            let stream = stream.at(i as u64).named("which");
            let (mut out, mut at) = (String::with_capacity(text.len()), 0);
            for (k, (word, candidates)) in chosen[i].iter().zip(&candidates[i]).enumerate() {
                let drawn = stream.below(k as u64, candidates.len().max(1) as u64) as usize;
                let Some(&id) = candidates.get(drawn) else { continue };
                out += &text[at..word.range.start];
                out += self.encoder.tokenizer.decode(&[id], false)?.trim();
                at = word.range.end;
            }
            exchanged.push(out + &text[at..]);
        }
        Ok(exchanged)
    }

    /// For each place of each text the pieces that could stand there, the likeliest first, without what stands there.
    fn candidates(&mut self, encodings: &[Encoding], places: &[Vec<usize>]) -> Result<Vec<Vec<Vec<u32>>>> {
        if self.embeddings.is_some() {
            let ids = encodings.iter().zip(places).flat_map(|(encoding, at)| at.iter().map(|&t| encoding.ids[t]));
            self.find_near(ids.collect());
            let of = |(encoding, places): (&Encoding, &Vec<usize>)| {
                places.iter().map(|&t| self.near[&encoding.ids[t]].clone()).collect()
            };
            return Ok(encodings.iter().zip(places).map(of).collect());
        }
        let mask = self.encoder.tokenizer.special().mask.expect("asked for in `new`");
        let hide = |(encoding, places): (&Encoding, &Vec<usize>)| {
            let mut hidden = encoding.clone();
            places.iter().for_each(|&t| hidden.ids[t] = mask);
            hidden
        };
        let hidden: Vec<Encoding> = encodings.iter().zip(places).map(hide).collect();
        let mut found: Vec<Vec<Vec<u32>>> = vec![Vec::new(); encodings.len()];
        self.encoder.for_each_batch(&hidden, |members, batch| {
            let rows: Vec<usize> = members
                .iter()
                .enumerate()
                .flat_map(|(i, &member)| places[member].iter().map(move |&t| batch.row(i, t)))
                .collect();
            if rows.is_empty() {
                return Ok(());
            }
            let logits = self.encoder.model.masked_lm_logits(batch, &rows); // (places, vocabulary)
            let [_, vocabulary] = logits.dims();
            let logits = values(logits);
            let mut lines = logits.chunks_exact(vocabulary);
            for &member in members {
                let of = |(&t, line): (&usize, &[f32])| self.best(line, encodings[member].ids[t]);
                found[member] = places[member].iter().zip(lines.by_ref()).map(of).collect();
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// Finds the pieces near each of these, if they are not known yet.
    fn find_near(&mut self, ids: BTreeSet<u32>) {
        let Some(all) = self.embeddings.clone() else { return };
        let ids: Vec<u32> = ids.into_iter().filter(|id| !self.near.contains_key(id)).collect();
        for ids in ids.chunks(AT_ONCE) {
            let of = all.clone().select(0, int_tensor(ids, &all.device()));
            let cosines = values(of.matmul(all.clone().transpose())); // (words, vocabulary)
            for (&id, cosines) in ids.iter().zip(cosines.chunks_exact(cosines.len() / ids.len())) {
                self.near.insert(id, self.best(cosines, id));
            }
        }
    }

    /// The best words by their scores, but for one.
    fn best(&self, scores: &[f32], without: u32) -> Vec<u32> {
        let mut ids: Vec<u32> = (0..self.is_word.len() as u32).filter(|&id| self.is_word[id as usize]).collect();
        ids.retain(|&id| id != without);
        let by_score = |a: &u32, b: &u32| scores[*b as usize].total_cmp(&scores[*a as usize]).then(a.cmp(b));
        if ids.len() > CANDIDATES {
            ids.select_nth_unstable_by(CANDIDATES, by_score);
            ids.truncate(CANDIDATES);
        }
        ids.sort_by(by_score);
        ids
    }
}
