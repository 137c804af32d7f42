//! What was measured of a task: the title of its page, a sentence, headline facts, confusion, scores of classes.

use super::classes::{class_table, heat_table, mistakes};
use super::html::{Fact, Page, details};
use super::scale::{percent, short};
use polyseme_train::metrics::{ClassifyMetrics, Metrics, metrics_of};

/// What the model does, as a title.
pub fn heading(task: &str, metrics: &Metrics) -> String {
    match metrics {
        Metrics::Retrieval(_) => "Vectors that find each other".to_owned(),
        Metrics::Regress(_) if task == "similarity" => "Vectors as alike as their texts".to_owned(),
        Metrics::Regress(_) => "A number for each text".to_owned(),
        Metrics::Classify(m) if task == "choice" => format!("The best of {} choices", m.labels.len()),
        Metrics::Classify(m) => format!("A classifier of {} classes", m.labels.len()),
        Metrics::Multilabel(m) => format!("Any of {} labels", m.classes.len()),
        Metrics::Tag(m) => format!("A tagger of {} kinds", m.types.len()),
        Metrics::Answer(_) => "Answers copied from passages".to_owned(),
        Metrics::Sequence(_) => "Texts generated from others".to_owned(),
    }
}

/// How well it does on some rows ("validation"), in a sentence.
pub fn sentence(task: &str, metrics: &Metrics, rows: &str) -> String {
    match metrics {
        Metrics::Classify(m) => {
            let guess = match majority(m) {
                share if share.is_finite() => {
                    format!("; always giving the most frequent label would answer {}.", percent(share))
                }
                _ => ".".to_owned(),
            };
            format!("It answers {} of the {rows} rows rightly{guess}", percent(m.accuracy))
        }
        Metrics::Retrieval(m) => format!(
            "{} of the {rows} texts find their partner first, among {}.",
            percent(m.accuracy_at_1),
            m.candidates
        ),
        Metrics::Regress(m) if task == "similarity" => format!(
            "The cosines of the {rows} pairs' vectors go with their scores: the correlation of ranks is {:.3}.",
            m.spearman
        ),
        Metrics::Regress(m) => format!(
            "Its numbers are {} from the {rows} rows' own, as the root of the mean square; always giving their \
             mean, {}, would be {} away.",
            short(m.rmse),
            short(m.mean),
            short(m.deviation)
        ),
        Metrics::Multilabel(m) => format!(
            "All labels of {} of the {rows} rows are right; of single labels, F1 is {}.",
            percent(m.exact_match),
            percent(m.micro_f1)
        ),
        Metrics::Tag(m) => format!(
            "It finds {} of the {rows} sentences' entities, and {} of what it finds are right.",
            percent(m.recall),
            percent(m.precision)
        ),
        Metrics::Sequence(m) => format!(
            "{} of the texts it generates from the {rows} rows are the wanted ones to the letter; of the words, ROUGE-L \
             is {}.",
            percent(m.exact_match),
            percent(m.rouge_l)
        ),
        Metrics::Answer(m) => {
            format!(
                "{} of its answers to the {rows} questions are the wanted ones to the letter.",
                percent(m.exact_match)
            )
        }
    }
}

/// The first few metrics, measured on `which` rows ("validation ", or nothing).
pub fn measured_facts(task: &str, metrics: &Metrics, which: &str) -> Vec<Fact> {
    let (count, what) = metrics.measured_on();
    let on = format!("on {count} {which}{what}");
    match metrics {
        Metrics::Classify(m) => vec![
            Fact::new(percent(m.accuracy), "accuracy", on),
            Fact::new(percent(m.macro_f1), "macro F1", "mean over classes"),
            Fact::new(short(m.loss), "loss", ""),
        ],
        Metrics::Regress(m) => vec![
            Fact::new(score("spearman", m.spearman), "Spearman", on),
            Fact::new(score("pearson", m.pearson), "Pearson", "correlation of values"),
            Fact::new(short(m.rmse), "root mean square error", ""),
        ],
        _ => {
            let fact = |(i, name): (usize, &&str)| {
                let value = metrics.get(name).unwrap_or(f64::NAN);
                Fact::new(score(name, value), &title(name), if i == 0 { on.as_str() } else { "" })
            };
            metrics_of(task).iter().take(3).enumerate().map(fact).collect()
        }
    }
}

/// Confusion and the scores of classes, labels or kinds. `text` says on what they were measured.
pub fn scores(page: &mut Page, metrics: &Metrics, text: &str) {
    match metrics {
        Metrics::Classify(classes) => {
            let mistakes = details("The most frequent mistakes", &mistakes(classes, 15));
            page.section("Confusion", text, &(heat_table(classes) + &mistakes));
            page.section("Classes", "", &class_table(&classes.classes, None));
        }
        Metrics::Multilabel(m) => {
            let text = format!("{text} With the probability each label must have to be said.");
            page.section("Labels", text.trim_start(), &class_table(&m.classes, Some(&m.thresholds)));
        }
        Metrics::Tag(m) => {
            let text = format!("{text} Whole entities count, or words where tags have no prefix.");
            page.section("Kinds", text.trim_start(), &class_table(&m.types, None));
        }
        _ => {}
    }
}

/// Accuracy of always giving the most frequent label.
pub fn majority(metrics: &ClassifyMetrics) -> f64 {
    let sizes: Vec<u64> = metrics.confusion.iter().map(|row| row.iter().sum()).collect();
    let total: u64 = sizes.iter().sum();
    if total == 0 { f64::NAN } else { sizes.iter().copied().max().unwrap_or(0) as f64 / total as f64 }
}

/// A metric as it is read.
pub fn score(metric: &str, value: f64) -> String {
    match metric {
        "accuracy" | "macro_f1" | "micro_f1" | "f1" | "precision" | "recall" | "exact_match" | "accuracy_at_1"
        | "rouge_l" => percent(value),
        "spearman" | "pearson" | "mrr" | "ndcg_at_10" => format!("{value:.3}"),
        _ => short(value),
    }
}

/// A metric's name as a title.
pub fn title(metric: &str) -> String {
    match metric {
        "macro_f1" | "micro_f1" => metric[..1].to_uppercase() + &metric[1..5] + " F1",
        "rmse" | "mae" => metric.to_uppercase(),
        "rouge_l" => "ROUGE-L".to_owned(),
        other => other[..1].to_uppercase() + &other[1..].replace('_', " "),
    }
}
