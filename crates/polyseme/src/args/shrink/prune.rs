//! Words of `polyseme shrink prune`.

use clap::Args;
use std::path::PathBuf;

const AFTER_HELP: &str = "\
Example:
  polyseme shrink prune classifier --keep-layers 0,2,5 --out smaller";

/// Words of `polyseme shrink prune`.
#[derive(Clone, Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct PruneArgs {
    /// Model folder to cut from
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,
    /// Folder for the smaller model
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Layers that stay, from 0, with commas between them
    #[arg(long, value_name = "LAYERS", value_delimiter = ',')]
    pub keep_layers: Option<Vec<usize>>,
    /// Write over a model that is there
    #[arg(long)]
    pub force: bool,
}
