//! The report of a fine-tuning run.

use super::chart::{LineChart, Look, Series};
use super::classes::{class_table, heat_table, mistakes};
use super::dots::{Arm, dot_chart};
use super::folds;
use super::html::{Cell, Fact, Page, details, figure, table};
use super::scale::{percent, short};
use super::{Made, made_section, settings_section};
use polyseme_formats::run::StepRow;
use polyseme_train::finetune::SeedResult;
use polyseme_train::metrics::{ClassifyMetrics, Metrics, is_error, metrics_of};
use polyseme_train::{FinetuneOutcome, FinetuneSettings};

/// The page as one string of HTML. `rows` are those of the seed whose model was kept; without any the
/// curves are left out.
pub fn page(rows: &[StepRow], settings: &FinetuneSettings, outcome: &FinetuneOutcome, made: &Made) -> String {
    let chosen = outcome.in_the_middle(&settings.metric);
    let title = match chosen.map(|r| &r.valid) {
        Some(Metrics::Retrieval(_)) => "Vectors that find each other".to_owned(),
        Some(Metrics::Regress(_)) if settings.task == "similarity" => "Vectors as alike as their texts".to_owned(),
        Some(Metrics::Regress(_)) => "A number for each text".to_owned(),
        Some(Metrics::Classify(m)) if settings.task == "choice" => format!("The best of {} choices", m.labels.len()),
        Some(Metrics::Classify(m)) => format!("A classifier of {} classes", m.labels.len()),
        Some(Metrics::Multilabel(m)) => format!("Any of {} labels", m.classes.len()),
        Some(Metrics::Tag(m)) => format!("A tagger of {} kinds", m.types.len()),
        Some(Metrics::Answer(_)) => "Answers copied from passages".to_owned(),
        Some(Metrics::Sequence(_)) => "Texts generated from others".to_owned(),
        None => "Fine-tuning".to_owned(),
    };
    let mut page = Page::new("Polyseme · fine-tuning", &title, &lede(settings, outcome, chosen));
    match &outcome.cross_validation {
        Some(found) => page.facts(&folds::facts(settings, outcome, found)),
        None => page.facts(&facts(settings, outcome, chosen)),
    }
    if outcome.cross_validation.is_some() {
        folds::section(&mut page, settings, outcome);
    } else if outcome.results.len() > 1 {
        seeds(&mut page, settings, outcome, chosen);
    }
    curves(&mut page, rows, settings);
    if let Some((result, classes)) = chosen.and_then(|r| Some((r, r.valid.classes()?))) {
        let matrix = heat_table(classes);
        let of =
            result.fold.map_or(format!("seed {}", result.seed), |fold| format!("fold {fold}, the one in the middle"));
        let text = format!("Validation rows of {of}, at its best epoch.");
        let mistakes = details("The most frequent mistakes", &mistakes(classes, 15));
        page.section("Confusion", &text, &(matrix + &mistakes));
        page.section("Classes", "", &class_table(&classes.classes));
    }
    match chosen.map(|r| &r.valid) {
        Some(Metrics::Multilabel(m)) => {
            let text = "With the probability each label must have to be said, chosen on these validation rows.";
            page.section("Labels", text, &class_table(&m.classes));
        }
        Some(Metrics::Tag(m)) => {
            page.section("Kinds", "Whole entities count, or words where tags have no prefix.", &class_table(&m.types))
        }
        _ => {}
    }
    let mut settings = settings.clone();
    settings.optimizer.learning_rate = outcome.learning_rate; // as it was resolved
    settings_section(&mut page, &settings);
    made_section(&mut page, made);
    page.finish()
}

fn lede(settings: &FinetuneSettings, outcome: &FinetuneOutcome, chosen: Option<&SeedResult>) -> String {
    let start = if settings.from_scratch { "random weights in the shape of" } else { "the pre-trained" };
    let mut text = format!("Fine-tuned from {start} {}, on {}. ", settings.model.display(), settings.train.display());
    if let Some(found) = &outcome.cross_validation {
        return text + &folds::lede(settings, found);
    }
    match chosen.map(|r| &r.valid) {
        Some(Metrics::Classify(m)) => {
            text.push_str(&format!("It answers {} of the validation rows rightly", percent(m.accuracy)));
            text.push_str(&match majority(m) {
                share if share.is_finite() => {
                    format!("; always giving the most frequent label would answer {}.", percent(share))
                }
                _ => ".".to_owned(),
            });
        }
        Some(Metrics::Retrieval(m)) => text.push_str(&format!(
            "{} of the validation texts find their partner first, among {}.",
            percent(m.accuracy_at_1),
            m.candidates
        )),
        Some(Metrics::Regress(m)) if settings.task == "similarity" => text.push_str(&format!(
            "The cosines of the validation pairs' vectors go with their scores: the correlation of ranks is {:.3}.",
            m.spearman
        )),
        Some(Metrics::Regress(m)) => text.push_str(&format!(
            "Its numbers are {} from the validation rows' own, as the root of the mean square; always giving their \
             mean, {}, would be {} away.",
            short(m.rmse),
            short(m.mean),
            short(m.deviation)
        )),
        Some(Metrics::Multilabel(m)) => text.push_str(&format!(
            "All labels of {} of the validation rows are right; of single labels, F1 is {}.",
            percent(m.exact_match),
            percent(m.micro_f1)
        )),
        Some(Metrics::Tag(m)) => text.push_str(&format!(
            "It finds {} of the validation sentences' entities, and {} of what it finds are right.",
            percent(m.recall),
            percent(m.precision)
        )),
        Some(Metrics::Answer(m)) => text.push_str(&format!(
            "{} of its answers to the validation questions are the wanted ones to the letter.",
            percent(m.exact_match)
        )),
        Some(Metrics::Sequence(m)) => text.push_str(&format!(
            "{} of the texts it generates from the validation rows are the wanted ones to the letter; of the words, \
             ROUGE-L is {}.",
            percent(m.exact_match),
            percent(m.rouge_l)
        )),
        None => {}
    }
    if outcome.interrupted {
        text.push_str(" The run was stopped before its end; --resume goes on with it.");
    }
    text
}

/// Accuracy of always giving the most frequent label.
fn majority(metrics: &ClassifyMetrics) -> f64 {
    let sizes: Vec<u64> = metrics.confusion.iter().map(|row| row.iter().sum()).collect();
    let total: u64 = sizes.iter().sum();
    if total == 0 { f64::NAN } else { sizes.iter().copied().max().unwrap_or(0) as f64 / total as f64 }
}

fn facts(settings: &FinetuneSettings, outcome: &FinetuneOutcome, chosen: Option<&SeedResult>) -> Vec<Fact> {
    let mut facts = Vec::new();
    if let Some(r) = chosen {
        let (count, what) = r.valid.measured_on();
        let on = format!("on {count} validation {what}");
        match &r.valid {
            Metrics::Classify(m) => {
                facts.push(Fact::new(percent(m.accuracy), "accuracy", on.as_str()));
                facts.push(Fact::new(percent(m.macro_f1), "macro F1", "mean over classes"));
                facts.push(Fact::new(short(m.loss), "validation loss", ""));
            }
            Metrics::Regress(m) => {
                facts.push(Fact::new(score("spearman", m.spearman), "Spearman", on.as_str()));
                facts.push(Fact::new(score("pearson", m.pearson), "Pearson", "correlation of values"));
                facts.push(Fact::new(short(m.rmse), "root mean square error", ""));
            }
            _ => {}
        }
        if !matches!(r.valid, Metrics::Classify(_) | Metrics::Regress(_)) {
            for (i, name) in metrics_of(&settings.task).iter().take(3).enumerate() {
                let value = r.valid.get(name).unwrap_or(f64::NAN);
                facts.push(Fact::new(score(name, value), &title(name), if i == 0 { on.as_str() } else { "" }));
            }
        }
        facts.push(Fact::new(r.epoch.to_string(), "best epoch", format!("of at most {}", settings.epochs)));
    }
    if outcome.results.len() > 1 {
        let (low, high) = outcome.spread;
        let note = format!("from {} to {}", score(&settings.metric, low), score(&settings.metric, high));
        let label = format!("median {} of {} seeds", settings.metric.replace('_', " "), outcome.results.len());
        facts.push(Fact::new(score(&settings.metric, outcome.median), &label, note));
    }
    facts
}

/// A metric as it is read.
pub(super) fn score(metric: &str, value: f64) -> String {
    match metric {
        "accuracy" | "macro_f1" | "micro_f1" | "f1" | "precision" | "recall" | "exact_match" | "accuracy_at_1" => {
            percent(value)
        }
        "spearman" | "pearson" | "mrr" | "ndcg_at_10" => format!("{value:.3}"),
        _ => short(value),
    }
}

fn seeds(page: &mut Page, settings: &FinetuneSettings, outcome: &FinetuneOutcome, chosen: Option<&SeedResult>) {
    let names = metrics_of(&settings.task);
    // An error has no place on an axis of shares.
    let shown = names[0];
    let value = |r: &SeedResult, name: &str| r.valid.get(name).unwrap_or(f64::NAN);
    let results = outcome.results.iter().map(|r| (r.seed, value(r, shown))).collect();
    let arm = Arm { name: "validation".into(), results };
    let rows: Vec<Vec<Cell>> = outcome
        .results
        .iter()
        .map(|r| {
            let kept = if r.seed == outcome.chosen { " (kept)" } else { "" };
            let kept = if r.valid.stuck().is_some() { format!("{kept} (stuck)") } else { kept.to_owned() };
            let mut row = vec![Cell::Text(format!("{}{kept}", r.seed))];
            row.extend(names.iter().map(|name| Cell::Number(score(name, value(r, name)))));
            row.push(Cell::Number(r.epoch.to_string()));
            row
        })
        .collect();
    let titles: Vec<String> = names.iter().map(|name| title(name)).collect();
    let mut columns = vec!["Seed"];
    columns.extend(titles.iter().map(String::as_str));
    columns.push("Best epoch");
    let data = table("Each seed", &columns, &rows);
    let guess = chosen.and_then(|r| r.valid.classes()).map(majority);
    let text =
        "The same settings with other random numbers. The model kept is the one in the middle, not the luckiest.";
    page.section("Seeds", text, &figure(&dot_chart(shown, &[arm], guess), "", &data));
}

/// A metric's name as a title.
pub(super) fn title(metric: &str) -> String {
    match metric {
        "macro_f1" | "micro_f1" => metric[..1].to_uppercase() + &metric[1..5] + " F1",
        "rmse" | "mae" => metric.to_uppercase(),
        other => other[..1].to_uppercase() + &other[1..].replace('_', " "),
    }
}

fn curves(page: &mut Page, rows: &[StepRow], settings: &FinetuneSettings) {
    if rows.is_empty() {
        return;
    }
    let valid = |name: &str| -> Vec<(f64, f64)> {
        rows.iter().filter_map(|r| r.valid.get(name).map(|v| (r.step as f64, *v))).collect()
    };
    let chart = |label: &str, y: &str, series: Vec<Series>, log_y: bool| LineChart {
        label: label.into(),
        x_name: "step".into(),
        y_name: y.into(),
        series,
        log_y,
        low: label != "Loss",
        ..LineChart::default()
    };
    let over = |f: &dyn Fn(&StepRow) -> f64| rows.iter().map(|r| (r.step as f64, f(r))).collect::<Vec<_>>();
    let regress = settings.task == "regress";
    let mut loss = vec![Series { name: "training".into(), points: over(&|r| r.loss), look: Look::Smoothed }];
    // Numbers are learned in deviations and measured as they are: two axes.
    if !regress && !valid("loss").is_empty() {
        loss.push(Series { name: "validation".into(), points: valid("loss"), look: Look::Marked });
    }
    let (unit, caption) = match regress {
        true => ("squared deviations", "Mean squared error of the training rows, in their own deviations."),
        false => ("loss, nats", "Where validation rises while training falls, the model learns by heart."),
    };
    let mut parts = chart("Loss", unit, loss, false).figure(caption);
    let shown = metrics_of(&settings.task).iter().filter(|name| !is_error(name)).take(2);
    let (scores, axis): (Vec<&str>, _) = (shown.copied().collect(), if regress { "correlation" } else { "share" });
    let measured: Vec<Series> = scores
        .iter()
        .filter(|key| !valid(key).is_empty())
        .map(|key| Series { name: title(key), points: valid(key), look: Look::Marked })
        .collect();
    if !measured.is_empty() {
        parts += &chart("Validation scores", axis, measured, false).figure("Scores on the validation rows");
    }
    page.section("Learning", "", &parts);
    let rate = Series { name: "learning rate".into(), points: over(&|r| r.learning_rate), look: Look::Plain };
    let norm = Series { name: "gradient norm".into(), points: over(&|r| r.grad_norm), look: Look::Smoothed };
    let markup = chart("Learning rate", "learning rate", vec![rate], false).figure("Learning rate")
        + &chart("Gradient norm before clipping", "gradient norm", vec![norm], true)
            .figure("Gradient norm before clipping");
    page.section("Learning rate and gradient norm", "", &markup);
}
