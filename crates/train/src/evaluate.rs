//! Scores of a classifier on labelled rows.

use crate::error::{Error, Result};
use crate::finetune::data::{Columns, Labelled};
use crate::metrics::ClassifyMetrics;
use polyseme_infer::Encoder;
use polyseme_models::HeadKind;
use polyseme_text::Table;

/// Rows predicted between two reports of progress.
const PART: usize = 512;

/// Predicts every row of `table`, cut at `max_length` tokens (`None`: the folder's limit), and
/// compares. `progress(done, total)` is called in rows.
///
/// # Errors
/// The model has no classification head; a column is missing; a row lacks its text or label; a
/// label is none of the model's.
pub fn evaluate(
    encoder: &Encoder,
    table: &Table,
    columns: &Columns,
    max_length: Option<usize>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<ClassifyMetrics> {
    let HeadKind::Classify(labels) = encoder.model.head() else { return Err(Error::NoClassifier) };
    let rows = Labelled::new(table, columns)?;
    let truth = rows.numbers(&labels)?;
    let mut predicted = Vec::with_capacity(truth.len());
    let mut loss = 0.0;
    for part in rows.rows.chunks(PART) {
        let texts: Vec<_> = part.iter().map(|r| r.texts.clone()).collect();
        for answer in encoder.predict_cut(&texts, max_length)? {
            let given = best(&answer.scores);
            // A probability that rounds to 0 in f32 would make the mean infinite.
            let probability = answer.scores[truth[predicted.len()]].max(f32::MIN_POSITIVE);
            loss -= f64::from(probability).ln();
            predicted.push(given);
        }
        progress(predicted.len() as u64, truth.len() as u64);
    }
    Ok(ClassifyMetrics::new(&labels, &truth, &predicted, loss / truth.len() as f64))
}

/// The first of the highest scores.
fn best(scores: &[f32]) -> usize {
    let mut best = 0;
    for (i, &score) in scores.iter().enumerate() {
        if score > scores[best] {
            best = i;
        }
    }
    best
}
