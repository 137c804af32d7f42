//! Words of `polyseme finetune`.

use clap::Args;
use std::path::PathBuf;

const AFTER_HELP: &str = "\
Examples:
  polyseme finetune encoder --task classify --train train.csv --valid valid.csv --out classifier
  polyseme finetune encoder --task classify --train rows.jsonl --text body --label topic --seeds 5 --out classifier
  polyseme finetune encoder --task classify --train pairs.tsv --text premise --pair hypothesis --out nli
  polyseme finetune encoder --task multilabel --train train.csv --label topics --label-separator ';' --out topics
  polyseme finetune encoder --task tag --train train.conll --valid valid.conll --out tagger
  polyseme finetune encoder --task qa --train train.json --out reader
  polyseme finetune encoder --task choice --train train.csv --text question --choices a,b,c --out chooser
  polyseme finetune encoder --task generate --train train.csv --text body --label title --out writer
  polyseme finetune encoder --task classify --train train.csv --lora 8 --out adapter
  polyseme finetune --out classifier --resume";

/// Words of `polyseme finetune`.
#[derive(Clone, Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct FinetuneArgs {
    /// Model folder to begin with
    #[arg(value_name = "MODEL")]
    pub model: Option<PathBuf>,
    /// What is learned: classify, one label of several; multilabel, any number of labels; regress, a
    /// number; tag, a label for each word; qa, an answer copied from a passage; choice, the best of several;
    /// generate, a short text from another; similarity, vectors of pairs with a score; retrieval, vectors of pairs
    /// that belong together
    #[arg(long, value_name = "TASK")]
    pub task: Option<String>,
    /// Labelled rows to learn from: .csv, .tsv, .jsonl or .parquet; for tag .conll (a token and its tag a
    /// line) or .jsonl (two lists); for qa .json (SQuAD) or .jsonl
    #[arg(long, value_name = "FILE")]
    pub train: Option<PathBuf>,
    /// Labelled rows to choose the epoch by [default: a tenth of --train]
    #[arg(long, value_name = "FILE")]
    pub valid: Option<PathBuf>,
    /// Folder for the model and, in DIR/run, for all that is needed to go on
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Column of the text [default: guessed from the header]; for tag the number of a column or a key
    #[arg(long, value_name = "COL")]
    pub text: Option<String>,
    /// Column of the second text of a pair (classify, multilabel, regress)
    #[arg(long, value_name = "COL")]
    pub pair: Option<String>,
    /// Column of the label [default: guessed from the header]; for tag the number of a column or a key; for
    /// choice it holds a number from 0, a letter or the column of the right choice; for generate the text wanted
    #[arg(long, value_name = "COL")]
    pub label: Option<String>,
    /// Columns of the choices, with commas between them (choice)
    #[arg(long, value_name = "COLS", value_delimiter = ',')]
    pub choices: Option<Vec<String>>,
    /// What stands between the labels of a row (multilabel) [default: a comma; lists in JSON need none]
    #[arg(long, value_name = "TEXT")]
    pub label_separator: Option<String>,
    /// Tokens of the longest text that is wanted (generate) [default: 48]
    #[arg(long, value_name = "N")]
    pub max_new_tokens: Option<u64>,
    /// Let rare labels weigh more: none or balanced (classify)
    #[arg(long, value_name = "NAME")]
    pub class_weights: Option<String>,
    /// Share of the wanted probability that all labels have alike (classify)
    #[arg(long, value_name = "F")]
    pub label_smoothing: Option<f64>,
    /// How vectors learn scores: cosine, by the error of the cosine; cosent, by the order of the cosines, which
    /// ranks better (similarity)
    #[arg(long, value_name = "NAME")]
    pub similarity_loss: Option<String>,
    /// Take each batch twice with other dropout, and let disagreement of both weigh this much (R-Drop; 0.5 to 5 are
    /// usual, and the time doubles)
    #[arg(long, value_name = "F")]
    pub r_drop: Option<f64>,
    /// Leave this as it is: nothing, embeddings, a number of layers (with the embeddings), encoder, or
    /// parameters by name, such as 'word_embeddings.weight,layer.0.*'
    #[arg(long, value_name = "WHAT")]
    pub freeze: Option<String>,
    /// Tune only these parameters and the head, by name: '*.bias' is BitFit
    #[arg(long, value_name = "NAMES", conflicts_with = "freeze")]
    pub tune_only: Option<String>,
    /// Tune the head alone at first, then one more layer from the top each N epochs, the embeddings last [default:
    /// 0, everything from the beginning]
    #[arg(long, value_name = "N")]
    pub unfreeze_every: Option<u64>,
    /// Learn low-rank changes of this rank in place of the encoder's weights (LoRA); writes an adapter
    #[arg(long, value_name = "RANK", conflicts_with_all = ["freeze", "tune_only"])]
    pub lora: Option<u64>,
    /// The changes are multiplied by this over the rank
    #[arg(long, value_name = "F")]
    pub lora_alpha: Option<f64>,
    /// Maps that change, by the ends of their names, or all-linear [default: those onto query and value]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub lora_targets: Option<Vec<String>>,
    /// Learn a bottleneck of this width after each layer in place of the encoder's weights; writes an adapter
    #[arg(long, value_name = "N", conflicts_with_all = ["freeze", "tune_only", "lora"])]
    pub adapter_size: Option<u64>,
    /// Learn this many virtual tokens before each text in place of the encoder's weights; writes an adapter
    #[arg(long, value_name = "N", conflicts_with_all = ["freeze", "tune_only", "lora", "adapter_size"])]
    pub prefix_length: Option<u64>,
    /// Let the head look at all layers, in proportions that are learned, also with --freeze encoder
    #[arg(long)]
    pub mix_layers: bool,
    /// Passes over the training rows at most
    #[arg(long, value_name = "N")]
    pub epochs: Option<u64>,
    /// Stop after this many epochs without a better validation metric; 0: never
    #[arg(long, value_name = "N")]
    pub patience: Option<u64>,
    /// What chooses the best epoch [default: accuracy; micro_f1 of several labels, spearman of numbers, f1 of
    /// tags and answers, rouge_l of texts, mrr of pairs]
    #[arg(long, value_name = "NAME")]
    pub metric: Option<String>,
    /// Rows an optimizer step; for retrieval also the partners that each text is told apart from, however large
    #[arg(long, value_name = "N")]
    pub batch_size: Option<u64>,
    /// Peak learning rate [default: by the model's size, 5e-5 · 768/width · √(12/layers), since smaller
    /// models bear larger steps: 5e-5 for a BERT base, 1.4e-4 for a MiniLM of 6 layers, 2.6e-4 for the
    /// recipe mini]
    #[arg(long, value_name = "F")]
    pub learning_rate: Option<f64>,
    /// Multiple of the learning rate for the head
    #[arg(long, value_name = "F")]
    pub head_rate: Option<f64>,
    /// From the head down, each layer learns at this multiple of the rate of the one above (0.9, say)
    #[arg(long, value_name = "F")]
    pub layer_decay: Option<f64>,
    /// Round what is multiplied in the layers to bfloat16 while learning: faster where the processor has units for it
    /// (AMX, AVX-512 BF16)
    #[arg(long)]
    pub bf16: bool,
    /// Longest input in tokens; longer ones are cut, or read in windows (tag, qa) [default: 256; 384 for qa]
    #[arg(long, value_name = "N")]
    pub max_length: Option<u64>,
    /// Learn with the rounding of 8 bits, and write the model so: none or int8 (quantization-aware training; for when
    /// `shrink quantize` loses too much)
    #[arg(long, value_name = "KIND")]
    pub quantize: Option<String>,
    /// Train with this many seeds, keep the median one, report the spread
    #[arg(long, value_name = "N")]
    pub seeds: Option<u64>,
    /// Measure by cross-validation, for few rows: N runs, each on a fold of --train that it does not learn from; then
    /// learn from all rows, for the median of their best epochs
    #[arg(long, value_name = "N")]
    pub folds: Option<u64>,
    /// Begin with random weights of the same shape: what the pre-training is worth
    #[arg(long)]
    pub from_scratch: bool,
    /// Set any key of the settings, such as optimizer.warmup=0.2 (may be given several times)
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Go on with the run in --out, with the settings it was begun with
    #[arg(long)]
    pub resume: bool,
    /// Print the resolved settings and stop
    #[arg(long, conflicts_with = "resume")]
    pub dry_run: bool,
}
