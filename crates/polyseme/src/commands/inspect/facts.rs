//! `polyseme inspect model`: what is in a folder, and how far it is from another one.

use super::Outs;
use crate::args::FactsArgs;
use crate::commands::Context;
use crate::render::numbers::group;
use crate::render::table::table;
use crate::report::inspect as pages;
use polyseme_inspect::facts::{Difference, Facts, LENGTH, difference, facts};
use serde::Serialize;

#[derive(Serialize)]
struct Found {
    #[serde(flatten)]
    facts: Facts,
    #[serde(skip_serializing_if = "Option::is_none")]
    diff: Option<Difference>,
}

/// Looks into the folder.
pub fn run(args: &FactsArgs, context: &Context) -> anyhow::Result<()> {
    let outs = Outs::new(&args.out)?;
    let facts = facts(&args.model)?;
    let diff = args.diff.as_ref().map(|other| difference(&args.model, other)).transpose()?;
    let text = shown(&facts, diff.as_ref());
    let found = Found { facts, diff };
    let (facts, diff) = (&found.facts, found.diff.as_ref());
    outs.write(context, &found, || pages::facts(facts, diff, &context.made()), || pages::facts_picture(facts, diff))?;
    context.result(&found, &text)
}

fn shown(facts: &Facts, diff: Option<&Difference>) -> String {
    let number = |n: usize| group(n as u64);
    let moved = |name: &str| {
        let found = diff.and_then(|d| d.parts.iter().find(|p| p.name == name));
        found.map_or_else(String::new, |m| format!("{:.3} %", 100.0 * m.relative))
    };
    let row = |p: &polyseme_inspect::facts::Part| {
        let mut row = vec![p.name.clone(), number(p.parameters), number(p.bytes)];
        row.extend(diff.map(|_| moved(&p.name)));
        row
    };
    let mut rows: Vec<Vec<String>> = facts.parts.iter().map(row).collect();
    let mut all = vec!["all".to_owned(), number(facts.parameters), number(facts.bytes)];
    all.extend(diff.map(|_| String::new()));
    rows.push(all);
    let head: &[&str] =
        if diff.is_some() { &["part", "parameters", "bytes", "moved"] } else { &["part", "parameters", "bytes"] };
    let sizes: Vec<String> = facts.sizes.iter().map(|(name, n)| format!("{name} {n}")).collect();
    let mut text = format!("{}, {}\n{}\n\n{}", facts.family, facts.head, sizes.join(", "), table(head, &rows));
    text += &format!(
        "\nin memory {} bytes; {} multiply-adds a token of {LENGTH}",
        number(facts.memory_bytes),
        number(facts.multiply_adds_per_token)
    );
    if facts.head_multiply_adds > 0 {
        text += &format!(", {} more in the head", number(facts.head_multiply_adds));
    }
    let tokenizer = &facts.tokenizer;
    text += &format!("\ntokenizer: {}, {} pieces", tokenizer.kind, number(tokenizer.pieces));
    if let Some([one, other]) = &facts.tied {
        text += &format!("\n{one} is {other}");
    }
    if !facts.unused.is_empty() {
        text += &format!("\nnot part of the model: {}", facts.unused.join(", "));
    }
    if let Some(diff) = diff.filter(|d| !d.apart.is_empty()) {
        let some = diff.apart.iter().take(6).map(String::as_str).collect::<Vec<_>>().join(", ");
        let more = diff.apart.len().saturating_sub(6);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        text += &format!("\nof one of the two only: {some}{more}");
    }
    text
}
