//! Words of `polyseme shrink distil`.

use crate::args::FinetuneArgs;
use clap::Args;
use std::path::PathBuf;

const AFTER_HELP: &str = "\
Presets, by the papers (each weight can be given besides):
  hinton      what the teacher says and what is true, alike
  distilbert  the same 5 to 2, and the angle between last hidden states
  tinybert    what the teacher says, hidden states, embeddings, attention scores; labels are not looked at
  minilm      what the teacher says, what is true, relations among queries, keys and values of the last layers

Examples:
  polyseme shrink distil classifier --train train.csv --valid valid.csv --out half
  polyseme shrink distil classifier --keep-layers 0,3 --preset tinybert --train train.csv --out small
  polyseme shrink distil classifier --student tiny-encoder --preset minilm --train train.csv --out tiny";

/// Words of `polyseme shrink distil`.
#[derive(Clone, Debug, Args)]
#[command(after_help = AFTER_HELP)]
#[command(mut_arg("model", |arg| arg.value_name("TEACHER").help("Model folder that has learned the task")))]
#[command(mut_arg("task", |arg| arg.help("What is learned [default: what the teacher has learned]")))]
pub struct DistilArgs {
    /// Model folder that learns [default: the teacher with some of its layers]
    #[arg(long, value_name = "DIR")]
    pub student: Option<PathBuf>,
    /// Layers of the teacher, or of the student, to begin with, from 0, with commas between them [default: every
    /// other layer of the teacher]
    #[arg(long, value_name = "LAYERS", value_delimiter = ',')]
    pub keep_layers: Option<Vec<usize>>,
    /// Weights by the name of a paper: hinton, distilbert, tinybert or minilm
    #[arg(long, value_name = "NAME", default_value = "hinton")]
    pub preset: String,
    /// What logits are divided by before probabilities are compared
    #[arg(long, value_name = "F")]
    pub temperature: Option<f64>,
    /// Weight of what the teacher says
    #[arg(long, value_name = "F")]
    pub soft: Option<f64>,
    /// Weight of what is true
    #[arg(long, value_name = "F")]
    pub hard: Option<f64>,
    /// Weight of the error of hidden states
    #[arg(long, value_name = "F")]
    pub hidden: Option<f64>,
    /// Weight of the error of the embeddings
    #[arg(long, value_name = "F")]
    pub embeddings: Option<f64>,
    /// Weight of the angle between last hidden states
    #[arg(long, value_name = "F")]
    pub cosine: Option<f64>,
    /// Weight of the error of attention scores
    #[arg(long, value_name = "F")]
    pub attention: Option<f64>,
    /// Weight of the divergence of relations of the last layers
    #[arg(long, value_name = "F")]
    pub relations: Option<f64>,
    /// Heads that relations are computed in [default: the student's]
    #[arg(long, value_name = "N")]
    pub relation_heads: Option<usize>,
    /// What fine-tuning is told.
    #[command(flatten)]
    pub finetune: FinetuneArgs,
}
