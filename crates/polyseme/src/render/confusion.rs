//! Which labels are taken for which.

use crate::render::numbers::group;
use crate::render::table::table;
use polyseme_train::metrics::ClassifyMetrics;

/// More labels than this make a matrix nobody can read; then only the worst pairs are shown.
const MATRIX_LABELS: usize = 10;
const WORST_PAIRS: usize = 10;

/// The confusion matrix, a row for each true label; with many labels the most frequent mistakes.
pub fn confusion(m: &ClassifyMetrics) -> String {
    if m.labels.len() <= MATRIX_LABELS { matrix(m) } else { worst(m) }
}

fn matrix(m: &ClassifyMetrics) -> String {
    let header: Vec<&str> = std::iter::once("true \\ predicted").chain(m.labels.iter().map(String::as_str)).collect();
    let rows: Vec<Vec<String>> = m
        .labels
        .iter()
        .zip(&m.confusion)
        .map(|(label, counts)| std::iter::once(label.clone()).chain(counts.iter().map(|&n| group(n))).collect())
        .collect();
    table(&header, &rows)
}

fn worst(m: &ClassifyMetrics) -> String {
    let mut pairs: Vec<(u64, usize, usize)> = Vec::new();
    for (t, counts) in m.confusion.iter().enumerate() {
        pairs.extend(counts.iter().enumerate().filter(|&(p, &n)| p != t && n > 0).map(|(p, &n)| (n, t, p)));
    }
    pairs.sort_by_key(|&(n, t, p)| (std::cmp::Reverse(n), t, p));
    let row = |&(n, t, p): &(u64, usize, usize)| vec![m.labels[t].clone(), m.labels[p].clone(), group(n)];
    let rows: Vec<Vec<String>> = pairs.iter().take(WORST_PAIRS).map(row).collect();
    if rows.is_empty() { String::new() } else { table(&["true", "taken for", "rows"], &rows) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics(n: usize) -> ClassifyMetrics {
        let labels: Vec<String> = (0..n).map(|i| format!("l{i}")).collect();
        let truth: Vec<usize> = (0..n).collect();
        let predicted: Vec<usize> = truth.iter().map(|&t| if t == 1 { 0 } else { t }).collect();
        ClassifyMetrics::new(&labels, &truth, &predicted, 0.5)
    }

    #[test]
    fn few_labels_give_a_matrix_many_the_worst_pairs() {
        assert_eq!(
            confusion(&metrics(2)),
            "true \\ predicted  l0  l1\nl0                 1   0\nl1                 1   0\n"
        );
        assert_eq!(confusion(&metrics(20)), "true  taken for  rows\nl1    l0            1\n");
    }
}
