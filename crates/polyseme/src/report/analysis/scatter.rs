//! True numbers beside those that were said.

use super::super::html::{Page, figure};
use super::super::scale::{short, ticks};
use super::beside;
use super::plot::Plot;
use polyseme_train::analysis::{Analysis, Scatter, What};
use polyseme_train::metrics::Metrics;
use std::fmt::Write;

pub fn section(page: &mut Page, found: &Scatter, analysis: &Analysis, metrics: &Metrics) {
    let mut numbers = Vec::new();
    if let Metrics::Regress(m) = metrics {
        numbers.push(("Spearman", format!("{:.3}", m.spearman)));
        numbers.push(("Pearson", format!("{:.3}", m.pearson)));
        numbers.push(("mean absolute error", short(m.mae)));
    }
    let mut words = "A dot is a row; rings are the worst errors. The dashed line is where all should lie.".to_owned();
    if found.points.len() < analysis.rows as usize {
        let _ = write!(words, " Shown are {} of {} rows.", found.points.len(), analysis.rows);
    }
    if let Some(svg) = drawing(found, analysis) {
        let figure = beside(&figure(&svg, "", ""), &numbers, &words);
        page.section("Said beside true", "The number of each row, and what the model said.", &figure);
    }
}

fn drawing(found: &Scatter, analysis: &Analysis) -> Option<String> {
    let number = |m: &polyseme_train::analysis::Mistake| match m.what {
        What::Number { truth, said, .. } => Some((f64::from(truth), f64::from(said))),
        _ => None,
    };
    let worst: Vec<(f64, f64)> = analysis.worst.iter().filter_map(number).collect();
    let all = found.points.iter().map(|p| (f64::from(p[0]), f64::from(p[1])));
    let points: Vec<(f64, f64)> = all.filter(|p| p.0.is_finite() && p.1.is_finite()).collect();
    let ends = |values: &mut dyn Iterator<Item = f64>| {
        let (low, high) = values
            .filter(|v| v.is_finite())
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        let margin = if high > low { (high - low) * 0.05 } else { 0.5 };
        (low - margin, high + margin)
    };
    let x = ends(&mut points.iter().chain(&worst).map(|p| p.0));
    let y = ends(&mut points.iter().chain(&worst).flat_map(|p| [p.1, p.0]));
    if points.is_empty() {
        return None;
    }
    let plot = Plot { size: (470.0, 432.0), inside: [58.0, 30.0, 458.0, 390.0], x, y };
    let mut out = plot.open(&format!(
        "{} rows: true from {} to {}, said from {} to {}.",
        analysis.rows,
        short(x.0),
        short(x.1),
        short(y.0),
        short(y.1)
    ));
    let (x_ticks, y_ticks) = (ticks(x.0, x.1, 5), ticks(y.0, y.1, 5));
    plot.axes(&x_ticks, &y_ticks, "said", &mut out);
    plot.x_numbers(&x_ticks, "true", 408.0, &mut out);
    let (least, most) = points.iter().fold((f64::MAX, f64::MIN), |(low, high), p| (low.min(p.0), high.max(p.0)));
    plot.level((least, least), (most, most), "as it should be", &mut out);
    for (a, b) in points {
        let _ = write!(out, "<circle class=\"point\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\"/>", plot.px(a), plot.py(b));
    }
    for (a, b) in worst.iter().filter(|p| plot.has(p.0, p.1)) {
        let _ = write!(
            out,
            "<circle class=\"ring\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"5.5\"><title>true {}, said {}</title></circle>",
            plot.px(*a),
            plot.py(*b),
            short(*a),
            short(*b)
        );
    }
    out.push_str("</svg>");
    Some(out)
}
