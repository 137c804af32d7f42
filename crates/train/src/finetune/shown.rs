//! What a reader is shown of rows a model is measured on: where they stand, and the beginnings of their texts.

use super::data::{Labelled, LabelledRow};
use crate::analysis::{Shown, begin};
use polyseme_text::Tagged;

/// Texts of labelled rows: text and second text, or text and choices.
pub(super) fn rows(rows: &Labelled) -> Vec<Shown> {
    let of = |row: &LabelledRow| {
        let texts = [Some(&row.texts.0), row.texts.1.as_ref()].into_iter().flatten().chain(&row.choices);
        Shown { place: format!("row {}", row.row), texts: texts.map(|text| begin(text)).collect() }
    };
    rows.rows.iter().map(of).collect()
}

/// Words of sentences.
pub(super) fn sentences(rows: Tagged) -> Vec<Shown> {
    let of = |s: polyseme_text::TaggedSentence| Shown { place: format!("line {}", s.line), texts: s.tokens };
    rows.sentences.into_iter().map(of).collect()
}
