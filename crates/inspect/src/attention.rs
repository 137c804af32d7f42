//! What tokens attend to.

use crate::{Error, Result};
use polyseme_infer::Encoder;
use polyseme_tensor::{PackedBatch, Sequence, device};
use serde::Serialize;

/// What the tokens of a text, or of a pair, attend to.
#[derive(Clone, Debug, Serialize)]
pub struct Attention {
    /// The text, or both of a pair.
    pub texts: Vec<String>,
    /// Tokens, special ones included; before them those of a prefix, if the model has one.
    pub tokens: Vec<String>,
    /// Which text each belongs to: 0 or 1.
    pub segments: Vec<u32>,
    /// The layers asked for, ascending.
    pub layers: Vec<LayerAttention>,
}

/// What they attend to in a layer.
#[derive(Clone, Debug, Serialize)]
pub struct LayerAttention {
    /// Number of the layer, from 1.
    pub layer: usize,
    /// Of each head what each token (row) attends to (column); rows sum to one. `(tokens × tokens)`, row by row
    pub heads: Vec<Vec<f32>>,
}

/// Maps of the layers asked for (from 1; none: all of them). Layers run as ever; probabilities are computed for these only.
///
/// # Errors
/// A text longer than the model takes, a layer that is not there, a tokenizer that is not the model's.
pub fn attention(encoder: &Encoder, text: &str, pair: Option<&str>, layers: &[usize]) -> Result<Attention> {
    let count = encoder.model.config().num_hidden_layers;
    if let Some(&asked) = layers.iter().find(|&&l| l == 0 || l > count) {
        return Err(Error::NoLayer { asked, layers: count });
    }
    let mut asked: Vec<usize> = if layers.is_empty() { (1..=count).collect() } else { layers.to_vec() };
    asked.sort_unstable();
    asked.dedup();
    let encoding = encoder.tokenizer.encode(text, pair, usize::MAX)?;
    encoder.check(&encoding)?;
    let (tokens, limit) = (encoding.ids.len(), encoder.model.max_length());
    if tokens > limit {
        return Err(polyseme_infer::Error::TooLong { tokens, limit }.into());
    }
    let batch = PackedBatch::new(&[Sequence { ids: encoding.ids.clone(), type_ids: encoding.type_ids.clone() }]);
    let from_zero: Vec<usize> = asked.iter().map(|l| l - 1).collect();
    let maps = device::on_pool(|| encoder.model.attention(&batch, &from_zero));
    let mut names: Vec<String> =
        encoding.ids.iter().map(|&id| encoder.tokenizer.token(id).unwrap_or_default()).collect();
    let mut segments = segments(&encoding.words, &encoding.type_ids);
    let mut of_layers = Vec::with_capacity(asked.len());
    for (layer, maps) in asked.into_iter().zip(maps) {
        let map = maps.into_iter().next().expect("one text");
        let [heads, length, _] = map.dims();
        for virtual_token in (0..length - names.len()).rev() {
            names.insert(0, format!("prefix {}", virtual_token + 1));
            segments.insert(0, 0);
        }
        let values = map.into_data().convert::<f32>().try_into_vec::<f32>().expect("converted to f32");
        let heads: Vec<Vec<f32>> = values.chunks_exact(values.len() / heads).map(<[f32]>::to_vec).collect();
        of_layers.push(LayerAttention { layer, heads });
    }
    let texts = std::iter::once(text).chain(pair).map(str::to_owned).collect();
    Ok(Attention { texts, tokens: names, segments, layers: of_layers })
}

/// Which text tokens belong to, also where the model has no segments: the second one begins behind the special tokens that
/// stand behind the first one.
fn segments(words: &[Option<u32>], type_ids: &[u32]) -> Vec<u32> {
    if type_ids.contains(&1) {
        return type_ids.to_vec();
    }
    let (mut segment, mut seen, mut behind) = (0, false, false);
    let mut of = Vec::with_capacity(words.len());
    for word in words {
        if word.is_some() && behind {
            (segment, behind) = (1, false);
        }
        behind |= word.is_none() && seen;
        seen |= word.is_some();
        of.push(segment);
    }
    of
}

#[cfg(test)]
mod tests {
    use super::segments;

    #[test]
    fn the_second_text_begins_behind_the_first_ones_end() {
        let words = [None, Some(0), Some(1), None, None, Some(0), None];
        assert_eq!(segments(&words, &[0; 7]), [0, 0, 0, 0, 0, 1, 1]);
        assert_eq!(segments(&words, &[0, 0, 0, 0, 1, 1, 1]), [0, 0, 0, 0, 1, 1, 1]);
        assert_eq!(segments(&words[..4], &[0; 4]), [0; 4]);
    }
}
