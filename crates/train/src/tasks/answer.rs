//! An answer copied from a passage (Rajpurkar et al. 2016, 2018).

use super::rows::{LooksAt, RowBatch, Rows, hash};
use super::{Part, Task, r_drop};
use crate::analysis::{Analysis, Marked, Mistake, WORST, What, begin, marked, rounded};
use crate::distil::divergence;
use crate::error::Result;
use crate::metrics::Metrics;
use crate::metrics::spans::{SpanMetrics, score_answer};
use polyseme_infer::{best_span, trimmed};
use polyseme_models::HeadKind;
use polyseme_tensor::Tensor;
use polyseme_tensor::ops::cross_entropy;
use polyseme_tensor::packed::{int_tensor, row_tensor};
use polyseme_text::{Question, Tokenizer, Window};
use rayon::prelude::*;
use std::ops::Range;

/// A window of a question's passage, and where the answer begins and ends in it: tokens 0 and 0 where it has
/// none.
#[derive(Clone, Debug, PartialEq)]
pub struct AnswerTarget {
    /// Number of the question.
    question: usize,
    window: Window,
    start: usize,
    end: usize,
}

/// The task, with windows as rows.
pub struct AnswerTask {
    train: Part<AnswerTarget>,
    valid: Part<AnswerTarget>,
    questions: Vec<Question>,
    /// Whether some questions have no answer.
    or_none: bool,
}

impl AnswerTask {
    /// From encoded questions; `questions` are those to measure on. `or_none`: an answer is left out where the
    /// model holds that there is none.
    pub fn new(train: Part<AnswerTarget>, valid: Part<AnswerTarget>, questions: Vec<Question>, or_none: bool) -> Self {
        Self { train, valid, questions, or_none }
    }

    /// Where the answer to each validation question stands, if it was given one, and the mean loss of its windows.
    fn said(&self, kept: &[Vec<f32>]) -> Vec<(Option<Range<usize>>, f64)> {
        let mut windows: Vec<Vec<(&Window, &[f32])>> = vec![Vec::new(); self.questions.len()];
        let mut losses = vec![0.0; self.questions.len()];
        for (target, kept) in self.valid.targets.iter().zip(kept) {
            windows[target.question].push((&target.window, kept));
            losses[target.question] += loss_of(target, kept);
        }
        let of = |(number, question): (usize, &Question)| {
            let (span, none) = best_span(&windows[number]);
            let span = span.filter(|span| !self.or_none || span.score >= none);
            let bytes = span.map(|span| trimmed(&question.context, &span.bytes).1).filter(|bytes| !bytes.is_empty());
            (bytes, losses[number] / windows[number].len().max(1) as f64)
        };
        self.questions.iter().enumerate().map(of).collect()
    }
}

/// The right answers to a question, each once.
fn gold(question: &Question) -> Vec<String> {
    let mut answers: Vec<String> = Vec::new();
    for answer in &question.answers {
        if !answers.contains(&answer.text) {
            answers.push(answer.text.clone());
        }
    }
    answers
}

/// A question with right answers and the given one in place.
fn told(question: &Question, said: Option<&Range<usize>>, loss: f64) -> Mistake {
    let mark = |bytes: Range<usize>| Marked { bytes, label: "answer".into() };
    let truth: Vec<Marked> = question.answers.iter().map(|a| mark(a.start..a.start + a.text.len())).collect();
    let given: Vec<Marked> = said.into_iter().cloned().map(mark).collect();
    let (answers, said) = (gold(question), said.map_or("", |bytes| &question.context[bytes.clone()]));
    let f1 = rounded(score_answer(&answers, said).1);
    let what = What::Answer {
        question: begin(&question.question),
        passage: marked(&question.context, &truth, &given, false),
        answers: answers.iter().map(|answer| begin(answer)).collect(),
        said: begin(said),
        f1,
    };
    Mistake { place: format!("question {}", question.id), loss: rounded(loss), what }
}

/// Questions in windows of at most `max_length` tokens that overlap by `stride`. Of several answers to a
/// question the first one is learned.
///
/// # Errors
/// A length without room for the special tokens.
pub fn encode(
    questions: &[Question],
    tokenizer: &Tokenizer,
    max_length: usize,
    stride: usize,
) -> Result<Part<AnswerTarget>> {
    let of = |q: &Question| tokenizer.windows(Some(&q.question), &q.context, max_length, stride);
    let windows: Vec<Vec<Window>> = questions.par_iter().map(of).collect::<std::result::Result<_, _>>()?;
    let mut part = Part::none();
    part.rows.looks_at = LooksAt::AllTokens;
    for (number, (question, windows)) in questions.iter().zip(windows).enumerate() {
        for window in windows {
            part.rows.push(&window.encoding);
            let (start, end) = place_of(question, &window).unwrap_or((0, 0));
            // What is not asked for again is not kept.
            let mut window = window;
            (window.encoding.ids, window.encoding.type_ids, window.encoding.words) = Default::default();
            part.targets.push(AnswerTarget { question: number, window, start, end });
        }
    }
    Ok(part)
}

/// First and last token of the question's first answer, if the window has all of it.
fn place_of(question: &Question, window: &Window) -> Option<(usize, usize)> {
    let answer = question.answers.first()?;
    let (from, to) = (answer.start, answer.start + answer.text.trim_end().len());
    let offsets = &window.encoding.offsets;
    let start = window.place.clone().rev().find(|&t| offsets[t].start <= from)?;
    let end = window.place.clone().find(|&t| offsets[t].end >= to)?;
    (offsets[start].end > from && start <= end).then_some((start, end))
}

/// Logits of beginnings and of ends, rows of different lengths beside each other: what is behind a row's end is
/// never chosen. `(rows, longest)` each
fn beside_each_other(outputs: Tensor<2>, batch: &RowBatch) -> [Tensor<2>; 2] {
    let lengths: Vec<usize> = batch.sequences.iter().map(|s| s.ids.len()).collect();
    let (rows, longest) = (lengths.len(), lengths.iter().copied().max().unwrap_or(0));
    let (mut places, mut beyond, mut first) = (vec![0; rows * longest], vec![-1e9; rows * longest], 0);
    for (i, &length) in lengths.iter().enumerate() {
        for t in 0..length {
            places[i * longest + t] = first + t;
            beyond[i * longest + t] = 0.0;
        }
        first += length;
    }
    let device = outputs.device().without_autodiff();
    // (rows · longest, 2)
    let padded = outputs.select(0, row_tensor(&places, &device));
    let beyond = Tensor::<1>::from_floats(beyond.as_slice(), &device).reshape([rows, longest]);
    [0, 1].map(|column| padded.clone().narrow(1, column, 1).reshape([rows, longest]) + beyond.clone())
}

impl Task for AnswerTask {
    fn name(&self) -> &'static str {
        "qa"
    }

    fn head(&self) -> HeadKind {
        HeadKind::Answer
    }

    fn train(&self) -> &Rows {
        &self.train.rows
    }

    fn valid(&self) -> &Rows {
        &self.valid.rows
    }

    fn targets_hash(&self) -> u64 {
        let places = self.train.targets.iter().chain(&self.valid.targets).flat_map(|t| [t.start as u64, t.end as u64]);
        let answers = self.questions.iter().flat_map(|q| &q.answers).flat_map(|a| a.text.bytes().map(u64::from));
        hash(places.chain(answers))
    }

    fn loss(&self, outputs: Tensor<2>, batch: &RowBatch) -> Tensor<1> {
        let device = outputs.device().without_autodiff();
        let [start, end] = beside_each_other(outputs, batch);
        let of = |logits: Tensor<2>, wanted: &dyn Fn(&AnswerTarget) -> usize| {
            let labels: Vec<u32> = batch.rows.iter().map(|&row| wanted(&self.train.targets[row]) as u32).collect();
            cross_entropy(logits, int_tensor(&labels, &device))
        };
        (of(start, &|t| t.start) + of(end, &|t| t.end)) * (0.5 * batch.rows.len() as f32)
    }

    fn disagreement(&self, first: Tensor<2>, second: Tensor<2>, batch: &RowBatch) -> Tensor<1> {
        let ([start, end], [start2, end2]) = (beside_each_other(first, batch), beside_each_other(second, batch));
        (r_drop::of_classes(start, start2) + r_drop::of_classes(end, end2)) * 0.5
    }

    fn imitation(&self, said: Tensor<2>, taught: Tensor<2>, temperature: f64, batch: &RowBatch) -> Tensor<1> {
        let ([start, end], [start2, end2]) = (beside_each_other(said, batch), beside_each_other(taught, batch));
        let of = |said, taught| divergence::of_classes(said, taught, temperature);
        (of(start, start2) + of(end, end2)) * 0.5
    }

    fn metrics(&self, kept: &[Vec<f32>]) -> Metrics {
        let loss = self.valid.targets.iter().zip(kept).map(|(t, k)| loss_of(t, k)).sum::<f64>() / kept.len() as f64;
        let text = |(question, (bytes, _)): (&Question, (Option<Range<usize>>, f64))| {
            bytes.map_or_else(String::new, |bytes| question.context[bytes].to_owned())
        };
        let predicted: Vec<String> = self.questions.iter().zip(self.said(kept)).map(text).collect();
        let gold: Vec<Vec<String>> = self.questions.iter().map(gold).collect();
        Metrics::Answer(SpanMetrics::new(&gold, &predicted, loss))
    }

    /// The worst share fewest words with a right answer; of equals, those that surprise it most.
    fn analysis(&self, kept: &[Vec<f32>], _: &Metrics) -> Analysis {
        let said = self.said(kept);
        let of = |(row, question): (usize, &Question)| {
            let answer = said[row].0.clone().map_or("", |bytes| &question.context[bytes]);
            let (right, f1) = score_answer(&gold(question), answer);
            (!right).then_some((row, f1))
        };
        let mut wrong: Vec<(usize, f64)> = self.questions.iter().enumerate().filter_map(of).collect();
        let loss = |row: usize| said[row].1;
        wrong.sort_by(|a, b| a.1.total_cmp(&b.1).then(loss(b.0).total_cmp(&loss(a.0))).then(a.0.cmp(&b.0)));
        let worst = wrong.iter().take(WORST);
        let told = worst.map(|&(row, _)| told(&self.questions[row], said[row].0.as_ref(), loss(row)));
        Analysis::new(said.len(), Some(wrong.len()), told.collect())
    }
}

/// Mean cross-entropy of where a window's answer begins and ends.
fn loss_of(target: &AnswerTarget, logits: &[f32]) -> f64 {
    0.5 * (surprise(logits, 0, target.start) + surprise(logits, 1, target.end))
}

/// `-ln` of the probability of a token among a row's, of logits `(tokens, 2)`.
fn surprise(logits: &[f32], column: usize, token: usize) -> f64 {
    let all = || logits.iter().skip(column).step_by(2).map(|&x| f64::from(x));
    let greatest = all().fold(f64::MIN, f64::max);
    all().map(|x| (x - greatest).exp()).sum::<f64>().ln() + greatest - f64::from(logits[2 * token + column])
}
