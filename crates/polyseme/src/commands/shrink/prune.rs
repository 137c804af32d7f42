//! `polyseme shrink prune`: a model without some of its parts.

use crate::args::PruneArgs;
use crate::commands::Context;
use polyseme_models::Cut;
use serde_json::json;

/// Cuts what was named.
pub fn run(args: &PruneArgs, context: &Context) -> anyhow::Result<()> {
    super::check_out(&args.out, args.force)?;
    let cut = Cut { layers: args.keep_layers.clone(), ..Cut::default() };
    polyseme_shrink::prune::cut(&args.model, &cut, &args.out, &context.device)?;
    context.result(&json!({ "model": args.out }), &format!("model  {}\n", args.out.display()))
}
