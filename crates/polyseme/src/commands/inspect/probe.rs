//! `polyseme inspect probe`: which layer knows what.

use super::Outs;
use crate::args::ProbeArgs;
use crate::commands::Context;
use crate::render::table::table;
use crate::report::inspect as pages;
use polyseme_inspect::probe::{Probe, ProbeOptions, probe};

/// Learns a cut through the vectors of each layer.
pub fn run(args: &ProbeArgs, context: &Context) -> anyhow::Result<()> {
    let outs = Outs::new(&args.out)?;
    let encoder = context.open(&args.model)?;
    let options = ProbeOptions {
        train: args.file.clone(),
        valid: args.valid.clone(),
        tags: args.tags,
        text: args.text.clone(),
        label: args.label.clone(),
        most: args.most as usize,
        seed: context.seed.unwrap_or(0),
    };
    let found = probe(&encoder, &options)?;
    outs.write(context, &found, || pages::probe(&found, &context.made()), || pages::probe_picture(&found))?;
    context.result(&found, &shown(&found))
}

fn shown(found: &Probe) -> String {
    let name = |layer: Option<usize>| layer.map_or("alone".to_owned(), |n| n.to_string());
    let row = |l: &polyseme_inspect::probe::LayerProbe| {
        vec![name(l.layer), format!("{:.4}", l.accuracy), format!("{:.4}", l.control)]
    };
    let rows: Vec<Vec<String>> = found.layers.iter().map(row).collect();
    format!(
        "{}\n{} examples to learn from, {} to measure on, {} labels; the most frequent one: {:.4}\nbest: layer {}",
        table(&["layer", "right", "control"], &rows),
        found.learned,
        found.measured,
        found.labels.len(),
        found.majority,
        name(pages::best_probe(found).layer)
    )
}
