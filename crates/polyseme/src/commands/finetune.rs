//! `polyseme finetune`: a plan, the run, the seeds' results and what to do next.

use crate::args::FinetuneArgs;
use crate::commands::Context;
use crate::render::table::table;
use crate::report;
use crate::report::sparse_sentence;
use crate::settings::{Plan, resolve_finetune};
use polyseme_train::metrics::metrics_of;
use polyseme_train::{FinetuneOutcome, FinetuneSettings};

/// Resolves the plan and runs it.
pub fn run(args: &FinetuneArgs, context: &Context) -> anyhow::Result<()> {
    let plan = resolve_finetune(args, context.seed)?;
    carry_out(&plan, args.dry_run, "finetune", context)
}

/// Runs a plan, or prints it; `command` is what goes on with it.
pub fn carry_out(plan: &Plan<FinetuneSettings>, dry_run: bool, command: &str, context: &Context) -> anyhow::Result<()> {
    if dry_run {
        return context.result(&plan.settings, &toml::to_string(&plan.settings)?);
    }
    let settings = &plan.settings;
    context.note(&describe(settings, plan.resume));
    let mut progress = context.progress();
    let outcome = polyseme_train::finetune(settings, plan.resume, &context.device, &mut progress, &context.stop)?;
    progress.finish();
    drop(progress);
    if outcome.interrupted {
        return context.stopped(&outcome, "stopped and saved", command, &settings.out);
    }
    context.reported(report::write_finetune(settings, &outcome, &context.made()));
    context.result(&outcome, &summary(&outcome, settings))
}

fn describe(s: &FinetuneSettings, resume: bool) -> String {
    let what = if resume { "going on with fine-tuning" } else { "fine-tuning" };
    let taught = match &s.distil.teacher {
        Some(teacher) => format!(", taught by {}", teacher.display()),
        None => String::new(),
    };
    let scratch = if s.from_scratch { ", from random weights" } else { "" };
    let seeds = match (s.seeds, s.folds) {
        (1, 0) => String::new(),
        (seeds, 0) => format!(", {seeds} seeds"),
        (_, folds) => format!(", {folds} folds, then all rows"),
    };
    format!(
        "{what} {} on {}{taught}{scratch}{seeds}\nsettings: {}",
        s.model.display(),
        s.train.display(),
        s.out.join("run").join("settings.toml").display()
    )
}

fn summary(o: &FinetuneOutcome, settings: &FinetuneSettings) -> String {
    let metrics = metrics_of(&settings.task);
    let rows: Vec<Vec<String>> = o
        .results
        .iter()
        .map(|r| {
            let kept = r.fold.is_none() && r.seed == o.chosen && o.results.len() > 1;
            let first = [r.marked(kept), r.epoch.to_string()];
            let value = |name: &&str| format!("{:.4}", r.valid.get(name).unwrap_or(f64::NAN));
            first.into_iter().chain(metrics.iter().map(value)).collect()
        })
        .collect();
    let which = if o.cross_validation.is_some() { "fold" } else { "seed" };
    let titles: Vec<&str> = [which, "best epoch"].into_iter().chain(metrics.iter().copied()).collect();
    let mut text = table(&titles, &rows);
    if o.results.len() > 1 {
        let (low, high) = o.spread;
        text += &format!("\nmedian {} {:.4} (from {low:.4} to {high:.4})\n", settings.metric, o.median);
    }
    if let Some(found) = &o.cross_validation {
        text += &format!(
            "mean {} {:.4} ± {:.4} over {} folds, each measured by a run that did not learn from it\n\
             the model learned from all rows, for {} epoch(s), and was not measured itself\n",
            settings.metric, found.mean, found.deviation, found.folds, found.epochs
        );
    }
    if let Some(zeros) = &o.zeros {
        text += &format!("\n{}\n", sparse_sentence(zeros));
    }
    let model = o.model.display();
    let use_it = if ["similarity", "retrieval"].contains(&settings.task.as_str()) { "embed" } else { "predict" };
    text + &format!("\nmodel  {model}\nnext:  polyseme eval {model} --data FILE, or polyseme {use_it} {model} FILE\n")
}
