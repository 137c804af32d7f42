//! `polyseme shrink recipe`: a plan, the candidates, and which was the best.

use crate::args::RecipeArgs;
use crate::commands::{Context, Interrupted};
use crate::render::errors::spell;
use crate::render::table::table;
use crate::report;
use crate::settings::{resolve_shrink_recipe, resolve_step};
use polyseme_shrink::distil::Known;
use polyseme_shrink::recipe::{self, Place, RecipeOutcome, RecipeSettings, Tools};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Resolves the plan and runs it.
pub fn run(args: &RecipeArgs, context: &Context) -> anyhow::Result<()> {
    let look = |folder: &Path| Ok(Known::of(folder, &context.device)?);
    let plan = resolve_shrink_recipe(args, context.seed, &look)?;
    let settings = &plan.settings;
    if args.dry_run {
        return context.result(settings, &toml::to_string(settings)?);
    }
    let resolve = |place: &Place| resolve_step(settings, place, &look).map_err(|error| spell(&error));
    let mut progress = context.progress();
    let mut tools = Tools {
        resolve: &resolve,
        memory: &mut |folder| peak_memory(folder, settings, context),
        device: &context.device,
        observer: &mut progress,
        stop: &context.stop,
    };
    let outcome = recipe::recipe(settings, plan.resume, &mut tools);
    progress.finish();
    drop(progress);
    if context.stop.requested() && outcome.is_err() {
        return Err(Interrupted.into());
    }
    let outcome = outcome?;
    context.reported(report::write_recipe(settings, &outcome, &context.made()));
    if outcome.interrupted {
        let said =
            format!("stopped; {} holds the best model so far, candidate {}", outcome.model.display(), outcome.best);
        return context.stopped(&outcome, &said, "shrink recipe", &outcome.model);
    }
    context.result(&outcome, &summary(&outcome, settings))
}

/// The peak memory of a process that measures a folder on the validation rows, where the system tells it.
fn peak_memory(folder: &Path, settings: &RecipeSettings, context: &Context) -> Option<u64> {
    let data = &settings.data;
    let mut command = Command::new(std::env::current_exe().ok()?);
    command.arg("eval").arg(folder).arg("--data").arg(&data.valid).args(["--quiet", "--json"]);
    command.args(["--device", &context.device_name]);
    command.args(["--threads", &polyseme_tensor::device::threads().to_string()]);
    let choices = (!data.choices.is_empty()).then(|| data.choices.join(","));
    let options = [
        ("--text", data.text.clone()),
        ("--pair", data.pair.clone()),
        ("--label", data.label.clone()),
        ("--choices", choices),
        ("--label-separator", data.label_separator.clone()),
        ("--max-length", data.max_length.map(|n| n.to_string())),
    ];
    for (option, value) in options {
        command.args(value.map(|value| format!("{option}={value}")));
    }
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
    // The system forgets a process's peak at its end, so it is asked until then.
    let mut peak = None;
    loop {
        let now = crate::bench::peak_bytes_of(child.id());
        peak = peak.max(now);
        match child.try_wait() {
            Ok(None) => std::thread::sleep(Duration::from_millis(2)),
            Ok(Some(status)) => return peak.filter(|_| status.success()),
            Err(_) => return None,
        }
    }
}

/// A table of all candidates, what was decided, and where the best one is.
fn summary(o: &RecipeOutcome, settings: &RecipeSettings) -> String {
    let rows: Vec<Vec<String>> = o.candidates.iter().map(|c| report::recipe_row(o, settings, c)).collect();
    let mut titles = report::RECIPE_TITLES;
    titles[2] = &o.metric;
    let mut text = format!("{}{}\n", table(&titles, &rows), report::recipe_marks(o));
    for (number, why) in o.candidates.iter().filter_map(|c| Some((c.number, c.failed.as_ref()?))) {
        text += &format!("candidate {number} could not be made: {why}\n");
    }
    for said in &o.said {
        text += &format!("\n{said}");
    }
    text += &format!("\n\n{}\n", report::recipe_verdict(o, settings));
    if let Some(test) = &o.test {
        let (metric, best, whole) = (&o.metric, test.best, test.whole);
        text +=
            &format!("on the test rows, which decided nothing: {metric} {best:.4}, of the whole model {whole:.4}\n");
    }
    let model = o.model.display();
    text + &format!("\nmodel  {model}\nnext:  polyseme eval {model} --data FILE, with rows that chose nothing\n")
}
