//! The report of a fine-tuning run.

use super::chart::{LineChart, Look, Series};
use super::classes::{class_table, heat_table, mistakes};
use super::dots::{Arm, dot_chart};
use super::html::{Cell, Fact, Page, details, figure, table};
use super::scale::{percent, short};
use super::{Made, made_section, settings_section};
use polyseme_formats::run::StepRow;
use polyseme_train::finetune::SeedResult;
use polyseme_train::{FinetuneOutcome, FinetuneSettings};

/// The page as one string of HTML. `rows` are those of the seed whose model was kept; without any the
/// curves are left out.
pub fn page(rows: &[StepRow], settings: &FinetuneSettings, outcome: &FinetuneOutcome, made: &Made) -> String {
    let chosen = outcome.results.iter().find(|r| r.seed == outcome.chosen).or(outcome.results.first());
    let labels = chosen.map_or(0, |r| r.valid.labels.len());
    let title = format!("A classifier of {labels} classes");
    let mut page = Page::new("Polyseme · fine-tuning", &title, &lede(settings, outcome, chosen));
    page.facts(&facts(settings, outcome, chosen));
    if outcome.results.len() > 1 {
        seeds(&mut page, outcome, chosen);
    }
    curves(&mut page, rows);
    if let Some(result) = chosen {
        let matrix = heat_table(&result.valid);
        let text = format!("Validation rows of seed {}, at its best epoch.", result.seed);
        page.section(
            "Confusion",
            &text,
            &(matrix + &details("The most frequent mistakes", &mistakes(&result.valid, 15))),
        );
        page.section("Classes", "", &class_table(&result.valid));
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
    if let Some(result) = chosen {
        text.push_str(&format!("It answers {} of the validation rows rightly", percent(result.valid.accuracy)));
        text.push_str(&match majority(result) {
            share if share.is_finite() => {
                format!("; always giving the most frequent label would answer {}.", percent(share))
            }
            _ => ".".to_owned(),
        });
    }
    if outcome.interrupted {
        text.push_str(" The run was stopped before its end; --resume goes on with it.");
    }
    text
}

/// Accuracy of always giving the most frequent label.
fn majority(result: &SeedResult) -> f64 {
    let sizes: Vec<u64> = result.valid.confusion.iter().map(|row| row.iter().sum()).collect();
    let total: u64 = sizes.iter().sum();
    if total == 0 { f64::NAN } else { sizes.iter().copied().max().unwrap_or(0) as f64 / total as f64 }
}

fn facts(settings: &FinetuneSettings, outcome: &FinetuneOutcome, chosen: Option<&SeedResult>) -> Vec<Fact> {
    let mut facts = Vec::new();
    if let Some(r) = chosen {
        let rows: u64 = r.valid.confusion.iter().flatten().sum();
        facts.push(Fact::new(percent(r.valid.accuracy), "accuracy", format!("on {rows} validation rows")));
        facts.push(Fact::new(percent(r.valid.macro_f1), "macro F1", "mean over classes"));
        facts.push(Fact::new(short(r.valid.loss), "validation loss", ""));
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

fn score(metric: &str, value: f64) -> String {
    if metric == "loss" { short(value) } else { percent(value) }
}

fn seeds(page: &mut Page, outcome: &FinetuneOutcome, chosen: Option<&SeedResult>) {
    let arm = Arm {
        name: "validation".into(),
        results: outcome.results.iter().map(|r| (r.seed, r.valid.accuracy)).collect(),
    };
    let rows: Vec<Vec<Cell>> = outcome
        .results
        .iter()
        .map(|r| {
            let kept = if r.seed == outcome.chosen { " (kept)" } else { "" };
            vec![
                Cell::Text(format!("{}{kept}", r.seed)),
                Cell::Number(percent(r.valid.accuracy)),
                Cell::Number(percent(r.valid.macro_f1)),
                Cell::Number(short(r.valid.loss)),
                Cell::Number(r.epoch.to_string()),
            ]
        })
        .collect();
    let data = table("Each seed", &["Seed", "Accuracy", "Macro F1", "Loss", "Best epoch"], &rows);
    let text =
        "The same settings with other random numbers. The model kept is the one in the middle, not the luckiest.";
    page.section("Seeds", text, &figure(&dot_chart("accuracy", &[arm], chosen.map(majority)), "", &data));
}

fn curves(page: &mut Page, rows: &[StepRow]) {
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
    let mut loss = vec![Series { name: "training".into(), points: over(&|r| r.loss), look: Look::Smoothed }];
    if !valid("loss").is_empty() {
        loss.push(Series { name: "validation".into(), points: valid("loss"), look: Look::Marked });
    }
    let mut parts = chart("Loss", "loss, nats", loss, false)
        .figure("Where validation rises while training falls, the model learns by heart.");
    let measured: Vec<Series> = [("accuracy", "accuracy"), ("macro_f1", "macro F1")]
        .into_iter()
        .filter(|(key, _)| !valid(key).is_empty())
        .map(|(key, name)| Series { name: name.into(), points: valid(key), look: Look::Marked })
        .collect();
    if !measured.is_empty() {
        parts += &chart("Validation scores", "share", measured, false).figure("Scores on the validation rows");
    }
    page.section("Learning", "", &parts);
    let rate = Series { name: "learning rate".into(), points: over(&|r| r.learning_rate), look: Look::Plain };
    let norm = Series { name: "gradient norm".into(), points: over(&|r| r.grad_norm), look: Look::Smoothed };
    let markup = chart("Learning rate", "learning rate", vec![rate], false).figure("Learning rate")
        + &chart("Gradient norm before clipping", "gradient norm", vec![norm], true)
            .figure("Gradient norm before clipping");
    page.section("Learning rate and gradient norm", "", &markup);
}
