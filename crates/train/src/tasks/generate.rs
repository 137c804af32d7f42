//! A short text from another (UniLM, Dong et al. 2019): the source is seen whole, the target from left to right.
//!
//! Behind source and target stand masks, one for each token of the target and one for its end, each in the place
//! of its token: it sees the source and what of the target is before it (Bao et al. 2020). So a pass learns all
//! of a target, and masks see what they will see when the target is not known.

use super::rows::{LooksAt, RowBatch, Rows, hash};
use super::{Part, Task, states};
use crate::analysis::{Analysis, Mistake, What, begin, rounded, worst};
use crate::error::Result;
use crate::metrics::sequences::{SequenceMetrics, rouge_l};
use crate::metrics::{Metrics, score_row};
use polyseme_infer::{GenerateOptions, generate};
use polyseme_models::{HeadKind, Model};
use polyseme_tensor::{Mode, Tensor};
use polyseme_text::{Encoding, SourceTarget, Tokenizer};
use rayon::prelude::*;

/// Masks whose logits over the vocabulary are in memory at once.
const AT_ONCE: usize = 256;

/// A source with the target that is wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    encoded: SourceTarget,
    /// The target as it stands in the file.
    text: String,
}

/// The task, with rows of sources, targets and masks.
pub struct Generate {
    train: Part<Wanted>,
    valid: Part<Wanted>,
    tokenizer: Tokenizer,
    options: GenerateOptions,
}

impl Generate {
    /// From encoded rows; texts are generated with these options to be measured.
    pub fn new(train: Part<Wanted>, valid: Part<Wanted>, tokenizer: &Tokenizer, options: GenerateOptions) -> Self {
        Self { train, valid, tokenizer: tokenizer.clone(), options }
    }

    /// How many tokens the targets to learn have, and how many of them the tokenizer does not know.
    pub fn unknown(&self) -> (usize, usize) {
        let unknown = self.tokenizer.special().unk;
        let tokens = || self.train.targets.iter().flat_map(|wanted| wanted.encoded.target());
        (tokens().count(), tokens().filter(|&&id| Some(id) == unknown).count())
    }

    /// The tokens that the masks of a row stand for.
    fn labels(&self, wanted: &Wanted) -> impl Iterator<Item = u32> {
        wanted.encoded.target().to_vec().into_iter().chain([self.tokenizer.special().sep])
    }

    /// The text of what was kept of a row.
    fn text(&self, kept: &[f32]) -> String {
        self.tokenizer.decode(&ids(kept), true).unwrap_or_default()
    }

    /// Whether the tokens that were generated are those that are wanted.
    fn is_exact(&self, kept: &[Vec<f32>], row: usize) -> bool {
        ids(&kept[row]) == self.valid.targets[row].encoded.target()
    }

    /// The loss of each mask of validation rows, from their states.
    fn losses(&self, model: &Model, rows: &[usize], states: Tensor<2>) -> Vec<f64> {
        let labels: Vec<u32> = rows.iter().flat_map(|&row| self.labels(&self.valid.targets[row])).collect();
        let mut losses = Vec::with_capacity(labels.len());
        for (i, labels) in labels.chunks(AT_ONCE).enumerate() {
            let logits = model.masked_lm_logits_of(states.clone().narrow(0, i * AT_ONCE, labels.len()), Mode::Eval);
            let [_, vocabulary] = logits.dims();
            let logits: Vec<f32> = logits.into_data().iter::<f32>().collect();
            let pairs = logits.chunks_exact(vocabulary).zip(labels);
            losses.extend(pairs.map(|(logits, &label)| score_row(logits, label as usize).1));
        }
        losses
    }
}

/// The generated tokens among what is kept of a row.
fn ids(kept: &[f32]) -> Vec<u32> {
    kept[1..].iter().map(|&id| id as u32).collect()
}

/// Encodes sources and targets of at most `max_target` tokens, together at most `max_length`.
///
/// # Errors
/// A length without room for the source, a tokenizer that knows no masks.
pub fn encode(
    pairs: Vec<(&str, &str)>,
    tokenizer: &Tokenizer,
    max_length: usize,
    max_target: usize,
) -> Result<Part<Wanted>> {
    let mask = tokenizer.special().mask.ok_or(polyseme_infer::Error::NoMaskToken)?;
    let of = |&(source, target): &(&str, &str)| tokenizer.encode_target(source, target, max_length, max_target);
    let encoded: Vec<SourceTarget> = pairs.par_iter().map(of).collect::<std::result::Result<_, _>>()?;
    let (mut rows, mut masks, mut targets) = (Rows::new(1, LooksAt::Sequences), Vec::new(), Vec::new());
    for (encoded, (_, text)) in encoded.into_iter().zip(pairs) {
        let (known, count) = (encoded.ids.len(), encoded.target().len() + 1);
        let mut all = Encoding {
            ids: encoded.ids.clone(),
            type_ids: encoded.type_ids.clone(),
            truncated: encoded.truncated,
            ..Encoding::default()
        };
        all.ids.resize(known + count, mask);
        all.type_ids.resize(known + count, encoded.target_type);
        rows.push(&all);
        rows.sources.push(encoded.source);
        masks.push((known as u32..(known + count) as u32).collect());
        targets.push(Wanted { encoded, text: text.to_owned() });
    }
    rows.looks_at = LooksAt::Tokens(masks);
    Ok(Part { rows, targets, shown: Vec::new() })
}

impl Task for Generate {
    fn name(&self) -> &'static str {
        "generate"
    }

    fn head(&self) -> HeadKind {
        HeadKind::Generate
    }

    fn train(&self) -> &Rows {
        &self.train.rows
    }

    fn valid(&self) -> &Rows {
        &self.valid.rows
    }

    fn targets_hash(&self) -> u64 {
        let texts = self.train.targets.iter().chain(&self.valid.targets).map(|wanted| &wanted.text);
        hash(texts.flat_map(|text| text.bytes().map(u64::from).chain([256])))
    }

    fn loss_of_states(&self, model: &Model, states: Tensor<2>, batch: &RowBatch, mode: Mode) -> Tensor<1> {
        let labels: Vec<u32> = batch.rows.iter().flat_map(|&row| self.labels(&self.train.targets[row])).collect();
        model.masked_lm_loss_of(states, &labels, mode).0 * labels.len() as f32
    }

    /// The loss and the generated tokens of each row.
    fn measured(&self, model: &Model, rows: &[usize]) -> Option<Vec<Vec<f32>>> {
        let found = states(model, &self.valid.rows, rows, &self.valid.rows.sequences(rows), Mode::Eval);
        let losses = self.losses(model, rows, found);
        let mut rest = losses.as_slice();
        let sources: Vec<SourceTarget> = rows.iter().map(|&row| self.valid.targets[row].encoded.clone()).collect();
        let generated = generate(model, &self.tokenizer, &sources, &self.options).expect("masks were known before");
        let kept = rows.iter().zip(generated).map(|(&row, generated)| {
            let (own, others) = rest.split_at(self.valid.rows.targets(row) as usize);
            rest = others;
            [own.iter().sum::<f64>() as f32].into_iter().chain(generated.ids.iter().map(|&id| id as f32)).collect()
        });
        Some(kept.collect())
    }

    fn metrics(&self, kept: &[Vec<f32>]) -> Metrics {
        let predicted: Vec<String> = kept.iter().map(|kept| self.text(kept)).collect();
        let wanted: Vec<&str> = self.valid.targets.iter().map(|wanted| wanted.text.as_str()).collect();
        let exact = (0..kept.len()).filter(|&row| self.is_exact(kept, row)).count();
        let tokens: u64 = (0..kept.len()).map(|row| self.valid.rows.targets(row)).sum();
        let loss = kept.iter().map(|k| f64::from(k[0])).sum::<f64>() / tokens.max(1) as f64;
        Metrics::Sequence(SequenceMetrics::new(&wanted, &predicted, exact as u64, loss))
    }

    fn analysis(&self, kept: &[Vec<f32>], _: &Metrics) -> Analysis {
        let wrong: Vec<usize> = (0..kept.len()).filter(|&row| !self.is_exact(kept, row)).collect();
        let shared = |row: usize| rouge_l(&self.valid.targets[row].text, &self.text(&kept[row]));
        let told = worst(wrong.iter().map(|&row| (row, 1.0 - shared(row)))).into_iter().map(|row| {
            let (place, texts) = self.valid.shown(row);
            let (wanted, said) = (begin(&self.valid.targets[row].text), begin(&self.text(&kept[row])));
            let what = What::Text { texts, wanted, said, rouge_l: rounded(shared(row)) };
            Mistake { place, loss: rounded(kept[row][0] / self.valid.rows.targets(row) as f32), what }
        });
        Analysis::new(kept.len(), Some(wrong.len()), told.collect())
    }
}
