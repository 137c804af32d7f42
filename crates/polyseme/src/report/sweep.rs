//! The report of a search.

use super::chart::{LineChart, Look, Series};
use super::html::{Cell, Fact, Page, table};
use super::scale::short;
use super::{Made, made_section, settings_section};
use polyseme_train::{SweepOutcome, SweepSettings};

/// The page as one string of HTML.
pub fn page(settings: &SweepSettings, outcome: &SweepOutcome, made: &Made) -> String {
    let metric = outcome.metric.replace('_', " ");
    let best = outcome.trials.iter().find(|t| Some(t.number) == outcome.best);
    let lede = format!(
        "{} of at most {} first trials by {}, each a fine-tuning of {}. The validation rows chose; what the best model \
         is worth, rows tell that chose nothing.",
        outcome.trials.len(),
        settings.trials,
        settings.method,
        settings.finetune.model.display()
    );
    let mut page = Page::new("Polyseme · search", "A search over settings", &lede);
    let failed = outcome.trials.iter().filter(|t| t.score.is_none()).count();
    let mut facts = vec![Fact::new(outcome.trials.len().to_string(), "trials", format!("{failed} failed"))];
    if let Some(best) = best {
        let score = short(best.score.unwrap_or(f64::NAN));
        facts.insert(0, Fact::new(score, &format!("best {metric}"), format!("trial {}", best.number)));
    }
    page.facts(&facts);

    let points = outcome.trials.iter().filter_map(|t| Some((t.number as f64, t.score?)));
    let series = Series { name: "each trial".into(), points: points.collect(), look: Look::Points };
    let chart = LineChart {
        label: "Score of each trial".into(),
        x_name: "trial".into(),
        y_name: metric.clone(),
        series: vec![series],
        low: true,
        ..LineChart::default()
    };
    page.section("Trials in order", "", &chart.figure("Score on the validation rows"));
    for (key, dimension) in &settings.space {
        let mut points: Vec<(f64, f64)> =
            outcome.trials.iter().filter_map(|t| Some((t.values.get(key).and_then(number)?, t.score?))).collect();
        if points.len() < 2 {
            continue;
        }
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        let log = matches!(dimension, polyseme_train::sweep::space::Dimension::Range { log: true, .. });
        let shown = points.into_iter().map(|(x, y)| (if log { x.log10() } else { x }, y)).collect();
        let x_name = if log { format!("log₁₀ {key}") } else { key.clone() };
        let series = Series { name: "trials".into(), points: shown, look: Look::Points };
        let (label, y_name) = (format!("Score by {key}"), metric.clone());
        let chart = LineChart { label, x_name, y_name, series: vec![series], low: true, ..LineChart::default() };
        page.section(&format!("By {key}"), "", &chart.figure("Score on the validation rows"));
    }

    let mut titles = vec!["Trial".to_owned(), metric, "Epochs".to_owned()];
    titles.extend(settings.space.keys().cloned());
    let mut order: Vec<_> = outcome.trials.iter().collect();
    let score = |t: &polyseme_train::sweep::Trial| t.score.map_or(f64::NAN, |s| settings.score(s));
    order.sort_by(|a, b| b.score.is_some().cmp(&a.score.is_some()).then(score(b).total_cmp(&score(a))));
    let rows: Vec<Vec<Cell>> = order
        .into_iter()
        .map(|t| {
            let best = if Some(t.number) == outcome.best { " (best)" } else { "" };
            let mut row = vec![Cell::Text(format!("{}{best}", t.number))];
            row.push(match (&t.failed, t.score) {
                (None, Some(score)) => Cell::Number(short(score)),
                (why, _) => Cell::Text(why.clone().unwrap_or_default()),
            });
            row.push(Cell::Number(t.epochs.to_string()));
            row.extend(t.values.values().map(|v| Cell::Number(v.to_string())));
            row
        })
        .collect();
    let titles: Vec<&str> = titles.iter().map(String::as_str).collect();
    page.section("All trials", "Best first.", &table("Trials", &titles, &rows));
    settings_section(&mut page, settings);
    made_section(&mut page, made);
    page.finish()
}

fn number(value: &toml::Value) -> Option<f64> {
    value.as_float().or_else(|| value.as_integer().map(|n| n as f64))
}
