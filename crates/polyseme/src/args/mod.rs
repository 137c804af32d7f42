//! What can be typed: the command line's words and their help, nothing else. Parsing does no I/O.

mod bench;
mod finetune;
mod global;
mod inspect;
mod pretrain;
mod search;
mod shell;
mod shrink;
mod sweep;
mod tour;
mod using;

pub use bench::BenchArgs;
pub use finetune::FinetuneArgs;
pub use global::GlobalArgs;
pub use inspect::{
    AttentionArgs, FactsArgs, InspectArgs, InspectWhat, LandscapeArgs, NeighboursArgs, ProbeArgs, SaidArgs, SensesArgs,
};
pub use pretrain::PretrainArgs;
pub use search::SearchArgs;
pub use shell::{CompletionsArgs, ManArgs};
pub use shrink::{DistilArgs, PruneArgs, QuantizeArgs, RecipeArgs, ShareArgs, ShrinkArgs, ShrinkWay, VocabArgs};
pub use sweep::SweepArgs;
pub use tour::TourArgs;
pub use using::{EmbedArgs, EvalArgs, ExportArgs, FillArgs, MergeArgs, PoolingArg, PredictArgs};

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Parser, Subcommand};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

const AFTER_HELP: &str = "\
Exit code: 0 fine, 1 something given to the program is wrong, 2 the system or the program is, \
130 it was interrupted.

A first look at everything:
  polyseme tour

From raw text to labels:
  polyseme pretrain texts/ --out encoder
  polyseme finetune encoder --task classify --train train.csv --out classifier
  polyseme predict classifier new.csv";

/// The whole life of a pre-trained text encoder, in model folders of the Hugging Face layout
#[derive(Debug, Parser)]
#[command(name = "polyseme", version, styles = STYLES, after_help = AFTER_HELP)]
#[command(arg_required_else_help = true, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// What holds for every command.
    #[command(flatten)]
    pub global: GlobalArgs,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the whole life of an encoder in a few minutes, with a report at the end
    Tour(TourArgs),
    /// Pre-train an encoder on raw text, from nothing or from a checkpoint
    Pretrain(Box<PretrainArgs>),
    /// Fine-tune an encoder on labelled rows
    Finetune(Box<FinetuneArgs>),
    /// Search the settings of finetune, by validation rows
    Sweep(Box<SweepArgs>),
    /// Measure a fine-tuned model on labelled rows, a pre-trained one on texts
    Eval(EvalArgs),
    /// Label texts with a fine-tuned model: JSON lines on stdout
    Predict(PredictArgs),
    /// Turn texts into vectors
    Embed(EmbedArgs),
    /// Find what is near a text in a folder of vectors
    Search(SearchArgs),
    /// Fill the masks of a text
    Fill(FillArgs),
    /// Write a model as an ONNX graph, for ONNX Runtime
    Export(ExportArgs),
    /// Fold an adapter into the model it was trained on
    Merge(MergeArgs),
    /// Look into a model: senses of a word, attention, what it would say, which layer knows what
    Inspect(InspectArgs),
    /// Make a model smaller
    Shrink(ShrinkArgs),
    /// Measure speed and memory on this machine
    Bench(BenchArgs),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
    /// Write manual pages, one a command
    Man(ManArgs),
}
