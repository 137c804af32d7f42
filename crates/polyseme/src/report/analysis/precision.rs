//! Precision against recall: a small drawing a label.

use super::super::html::{Cell, Page, details, escape, table};
use super::super::scale::{grouped, percent, short};
use super::plot::Plot;
use polyseme_train::metrics::precision::{PrecisionRecall, PrecisionRecalls};
use std::fmt::Write;

const TICKS: [f64; 3] = [0.0, 0.5, 1.0];

pub fn section(page: &mut Page, found: &PrecisionRecalls, rows: u64) {
    let drawn: Vec<&PrecisionRecall> = found.labels.iter().filter(|curve| !curve.points.is_empty()).collect();
    let mut text =
        format!("Average precision (AP) is the area under a curve; its mean over labels is {:.3}", found.macro_average);
    if let Some(micro) = &found.micro {
        let _ = write!(text, ", and of all pairs of row and label taken together {:.3}", micro.average_precision);
    }
    text.push_str(". The dashed line is the precision of guessing.");
    if found.labels.iter().any(|curve| curve.chosen.is_some()) {
        text.push_str(" A ring marks the threshold that was chosen.");
    }
    if drawn.len() < found.labels.len() {
        let _ = write!(text, " Drawn are the {} most frequent of {} labels.", drawn.len(), found.labels.len());
    }
    let mut markup = "<div class=\"many\">".to_owned();
    if let Some(micro) = found.micro.as_ref().filter(|_| drawn.len() < found.labels.len()) {
        let pairs = rows * found.labels.len() as u64;
        markup += &small(micro, pairs);
    }
    drawn.iter().for_each(|curve| markup += &small(curve, rows));
    markup.push_str("</div>\n");
    markup += &details("The numbers of these charts", &numbers(found));
    page.section("Precision and recall", &text, &markup);
}

fn numbers(found: &PrecisionRecalls) -> String {
    let chosen = found.labels.iter().any(|curve| curve.chosen.is_some());
    let row = |curve: &PrecisionRecall| {
        let mut row = vec![
            Cell::Text(curve.label.clone()),
            Cell::Number(format!("{:.3}", curve.average_precision)),
            Cell::Number(grouped(curve.support)),
        ];
        if let Some([threshold, recall, precision]) = curve.chosen {
            row.extend([short(threshold), percent(recall), percent(precision)].map(Cell::Number));
        }
        row
    };
    let rows: Vec<Vec<Cell>> = found.labels.iter().map(row).collect();
    let mut head = vec!["Label", "Average precision", "Rows"];
    if chosen {
        head.extend(["Threshold", "Recall there", "Precision there"]);
    }
    table("Average precision of each label", &head, &rows)
}

fn small(curve: &PrecisionRecall, rows: u64) -> String {
    let plot = Plot { size: (230.0, 206.0), inside: [36.0, 22.0, 222.0, 164.0], x: (0.0, 1.0), y: (0.0, 1.0) };
    let average = format!("average precision {:.3}", curve.average_precision);
    let mut out = plot.open(&format!("Precision against recall of {}: {average}.", curve.label));
    plot.axes(&TICKS, &TICKS, "precision", &mut out);
    plot.x_numbers(&TICKS, "recall", 180.0, &mut out);
    let guess = curve.support as f64 / rows.max(1) as f64;
    plot.level((0.0, guess), (1.0, guess), &format!("guessing {}", percent(guess)), &mut out);
    // Steps: up to a recall the precision is that of the point there.
    let mut path = Vec::new();
    let mut before = 0.0;
    for &[recall, precision] in curve.points.iter().filter(|p| plot.has(p[0], p[1])) {
        let y = plot.py(precision);
        path.push(format!("{:.1},{y:.1} {:.1},{y:.1}", plot.px(before), plot.px(recall)));
        before = recall;
    }
    let (line, [left, _, _, bottom]) = (path.join(" "), plot.inside);
    if !line.is_empty() {
        let right = plot.px(before);
        let _ = writeln!(out, "<polygon class=\"under\" points=\"{left},{bottom} {line} {right:.1},{bottom}\"/>");
        let _ = writeln!(out, "<polyline class=\"c1\" points=\"{line}\"/>");
    }
    if let Some([threshold, recall, precision]) = curve.chosen.filter(|c| plot.has(c[1], c[2])) {
        let _ = writeln!(
            out,
            "<circle class=\"ring\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"5.5\"><title>from {} on: recall {}, precision {}</title></circle>",
            plot.px(recall),
            plot.py(precision),
            short(threshold),
            percent(recall),
            percent(precision)
        );
    }
    out.push_str("</svg>");
    let (name, rows) = (escape(&curve.label), grouped(curve.support));
    let caption = format!("<b>{name}</b> AP {:.3} · {rows} rows", curve.average_precision);
    format!("<figure><figcaption>{caption}</figcaption>{out}</figure>\n")
}
