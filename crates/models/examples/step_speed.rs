//! Tokens per second of a training step of masked language modelling: 4 layers of 256, vocabulary
//! 8192, no reading of data.
//!
//!     cargo run --release -p polyseme-models --example step_speed [dropout] [seconds]

use polyseme_models::{Activation, EncoderConfig, Family, HeadKind, Model};
use polyseme_tensor::ops::optimizer::{AdamWState, AdamWStep, ParamRates, adamw_step, global_norm};
use polyseme_tensor::{Mode, PackedBatch, Sequence, Stream, device};
use std::time::{Duration, Instant};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let dropout: f64 = arguments.next().map_or(Ok(0.0), |text| text.parse())?;
    let seconds: u64 = arguments.next().map_or(Ok(10), |text| text.parse())?;
    println!("dropout {dropout}, {} threads", device::threads());
    for (count, length) in [(8, 128), (32, 128)] {
        let (speed, loss) = measure(count, length, dropout, Duration::from_secs(seconds))?;
        println!("{count} x {length} tokens: {speed:.0} tokens/s, last loss {loss:.3}");
    }
    Ok(())
}

/// Tokens per second and the last loss.
fn measure(
    count: usize,
    length: usize,
    dropout: f64,
    time: Duration,
) -> Result<(f64, f32), Box<dyn std::error::Error>> {
    let device = device::parse("cpu")?.autodiff();
    let mut model = Model::new(Family::Bert, config(dropout), HeadKind::MaskedLm, Stream::new(1), &device)?;
    let each: Vec<ParamRates> = model.parameters().iter().map(|info| info.decay.into()).collect();
    let mut state = AdamWState::default();
    let (mut steps, mut start) = (0u32, Instant::now());
    loop {
        if steps == 1 {
            // The first step warms up.
            start = Instant::now();
        }
        let stream = Stream::new(2).at(u64::from(steps));
        let sequences: Vec<_> = (0..count).map(|i| sequence(length, stream.at(i as u64))).collect();
        let batch = PackedBatch::new(&sequences, &device);
        let rows: Vec<usize> = (0..batch.tokens()).filter(|row| row % 20 < 3).collect();
        let labels: Vec<u32> = rows.iter().map(|&row| 5 + stream.below(row as u64, 8000) as u32).collect();
        let (loss, _) = model.masked_lm_loss(&batch, &rows, &labels, Mode::Train(stream));
        let last = loss.clone().inner().into_scalar::<f32>();
        let gradients = model.gradients(&mut loss.backward());
        let step = AdamWStep {
            learning_rate: 1e-4,
            beta1: 0.9,
            beta2: 0.98,
            epsilon: 1e-6,
            weight_decay: 0.01,
            gradient_scale: 1.0 / global_norm(&gradients).max(1.0),
        };
        let values = model.take();
        model.put(adamw_step(values, gradients, &each, &mut state, step));
        steps += 1;
        if steps > 1 && start.elapsed() > time {
            let tokens = f64::from(steps - 1) * (count * length) as f64;
            return Ok((tokens / start.elapsed().as_secs_f64(), last));
        }
    }
}

fn sequence(length: usize, stream: Stream) -> Sequence {
    let ids = (0..length as u64).map(|t| 5 + stream.below(t, 8000) as u32).collect();
    Sequence { ids, type_ids: vec![0; length] }
}

fn config(dropout: f64) -> EncoderConfig {
    EncoderConfig {
        vocab_size: 8192,
        hidden_size: 256,
        num_hidden_layers: 4,
        num_attention_heads: 4,
        intermediate_size: 1024,
        hidden_act: Activation::Gelu,
        max_position_embeddings: 512,
        position_offset: 0,
        type_vocab_size: 2,
        embedding_size: 256,
        layer_norm_eps: 1e-12,
        hidden_dropout_prob: dropout,
        attention_probs_dropout_prob: dropout,
        classifier_dropout: dropout,
        initializer_range: 0.02,
        pad_token_id: 0,
        tie_word_embeddings: true,
    }
}
