//! `polyseme pretrain`: a plan, the run, what came out and what to do next.

use crate::args::PretrainArgs;
use crate::commands::Context;
use crate::render::numbers::group;
use crate::report;
use crate::settings::{Plan, resolve_pretrain, spell_duration, spell_length};
use polyseme_train::{PretrainOutcome, PretrainSettings};

/// Resolves the plan and runs it.
pub fn run(args: &PretrainArgs, context: &Context) -> anyhow::Result<()> {
    let plan = resolve_pretrain(args, context.seed)?;
    carry_out(&plan, args.dry_run, "pretrain", context)
}

/// Runs a plan, or prints it; `command` is what goes on with it.
pub fn carry_out(plan: &Plan<PretrainSettings>, dry_run: bool, command: &str, context: &Context) -> anyhow::Result<()> {
    if dry_run {
        return context.result(&plan.settings, &toml::to_string(&plan.settings)?);
    }
    context.note(&describe(&plan.settings, plan.resume));
    let mut progress = context.progress();
    let run = polyseme_train::pretrain(&plan.settings, plan.resume, &context.device, &mut progress, &context.stop);
    let outcome = run?;
    progress.finish();
    drop(progress);
    if outcome.interrupted {
        let said = match outcome.steps {
            0 => "stopped before the training began; what was finished until then is kept".to_owned(),
            steps => format!("stopped and saved after step {}", group(steps)),
        };
        return context.stopped(&outcome, &said, command, &plan.settings.out);
    }
    context.reported(report::write_pretrain(&plan.settings, &outcome, &context.made()));
    context.result(&outcome, &summary(&outcome))
}

/// The plan in two lines.
fn describe(s: &PretrainSettings, resume: bool) -> String {
    let corpus: Vec<String> = s.corpus.iter().map(|p| p.display().to_string()).collect();
    let what = if resume { "going on with pre-training" } else { "pre-training" };
    let taught = match &s.distil.teacher {
        Some(teacher) => format!(", taught by {}", teacher.display()),
        None => String::new(),
    };
    let model = match &s.from {
        Some(from) => format!("from {}{taught}", from.display()),
        None => {
            let c = &s.model.config;
            let size = format!("{} layers × {}", c.num_hidden_layers, c.hidden_size);
            match taught.is_empty() {
                true => format!("{size}, {} pieces", group(c.vocab_size as u64)),
                false => format!("{size}{taught}"),
            }
        }
    };
    format!(
        "{what} on {} ({model}; {}; seed {})\nsettings: {}",
        corpus.join(" "),
        spell_length(s.length),
        s.seed,
        s.out.join("run").join("settings.toml").display()
    )
}

fn summary(o: &PretrainOutcome) -> String {
    let mut text = format!(
        "model       {}\nsteps       {}\ntokens      {}\ntime        {}\n",
        o.model.display(),
        group(o.steps),
        group(o.tokens),
        spell_duration(o.seconds),
    );
    if o.predicts_nothing() {
        let what = "on held-out documents, from the teacher";
        return text
            + &format!("distance    {:.4} {what}\n\nnext: polyseme embed {}\n", o.valid_loss, o.model.display());
    }
    text += &format!(
        "valid loss  {:.4} nats (word frequencies alone: {:.4})\naccuracy    {:.1} % of masked tokens\n",
        o.valid_loss,
        o.unigram_entropy,
        100.0 * o.valid_accuracy
    );
    if let Some(accuracy) = o.order_accuracy {
        text += &format!("order       {:.1} % of parted pieces\n", 100.0 * accuracy);
    }
    if o.valid_loss >= o.unigram_entropy {
        text += "The model has not learned more than word frequencies yet: train longer, or with smaller steps.\n";
    }
    text + &format!("\nnext: polyseme finetune {} --task classify --train FILE --out DIR\n", o.model.display())
}
