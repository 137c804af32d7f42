//! `polyseme shrink share`: a model whose layers share their weights.

use super::row;
use crate::args::ShareArgs;
use crate::commands::Context;
use crate::render::table::table;
use crate::settings::{Error, resolve_share};
use polyseme_models::Share;
use polyseme_shrink::distil::Known;
use polyseme_shrink::share::{self, ShareOutcome};

/// Converts where nothing is to be learned; else resolves the plan and runs it.
pub fn run(args: &ShareArgs, context: &Context) -> anyhow::Result<()> {
    if args.finetune.train.is_none() && !args.finetune.resume {
        return convert(args, context);
    }
    let plan = resolve_share(args, context.seed, |model| Ok(Known::of(model, &context.device)?))?;
    let settings = &plan.settings;
    if args.finetune.dry_run {
        return context.result(settings, &toml::to_string(settings)?);
    }
    let mut progress = context.progress();
    let outcome = share::share(settings, plan.resume, &context.device, &mut progress, &context.stop)?;
    progress.finish();
    drop(progress);
    if outcome.interrupted {
        return context.stopped(&outcome, "stopped and saved", "shrink share", &outcome.model);
    }
    context.result(&outcome, &summary(&outcome))
}

/// Shares weights and nothing else.
fn convert(args: &ShareArgs, context: &Context) -> anyhow::Result<()> {
    let missing = |what, hint| Error::Missing { what, hint };
    let model = args.finetune.model.as_ref().ok_or(missing("MODEL", "name the model folder to begin with"))?;
    let out = args.finetune.out.as_ref().ok_or(missing("--out", "name the folder to write, as in `--out smaller`"))?;
    super::check_out(out, args.force)?;
    let how = Share {
        groups: args.groups.unwrap_or(1),
        embedding_size: args.embedding_size,
        layers: (!args.layers.is_empty()).then(|| args.layers.clone()),
    };
    let outcome = share::convert(model, &how, out, &context.device)?;
    context
        .note("it has learned nothing again yet: give rows with --train, or make it the --student of `shrink distil`");
    context.result(&outcome, &summary(&outcome))
}

fn summary(o: &ShareOutcome) -> String {
    let rows = [
        row("parameters of layers", o.layers),
        row("parameters of embeddings", o.embeddings),
        row("all parameters", o.parameters),
    ];
    let mut text = table(&["", "before", "after", "saved"], &rows);
    if let (Some(metric), Some(score)) = (&o.metric, o.score) {
        text += &format!("\n{metric} after learning again  {score:.4}\n");
    }
    let model = o.model.display();
    text + &format!("\nmodel  {model}\nnext:  polyseme eval {model} --data FILE\n")
}
