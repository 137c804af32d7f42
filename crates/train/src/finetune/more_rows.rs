//! More rows for a student than there are labels for: texts without labels, and rows with words exchanged. The teacher
//! says their labels.

use super::data::{Labelled, LabelledRow};
use super::settings::FinetuneSettings;
use crate::error::{Error, Result};
use crate::observer::{Event, Observer};
use polyseme_infer::{Encoder, Exchange};
use polyseme_models::HeadKind;
use polyseme_tensor::Stream;
use polyseme_text::table::TextRows;
use std::collections::BTreeSet;

/// Rows at a time.
const WINDOW: usize = 1_024;

type Texts = (String, Option<String>);

/// Adds rows to those that are learned from. A text that validation has is left out.
///
/// # Errors
/// A file or a teacher that cannot be read, a teacher without a head of the task.
pub(super) fn add(
    settings: &FinetuneSettings,
    train: &mut Labelled,
    valid: &Labelled,
    longest: usize,
    observer: &mut dyn Observer,
) -> Result<()> {
    let distil = &settings.distil;
    let Some(folder) = distil.teacher.as_ref().filter(|_| distil.wants_more_rows()) else { return Ok(()) };
    let mut teacher = Encoder::open(folder)?;
    teacher.model.set_bf16(settings.optimizer.rounding_of_teacher());
    let valid: BTreeSet<&Texts> = valid.rows.iter().map(|row| &row.texts).collect();
    let mut found = without_labels(settings, train)?;
    let unlabelled = found.len();
    let words = distil.augment_with.as_ref().map(Encoder::open).transpose()?;
    let by = words.as_ref().unwrap_or(&teacher);
    let known: Vec<Texts> = train.rows.iter().map(|row| row.texts.clone()).collect();
    found.extend(exchanged(&known, by, distil.augment, distil.augment_share, Stream::new(settings.seed))?);
    let all = found.len();
    found.retain(|texts| !valid.contains(texts));
    let leaks = all - found.len();
    let before = train.rows.len();
    for window in found.chunks(WINDOW) {
        let labels = said(&teacher, window, longest, &settings.label_separator)?;
        let row =
            |(texts, label): (&Texts, String)| LabelledRow { texts: texts.clone(), choices: Vec::new(), label, row: 0 };
        train.rows.extend(window.iter().zip(labels).map(row));
    }
    let left_out = if leaks > 0 { format!("; {leaks} that validation has are left out") } else { String::new() };
    observer.event(Event::Note(&format!(
        "{} rows more, with the teacher's labels: {unlabelled} without labels, {} with words exchanged{left_out}",
        train.rows.len() - before,
        all - unlabelled
    )));
    Ok(())
}

/// Texts of the files without labels, each once.
fn without_labels(settings: &FinetuneSettings, train: &Labelled) -> Result<Vec<Texts>> {
    let (mut seen, mut found) = (BTreeSet::new(), Vec::new());
    for file in &settings.distil.unlabelled {
        let lines = file.to_string_lossy().contains(".txt");
        let text = train.columns.text.as_deref().filter(|_| !lines);
        let mut rows = TextRows::open(Some(file), text, train.columns.pair.as_deref().filter(|_| !lines))?;
        let before = found.len();
        loop {
            let batch = rows.next_batch(WINDOW)?;
            if batch.is_empty() {
                break;
            }
            let texts = batch.into_iter().map(|row| (row.text, row.pair)).filter(|(text, _)| !text.trim().is_empty());
            found.extend(texts.filter(|texts| seen.insert(texts.clone())));
        }
        if found.len() == before {
            return Err(Error::NoRows { file: file.clone() });
        }
    }
    Ok(found)
}

/// Copies of rows with words exchanged, each that differs from its row.
fn exchanged(rows: &[Texts], by: &Encoder, copies: usize, share: f64, stream: Stream) -> Result<Vec<Texts>> {
    let mut found = Vec::new();
    if copies == 0 {
        return Ok(found);
    }
    let mut exchange = Exchange::new(by, share);
    for copy in 0..copies {
        for (number, window) in rows.chunks(WINDOW).enumerate() {
            let stream = stream.named("exchange").at(copy as u64).at(number as u64);
            let first: Vec<String> = window.iter().map(|(text, _)| text.clone()).collect();
            let second: Vec<String> = window.iter().map(|(_, pair)| pair.clone().unwrap_or_default()).collect();
            let first = exchange.texts(&first, stream.named("text"))?;
            let second = exchange.texts(&second, stream.named("pair"))?;
            let both = first.into_iter().zip(second).zip(window);
            let both = both.map(|((first, second), (_, pair))| (first, pair.as_ref().map(|_| second)));
            found.extend(both.zip(window).filter(|(new, old)| new != *old).map(|(new, _)| new));
        }
    }
    Ok(found)
}

/// What a teacher says of texts, as a file would have it.
fn said(teacher: &Encoder, texts: &[Texts], longest: usize, separator: &str) -> Result<Vec<String>> {
    let encodings = teacher.encode(texts, Some(longest))?;
    Ok(match teacher.model.head() {
        HeadKind::MultiLabel(_) => {
            let (labels, thresholds) = teacher.several_labels()?;
            let of = |chances: Vec<f32>| {
                let true_ones =
                    chances.iter().zip(&thresholds).zip(&labels).filter(|((c, t), _)| f64::from(**c) >= **t);
                true_ones.map(|(_, label)| label.as_str()).collect::<Vec<_>>().join(separator)
            };
            teacher.predict_several_encoded(&encodings)?.into_iter().map(of).collect()
        }
        // Four digits: the same on any number of threads.
        HeadKind::Regress => teacher.predict_numbers_encoded(&encodings)?.iter().map(|n| format!("{n:.4}")).collect(),
        _ => teacher.predict_encoded(&encodings)?.into_iter().map(|p| p.label).collect(),
    })
}
