//! What a confusion matrix says: scores of each class, the matrix as a heat table, the usual mistakes.

use super::html::{Cell, escape, table};
use super::scale::{grouped, percent, short};
use polyseme_train::metrics::{ClassScores, ClassifyMetrics};
use std::fmt::Write;

/// Above this many classes the matrix is no longer readable, and only the mistakes are listed.
const LARGEST_MATRIX: usize = 30;

fn at(confusion: &[Vec<u64>], truth: usize, predicted: usize) -> u64 {
    confusion.get(truth).and_then(|row| row.get(predicted)).copied().unwrap_or(0)
}

fn name(metrics: &ClassifyMetrics, class: usize) -> String {
    metrics.labels.get(class).cloned().unwrap_or_else(|| format!("class {class}"))
}

/// The table of classes; where they have thresholds, with these.
pub fn class_table(classes: &[ClassScores], thresholds: Option<&[f64]>) -> String {
    let rows: Vec<Vec<Cell>> = classes
        .iter()
        .enumerate()
        .map(|(i, s)| {
            let threshold = thresholds.map(|t| Cell::Number(t.get(i).map_or(String::new(), |t| short(*t))));
            let scores = [
                Cell::Text(s.label.clone()),
                Cell::Number(percent(s.precision)),
                Cell::Number(percent(s.recall)),
                Cell::Number(percent(s.f1)),
                Cell::Number(grouped(s.support)),
            ];
            scores.into_iter().chain(threshold).collect()
        })
        .collect();
    let head = ["Class", "Precision", "Recall", "F1", "Rows", "Threshold"];
    table("Scores of each class", &head[..if thresholds.is_some() { 6 } else { 5 }], &rows)
}

/// The confusion matrix: truth down, answers across, shaded by the share of the truth's rows.
pub fn heat_table(metrics: &ClassifyMetrics) -> String {
    let n = metrics.confusion.len();
    if n > LARGEST_MATRIX {
        return mistakes(metrics, 25);
    }
    let mut out = String::from(
        "<div class=\"scroll heat\" tabindex=\"0\" role=\"region\" aria-label=\"Confusion matrix\"><table>\
         <caption>Rows: what it is. Columns: what the model said. Shade: share of the row.</caption><thead><tr><td></td>",
    );
    for c in 0..n {
        let _ = write!(out, "<th scope=\"col\"><span>{}</span></th>", escape(&clip(&name(metrics, c))));
    }
    out.push_str("</tr></thead><tbody>\n");
    for t in 0..n {
        let total = metrics.confusion[t].iter().sum::<u64>().max(1);
        let _ = write!(out, "<tr><th scope=\"row\">{}</th>", escape(&name(metrics, t)));
        for p in 0..n {
            let count = at(&metrics.confusion, t, p);
            let share = count as f64 / total as f64;
            let mut class = String::new();
            class.push_str(if count == 0 { " zero" } else { "" });
            class.push_str(if share > 0.45 { " hot" } else { "" });
            class.push_str(if t == p { " right" } else { "" });
            let _ = write!(out, "<td class=\"{}\" style=\"--h:{share:.2}\">{count}</td>", class.trim_start());
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div>\n");
    out
}

/// A name short enough for a column.
fn clip(name: &str) -> String {
    if name.chars().count() <= 24 { name.to_owned() } else { name.chars().take(23).chain(['…']).collect() }
}

/// The most frequent mistakes, most frequent first.
pub fn mistakes(metrics: &ClassifyMetrics, most: usize) -> String {
    let n = metrics.confusion.len();
    let mut pairs: Vec<(u64, usize, usize)> = (0..n)
        .flat_map(|t| (0..n).map(move |p| (t, p)))
        .filter(|(t, p)| t != p)
        .map(|(t, p)| (at(&metrics.confusion, t, p), t, p))
        .filter(|m| m.0 > 0)
        .collect();
    pairs.sort_by_key(|&(count, t, p)| (std::cmp::Reverse(count), t, p));
    if pairs.is_empty() {
        return "<p class=\"none\">No mistakes.</p>\n".to_owned();
    }
    let rows: Vec<Vec<Cell>> = pairs
        .iter()
        .take(most)
        .map(|&(count, t, p)| {
            let of = metrics.confusion[t].iter().sum::<u64>().max(1);
            vec![
                Cell::Text(name(metrics, t)),
                Cell::Text(name(metrics, p)),
                Cell::Number(grouped(count)),
                Cell::Number(percent(count as f64 / of as f64)),
            ]
        })
        .collect();
    table("The most frequent mistakes", &["It is", "The model said", "Rows", "Share of the class"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_classes_become_a_list() {
        let n = LARGEST_MATRIX + 1;
        let labels: Vec<String> = (0..n).map(|i| format!("<{i}>")).collect();
        let truth: Vec<usize> = (0..n).collect();
        let predicted: Vec<usize> = (0..n).map(|t| (t + 1) % n).collect();
        let metrics = ClassifyMetrics::new(&labels, &truth, &predicted, 1.0);
        let html = heat_table(&metrics);
        assert!(html.contains("most frequent") && html.contains("&lt;3&gt;") && !html.contains("<3>"));
    }
}
