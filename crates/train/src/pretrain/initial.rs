//! Initial values that a new model takes from counting words, before the first step.
//!
//! Of a new model's first thousand steps most go into learning how frequent each token is, and at a
//! high rate that drives all hidden states into one direction, from which a small budget does not
//! bring them back. Counting gives both at once: how frequent each token is (the output bias) and
//! which tokens share documents (the word embeddings, by latent semantic analysis; Deerwester et
//! al. 1990).

use crate::dot::dot;
use crate::masking::Vocabulary;
use crate::observer::Stop;
use crate::sampler::Documents;
use polyseme_tensor::{Stream, device};
use std::collections::BTreeMap;

/// Tokens that count as one document: a book is not about one thing.
const WINDOW: usize = 1_024;

/// Tokens read at most; of more, every n-th document.
const TOKENS: usize = 20_000_000;

/// Rounds of subspace iteration. What is wanted is a good subspace, not its last digits.
const ROUNDS: usize = 4;

/// Share of an embedding's squared length that comes from the documents; the rest is random, so that
/// tokens of the same documents stay apart.
const SHARE: f64 = 0.64;

/// Logarithms of relative frequencies, one count added to each: the best bias for a decoder that
/// knows nothing else.
pub fn output_bias(counts: &[u64]) -> Vec<f32> {
    let total = (counts.iter().sum::<u64>() + counts.len() as u64) as f64;
    counts.iter().map(|&count| ((count + 1) as f64 / total).ln() as f32).collect()
}

/// Word embeddings in which tokens of the same documents lie side by side. `random`: the values to
/// begin with, which special tokens and tokens without documents keep. `(vocabulary, width)`. `None`:
/// it was asked to stop.
///
/// The same on any number of threads.
pub fn word_embeddings(
    documents: &impl Documents,
    held_out: &[usize],
    vocabulary: &Vocabulary,
    random: &[f32],
    deviation: f64,
    stream: Stream,
    stop: &Stop,
) -> Option<Vec<f32>> {
    let tokens = vocabulary.len();
    let width = random.len() / tokens;
    let matrix = weighted(count(documents, held_out, vocabulary), tokens);
    let mut basis: Vec<Vec<f64>> =
        (0..width).map(|i| stream.at(i as u64).normals(tokens, 1.0).into_iter().map(f64::from).collect()).collect();
    for _ in 0..ROUNDS {
        multiply(&matrix, &mut basis, stop);
        orthonormalize(&mut basis, stop);
        if stop.requested() {
            return None;
        }
    }
    let known: Vec<usize> = (0..tokens).filter(|&t| basis.iter().any(|column| column[t] != 0.0)).collect();
    // The direction that all tokens share says nothing of any.
    for column in &mut basis {
        let mean = known.iter().map(|&t| column[t]).sum::<f64>() / known.len().max(1) as f64;
        known.iter().for_each(|&t| column[t] -= mean);
    }
    let mut values = random.to_vec();
    for &t in &known {
        let norm = basis.iter().map(|column| column[t] * column[t]).sum::<f64>().sqrt();
        let scale = if norm > 0.0 { (SHARE * width as f64).sqrt() * deviation / norm } else { 0.0 };
        let row = &mut values[t * width..(t + 1) * width];
        for (value, column) in row.iter_mut().zip(&basis) {
            *value = ((1.0 - SHARE).sqrt() * f64::from(*value) + scale * column[t]) as f32;
        }
    }
    Some(values)
}

/// How often each ordinary token stands in each document.
fn count(documents: &impl Documents, held_out: &[usize], vocabulary: &Vocabulary) -> Vec<Vec<(u32, f64)>> {
    let total: usize = (0..documents.count()).map(|i| documents.length(i)).sum();
    let every = total.div_ceil(TOKENS).max(1);
    let (mut counted, mut ids) = (Vec::new(), Vec::new());
    for i in (0..documents.count()).step_by(every).filter(|i| held_out.binary_search(i).is_err()) {
        ids.clear();
        documents.read(i, 0, documents.length(i), &mut ids);
        for window in ids.chunks(WINDOW) {
            let mut counts: BTreeMap<u32, f64> = BTreeMap::new();
            window
                .iter()
                .filter(|&&id| !vocabulary.is_special(id))
                .for_each(|&id| *counts.entry(id).or_default() += 1.0);
            counted.push(counts.into_iter().collect());
        }
    }
    counted
}

/// tf-idf, each document of length 1.
fn weighted(mut documents: Vec<Vec<(u32, f64)>>, tokens: usize) -> Vec<Vec<(u32, f64)>> {
    let mut holding = vec![0_u64; tokens];
    documents.iter().flatten().for_each(|&(id, _)| holding[id as usize] += 1);
    let all = documents.len() as f64;
    for document in &mut documents {
        for (id, value) in document.iter_mut() {
            *value = (1.0 + value.ln()) * ((1.0 + all) / (1.0 + holding[*id as usize] as f64)).ln();
        }
        let norm = document.iter().map(|(_, v)| v * v).sum::<f64>().sqrt();
        document.iter_mut().for_each(|(_, v)| *v /= norm.max(1e-12));
    }
    documents
}

/// Each column `q` becomes `MᵀM q`, with the documents as rows of `M`; columns are shared out
/// among threads. A stop leaves it unfinished.
fn multiply(matrix: &[Vec<(u32, f64)>], columns: &mut [Vec<f64>], stop: &Stop) {
    let share = columns.len().div_ceil(device::threads()).max(1);
    std::thread::scope(|scope| {
        for columns in columns.chunks_mut(share) {
            scope.spawn(move || {
                for column in columns.iter_mut().take_while(|_| !stop.requested()) {
                    let mut out = vec![0.0; column.len()];
                    for document in matrix {
                        let along: f64 = document.iter().map(|&(id, v)| v * column[id as usize]).sum();
                        document.iter().for_each(|&(id, v)| out[id as usize] += v * along);
                    }
                    *column = out;
                }
            });
        }
    });
}

/// Gram and Schmidt's, modified; a column that depends on earlier ones becomes zero. A
/// stop leaves it unfinished.
fn orthonormalize(columns: &mut [Vec<f64>], stop: &Stop) {
    for i in (0..columns.len()).take_while(|_| !stop.requested()) {
        let (done, rest) = columns.split_at_mut(i);
        let column = &mut rest[0];
        let before = dot(column, column).sqrt();
        for other in done.iter() {
            let along = dot(other, column);
            column.iter_mut().zip(other).for_each(|(c, o)| *c -= along * o);
        }
        let norm = dot(column, column).sqrt();
        let scale = if norm > 1e-10 * before { 1.0 / norm } else { 0.0 };
        column.iter_mut().for_each(|c| *c *= scale);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vocabulary() -> Vocabulary {
        Vocabulary::new(65, 4, |id| id < 5, |_| false)
    }

    /// Documents of two themes: ids 5–24 and 25–44; 45–54 stand in both, 55–64 nowhere.
    fn documents() -> Vec<Vec<u32>> {
        let document = |d: u64| {
            let theme = 5 + 20 * (d % 2) as u32;
            (0..30)
                .map(|t| Stream::new(d).below(t, 30) as u32)
                .map(|x| if x < 20 { theme + x } else { 25 + x })
                .collect()
        };
        (0..200).map(document).collect()
    }

    fn embeddings(seed: u64) -> (Vec<f32>, Vec<f32>) {
        let random = Stream::new(9).normals(65 * 8, 0.02);
        let values =
            word_embeddings(&documents(), &[0], &vocabulary(), &random, 0.02, Stream::new(seed), &Stop::default());
        (random, values.expect("nobody stops it"))
    }

    fn cosine(values: &[f32], a: usize, b: usize) -> f64 {
        let row = |t: usize| values[t * 8..(t + 1) * 8].iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
        let (a, b) = (row(a), row(b));
        dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt()
    }

    #[test]
    fn tokens_of_one_theme_lie_side_by_side() {
        let (random, values) = embeddings(1);
        let mean = |values: &[f32], theme: usize| {
            let pairs = (5..25).flat_map(|a| (5..25).filter(move |b| *b != a).map(move |b| (a, b + theme)));
            pairs.clone().map(|(a, b)| cosine(values, a, b)).sum::<f64>() / pairs.count() as f64
        };
        assert!(mean(&values, 0) > mean(&values, 20) + 0.15, "{} and {}", mean(&values, 0), mean(&values, 20));
        assert!((mean(&random, 0) - mean(&random, 20)).abs() < 0.1);
    }

    #[test]
    fn length_is_kept_and_unknown_tokens_keep_their_values() {
        let (random, values) = embeddings(2);
        assert_eq!(values[..5 * 8], random[..5 * 8], "special tokens");
        assert_eq!(values[55 * 8..], random[55 * 8..], "tokens without documents");
        let deviation = |v: &[f32]| (v.iter().map(|v| f64::from(v * v)).sum::<f64>() / v.len() as f64).sqrt();
        let (found, expected) = (deviation(&values[5 * 8..55 * 8]), 0.02);
        assert!((found - expected).abs() < 0.003, "{found}");
    }

    #[test]
    fn the_bias_is_the_logarithm_of_frequencies() {
        let bias = output_bias(&[0, 2, 5]);
        let sum: f32 = bias.iter().map(|b| b.exp()).sum();
        assert!((sum - 1.0).abs() < 1e-6 && (bias[2].exp() - 0.6).abs() < 1e-6, "{bias:?}");
    }

    #[test]
    fn columns_become_orthonormal_and_dependent_ones_zero() {
        let mut columns = vec![vec![3.0, 0.0, 4.0], vec![6.0, 0.0, 8.0], vec![1.0, 1.0, 1.0]];
        orthonormalize(&mut columns, &Stop::default());
        assert_eq!(columns[1], [0.0; 3]);
        assert!((dot(&columns[0], &columns[0]) - 1.0).abs() < 1e-12 && dot(&columns[0], &columns[2]).abs() < 1e-12);
    }
}
