//! What word frequencies alone know.

use crate::masking::Vocabulary;
use crate::sampler::Documents;

/// How often each maskable token stands in the documents that are learned from. Beyond 100 million
/// tokens every n-th document is counted.
pub fn unigram_counts(documents: &impl Documents, held_out: &[usize], vocabulary: &Vocabulary) -> Vec<u64> {
    let total: usize = (0..documents.count()).map(|i| documents.length(i)).sum();
    let every = total.div_ceil(100_000_000).max(1);
    let mut counts = vec![0_u64; vocabulary.len()];
    let mut ids = Vec::new();
    for i in (0..documents.count()).step_by(every).filter(|i| held_out.binary_search(i).is_err()) {
        ids.clear();
        documents.read(i, 0, documents.length(i), &mut ids);
        ids.iter().filter(|&&id| !vocabulary.is_special(id)).for_each(|&id| counts[id as usize] += 1);
    }
    counts
}

/// Entropy in nats of the distribution that was counted: the loss of a model that knows how
/// frequent each token is, and nothing of context.
pub fn unigram_entropy(counts: &[u64]) -> f64 {
    let n = counts.iter().sum::<u64>() as f64;
    counts.iter().filter(|&&c| c > 0).map(|&c| c as f64 / n).map(|p| -p * p.ln()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unigram_entropy_is_that_of_the_formula() {
        // Of four ordinary tokens one is `5` three times: 0.75 and 0.25.
        let vocabulary = Vocabulary::new(100, 4, |id| id < 5, |_| false);
        let docs = vec![vec![5, 5, 1, 6], vec![5, 2], vec![9, 9, 9]];
        let found = unigram_entropy(&unigram_counts(&docs, &[2], &vocabulary));
        let expected = -(0.75_f64 * 0.75_f64.ln() + 0.25_f64 * 0.25_f64.ln());
        assert!((found - expected).abs() < 1e-12);
    }
}
