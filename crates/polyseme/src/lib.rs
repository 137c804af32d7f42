//! The whole life of a pre-trained encoder, in a few lines each.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // From raw text to an encoder …
//! let mut plan = polyseme::recipe("tiny")?;
//! plan.corpus = vec!["texts/".into()];
//! plan.out = "encoder".into();
//! polyseme::pretrain(&plan)?;
//!
//! // … to a classifier …
//! let mut plan = polyseme::finetuning("encoder", "train.csv", "classifier");
//! plan.epochs = 3;
//! let outcome = polyseme::finetune(&plan)?;
//! println!("accuracy {:.3}", outcome.median);
//!
//! // … to vectors.
//! let encoder = polyseme::Encoder::open("encoder")?;
//! let vectors = encoder.embed(&["The bank of the river."], &Default::default())?;
//! # Ok(())
//! # }
//! ```
//!
//! What the command line does beyond this lives in the crates below, re-exported as [`train`], [`shrink`],
//! [`inspect`], [`infer`], [`models`], [`text`], [`tensor`] and [`formats`].

mod args;
mod bench;
pub mod cli;
mod commands;
mod face;
mod render;
mod report;
mod settings;
mod tour;

pub use face::{finetune, finetuning, pretrain};
pub use polyseme_infer::{EmbedOptions, Encoder, Fill, Prediction, TokenVectors};
pub use polyseme_train::{FinetuneOutcome, FinetuneSettings, PretrainOutcome, PretrainSettings};
pub use settings::{Error as SettingsError, recipe};

pub use polyseme_formats as formats;
pub use polyseme_infer as infer;
pub use polyseme_inspect as inspect;
pub use polyseme_models as models;
pub use polyseme_shrink as shrink;
pub use polyseme_tensor as tensor;
pub use polyseme_text as text;
pub use polyseme_train as train;
