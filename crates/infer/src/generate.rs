//! A short text generated from another, by an encoder that sees the source whole and the target from left to
//! right (UniLM, Dong et al. 2019).
//!
//! Behind the source and what is generated already stands a mask: what the vocabulary's head says of it is the
//! next token. The reference masks targets at random while it learns; here each token of a target has a mask of
//! its own beside it (UniLMv2's pseudo-masks, Bao et al. 2020), so that a mask sees while it learns what it will
//! see here.

use crate::batches::{TOKEN_BUDGET, WINDOW, plan};
use crate::encoder::values;
use crate::fill::head_name;
use crate::{Encoder, Error, Result};
use polyseme_models::{Grown, HeadKind, Model};
use polyseme_tensor::{PackedBatch, Sequence, View, device};
use polyseme_text::{SourceTarget, Tokenizer};

/// How texts are generated.
#[derive(Clone, Debug, PartialEq)]
pub struct GenerateOptions {
    /// Beginnings that are kept at each step; 1: the best token each time.
    pub beams: usize,
    /// Tokens of the longest text, its end included.
    pub max_new_tokens: usize,
    /// Whole texts are compared by their log-probability over their length to this power.
    pub length_penalty: f64,
    /// Longest source and text together; `None`: what the folder says.
    pub max_length: Option<usize>,
}

impl Default for GenerateOptions {
    fn default() -> Self {
        Self { beams: 1, max_new_tokens: 48, length_penalty: 1.0, max_length: None }
    }
}

/// What was generated.
#[derive(Clone, Debug, PartialEq)]
pub struct Generated {
    /// Its tokens, without the end.
    pub ids: Vec<u32>,
    /// Its log-probability over its length to the power of the penalty.
    pub score: f64,
}

/// A beginning of a target.
#[derive(Clone)]
struct Beam {
    ids: Vec<u32>,
    log_probability: f64,
    /// Which beginning of the step before it goes on from.
    parent: usize,
}

impl Beam {
    /// Its score if it ended with so many tokens.
    fn score(&self, tokens: usize, penalty: f64) -> f64 {
        self.log_probability / (tokens.max(1) as f64).powf(penalty)
    }
}

/// A source with its beginnings and its ends.
struct Search<'a> {
    source: &'a SourceTarget,
    open: Vec<Beam>,
    /// Whole targets with their scores.
    whole: Vec<Generated>,
}

impl Search<'_> {
    /// The beginnings that go on and the texts that end, from the most probable next tokens of each open beam.
    fn advance(&mut self, next: &[Vec<(u32, f64)>], end: u32, options: &GenerateOptions) {
        let mut all: Vec<Beam> = Vec::new();
        for (parent, (beam, next)) in self.open.iter().zip(next).enumerate() {
            for &(id, log_probability) in next {
                let ids = beam.ids.iter().copied().chain([id]).collect();
                all.push(Beam { ids, log_probability: beam.log_probability + log_probability, parent });
            }
        }
        // Stable: of equal ones the first.
        all.sort_by(|a, b| b.log_probability.total_cmp(&a.log_probability));
        self.open.clear();
        for (rank, mut beam) in all.into_iter().enumerate() {
            if beam.ids.last() == Some(&end) {
                // An end that is not among the best goes no further, as a beginning would not.
                if rank < options.beams {
                    let score = beam.score(beam.ids.len(), options.length_penalty);
                    beam.ids.pop();
                    self.whole.push(Generated { ids: beam.ids, score });
                }
            } else if self.open.len() < options.beams {
                self.open.push(beam);
            }
        }
        if self.whole.len() >= options.beams {
            self.open.clear();
        }
    }

    /// The best whole target; without one, the best beginning.
    fn best(self, penalty: f64) -> Generated {
        let open = self.open.into_iter().map(|beam| {
            let score = beam.score(beam.ids.len(), penalty);
            Generated { ids: beam.ids, score }
        });
        let mut all: Vec<Generated> = if self.whole.is_empty() { open.collect() } else { self.whole };
        all.sort_by(|a, b| b.score.total_cmp(&a.score));
        all.into_iter().next().unwrap_or(Generated { ids: Vec::new(), score: 0.0 })
    }
}

/// Generates a target from each source, whose own targets are not looked at, in order.
///
/// # Errors
/// A tokenizer that knows no masks.
pub fn generate(
    model: &Model,
    tokenizer: &Tokenizer,
    sources: &[SourceTarget],
    options: &GenerateOptions,
) -> Result<Vec<Generated>> {
    let mask = tokenizer.special().mask.ok_or(Error::NoMaskToken)?;
    let lengths: Vec<usize> = sources.iter().map(|s| options.beams * (s.source + options.max_new_tokens)).collect();
    let mut found: Vec<Option<Generated>> = vec![None; sources.len()];
    for members in plan(&lengths, TOKEN_BUDGET) {
        let begin = |&i: &usize| Search {
            source: &sources[i],
            open: vec![Beam { ids: Vec::new(), log_probability: 0.0, parent: 0 }],
            whole: Vec::new(),
        };
        let mut searches: Vec<Search<'_>> = members.iter().map(begin).collect();
        let mut before = None;
        for _ in 0..options.max_new_tokens {
            if searches.iter().all(|search| search.open.is_empty()) {
                break;
            }
            let next = next_tokens(model, tokenizer, mask, &searches, &mut before, options.beams);
            let mut rest = next.as_slice();
            for search in &mut searches {
                let (own, others) = rest.split_at(search.open.len());
                search.advance(own, tokenizer.special().sep, options);
                rest = others;
            }
        }
        for (search, &member) in searches.into_iter().zip(&members) {
            found[member] = Some(search.best(options.length_penalty));
        }
    }
    Ok(found.into_iter().flatten().collect())
}

/// What a step leaves for the next one.
struct Step {
    grown: Grown,
    batch: PackedBatch,
    /// The number of each search's first beginning.
    firsts: Vec<usize>,
}

/// The most probable next tokens of all open beams, in order, with their log-probabilities. Only the token that was
/// chosen last and the mask behind it go through the layers: all before sees what it saw.
fn next_tokens(
    model: &Model,
    tokenizer: &Tokenizer,
    mask: u32,
    searches: &[Search<'_>],
    before: &mut Option<Step>,
    beams: usize,
) -> Vec<Vec<(u32, f64)>> {
    let open = || searches.iter().flat_map(|search| search.open.iter().map(|beam| (search.source, &beam.ids)));
    let sequence = |(source, ids): (&SourceTarget, &Vec<u32>)| {
        let mut sequence = Sequence {
            ids: source.ids[..source.source].iter().chain(ids).copied().chain([mask]).collect(),
            type_ids: source.type_ids[..source.source].to_vec(),
        };
        sequence.type_ids.resize(sequence.ids.len(), source.target_type);
        sequence
    };
    let sequences: Vec<Sequence> = open().map(sequence).collect();
    let views: Vec<View> = open().map(|(source, ids)| View::of_target(source.source, ids.len(), [ids.len()])).collect();
    let batch = PackedBatch::with_views(&sequences, &views);
    let mut from = vec![None; batch.tokens()];
    let mut grown = Grown::default();
    if let Some(step) = before.take() {
        let parents = searches.iter().zip(&step.firsts);
        let parents = parents.flat_map(|(search, first)| search.open.iter().map(move |beam| first + beam.parent));
        for (i, parent) in parents.enumerate() {
            // The last two are new: the token in the old mask's place, and the mask.
            for t in 0..sequences[i].ids.len() - 2 {
                from[batch.row(i, t)] = Some(step.batch.row(parent, t));
            }
        }
        grown = step.grown;
    }
    let mut rows: Vec<usize> = sequences.iter().enumerate().map(|(i, s)| batch.row(i, s.ids.len() - 1)).collect();
    let in_order = rows.clone();
    rows.sort_unstable();
    let logits = model.masked_lm_logits_grown(&batch, &from, &mut grown, &rows); // (beams, vocabulary)
    let [_, vocabulary] = logits.dims();
    let mut open = 0;
    let firsts = searches.iter().map(|search| {
        open += search.open.len();
        open - search.open.len()
    });
    *before = Some(Step { grown, firsts: firsts.collect(), batch });
    let known = tokenizer.vocab_size().min(vocabulary);
    let logits = values(logits);
    let of = |row: &usize| {
        let place = rows.binary_search(row).expect("asked for");
        most_probable(&logits[place * vocabulary..][..known], tokenizer, 2 * beams)
    };
    in_order.iter().map(of).collect()
}

/// The first `count` tokens by probability among those that a text may have, and the end.
fn most_probable(logits: &[f32], tokenizer: &Tokenizer, count: usize) -> Vec<(u32, f64)> {
    let end = tokenizer.special().sep;
    let greatest = logits.iter().copied().fold(f32::MIN, f32::max);
    let sum: f64 = logits.iter().map(|&x| f64::from((x - greatest).exp())).sum();
    let mut best: Vec<(u32, f32)> = Vec::with_capacity(count + 1);
    for (id, &logit) in logits.iter().enumerate() {
        let id = id as u32;
        if best.len() == count && logit <= best[count - 1].1 || tokenizer.is_special(id) && id != end {
            continue;
        }
        let place = best.partition_point(|&(_, other)| other >= logit);
        best.insert(place, (id, logit));
        best.truncate(count);
    }
    best.into_iter().map(|(id, logit)| (id, f64::from(logit - greatest) - sum.ln())).collect()
}

impl Encoder {
    /// Generates a text from each source, and says how many sources were cut.
    ///
    /// # Errors
    /// A model that was not trained to generate, a length the model cannot take.
    pub fn generate(&self, sources: &[String], options: &GenerateOptions) -> Result<(Vec<(String, f64)>, usize)> {
        let head = self.model.head();
        if head != HeadKind::Generate {
            return Err(Error::WrongHead {
                what: "generated texts",
                head: "a head that generates",
                found: head_name(&head),
                task: "generate",
            });
        }
        let longest = self.max_length(options.max_length)?;
        let (mut texts, mut truncated) = (Vec::with_capacity(sources.len()), 0);
        for window in sources.chunks(WINDOW) {
            let encode = |source: &String| self.tokenizer.encode_target(source, "", longest, options.max_new_tokens);
            let encoded: Vec<SourceTarget> = window.iter().map(encode).collect::<std::result::Result<_, _>>()?;
            encoded.iter().try_for_each(|e| self.check_ids(&e.ids, &e.type_ids))?;
            truncated += encoded.iter().filter(|e| e.truncated > 0).count();
            let found = device::on_pool(|| generate(&self.model, &self.tokenizer, &encoded, options))?;
            for generated in found {
                texts.push((self.tokenizer.decode(&generated.ids, true)?, generated.score));
            }
        }
        Ok((texts, truncated))
    }
}
