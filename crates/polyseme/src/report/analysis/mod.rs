//! The sections on what a model gets wrong: calibration, precision against recall, scatter, the worst errors.

mod calibration;
mod plot;
mod precision;
mod scatter;
#[cfg(test)]
mod tests;
mod worst;

use super::html::{Page, escape};
use polyseme_train::analysis::Analysis;
use polyseme_train::metrics::Metrics;
use std::fmt::Write;

/// Adds them to a page. `rows` says which rows were measured: "validation".
pub fn sections(page: &mut Page, analysis: &Analysis, metrics: &Metrics, rows: &str) {
    if let Some(found) = &analysis.calibration {
        calibration::section(page, found, matches!(metrics, Metrics::Multilabel(_)));
    }
    if let Some(found) = &analysis.precision_recall {
        precision::section(page, found, analysis.rows);
    }
    if let Some(found) = &analysis.scatter {
        scatter::section(page, found, analysis, metrics);
    }
    worst::section(page, analysis, rows);
}

/// A drawing with numbers and words beside it.
fn beside(figure: &str, numbers: &[(&str, String)], words: &str) -> String {
    let mut out = format!("<div class=\"side\">{figure}<div><dl>");
    for (name, value) in numbers {
        let _ = write!(out, "<div><dt>{}</dt><dd>{}</dd></div>", escape(name), escape(value));
    }
    let _ = writeln!(out, "</dl><p>{}</p></div></div>", escape(words));
    out
}
