//! Words of `polyseme shrink prune`.

use crate::args::FinetuneArgs;
use clap::Args;

const AFTER_HELP: &str = "\
Examples:
  polyseme shrink prune classifier --keep-layers 0,2,5 --out smaller
  polyseme shrink prune classifier --show --train train.csv
  polyseme shrink prune classifier --keep-heads 0.5 --keep-units 0.5 --rounds 2 --train train.csv --out smaller
  polyseme shrink prune classifier --keep-heads 0.5 --keep-units 0.5 --by l0 --train train.csv --out smaller
  polyseme shrink prune classifier --sparsity 0.9 --by movement --epochs 10 --train train.csv --out sparse";

/// Words of cutting, which has nothing to do with single weights.
const STRUCTURED: [&str; 8] =
    ["keep_layers", "keep_heads", "keep_units", "keep_width", "even", "rounds", "importance_rows", "show"];

/// Words of `polyseme shrink prune`.
#[derive(Clone, Debug, Args)]
#[command(after_help = AFTER_HELP)]
#[command(mut_arg("model", |arg| arg.help("Model folder to cut from")))]
#[command(mut_arg("task", |arg| arg.help("What is learned [default: what the model has learned]")))]
pub struct PruneArgs {
    /// Layers that stay, from 0, with commas between them [default: all]
    #[arg(long, value_name = "LAYERS", value_delimiter = ',')]
    pub keep_layers: Option<Vec<usize>>,
    /// Share of the heads that stay, the most important ones [default: 1]
    #[arg(long, value_name = "F")]
    pub keep_heads: Option<f64>,
    /// Share of the feed-forward units that stay, the most important ones [default: 1]
    #[arg(long, value_name = "F")]
    pub keep_units: Option<f64>,
    /// Channels of the hidden states that stay, the most important ones: a multiple of the size of a head [default: all]
    #[arg(long, value_name = "N")]
    pub keep_width: Option<usize>,
    /// Keep as many in all layers: with whole heads, and as many of them as the width has, the folder opens everywhere
    #[arg(long)]
    pub even: bool,
    /// Rounds of cutting and learning again [default: 1]
    #[arg(long, value_name = "N")]
    pub rounds: Option<u64>,
    /// Training rows that importance is measured on [default: 512]
    #[arg(long, value_name = "N")]
    pub importance_rows: Option<usize>,
    /// Share of the single weights in the matrices of all layers that become zero while the model learns; the folder
    /// stays as large
    #[arg(long, value_name = "F", conflicts_with_all = STRUCTURED)]
    pub sparsity: Option<f64>,
    /// What tells which parts stay: taylor, how the loss would change without them, or l0, gates before heads and units
    /// that learn to close; of single weights movement, those that are large and that learning moves away from zero, or
    /// magnitude, the largest ones [default: taylor, movement]
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
    /// Among which weights they are chosen: matrix, of each as many, or model, of all together [default: matrix]
    #[arg(long, value_name = "NAME", requires = "sparsity")]
    pub across: Option<String>,
    /// Share of the run before the first weights become zero [default: 0.1]
    #[arg(long, value_name = "F", requires = "sparsity")]
    pub sparsity_warmup: Option<f64>,
    /// Share of the run after the last weights became zero; its best epoch is kept [default: 0.3]
    #[arg(long, value_name = "F", requires = "sparsity")]
    pub sparsity_cooldown: Option<f64>,
    /// Peak learning rate of the scores of movement, which begin at magnitudes of about 1: the more, the less these count
    /// [default: 0.01]
    #[arg(long, value_name = "F", requires = "sparsity")]
    pub score_rate: Option<f64>,
    /// Weights of what is learned from the whole model: hinton, distilbert, tinybert, minilm, or none, to learn from
    /// labels alone
    #[arg(long, value_name = "NAME", default_value = "hinton")]
    pub preset: String,
    /// Show how important each head and each layer's units are, and stop
    #[arg(long)]
    pub show: bool,
    /// Write over a model that is there, where layers are cut without learning
    #[arg(long)]
    pub force: bool,
    /// What learning again is told.
    #[command(flatten)]
    pub finetune: FinetuneArgs,
}
