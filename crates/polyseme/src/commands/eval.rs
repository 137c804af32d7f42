//! `polyseme eval`: a fine-tuned model's metrics on labelled rows.

use crate::args::EvalArgs;
use crate::commands::{Context, Interrupted};
use crate::render::confusion::confusion;
use crate::render::numbers::group;
use crate::render::table::table;
use polyseme_models::HeadKind;
use polyseme_text::Table;
use polyseme_train::evaluate::{Evaluation, evaluate};
use polyseme_train::finetune::data::Columns;
use polyseme_train::finetune::metrics_of;
use polyseme_train::metrics::{ClassifyMetrics, Metrics};
use serde::Serialize;

#[derive(Serialize)]
struct Evaluated<'a> {
    task: &'static str,
    rows: u64,
    truncated: usize,
    #[serde(flatten)]
    metrics: &'a Metrics,
}

/// Evaluates and shows the metrics.
pub fn run(args: &EvalArgs, context: &Context) -> anyhow::Result<()> {
    let encoder = context.open(&args.model)?;
    if encoder.model.head() != HeadKind::Regress {
        encoder.labels()?; // what is no classifier is said before the table is read
    }
    let data = Table::read(&args.data)?;
    let columns = Columns { text: args.text.clone(), pair: args.pair.clone(), label: args.label.clone() };
    let mut progress = context.progress();
    progress.begin("evaluate");
    let mut rows = 0;
    let mut tell = |done, total| {
        rows = total;
        progress.update(done, total);
    };
    let Some(found) = evaluate(&encoder, &data, &columns, args.max_length, &mut tell, &context.stop)? else {
        return Err(Interrupted.into());
    };
    progress.finish();
    let Evaluation { metrics, truncated } = found;
    if truncated > 0 {
        context.note(&format!("{} texts were longer than the longest input and were cut", group(truncated as u64)));
    }
    let task = if metrics.classes().is_some() { "classify" } else { "regress" };
    let json = Evaluated { task, rows, truncated, metrics: &metrics };
    let line = |name: &&str| vec![(*name).to_owned(), format!("{:.4}", metrics.get(name).unwrap_or(f64::NAN))];
    let lines: Vec<Vec<String>> = metrics_of(task).iter().map(line).collect();
    let mut text = table(&[task, &format!("{} rows", group(rows))], &lines);
    match &metrics {
        Metrics::Classify(m) => text += &of_classes(m),
        Metrics::Regress(m) => {
            text += &format!("\nalways giving the mean ({:.4}) would have an rmse of {:.4}\n", m.mean, m.deviation);
        }
    }
    context.result(&json, &text)
}

fn of_classes(m: &ClassifyMetrics) -> String {
    let classes: Vec<Vec<String>> = m
        .classes
        .iter()
        .map(|c| {
            let number = |x: f64| format!("{x:.3}");
            vec![c.label.clone(), number(c.precision), number(c.recall), number(c.f1), group(c.support)]
        })
        .collect();
    let mut text = "\n".to_owned();
    text += &table(&["label", "precision", "recall", "f1", "rows"], &classes);
    text.push('\n');
    text + &confusion(m)
}
