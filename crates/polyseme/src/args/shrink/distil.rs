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
  mobilebert  the same and hidden states, of a student as deep and as wide as its teacher whose layers are narrow
              inside: a quarter of the heads and of the feed-forward units

With --train a student learns the teacher's task; with --corpus, before that, what the teacher knows of language, from
texts without labels. There `what is true` are the hidden tokens; a teacher that does not predict these (a sentence
encoder, say) is asked for what is inside it only.

Examples:
  polyseme shrink distil classifier --train train.csv --valid valid.csv --out half
  polyseme shrink distil classifier --keep-layers 0,3 --preset tinybert --train train.csv --out small
  polyseme shrink distil classifier --student tiny-encoder --preset minilm --train train.csv --out tiny
  polyseme shrink distil encoder --corpus texts/ --preset minilm --steps 5000 --out half
  polyseme shrink distil encoder --corpus texts/ --student tiny --preset tinybert --budget 1h --out tiny-encoder";

/// Words of `polyseme shrink distil`.
#[derive(Clone, Debug, Args)]
#[command(after_help = AFTER_HELP)]
#[command(mut_arg("model", |arg| arg.value_name("TEACHER").help("Model folder that has learned the task")))]
#[command(mut_arg("task", |arg| arg.help("What is learned [default: what the teacher has learned]")))]
pub struct DistilArgs {
    /// Model folder that learns [default: the teacher with some of its layers]; with --corpus also a recipe of
    /// `polyseme pretrain` for a new one: tiny, mini, …, or a file
    #[arg(long, value_name = "DIR|RECIPE")]
    pub student: Option<PathBuf>,
    /// Files and folders of texts without labels, to learn what the teacher knows of language
    #[arg(long, value_name = "FILES", num_args = 1.., conflicts_with = "train")]
    pub corpus: Vec<PathBuf>,
    /// Learn for this many optimizer steps (with --corpus)
    #[arg(long, value_name = "N", conflicts_with_all = ["epochs", "budget"])]
    pub steps: Option<u64>,
    /// Learn for this long by the clock: 90s, 30m, 1h30m (with --corpus)
    #[arg(long, value_name = "TIME", conflicts_with = "epochs")]
    pub budget: Option<String>,
    /// Layers of the teacher, or of the student, to begin with, from 0, with commas between them [default: every
    /// other layer of the teacher]
    #[arg(long, value_name = "LAYERS", value_delimiter = ',')]
    pub keep_layers: Option<Vec<usize>>,
    /// Share of the heads of each layer that the student keeps, those with the largest weights [default: 1; mobilebert:
    /// 0.25]
    #[arg(long, value_name = "F")]
    pub keep_heads: Option<f64>,
    /// Share of the units of each layer's feed-forward part that the student keeps [default: likewise]
    #[arg(long, value_name = "F")]
    pub keep_units: Option<f64>,
    /// Weights by the name of a paper: hinton, distilbert, tinybert, minilm or mobilebert
    #[arg(long, value_name = "NAME", default_value = "hinton")]
    pub preset: String,
    /// Files with texts without labels, .txt (a text a line) or tables, to learn from besides: the teacher says their
    /// labels (classify, multilabel, regress)
    #[arg(long, value_name = "FILES", num_args = 1.., conflicts_with = "corpus")]
    pub unlabelled: Vec<PathBuf>,
    /// Learn besides from so many copies of each row with words exchanged (classify, multilabel, regress)
    #[arg(long, value_name = "N", conflicts_with = "corpus")]
    pub augment: Option<usize>,
    /// Share of the words that are exchanged [default: 0.3]
    #[arg(long, value_name = "F", requires = "augment")]
    pub augment_share: Option<f64>,
    /// Model folder that predicts what could stand in their place [default: pieces near them in the teacher's embeddings]
    #[arg(long, value_name = "DIR", requires = "augment")]
    pub augment_with: Option<PathBuf>,
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
