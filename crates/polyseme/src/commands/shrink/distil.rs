//! `polyseme shrink distil`: fine-tuning of a smaller model with a teacher.

use crate::args::DistilArgs;
use crate::commands::{Context, finetune};
use crate::settings::resolve_distil;
use polyseme_shrink::distil::Known;

/// Resolves the plan and runs it.
pub fn run(args: &DistilArgs, context: &Context) -> anyhow::Result<()> {
    let plan = resolve_distil(args, context.seed, |teacher| Ok(Known::of(teacher, &context.device)?))?;
    finetune::carry_out(&plan, args.finetune.dry_run, "shrink distil", context)
}
