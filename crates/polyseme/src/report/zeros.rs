//! What is said of weights that became zero.

use super::html::{Cell, Page, table};
use polyseme_train::sparse::Zeros;

/// How many, in words.
pub fn sentence(zeros: &Zeros) -> String {
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    let low = zeros.matrices.values().copied().fold(f64::INFINITY, f64::min);
    let high = zeros.matrices.values().copied().fold(0.0, f64::max);
    format!(
        "{} of the weights in the {} matrices of its layers are zero (from {} to {} of each)",
        percent(zeros.share),
        zeros.matrices.len(),
        percent(low),
        percent(high)
    )
}

/// A table of all matrices.
pub fn section(page: &mut Page, zeros: &Zeros) {
    let rows: Vec<Vec<Cell>> = zeros
        .matrices
        .iter()
        .map(|(name, share)| vec![Cell::Text(name.clone()), Cell::Number(format!("{:.2} %", 100.0 * share))])
        .collect();
    let text = format!(
        "{}. The folder is as large as before until it is compressed, and products of dense matrices are as fast.",
        sentence(zeros)
    );
    page.section("Zeros", &text, &table("Zeros in each matrix", &["Matrix", "Zeros"], &rows));
}
