//! What the report of a fine-tuning run says of cross-validation: the numbers are those of the folds, and the model
//! learned from all rows.

use super::html::{Cell, Fact, Page, table};
use super::measured::{score, title};
use polyseme_train::finetune::CrossValidation;
use polyseme_train::metrics::metrics_of;
use polyseme_train::{FinetuneOutcome, FinetuneSettings};

/// The end of the first sentences.
pub fn lede(settings: &FinetuneSettings, found: &CrossValidation) -> String {
    format!(
        "It learned from all rows, for {} epochs; what it may be worth was measured by {} runs like it, each on a fold of \
         the rows that it had not learned from. Their mean {} is {}, give or take {}.",
        found.epochs,
        found.folds,
        settings.metric.replace('_', " "),
        score(&settings.metric, found.mean),
        score(&settings.metric, found.deviation),
    )
}

/// The numbers at the top.
pub fn facts(settings: &FinetuneSettings, outcome: &FinetuneOutcome, found: &CrossValidation) -> Vec<Fact> {
    let shown = |value: f64| score(&settings.metric, value);
    let name = settings.metric.replace('_', " ");
    let (low, high) = outcome.spread;
    let spread = format!("from {} to {}", shown(low), shown(high));
    vec![
        Fact::new(shown(found.mean), &format!("mean {name}"), format!("of {} folds", found.folds)),
        Fact::new(shown(found.deviation), "deviation", "between folds"),
        Fact::new(shown(outcome.median), &format!("median {name}"), spread),
        Fact::new(found.epochs.to_string(), "epochs on all rows", format!("of at most {}", settings.epochs)),
    ]
}

/// A table of all folds.
pub fn section(page: &mut Page, settings: &FinetuneSettings, outcome: &FinetuneOutcome) {
    let names = metrics_of(&settings.task);
    let row = |r: &polyseme_train::finetune::SeedResult| {
        let mut row = vec![Cell::Text(r.marked(false))];
        row.extend(names.iter().map(|name| Cell::Number(score(name, r.valid.get(name).unwrap_or(f64::NAN)))));
        row.push(Cell::Number(r.valid.measured_on().0.to_string()));
        row.push(Cell::Number(r.epoch.to_string()));
        row
    };
    let rows: Vec<Vec<Cell>> = outcome.results.iter().map(row).collect();
    let measured = outcome.results.first().map_or("rows", |r| r.valid.measured_on().1);
    let on = format!("Measured on ({measured})");
    let titles: Vec<String> = names.iter().map(|name| title(name)).collect();
    let mut columns = vec!["Fold"];
    columns.extend(titles.iter().map(String::as_str));
    columns.extend([on.as_str(), "Best epoch"]);
    let text = "Each row of the training file is in one fold, and was measured by a run that did not learn from it, at \
                the best epoch of its fold. The model kept learned from all rows and was not measured itself.";
    let stuck = outcome.results.iter().any(|r| r.valid.stuck().is_some());
    let text =
        format!("{text}{}", if stuck { " A fold that is stuck gives the same answer to every row." } else { "" });
    page.section("Folds", &text, &table("Each fold", &columns, &rows));
}
