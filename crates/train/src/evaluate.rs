//! Scores of a classifier on labelled rows.

use crate::error::Result;
use crate::finetune::data::{Columns, Labelled};
use crate::metrics::ClassifyMetrics;
use crate::observer::Stop;
use polyseme_infer::Encoder;
use polyseme_text::Table;

/// Rows predicted between two reports of progress.
const PART: usize = 512;

/// What an evaluation came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// Metrics over all rows.
    pub metrics: ClassifyMetrics,
    /// Rows whose texts were cut.
    pub truncated: usize,
}

/// Predicts every row of `table`, cut at `max_length` tokens (`None`: the folder's limit), and
/// compares. `progress(done, total)` is called in rows. `None`: it was asked to stop.
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
    stop: &Stop,
) -> Result<Option<Evaluation>> {
    let labels = encoder.labels()?;
    let rows = Labelled::new(table, columns)?;
    let truth = rows.numbers(&labels)?;
    let mut predicted = Vec::with_capacity(truth.len());
    let (mut loss, mut truncated) = (0.0, 0);
    for part in rows.rows.chunks(PART) {
        if stop.requested() {
            return Ok(None);
        }
        let texts: Vec<_> = part.iter().map(|r| r.texts.clone()).collect();
        let encodings = encoder.encode(&texts, max_length)?;
        truncated += encodings.iter().filter(|e| e.truncated > 0).count();
        for answer in encoder.predict_encoded(&encodings)? {
            let given = best(&answer.scores);
            // A probability that rounds to 0 in f32 would make the mean infinite.
            let probability = answer.scores[truth[predicted.len()]].max(f32::MIN_POSITIVE);
            loss -= f64::from(probability).ln();
            predicted.push(given);
        }
        progress(predicted.len() as u64, truth.len() as u64);
    }
    let metrics = ClassifyMetrics::new(&labels, &truth, &predicted, loss / truth.len() as f64);
    Ok(Some(Evaluation { metrics, truncated }))
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
