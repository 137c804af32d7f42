//! `polyseme sweep`: a plan, the trials, and which was the best.

use crate::args::SweepArgs;
use crate::commands::Context;
use crate::render::table::table;
use crate::report;
use crate::settings::resolve_sweep;
use polyseme_train::{SweepOutcome, SweepSettings};

/// Resolves the plan and runs it.
pub fn run(args: &SweepArgs, context: &Context) -> anyhow::Result<()> {
    let plan = resolve_sweep(args, context.seed)?;
    let settings = &plan.settings;
    if args.finetune.dry_run {
        return context.result(settings, &toml::to_string(settings)?);
    }
    let mut progress = context.progress();
    let outcome = polyseme_train::sweep(settings, plan.resume, &context.device, &mut progress, &context.stop)?;
    progress.finish();
    drop(progress);
    context.reported(report::write_sweep(settings, &outcome, &context.made()));
    if outcome.interrupted {
        return context.stopped(&outcome, "stopped and saved", "sweep", &outcome.model);
    }
    context.result(&outcome, &summary(&outcome, settings))
}

fn summary(o: &SweepOutcome, settings: &SweepSettings) -> String {
    let mut titles = vec!["trial", o.metric.as_str(), "epochs"];
    titles.extend(settings.space.keys().map(String::as_str));
    let rows: Vec<Vec<String>> = o
        .trials
        .iter()
        .map(|t| {
            let best = if Some(t.number) == o.best { " (best)" } else { "" };
            let score = t.score.map_or_else(|| "failed".to_owned(), |s| format!("{s:.4}"));
            let first = [format!("{}{best}", t.number), score, t.epochs.to_string()];
            first.into_iter().chain(t.values.values().map(ToString::to_string)).collect()
        })
        .collect();
    let model = o.model.display();
    let end = match o.best {
        Some(_) => {
            format!("\nmodel  {model}\nnext:  polyseme eval {model} --data FILE, with rows that chose nothing\n")
        }
        None => "\nall trials failed; there is no model\n".to_owned(),
    };
    table(&titles, &rows) + &end
}
