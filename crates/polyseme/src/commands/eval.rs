//! `polyseme eval`: a fine-tuned model's metrics on labelled rows.

use crate::args::EvalArgs;
use crate::commands::{Context, Interrupted};
use crate::render::confusion::confusion;
use crate::render::numbers::group;
use crate::render::table::table;
use polyseme_text::Table;
use polyseme_train::evaluate::{Evaluation, evaluate};
use polyseme_train::finetune::data::Columns;
use polyseme_train::metrics::ClassifyMetrics;
use serde::Serialize;

#[derive(Serialize)]
struct Evaluated<'a> {
    task: &'static str,
    rows: u64,
    truncated: usize,
    #[serde(flatten)]
    metrics: &'a ClassifyMetrics,
}

/// Evaluates and shows the metrics.
pub fn run(args: &EvalArgs, context: &Context) -> anyhow::Result<()> {
    let encoder = context.open(&args.model)?;
    encoder.labels()?; // what is no classifier is said before the table is read
    let table = Table::read(&args.data)?;
    let columns = Columns { text: args.text.clone(), pair: args.pair.clone(), label: args.label.clone() };
    let mut progress = context.progress();
    progress.begin("evaluate");
    let mut rows = 0;
    let mut tell = |done, total| {
        rows = total;
        progress.update(done, total);
    };
    let Some(found) = evaluate(&encoder, &table, &columns, args.max_length, &mut tell, &context.stop)? else {
        return Err(Interrupted.into());
    };
    progress.finish();
    let Evaluation { metrics, truncated } = found;
    if truncated > 0 {
        context.note(&format!("{} texts were longer than the longest input and were cut", group(truncated as u64)));
    }
    let json = Evaluated { task: "classify", rows, truncated, metrics: &metrics };
    context.result(&json, &show(&metrics, rows))
}

fn show(m: &ClassifyMetrics, rows: u64) -> String {
    let line = |name: &str, value: f64| vec![name.to_owned(), format!("{value:.4}")];
    let mut text = table(
        &["classify", &format!("{} rows", group(rows))],
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
