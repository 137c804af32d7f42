//! `polyseme eval`: a fine-tuned model's metrics on labelled rows, a language model's on texts.

use crate::args::EvalArgs;
use crate::commands::{Context, Interrupted};
use crate::render::confusion::confusion;
use crate::render::numbers::group;
use crate::render::table::table;
use crate::report::evaluation as evaluation_page;
use crate::settings::Error::Contradiction;
use polyseme_formats::Error;
use polyseme_formats::atomic::Pending;
use polyseme_infer::{Encoder, head_name};
use polyseme_models::HeadKind;
use polyseme_text::CorpusReader;
use polyseme_train::evaluate::{EvaluateSettings, Evaluation, LanguageMetrics, evaluate, evaluate_language};
use polyseme_train::finetune::data::Columns;
use polyseme_train::metrics::{ClassScores, ClassifyMetrics, Metrics, metrics_of};
use std::io::Write;

/// Evaluates and shows the metrics.
pub fn run(args: &EvalArgs, context: &Context) -> anyhow::Result<()> {
    let encoder = context.open(&args.model)?;
    if encoder.model.head() == HeadKind::MaskedLm {
        return of_language(args, &encoder, context);
    }
    // Before the work, so that a path where nothing can be written costs none.
    let report = args.report.as_deref().map(Pending::create).transpose()?;
    let usual = EvaluateSettings::default();
    let settings = EvaluateSettings {
        columns: Columns {
            text: args.text.clone(),
            pair: args.pair.clone(),
            label: args.label.clone(),
            choices: args.choices.clone(),
        },
        label_separator: args.label_separator.clone().unwrap_or(usual.label_separator),
        max_length: args.max_length,
        stride: usual.stride,
        max_new_tokens: args.max_new_tokens.map_or(usual.max_new_tokens, |n| n as usize),
        analyse: args.report.is_some(),
    };
    let mut progress = context.progress();
    progress.begin("evaluate");
    let mut tell = |done, total| progress.update(done, total);
    let Some(found) = evaluate(&encoder, &args.data, &settings, &mut tell, &context.stop)? else {
        return Err(Interrupted.into());
    };
    progress.finish();
    if let Some(mut file) = report {
        let (page, path) = (evaluation_page(&args.model, &args.data, &found, &context.made()), file.path().to_owned());
        let written = file.file_mut().write_all(page.as_bytes());
        written.map_err(|source| Error::Io { action: "write", path: path.clone(), source })?;
        file.commit()?;
        context.note(&format!("report: {}", path.display()));
    }
    let Evaluation { task, metrics, truncated, .. } = found;
    if truncated > 0 {
        context.note(&format!("{} texts were longer than the longest input and were cut", group(truncated as u64)));
    }
    let (count, what) = metrics.measured_on();
    let mut json = serde_json::json!({ "task": task, what: count, "truncated": truncated });
    let keys = json.as_object_mut().expect("just made");
    if let serde_json::Value::Object(more) = serde_json::to_value(&metrics)? {
        // The kind of the metrics is told by the task.
        keys.extend(more.into_iter().filter(|(key, _)| key != "task"));
    }
    let line = |name: &&str| vec![(*name).to_owned(), format!("{:.4}", metrics.get(name).unwrap_or(f64::NAN))];
    let lines: Vec<Vec<String>> = metrics_of(task).iter().map(line).collect();
    let mut text = table(&[task, &format!("{} {what}", group(count))], &lines);
    text += &match &metrics {
        Metrics::Classify(m) => of_classes(m),
        Metrics::Multilabel(m) => of_labels("label", &m.classes),
        Metrics::Tag(m) => of_labels("label", &m.types),
        Metrics::Regress(_) if task == "similarity" => String::new(),
        Metrics::Regress(m) => {
            format!("\nalways giving the mean ({:.4}) would have an rmse of {:.4}\n", m.mean, m.deviation)
        }
        Metrics::Answer(m) if m.unanswerable > 0 => format!(
            "\nf1 {:.4} of the {} questions with an answer; {:.4} of the {} without one are left without one\n",
            m.answerable_f1,
            group(m.answerable),
            m.unanswerable_right,
            group(m.unanswerable)
        ),
        Metrics::Answer(_) | Metrics::Sequence(_) => String::new(),
        Metrics::Retrieval(m) => format!("\neach among {} candidates\n", group(m.candidates)),
    };
    context.result(&json, &text)
}

/// What a language model says of hidden tokens.
fn of_language(args: &EvalArgs, encoder: &Encoder, context: &Context) -> anyhow::Result<()> {
    if let Some(flag) = of_rows_only(args) {
        return Err(Contradiction {
            first: flag.into(),
            second: format!("MODEL, a folder with {}", head_name(&encoder.model.head())),
            why: "it is measured on hidden tokens of texts, without labels; `polyseme finetune` makes a model of labelled rows"
                .into(),
        }
        .into());
    }
    let corpus = CorpusReader::open(std::slice::from_ref(&args.data), args.text.as_deref())?;
    let mut progress = context.progress();
    let seed = context.seed.unwrap_or(0);
    let found = evaluate_language(encoder, &corpus, args.max_length, seed, &mut progress, &context.stop)?;
    let Some(found) = found else { return Err(Interrupted.into()) };
    progress.finish();
    let mut json = serde_json::json!({ "task": "mlm" });
    if let (Some(keys), serde_json::Value::Object(more)) = (json.as_object_mut(), serde_json::to_value(&found)?) {
        keys.extend(more);
    }
    context.result(&json, &spell(&found))
}

/// A flag that says something of labelled rows.
fn of_rows_only(args: &EvalArgs) -> Option<&'static str> {
    let given = [
        ("--pair", args.pair.is_some()),
        ("--label", args.label.is_some()),
        ("--choices", !args.choices.is_empty()),
        ("--label-separator", args.label_separator.is_some()),
        ("--max-new-tokens", args.max_new_tokens.is_some()),
        ("--report", args.report.is_some()),
    ];
    given.into_iter().find(|(_, given)| *given).map(|(flag, _)| flag)
}

fn spell(found: &LanguageMetrics) -> String {
    let lines = [
        vec!["loss".to_owned(), format!("{:.4}", found.loss)],
        vec!["perplexity".to_owned(), format!("{:.2}", found.perplexity)],
        vec!["accuracy".to_owned(), format!("{:.4}", found.accuracy)],
    ];
    let title = format!("{} hidden tokens", group(found.hidden));
    let (texts, tokens) = (group(found.documents), group(found.tokens));
    table(&["mlm", &title], &lines)
        + &format!(
            "\nof {tokens} tokens of {texts} texts; word frequencies alone: a loss of {:.4}\n",
            found.unigram_entropy
        )
}

fn of_classes(m: &ClassifyMetrics) -> String {
    of_labels("label", &m.classes) + "\n" + &confusion(m)
}

fn of_labels(title: &str, scores: &[ClassScores]) -> String {
    let number = |x: f64| format!("{x:.3}");
    let line =
        |c: &ClassScores| vec![c.label.clone(), number(c.precision), number(c.recall), number(c.f1), group(c.support)];
    let lines: Vec<Vec<String>> = scores.iter().map(line).collect();
    "\n".to_owned() + &table(&[title, "precision", "recall", "f1", "rows"], &lines)
}
