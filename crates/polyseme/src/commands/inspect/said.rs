//! `polyseme inspect fill`: what the model would have said at each token.

use super::Outs;
use crate::args::SaidArgs;
use crate::commands::{Context, Interrupted};
use crate::render::table::table;
use crate::report::inspect as pages;
use polyseme_inspect::said::{Said, said};

/// Masks each token in turn and shows what was expected.
pub fn run(args: &SaidArgs, context: &Context) -> anyhow::Result<()> {
    let outs = Outs::new(&args.out)?;
    let encoder = context.open(&args.model)?;
    let mut progress = context.progress();
    progress.begin("fill");
    let found = said(&encoder, &args.text, args.top, &mut |done, total| {
        progress.update(done as u64, total as u64);
        !context.stop.requested()
    })?;
    progress.finish();
    let Some(found) = found else { return Err(Interrupted.into()) };
    outs.write(context, &found, || pages::said(&found, &context.made()), || pages::said_picture(&found))?;
    context.result(&found, &shown(&found))
}

fn shown(found: &Said) -> String {
    let rows: Vec<Vec<String>> = found
        .tokens
        .iter()
        .map(|t| {
            let guesses: Vec<String> =
                t.candidates.iter().take(3).map(|c| format!("{} {:.3}", c.token, c.score)).collect();
            vec![
                t.token.clone(),
                t.probability.map_or("–".into(), |p| format!("{p:.4}")),
                t.rank.map_or("–".into(), |r| (r + 1).to_string()),
                guesses.join(", "),
            ]
        })
        .collect();
    let perplexity = found.pseudo_perplexity.map_or(String::new(), |p| format!("\npseudo-perplexity {p:.3}\n"));
    table(&["token", "probability", "place", "it would have said"], &rows) + &perplexity
}
