//! How fast each layer is in few bits, beside f32.

use polyseme_models::Model;
use polyseme_tensor::{Mode, PackedBatch, Sequence, device};
use serde::Serialize;
use std::time::{Duration, Instant};

/// Texts of a batch.
const BATCHES: [usize; 4] = [1, 4, 16, 32];
/// Tokens of a text.
const TOKENS: usize = 128;
/// Pairs of runs: at least, at most, and for how long.
const PAIRS: (usize, usize) = (3, 25);
const AT_MOST: Duration = Duration::from_secs(4);

/// How fast a layer is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LayerSpeed {
    /// From 0.
    pub layer: usize,
    /// For each batch size, how many times as fast as in f32: the median over pairs of runs.
    pub times: Vec<f64>,
}

impl LayerSpeed {
    /// Whether it is slower than in f32 at any batch size.
    pub fn is_slower(&self) -> bool {
        self.times.iter().any(|&times| times < 1.0)
    }
}

/// How fast the encoder is on a batch.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Timing {
    /// Texts of the batch.
    pub texts: usize,
    /// Tokens of each.
    pub tokens: usize,
    /// Milliseconds in f32, the median.
    pub whole_ms: f64,
    /// Milliseconds in few bits, the median.
    pub few_ms: f64,
}

/// Runs both models in turn on batches of several sizes, and times each layer.
pub(super) fn measure(whole: &Model, few: &Model) -> (Vec<LayerSpeed>, Vec<Timing>) {
    let layers = whole.config().num_hidden_layers;
    let tokens = TOKENS.min(whole.max_length());
    let mut speed: Vec<LayerSpeed> = (0..layers).map(|layer| LayerSpeed { layer, times: Vec::new() }).collect();
    let mut timings = Vec::new();
    for texts in BATCHES {
        let ids = |text: usize| (0..tokens).map(|t| ((text * 31 + t * 7) % whole.config().vocab_size) as u32).collect();
        let sequences: Vec<Sequence> =
            (0..texts).map(|text| Sequence { ids: ids(text), type_ids: vec![0; tokens] }).collect();
        let batch = PackedBatch::new(&sequences);
        // The first runs pack the matrices.
        run(whole, &batch);
        run(few, &batch);
        let (mut pairs, began) = (Vec::new(), Instant::now());
        while pairs.len() < PAIRS.0 || pairs.len() < PAIRS.1 && began.elapsed() < AT_MOST {
            pairs.push((run(whole, &batch), run(few, &batch)));
        }
        for layer in &mut speed {
            let times = pairs.iter().map(|(whole, few)| whole[layer.layer] / few[layer.layer]);
            layer.times.push(median(times.collect()));
        }
        let (of_whole, of_few): (Vec<f64>, Vec<f64>) =
            pairs.iter().map(|(whole, few)| (whole.iter().sum::<f64>(), few.iter().sum::<f64>())).unzip();
        timings.push(Timing { texts, tokens, whole_ms: 1e3 * median(of_whole), few_ms: 1e3 * median(of_few) });
    }
    (speed, timings)
}

/// Seconds of each layer.
fn run(model: &Model, batch: &PackedBatch) -> Vec<f64> {
    device::on_pool(|| {
        let mut seconds = Vec::new();
        let mut since = Instant::now();
        model.hidden_layers_in(batch, Mode::Eval, |layer, _| {
            // The embeddings come first.
            if layer > 0 {
                seconds.push(since.elapsed().as_secs_f64());
            }
            since = Instant::now();
        });
        seconds
    })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
