//! candle as a peer: texts to vectors over batches sorted by length, by its own BERT.
//!
//!     cargo run --release -- MODEL TEXTS.jsonl REFERENCE.npy LENGTH
//!
//! Vectors are compared with ours before the time is taken, and all of them after it. Threads are those
//! of rayon (`RAYON_NUM_THREADS`).

use anyhow::{Context, Result, bail, ensure};
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config};
use std::path::Path;
use std::time::Instant;
use tokenizers::{Encoding, Tokenizer, TruncationParams};

/// Texts of a batch.
const BATCH: usize = 32;
/// Texts that are compared before timing.
const FIRST: usize = 64;
/// Largest difference of two vectors' values.
const ALIKE: f32 = 1e-4;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [model, texts, reference, length] = words.as_slice() else { bail!("MODEL TEXTS REFERENCE LENGTH") };
    let begun = Instant::now();
    let encoder = Encoder::open(Path::new(model), length.parse()?)?;
    let start_seconds = begun.elapsed().as_secs_f64();

    let texts: Vec<String> = std::fs::read_to_string(texts)?
        .lines()
        .map(|line| Ok(serde_json::from_str::<serde_json::Value>(line)?["text"].as_str().context("a text")?.to_owned()))
        .collect::<Result<_>>()?;
    let reference = read_npy(Path::new(reference))?;
    let first = &texts[..FIRST.min(texts.len())];
    difference(&encoder.encode(first)?, &reference[..first.len()])?;
    let begun = Instant::now();
    let vectors = encoder.encode(&texts)?;
    let seconds = begun.elapsed().as_secs_f64();
    let found = serde_json::json!({
        "texts": texts.len(),
        "seconds": seconds,
        "texts_per_second": texts.len() as f64 / seconds,
        "start_seconds": start_seconds,
        "largest_difference": difference(&vectors, &reference)?,
    });
    println!("{found}");
    Ok(())
}

struct Encoder {
    model: BertModel,
    tokenizer: Tokenizer,
}

impl Encoder {
    fn open(folder: &Path, length: usize) -> Result<Self> {
        let config: Config = serde_json::from_str(&std::fs::read_to_string(folder.join("config.json"))?)?;
        let tensors = candle_core::safetensors::load(folder.join("model.safetensors"), &Device::Cpu)?;
        let model = BertModel::load(VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu), &config)?;
        let mut tokenizer = Tokenizer::from_file(folder.join("tokenizer.json")).map_err(anyhow::Error::msg)?;
        let truncation = TruncationParams { max_length: length, ..TruncationParams::default() };
        tokenizer.with_padding(None).with_truncation(Some(truncation)).map_err(anyhow::Error::msg)?;
        Ok(Self { model, tokenizer })
    }

    /// Normalized means of the tokens' vectors, in order.
    fn encode(&self, texts: &[String]) -> Result<Vec<Vec<f32>>> {
        let encodings = self.tokenizer.encode_batch(texts.to_vec(), true).map_err(anyhow::Error::msg)?;
        let mut order: Vec<usize> = (0..texts.len()).collect();
        order.sort_by_key(|&i| std::cmp::Reverse(encodings[i].len()));
        let mut vectors = vec![Vec::new(); texts.len()];
        for rows in order.chunks(BATCH) {
            let batch: Vec<&Encoding> = rows.iter().map(|&i| &encodings[i]).collect();
            for (&row, vector) in rows.iter().zip(self.batch(&batch)?.to_vec2::<f32>()?) {
                vectors[row] = vector;
            }
        }
        Ok(vectors)
    }

    fn batch(&self, batch: &[&Encoding]) -> Result<Tensor> {
        let (count, length) = (batch.len(), batch.iter().map(|e| e.len()).max().unwrap_or(0));
        let padded = |of: fn(&Encoding) -> &[u32]| {
            let row = |e: &&Encoding| {
                let mut row = of(e).to_vec();
                row.resize(length, 0);
                row
            };
            Tensor::from_vec(batch.iter().flat_map(row).collect::<Vec<u32>>(), (count, length), &Device::Cpu)
        };
        let (ids, mask) = (padded(Encoding::get_ids)?, padded(Encoding::get_attention_mask)?);
        // (count, length, hidden)
        let hidden = self.model.forward(&ids, &ids.zeros_like()?, Some(&mask))?;
        // (count, length, 1)
        let real = mask.to_dtype(DType::F32)?.unsqueeze(2)?;
        let means = hidden.broadcast_mul(&real)?.sum(1)?.broadcast_div(&real.sum(1)?)?;
        Ok(means.broadcast_div(&means.sqr()?.sum_keepdim(1)?.sqrt()?)?)
    }
}

/// Largest difference of vectors from ours; timing is worth nothing if they differ.
fn difference(vectors: &[Vec<f32>], reference: &[Vec<f32>]) -> Result<f32> {
    ensure!(vectors.len() == reference.len(), "{} vectors and {}", vectors.len(), reference.len());
    let pairs = vectors.iter().zip(reference).flat_map(|(a, b)| a.iter().zip(b));
    let found = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    ensure!(found < ALIKE, "vectors differ by {found}");
    Ok(found)
}

/// A matrix of f32 in row-major order, as our own program writes it.
fn read_npy(path: &Path) -> Result<Vec<Vec<f32>>> {
    let bytes = std::fs::read(path)?;
    ensure!(bytes.starts_with(b"\x93NUMPY\x01"), "not version 1 of .npy");
    let begin = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = std::str::from_utf8(&bytes[10..begin])?;
    ensure!(header.contains("'<f4'") && header.contains("False"), "not f32 in rows: {header}");
    let shape = header.split_once("'shape': (").context("a shape")?.1.split_once(')').context("a shape")?.0;
    let width: usize = shape.split(',').nth(1).context("two dimensions")?.trim().parse()?;
    let values: Vec<f32> =
        bytes[begin..].as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    Ok(values.chunks(width).map(<[f32]>::to_vec).collect())
}
