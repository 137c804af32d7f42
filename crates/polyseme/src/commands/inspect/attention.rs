//! `polyseme inspect attention`: what tokens attend to.

use super::Outs;
use crate::args::AttentionArgs;
use crate::commands::Context;
use crate::render::table::table;
use crate::report::inspect as pages;
use polyseme_inspect::attention::{Attention, attention};

/// Places shown of a token in text.
const TOP: usize = 3;

/// Computes the maps and writes them.
pub fn run(args: &AttentionArgs, context: &Context) -> anyhow::Result<()> {
    let outs = Outs::new(&args.out)?;
    let encoder = context.open(&args.model)?;
    let found = attention(&encoder, &args.text, args.pair.as_deref(), &args.layer)?;
    outs.write(context, &found, || pages::attention(&found, &context.made()), || pages::attention_picture(&found, 0))?;
    context.result(&found, &shown(&found))
}

/// For each layer, what each token attends to most, in the mean of the heads.
fn shown(found: &Attention) -> String {
    let n = found.tokens.len();
    let mut text = String::new();
    for layer in &found.layers {
        text += &format!("layer {}, mean of {} heads\n", layer.layer, layer.heads.len());
        let row = |(from, token): (usize, &String)| {
            let mean = |to: usize| layer.heads.iter().map(|h| h[from * n + to]).sum::<f32>() / layer.heads.len() as f32;
            let mut places: Vec<(usize, f32)> = (0..n).map(|to| (to, mean(to))).collect();
            places.sort_by(|a, b| b.1.total_cmp(&a.1));
            let most = places.iter().take(TOP).map(|&(to, w)| format!("{} {w:.2}", found.tokens[to]));
            vec![token.clone(), most.collect::<Vec<_>>().join(", ")]
        };
        let rows: Vec<Vec<String>> = found.tokens.iter().enumerate().map(row).collect();
        text += &table(&["token", "attends to"], &rows);
        text.push('\n');
    }
    text
}
