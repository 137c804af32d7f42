//! Losses between weights: along lines, and over the plane through three of them.

use super::super::chart::{LineChart, Look, Series};
use super::super::html::{Cell, Fact, Page, details, escape, figure, table};
use super::super::picture::{heat, stacked};
use super::super::scale::short;
use super::super::{Made, made_section};
use super::text;
use polyseme_inspect::landscape::{Landscape, Place, Plane};
use std::fmt::Write;

const WIDTH: f64 = 860.0;
const SIDE: f64 = 460.0;
const LEFT: f64 = 190.0;
const TOP: f64 = 16.0;
/// Pixels a side of the plane, between whose points losses are mixed.
const PIXELS: usize = 180;

/// The page.
pub fn page(found: &Landscape, title: &str, made: &Made) -> String {
    let lede = format!("Mean losses over {} rows of models whose weights lie between others.", found.rows);
    let mut page = Page::new("Landscape of the loss", title, &lede);
    let mut facts = Vec::new();
    let mut fact = |name: &str, line: &[Place], at: f64| {
        facts.extend(nearest(line, at).map(|loss| Fact::new(short(loss), name, "")));
    };
    fact("loss of the pre-trained weights", &found.line, 0.0);
    fact("loss fine-tuned", &found.line, 1.0);
    if let Some(line) = &found.scratch_line {
        fact("loss from scratch", line, 1.0);
    }
    page.facts(&facts);
    let text = "From where training began (0) to where it ended (1), and half as far beyond. A wide valley forgives more than a narrow one.";
    page.section("Along the way", text, &chart(found).figure("The head of the pre-trained weights is random."));
    if let Some(plane) = &found.plane {
        let caption = format!(
            "Light is a low loss ({}), dark a high one ({}), by its logarithm.",
            short(range(plane).0),
            short(range(plane).1)
        );
        let head: Vec<String> = plane.across.iter().map(|x| format!("{x:.2}")).collect();
        let head: Vec<&str> = std::iter::once("up \\ across").chain(head.iter().map(String::as_str)).collect();
        let rows: Vec<Vec<Cell>> = plane
            .up
            .iter()
            .zip(&plane.losses)
            .map(|(up, row)| {
                let cells = row.iter().map(|&v| Cell::Number(short(v)));
                std::iter::once(Cell::Text(format!("{up:.2}"))).chain(cells).collect()
            })
            .collect();
        let numbers = details("The numbers of this picture", &table("Losses", &head, &rows));
        let text = "Through the pre-trained weights (P), the fine-tuned ones (F) and those from scratch (S).";
        page.section("The plane", text, &figure(&plane_of(plane), &caption, &numbers));
    }
    made_section(&mut page, made);
    page.finish()
}

/// Curve and plane.
pub fn picture(found: &Landscape) -> String {
    let mut parts = vec![("Loss along the way".to_owned(), chart(found).drawing())];
    parts.extend(found.plane.as_ref().map(|plane| ("The plane".to_owned(), plane_of(plane))));
    stacked("Landscape of the loss", &parts)
}

fn nearest(line: &[Place], at: f64) -> Option<f64> {
    line.iter().min_by(|a, b| (a.at - at).abs().total_cmp(&(b.at - at).abs())).map(|p| p.loss)
}

fn chart(found: &Landscape) -> LineChart {
    let series = |name: &str, line: &[Place]| Series {
        name: name.to_owned(),
        points: line.iter().map(|p| (p.at, p.loss)).collect(),
        look: Look::Marked,
    };
    let mut lines = vec![series("from pre-trained", &found.line)];
    lines.extend(found.scratch_line.as_ref().map(|line| series("from scratch", line)));
    LineChart {
        label: "Loss from the beginning of training to its end".into(),
        x_name: "0: where training began, 1: where it ended".into(),
        y_name: "loss".into(),
        series: lines,
        ..LineChart::default()
    }
}

/// Least and greatest loss that is a number.
fn range(plane: &Plane) -> (f64, f64) {
    let all = plane.losses.iter().flatten().copied().filter(|v| v.is_finite());
    all.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)))
}

fn plane_of(plane: &Plane) -> String {
    let (low, high) = range(plane);
    let level = |v: f64| v.max(1e-6).ln();
    let share = |v: f64| {
        let of = (level(v) - level(low)) / (level(high) - level(low)).max(1e-9);
        if v.is_finite() { of.clamp(0.0, 1.0) } else { 1.0 }
    };
    let last = plane.losses.len() - 1;
    let cell = |k: usize| {
        // From the top: the greatest `up` first.
        let at = |p: usize| p as f64 / (PIXELS - 1) as f64 * last as f64;
        let (x, y) = (at(k % PIXELS), last as f64 - at(k / PIXELS));
        let (i, j) = ((x as usize).min(last - 1), (y as usize).min(last - 1));
        let (a, b) = (x - i as f64, y - j as f64);
        let of = |j: usize, i: usize| share(plane.losses[j][i]);
        let mixed = (of(j, i) * (1.0 - a) + of(j, i + 1) * a) * (1.0 - b)
            + (of(j + 1, i) * (1.0 - a) + of(j + 1, i + 1) * a) * b;
        // Steps, so that one sees lines of one height.
        ((mixed * 24.0).floor() / 24.0 * 255.0).round() as u8
    };
    let cells: Vec<u8> = (0..PIXELS * PIXELS).map(cell).collect();
    let (from, to) = (plane.across[0], plane.across[last]);
    let place = |x: f64, y: f64| {
        let of = |v: f64| (v - from) / (to - from);
        (LEFT + of(x) * SIDE, TOP + (1.0 - of(y)) * SIDE)
    };
    let label = format!("Losses over a plane, from {} to {}.", short(low), short(high));
    let mut out =
        format!("<svg viewBox=\"0 0 {WIDTH} {}\" role=\"img\" aria-label=\"{}\">\n", SIDE + TOP + 40.0, escape(&label));
    let _ = write!(
        out,
        "<image x=\"{LEFT}\" y=\"{TOP}\" width=\"{SIDE}\" height=\"{SIDE}\" preserveAspectRatio=\"none\" image-rendering=\"optimizeSpeed\" href=\"{}\"/>",
        heat(&cells, PIXELS)
    );
    for (name, said, at) in
        [("P", "pre-trained", (0.0, 0.0)), ("F", "fine-tuned", (1.0, 0.0)), ("S", "from scratch", (0.0, 1.0))]
    {
        let (x, y) = place(at.0, at.1);
        let _ = write!(
            out,
            "<circle class=\"mark s1\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"11\"><title>{said}</title></circle>"
        );
        text(&mut out, "title", (x, y + 5.0), "middle", name);
    }
    text(&mut out, "quiet", (LEFT, SIDE + TOP + 22.0), "", "towards fine-tuned →");
    let _ = write!(out, "<g transform=\"translate({:.1} {:.1}) rotate(-90)\">", LEFT - 12.0, SIDE + TOP);
    text(&mut out, "quiet", (0.0, 0.0), "", "towards from scratch →");
    out.push_str("</g></svg>");
    out
}
