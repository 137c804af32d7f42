//! `polyseme shrink distil`: fine-tuning or pre-training of a smaller model with a teacher.

use crate::args::DistilArgs;
use crate::commands::{Context, finetune, pretrain};
use crate::settings::{resolve_distil, resolve_general_distil, stored};
use polyseme_shrink::distil::Known;
use std::path::Path;

/// Resolves the plan and runs it.
pub fn run(args: &DistilArgs, context: &Context) -> anyhow::Result<()> {
    let look = |teacher: &Path| Ok(Known::of(teacher, &context.device)?);
    if !args.corpus.is_empty() || args.finetune.resume && is_general(args) {
        let plan = resolve_general_distil(args, context.seed, look)?;
        return pretrain::carry_out(&plan, args.finetune.dry_run, "shrink distil", context);
    }
    let plan = resolve_distil(args, context.seed, look)?;
    finetune::carry_out(&plan, args.finetune.dry_run, "shrink distil", context)
}

/// Whether the run that is to go on learns from texts without labels.
fn is_general(args: &DistilArgs) -> bool {
    let run = args.finetune.out.as_deref().and_then(|out| stored(out).ok());
    run.is_some_and(|(_, settings)| settings.contains_key("corpus"))
}
