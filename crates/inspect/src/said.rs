//! What a model would have said: token by token, and how surprised it is by a text.

use crate::Result;
use polyseme_infer::{Encoder, Guess};
use serde::Serialize;

/// A text as the model sees it.
#[derive(Clone, Debug, Serialize)]
pub struct Said {
    /// The text.
    pub text: String,
    /// Its tokens in order, special ones left out.
    pub tokens: Vec<Guess>,
    /// Of all tokens that are no masks: e to the mean of the negative logarithms of their probabilities (Salazar et al.
    /// 2020); `None` where all are masks.
    pub pseudo_perplexity: Option<f64>,
}

/// What the model would have said at each token. `progress(done, total)` gives whether to go on; `None` if it said no.
///
/// # Errors
/// A model without a masked-language-modelling head, a text too long or empty.
pub fn said(
    encoder: &Encoder,
    text: &str,
    top: usize,
    progress: &mut (dyn FnMut(usize, usize) -> bool + Send),
) -> Result<Option<Said>> {
    let Some(tokens) = encoder.guesses(text, top, progress)? else { return Ok(None) };
    let surprises: Vec<f64> = tokens.iter().filter_map(surprise).collect();
    let mean = surprises.iter().sum::<f64>() / surprises.len() as f64;
    let pseudo_perplexity = (!surprises.is_empty()).then(|| mean.exp());
    Ok(Some(Said { text: text.to_owned(), tokens, pseudo_perplexity }))
}

/// How surprised the model is by a token: the negative natural logarithm of its probability.
pub fn surprise(guess: &Guess) -> Option<f64> {
    guess.probability.map(|p| -f64::from(p.max(f32::MIN_POSITIVE)).ln())
}
