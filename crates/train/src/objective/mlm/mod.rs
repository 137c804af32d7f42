//! Masked language modelling: say which tokens are hidden; and, where asked, which words the
//! document has.

mod batch;
mod frequencies;
mod steps;

pub use batch::{Masker, MlmBatch};
pub use frequencies::{unigram_counts, unigram_entropy};
pub use steps::Steps;

use super::Objective;
use crate::distil::Language;
use crate::error::Result;
use crate::sampler::{Documents, Piece};
use polyseme_models::{HeadKind, Model};
use polyseme_tensor::ops::cross_entropy;
use polyseme_tensor::packed::int_tensor;
use polyseme_tensor::{Mode, PackedBatch, Stream, Tensor};
use std::collections::BTreeMap;
use std::time::Instant;

/// Validation looks at no more held-out tokens than this. Some 10,000 of them are masked, so that
/// the standard error of the mean loss is about 0.03, and less between two points of one run,
/// which see the same masks.
pub const VALID_TOKENS: usize = 65_536;

/// What is measured at most, in tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lengths {
    /// Of a sequence, special ones included.
    pub sequence: usize,
    /// Of a batch.
    pub batch: usize,
    /// Of all pieces of documents.
    pub all: usize,
}

/// The objective with its fixed validation batches.
pub struct Mlm {
    valid: Vec<MlmBatch>,
    /// Who teaches, if anybody does.
    teacher: Option<Language>,
}

/// What a model says of hidden tokens and of the order of parts: sums over all that it was asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Said {
    /// Hidden tokens.
    pub targets: f64,
    /// Of their losses.
    pub loss: f64,
    /// Said rightly; `None` of a model that says none.
    pub right: Option<f64>,
    /// Sequences of two parts.
    pub orders: f64,
    /// Of their losses.
    pub order_loss: f64,
    /// Told rightly.
    pub in_order: f64,
}

impl Said {
    /// With what was said of more.
    pub fn and(&mut self, more: &Self) {
        self.targets += more.targets;
        self.loss += more.loss;
        self.right = self.right.zip(more.right).map(|(a, b)| a + b).or(self.right).or(more.right);
        self.orders += more.orders;
        self.order_loss += more.order_loss;
        self.in_order += more.in_order;
    }

    /// By name: `loss`, `accuracy`, and of orders, where there were any, `order_loss` and `order_accuracy`.
    pub fn means(&self) -> BTreeMap<String, f64> {
        let of_orders = |sum: f64| (self.orders > 0.0).then(|| sum / self.orders);
        let means = [
            ("loss", Some(self.loss / self.targets)),
            ("accuracy", self.right.map(|right| right / self.targets)),
            ("order_loss", of_orders(self.order_loss)),
            ("order_accuracy", of_orders(self.in_order)),
        ];
        means.into_iter().filter_map(|(name, mean)| Some((name.to_owned(), mean?))).collect()
    }
}

impl Mlm {
    /// Cuts held-out documents into sequences and masks them once and for all: first pieces of all
    /// documents first, then second ones, … until there are `length.all` tokens.
    pub fn new(
        documents: &impl Documents,
        held_out: &[usize],
        masker: &Masker,
        length: &Lengths,
        masks: Stream,
    ) -> Self {
        let len = length.sequence - masker.specials();
        let mut pieces: Vec<Piece> = Vec::new();
        let mut tokens = 0;
        for round in 0.. {
            let mut any = false;
            for &document in held_out {
                let from = round * len;
                let to = (from + len).min(documents.length(document));
                if from < to && tokens + (to - from) <= length.all {
                    any = true;
                    tokens += to - from;
                    pieces.push(Piece { document, from, to });
                }
            }
            if !any {
                break;
            }
        }
        // Equal lengths side by side: attention runs over them without a loop.
        pieces.sort_by_key(|p| (p.to - p.from, p.document, p.from));
        let mut valid = vec![MlmBatch::default()];
        for piece in pieces {
            let batch = valid.last_mut().expect("never empty");
            if batch.tokens > 0 && batch.tokens + piece.to - piece.from + masker.specials() > length.batch {
                valid.push(MlmBatch::default());
            }
            masker.add(documents, piece, masks, valid.last_mut().expect("never empty"));
        }
        valid.retain(|b| !b.places.is_empty());
        Self { valid, teacher: None }
    }

    /// Asks a model for what is hidden in all batches.
    pub fn asked(&self, model: &Model) -> Said {
        self.asked_of(model, &self.valid)
    }

    fn asked_of(&self, model: &Model, batches: &[MlmBatch]) -> Said {
        let mut all = Said::default();
        for batch in batches {
            let (packed, rows) = pack(batch);
            let mean = match &self.teacher {
                Some(teacher) if model.head() == HeadKind::None => {
                    teacher.loss(model, &packed, &rows, &batch.labels, Mode::Eval)
                }
                _ if !batch.orders.is_empty() => {
                    let (mean, correct, said) = with_orders(model, batch, &packed, &rows, Mode::Eval);
                    all.right = Some(all.right.unwrap_or(0.0) + f64::from(correct.into_scalar::<f32>()));
                    let logits: Vec<f32> = said.clone().into_data().iter::<f32>().collect();
                    let said_right = |(pair, &(_, order)): (&[f32], &(usize, u32))| (pair[1] > pair[0]) == (order == 1);
                    all.in_order += logits.chunks(2).zip(&batch.orders).filter(|pair| said_right(*pair)).count() as f64;
                    all.orders += batch.orders.len() as f64;
                    let loss = f64::from(order_loss(said, batch).into_scalar::<f32>());
                    all.order_loss += loss * batch.orders.len() as f64;
                    mean
                }
                _ => {
                    let (mean, correct) = model.masked_lm_loss(&packed, &rows, &batch.labels, Mode::Eval);
                    all.right = Some(all.right.unwrap_or(0.0) + f64::from(correct.into_scalar::<f32>()));
                    mean
                }
            };
            all.loss += f64::from(mean.into_scalar::<f32>()) * batch.labels.len() as f64;
            all.targets += batch.labels.len() as f64;
        }
        all
    }

    /// With a teacher, whose words and insides are learned besides, or in place of what is true.
    pub fn taught(self, teacher: Option<Language>) -> Self {
        Self { teacher, ..self }
    }

    /// Masked tokens it validates on.
    pub fn targets(&self) -> usize {
        self.valid.iter().map(|b| b.places.len()).sum()
    }
}

/// The mean loss over hidden tokens, the number right of them, and what the model says of the orders of a batch that has
/// some. `(1)`, `(1)`, `(orders, 2)`
fn with_orders(
    model: &Model,
    batch: &MlmBatch,
    packed: &PackedBatch,
    rows: &[usize],
    mode: Mode,
) -> (Tensor<1>, Tensor<1>, Tensor<2>) {
    let sequences: Vec<usize> = batch.orders.iter().map(|&(i, _)| i).collect();
    let (states, said) = model.states_and_orders(packed, rows, &sequences, mode);
    let (mean, right) = model.masked_lm_loss_of(states, &batch.labels, mode);
    (mean, right, said)
}

/// The mean loss over orders. said: `(orders, 2)`
fn order_loss(said: Tensor<2>, batch: &MlmBatch) -> Tensor<1> {
    let orders: Vec<u32> = batch.orders.iter().map(|&(_, order)| order).collect();
    let wanted = int_tensor(&orders, &said.device());
    cross_entropy(said, wanted)
}

/// A batch with the packed rows of the hidden tokens.
fn pack(batch: &MlmBatch) -> (PackedBatch, Vec<usize>) {
    let packed = PackedBatch::new(&batch.sequences);
    let rows = batch.places.iter().map(|&(i, t)| packed.row(i, t)).collect();
    (packed, rows)
}

impl Objective for Mlm {
    type Batch = MlmBatch;

    fn loss(&self, model: &Model, batch: &MlmBatch, mode: Mode) -> Tensor<1> {
        let (packed, rows) = pack(batch);
        if !batch.orders.is_empty() {
            let (mean, _, said) = with_orders(model, batch, &packed, &rows, mode);
            let weight = batch.order_weight * batch.orders.len() as f32;
            return mean * batch.labels.len() as f32 + order_loss(said, batch) * weight;
        }
        let mean = match &self.teacher {
            Some(teacher) => teacher.loss(model, &packed, &rows, &batch.labels, mode),
            None => model.masked_lm_loss(&packed, &rows, &batch.labels, mode).0,
        };
        mean * batch.labels.len() as f32
    }

    /// The loss and the share of tokens predicted right; of a model that predicts none, how far it is from its teacher.
    fn validate(&self, model: &Model) -> Result<BTreeMap<String, f64>> {
        Ok(self.asked(model).means())
    }

    fn validation_seconds(&self, model: &Model) -> Result<f64> {
        let middle = &self.valid[self.valid.len() / 2];
        let mut seconds = 0.0;
        // The first pass warms caches; the second is measured.
        for _ in 0..2 {
            let begun = Instant::now();
            self.asked_of(model, std::slice::from_ref(middle));
            seconds = begun.elapsed().as_secs_f64();
        }
        let tokens: usize = self.valid.iter().map(|b| b.tokens).sum();
        Ok(seconds * tokens as f64 / middle.tokens as f64)
    }
}
