//! The texts that a model is compared on, before and after.

use super::QuantizeSettings;
use crate::{Error, Result};
use polyseme_infer::Encoder;
use polyseme_models::Model;
use polyseme_tensor::{Mode, PackedBatch, Sequence, Stream};
use polyseme_text::table::TextRows;
use std::path::Path;

/// Tokens that matrices are compared on.
const TOKENS: usize = 2048;
/// Tokens by which ranges are found.
pub(super) const CALIBRATION_TOKENS: usize = 32 * 1024;
/// Tokens of a text that are looked at.
const LONGEST: usize = 256;
/// Tokens of a batch.
const BATCH: usize = 4096;
/// Rows of a file that texts are drawn from.
const ROWS: usize = 20_000;

/// Texts as tokens.
pub(super) struct Sample {
    /// Where they come from.
    pub name: String,
    /// How many tokens.
    pub tokens: usize,
    batches: Vec<PackedBatch>,
}

impl Sample {
    /// Texts of the labelled rows, else of those ranges are found by, else tokens at random.
    pub fn read(settings: &QuantizeSettings, encoder: &Encoder) -> Result<Self> {
        if let Some(data) = &settings.data {
            // Files of other kinds (CoNLL, SQuAD) have no columns of texts; the metric is measured on them all the same.
            let known = ["csv", "tsv", "jsonl", "parquet", "txt"];
            let name = data.to_string_lossy().to_lowercase();
            if known.iter().any(|ending| name.contains(&format!(".{ending}"))) {
                return Self::of_file(data, settings, encoder, TOKENS);
            }
        }
        match &settings.calibrate {
            Some(file) => Self::of_file(file, settings, encoder, TOKENS),
            None => Self::random(settings, encoder),
        }
    }

    /// Texts of a file, from all over it, until there are so many tokens.
    pub fn of_file(file: &Path, settings: &QuantizeSettings, encoder: &Encoder, tokens: usize) -> Result<Self> {
        let columns = &settings.columns;
        let is_data = settings.data.as_deref() == Some(file);
        let (text, pair) = if is_data { (columns.text.as_deref(), columns.pair.as_deref()) } else { (None, None) };
        let mut rows = TextRows::open(Some(file), text, pair)?.next_batch(ROWS)?;
        rows.retain(|row| !row.text.trim().is_empty());
        if rows.is_empty() {
            return Err(Error::NoTexts { path: file.to_owned() });
        }
        // In an order that begins anywhere: rows may be sorted.
        let order = Stream::new(settings.seed).named("texts");
        let mut shuffled: Vec<(u64, usize)> = (0..rows.len()).map(|i| (order.below(i as u64, u64::MAX), i)).collect();
        shuffled.sort_unstable();
        let longest = encoder.limit().min(LONGEST);
        let (mut sequences, mut found) = (Vec::new(), 0);
        for part in shuffled.chunks(64) {
            let texts: Vec<_> = part.iter().map(|&(_, i)| (rows[i].text.clone(), rows[i].pair.clone())).collect();
            for encoding in encoder.encode(&texts, Some(longest))? {
                if found < tokens {
                    found += encoding.ids.len();
                    sequences.push(Sequence { ids: encoding.ids, type_ids: encoding.type_ids });
                }
            }
            if found >= tokens {
                break;
            }
        }
        Ok(Self::new(file.display().to_string(), sequences))
    }

    fn random(settings: &QuantizeSettings, encoder: &Encoder) -> Result<Self> {
        let stream = Stream::new(settings.seed).named("tokens");
        let longest = encoder.limit().min(LONGEST);
        let empty = encoder.encode(&[(String::new(), None)], None)?.remove(0);
        let vocabulary = encoder.tokenizer.vocab_size().min(encoder.model.config().vocab_size) as u64;
        let (mut sequences, mut found) = (Vec::new(), 0);
        for number in 0.. {
            if found >= TOKENS {
                break;
            }
            let stream = stream.at(number);
            let length = 1 + stream.named("length").below(0, longest as u64 - empty.ids.len() as u64) as usize;
            // Between what stands around an empty text.
            let mut ids = empty.ids.clone();
            let middle = ids.len().div_ceil(2);
            ids.splice(middle..middle, (0..length as u64).map(|t| stream.below(t, vocabulary) as u32));
            found += ids.len();
            sequences.push(Sequence { type_ids: vec![0; ids.len()], ids });
        }
        Ok(Self::new("random tokens".into(), sequences))
    }

    fn new(name: String, sequences: Vec<Sequence>) -> Self {
        let tokens = sequences.iter().map(|s| s.ids.len()).sum();
        let (mut batches, mut batch, mut room) = (Vec::new(), Vec::new(), BATCH);
        for sequence in sequences {
            if sequence.ids.len() > room && !batch.is_empty() {
                batches.push(PackedBatch::new(&batch));
                (batch, room) = (Vec::new(), BATCH);
            }
            room = room.saturating_sub(sequence.ids.len());
            batch.push(sequence);
        }
        if !batch.is_empty() {
            batches.push(PackedBatch::new(&batch));
        }
        Self { name, tokens, batches }
    }

    /// The last hidden states of all tokens. `(tokens, hidden)`
    pub fn vectors(&self, model: &Model) -> Vec<f32> {
        let batches = self.batches.iter();
        polyseme_tensor::device::on_pool(|| {
            batches
                .flat_map(|batch| model.hidden(batch, Mode::Eval).into_data().iter::<f32>().collect::<Vec<_>>())
                .collect()
        })
    }
}

/// The mean cosine of rows of a width.
pub(super) fn cosine(found: &[f32], expected: &[f32], width: usize) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
    let pairs = found.chunks_exact(width).zip(expected.chunks_exact(width));
    let rows = expected.len() / width;
    pairs.map(|(a, b)| dot(a, b) / (dot(a, a) * dot(b, b)).sqrt().max(f64::MIN_POSITIVE)).sum::<f64>() / rows as f64
}
