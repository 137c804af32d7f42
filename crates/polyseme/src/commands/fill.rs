//! `polyseme fill`: what stands behind each mask of a text.

use crate::args::FillArgs;
use crate::commands::Context;
use crate::render::table::table;
use polyseme_infer::Fill;
use serde::Serialize;

#[derive(Serialize)]
struct Filled {
    masks: Vec<Fill>,
}

/// Fills the masks and shows the candidates.
pub fn run(args: &FillArgs, context: &Context) -> anyhow::Result<()> {
    let encoder = context.open(&args.model)?;
    let masks = encoder.fill(&args.text, args.top)?;
    let mut text = String::new();
    for (i, mask) in masks.iter().enumerate() {
        if masks.len() > 1 {
            text += &format!("{}mask {} (position {})\n", if i > 0 { "\n" } else { "" }, i + 1, mask.position);
        }
        let rows: Vec<Vec<String>> =
            mask.candidates.iter().map(|c| vec![c.token.clone(), format!("{:.4}", c.score)]).collect();
        text += &table(&["token", "score"], &rows);
    }
    context.result(&Filled { masks }, &text)
}
