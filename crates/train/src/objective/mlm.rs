//! Masked language modelling: say which tokens are hidden; and, where asked, which words the
//! document has.

use super::document_words::DocumentWords;
use super::order::Order;
use super::{Objective, StepData};
use crate::distil::Language;
use crate::error::Result;
use crate::masking::{self, Vocabulary};
use crate::pretrain::{DataSettings, Length, MaskingSettings};
use crate::sampler::{Documents, Piece, Position, Sampler};
use polyseme_models::{HeadKind, Model};
use polyseme_tensor::ops::cross_entropy;
use polyseme_tensor::packed::int_tensor;
use polyseme_tensor::{Mode, PackedBatch, Sequence, Stream, Tensor};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Validation looks at no more held-out tokens than this. Some 10,000 of them are masked, so that
/// the standard error of the mean loss is about 0.03, and less between two points of one run,
/// which see the same masks.
pub const VALID_TOKENS: usize = 65_536;

/// Sequences with some tokens hidden.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MlmBatch {
    /// What the model sees.
    pub sequences: Vec<Sequence>,
    /// Where it is asked: `(sequence, position)`; the first position several times, for words of
    /// the document.
    pub places: Vec<(usize, usize)>,
    /// The true ids there.
    pub labels: Vec<u32>,
    /// Sequences of two parts, and whether these stand in their order (0) or not (1).
    pub orders: Vec<(usize, u32)>,
    /// What the order of one sequence weighs beside one hidden token, so that both losses of a step are means.
    pub order_weight: f32,
    /// Tokens in all sequences.
    pub tokens: usize,
}

/// How pieces become masked sequences.
pub struct Masker {
    /// The vocabulary.
    pub vocabulary: Vocabulary,
    /// Shares.
    pub how: MaskingSettings,
    /// Words of the document asked of the first token; never in validation.
    pub words: Option<DocumentWords>,
    /// Where texts are parted to be asked for the order of their parts.
    pub order: Option<Order>,
    /// Begin token.
    pub cls: u32,
    /// End token.
    pub sep: u32,
}

impl Masker {
    /// Special tokens around a piece and, if it is parted, between its parts.
    pub fn specials(&self) -> usize {
        if self.order.is_some() { 3 } else { 2 }
    }

    /// A piece between begin and end tokens, perhaps in two parts, and their order.
    fn set(&self, documents: &impl Documents, piece: Piece, stream: Stream) -> (Sequence, Option<u32>) {
        let mut text = Vec::with_capacity(piece.to - piece.from);
        documents.read(piece.document, piece.from, piece.to, &mut text);
        let parted = self.order.as_ref().and_then(|order| order.part(&text, &self.vocabulary, stream));
        let (first, second) = match parted {
            None => (&text[..], &text[..0]),
            Some(parted) => {
                let (a, b) = text.split_at(parted.at);
                if parted.swapped { (b, a) } else { (a, b) }
            }
        };
        let mut ids = Vec::with_capacity(text.len() + self.specials());
        ids.push(self.cls);
        ids.extend_from_slice(first);
        ids.push(self.sep);
        let mut type_ids = vec![0; ids.len()];
        if parted.is_some() {
            ids.extend_from_slice(second);
            ids.push(self.sep);
            type_ids.resize(ids.len(), 1);
        }
        (Sequence { ids, type_ids }, parted.map(|parted| u32::from(parted.swapped)))
    }

    /// Wraps a piece in begin and end tokens, hides some tokens and adds it to a batch.
    /// The same stream gives the same masks.
    pub fn add(&self, documents: &impl Documents, piece: Piece, stream: Stream, batch: &mut MlmBatch) {
        // Named by document and place, not by position in the epoch: a piece keeps its masks
        // wherever the order of an epoch puts it.
        let stream = stream.at(piece.document as u64).at(piece.from as u64);
        let (mut sequence, order) = self.set(documents, piece, stream);
        let masked = masking::mask(&mut sequence.ids, &self.vocabulary, &self.how, stream);
        let i = batch.sequences.len();
        batch.orders.extend(order.map(|order| (i, order)));
        batch.places.extend(masked.positions.iter().map(|&t| (i, t)));
        batch.labels.extend(masked.labels);
        if let Some(words) = &self.words {
            let words = words.draw(documents, piece, stream);
            batch.places.extend(words.iter().map(|_| (i, 0)));
            batch.labels.extend(words);
        }
        batch.tokens += sequence.ids.len();
        batch.sequences.push(sequence);
    }
}

/// When a run passes from short to long sequences and when its data end.
#[derive(Clone, Debug)]
enum Phase {
    Steps {
        short: u64,
        total: u64,
    },
    Epochs {
        short: f64,
        total: f64,
    },
    /// The clock decides; the loop raises the flag.
    Clock(Arc<AtomicBool>),
}

/// The optimizer steps of a pre-training run, one after the other.
pub struct Steps<'a, D> {
    documents: &'a D,
    sampler: &'a Sampler<'a, D>,
    masker: &'a Masker,
    masks: Stream,
    tokens_per_step: usize,
    tokens_per_batch: usize,
    phase: Phase,
    step: u64,
    at: Position,
}

impl<'a, D: Documents> Steps<'a, D> {
    /// From optimizer step `step` at position `at` on. `lengthen` is raised by the loop when a run
    /// by the clock comes to its long sequences.
    #[allow(clippy::too_many_arguments)]
    pub fn new(
        documents: &'a D,
        sampler: &'a Sampler<'a, D>,
        masker: &'a Masker,
        data: &DataSettings,
        length: Length,
        masks: Stream,
        lengthen: Arc<AtomicBool>,
        (step, at): (u64, Position),
    ) -> Self {
        let share = data.short_share;
        let phase = match length {
            Length::Steps(total) => Phase::Steps { short: (share * total as f64).round() as u64, total },
            Length::Epochs(total) => Phase::Epochs { short: share * total, total },
            Length::Budget(_) => Phase::Clock(lengthen),
        };
        Self {
            documents,
            sampler,
            masker,
            masks,
            tokens_per_step: data.tokens_per_step,
            tokens_per_batch: data.tokens_per_batch,
            phase,
            step,
            at,
        }
    }

    /// Moves to long sequences when it is time; says whether the data have ended.
    fn ended(&mut self) -> bool {
        let s = self.sampler;
        match &self.phase {
            Phase::Steps { short, total } => {
                if self.step >= *short {
                    self.at = s.lengthen(self.at);
                }
                self.step >= *total
            }
            Phase::Epochs { short, total } => {
                // With `short` = `total` there is no long part, and the end is one of the short.
                if short < total && !self.at.long && self.at >= s.at_epochs(false, *short) {
                    self.at = s.lengthen(self.at);
                }
                self.at >= s.at_epochs(self.at.long, *total)
            }
            Phase::Clock(lengthen) => {
                if lengthen.load(Ordering::Relaxed) {
                    self.at = s.lengthen(self.at);
                }
                false
            }
        }
    }

    fn progress(&self, before: Position) -> Option<f64> {
        match self.phase {
            Phase::Steps { total, .. } => Some((self.step as f64 + 0.5) / total as f64),
            Phase::Epochs { total, .. } => {
                Some(0.5 * (self.sampler.epochs(before) + self.sampler.epochs(self.at)) / total)
            }
            Phase::Clock(_) => None,
        }
    }
}

impl<D: Documents> Iterator for Steps<'_, D> {
    type Item = StepData<MlmBatch>;

    /// Gathers sequences until the step has its tokens. Only the end of the data makes a step
    /// smaller, and such a step is still made.
    fn next(&mut self) -> Option<StepData<MlmBatch>> {
        let before = self.at;
        let mut batches: Vec<MlmBatch> = Vec::new();
        let mut batch = MlmBatch::default();
        let (mut tokens, mut looked_at) = (0, 0);
        while !self.ended() {
            // A step needs a target; a whole epoch without one means that there is none at all.
            let targets = batch.places.len() + batches.iter().map(|b| b.places.len()).sum::<usize>();
            if tokens >= self.tokens_per_step && (targets > 0 || looked_at > self.sampler.pieces(self.at.long)) {
                break;
            }
            let piece = self.sampler.piece(self.at);
            let len = piece.to - piece.from + self.masker.specials();
            if batch.tokens > 0 && batch.tokens + len > self.tokens_per_batch {
                batches.push(std::mem::take(&mut batch));
            }
            let stream = self.masks.at(u64::from(self.at.long)).at(self.at.epoch);
            self.masker.add(self.documents, piece, stream, &mut batch);
            tokens += len;
            looked_at += 1;
            self.at = self.sampler.after(self.at);
        }
        batches.push(batch);
        batches.retain(|b| !b.places.is_empty());
        if batches.is_empty() {
            return None;
        }
        weigh_orders(&mut batches);
        let progress = self.progress(before);
        self.step += 1;
        Some(StepData {
            tokens: tokens as u64,
            targets: batches.iter().map(|b| b.places.len() as u64).sum(),
            batches,
            after: self.at,
            progress,
        })
    }
}

/// The objective with its fixed validation batches.
pub struct Mlm {
    valid: Vec<MlmBatch>,
    /// Who teaches, if anybody does.
    teacher: Option<Language>,
}

impl Mlm {
    /// Cuts held-out documents into sequences and masks them once and for all: first pieces of all
    /// documents first, then second ones, … until [`VALID_TOKENS`].
    pub fn new(
        documents: &impl Documents,
        held_out: &[usize],
        masker: &Masker,
        seq_len: usize,
        tokens_per_batch: usize,
        masks: Stream,
    ) -> Self {
        let len = seq_len - masker.specials();
        let mut pieces: Vec<Piece> = Vec::new();
        let mut tokens = 0;
        for round in 0.. {
            let mut any = false;
            for &document in held_out {
                let from = round * len;
                let to = (from + len).min(documents.length(document));
                if from < to && tokens + (to - from) <= VALID_TOKENS {
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
            if batch.tokens > 0 && batch.tokens + piece.to - piece.from + masker.specials() > tokens_per_batch {
                valid.push(MlmBatch::default());
            }
            masker.add(documents, piece, masks, valid.last_mut().expect("never empty"));
        }
        valid.retain(|b| !b.places.is_empty());
        Self { valid, teacher: None }
    }

    /// Measures a model on some batches.
    fn measured(&self, model: &Model, batches: &[MlmBatch]) -> BTreeMap<String, f64> {
        let (mut loss, mut right, mut targets) = (0.0, None, 0.0);
        let (mut order, mut in_order, mut orders) = (0.0, 0.0, 0.0);
        for batch in batches {
            let (packed, rows) = pack(batch);
            let mean = match &self.teacher {
                Some(teacher) if model.head() == HeadKind::None => {
                    teacher.loss(model, &packed, &rows, &batch.labels, Mode::Eval)
                }
                _ if !batch.orders.is_empty() => {
                    let (mean, correct, said) = with_orders(model, batch, &packed, &rows, Mode::Eval);
                    right = Some(right.unwrap_or(0.0) + f64::from(correct.into_scalar::<f32>()));
                    let logits: Vec<f32> = said.clone().into_data().iter::<f32>().collect();
                    let said_right = |(pair, &(_, order)): (&[f32], &(usize, u32))| (pair[1] > pair[0]) == (order == 1);
                    in_order += logits.chunks(2).zip(&batch.orders).filter(|pair| said_right(*pair)).count() as f64;
                    orders += batch.orders.len() as f64;
                    order += f64::from(order_loss(said, batch).into_scalar::<f32>()) * batch.orders.len() as f64;
                    mean
                }
                _ => {
                    let (mean, correct) = model.masked_lm_loss(&packed, &rows, &batch.labels, Mode::Eval);
                    right = Some(right.unwrap_or(0.0) + f64::from(correct.into_scalar::<f32>()));
                    mean
                }
            };
            loss += f64::from(mean.into_scalar::<f32>()) * batch.labels.len() as f64;
            targets += batch.labels.len() as f64;
        }
        let measures = [("loss", Some(loss)), ("accuracy", right)];
        let mut found: BTreeMap<String, f64> =
            measures.into_iter().filter_map(|(name, sum)| Some((name.to_owned(), sum? / targets))).collect();
        if orders > 0.0 {
            found.insert("order_loss".into(), order / orders);
            found.insert("order_accuracy".into(), in_order / orders);
        }
        found
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

/// Lets the mean over the orders of all batches weigh as much as that over all hidden tokens.
fn weigh_orders(batches: &mut [MlmBatch]) {
    let sum = |count: fn(&MlmBatch) -> usize| batches.iter().map(count).sum::<usize>() as f32;
    let weight = sum(|batch| batch.places.len()) / sum(|batch| batch.orders.len()).max(1.0);
    batches.iter_mut().for_each(|batch| batch.order_weight = weight);
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
        Ok(self.measured(model, &self.valid))
    }

    fn validation_seconds(&self, model: &Model) -> Result<f64> {
        let middle = &self.valid[self.valid.len() / 2];
        let mut seconds = 0.0;
        // The first pass warms caches; the second is measured.
        for _ in 0..2 {
            let begun = Instant::now();
            self.measured(model, std::slice::from_ref(middle));
            seconds = begun.elapsed().as_secs_f64();
        }
        let tokens: usize = self.valid.iter().map(|b| b.tokens).sum();
        Ok(seconds * tokens as f64 / middle.tokens as f64)
    }
}

/// How often each maskable token stands in the documents that are learned from. Beyond 100 million
/// tokens every n-th document is counted.
pub fn unigram_counts(documents: &impl Documents, held_out: &[usize], vocabulary: &Vocabulary) -> Vec<u64> {
    let total: usize = (0..documents.count()).map(|i| documents.length(i)).sum();
    let every = total.div_ceil(100_000_000).max(1);
    let mut counts = vec![0_u64; vocabulary.len()];
    let mut ids = Vec::new();
    for i in (0..documents.count()).step_by(every).filter(|i| held_out.binary_search(i).is_err()) {
        ids.clear();
        documents.read(i, 0, documents.length(i), &mut ids);
        ids.iter().filter(|&&id| !vocabulary.is_special(id)).for_each(|&id| counts[id as usize] += 1);
    }
    counts
}

/// Entropy in nats of the distribution that was counted: the loss of a model that knows how
/// frequent each token is, and nothing of context.
pub fn unigram_entropy(counts: &[u64]) -> f64 {
    let n = counts.iter().sum::<u64>() as f64;
    counts.iter().filter(|&&c| c > 0).map(|&c| c as f64 / n).map(|p| -p * p.ln()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn documents() -> Vec<Vec<u32>> {
        (0..40_u64).map(|d| (0..20 + (d * 37) % 90).map(|t| 5 + Stream::new(d).below(t, 95) as u32).collect()).collect()
    }

    fn masker() -> Masker {
        let vocabulary = Vocabulary::new(100, 4, |id| id < 5, |_| false);
        Masker { vocabulary, how: MaskingSettings::default(), words: None, order: None, cls: 2, sep: 3 }
    }

    fn settings() -> DataSettings {
        DataSettings {
            seq_len: 32,
            short_seq_len: 16,
            short_share: 0.5,
            tokens_per_step: 200,
            tokens_per_batch: 90,
            ..DataSettings::default()
        }
    }

    fn steps(length: Length, data: &DataSettings, from: (u64, Position)) -> Vec<StepData<MlmBatch>> {
        let (docs, masker) = (documents(), masker());
        let short = (data.short_share > 0.0).then(|| data.short_seq_len - 2);
        let sampler = Sampler::new(&docs, &[3, 7], short, data.seq_len - 2, Stream::new(1));
        let from = if from.0 == 0 { (0, sampler.start()) } else { from };
        let masks = Stream::new(2);
        Steps::new(&docs, &sampler, &masker, data, length, masks, Arc::default(), from).collect()
    }

    /// The true ids of all sequences of a step.
    fn originals(step: &StepData<MlmBatch>) -> Vec<Vec<u32>> {
        let mut all = Vec::new();
        for batch in &step.batches {
            let mut sequences: Vec<Vec<u32>> = batch.sequences.iter().map(|s| s.ids.clone()).collect();
            for (&(i, t), &label) in batch.places.iter().zip(&batch.labels) {
                sequences[i][t] = label;
            }
            all.extend(sequences);
        }
        all
    }

    #[test]
    fn steps_have_their_tokens_in_batches_that_fit_and_short_sequences_first() {
        let steps = steps(Length::Steps(10), &settings(), Default::default());
        assert_eq!(steps.len(), 10);
        for (i, step) in steps.iter().enumerate() {
            assert!((200..232).contains(&step.tokens), "{} tokens", step.tokens);
            assert!(step.batches.iter().all(|b| b.tokens <= 90 && !b.places.is_empty()));
            assert_eq!(step.targets, step.batches.iter().map(|b| b.labels.len() as u64).sum::<u64>());
            let longest = originals(step).iter().map(Vec::len).max().unwrap();
            assert!(if i < 5 { longest <= 16 } else { longest > 16 && longest <= 32 }, "step {i}: {longest}");
            assert_eq!(step.progress, Some((i as f64 + 0.5) / 10.0));
        }
    }

    #[test]
    fn one_epoch_has_every_token_once_and_the_smaller_last_step_is_made() {
        let data = DataSettings { short_share: 0.0, ..settings() };
        let steps = steps(Length::Epochs(1.0), &data, Default::default());
        let (last, whole) = steps.split_last().unwrap();
        assert!(whole.iter().all(|s| s.tokens >= 200) && last.tokens < 200);
        let mut seen: Vec<u32> = steps.iter().flat_map(originals).flat_map(|s| s[1..s.len() - 1].to_vec()).collect();
        let docs = documents();
        let kept = docs.iter().enumerate().filter(|(i, _)| ![3, 7].contains(i));
        let mut expected: Vec<u32> = kept.flat_map(|(_, d)| d.clone()).collect();
        seen.sort_unstable();
        expected.sort_unstable();
        assert_eq!(seen, expected);
    }

    #[test]
    fn epochs_with_short_sequences_end_where_they_should() {
        for (share, epochs) in [(0.5, 2.0), (1.0, 1.5), (0.3, 0.7)] {
            let data = DataSettings { short_share: share, ..settings() };
            let tokens: u64 = steps(Length::Epochs(epochs), &data, Default::default()).iter().map(|s| s.tokens).sum();
            let docs: usize =
                documents().iter().enumerate().filter(|(i, _)| ![3, 7].contains(i)).map(|(_, d)| d.len()).sum();
            // Begin and end tokens add 2 of 16 or of 32, a little more with remainders.
            let ratio = tokens as f64 / (docs as f64 * epochs);
            assert!((1.05..1.25).contains(&ratio), "share {share}, {epochs} epochs: {ratio}");
        }
    }

    #[test]
    fn going_on_from_a_position_gives_the_same_steps() {
        for length in [Length::Steps(60), Length::Epochs(3.0)] {
            let all = steps(length, &settings(), Default::default());
            for cut in [1, 7, all.len() / 2, all.len() - 1] {
                let rest = steps(length, &settings(), (cut as u64, all[cut - 1].after));
                assert_eq!(rest, all[cut..], "{length:?} from {cut}");
            }
        }
    }

    #[test]
    fn masks_are_fresh_every_epoch() {
        let data = DataSettings { short_share: 0.0, ..settings() };
        let steps = steps(Length::Epochs(2.0), &data, Default::default());
        let half = steps.iter().position(|s| s.after.epoch == 1).unwrap();
        let places = |part: &[StepData<MlmBatch>]| {
            let mut all: Vec<(Vec<u32>, Vec<usize>)> = Vec::new();
            for step in part {
                let (mut originals, mut n) = (originals(step).into_iter(), 0);
                for batch in &step.batches {
                    for i in 0..batch.sequences.len() {
                        let at = batch.places.iter().filter(|p| p.0 == i).map(|p| p.1).collect();
                        all.push((originals.next().unwrap(), at));
                        n += 1;
                    }
                }
                assert!(n > 0);
            }
            all.sort();
            all
        };
        let (first, second) = (places(&steps[..half]), places(&steps[half + 1..]));
        let again = first.iter().filter(|(text, at)| second.iter().any(|(t, a)| t == text && a == at)).count();
        assert!(again * 5 < first.len(), "{again} of {} sequences have the same masks again", first.len());
    }

    #[test]
    fn parted_pieces_are_whole_in_one_order_or_the_other() {
        let (docs, data) = (documents(), settings());
        let masker = Masker { order: Some(Order::new(vec![false; 100])), ..masker() };
        let sampler = Sampler::new(&docs, &[3, 7], Some(data.short_seq_len - 3), data.seq_len - 3, Stream::new(1));
        let at = (0, sampler.start());
        let steps: Vec<_> =
            Steps::new(&docs, &sampler, &masker, &data, Length::Epochs(1.0), Stream::new(2), Arc::default(), at)
                .collect();
        let (mut swapped, mut parted) = (0, 0);
        for step in &steps {
            let targets: usize = step.batches.iter().map(|b| b.places.len()).sum();
            let weights: f32 = step.batches.iter().map(|b| b.order_weight * b.orders.len() as f32).sum();
            assert!((weights - targets as f32).abs() < 1e-3, "{weights} and {targets}");
            let mut texts = originals(step).into_iter();
            for batch in &step.batches {
                assert!(batch.tokens <= data.tokens_per_batch);
                for (i, sequence) in batch.sequences.iter().enumerate() {
                    let ids = texts.next().unwrap();
                    let order = batch.orders.iter().find(|order| order.0 == i).map(|order| order.1);
                    let parts: Vec<&[u32]> = ids[1..].split(|&id| id == 3).collect();
                    assert_eq!((ids[0], parts.len()), (2, if order.is_some() { 3 } else { 2 }));
                    let second = sequence.type_ids.iter().filter(|&&t| t == 1).count();
                    assert_eq!(second, if order.is_some() { parts[1].len() + 1 } else { 0 });
                    let whole = match order {
                        Some(1) => [parts[1], parts[0]].concat(),
                        _ => parts.concat(),
                    };
                    assert!(docs.iter().any(|d| d.windows(whole.len()).any(|w| w == whole)), "no piece of a document");
                    parted += usize::from(order.is_some());
                    swapped += usize::from(order == Some(1));
                }
            }
        }
        assert!(parted > 40 && (parted / 4..3 * parted / 4).contains(&swapped), "{swapped} of {parted}");
    }

    #[test]
    fn unigram_entropy_is_that_of_the_formula() {
        // Of four ordinary tokens one is `5` three times: 0.75 and 0.25.
        let docs = vec![vec![5, 5, 1, 6], vec![5, 2], vec![9, 9, 9]];
        let found = unigram_entropy(&unigram_counts(&docs, &[2], &masker().vocabulary));
        let expected = -(0.75_f64 * 0.75_f64.ln() + 0.25_f64 * 0.25_f64.ln());
        assert!((found - expected).abs() < 1e-12);
    }
}
