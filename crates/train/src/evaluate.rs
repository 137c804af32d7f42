//! Scores of a fine-tuned model on labelled rows.

use crate::error::Result;
use crate::finetune::data::{Columns, Labelled};
use crate::metrics::{ClassifyMetrics, Metrics, RegressMetrics};
use crate::observer::Stop;
use polyseme_infer::Encoder;
use polyseme_models::HeadKind;
use polyseme_text::Table;

/// Rows predicted between two reports of progress.
const PART: usize = 512;

/// What an evaluation came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// Metrics over all rows.
    pub metrics: Metrics,
    /// Rows whose texts were cut.
    pub truncated: usize,
}

/// Predicts every row of `table`, cut at `max_length` tokens (`None`: the folder's limit), and
/// compares. `progress(done, total)` is called in rows. `None`: it was asked to stop.
///
/// # Errors
/// The model has no head over whole texts; a column is missing; a row lacks its text or label; a
/// label is none of the model's, or no number.
pub fn evaluate(
    encoder: &Encoder,
    table: &Table,
    columns: &Columns,
    max_length: Option<usize>,
    progress: &mut dyn FnMut(u64, u64),
    stop: &Stop,
) -> Result<Option<Evaluation>> {
    let rows = Labelled::new(table, columns)?;
    let total = rows.rows.len() as u64;
    let regress = encoder.model.head() == HeadKind::Regress;
    let labels = if regress { Vec::new() } else { encoder.labels()? };
    // What is wrong with the labels is said before anything is computed.
    let (truth, numbers) = match regress {
        true => (Vec::new(), rows.measured()?),
        false => (rows.numbers(&labels)?, Vec::new()),
    };
    let (mut predicted, mut predicted_numbers) = (Vec::with_capacity(truth.len()), Vec::with_capacity(numbers.len()));
    let (mut loss, mut truncated, mut done) = (0.0, 0, 0);
    for part in rows.rows.chunks(PART) {
        if stop.requested() {
            return Ok(None);
        }
        let texts: Vec<_> = part.iter().map(|r| r.texts.clone()).collect();
        let encodings = encoder.encode(&texts, max_length)?;
        truncated += encodings.iter().filter(|e| e.truncated > 0).count();
        if regress {
            predicted_numbers.extend(encoder.predict_numbers_encoded(&encodings)?);
        } else {
            for answer in encoder.predict_encoded(&encodings)? {
                // A probability that rounds to 0 in f32 would make the mean infinite.
                let probability = answer.scores[truth[predicted.len()]].max(f32::MIN_POSITIVE);
                loss -= f64::from(probability).ln();
                predicted.push(best(&answer.scores));
            }
        }
        done += part.len() as u64;
        progress(done, total);
    }
    let metrics = match regress {
        true => Metrics::Regress(RegressMetrics::new(&numbers, &predicted_numbers)),
        false => Metrics::Classify(ClassifyMetrics::new(&labels, &truth, &predicted, loss / truth.len() as f64)),
    };
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
