//! Answers copied from a passage.

use crate::batches::WINDOW;
use crate::encoder::values;
use crate::fill::head_name;
use crate::{Encoder, Error, Result};
use polyseme_models::HeadKind;
use polyseme_tensor::Mode;
use polyseme_text::{Encoding, Window};
use std::ops::Range;

/// Tokens of the longest answer.
pub const LONGEST_ANSWER: usize = 30;

/// What is read where: a question and the passage.
pub type QuestionContext = (String, String);

/// The best answer that was found.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct FoundAnswer {
    /// As it stands in the passage; empty if there is none.
    pub answer: String,
    /// First character in the passage, counted from 0.
    pub start: usize,
    /// Character after the last.
    pub end: usize,
    /// Probability of its beginning times that of its end, within its window.
    pub score: f32,
}

/// A span of a passage with the sum of the two logits it has.
#[derive(Clone, Debug, PartialEq)]
pub struct SpanScore {
    /// Bytes of the passage.
    pub bytes: Range<usize>,
    /// Logit of its beginning and logit of its end.
    pub score: f32,
    /// Probability of its beginning times that of its end.
    pub probability: f32,
}

/// The best span of a passage over its windows, each with its logits `(tokens, 2)`; and the score of there
/// being no answer, the least of the first tokens' over the windows (Devlin et al. 2019). `None` of a passage
/// without tokens.
pub fn best_span(windows: &[(&Window, &[f32])]) -> (Option<SpanScore>, f32) {
    let mut best: Option<SpanScore> = None;
    let mut none = f32::INFINITY;
    for (window, logits) in windows {
        let start = |t: usize| logits[2 * t];
        let end = |t: usize| logits[2 * t + 1];
        none = none.min(start(0) + end(0));
        let mut top: Option<(f32, usize, usize)> = None;
        for a in window.place.clone() {
            for b in a..window.place.end.min(a + LONGEST_ANSWER) {
                let score = start(a) + end(b);
                if top.is_none_or(|(best, ..)| score > best) {
                    top = Some((score, a, b));
                }
            }
        }
        let Some((score, a, b)) = top else { continue };
        if best.as_ref().is_none_or(|found| score > found.score) {
            let offsets = &window.encoding.offsets;
            let bytes = offsets[a].start..offsets[b].end.max(offsets[a].start);
            // The first token stands for no answer, as in the reference's pipeline.
            let among = |of: &dyn Fn(usize) -> f32, t: usize| {
                let all = || window.place.clone().chain([0]).map(of);
                let greatest = all().fold(f32::MIN, f32::max);
                (of(t) - greatest).exp() / all().map(|x| (x - greatest).exp()).sum::<f32>()
            };
            best = Some(SpanScore { bytes, score, probability: among(&start, a) * among(&end, b) });
        }
    }
    (best, none)
}

/// The text of a span without white space around it, and its bytes.
pub fn trimmed<'a>(context: &'a str, bytes: &Range<usize>) -> (&'a str, Range<usize>) {
    let (start, end) = (context.floor_char_boundary(bytes.start), context.ceil_char_boundary(bytes.end));
    let text = &context[start..end.max(start)];
    let start = start + text.len() - text.trim_start().len();
    (text.trim(), start..start + text.trim().len())
}

impl Encoder {
    /// The best answer to each question, copied from its passage, which is read in windows of at most
    /// `max_length` tokens (`None`: the folder's limit) that overlap by `stride`. With `or_none`, an empty one
    /// where the model holds that the passage has none.
    ///
    /// # Errors
    /// No head for answers, a length the model cannot take.
    pub fn answer(
        &self,
        asked: &[QuestionContext],
        max_length: Option<usize>,
        stride: usize,
        or_none: bool,
    ) -> Result<Vec<FoundAnswer>> {
        let head = self.model.head();
        if head != HeadKind::Answer {
            return Err(Error::WrongHead {
                what: "answers",
                head: "a head for answers",
                found: head_name(&head),
                task: "qa",
            });
        }
        let longest = self.max_length(max_length)?;
        let mut answers = Vec::with_capacity(asked.len());
        for part in asked.chunks(WINDOW / 16) {
            let of = |(question, context): &QuestionContext| {
                Ok(self.tokenizer.windows(Some(question), context, longest, stride)?)
            };
            let windows: Vec<Vec<Window>> = part.iter().map(of).collect::<Result<_>>()?;
            let logits = self.span_logits(&windows)?;
            for (((_, context), windows), logits) in part.iter().zip(&windows).zip(&logits) {
                let together: Vec<(&Window, &[f32])> = windows.iter().zip(logits.iter().map(Vec::as_slice)).collect();
                let (span, none) = best_span(&together);
                let span = span.filter(|span| !or_none || span.score >= none);
                answers.push(found(context, span));
            }
        }
        Ok(answers)
    }

    /// Logits of beginning and end for each token of each window. `(tokens, 2)` each
    fn span_logits(&self, windows: &[Vec<Window>]) -> Result<Vec<Vec<Vec<f32>>>> {
        let encodings: Vec<Encoding> = windows.iter().flatten().map(|w| w.encoding.clone()).collect();
        encodings.iter().try_for_each(|e| self.check(e))?;
        let mut flat: Vec<Vec<f32>> = vec![Vec::new(); encodings.len()];
        self.for_each_batch(&encodings, |members, batch| {
            let all: Vec<usize> = (0..batch.tokens()).collect();
            let logits = values(self.model.token_outputs(batch, &all, Mode::Eval)); // (tokens, 2)
            for (k, &member) in members.iter().enumerate() {
                let rows = batch.rows(k);
                flat[member] = logits[2 * rows.start..2 * rows.end].to_vec();
            }
            Ok(())
        })?;
        let mut flat = flat.into_iter();
        Ok(windows.iter().map(|w| flat.by_ref().take(w.len()).collect()).collect())
    }
}

fn found(context: &str, span: Option<SpanScore>) -> FoundAnswer {
    let Some(span) = span else { return FoundAnswer { answer: String::new(), start: 0, end: 0, score: 0.0 } };
    let (text, bytes) = trimmed(context, &span.bytes);
    let characters = |byte: usize| context[..byte].chars().count();
    FoundAnswer {
        answer: text.to_owned(),
        start: characters(bytes.start),
        end: characters(bytes.end),
        score: span.probability,
    }
}
