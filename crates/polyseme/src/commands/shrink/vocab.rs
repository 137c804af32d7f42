//! `polyseme shrink vocab`: a model without the pieces that a domain never uses.

use super::row;
use crate::args::VocabArgs;
use crate::commands::{Context, Interrupted};
use crate::render::numbers::group;
use crate::render::table::table;
use polyseme_shrink::vocab::{VocabOutcome, VocabSettings, vocab};
use polyseme_shrink::{Error, Result};

/// Drops them and says what was saved.
pub fn run(args: &VocabArgs, context: &Context) -> anyhow::Result<()> {
    super::check_out(&args.out, args.force)?;
    let settings = VocabSettings::from(args);
    let mut progress = context.progress();
    let outcome: Result<VocabOutcome> = vocab(&settings, &context.device, &mut progress, &context.stop);
    progress.finish();
    drop(progress);
    match outcome {
        Err(Error::Text(polyseme_text::Error::Stopped)) => Err(Interrupted.into()),
        outcome => {
            let outcome = outcome?;
            context.result(&outcome, &summary(&outcome))
        }
    }
}

fn summary(o: &VocabOutcome) -> String {
    let rows = [row("pieces", o.pieces), row("parameters", o.parameters), row("bytes as f32", o.bytes)];
    let mut text = table(&["", "before", "after", "saved"], &rows);
    let (documents, tokens) = (group(o.documents), group(o.tokens));
    text += &format!("\nlooked at {documents} documents, {tokens} tokens");
    if o.cut_otherwise > 0 {
        let share = 100.0 * o.cut_otherwise as f64 / o.tokens as f64;
        text += &format!("; {} of them ({share:.2} %) are cut into smaller pieces now", group(o.cut_otherwise));
    }
    if let Some(cosine) = o.lowest_cosine {
        text += &format!("\nhidden states of {} texts before and after: cosine {cosine:.6} or more", o.compared);
    }
    let model = o.model.display();
    text + &format!("\n\nmodel  {model}\nnext:  polyseme embed {model} FILE\n")
}
