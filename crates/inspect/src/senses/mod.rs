//! A word in many sentences: its vectors at each layer, how alike they are, and which senses they fall into.

mod occurrences;

pub use occurrences::Occurrence;

use crate::cluster::{Groups, Similarities, adjusted_rand_index, groups};
use crate::map::{MapKind, map};
use crate::{Error, Result};
use occurrences::Word;
use polyseme_infer::{Encoder, SpanVectors};
use serde::Serialize;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

/// Fewest occurrences that can be compared.
const LEAST: usize = 3;
/// Words that tell a sense from the others, at most.
const TELLING: usize = 6;

/// What is asked of a word.
#[derive(Clone, Debug)]
pub struct SensesOptions {
    /// The word.
    pub word: String,
    /// Other forms that count as it.
    pub also: Vec<String>,
    /// File of texts, or a folder of documents; `-` is standard input.
    pub path: PathBuf,
    /// Column of the text.
    pub text: Option<String>,
    /// Column of the true sense, to compare with.
    pub label: Option<String>,
    /// How many senses; `None`: as many as the vectors fall into.
    pub senses: Option<usize>,
    /// How vectors become points.
    pub map: MapKind,
    /// Occurrences at most; of more, an even part.
    pub most: usize,
}

/// A word in its sentences.
#[derive(Clone, Debug, Serialize)]
pub struct Senses {
    /// The word as it was asked for.
    pub word: String,
    /// Where it stands, in the order of the file.
    pub sentences: Vec<Sentence>,
    /// How often it occurs.
    pub total: u64,
    /// Occurrences behind the end of what the model reads of a text.
    pub cut: usize,
    /// Names of the true senses, in the order of their first sentence.
    pub labels: Vec<String>,
    /// The table of embeddings, then the embeddings, then each layer.
    pub layers: Vec<LayerSenses>,
    /// Place in `layers` of the layer whose groups are parted best: by the silhouette, which needs no labels.
    pub clearest: usize,
}

/// A sentence with the word in it.
#[derive(Clone, Debug, Serialize)]
pub struct Sentence {
    /// The sentence.
    pub text: String,
    /// Where the word begins and ends. Characters
    pub range: [usize; 2],
    /// The same in bytes.
    #[serde(skip)]
    pub bytes: Range<usize>,
    /// Its true sense, by its place in `labels`.
    pub label: Option<usize>,
    /// What the model saw of the word.
    pub tokens: Vec<String>,
}

/// What a layer makes of the word.
#[derive(Clone, Debug, Serialize)]
pub struct LayerSenses {
    /// `None`: the table of word embeddings; 0: the embeddings with positions; from 1: layers.
    pub layer: Option<usize>,
    /// Cosine of each two sentences' vectors.
    #[serde(serialize_with = "rows_of")]
    pub similarities: Similarities,
    /// Sentences in the order of the tree of groups.
    pub order: Vec<usize>,
    /// Place on the map.
    pub points: Vec<[f32; 2]>,
    /// Share of the variance that the map shows, where it is one of variances.
    pub shown: Option<f64>,
    /// Sense of each sentence; the most frequent is 0.
    pub senses: Vec<usize>,
    /// What is known of each sense.
    pub about: Vec<Sense>,
    /// Mean silhouette of these senses, 0 of a single one.
    pub silhouette: f64,
    /// Agreement with the true senses: adjusted Rand index.
    pub adjusted_rand_index: Option<f64>,
}

/// A sense.
#[derive(Clone, Debug, Serialize)]
pub struct Sense {
    /// Sentences it has.
    pub count: usize,
    /// The sentence most like the others of its sense.
    pub example: usize,
    /// Words that stand in its sentences more often than in others.
    pub telling: Vec<String>,
}

fn rows_of<S: serde::Serializer>(similar: &Similarities, to: S) -> std::result::Result<S::Ok, S::Error> {
    let round = |x: &f32| (f64::from(*x) * 1e6).round() / 1e6;
    let rows = similar.values.chunks_exact(similar.count.max(1));
    to.collect_seq(rows.map(|row| row.iter().map(round).collect::<Vec<f64>>()))
}

/// Looks for a word and compares its vectors.
///
/// # Errors
/// A word that is none or occurs too rarely, files that cannot be read, a tokenizer that is not the model's.
pub fn senses(encoder: &Encoder, options: &SensesOptions) -> Result<Senses> {
    let forms = std::iter::once(&options.word).chain(&options.also).map(String::as_str);
    let columns = [options.text.as_deref(), options.label.as_deref()];
    let found = occurrences::find(&Word::new(forms)?, &options.path, columns, options.most)?;
    if found.total == 0 {
        let (word, texts, path) = (options.word.clone(), found.texts, options.path.clone());
        return Err(Error::NeverOccurs { word, texts, path });
    }
    let asked: Vec<(&str, Vec<Range<usize>>)> =
        found.occurrences.iter().map(|o| (o.text.as_str(), vec![o.range.clone()])).collect();
    let vectors: Vec<Option<SpanVectors>> = encoder.span_vectors(&asked)?.into_iter().flatten().collect();
    let cut = vectors.iter().filter(|v| v.is_none()).count();
    let (seen, vectors): (Vec<Occurrence>, Vec<SpanVectors>) =
        found.occurrences.into_iter().zip(vectors).filter_map(|(o, v)| Some((o, v?))).unzip();
    if seen.len() < LEAST {
        let (word, path) = (options.word.clone(), options.path.clone());
        return Err(Error::TooFew { word, found: seen.len(), least: LEAST, path });
    }
    let mut labels: Vec<String> = Vec::new();
    let mut number = |label: &str| {
        labels.iter().position(|l| l == label).unwrap_or_else(|| {
            labels.push(label.to_owned());
            labels.len() - 1
        })
    };
    let sentences: Vec<Sentence> = seen
        .into_iter()
        .zip(&vectors)
        .map(|(o, v)| {
            let before = o.text[..o.range.start].chars().count();
            let long = o.text[o.range.clone()].chars().count();
            let label = o.label.filter(|l| !l.is_empty()).map(|l| number(&l));
            Sentence { range: [before, before + long], bytes: o.range, text: o.text, label, tokens: v.tokens.clone() }
        })
        .collect();
    let number_of_layers = vectors[0].layers.len();
    let mut layers = vec![layer(None, vectors.iter().map(|v| &v.alone[..]).collect(), &sentences, options)];
    for n in 0..number_of_layers {
        layers.push(layer(Some(n), vectors.iter().map(|v| &v.layers[n][..]).collect(), &sentences, options));
    }
    // Embeddings differ by the word's place in the sentence only, which is no sense.
    let clearest = (2..layers.len()).rev().max_by(|&a, &b| layers[a].silhouette.total_cmp(&layers[b].silhouette));
    let clearest = clearest.unwrap_or(layers.len() - 1);
    Ok(Senses { word: options.word.clone(), sentences, total: found.total, cut, labels, layers, clearest })
}

fn layer(layer: Option<usize>, vectors: Vec<&[f32]>, sentences: &[Sentence], options: &SensesOptions) -> LayerSenses {
    let similarities = Similarities::new(&vectors);
    let Groups { of: senses, count, silhouette, order } = groups(&similarities, options.senses);
    let (points, shown) = map(options.map, &vectors);
    let truth: Option<Vec<usize>> = sentences.iter().map(|s| s.label).collect();
    LayerSenses {
        layer,
        adjusted_rand_index: truth.map(|truth| adjusted_rand_index(&senses, &truth)),
        about: (0..count).map(|sense| about(sense, &senses, &similarities, sentences)).collect(),
        similarities,
        order,
        points,
        shown,
        senses,
        silhouette,
    }
}

fn about(sense: usize, senses: &[usize], similar: &Similarities, sentences: &[Sentence]) -> Sense {
    let own: Vec<usize> = (0..senses.len()).filter(|&i| senses[i] == sense).collect();
    let near = |i: usize| own.iter().map(|&j| f64::from(similar.at(i, j))).sum::<f64>();
    // Of equal ones the first.
    let example = own.iter().copied().rev().max_by(|&a, &b| near(a).total_cmp(&near(b))).expect("no sense is empty");
    Sense { count: own.len(), example, telling: telling(&own, sentences) }
}

/// Words around the word that some sentences have more often than all do: by the logarithm of the odds, each sentence
/// counted once; words in one sentence only tell nothing.
fn telling(own: &[usize], sentences: &[Sentence]) -> Vec<String> {
    let words = |sentence: &Sentence| {
        let around = [&sentence.text[..sentence.bytes.start], &sentence.text[sentence.bytes.end..]];
        let words = around.iter().flat_map(|part| part.split(|c: char| !c.is_alphanumeric()));
        let long = words.filter(|w| w.chars().count() >= 3).map(str::to_lowercase);
        long.collect::<std::collections::BTreeSet<String>>()
    };
    let mut counts: BTreeMap<String, [f64; 2]> = BTreeMap::new();
    for (i, sentence) in sentences.iter().enumerate() {
        let inside = usize::from(own.binary_search(&i).is_err());
        words(sentence).into_iter().for_each(|w| counts.entry(w).or_default()[inside] += 1.0);
    }
    let (inside, outside) = (own.len() as f64, (sentences.len() - own.len()) as f64);
    let odds = |[a, b]: [f64; 2]| ((a + 0.5) / (inside - a + 0.5)).ln() - ((b + 0.5) / (outside - b + 0.5)).ln();
    let mut told: Vec<(f64, String)> =
        counts.into_iter().filter(|(_, c)| c[0] >= 2.0 && odds(*c) > 1.0).map(|(w, c)| (odds(c), w)).collect();
    told.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    told.into_iter().take(TELLING).map(|(_, word)| word).collect()
}
