//! What a model would have said: a text whose tokens are coloured by how much they surprise it.

use super::super::html::{Cell, Fact, Page, details, escape, table};
use super::super::{Made, made_section};
use super::text;
use polyseme_infer::Guess;
use polyseme_inspect::said::{Said, surprise};
use std::fmt::Write;

const WIDTH: f64 = 860.0;
/// Surprise at which a token is as dark as can be: one in three thousand.
const DARKEST: f64 = 8.0;
/// Width of a character in the drawing.
const LETTER: f64 = 8.0;
/// Height of a line in the drawing.
const LINE: f64 = 40.0;

/// The page of a text.
pub fn page(found: &Said, made: &Made) -> String {
    let masks = found.tokens.iter().filter(|t| t.probability.is_none()).count();
    let known = found.tokens.len() - masks;
    let lede = "Each token was hidden in turn, and the model asked what stands there. The darker, the less it expected what does.";
    let shown: String = found.text.chars().take(90).collect();
    let mut page = Page::new("What the model would have said", &shown, lede);
    let first = found.tokens.iter().filter(|t| t.rank == Some(0)).count();
    let perplexity = found.pseudo_perplexity.map_or("–".to_owned(), |p| format!("{p:.2}"));
    page.facts(&[
        Fact::new(perplexity, "pseudo-perplexity", "1 is a text it knows by heart"),
        Fact::new(format!("{first} of {known}"), "tokens were its first guess", ""),
        Fact::new(masks.to_string(), "masks in the text", ""),
    ]);
    let mut body = String::from("<p class=\"said\">");
    let mut tips = Vec::new();
    let mut at = 0;
    for (i, token) in found.tokens.iter().enumerate() {
        let gap = found.text.get(at..token.range.start).unwrap_or("");
        at = token.range.end.max(at);
        let piece = found.text.get(token.range.clone()).filter(|p| !p.is_empty()).unwrap_or(&token.token);
        let class = if token.probability.is_none() { " class=\"masked\"" } else { "" };
        let _ = write!(
            body,
            "{}<span data-i=\"{i}\" tabindex=\"0\"{class} style=\"--h:{:.2}\">{}</span>",
            escape(gap),
            0.75 * share(token),
            escape(piece)
        );
        tips.push(tip(token));
    }
    body.push_str("</p>\n");
    let rows: Vec<Vec<Cell>> = found.tokens.iter().map(row).collect();
    let head = ["Token", "Probability", "Surprise", "Place", "It would have said"];
    body += &details("All tokens", &table("Token by token", &head, &rows));
    page.section(
        "The text",
        "Point at a token, or go there with the tab key, to see what the model would have said.",
        &body,
    );
    page.data("tips", &tips);
    made_section(&mut page, made);
    page.finish()
}

/// How dark a token is.
fn share(token: &Guess) -> f64 {
    surprise(token).map_or(0.0, |s| (s / DARKEST).min(1.0))
}

fn guesses(token: &Guess) -> Vec<String> {
    token.candidates.iter().map(|c| format!("{} {:.1} %", c.token, 100.0 * c.score)).collect()
}

fn tip(token: &Guess) -> String {
    let own = match (token.probability, token.rank) {
        (Some(p), Some(rank)) => format!("{}: {:.2} %, place {}\n", token.token, 100.0 * p, rank + 1),
        _ => "a mask\n".to_owned(),
    };
    own + &guesses(token).join("\n")
}

fn row(token: &Guess) -> Vec<Cell> {
    let number = |value: Option<String>| Cell::Number(value.unwrap_or_else(|| "–".to_owned()));
    vec![
        Cell::Text(token.token.clone()),
        number(token.probability.map(|p| format!("{p:.5}"))),
        number(surprise(token).map(|s| format!("{s:.2}"))),
        number(token.rank.map(|r| (r + 1).to_string())),
        Cell::Text(guesses(token).join(", ")),
    ]
}

/// The text as a drawing: tokens one after another, below each what the model would have said first.
pub fn picture(found: &Said) -> String {
    let (mut x, mut y) = (14.0, 20.0);
    let mut body = String::new();
    for token in &found.tokens {
        let best = token.candidates.first().map_or("", |c| c.token.as_str());
        let wide = |s: &str| s.chars().map(|c| if c.is_ascii() { LETTER } else { 2.0 * LETTER }).sum::<f64>();
        let width = wide(&token.token).max(0.8 * wide(best)) + 8.0;
        if x + width > WIDTH - 10.0 && x > 14.0 {
            (x, y) = (14.0, y + LINE + 6.0);
        }
        let _ = write!(
            body,
            "<rect class=\"s1\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"22\" rx=\"3\" fill-opacity=\"{:.2}\"/>",
            0.8 * share(token)
        );
        text(&mut body, "word", (x + 4.0, y + 15.0), "", &token.token);
        text(&mut body, "quiet", (x + 4.0, y + 34.0), "", best);
        x += width + 4.0;
    }
    let label = format!("A text of {} tokens, coloured by how much each surprises the model.", found.tokens.len());
    format!(
        "<svg viewBox=\"0 0 {WIDTH} {}\" role=\"img\" aria-label=\"{}\">{body}</svg>",
        y + LINE + 12.0,
        escape(&label)
    )
}
