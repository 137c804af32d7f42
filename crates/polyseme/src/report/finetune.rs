//! The report of a fine-tuning run.

use super::chart::{LineChart, Look, Series};
use super::dots::{Arm, dot_chart};
use super::html::{Cell, Fact, Page, figure, table};
use super::measured::{heading, majority, measured_facts, score, scores, sentence, title};
use super::{Made, analysis, folds, made_section, settings_section};
use polyseme_formats::run::StepRow;
use polyseme_train::analysis::Analysis;
use polyseme_train::finetune::SeedResult;
use polyseme_train::metrics::{is_error, metrics_of};
use polyseme_train::{FinetuneOutcome, FinetuneSettings};

/// The page as one string of HTML. `rows` are those of the seed whose model was kept; without any the
/// curves are left out, and without an analysis what is wrong.
pub fn page(
    rows: &[StepRow],
    settings: &FinetuneSettings,
    outcome: &FinetuneOutcome,
    analysis: Option<&Analysis>,
    made: &Made,
) -> String {
    let chosen = outcome.in_the_middle(&settings.metric);
    let title = chosen.map_or_else(|| "Fine-tuning".to_owned(), |r| heading(&settings.task, &r.valid));
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
    if let Some(result) = chosen {
        let of =
            result.fold.map_or(format!("seed {}", result.seed), |fold| format!("fold {fold}, the one in the middle"));
        let text = format!("Validation rows of {of}, at its best epoch.");
        scores(&mut page, &result.valid, &text);
        if let Some(analysis) = analysis {
            analysis::sections(&mut page, analysis, &result.valid, "validation");
        }
    }
    if let Some(zeros) = &outcome.zeros {
        super::zeros::section(&mut page, zeros);
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
    if let Some(result) = chosen {
        text.push_str(&sentence(&settings.task, &result.valid, "validation"));
    }
    if outcome.interrupted {
        text.push_str(" The run was stopped before its end; --resume goes on with it.");
    }
    text
}

fn facts(settings: &FinetuneSettings, outcome: &FinetuneOutcome, chosen: Option<&SeedResult>) -> Vec<Fact> {
    let mut facts = Vec::new();
    if let Some(r) = chosen {
        facts.extend(measured_facts(&settings.task, &r.valid, "validation "));
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
            let mut row = vec![Cell::Text(r.marked(r.seed == outcome.chosen))];
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
    let numbers = ["regress", "similarity"].contains(&settings.task.as_str());
    let mut loss = vec![Series { name: "training".into(), points: over(&|r| r.loss), look: Look::Smoothed }];
    // Numbers are learned on another scale than they are measured on: two axes.
    if !numbers && !valid("loss").is_empty() {
        loss.push(Series { name: "validation".into(), points: valid("loss"), look: Look::Marked });
    }
    let (unit, caption) = match (settings.task.as_str(), settings.similarity_loss.as_str()) {
        ("regress", _) => ("squared deviations", "Mean squared error of the training rows, in their own deviations."),
        ("similarity", "cosent") => {
            ("loss, nats", "How far the cosines of the training pairs are from the order of their scores.")
        }
        ("similarity", _) => {
            ("squared cosines", "Mean squared error of the training pairs' cosines; the scores go from 0 to 1 for it.")
        }
        _ => ("loss, nats", "Where validation rises while training falls, the model learns by heart."),
    };
    let mut parts = chart("Loss", unit, loss, false).figure(caption);
    let shown = metrics_of(&settings.task).iter().filter(|name| !is_error(name)).take(2);
    let (scores, axis): (Vec<&str>, _) = (shown.copied().collect(), if numbers { "correlation" } else { "share" });
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
