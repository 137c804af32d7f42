//! Scores of answers taken from a text, equal to the evaluation script of SQuAD 2.0.
//!
//! Those of SQuAD 1.1 are the same, save for answers of which normalising leaves nothing.

use serde::{Deserialize, Serialize};

/// Scores of a reader that answers with a span, or with nothing where there is no answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SpanMetrics {
    /// Share of rows whose answer, normalised, is one of the right ones.
    pub exact_match: f64,
    /// Mean over rows of the F1 of words shared with the nearest right answer.
    pub f1: f64,
    /// Mean cross-entropy.
    pub loss: f64,
    /// Rows.
    pub rows: u64,
    /// Rows with a right answer.
    pub answerable: u64,
    /// Rows without.
    pub unanswerable: u64,
    /// `f1` of the rows with a right answer (the script's `HasAns_f1`); 0 if there are none.
    pub answerable_f1: f64,
    /// Share answered with nothing of the rows without (`NoAns_f1`); 0 if there are none.
    pub unanswerable_right: f64,
}

impl SpanMetrics {
    /// From the right answers of each row (none: it cannot be answered), the answer given (empty:
    /// none) and the mean cross-entropy. Panics if there are no rows, or the lists differ in length.
    pub fn new(gold: &[Vec<String>], predicted: &[String], loss: f64) -> Self {
        assert_eq!(gold.len(), predicted.len());
        assert!(!gold.is_empty(), "metrics of no rows");
        let (mut exact, mut answerable, mut sums) = (0_u64, 0_u64, [0.0; 2]); // F1 without and with an answer
        for (gold, predicted) in gold.iter().zip(predicted) {
            let (right, f1) = score_answer(gold, predicted);
            exact += u64::from(right);
            answerable += u64::from(!gold.is_empty());
            sums[usize::from(!gold.is_empty())] += f1;
        }
        let rows = gold.len() as u64;
        let unanswerable = rows - answerable;
        Self {
            exact_match: exact as f64 / rows as f64,
            f1: (sums[0] + sums[1]) / rows as f64,
            loss,
            rows,
            answerable,
            unanswerable,
            answerable_f1: sums[1] / answerable.max(1) as f64,
            unanswerable_right: sums[0] / unanswerable.max(1) as f64,
        }
    }

    /// A metric by its name: `exact_match`, `f1`, `answerable_f1`, `unanswerable_right`, `loss`.
    pub fn get(&self, name: &str) -> Option<f64> {
        match name {
            "exact_match" => Some(self.exact_match),
            "f1" => Some(self.f1),
            "answerable_f1" => Some(self.answerable_f1),
            "unanswerable_right" => Some(self.unanswerable_right),
            "loss" => Some(self.loss),
            _ => None,
        }
    }
}

/// Exact match and F1 of one answer, each by the right answer that is best for it. Right answers of
/// which normalising leaves nothing do not count; if none is left, only an empty answer is right.
pub fn score_answer(gold: &[String], predicted: &str) -> (bool, f64) {
    let mut gold: Vec<String> = gold.iter().map(|g| normalize(g)).filter(|g| !g.is_empty()).collect();
    if gold.is_empty() {
        gold.push(String::new());
    }
    let predicted = normalize(predicted);
    (gold.contains(&predicted), gold.iter().map(|g| shared_words(g, &predicted)).fold(0.0, f64::max))
}

/// F1 of the words that two normalised answers share.
fn shared_words(gold: &str, predicted: &str) -> f64 {
    if gold.is_empty() || predicted.is_empty() {
        return if gold == predicted { 1.0 } else { 0.0 };
    }
    let mut left: Vec<&str> = gold.split(' ').collect();
    let words = left.len() + predicted.split(' ').count();
    let mut same = 0;
    for word in predicted.split(' ') {
        if let Some(i) = left.iter().position(|&l| l == word) {
            left.swap_remove(i);
            same += 1;
        }
    }
    2.0 * f64::from(same) / words as f64
}

/// An answer in lower case without ASCII punctuation and the words a, an and the, words one space apart.
pub fn normalize(answer: &str) -> String {
    let plain: String = answer.to_lowercase().chars().filter(|c| !c.is_ascii_punctuation()).collect();
    let mut text = String::with_capacity(plain.len());
    for piece in plain.split_inclusive(|c| !is_word(c)) {
        let word = piece.trim_end_matches(|c| !is_word(c));
        text.push_str(if ["a", "an", "the"].contains(&word) { " " } else { word });
        text.push_str(&piece[word.len()..]);
    }
    text.split(is_space).filter(|word| !word.is_empty()).collect::<Vec<&str>>().join(" ")
}

/// Python's `\w` but for the underscore, which is punctuation: letters and numbers. Rust also calls
/// some marks alphabetic: those used with Latin letters, and letters in circles and squares, are told
/// apart. Deviation: vowel signs of other scripts count as letters, so an article right beside one stays.
fn is_word(c: char) -> bool {
    let combining = matches!(c, '\u{345}' | '\u{363}'..='\u{36f}' | '\u{1dd3}'..='\u{1df4}');
    let enclosed = matches!(c, '\u{24b6}'..='\u{24e9}' | '\u{1f130}'..='\u{1f189}');
    c.is_alphanumeric() && !combining && !enclosed
}

/// Python's `str.isspace`.
fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Fixture {
        normalized: Vec<(String, String)>,
        metrics: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        gold: Vec<Vec<String>>,
        predicted: Vec<String>,
        row_exact: Vec<u8>,
        row_f1: Vec<f64>,
        exact_match: f64,
        f1: f64,
        answerable: u64,
        unanswerable: u64,
        answerable_f1: f64,
        unanswerable_right: f64,
    }

    fn fixture() -> Fixture {
        serde_json::from_str(include_str!("../../tests/fixtures/spans.json")).unwrap()
    }

    fn near(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-9, "{a} is not {b}");
    }

    /// Values by transformers' `squad_metrics`: tests/fixtures/task_metrics.py.
    #[test]
    fn normalized_as_by_squad() {
        let cases = fixture().normalized;
        assert!(cases.len() >= 30);
        for (text, expected) in cases {
            assert_eq!(normalize(&text), expected, "{text:?}");
        }
    }

    #[test]
    fn metrics_equal_to_squad() {
        let cases = fixture().metrics;
        assert!(cases.len() >= 4);
        for case in cases {
            for (i, gold) in case.gold.iter().enumerate() {
                let (exact, f1) = score_answer(gold, &case.predicted[i]);
                assert_eq!(u8::from(exact), case.row_exact[i], "{gold:?} {:?}", case.predicted[i]);
                near(f1, case.row_f1[i]);
            }
            let m = SpanMetrics::new(&case.gold, &case.predicted, 0.5);
            let names = ["exact_match", "f1", "answerable_f1", "unanswerable_right", "loss"];
            let expected = [case.exact_match, case.f1, case.answerable_f1, case.unanswerable_right, 0.5];
            names.iter().zip(expected).for_each(|(name, value)| near(m.get(name).unwrap(), value));
            assert_eq!((m.answerable, m.unanswerable), (case.answerable, case.unanswerable));
            assert_eq!(m.rows, m.answerable + m.unanswerable);
        }
    }
}
