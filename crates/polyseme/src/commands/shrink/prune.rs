//! `polyseme shrink prune`: a model without some of its parts, or of its single weights.

use crate::args::PruneArgs;
use crate::commands::{Context, Interrupted, finetune};
use crate::render::table::table;
use crate::settings::{Error, is_sparse, resolve_prune, resolve_sparse};
use polyseme_models::Cut;
use polyseme_models::cut::Importances;
use polyseme_shrink::distil::Known;
use polyseme_shrink::prune::{self, PruneOutcome};
use serde_json::json;

/// Cuts layers where nothing is to be learned; else resolves the plan and runs it, or shows what is important.
pub fn run(args: &PruneArgs, context: &Context) -> anyhow::Result<()> {
    if is_sparse(args)? {
        let plan = resolve_sparse(args, context.seed, |model| Ok(Known::of(model, &context.device)?))?;
        return finetune::carry_out(&plan, args.finetune.dry_run, "shrink prune", context);
    }
    if args.finetune.train.is_none() && !args.finetune.resume && !args.show {
        return cut(args, context);
    }
    let plan = resolve_prune(args, context.seed, |model| Ok(Known::of(model, &context.device)?))?;
    let settings = &plan.settings;
    if args.finetune.dry_run {
        return context.result(settings, &toml::to_string(settings)?);
    }
    let mut progress = context.progress();
    if args.show {
        let found = prune::measure(settings, &context.device, &mut progress, &context.stop)?;
        progress.finish();
        drop(progress);
        let Some(found) = found else { return Err(Interrupted.into()) };
        return context.result(&found, &shown(&found));
    }
    let outcome = prune::prune(settings, plan.resume, &context.device, &mut progress, &context.stop)?;
    progress.finish();
    drop(progress);
    if outcome.interrupted {
        return context.stopped(&outcome, "stopped and saved", "shrink prune", &outcome.model);
    }
    context.result(&outcome, &summary(&outcome))
}

/// Cuts layers and nothing else.
fn cut(args: &PruneArgs, context: &Context) -> anyhow::Result<()> {
    let missing = |what, hint| Err(Error::Missing { what, hint }.into());
    if args.keep_heads.is_some() || args.keep_units.is_some() || args.keep_width.is_some() {
        return missing(
            "--train",
            "which heads, units and channels are important is measured on rows: name a file with them",
        );
    }
    let Some(model) = &args.finetune.model else {
        return missing("MODEL", "name the model folder to cut from");
    };
    let Some(out) = &args.finetune.out else {
        return missing("--out", "name the folder to write, as in `--out smaller`");
    };
    let Some(layers) = &args.keep_layers else {
        return missing("--keep-layers", "nothing would be cut: name the layers that stay, or rows with --train");
    };
    super::check_out(out, args.force)?;
    let cut = Cut { layers: Some(layers.clone()), ..Cut::default() };
    prune::cut(model, &cut, out, &context.device)?;
    context.result(&json!({ "model": out }), &format!("model  {}\n", out.display()))
}

/// A line a layer: each head's importance, and how it is spread over the units; and over the channels.
fn shown(found: &Importances) -> String {
    let number = |v: f64| format!("{v:.2e}");
    let spread = |values: &[f64]| {
        let mut values = values.to_vec();
        values.sort_by(f64::total_cmp);
        [0.1, 0.5, 0.9].map(|share| number(values[((values.len() - 1) as f64 * share) as usize]))
    };
    let rows: Vec<Vec<String>> = found
        .layers
        .iter()
        .enumerate()
        .map(|(layer, found)| {
            let heads: Vec<String> = found.heads.iter().map(|&v| number(v)).collect();
            [layer.to_string(), heads.join(" ")].into_iter().chain(spread(&found.units)).collect()
        })
        .collect();
    let titles = ["layer", "importance of its heads", "units: lowest tenth", "median", "highest tenth"];
    let [low, middle, high] = spread(&found.width);
    table(&titles, &rows) + &format!("\nchannels: lowest tenth {low}, median {middle}, highest tenth {high}\n")
}

fn summary(o: &PruneOutcome) -> String {
    let list = |values: &[usize]| values.iter().map(usize::to_string).collect::<Vec<_>>().join(" ");
    let rows: Vec<Vec<String>> = o
        .rounds
        .iter()
        .map(|r| {
            let share = format!("{:.1} %", 100.0 * r.parameters as f64 / o.parameters_before as f64);
            vec![
                r.round.to_string(),
                list(&r.heads),
                list(&r.units),
                r.width.to_string(),
                share,
                format!("{:.4}", r.score),
            ]
        })
        .collect();
    let titles = ["round", "heads of each layer", "units of each layer", "width", "parameters", o.metric.as_str()];
    let model = o.model.display();
    table(&titles, &rows) + &format!("\nmodel  {model}\nnext:  polyseme eval {model} --data FILE\n")
}
