//! Scores of generated texts: ROUGE-L as Google's `rouge_score` has it, without stemming.
//!
//! Deviation: letters and digits of all scripts count, and each Chinese or Japanese character is a word; the
//! reference drops all that is not ASCII.

use serde::{Deserialize, Serialize};

/// Scores of texts beside the ones wanted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SequenceMetrics {
    /// Mean over rows of the F1 of the longest common subsequence of words.
    pub rouge_l: f64,
    /// Share of texts whose tokens are those of the one wanted.
    pub exact_match: f64,
    /// Mean cross-entropy of a wanted token, the end included.
    pub loss: f64,
    /// Rows.
    pub rows: u64,
}

impl SequenceMetrics {
    /// From wanted and generated texts, how many are the same, and the mean cross-entropy. Panics if there are
    /// none, or the lists differ in length.
    pub fn new(wanted: &[&str], generated: &[String], same: u64, loss: f64) -> Self {
        assert_eq!(wanted.len(), generated.len());
        assert!(!wanted.is_empty(), "metrics of no rows");
        let rows = wanted.len() as f64;
        let sum: f64 = wanted.iter().zip(generated).map(|(wanted, generated)| rouge_l(wanted, generated)).sum();
        Self { rouge_l: sum / rows, exact_match: same as f64 / rows, loss, rows: wanted.len() as u64 }
    }

    /// A metric by its name: `rouge_l`, `exact_match`, `loss`.
    pub fn get(&self, name: &str) -> Option<f64> {
        match name {
            "rouge_l" => Some(self.rouge_l),
            "exact_match" => Some(self.exact_match),
            "loss" => Some(self.loss),
            _ => None,
        }
    }
}

/// F1 of the longest common subsequence of the words of two texts; 0 where one has none.
pub fn rouge_l(wanted: &str, generated: &str) -> f64 {
    let (wanted, generated) = (words(wanted), words(generated));
    if wanted.is_empty() || generated.is_empty() {
        return 0.0;
    }
    let common = common_subsequence(&wanted, &generated) as f64;
    2.0 * common / (wanted.len() + generated.len()) as f64
}

/// Words in lower case.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut open = false;
    for c in text.to_lowercase().chars() {
        let alone = matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}');
        match words.last_mut() {
            _ if !c.is_alphanumeric() => {}
            Some(word) if open && !alone => word.push(c),
            _ => words.push(c.into()),
        }
        open = c.is_alphanumeric() && !alone;
    }
    words
}

/// Length of the longest common subsequence.
fn common_subsequence(a: &[String], b: &[String]) -> usize {
    let mut lengths = vec![0; b.len() + 1];
    for x in a {
        let mut diagonal = 0;
        for (j, y) in b.iter().enumerate() {
            let above = lengths[j + 1];
            lengths[j + 1] = if x == y { diagonal + 1 } else { above.max(lengths[j]) };
            diagonal = above;
        }
    }
    lengths[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Case {
        wanted: String,
        generated: String,
        rouge_l: f64,
    }

    /// Values by rouge_score: tests/fixtures/task_metrics.py.
    #[test]
    fn equal_to_rouge_score() {
        let cases: Vec<Case> = serde_json::from_str(include_str!("../../tests/fixtures/rouge.json")).unwrap();
        assert!(cases.len() >= 50);
        for case in cases {
            let found = rouge_l(&case.wanted, &case.generated);
            assert!((found - case.rouge_l).abs() < 1e-9, "{:?} {:?}: {found}", case.wanted, case.generated);
        }
    }

    #[test]
    fn characters_without_spaces_between_are_words() {
        assert_eq!(words("ab1, c-d 银行x"), ["ab1", "c", "d", "银", "行", "x"]);
        assert_eq!(rouge_l("银行在河边", "银行在山边"), 0.8);
        assert_eq!(rouge_l("É né", "é"), 2.0 / 3.0);
    }
}
