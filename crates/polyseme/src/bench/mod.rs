//! Measuring speed and memory on this machine, with the work that was done counted.

mod compare;
mod infer;
mod kernels;
mod memory;
mod train;
mod trainer;

pub use compare::compare;
pub use infer::{Inference, Latency, inference, latency};
pub use kernels::{Kernels, kernels};
pub use memory::peak_bytes_of;
pub use train::{TrainSpeed, training};

use polyseme_models::EncoderConfig;
use polyseme_tensor::{Sequence, Stream};

/// Ids below this are special tokens in every vocabulary that we make.
const FIRST_WORD: u64 = 5;

/// A sequence of random words.
fn random_sequence(length: usize, vocabulary: usize, stream: Stream) -> Sequence {
    let words = (vocabulary as u64).saturating_sub(FIRST_WORD).max(1);
    let word = |t: u64| (FIRST_WORD + stream.below(t, words)).min(vocabulary as u64 - 1) as u32;
    Sequence { ids: (0..length as u64).map(word).collect(), type_ids: vec![0; length] }
}

/// Floating-point operations of the matrix products of one forward pass over the encoder, for a
/// sequence of `length` tokens. The last layer is asked for `asked` of them: all but its keys and values
/// is computed for these only.
fn forward_operations(config: &EncoderConfig, length: usize, asked: usize) -> f64 {
    let last = config.num_hidden_layers - 1;
    let before: f64 = (0..last).map(|index| layer_operations(config, index, length, length)).sum();
    before + layer_operations(config, last, length, asked)
}

/// The same of layer `index`. Of a window, what is seen counts.
fn layer_operations(config: &EncoderConfig, index: usize, length: usize, asked: usize) -> f64 {
    let (h, f) = (config.hidden_size, config.intermediate_size);
    let feed_forward = if config.variant.gated { 3 * h * f } else { 2 * h * f };
    let key_value = 2 * length * h * h;
    let rest = asked * (2 * h * h + feed_forward);
    let seen = config.variant.window(index).map_or(length, |window| length.min(2 * window + 1));
    let attention = 2 * asked * seen * h;
    2.0 * (key_value + rest + attention) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_counted_as_by_hand() {
        let mut config = crate::settings::recipe("mini").unwrap().model.config;
        config.num_hidden_layers = 1;
        // 12 h² multiply-adds a token, and 2 l h for the attention.
        let by_hand = 2.0 * (128 * 12 * 256 * 256 + 2 * 128 * 128 * 256) as f64;
        assert_eq!(forward_operations(&config, 128, 128), by_hand);
        config.num_hidden_layers = 4;
        assert_eq!(forward_operations(&config, 128, 128), 4.0 * by_hand);
        assert!(forward_operations(&config, 128, 19) < 3.4 * by_hand);
    }
}
