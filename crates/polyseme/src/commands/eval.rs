//! `polyseme eval`: a fine-tuned model's metrics on labelled rows.

use crate::args::EvalArgs;
use crate::commands::Context;
use crate::render::confusion::confusion;
use crate::render::numbers::group;
use crate::render::table::table;
use polyseme_infer::{Encoder, TextPair};
use polyseme_text::{Column, Table};
use polyseme_train::Error;
use polyseme_train::metrics::ClassifyMetrics;
use serde::Serialize;

/// Rows between two looks at Ctrl-C and the progress.
const PIECE: usize = 512;

#[derive(Serialize)]
struct Evaluated<'a> {
    task: &'static str,
    rows: usize,
    truncated: usize,
    #[serde(flatten)]
    metrics: &'a ClassifyMetrics,
}

/// Evaluates and shows the metrics.
pub fn run(args: &EvalArgs, context: &Context) -> anyhow::Result<()> {
    let encoder = context.open(&args.model)?;
    let labels = encoder.labels()?;
    let (texts, truth) = read(args, &labels)?;
    let (metrics, truncated) = evaluate(&encoder, &texts, &truth, &labels, args.max_length, context)?;
    if truncated > 0 {
        context.note(&format!("{} texts were longer than the longest input and were cut", group(truncated as u64)));
    }
    let json = Evaluated { task: "classify", rows: truth.len(), truncated, metrics: &metrics };
    context.result(&json, &show(&metrics, truth.len()))
}

/// Texts and the numbers of their labels.
fn read(args: &EvalArgs, labels: &[String]) -> anyhow::Result<(Vec<TextPair>, Vec<usize>)> {
    let table = Table::read(&args.data)?;
    let label = match &args.label {
        Some(name) => table.column(name)?,
        None => table.guess_label()?,
    };
    let text = match &args.text {
        Some(name) => table.column(name)?,
        None => table.guess_text(Some(&label.name))?,
    };
    let pair = args.pair.as_deref().map(|name| table.column(name)).transpose()?;
    let whole = |column: &Column| match column.values.iter().position(Option::is_none) {
        Some(row) => Err(Error::MissingValue {
            file: args.data.clone(),
            row: row + 1,
            column: column.name.clone(),
            count: column.values.iter().filter(|v| v.is_none()).count(),
        }),
        None => Ok(column.values.iter().flatten().cloned().collect::<Vec<String>>()),
    };
    let numbers = whole(label)?.into_iter().enumerate().map(|(row, label)| {
        labels.iter().position(|l| *l == label).ok_or_else(|| Error::UnseenLabel {
            file: args.data.clone(),
            row: row + 1,
            label,
            known: labels.iter().take(12).map(|l| format!("`{l}`")).collect::<Vec<_>>().join(", "),
        })
    });
    let truth = numbers.collect::<Result<Vec<usize>, Error>>()?;
    let texts = whole(text)?;
    let pairs = match pair {
        Some(column) => whole(column)?.into_iter().map(Some).collect(),
        None => vec![None; texts.len()],
    };
    Ok((texts.into_iter().zip(pairs).collect(), truth))
}

/// Metrics, and how many texts were cut.
fn evaluate(
    encoder: &Encoder,
    texts: &[TextPair],
    truth: &[usize],
    labels: &[String],
    max_length: Option<usize>,
    context: &Context,
) -> anyhow::Result<(ClassifyMetrics, usize)> {
    let mut progress = context.progress();
    progress.begin("evaluate");
    let mut predicted = Vec::with_capacity(texts.len());
    let (mut loss, mut truncated) = (0.0, 0);
    for piece in texts.chunks(PIECE) {
        context.check_stop()?;
        let encodings = encoder.encode(piece, max_length)?;
        truncated += encodings.iter().filter(|e| e.truncated > 0).count();
        for p in encoder.predict_encoded(&encodings)? {
            let right = p.scores[truth[predicted.len()]];
            loss -= f64::from(right.max(f32::MIN_POSITIVE)).ln();
            predicted.push(labels.iter().position(|l| *l == p.label).expect("a label of the model"));
        }
        progress.update(predicted.len() as u64, texts.len() as u64);
    }
    progress.finish();
    Ok((ClassifyMetrics::new(labels, truth, &predicted, loss / truth.len() as f64), truncated))
}

fn show(m: &ClassifyMetrics, rows: usize) -> String {
    let line = |name: &str, value: f64| vec![name.to_owned(), format!("{value:.4}")];
    let mut text = table(
        &["classify", &format!("{} rows", group(rows as u64))],
        &[line("accuracy", m.accuracy), line("macro_f1", m.macro_f1), line("loss", m.loss)],
    );
    let classes: Vec<Vec<String>> = m
        .classes
        .iter()
        .map(|c| {
            let number = |x: f64| format!("{x:.3}");
            vec![c.label.clone(), number(c.precision), number(c.recall), number(c.f1), group(c.support)]
        })
        .collect();
    text.push('\n');
    text += &table(&["label", "precision", "recall", "f1", "rows"], &classes);
    text.push('\n');
    text + &confusion(m)
}
