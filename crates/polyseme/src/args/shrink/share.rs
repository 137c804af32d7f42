//! Words of `polyseme shrink share`.

use crate::args::FinetuneArgs;
use clap::Args;

const AFTER_HELP: &str = "\
Layers become one layer that is gone through as often, embeddings the product of narrow ones and a
map. Without rows the model has much to learn again: give it rows, or let it learn from the whole one
on raw text with `polyseme shrink distil MODEL --student SHARED --corpus texts/`.

Examples:
  polyseme shrink share classifier --embedding-size 128 --train train.csv --valid valid.csv --out smaller
  polyseme shrink share encoder --groups 2 --layers 0,3 --out smaller";

/// Words of `polyseme shrink share`.
#[derive(Clone, Debug, Args)]
#[command(after_help = AFTER_HELP)]
#[command(mut_arg("model", |arg| arg.help("Model folder whose layers are to share weights")))]
#[command(mut_arg("task", |arg| arg.help("What is learned [default: what the model has learned]")))]
pub struct ShareArgs {
    /// Groups of neighbouring layers, each with the weights of one layer [default: 1]
    #[arg(long, value_name = "N")]
    pub groups: Option<usize>,
    /// Width of the embeddings [default: as they are]
    #[arg(long, value_name = "N")]
    pub embedding_size: Option<usize>,
    /// Of each group the layer, from 0, whose weights all take, with commas between them [default: their mean]
    #[arg(long, value_name = "LAYERS", value_delimiter = ',')]
    pub layers: Vec<usize>,
    /// Weights of what is learned from the whole model: hinton, distilbert, tinybert, minilm, or none, to learn from
    /// labels alone
    #[arg(long, value_name = "NAME", default_value = "tinybert")]
    pub preset: String,
    /// Write over a model that is there, where nothing is learned again
    #[arg(long)]
    pub force: bool,
    /// What learning again is told.
    #[command(flatten)]
    pub finetune: FinetuneArgs,
}
