//! `polyseme inspect senses`: a word in many sentences.

use super::Outs;
use crate::args::SensesArgs;
use crate::commands::Context;
use crate::render::table::table;
use crate::report::inspect as pages;
use polyseme_inspect::senses::{LayerSenses, Senses, SensesOptions, senses};

/// Compares the vectors of a word.
pub fn run(args: &SensesArgs, context: &Context) -> anyhow::Result<()> {
    let outs = Outs::new(&args.out)?;
    let encoder = context.open(&args.model)?;
    let layers = encoder.model.config().num_hidden_layers;
    if let Some(asked) = args.layer.filter(|&l| l > layers) {
        return Err(polyseme_infer::Error::NoLayer { asked, layers }.into());
    }
    let options = SensesOptions {
        word: args.word.clone(),
        also: args.also.clone(),
        path: args.file.clone(),
        text: args.text.clone(),
        label: args.label.clone(),
        senses: args.senses.map(|n| n as usize),
        map: args.map.into(),
        most: args.most as usize,
    };
    let found = senses(&encoder, &options)?;
    if found.cut > 0 {
        context
            .warn(&format!("{} text(s) are left out: the word stands behind what the model reads of them", found.cut));
    }
    if found.total > (found.sentences.len() + found.cut) as u64 {
        context.note(&format!(
            "{} of {} occurrences are compared; more with --most",
            found.sentences.len(),
            found.total
        ));
    }
    // The list begins with words alone.
    let drawn = args.layer.map_or(found.clearest, |layer| layer + 1);
    outs.write(context, &found, || pages::senses(&found, &context.made()), || pages::senses_picture(&found, drawn))?;
    context.result(&found, &shown(&found))
}

fn name(layer: &LayerSenses) -> String {
    layer.layer.map_or_else(|| "alone".to_owned(), |n| n.to_string())
}

fn shown(found: &Senses) -> String {
    let row = |layer: &LayerSenses| {
        let mut row = vec![name(layer), layer.about.len().to_string(), format!("{:.3}", layer.silhouette)];
        row.extend(layer.adjusted_rand_index.map(|a| format!("{a:.3}")));
        row
    };
    let head: &[&str] = match found.layers[0].adjusted_rand_index {
        Some(_) => &["layer", "senses", "silhouette", "agreement"],
        None => &["layer", "senses", "silhouette"],
    };
    let rows: Vec<Vec<String>> = found.layers.iter().map(row).collect();
    let mut text = table(head, &rows);
    let clearest = &found.layers[found.clearest];
    text += &format!("\nat layer {}:\n", name(clearest));
    for (i, sense) in clearest.about.iter().enumerate() {
        let example: String = found.sentences[sense.example].text.chars().take(100).collect();
        text += &format!("sense {}: {} sentence(s), as in: {example}\n", i + 1, sense.count);
        if !sense.telling.is_empty() {
            text += &format!("         around it: {}\n", sense.telling.join(", "));
        }
    }
    text
}
