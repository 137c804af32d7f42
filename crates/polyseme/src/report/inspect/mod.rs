//! Pages of `polyseme inspect`: drawings of what an encoder holds, a slider through its layers, texts under the pointer.
//!
//! A drawing is made once, here; the page shows it, and a file has it by itself (`picture.rs`). The script in
//! `script.js` moves sliders and shows texts, and draws nothing.

mod attention;
mod facts;
mod landscape;
mod neighbours;
mod probe;
mod said;
mod senses;

pub use attention::{page as attention, picture as attention_picture};
pub use facts::{page as facts, picture as facts_picture};
pub use landscape::{page as landscape, picture as landscape_picture};
pub use neighbours::{page as neighbours, picture as neighbours_picture};
pub use probe::{best as best_probe, page as probe, picture as probe_picture};
pub use said::{page as said, picture as said_picture};
pub use senses::{page as senses, picture as senses_picture};

use super::html::escape;
use std::fmt::Write;

/// A slider over `count` steps, of which `at` is shown first; `id` is what steps and the list of names are called by.
fn slider(id: &str, label: &str, count: usize, at: usize) -> String {
    let last = count.saturating_sub(1);
    format!(
        "<p class=\"steer\"><label for=\"{id}\">{}</label><input type=\"range\" id=\"{id}\" min=\"0\" max=\"{last}\" value=\"{at}\" \
         data-steers=\"{id}\" data-names=\"{id}-names\"><output for=\"{id}\"></output></p>\n",
        escape(label)
    )
}

/// Something that is shown at one step of a slider only.
fn step(of: &str, number: usize, first: usize, markup: &str) -> String {
    let hidden = if number == first { "" } else { " hidden" };
    format!("<div data-step-of=\"{of}\" data-step=\"{number}\"{hidden}>\n{markup}</div>\n")
}

/// The text around a piece of it, at most so many characters on either side.
fn around(text: &str, piece: &std::ops::Range<usize>, most: usize) -> [String; 3] {
    let skip = text[..piece.start].chars().count().saturating_sub(most);
    let mut before: String = text[..piece.start].chars().skip(skip).collect();
    if skip > 0 {
        before.insert(0, '…');
    }
    let mut after: String = text[piece.end..].chars().take(most).collect();
    if after.len() < text.len() - piece.end {
        after.push('…');
    }
    [before, text[piece.clone()].to_owned(), after]
}

/// Points of a map inside of a drawing, one scale for both axes, so that distances are those of the map.
fn plane(points: &[[f32; 2]], (width, height): (f64, f64), edge: f64) -> Vec<(f64, f64)> {
    let ends = |axis: usize| {
        let values = points.iter().map(|p| f64::from(p[axis]));
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)))
    };
    let (x, y) = (ends(0), ends(1));
    let wide = |(low, high): (f64, f64)| (high - low).max(1e-9);
    let scale = ((width - 2.0 * edge) / wide(x)).min((height - 2.0 * edge) / wide(y));
    // Points that are all one lie in the middle.
    let scale = if wide(x).max(wide(y)) > 1e-6 { scale } else { 0.0 };
    let away = |v: f32, (low, high): (f64, f64)| (f64::from(v) - (low + high) / 2.0) * scale;
    points.iter().map(|p| (width / 2.0 + away(p[0], x), height / 2.0 - away(p[1], y))).collect()
}

/// A piece of a drawing's text.
fn text(out: &mut String, class: &str, (x, y): (f64, f64), anchor: &str, said: &str) {
    let anchor = if anchor.is_empty() { String::new() } else { format!(" text-anchor=\"{anchor}\"") };
    let _ = write!(out, "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\"{anchor}>{}</text>", escape(said));
}

#[cfg(test)]
mod tests {
    use super::around;

    #[test]
    fn what_stands_around_is_cut_at_characters() {
        assert_eq!(around("one two three", &(4..7), 2), ["…e ", "two", " t…"]);
        assert_eq!(around("über苹果", &(5..11), 9), ["über", "苹果", ""]);
    }
}
