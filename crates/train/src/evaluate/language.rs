//! Scores of a language model on texts: what it says of hidden tokens.

use crate::error::{Error, Result};
use crate::objective::mlm::{Lengths, Masker, Mlm, Said, unigram_entropy};
use crate::observer::{Event, Observer, Stop};
use crate::pretrain::MaskingSettings;
use polyseme_infer::Encoder;
use polyseme_models::HeadKind;
use polyseme_tensor::{Stream, device};
use polyseme_text::CorpusReader;
use serde::Serialize;

/// Tokens of documents that are in memory at once; a document is never parted.
const AT_ONCE: usize = 16_384;

/// Tokens a forward pass at most, unless a single sequence is longer.
const BATCH: usize = 8_192;

/// What a language model says of hidden tokens.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LanguageMetrics {
    /// Documents with at least one token.
    pub documents: u64,
    /// Tokens in them, without special ones around.
    pub tokens: u64,
    /// Tokens that were hidden.
    pub hidden: u64,
    /// Mean cross-entropy over hidden tokens, in nats.
    pub loss: f64,
    /// Its exponential: among how many equally likely tokens the model is as undecided.
    pub perplexity: f64,
    /// Share of hidden tokens that it says rightly.
    pub accuracy: f64,
    /// Entropy of single tokens in these texts, in nats: the loss of whoever knows how frequent each token is here, and
    /// nothing of context.
    pub unigram_entropy: f64,
}

/// Hides tokens of texts as BERT does (15 %; of these 80 % are shown as the mask, 10 % as another piece) and asks a model
/// for them. Documents are cut into pieces of at most `max_length` tokens (special ones included; `None`: the folder's
/// limit), each seen by itself. All tokens are read; the same seed hides the same ones. `None`: it was asked to stop.
///
/// # Errors
/// Another head than that of masked language modelling, a tokenizer without a mask or with ids that the model does not
/// know, a length it cannot take, no text, or so little that nothing was hidden.
pub fn evaluate_language(
    encoder: &Encoder,
    corpus: &CorpusReader,
    max_length: Option<usize>,
    seed: u64,
    observer: &mut dyn Observer,
    stop: &Stop,
) -> Result<Option<LanguageMetrics>> {
    let mut reading = Reading::new(encoder, encoder.max_length(max_length)?, seed)?;
    let total = corpus.bytes();
    observer.event(Event::Stage("evaluate"));
    let read = corpus.for_each(&mut |document| reading.add(&document.text), &mut |done| {
        observer.event(Event::Progress { done, total });
        !stop.requested()
    });
    let warnings = match read {
        Err(polyseme_text::Error::Stopped) => return Ok(None),
        read => read?,
    };
    warnings.iter().for_each(|warning| observer.event(Event::Warning(&warning.to_string())));
    reading.measure();
    if stop.requested() {
        return Ok(None);
    }
    reading.metrics().map(Some)
}

/// Documents that are read and measured, some at a time.
struct Reading<'a> {
    encoder: &'a Encoder,
    masker: Masker,
    lengths: Lengths,
    masks: Stream,
    /// Read, but not yet measured.
    documents: Vec<Vec<u32>>,
    waiting: usize,
    /// Groups of documents that were measured.
    groups: u64,
    /// How often each token stands in the texts.
    counts: Vec<u64>,
    read: u64,
    tokens: u64,
    said: Said,
}

impl<'a> Reading<'a> {
    fn new(encoder: &'a Encoder, sequence: usize, seed: u64) -> Result<Self> {
        let (tokenizer, head) = (&encoder.tokenizer, encoder.model.head());
        if head != HeadKind::MaskedLm {
            let found = polyseme_infer::head_name(&head);
            return Err(polyseme_infer::Error::NoMaskedLmHead { found }.into());
        }
        let masker =
            Masker::of(tokenizer, MaskingSettings::default(), false).ok_or(polyseme_infer::Error::NoMaskToken)?;
        let last = tokenizer.vocab_size().saturating_sub(1) as u32;
        encoder.check_ids(&[last], &[0])?;
        Ok(Self {
            encoder,
            counts: vec![0; masker.vocabulary.len()],
            masker,
            lengths: Lengths { sequence, batch: BATCH, all: usize::MAX },
            masks: Stream::new(seed).named("eval mask"),
            documents: Vec::new(),
            waiting: 0,
            groups: 0,
            read: 0,
            tokens: 0,
            said: Said::default(),
        })
    }

    fn add(&mut self, text: &str) -> polyseme_text::Result<()> {
        let ids = self.encoder.tokenizer.encode_document(text)?;
        ids.iter().filter(|&&id| !self.masker.vocabulary.is_special(id)).for_each(|&id| self.counts[id as usize] += 1);
        if !ids.is_empty() {
            self.read += 1;
            self.tokens += ids.len() as u64;
            self.waiting += ids.len();
            self.documents.push(ids);
        }
        if self.waiting >= AT_ONCE {
            self.measure();
        }
        Ok(())
    }

    /// Measures the documents that wait.
    fn measure(&mut self) {
        let documents = std::mem::take(&mut self.documents);
        self.waiting = 0;
        let all: Vec<usize> = (0..documents.len()).collect();
        let asked = Mlm::new(&documents, &all, &self.masker, &self.lengths, self.masks.at(self.groups));
        self.groups += 1;
        if asked.targets() > 0 {
            let model = &self.encoder.model;
            self.said.and(&device::on_pool(|| asked.asked(model)));
        }
    }

    fn metrics(self) -> Result<LanguageMetrics> {
        let means = self.said.means();
        let mean = |name: &str| means.get(name).copied();
        let (Some(loss), Some(accuracy)) = (mean("loss"), mean("accuracy")) else {
            return Err(Error::NothingHidden { tokens: self.tokens });
        };
        Ok(LanguageMetrics {
            documents: self.read,
            tokens: self.tokens,
            hidden: self.said.targets as u64,
            loss,
            perplexity: loss.exp(),
            accuracy,
            unigram_entropy: unigram_entropy(&self.counts),
        })
    }
}
