//! What stands behind a mask.

use crate::encoder::values;
use crate::predict::softmax;
use crate::{Encoder, Error, Result};
use polyseme_models::HeadKind;

/// One candidate for a mask.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct FillCandidate {
    /// The piece as text.
    pub token: String,
    /// Its probability.
    pub score: f32,
}

/// What fits in one mask.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Fill {
    /// Token position of the mask, special tokens counted.
    pub position: usize,
    /// Best first.
    pub candidates: Vec<FillCandidate>,
}

impl Encoder {
    /// The best `top` pieces for each mask of a text, each mask by itself.
    ///
    /// # Errors
    /// No mask in the text, a model or tokenizer that knows no masks, a text too long.
    pub fn fill(&self, text: &str, top: usize) -> Result<Vec<Fill>> {
        if self.model.head() != HeadKind::MaskedLm {
            return Err(Error::NoMaskedLmHead { found: head_name(&self.model.head()) });
        }
        let mask = self.tokenizer.special().mask.ok_or(Error::NoMaskToken)?;
        let encoding = self.tokenizer.encode(text, None, usize::MAX)?;
        self.check(&encoding)?;
        let (tokens, limit) = (encoding.ids.len(), self.model.max_length());
        let is_mask = |&t: &usize| encoding.ids[t] == mask;
        let positions: Vec<usize> = (0..tokens).filter(is_mask).collect();
        if positions.is_empty() {
            return Err(Error::NoMask { mask: self.tokenizer.token(mask).unwrap_or_default() });
        }
        if tokens > limit {
            return Err(Error::TooLong { tokens, limit });
        }
        let mut fills = Vec::new();
        self.for_each_batch(&[encoding], |_, batch| {
            let rows: Vec<usize> = positions.iter().map(|&t| batch.row(0, t)).collect();
            let logits = self.model.masked_lm_logits(batch, &rows); // (masks, vocabulary)
            let [_, vocabulary] = logits.dims();
            for (row, &position) in values(logits).chunks_exact(vocabulary).zip(&positions) {
                fills.push(Fill { position, candidates: self.candidates(row, top)? });
            }
            Ok(())
        })?;
        Ok(fills)
    }

    fn candidates(&self, logits: &[f32], top: usize) -> Result<Vec<FillCandidate>> {
        let scores = softmax(logits);
        let mut ids: Vec<usize> = (0..scores.len().min(self.tokenizer.vocab_size())).collect();
        ids.sort_by(|&a, &b| scores[b].total_cmp(&scores[a])); // stable: equal scores by id
        let candidate = |&id: &usize| {
            let text = self.tokenizer.decode(&[id as u32], false)?;
            let piece = || self.tokenizer.token(id as u32).unwrap_or_default();
            let token = if text.is_empty() { piece() } else { text };
            Ok(FillCandidate { token, score: scores[id] })
        };
        ids.iter().take(top).map(candidate).collect()
    }
}

/// A head's name in a sentence.
pub fn head_name(head: &HeadKind) -> &'static str {
    match head {
        HeadKind::MaskedLm | HeadKind::PreTraining => "a masked-language-modelling head",
        HeadKind::Generate => "a head that generates",
        HeadKind::Classify(_) => "a classification head",
        HeadKind::MultiLabel(_) => "a head for several labels",
        HeadKind::Regress => "a regression head",
        HeadKind::Tag(_) => "a head for tags",
        HeadKind::Answer => "a head for answers",
        HeadKind::Choice => "a head for choices",
        HeadKind::None | HeadKind::AsFound => "no head",
    }
}
