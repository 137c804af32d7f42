//! The same model and the same ten steps on two devices: the CPU has our kernels, all others the plain
//! operations of the tensor library.

use super::trainer::{RandomBatch, Trainer};
use crate::settings::recipe;
use polyseme_models::{EncoderConfig, Family};
use polyseme_tensor::closeness::values;
use polyseme_tensor::{Device, Mode, Stream};
use polyseme_train::Stop;
use serde::Serialize;

/// Steps.
const STEPS: u64 = 10;
/// Lengths of the sequences: alone, odd, and longer than a window.
const LENGTHS: [usize; 7] = [1, 2, 17, 33, 33, 64, 9];

/// How two devices agree on a model.
#[derive(Debug, Serialize)]
pub struct Comparison {
    /// `model_type` of the model.
    pub model_type: &'static str,
    /// Greatest difference of the last hidden state of the new model, whose values are of the order of 1.
    pub hidden_difference: f32,
    /// Loss before each step on the device.
    pub losses: Vec<f32>,
    /// The same on the CPU.
    pub cpu_losses: Vec<f32>,
    /// The greatest difference between the two.
    pub loss_difference: f32,
}

impl Comparison {
    /// Whether hidden states agree within 1e-4 and losses within 1e-3: devices sum in another order, and
    /// ten steps of Adam amplify what they begin with.
    pub fn agrees(&self) -> bool {
        self.hidden_difference <= 1e-4 && self.loss_difference <= 1e-3
    }
}

/// Compares a device with the CPU, for a small BERT and a small ModernBERT, with dropout; `None` if it
/// was asked to stop.
pub fn compare(device: &Device, stop: &Stop) -> anyhow::Result<Option<Vec<Comparison>>> {
    let mut all = Vec::new();
    for name in ["tiny", "modern"] {
        let settings = recipe(name)?;
        let config = EncoderConfig {
            vocab_size: 500,
            hidden_size: 64,
            embedding_size: 64,
            num_hidden_layers: 3,
            num_attention_heads: 4,
            intermediate_size: 96,
            hidden_dropout_prob: 0.1,
            attention_probs_dropout_prob: 0.1,
            max_position_embeddings: 64,
            ..settings.model.config
        };
        let mut variant = config.variant;
        variant.local_attention = variant.local_attention.min(16);
        let config = EncoderConfig { variant, ..config };
        let run = |device: &Device| run(settings.model.family, &config, &settings.optimizer, device, stop);
        let Some((hidden, losses)) = run(device)? else { return Ok(None) };
        let Some((cpu_hidden, cpu_losses)) = run(&polyseme_tensor::device::parse("cpu")?)? else { return Ok(None) };
        let difference = |a: &[f32], b: &[f32]| {
            // What is not a number differs from everything.
            a.iter()
                .zip(b)
                .map(|(a, b)| (a - b).abs())
                .fold(0.0, |worst: f32, d| if d > worst || d.is_nan() { d } else { worst })
        };
        all.push(Comparison {
            model_type: settings.model.family.model_type(),
            hidden_difference: difference(&hidden, &cpu_hidden),
            loss_difference: difference(&losses, &cpu_losses),
            losses,
            cpu_losses,
        });
    }
    Ok(Some(all))
}

/// The hidden state of a new model, and the losses of its first steps.
fn run(
    family: Family,
    config: &EncoderConfig,
    optimizer: &polyseme_train::pretrain::OptimizerSettings,
    device: &Device,
    stop: &Stop,
) -> anyhow::Result<Option<(Vec<f32>, Vec<f32>)>> {
    let stream = Stream::new(1);
    let device = device.clone().autodiff();
    let mut trainer = Trainer::new((family, config.clone()), (optimizer, 1e-3), stream.named("init"), &device)?;
    let batch = RandomBatch::new(&LENGTHS, config.vocab_size, 0.3, stream.named("batch"));
    let hidden = values(&trainer.model.hidden(&batch.packed, Mode::Eval));
    let mut losses = Vec::new();
    for step in 0..STEPS {
        if stop.requested() {
            return Ok(None);
        }
        losses.push(trainer.step(&batch, stream.named("dropout").at(step)));
    }
    Ok(Some((hidden, losses)))
}
