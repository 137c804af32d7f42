//! `polyseme shrink recipe`: a plan, the candidates, and which was the best.

use crate::args::RecipeArgs;
use crate::commands::{Context, Interrupted};
use crate::render::errors::spell;
use crate::render::table::table;
use crate::report::bytes;
use crate::settings::{resolve_shrink_recipe, resolve_step};
use polyseme_shrink::distil::Known;
use polyseme_shrink::recipe::{self, Candidate, Place, RecipeOutcome, RecipeSettings, Tools, share};
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
    if outcome.interrupted {
        if context.json {
            context.result(&outcome, "")?;
        }
        eprintln!("stopped; {} holds the best model so far, candidate {}", outcome.model.display(), outcome.best);
        eprintln!("hint: go on with `polyseme shrink recipe --out {} --resume`", outcome.model.display());
        return Err(Interrupted.into());
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
    let rows: Vec<Vec<String>> = o.candidates.iter().map(|c| row(o, settings, c)).collect();
    let titles =
        ["candidate", "from", o.metric.as_str(), "lost", "bytes", "of the whole", "times as fast", "memory", "made in"];
    let mut text = table(&titles, &rows);
    text += "* beaten by no other one in score, size and speed together";
    if o.candidates.iter().any(|c| c.measured.is_some() && !c.within) {
        text += "; ! outside of the gate";
    }
    text.push('\n');
    for failed in o.candidates.iter().filter(|c| c.failed.is_some()) {
        text += &format!("candidate {} could not be made: {}\n", failed.number, failed.failed.as_deref().unwrap_or(""));
    }
    for said in &o.said {
        text += &format!("\n{said}");
    }
    text += &format!("\n\n{}\n", verdict(o, settings));
    if let Some(test) = &o.test {
        text += &format!("on the test rows, which decided nothing: {} {:.4}", o.metric, test.best);
        text += &format!("; the whole model has {:.4}\n", test.whole);
    }
    let model = o.model.display();
    text + &format!("\nmodel  {model}\nnext:  polyseme eval {model} --data FILE, with rows that chose nothing\n")
}

fn row(o: &RecipeOutcome, settings: &RecipeSettings, c: &Candidate) -> Vec<String> {
    let mark = if o.front.contains(&c.number) { " *" } else { "" };
    let best = if c.number == o.best { " (best)" } else { "" };
    let name = format!("{} {}{best}{mark}", c.number, c.way);
    let from = c.from.map(|from| from.to_string()).unwrap_or_default();
    let whole = o.candidates[0].measured.as_ref();
    let (Some(found), Some(whole)) = (&c.measured, whole) else {
        return [name, from, "failed".to_owned()].into_iter().chain(std::iter::repeat_n(String::new(), 6)).collect();
    };
    let outside = if c.within { "" } else { " !" };
    vec![
        name,
        from,
        format!("{:.4}", found.score),
        format!("{:.1} %{outside}", 100.0 * settings.gate.lost(whole.score, found.score)),
        bytes(found.weights_bytes),
        format!("{:.1} %", 100.0 * share(found, whole)),
        match c.number {
            0 => "1.00".to_owned(),
            _ => format!("{:.2} ({:.2} to {:.2})", found.speed.median, found.speed.low, found.speed.high),
        },
        found.peak_memory_bytes.map_or_else(|| "–".to_owned(), bytes),
        format!("{:.0} s", c.seconds),
    ]
}

/// What the recipe came to, in a sentence.
pub fn verdict(o: &RecipeOutcome, settings: &RecipeSettings) -> String {
    let gate = &settings.gate;
    let [best, whole] = [o.best as usize, 0].map(|number| o.candidates[number].measured.as_ref());
    let (Some(best), Some(whole)) = (best, whole) else { return String::new() };
    let wanted = match (gate.size, gate.speed) {
        (None, None) => return plain(o, (best, whole), settings),
        (Some(size), None) => format!("at most {:.1} % of the bytes", 100.0 * size),
        (None, Some(speed)) => format!("{speed:.2} times the speed"),
        (Some(size), Some(speed)) => format!("at most {:.1} % of the bytes at {speed:.2} times the speed", 100.0 * size),
    };
    match o.wanted {
        true => format!("{}; wanted was {wanted}", plain(o, (best, whole), settings)),
        false => format!("{}; wanted was {wanted}, which nothing within the gate has", plain(o, (best, whole), settings)),
    }
}

fn plain(
    o: &RecipeOutcome,
    (best, whole): (&recipe::Measured, &recipe::Measured),
    settings: &RecipeSettings,
) -> String {
    if o.best == 0 {
        return format!(
            "nothing smaller or faster is within the gate ({} {:.4} or better): the model is a copy of {}",
            o.metric,
            o.limit,
            settings.model.display()
        );
    }
    format!(
        "the best is candidate {}: {:.1} % of the bytes, {:.2} times as fast, {} {:.4} where the whole model has {:.4}",
        o.best,
        100.0 * share(best, whole),
        best.speed.median,
        o.metric,
        best.score,
        whole.score
    )
}
