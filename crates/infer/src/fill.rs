//! What stands behind a mask.

use crate::encoder::values;
use crate::predict::softmax;
use crate::{Encoder, Error, Result};
use polyseme_models::HeadKind;
use polyseme_text::Encoding;
use std::ops::Range;

/// Tokens masked in turn before there is progress.
const IN_TURN: usize = 64;

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

/// What the model would have said in place of a token.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Guess {
    /// Token position, special tokens counted.
    pub position: usize,
    /// The token that stands there.
    pub token: String,
    /// Where it stands in the text. Bytes
    pub range: Range<usize>,
    /// Probability of it, with a mask in its place; `None` where a mask stands in the text.
    pub probability: Option<f32>,
    /// How many pieces are more probable.
    pub rank: Option<usize>,
    /// Best first.
    pub candidates: Vec<FillCandidate>,
}

impl Encoder {
    /// What the model would have said at each token of a text that is not special, each masked by itself (pseudo-
    /// log-likelihood, Salazar et al. 2020). Masks of the text stay. `progress(done, total)` in tokens gives whether to
    /// go on; `None` if it said no.
    ///
    /// # Errors
    /// A model or tokenizer that knows no masks, a text too long or without a token.
    pub fn guesses(
        &self,
        text: &str,
        top: usize,
        progress: &mut (dyn FnMut(usize, usize) -> bool + Send),
    ) -> Result<Option<Vec<Guess>>> {
        let mask = self.mask()?;
        let encoding = self.tokenizer.encode(text, None, usize::MAX)?;
        self.check(&encoding)?;
        let limit = self.model.max_length();
        if encoding.ids.len() > limit {
            return Err(Error::TooLong { tokens: encoding.ids.len(), limit });
        }
        let own = |&t: &usize| encoding.ids[t] == mask || !self.tokenizer.is_special(encoding.ids[t]);
        let positions: Vec<usize> = (0..encoding.ids.len()).filter(own).collect();
        if positions.is_empty() {
            return Err(Error::NoToken);
        }
        let masked = |&t: &usize| {
            let mut masked = encoding.clone();
            masked.ids[t] = mask;
            masked
        };
        let mut guesses = Vec::with_capacity(positions.len());
        // A few passes at a time, so that there is progress and long texts fit in memory.
        for some in positions.chunks(IN_TURN) {
            if !progress(guesses.len(), positions.len()) {
                return Ok(None);
            }
            let masked: Vec<Encoding> = some.iter().map(masked).collect();
            let mut found: Vec<Option<Guess>> = vec![None; some.len()];
            self.for_each_batch(&masked, |members, batch| {
                let rows: Vec<usize> = members.iter().enumerate().map(|(i, &m)| batch.row(i, some[m])).collect();
                let logits = self.model.masked_lm_logits(batch, &rows); // (members, vocabulary)
                let [_, vocabulary] = logits.dims();
                for (row, &member) in values(logits).chunks_exact(vocabulary).zip(members) {
                    found[member] = Some(self.guess(row, some[member], &encoding, (mask, top))?);
                }
                Ok(())
            })?;
            guesses.extend(found.into_iter().flatten());
        }
        Ok(Some(guesses))
    }

    fn guess(&self, logits: &[f32], position: usize, of: &Encoding, (mask, top): (u32, usize)) -> Result<Guess> {
        let id = of.ids[position];
        let (scores, own) = (softmax(logits), logits[id as usize]);
        let known = id != mask;
        Ok(Guess {
            position,
            token: self.tokenizer.token(id).unwrap_or_default(),
            range: of.offsets[position].clone(),
            probability: known.then(|| scores[id as usize]),
            rank: known.then(|| logits.iter().filter(|&&logit| logit > own).count()),
            candidates: self.candidates(&scores, top)?,
        })
    }

    /// The mask's id, where model and tokenizer know what to do with it.
    fn mask(&self) -> Result<u32> {
        if self.model.head() != HeadKind::MaskedLm {
            return Err(Error::NoMaskedLmHead { found: head_name(&self.model.head()) });
        }
        self.tokenizer.special().mask.ok_or(Error::NoMaskToken)
    }

    /// The best `top` pieces for each mask of a text, each mask by itself.
    ///
    /// # Errors
    /// No mask in the text, a model or tokenizer that knows no masks, a text too long.
    pub fn fill(&self, text: &str, top: usize) -> Result<Vec<Fill>> {
        let mask = self.mask()?;
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
                fills.push(Fill { position, candidates: self.candidates(&softmax(row), top)? });
            }
            Ok(())
        })?;
        Ok(fills)
    }

    fn candidates(&self, scores: &[f32], top: usize) -> Result<Vec<FillCandidate>> {
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
