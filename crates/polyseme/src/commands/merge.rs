//! `polyseme merge`: an adapter and its base as one model.

use crate::args::MergeArgs;
use crate::commands::Context;
use anyhow::bail;
use polyseme_infer::Encoder;
use polyseme_models::HeadKind;
use serde_json::json;

/// Opens the adapter, which folds it in, and writes what it came to.
pub fn run(args: &MergeArgs, context: &Context) -> anyhow::Result<()> {
    if !args.adapter.join("adapter_config.json").is_file() {
        bail!("{} holds no adapter: there is no adapter_config.json", args.adapter.display());
    }
    if args.out.join("config.json").exists() && !args.force {
        bail!("{} holds a model already; --force writes over it", args.out.display());
    }
    let merged = Encoder::open_on(&args.adapter, HeadKind::AsFound, &context.device)?;
    merged.model.check_whole()?;
    std::fs::create_dir_all(&args.out)?;
    merged.model.save(&args.out)?;
    merged.tokenizer.save(&args.out)?;
    context.result(&json!({ "model": args.out }), &format!("model  {}\n", args.out.display()))
}
