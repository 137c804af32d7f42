//! `polyseme tour`: the whole life of an encoder, a table at the end and a report.

use crate::args::TourArgs;
use crate::commands::{Context, Interrupted};
use crate::render::table::table;
use crate::settings::spell_duration;
use crate::tour::{self, Plan, outcome::TourOutcome};
use std::path::PathBuf;

/// Takes the tour.
pub fn run(args: &TourArgs, context: &Context) -> anyhow::Result<()> {
    let made = context.made();
    let plan = Plan {
        corpus: &args.corpus,
        cargo_home: &cargo_home(),
        out: &args.out,
        seconds: 60.0 * args.minutes,
        seed: context.seed.unwrap_or(1),
        device: &context.device,
        made: &made,
    };
    let mut progress = context.progress();
    let outcome = tour::run(&plan, &mut progress, &context.stop)?;
    progress.finish();
    drop(progress);
    let Some(outcome) = outcome else {
        eprintln!("stopped before the end of the tour; it begins anew when it is run again");
        return Err(Interrupted.into());
    };
    context.result(&outcome, &summary(&outcome))
}

/// Where cargo keeps what it downloads.
fn cargo_home() -> PathBuf {
    let home = || std::env::home_dir().unwrap_or_default().join(".cargo");
    std::env::var_os("CARGO_HOME").filter(|v| !v.is_empty()).map_or_else(home, PathBuf::from)
}

fn summary(o: &TourOutcome) -> String {
    let p = &o.pretrain;
    let mut text = format!(
        "Pre-trained for {} on {}:\nvalidation loss {:.2} nats, and {:.2} is what word frequencies alone would give.\n\n",
        spell_duration(p.seconds),
        o.corpus.source,
        p.valid_loss,
        p.unigram_entropy
    );
    match &o.task {
        Ok(task) => {
            let (train, _, test) = task.rows;
            text += &format!(
                "{}\n{} labels, {train} rows to learn from, {test} to measure on.\n\n",
                task.question,
                task.labels.len()
            );
            text += &table(&["accuracy on test rows", "median", "lowest", "highest", "each seed"], &tour::table(task));
            text += &format!("{:<21}{:>8.1} %\n", "guessing", 100.0 / task.labels.len() as f64);
        }
        Err(why) => text += &format!("{why}\n"),
    }
    text += &format!("\nreport  {}\nmodel   {}\n", o.report.display(), o.model.display());
    text + &format!("next:   polyseme fill {} \"Returns the [MASK] of the string.\"\n", o.model.display())
}
