//! A label for each word of a text: entities, parts of speech.

use super::rows::{LooksAt, RowBatch, Rows, hash};
use super::{Part, Task, r_drop};
use crate::analysis::{Analysis, Marked, Mistake, What, marked, rounded, worst};
use crate::distil::divergence;
use crate::error::Result;
use crate::metrics::tags::{TagMetrics, name_entities};
use crate::metrics::{Metrics, score_row};
use polyseme_infer::{TaggedSpan, joined, spans, tag_windows};
use polyseme_models::HeadKind;
use polyseme_tensor::Tensor;
use polyseme_tensor::ops::cross_entropy;
use polyseme_tensor::packed::int_tensor;
use polyseme_text::{TaggedSentence, Tokenizer};
use rayon::prelude::*;

/// A window of a sentence: which words its tokens begin, and their labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagTarget {
    /// Number of the sentence.
    sentence: usize,
    words: Vec<usize>,
    labels: Vec<usize>,
}

/// The task, with windows as rows.
pub struct Tag {
    labels: Vec<String>,
    train: Part<TagTarget>,
    valid: Part<TagTarget>,
    /// Labels of all words of the validation sentences.
    truth: Vec<Vec<usize>>,
}

impl Tag {
    /// From encoded sentences; `truth` are the labels of the validation sentences' words.
    pub fn new(labels: Vec<String>, train: Part<TagTarget>, valid: Part<TagTarget>, truth: Vec<Vec<usize>>) -> Self {
        Self { labels, train, valid, truth }
    }

    /// Labels said of the words of all validation sentences, and the sum of each sentence's losses.
    fn said(&self, kept: &[Vec<f32>]) -> (Vec<Vec<usize>>, Vec<f64>) {
        // What the tokenizer leaves nothing of is outside of everything.
        let outside = self.labels.iter().position(|l| l == "O").unwrap_or(0);
        let mut said: Vec<Vec<usize>> = self.truth.iter().map(|words| vec![outside; words.len()]).collect();
        let mut losses = vec![0.0; said.len()];
        for (target, kept) in self.valid.targets.iter().zip(kept) {
            for (&word, found) in target.words.iter().zip(kept.chunks_exact(2)) {
                said[target.sentence][word] = found[0] as usize;
                losses[target.sentence] += f64::from(found[1]);
            }
        }
        (said, losses)
    }

    fn names(&self, labels: &[usize]) -> Vec<&str> {
        labels.iter().map(|&l| self.labels[l].as_str()).collect()
    }
}

/// Entities of a sentence; where tags name none, each word whose tag is another in the `other` list.
fn found<'a>(tags: &[&'a str], other: &[&str], entities: bool) -> Vec<TaggedSpan<'a>> {
    match entities {
        true => spans(tags),
        false => {
            let wrong = (0..tags.len()).filter(|&i| tags[i] != other[i]);
            wrong.map(|i| TaggedSpan { start: i, end: i + 1, label: tags[i] }).collect()
        }
    }
}

/// A sentence with what is true and what was said in place.
fn told(words: &[String], truth: &[TaggedSpan], said: &[TaggedSpan], entities: bool) -> What {
    let (text, places) = joined(words);
    let mark = |span: &TaggedSpan| {
        let (first, last) = (places.get(span.start), places.get(span.end - 1));
        let bytes = first.map_or(0, |w| w.start)..last.map_or(0, |w| w.end);
        Marked { bytes, label: span.label.to_owned() }
    };
    let marks = |spans: &[TaggedSpan]| spans.iter().map(mark).collect::<Vec<_>>();
    let same = said.iter().filter(|span| truth.contains(span)).count();
    let (wrong, right) = match entities {
        true => (truth.len() + said.len() - 2 * same, same),
        false => (truth.len(), words.len() - truth.len()),
    };
    let passage = marked(&text, &marks(truth), &marks(said), true);
    What::Tags { passage, wrong: wrong as u64, right: right as u64 }
}

/// Sentences in windows of at most `max_length` tokens, each word's label at its first piece. `labels` are those
/// of the words. A word of which the tokenizer leaves nothing stands nowhere.
///
/// # Errors
/// A length without room for a word.
pub fn encode(
    sentences: &[TaggedSentence],
    labels: &[Vec<usize>],
    tokenizer: &Tokenizer,
    max_length: usize,
) -> Result<Part<TagTarget>> {
    let windows = sentences.par_iter().map(|sentence| {
        let (text, words) = joined(&sentence.tokens);
        tag_windows(tokenizer, &text, &words, max_length)
    });
    let windows: Vec<_> = windows.collect::<std::result::Result<_, _>>()?;
    let mut part = Part::none();
    let mut looks_at = Vec::new();
    for (sentence, window) in windows.into_iter().enumerate().flat_map(|(s, all)| all.into_iter().map(move |w| (s, w)))
    {
        part.rows.push(&window.encoding);
        looks_at.push(window.tokens.iter().map(|&t| t as u32).collect());
        let of_word = window.words.iter().map(|&w| labels[sentence][w]).collect();
        part.targets.push(TagTarget { sentence, words: window.words, labels: of_word });
    }
    part.rows.looks_at = LooksAt::Tokens(looks_at);
    Ok(part)
}

impl Task for Tag {
    fn name(&self) -> &'static str {
        "tag"
    }

    fn head(&self) -> HeadKind {
        HeadKind::Tag(self.labels.clone())
    }

    fn train(&self) -> &Rows {
        &self.train.rows
    }

    fn valid(&self) -> &Rows {
        &self.valid.rows
    }

    fn targets_hash(&self) -> u64 {
        let labels = self.labels.join("\u{1f}");
        let targets = self.train.targets.iter().flat_map(|t| &t.labels).chain(self.truth.iter().flatten());
        hash(labels.bytes().map(u64::from).chain(targets.map(|&t| t as u64)))
    }

    fn loss(&self, outputs: Tensor<2>, batch: &RowBatch) -> Tensor<1> {
        let of_row = |&row: &usize| self.train.targets[row].labels.iter().map(|&l| l as u32);
        let labels: Vec<u32> = batch.rows.iter().flat_map(of_row).collect();
        let count = labels.len() as f32;
        let labels = int_tensor(&labels, &outputs.device().without_autodiff());
        cross_entropy(outputs, labels) * count
    }

    fn disagreement(&self, first: Tensor<2>, second: Tensor<2>, _: &RowBatch) -> Tensor<1> {
        r_drop::of_classes(first, second)
    }

    fn imitation(&self, said: Tensor<2>, taught: Tensor<2>, temperature: f64, _: &RowBatch) -> Tensor<1> {
        divergence::of_classes(said, taught, temperature)
    }

    /// Label and cross-entropy of each word.
    fn keep(&self, outputs: &[f32], row: usize) -> Vec<f32> {
        let truth = &self.valid.targets[row].labels;
        let each = outputs.chunks_exact(self.labels.len()).zip(truth).map(|(logits, &truth)| score_row(logits, truth));
        each.flat_map(|(label, loss)| [label as f32, loss as f32]).collect()
    }

    fn metrics(&self, kept: &[Vec<f32>]) -> Metrics {
        let (said, losses) = self.said(kept);
        let words: usize = self.valid.targets.iter().map(|t| t.words.len()).sum();
        let names = |all: &[Vec<usize>]| all.iter().map(|words| self.names(words)).collect::<Vec<_>>();
        let loss = losses.iter().sum::<f64>() / words as f64;
        Metrics::Tag(TagMetrics::new(&names(&self.truth), &names(&said), loss))
    }

    /// The worst sentences are those whose words surprise it most, taken together.
    fn analysis(&self, kept: &[Vec<f32>], _: &Metrics) -> Analysis {
        let (said, losses) = self.said(kept);
        let used = self.truth.iter().chain(&said).flatten().map(|&l| self.labels[l].as_str());
        let entities = name_entities(used);
        let both = |s: usize| {
            let (truth, said) = (self.names(&self.truth[s]), self.names(&said[s]));
            (found(&truth, &said, entities), found(&said, &truth, entities))
        };
        let wrong: Vec<usize> = (0..said.len()).filter(|&s| both(s).0 != both(s).1).collect();
        let mistake = |s: usize| {
            let ((place, words), (truth, said)) = (self.valid.shown(s), both(s));
            Mistake { place, loss: rounded(losses[s]), what: told(&words, &truth, &said, entities) }
        };
        let worst = worst(wrong.iter().map(|&s| (s, losses[s]))).into_iter().map(mistake).collect();
        Analysis::new(said.len(), Some(wrong.len()), worst)
    }
}
