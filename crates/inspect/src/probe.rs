//! Which layer knows what: a straight cut through the vectors of each layer, learned from labels, beside one that learns
//! labels which nobody could know (a control task, Hewitt & Liang 2019).

use crate::{Error, Result};
use polyseme_infer::{Encoder, SpanVectors};
use polyseme_tensor::Stream;
use polyseme_text::{Table, Tagged};
use polyseme_train::regression::Regression;
use rayon::prelude::*;
use serde::Serialize;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Fewest examples to learn from, and to measure on.
const LEAST: usize = 10;
/// Of a single file, one text of so many measures.
const EVERY: usize = 4;

/// What is asked of the layers.
#[derive(Clone, Debug)]
pub struct ProbeOptions {
    /// Labelled texts to learn from.
    pub train: PathBuf,
    /// Those that measure; `None`: a fourth of the former, by the seed.
    pub valid: Option<PathBuf>,
    /// Whether labels are those of tokens.
    pub tags: bool,
    /// Column of the text, or of the tokens.
    pub text: Option<String>,
    /// Column of the label, or of the tags.
    pub label: Option<String>,
    /// Examples at most, of both together: texts, or tokens.
    pub most: usize,
    /// Seed of the parts and of the control's labels.
    pub seed: u64,
}

/// What the layers know.
#[derive(Clone, Debug, Serialize)]
pub struct Probe {
    /// `classes` of texts or `tags` of tokens.
    pub task: &'static str,
    /// The labels, in order.
    pub labels: Vec<String>,
    /// Examples learned from.
    pub learned: usize,
    /// Examples measured on.
    pub measured: usize,
    /// Share of the measured ones that have the most frequent label of those learned from.
    pub majority: f64,
    /// The table of embeddings, the embeddings, then each layer.
    pub layers: Vec<LayerProbe>,
}

/// What a layer knows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LayerProbe {
    /// `None`: the table of word embeddings; 0: the embeddings with positions; from 1: layers.
    pub layer: Option<usize>,
    /// Share of right labels.
    pub accuracy: f64,
    /// The same of the control task: of tags, each word has a label by lot; of classes, each text has another one's.
    pub control: f64,
}

/// A text with what is labelled in it.
struct Labelled {
    text: String,
    spans: Vec<Range<usize>>,
    labels: Vec<String>,
}

/// An example: which text and span, its label and its control label.
struct Example {
    place: (usize, usize),
    label: usize,
    control: usize,
}

/// Probes all layers.
///
/// # Errors
/// Files that cannot be read or hold too little, labels that are all the same, a tokenizer that is not the model's.
pub fn probe(encoder: &Encoder, options: &ProbeOptions) -> Result<Probe> {
    let (learn, measure) = parts(options)?;
    let mut labels: Vec<String> = learn.iter().flat_map(|t| t.labels.iter().cloned()).collect();
    labels.sort();
    labels.dedup();
    if labels.len() < 2 {
        return Err(Error::OneLabel { path: options.train.clone(), label: labels.pop() });
    }
    let vectors = [vectors(encoder, &learn)?, vectors(encoder, &measure)?];
    let stream = Stream::new(options.seed).named("probe");
    let lot = Lot::new(&learn, &labels, options.tags, stream);
    let examples = [examples(&learn, &vectors[0], &labels, &lot, 0), examples(&measure, &vectors[1], &labels, &lot, 1)];
    for (found, path) in examples.iter().zip([Some(&options.train), options.valid.as_ref()]) {
        if found.len() < LEAST {
            let path = path.unwrap_or(&options.train).clone();
            return Err(Error::FewExamples { path, found: found.len(), least: LEAST });
        }
    }
    let mut counts = vec![0usize; labels.len()];
    examples[0].iter().for_each(|e| counts[e.label] += 1);
    let common = (0..labels.len()).rev().max_by_key(|&l| counts[l]).expect("labels");
    let majority = examples[1].iter().filter(|e| e.label == common).count() as f64 / examples[1].len() as f64;
    let layers = vectors[0].iter().flatten().flatten().next().map_or(0, |v| v.layers.len());
    let places: Vec<Option<usize>> = std::iter::once(None).chain((0..layers).map(Some)).collect();
    let layers = places.into_par_iter().map(|layer| one(layer, &vectors, &examples, labels.len())).collect();
    Ok(Probe {
        task: if options.tags { "tags" } else { "classes" },
        labels,
        learned: examples[0].len(),
        measured: examples[1].len(),
        majority,
        layers,
    })
}

type Vectors = Vec<Vec<Option<SpanVectors>>>;

fn one(layer: Option<usize>, vectors: &[Vectors; 2], examples: &[Vec<Example>; 2], classes: usize) -> LayerProbe {
    let features = [0, 1].map(|part| {
        let of = |e: &Example| {
            let found = vectors[part][e.place.0][e.place.1].as_ref().expect("examples have vectors");
            let values = layer.map_or(&found.alone, |layer| &found.layers[layer]);
            values.iter().map(|&v| f64::from(v)).collect()
        };
        examples[part].iter().map(of).collect::<Vec<Vec<f64>>>()
    });
    let [learn, measure] = standardized(features);
    let right = |label: fn(&Example) -> usize| {
        let wanted: Vec<usize> = examples[0].iter().map(label).collect();
        let learned = Regression::fit(&learn, &wanted, classes);
        let hits = measure.iter().zip(&examples[1]).filter(|(x, e)| learned.best(x) == label(e)).count();
        hits as f64 / measure.len() as f64
    };
    LayerProbe { layer, accuracy: right(|e| e.label), control: right(|e| e.control) }
}

/// Each direction with mean 0 and deviation 1 over the examples that are learned from.
fn standardized([mut learn, mut measure]: [Vec<Vec<f64>>; 2]) -> [Vec<Vec<f64>>; 2] {
    let (n, width) = (learn.len() as f64, learn[0].len());
    for i in 0..width {
        let mean = learn.iter().map(|x| x[i]).sum::<f64>() / n;
        let variance = learn.iter().map(|x| (x[i] - mean).powi(2)).sum::<f64>() / n;
        let scale = if variance > 1e-12 { variance.sqrt().recip() } else { 0.0 };
        learn.iter_mut().chain(&mut measure).for_each(|x| x[i] = (x[i] - mean) * scale);
    }
    [learn, measure]
}

/// Texts to learn from, and texts to measure on. Which ones are taken is by lot: files may be sorted by their labels.
fn parts(options: &ProbeOptions) -> Result<(Vec<Labelled>, Vec<Labelled>)> {
    let stream = Stream::new(options.seed).named("probe-parts");
    let some = |path: &Path, most: usize| -> Result<Vec<Labelled>> {
        let mut texts = read(path, options)?;
        stream.shuffle(&mut texts);
        Ok(at_most(texts, most))
    };
    if let Some(valid) = &options.valid {
        let measured = options.most / EVERY;
        return Ok((some(&options.train, options.most - measured)?, some(valid, measured)?));
    }
    let (mut learn, mut measure) = (Vec::new(), Vec::new());
    for (i, text) in some(&options.train, options.most)?.into_iter().enumerate() {
        if i.is_multiple_of(EVERY) { measure.push(text) } else { learn.push(text) }
    }
    Ok((learn, measure))
}

/// The first texts that have so many labels together.
fn at_most(texts: Vec<Labelled>, most: usize) -> Vec<Labelled> {
    let mut left = most;
    let enough = |text: &Labelled| {
        let go_on = left > 0;
        left = left.saturating_sub(text.labels.len());
        go_on
    };
    texts.into_iter().take_while(enough).collect()
}

fn read(path: &Path, options: &ProbeOptions) -> Result<Vec<Labelled>> {
    let (text, label) = (options.text.as_deref(), options.label.as_deref());
    if options.tags {
        let tagged = Tagged::read(path, text, label)?;
        return Ok(tagged.sentences.into_iter().map(|s| joined(&s.tokens, s.tags)).collect());
    }
    let table = Table::read(path)?;
    let label = label.map_or_else(|| table.guess_label(), |name| table.column(name))?;
    let text = text.map_or_else(|| table.guess_text(Some(&label.name)), |name| table.column(name))?;
    // What has no text or no label teaches nothing.
    let whole = text.values.iter().zip(&label.values).filter_map(|(text, label)| {
        let text = text.clone().filter(|text| !text.trim().is_empty())?;
        let all = 0..text.len();
        Some(Labelled { spans: vec![all], labels: vec![label.clone()?], text })
    });
    Ok(whole.collect())
}

/// Tokens with blanks between them, and where each stands.
fn joined(tokens: &[String], labels: Vec<String>) -> Labelled {
    let (mut text, mut spans) = (String::new(), Vec::new());
    for token in tokens {
        if !text.is_empty() {
            text.push(' ');
        }
        spans.push(text.len()..text.len() + token.len());
        text += token;
    }
    Labelled { text, spans, labels }
}

fn vectors(encoder: &Encoder, texts: &[Labelled]) -> Result<Vectors> {
    let asked: Vec<(&str, Vec<Range<usize>>)> = texts.iter().map(|t| (t.text.as_str(), t.spans.clone())).collect();
    Ok(encoder.span_vectors(&asked)?)
}

/// Labels of the control task.
struct Lot {
    stream: Stream,
    /// Labels as often as they are, to draw from.
    urn: Vec<usize>,
    tags: bool,
}

impl Lot {
    fn new(learn: &[Labelled], labels: &[String], tags: bool, stream: Stream) -> Self {
        let number: BTreeMap<&str, usize> = labels.iter().enumerate().map(|(i, l)| (l.as_str(), i)).collect();
        Self { stream, urn: learn.iter().flat_map(|t| t.labels.iter().map(|l| number[l.as_str()])).collect(), tags }
    }

    /// The label of a word, wherever it stands; or of a text.
    fn draw(&self, word: &str, place: u64) -> usize {
        let stream = if self.tags { self.stream.named(&word.to_lowercase()) } else { self.stream.at(place) };
        self.urn[stream.below(0, self.urn.len() as u64) as usize]
    }
}

/// All that have a vector and a label that can be learned.
fn examples(texts: &[Labelled], vectors: &Vectors, labels: &[String], lot: &Lot, part: u64) -> Vec<Example> {
    let mut examples = Vec::new();
    for (t, text) in texts.iter().enumerate() {
        for (s, label) in text.labels.iter().enumerate().filter(|(s, _)| vectors[t][*s].is_some()) {
            let Ok(label) = labels.binary_search(label) else { continue };
            let control = lot.draw(&text.text[text.spans[s].clone()], 2 * t as u64 + part);
            examples.push(Example { place: (t, s), label, control });
        }
    }
    examples
}
