//! A reliability diagram: what probabilities said, and what came true.

use super::super::html::{Cell, Page, details, figure, table};
use super::super::scale::{grouped, percent, short};
use super::beside;
use super::plot::Plot;
use polyseme_train::metrics::calibration::{Bin, Calibration};
use std::fmt::Write;

const TICKS: [f64; 5] = [0.0, 0.25, 0.5, 0.75, 1.0];
/// Top and bottom of the counts under the diagram.
const COUNTS: (f64, f64) = (326.0, 380.0);

pub fn section(page: &mut Page, found: &Calibration, labels: bool) {
    if found.bins.iter().all(|bin| bin.count == 0) {
        return;
    }
    let numbers = [("expected calibration error", percent(found.ece)), ("Brier score", short(found.brier))];
    let of = if labels { "Each probability of each label counts." } else { "Each row's answer counts." };
    let words = format!(
        "A dot is a bin of probabilities, the larger the more there are of them; bars count them. On the dashed line, \
         of what is said with 80 % confidence 80 % come true. Dots under it: too sure; over it: not sure enough. {of}"
    );
    let rows: Vec<Vec<Cell>> = (0..found.bins.len()).map(|i| row(i, found)).collect();
    let head = ["Probabilities", "How many", "Their mean", "Came true"];
    let data = details("The numbers of this chart", &table("Calibration", &head, &rows));
    let text = "How far its probabilities can be trusted.";
    page.section("Calibration", text, &beside(&figure(&drawing(found), "", &data), &numbers, &words));
}

fn row(number: usize, found: &Calibration) -> Vec<Cell> {
    let (bin, width) = (found.bins[number], 1.0 / found.bins.len() as f64);
    let share = |v: f64| Cell::Number(if bin.count > 0 { percent(v) } else { String::new() });
    let (from, to) = (percent(number as f64 * width), percent((number + 1) as f64 * width));
    vec![Cell::Text(format!("{from} to {to}")), Cell::Number(grouped(bin.count)), share(bin.said), share(bin.came_true)]
}

fn drawing(found: &Calibration) -> String {
    let plot = Plot { size: (470.0, 424.0), inside: [52.0, 30.0, 458.0, 310.0], x: (0.0, 1.0), y: (0.0, 1.0) };
    let filled: Vec<&Bin> = found.bins.iter().filter(|b| b.count > 0 && plot.has(b.said, b.came_true)).collect();
    let mut label = format!("Calibration. Expected error {}.", percent(found.ece));
    for bin in filled.iter().rev().take(3) {
        let _ =
            write!(label, " Of {} said with {} came true {}.", bin.count, percent(bin.said), percent(bin.came_true));
    }
    let mut out = plot.open(&label);
    plot.axes(&TICKS, &TICKS, "share that came true", &mut out);
    plot.level((0.0, 0.0), (1.0, 1.0), "as sure as right", &mut out);
    let most = found.bins.iter().map(|b| b.count).max().unwrap_or(1).max(1) as f64;
    for bin in &filled {
        let (x, y) = (plot.px(bin.said), plot.py(bin.came_true));
        let even = plot.py(bin.said);
        let _ = writeln!(out, "<line class=\"gap c1\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{even:.1}\" y2=\"{y:.1}\"/>");
    }
    for bin in &filled {
        let _ = writeln!(
            out,
            "<circle class=\"dot c1\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"{:.1}\"><title>{} said with {}: {} came true</title></circle>",
            plot.px(bin.said),
            plot.py(bin.came_true),
            3.5 + 6.5 * (bin.count as f64 / most).sqrt(),
            grouped(bin.count),
            percent(bin.said),
            percent(bin.came_true)
        );
    }
    counts(found, &plot, most, &mut out);
    plot.x_numbers(&TICKS, "probability that was said", COUNTS.1 + 18.0, &mut out);
    out.push_str("</svg>");
    out
}

/// A bar for each bin with its count over it.
fn counts(found: &Calibration, plot: &Plot, most: f64, out: &mut String) {
    let width = 1.0 / found.bins.len() as f64;
    let (top, bottom) = COUNTS;
    for (i, bin) in found.bins.iter().enumerate().filter(|(_, bin)| bin.count > 0) {
        let (left, right) = (plot.px(i as f64 * width) + 1.0, plot.px((i + 1) as f64 * width) - 1.0);
        let height = (bin.count as f64 / most * (bottom - top - 12.0)).max(1.0);
        let _ = write!(
            out,
            "<rect class=\"bar\" x=\"{left:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{height:.1}\"/>\
             <text class=\"count\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            bottom - height,
            right - left,
            (left + right) / 2.0,
            bottom - height - 3.0,
            short(bin.count as f64)
        );
    }
    let [left, _, right, _] = plot.inside;
    let _ = writeln!(out, "<line class=\"tick\" x1=\"{left}\" x2=\"{right}\" y1=\"{bottom}\" y2=\"{bottom}\"/>");
}
