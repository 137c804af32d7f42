//! Scores of rankings, equal to scikit-learn's.

use serde::{Deserialize, Serialize};

/// Scores of finding each text's partner among others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RetrievalMetrics {
    /// Mean of one over the partner's rank.
    pub mrr: f64,
    /// Normalized discounted cumulative gain of the first ten.
    pub ndcg_at_10: f64,
    /// Share of partners that come first.
    pub accuracy_at_1: f64,
    /// Mean cross-entropy of the partner among the candidates.
    pub loss: f64,
    /// Texts that looked for their partner.
    pub rows: u64,
    /// Among how many.
    pub candidates: u64,
}

impl RetrievalMetrics {
    /// From the partners' ranks, counted from 1. Panics if there are none.
    pub fn new(ranks: &[usize], loss: f64, candidates: u64) -> Self {
        assert!(!ranks.is_empty(), "metrics of no rows");
        let gain = |&rank: &usize| {
            let first: Vec<f64> = (1..=10).map(|r| f64::from(u8::from(r == rank))).collect();
            ndcg_at(10, &first, &[1.0])
        };
        Self {
            mrr: mrr(ranks),
            ndcg_at_10: ranks.iter().map(gain).sum::<f64>() / ranks.len() as f64,
            accuracy_at_1: accuracy_at_1(ranks),
            loss,
            rows: ranks.len() as u64,
            candidates,
        }
    }

    /// A metric by its name: `mrr`, `ndcg_at_10`, `accuracy_at_1`, `loss`.
    pub fn get(&self, name: &str) -> Option<f64> {
        match name {
            "mrr" => Some(self.mrr),
            "ndcg_at_10" => Some(self.ndcg_at_10),
            "accuracy_at_1" => Some(self.accuracy_at_1),
            "loss" => Some(self.loss),
            _ => None,
        }
    }
}

/// Mean reciprocal rank: the mean of 1/rank, ranks from 1. Panics if there are none, or one is 0.
pub fn mrr(ranks: &[usize]) -> f64 {
    mean(ranks, |rank| 1.0 / rank as f64)
}

/// Share of rows whose one right answer has rank 1. Panics if there are none, or a rank is 0.
pub fn accuracy_at_1(ranks: &[usize]) -> f64 {
    recall_at(1, ranks)
}

/// Share of rows whose one right answer has rank `k` or better. Panics if there are none, or a rank is 0.
pub fn recall_at(k: usize, ranks: &[usize]) -> f64 {
    mean(ranks, |rank| if rank <= k { 1.0 } else { 0.0 })
}

/// Normalised discounted cumulative gain of one query's first `k` answers: the sum of
/// relevance/log₂(rank + 1) over that of the best order; 0 if nothing is relevant.
///
/// `relevance` has one number, 0 or more, for each answer in ranked order, `ideal` one for each
/// that could be given, in any order. The gain is the relevance itself, not 2^relevance - 1.
pub fn ndcg_at(k: usize, relevance: &[f64], ideal: &[f64]) -> f64 {
    let gain = |relevance: &[f64]| -> f64 {
        relevance.iter().take(k).enumerate().fold(0.0, |sum, (i, r)| sum + r / (i as f64 + 2.0).log2())
    };
    let mut ideal = ideal.to_vec();
    ideal.sort_by(|a, b| b.total_cmp(a));
    let best = gain(&ideal);
    if best > 0.0 { gain(relevance) / best } else { 0.0 }
}

fn mean(ranks: &[usize], score: impl Fn(usize) -> f64) -> f64 {
    assert!(!ranks.is_empty(), "metrics of no rows");
    assert!(!ranks.contains(&0), "ranks are from 1");
    ranks.iter().map(|&rank| score(rank)).sum::<f64>() / ranks.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct Fixture {
        ranks: Vec<Ranks>,
        ndcg: Vec<Query>,
    }

    #[derive(serde::Deserialize)]
    struct Ranks {
        ranks: Vec<usize>,
        mrr: f64,
        /// By k - 1.
        recall: Vec<f64>,
    }

    #[derive(serde::Deserialize)]
    struct Query {
        relevance: Vec<f64>,
        /// By k - 1.
        ndcg: Vec<f64>,
    }

    fn fixture() -> Fixture {
        serde_json::from_str(include_str!("../../tests/fixtures/ranking.json")).unwrap()
    }

    fn near(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-9, "{a} is not {b}");
    }

    /// Values by scikit-learn: tests/fixtures/task_metrics.py.
    #[test]
    fn ranks_equal_to_scikit_learn() {
        let cases = fixture().ranks;
        assert!(cases.len() >= 3);
        for case in cases {
            near(mrr(&case.ranks), case.mrr);
            near(accuracy_at_1(&case.ranks), case.recall[0]);
            case.recall.iter().enumerate().for_each(|(i, &share)| near(recall_at(i + 1, &case.ranks), share));
        }
    }

    #[test]
    fn ndcg_equal_to_scikit_learn() {
        let cases = fixture().ndcg;
        assert!(cases.len() >= 8);
        for case in cases {
            for (i, &expected) in case.ndcg.iter().enumerate() {
                near(ndcg_at(i + 1, &case.relevance, &case.relevance), expected);
            }
        }
    }

    #[test]
    fn what_was_not_found_counts_as_missed() {
        near(ndcg_at(10, &[1.0], &[0.0, 1.0, 1.0]), 1.0 / (1.0 + 1.0 / 3f64.log2()));
    }
}
