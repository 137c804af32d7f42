//! Words of `polyseme sweep`.

use crate::args::FinetuneArgs;
use clap::Args;
use std::path::PathBuf;

const AFTER_HELP: &str = "\
A space is a TOML file with the settings of finetune that may be chosen (polyseme finetune --dry-run shows them):

  [space]
  \"optimizer.learning_rate\" = { low = 1e-5, high = 1e-3, log = true }
  \"optimizer.layer_decay\" = [1.0, 0.9, 0.8]
  epochs = { low = 2, high = 10, whole = true }

Validation rows choose; keep test rows for polyseme eval at the end.

Examples:
  polyseme sweep encoder --task classify --train train.csv --space space.toml --trials 30 --out best
  polyseme sweep encoder --task tag --train train.conll --space space.toml --method halving --out best
  polyseme sweep --out best --resume";

/// Words of `polyseme sweep`.
#[derive(Clone, Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct SweepArgs {
    /// File with the space to search
    #[arg(long, value_name = "FILE", required_unless_present = "resume")]
    pub space: Option<PathBuf>,
    /// How to search: random; tpe, near what was good; halving, many with few epochs, then the best with more
    #[arg(long, value_name = "NAME", default_value = "tpe")]
    pub method: String,
    /// Settings that are tried (of halving: in the first round)
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub trials: u64,
    /// Of halving: one of so many goes on, with so many times the epochs
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub keep_one_of: u64,
    /// All else, as of finetune
    #[command(flatten)]
    pub finetune: FinetuneArgs,
}
