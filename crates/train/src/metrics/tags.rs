//! Scores of tags, one a token: whole entities, counted as seqeval does, or single tokens.

use super::ClassScores;
use polyseme_infer::{TaggedSpan, spans};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Scores of a tagger.
///
/// Where a tag has a prefix, they are those of whole entities in seqeval's default mode: one is
/// right if type, start and end are. Where none has (parts of speech), each token counts as an
/// entity of its own and each tag as a type, so that `f1` is `accuracy`. Bare `O`, `B`, `I`, `E`
/// and `S` are prefixes if there is no other tag: text without entities has no right ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TagMetrics {
    /// Of the predicted entities, the share that is right; 0 if there are none.
    pub precision: f64,
    /// Of the true entities, the share that is predicted; 0 if there are none.
    pub recall: f64,
    /// Harmonic mean of the two; 0 if both are.
    pub f1: f64,
    /// Mean over types that occur in truth or prediction of each type's F1; 0 if none does.
    pub macro_f1: f64,
    /// Share of tokens with the right tag.
    pub accuracy: f64,
    /// Mean cross-entropy.
    pub loss: f64,
    /// Tokens.
    pub tokens: u64,
    /// Scores of each type that occurs in truth or prediction, by name.
    pub types: Vec<ClassScores>,
}

impl TagMetrics {
    /// From the tags of each sequence and the mean cross-entropy. Panics if there are no tokens, or
    /// the sequences differ in number or length.
    pub fn new(truth: &[Vec<&str>], predicted: &[Vec<&str>], loss: f64) -> Self {
        let lengths = |sequences: &[Vec<&str>]| sequences.iter().map(Vec::len).collect::<Vec<usize>>();
        assert_eq!(lengths(truth), lengths(predicted));
        let pairs = || truth.iter().flatten().zip(predicted.iter().flatten());
        let tokens = pairs().count();
        assert!(tokens > 0, "metrics of no tokens");
        let right = pairs().filter(|(t, p)| t == p).count();

        let whole = name_entities(pairs().flat_map(|(t, p)| [*t, *p]));
        let found = if whole { joined_spans } else { token_spans };
        let (truth, predicted) = (found(truth), found(predicted));
        let mut counts: BTreeMap<&str, [u64; 3]> = BTreeMap::new(); // right, predicted, true
        for span in &truth {
            counts.entry(span.label).or_default()[2] += 1;
        }
        for span in &predicted {
            let count = counts.entry(span.label).or_default();
            count[0] += u64::from(truth.binary_search(span).is_ok());
            count[1] += 1;
        }
        let types: Vec<ClassScores> =
            counts.iter().map(|(label, &[r, p, t])| ClassScores::of_counts(label, r, p, t)).collect();
        let sum = |i: usize| counts.values().map(|count| count[i]).sum();
        let all = ClassScores::of_counts("", sum(0), sum(1), sum(2));
        Self {
            precision: all.precision,
            recall: all.recall,
            f1: all.f1,
            macro_f1: types.iter().fold(0.0, |sum, t| sum + t.f1) / types.len().max(1) as f64,
            accuracy: right as f64 / tokens as f64,
            loss,
            tokens: tokens as u64,
            types,
        }
    }

    /// A metric by its name: `f1`, `precision`, `recall`, `macro_f1`, `accuracy`, `loss`.
    pub fn get(&self, name: &str) -> Option<f64> {
        match name {
            "f1" => Some(self.f1),
            "precision" => Some(self.precision),
            "recall" => Some(self.recall),
            "macro_f1" => Some(self.macro_f1),
            "accuracy" => Some(self.accuracy),
            "loss" => Some(self.loss),
            _ => None,
        }
    }
}

/// Whether tags name entities, not single tokens.
pub(crate) fn name_entities<'a>(mut tags: impl Iterator<Item = &'a str> + Clone) -> bool {
    let has_prefix = |tag: &str| ["B-", "I-", "E-", "S-"].iter().any(|prefix| tag.starts_with(prefix));
    tags.clone().any(has_prefix) || tags.all(|tag| ["O", "B", "I", "E", "S"].contains(&tag))
}

/// All sequences as one with an `O` after each, as seqeval has them.
fn joined_spans<'a>(sequences: &[Vec<&'a str>]) -> Vec<TaggedSpan<'a>> {
    spans(&sequences.iter().flat_map(|tags| tags.iter().copied().chain(["O"])).collect::<Vec<&str>>())
}

/// Each token by itself.
fn token_spans<'a>(sequences: &[Vec<&'a str>]) -> Vec<TaggedSpan<'a>> {
    sequences.iter().flatten().enumerate().map(|(i, tag)| TaggedSpan { end: i + 1, start: i, label: tag }).collect()
}

impl ClassScores {
    /// From how many were given the label rightly, were given it, and have it.
    pub(super) fn of_counts(label: &str, right: u64, given: u64, support: u64) -> Self {
        let share = |part: u64, of: u64| if of > 0 { part as f64 / of as f64 } else { 0.0 };
        Self {
            label: label.to_owned(),
            precision: share(right, given),
            recall: share(right, support),
            // 2PR/(P+R) written without the division by zero of P and R.
            f1: share(2 * right, given + support),
            support,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Label, start, end.
    type Found = (String, usize, usize);

    #[derive(Deserialize)]
    struct Fixture {
        entities: Vec<(String, Vec<Found>)>,
        metrics: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        truth: Vec<String>,
        predicted: Vec<String>,
        precision: f64,
        recall: f64,
        f1: f64,
        macro_f1: f64,
        accuracy: f64,
        types: Vec<ClassScores>,
    }

    fn fixture() -> Fixture {
        serde_json::from_str(include_str!("../../tests/fixtures/tags.json")).unwrap()
    }

    fn split(sequences: &[String]) -> Vec<Vec<&str>> {
        sequences.iter().map(|tags| tags.split(' ').filter(|tag| !tag.is_empty()).collect()).collect()
    }

    fn near(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-9, "{a} is not {b}");
    }

    /// Values by seqeval: tests/fixtures/task_metrics.py.
    #[test]
    fn entities_equal_to_seqeval() {
        let cases = fixture().entities;
        assert!(cases.len() >= 40);
        for (tags, expected) in cases {
            let found: Vec<_> = spans(&tags.split(' ').collect::<Vec<&str>>())
                .into_iter()
                .map(|e| (e.label.to_owned(), e.start, e.end))
                .collect();
            assert_eq!(found, expected, "{tags}");
        }
    }

    /// Values by seqeval, and by scikit-learn where no tag has a prefix.
    #[test]
    fn metrics_equal_to_seqeval() {
        let cases = fixture().metrics;
        assert!(cases.len() >= 8);
        for case in cases {
            let (truth, predicted) = (split(&case.truth), split(&case.predicted));
            let m = TagMetrics::new(&truth, &predicted, 0.5);
            let names = ["precision", "recall", "f1", "macro_f1", "accuracy", "loss"];
            let expected = [case.precision, case.recall, case.f1, case.macro_f1, case.accuracy, 0.5];
            names.iter().zip(expected).for_each(|(name, value)| near(m.get(name).unwrap(), value));
            assert_eq!(m.tokens as usize, truth.iter().map(Vec::len).sum::<usize>());
            assert_eq!(m.types.len(), case.types.len());
            for (ours, theirs) in m.types.iter().zip(&case.types) {
                assert_eq!((&ours.label, ours.support), (&theirs.label, theirs.support));
                near(ours.precision, theirs.precision);
                near(ours.recall, theirs.recall);
                near(ours.f1, theirs.f1);
            }
        }
    }

    #[test]
    fn text_without_entities_has_no_right_ones() {
        let m = TagMetrics::new(&[vec!["O", "O"]], &[vec!["O", "O"]], 0.0);
        assert_eq!((m.f1, m.macro_f1, m.accuracy, m.types.len()), (0.0, 0.0, 1.0, 0));
    }

    #[test]
    fn the_end_of_a_sequence_ends_an_entity() {
        let m = TagMetrics::new(&[vec!["B-X"], vec!["I-X"]], &[vec!["B-X"], vec!["O"]], 0.0);
        assert_eq!((m.precision, m.recall, m.types[0].support), (1.0, 0.5, 2));
    }
}
