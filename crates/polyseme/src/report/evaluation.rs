//! The report of an evaluation: what the report of a fine-tuning says of its validation rows, of any file.

use super::html::Page;
use super::measured::{heading, measured_facts, scores, sentence};
use super::{Made, analysis, made_section};
use polyseme_train::evaluate::Evaluation;
use std::path::Path;

/// The page as one string of HTML.
pub fn page(model: &Path, data: &Path, found: &Evaluation, made: &Made) -> String {
    let (task, metrics) = (found.task, &found.metrics);
    let lede = format!("{} measured on {}. {}", model.display(), data.display(), sentence(task, metrics, "measured"));
    let mut page = Page::new("Polyseme · evaluation", &heading(task, metrics), &lede);
    page.facts(&measured_facts(task, metrics, ""));
    scores(&mut page, metrics, "");
    if let Some(found) = &found.analysis {
        analysis::sections(&mut page, found, metrics, "measured");
    }
    made_section(&mut page, made);
    page.finish()
}
