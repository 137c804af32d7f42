//! Words of `polyseme shrink quantize`.

use clap::Args;
use std::path::PathBuf;

const AFTER_HELP: &str = "\
What values become:
  int8  8 bits with a scale a row; products of 8-bit integers. A fourth of the size, and faster
  int4  4 bits with a scale a block, tables in 8; products in f32. A fifth of the size
  f16   half precision; products in f32. Half of the size
  bf16  the same with the range of f32

Matrices whose rounding changes the outputs too much, and layers that would not be faster, stay in a better form;
both are measured. The folder opens as any other, here and with transformers and compressed-tensors.

Examples:
  polyseme shrink quantize classifier --out small --data valid.csv
  polyseme shrink quantize encoder --out small --calibrate texts.txt
  polyseme shrink quantize encoder --to int4 --out smaller";

/// Words of `polyseme shrink quantize`.
#[derive(Clone, Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct QuantizeArgs {
    /// Model folder
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,
    /// Folder to write
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// What values become: int8, int4, f16 or bf16
    #[arg(long, value_name = "KIND", default_value = "int8")]
    pub to: String,
    /// Labelled rows: the metric before and after, and texts that outputs are compared on
    #[arg(long, value_name = "FILE")]
    pub data: Option<PathBuf>,
    /// Column of the text [default: guessed from the header]
    #[arg(long, value_name = "COL")]
    pub text: Option<String>,
    /// Column of the second text of a pair
    #[arg(long, value_name = "COL")]
    pub pair: Option<String>,
    /// Column of the label [default: guessed from the header]
    #[arg(long, value_name = "COL")]
    pub label: Option<String>,
    /// Columns of the choices, with commas between them
    #[arg(long, value_name = "COLS", value_delimiter = ',')]
    pub choices: Vec<String>,
    /// Texts by which the ranges of activations are fixed, for int8 [default: each row has its own range]
    #[arg(long, value_name = "FILE")]
    pub calibrate: Option<PathBuf>,
    /// Layers that stay in f32, from 0, with commas between them
    #[arg(long, value_name = "LAYERS", value_delimiter = ',')]
    pub keep: Vec<usize>,
    /// Least mean cosine of token vectors to those of the whole model; the costliest matrices take a better form until
    /// it is reached [default: 0.99, of int4 0.95]
    #[arg(long, value_name = "F")]
    pub cosine: Option<f64>,
    /// Columns that share a scale, for int4
    #[arg(long, value_name = "N", default_value_t = 32)]
    pub group: usize,
    /// Do not measure speed: the folder is then the same on every machine
    #[arg(long)]
    pub no_timing: bool,
    /// Write over a model that is there
    #[arg(long)]
    pub force: bool,
}
