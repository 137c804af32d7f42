//! Words of `polyseme bench`.

use clap::Args;
use std::path::PathBuf;

const AFTER_HELP: &str = "\
With a model: inference. With --train: steps of masked language modelling of a new model of that
recipe, on random tokens. With neither: the kernels beside their plain twins. Shares are of what the
processor does at best, measured in the same run.

Examples:
  polyseme bench
  polyseme bench encoder --batch 32 --seq-len 128
  polyseme bench encoder --latency
  polyseme bench --train mini --batch 32 --seq-len 128 --vocab-size 30522
  polyseme bench --compare --device wgpu:0";

/// Words of `polyseme bench`.
#[derive(Clone, Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct BenchArgs {
    /// Model folder whose inference is measured
    #[arg(value_name = "MODEL", conflicts_with = "train")]
    pub model: Option<PathBuf>,
    /// Measure training by this recipe: tiny, mini, small, base, modern, or a settings file
    #[arg(long, value_name = "RECIPE")]
    pub train: Option<String>,
    /// Sequences of a batch [default: what the recipe says, else 32]
    #[arg(long, value_name = "N")]
    pub batch: Option<usize>,
    /// Tokens of a sequence [default: what the recipe says, else 128; 16 with --latency]
    #[arg(long, value_name = "N")]
    pub seq_len: Option<usize>,
    /// Pieces of the vocabulary, for training
    #[arg(long, value_name = "N", requires = "train")]
    pub vocab_size: Option<u64>,
    /// Set any key of the recipe, for training (may be given several times)
    #[arg(long, value_name = "KEY=VALUE", requires = "train")]
    pub set: Vec<String>,
    /// Batches, steps or calls that are timed, after some that are not [default: 20; 500 with --latency]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub steps: Option<u32>,
    /// Run small models and ten training steps on --device and on the CPU, and compare the numbers
    #[arg(long, conflicts_with_all = ["model", "train", "batch", "seq_len", "steps", "latency"])]
    pub compare: bool,
    /// Measure one text at a time, and how long it takes
    #[arg(long, requires = "model")]
    pub latency: bool,
}
