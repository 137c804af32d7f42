//! Learning: batches, objectives, the optimizer's schedule, the one loop, checkpoints, metrics.

pub mod analysis;
pub mod behind;
pub mod distil;
mod dot;
mod error;
pub mod evaluate;
pub mod finetune;
pub mod gates;
pub mod masking;
pub mod metrics;
pub mod objective;
pub mod observer;
pub mod permutation;
mod prefetch;
pub mod pretrain;
pub mod regression;
pub mod run_setup;
pub mod sampler;
pub mod schedule;
pub mod sparse;
pub mod stages;
pub mod state;
pub mod sweep;
pub mod tasks;
#[path = "loop.rs"]
pub mod training_loop;

pub use error::{Error, Result};
pub use evaluate::{EvaluateSettings, LanguageMetrics, evaluate, evaluate_language};
pub use finetune::data::Columns;
pub use finetune::{FinetuneOutcome, FinetuneSettings, finetune};
pub use observer::{Event, Observer, Stop};
pub use pretrain::{PretrainOutcome, PretrainSettings, Recipe, pretrain};
pub use sweep::{SweepOutcome, SweepSettings, sweep};
