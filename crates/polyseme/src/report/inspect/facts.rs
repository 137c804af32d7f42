//! What is in a model folder, and how far it is from another one.

use super::super::html::{Cell, Fact, Page, details, escape, figure, table};
use super::super::scale::{bytes, grouped, short};
use super::super::{Made, made_section};
use super::text;
use polyseme_inspect::facts::{Difference, Facts, LENGTH, Moved};
use std::fmt::Write;

const WIDTH: f64 = 860.0;
const LEFT: f64 = 130.0;
const RIGHT: f64 = 190.0;
const LINE: f64 = 26.0;

/// The page of a folder.
pub fn page(facts: &Facts, difference: Option<&Difference>, made: &Made) -> String {
    let lede = format!("A {} with {}, {} parameters.", facts.family, facts.head, grouped(facts.parameters as u64));
    let mut page = Page::new("What is in a model", &facts.folder.display().to_string(), &lede);
    let tokens = format!("of a text of {LENGTH} tokens");
    page.facts(&[
        Fact::new(
            short(facts.parameters as f64),
            "parameters",
            if facts.tied.is_some() { "tied ones once" } else { "" },
        ),
        Fact::new(bytes(facts.bytes as u64), "on disk", types(facts)),
        Fact::new(bytes(facts.memory_bytes as u64), "in memory", "weights only"),
        Fact::new(short(facts.multiply_adds_per_token as f64), "multiply-adds a token", tokens),
    ]);
    page.section("Where they are", "", &figure(&bars(facts), "Parameters of each part.", &tensors(facts)));
    if let Some(difference) = difference {
        let text = format!(
            "Compared with {}: the length of the difference, as a share of the other's length.",
            difference.other.display()
        );
        page.section("What has moved", &text, &moved(difference));
    }
    let row =
        |(name, value): (&&str, &usize)| vec![Cell::Text((*name).to_owned()), Cell::Number(grouped(*value as u64))];
    let sizes: Vec<Vec<Cell>> = facts.sizes.iter().map(row).collect();
    page.section("Sizes", "", &table("", &[], &sizes));
    page.section("Tokenizer", "", &tokenizer(facts));
    made_section(&mut page, made);
    page.finish()
}

/// The drawing: the parts, and what has moved.
pub fn picture(facts: &Facts, difference: Option<&Difference>) -> String {
    let mut parts = vec![(format!("Parameters of {}", facts.folder.display()), bars(facts))];
    parts.extend(difference.map(|d| (format!("Moved, beside {}", d.other.display()), distances(&d.parts))));
    super::super::picture::stacked("What is in a model", &parts)
}

fn types(facts: &Facts) -> String {
    let mut types: Vec<&str> = facts.parts.iter().flat_map(|p| p.tensors.iter().map(|t| t.dtype)).collect();
    types.sort_unstable();
    types.dedup();
    types.join(", ")
}

fn bars(facts: &Facts) -> String {
    let rows: Vec<(String, f64, String)> = facts
        .parts
        .iter()
        .map(|p| {
            let share = 100.0 * p.parameters as f64 / facts.parameters.max(1) as f64;
            (p.name.clone(), p.parameters as f64, format!("{} · {share:.1} %", short(p.parameters as f64)))
        })
        .collect();
    chart("Parameters of each part", &rows)
}

fn distances(parts: &[Moved]) -> String {
    let rows: Vec<(String, f64, String)> =
        parts.iter().map(|p| (p.name.clone(), p.relative, format!("{:.2} %", 100.0 * p.relative))).collect();
    chart("How far each part has moved", &rows)
}

/// A bar a row: name, length, what stands behind it.
fn chart(label: &str, rows: &[(String, f64, String)]) -> String {
    let height = rows.len() as f64 * LINE + 12.0;
    let most = rows.iter().map(|r| r.1).fold(f64::MIN_POSITIVE, f64::max);
    let heard: String = rows.iter().map(|(name, _, said)| format!(" {name}: {said}.")).collect();
    let mut out = format!(
        "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{}\">\n",
        escape(&format!("{label}.{heard}"))
    );
    for (i, (name, value, said)) in rows.iter().enumerate() {
        let y = 6.0 + i as f64 * LINE;
        let width = value / most * (WIDTH - LEFT - RIGHT);
        text(&mut out, "word", (LEFT - 12.0, y + 16.0), "end", name);
        let _ = write!(
            out,
            "<rect class=\"s0\" x=\"{LEFT}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{}\" rx=\"2\"/>",
            y + 3.0,
            width.max(1.0),
            LINE - 8.0
        );
        text(&mut out, "quiet", (LEFT + width + 10.0, y + 16.0), "", said);
    }
    out.push_str("</svg>");
    out
}

fn tensors(facts: &Facts) -> String {
    let row = |part: &str, t: &polyseme_inspect::facts::TensorFacts| {
        let shape = t.shape.iter().map(usize::to_string).collect::<Vec<_>>().join(" × ");
        vec![
            Cell::Text(t.name.clone()),
            Cell::Text(part.to_owned()),
            Cell::Text(t.dtype.to_owned()),
            Cell::Text(shape),
            Cell::Number(bytes(t.bytes as u64)),
        ]
    };
    let rows: Vec<Vec<Cell>> = facts.parts.iter().flat_map(|p| p.tensors.iter().map(|t| row(&p.name, t))).collect();
    let mut out = details("All tensors", &table("Tensors", &["Name", "Part", "Type", "Shape", "Bytes"], &rows));
    if let Some([one, other]) = &facts.tied {
        let _ = writeln!(out, "<p>{} is {}.</p>", escape(one), escape(other));
    }
    if !facts.unused.is_empty() {
        let _ = writeln!(out, "<p>No part of the model, and not read: {}.</p>", escape(&facts.unused.join(", ")));
    }
    out
}

fn moved(difference: &Difference) -> String {
    let row = |m: &Moved| {
        let number = |value: String| Cell::Number(value);
        vec![
            Cell::Text(m.name.clone()),
            number(format!("{:.4} %", 100.0 * m.relative)),
            number(format!("{:.6}", m.cosine)),
            number(short(m.greatest)),
        ]
    };
    let head = ["Part", "Moved", "Cosine", "Greatest"];
    let parts: Vec<Vec<Cell>> = difference.parts.iter().map(row).collect();
    let each: Vec<Vec<Cell>> = difference.parameters.iter().map(row).collect();
    let mut out = figure(
        &distances(&difference.parts),
        "",
        &details("The numbers of this chart", &table("Parts", &head, &parts)),
    );
    out += &details("Every parameter", &table("Parameters", &["Parameter", "Moved", "Cosine", "Greatest"], &each));
    if !difference.apart.is_empty() {
        let _ = writeln!(out, "<p>Of one of the two only: {}.</p>", escape(&difference.apart.join(", ")));
    }
    out
}

fn tokenizer(facts: &Facts) -> String {
    let found = &facts.tokenizer;
    let mut rows = vec![("Kind", found.kind.clone()), ("Pieces", grouped(found.pieces as u64))];
    rows.extend(found.max_length.map(|n| ("Longest input", grouped(n as u64))));
    rows.extend(found.special.iter().map(|(what, token)| (*what, token.clone())));
    rows.push(("Hash", found.hash.clone()));
    let rows: Vec<Vec<Cell>> =
        rows.into_iter().map(|(name, value)| vec![Cell::Text(name.to_owned()), Cell::Text(value)]).collect();
    table("", &[], &rows)
}
