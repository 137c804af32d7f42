//! What is near: a map, and a list.

use super::super::html::{Cell, Fact, Page, escape, figure, table};
use super::super::scale::grouped;
use super::super::{Made, made_section};
use super::{plane, text};
use polyseme_inspect::index::Entry;
use polyseme_inspect::neighbours::Neighbours;
use std::fmt::Write;

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 460.0;
/// Letters of a name on the map.
const LETTERS: usize = 34;

/// The page.
pub fn page(found: &Neighbours, made: &Made) -> String {
    let title = short(&found.of, 90);
    let lede = format!(
        "The {} nearest of {} entries, by cosine; all were compared.",
        found.hits.len(),
        grouped(found.count as u64)
    );
    let mut page = Page::new("Neighbours", &title, &lede);
    if let Some(first) = found.hits.first() {
        page.facts(&[Fact::new(format!("{:.3}", first.score), "cosine of the nearest", short(&first.entry, 80))]);
    }
    let rows: Vec<Vec<Cell>> = found
        .hits
        .iter()
        .map(|hit| {
            vec![
                Cell::Number((hit.row + 1).to_string()),
                Cell::Number(format!("{:.4}", hit.score)),
                Cell::Text(short(&hit.entry, 300)),
            ]
        })
        .collect();
    page.section("The nearest", "", &table("", &["Row", "Cosine", "Entry"], &rows));
    let caption = match found.shown {
        Some(share) => {
            format!("The two directions along which the vectors vary most: {:.0} % of all variance.", 100.0 * share)
        }
        None => "t-SNE of the cosine distances.".into(),
    };
    let text = "The entry itself is ringed, its neighbours are large; the others are an even part of all.";
    page.section("The map", text, &figure(&picture(found), &caption, ""));
    page.data("tips", &found.points.iter().map(|p| short(&p.entry, 300)).collect::<Vec<_>>());
    made_section(&mut page, made);
    page.finish()
}

/// An entry in a few letters: the word with its text, or the text.
fn short(entry: &Entry, most: usize) -> String {
    let text: String = entry.text.split_whitespace().collect::<Vec<_>>().join(" ");
    let text = if text.chars().count() > most { text.chars().take(most).collect::<String>() + "…" } else { text };
    match &entry.word {
        Some((word, _)) => format!("{word} — {text}"),
        None => text,
    }
}

/// The map.
pub fn picture(found: &Neighbours) -> String {
    let near = found.hits.len();
    let places = plane(&found.points.iter().map(|p| p.at).collect::<Vec<_>>(), (WIDTH, HEIGHT), 40.0);
    let label =
        format!("A map of {} entries with the {near} nearest to “{}”.", found.points.len(), short(&found.of, 60));
    let mut out = format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">\n", escape(&label));
    // The others first, so that they lie below.
    for (i, (x, y)) in places.iter().enumerate().rev() {
        let (class, radius) = match i {
            0 => ("mark s1", 7.0),
            i if i <= near => ("mark s0", 6.0),
            _ => ("mark s7", 3.0),
        };
        let _ = write!(out, "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\" data-i=\"{i}\"/>");
        if i == 0 {
            let _ = write!(out, "<circle class=\"ring\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"11\"/>");
        }
        if i <= near.min(12) {
            let entry = &found.points[i].entry;
            let name = entry.word.as_ref().map_or_else(|| short(entry, LETTERS), |(word, _)| word.clone());
            let (x, anchor) = if *x > WIDTH * 0.72 { (x - 11.0, "end") } else { (x + 11.0, "") };
            text(&mut out, "quiet", (x, y + 4.0), anchor, &name);
        }
    }
    out.push_str("</svg>");
    out
}
