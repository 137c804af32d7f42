//! The optimizer steps of a pre-training run, from the documents.

use super::super::StepData;
use super::{Masker, MlmBatch};
use crate::pretrain::{DataSettings, Length};
use crate::sampler::{Documents, Position, Sampler};
use polyseme_tensor::Stream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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

/// Lets the mean over the orders of all batches weigh as much as that over all hidden tokens.
fn weigh_orders(batches: &mut [MlmBatch]) {
    let sum = |count: fn(&MlmBatch) -> usize| batches.iter().map(count).sum::<usize>() as f32;
    let weight = sum(|batch| batch.places.len()) / sum(|batch| batch.orders.len()).max(1.0);
    batches.iter_mut().for_each(|batch| batch.order_weight = weight);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::masking::Vocabulary;
    use crate::objective::order::Order;
    use crate::pretrain::MaskingSettings;

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
}
