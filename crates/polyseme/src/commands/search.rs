//! `polyseme search`: what is near a text in a folder of vectors.

use crate::args::SearchArgs;
use crate::commands::Context;
use crate::render::table::table;
use polyseme_infer::Encoder;
use polyseme_inspect::index::{Hit, Index};
use serde::Serialize;

#[derive(Serialize)]
struct Found<'a> {
    query: &'a str,
    hits: Vec<Hit>,
}

/// Looks for the nearest.
pub fn run(args: &SearchArgs, context: &Context) -> anyhow::Result<()> {
    let mut index = Index::open(&args.index)?;
    if args.exact {
        index.exactly();
    }
    let encoder = model(&index, args.model.as_deref(), context)?;
    let vector = encoder.embed(&[&args.query], &index.head.options)?.remove(0);
    let hits = index.nearest(&vector, args.top, None)?;
    let text = shown(&hits);
    context.result(&Found { query: &args.query, hits }, &text)
}

/// The model that made an index.
pub fn model(index: &Index, folder: Option<&std::path::Path>, context: &Context) -> anyhow::Result<Encoder> {
    let open = |folder: &std::path::Path| Encoder::open_on(folder, polyseme_models::HeadKind::AsFound, &context.device);
    Ok(index.model(folder, open)?)
}

/// A line a hit.
pub fn shown(hits: &[Hit]) -> String {
    let row = |hit: &Hit| {
        let mut row = vec![(hit.row + 1).to_string(), format!("{:.4}", hit.score)];
        row.extend(hit.entry.word.as_ref().map(|(word, _)| word.clone()));
        row.push(hit.entry.text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(100).collect());
        row
    };
    let rows: Vec<Vec<String>> = hits.iter().map(row).collect();
    let words = hits.iter().any(|hit| hit.entry.word.is_some());
    let head: &[&str] = if words { &["row", "cosine", "word", "text"] } else { &["row", "cosine", "text"] };
    table(head, &rows)
}
