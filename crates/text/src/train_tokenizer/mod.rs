//! Trains a tokenizer from a corpus, in bounded memory.
//!
//! What bounds the memory: at most `sample_bytes` of text are looked at, an even sample over the
//! whole corpus where it holds more, and of the different words in it at most a few million are
//! counted at a time, the rarest being dropped beyond. Both are reported ([`TrainingReport`]).
//!
//! The same corpus gives the same bytes of `tokenizer.json` on any number of threads. The trainers of
//! the `tokenizers` crate do not: they number pieces and break ties in the order of hash maps that are
//! seeded anew in each process. So the merges of WordPiece and byte-level BPE are learned here
//! (`merges.rs`), and the unigram trainer is run on one thread with its hash orders undone
//! (`unigram.rs`).

mod merges;
mod sample;
mod unigram;
mod words;

use crate::corpus::{CorpusWarning, go_on};
use crate::tokenizer::definition as def;
use crate::{CorpusReader, Error, Result, Tokenizer};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// The three algorithms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenizerKind {
    /// BERT's: words, then pieces with `##`.
    WordPiece,
    /// GPT-2's and RoBERTa's: bytes, then merges.
    ByteBpe,
    /// SentencePiece's unigram language model.
    Unigram,
}

/// How to train a tokenizer.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct TokenizerTraining {
    /// Algorithm.
    pub kind: TokenizerKind,
    /// Number of ids wanted, special tokens included.
    pub vocab_size: usize,
    /// Lower-case and strip accents first, as `bert-base-uncased`.
    pub lowercase: bool,
    /// Pieces rarer than this are not learned (unigram chooses by likelihood alone).
    pub min_frequency: u64,
    /// Longest input the model will take; written as `model_max_length`.
    pub max_length: usize,
    /// At most this many bytes of text are looked at; beyond, an even sample over the whole corpus.
    /// More than [`MOST_SAMPLE_BYTES`] counts as that.
    pub sample_bytes: u64,
}

/// The largest sample: counts inside the trainers are 32 bits wide.
pub const MOST_SAMPLE_BYTES: u64 = 2_000_000_000;

/// What a training looked at and came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrainingReport {
    /// Bytes of text in the whole corpus.
    pub corpus_bytes: u64,
    /// Bytes of text that were looked at: less than the whole when there was more than the sample.
    pub sampled_bytes: u64,
    /// Different words counted.
    pub words: usize,
    /// Occurrences of rare words that were dropped because there were too many different words.
    pub dropped_occurrences: u64,
    /// Number of ids wanted.
    pub wanted_vocab_size: usize,
    /// Number of ids that came out; smaller where the corpus has no more pieces.
    pub vocab_size: usize,
    /// What was odd in the corpus.
    pub warnings: Vec<CorpusWarning>,
}

/// Trains from the documents of `corpus`. `progress(bytes_read)` is called as it goes, and ends it
/// with `false`; a corpus larger than the sample is read twice, the first time to learn how much text
/// it holds. Errors: an empty corpus, a vocabulary too small for the special tokens and the alphabet,
/// [`Error::Stopped`].
pub fn train_tokenizer(
    corpus: &CorpusReader,
    how: &TokenizerTraining,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<Tokenizer> {
    train_tokenizer_with_report(corpus, how, progress).map(|(tokenizer, _)| tokenizer)
}

/// As [`train_tokenizer`], with what was looked at and what came of it.
pub fn train_tokenizer_with_report(
    corpus: &CorpusReader,
    how: &TokenizerTraining,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<(Tokenizer, TrainingReport)> {
    let kind = Kind::of(how);
    let least = kind.specials.len() + if how.kind == TokenizerKind::ByteBpe { 256 } else { 1 };
    if how.vocab_size < least {
        let what = if how.kind == TokenizerKind::ByteBpe {
            "the special tokens and the 256 bytes"
        } else {
            "the special tokens and a letter"
        };
        return Err(Error::VocabularyTooSmall { wanted: how.vocab_size, least, what });
    }
    let limit = how.sample_bytes.min(MOST_SAMPLE_BYTES);
    let splitter = words::Splitter::new(&kind.normalizer, &kind.pre_tokenizer, how.kind)?;
    let mut counter = words::Counter::new(splitter, words::Limits::of(how.kind));
    let seen = sample::for_each(corpus, limit, &mut |text| counter.add(text), progress)?;
    let counted = counter.finish()?;
    // All is read; what is left is asked now and then whether to go on.
    let going = &mut || progress(corpus.bytes());
    go_on(going())?;
    if counted.words.is_empty() {
        return Err(Error::EmptyCorpus { files: corpus.files.len() });
    }

    let (model, vocab_size) = match how.kind {
        TokenizerKind::WordPiece => wordpiece(how, &kind.specials, &counted, going)?,
        TokenizerKind::ByteBpe => byte_bpe(how, &kind.specials, &counted, going)?,
        TokenizerKind::Unigram => unigram::train(how, &kind.specials, &counted, going)?,
    };
    let report = TrainingReport {
        corpus_bytes: seen.corpus_bytes,
        sampled_bytes: seen.sampled_bytes,
        words: counted.words.len(),
        dropped_occurrences: counted.dropped,
        wanted_vocab_size: how.vocab_size,
        vocab_size,
        warnings: seen.warnings,
    };
    Ok((assemble(how, kind, model)?, report))
}

/// What is fixed for a kind before any training.
struct Kind {
    specials: [&'static str; 5],
    normalizer: Value,
    pre_tokenizer: Value,
}

impl Kind {
    fn of(how: &TokenizerTraining) -> Self {
        let roberta = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"];
        match how.kind {
            TokenizerKind::WordPiece => Self {
                specials: ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"],
                normalizer: def::bert_normalizer(how.lowercase, None, true),
                pre_tokenizer: json!({"type": "BertPreTokenizer"}),
            },
            TokenizerKind::ByteBpe => Self {
                specials: roberta,
                normalizer: def::byte_level_normalizer(how.lowercase),
                pre_tokenizer: def::byte_level(false),
            },
            TokenizerKind::Unigram => Self {
                specials: roberta,
                normalizer: def::unigram_normalizer(how.lowercase),
                pre_tokenizer: def::metaspace(),
            },
        }
    }
}

fn wordpiece(
    how: &TokenizerTraining,
    specials: &[&str],
    counted: &words::Counted,
    going: &mut dyn FnMut() -> bool,
) -> Result<(Value, usize)> {
    let size = how.vocab_size - specials.len();
    let learned = merges::learn(&counted.words, size, how.min_frequency, merges::Alphabet::Pieces, going)?;
    let tokens = specials.iter().map(|s| (*s).to_owned()).chain(learned.tokens);
    let vocab = numbered(tokens);
    let size = vocab.len();
    Ok((def::wordpiece_model(Value::Object(vocab), "[UNK]"), size))
}

fn byte_bpe(
    how: &TokenizerTraining,
    specials: &[&str],
    counted: &words::Counted,
    going: &mut dyn FnMut() -> bool,
) -> Result<(Value, usize)> {
    let size = how.vocab_size - specials.len();
    let learned = merges::learn(&counted.words, size, how.min_frequency, merges::Alphabet::Bytes, going)?;
    let pairs: Vec<Value> =
        learned.merges.iter().map(|(a, b)| json!([learned.tokens[*a], learned.tokens[*b]])).collect();
    let tokens = specials.iter().map(|s| (*s).to_owned()).chain(learned.tokens);
    let vocab = numbered(tokens);
    let size = vocab.len();
    Ok((def::bpe_model(Value::Object(vocab), Value::Array(pairs)), size))
}

fn numbered(tokens: impl Iterator<Item = String>) -> Map<String, Value> {
    tokens.enumerate().map(|(id, token)| (token, json!(id))).collect()
}

/// The files of a model folder, and the tokenizer opened from them.
fn assemble(how: &TokenizerTraining, kind: Kind, model: Value) -> Result<Tokenizer> {
    let specials = kind.specials;
    let id = |name: &str| specials.iter().position(|s| *s == name).unwrap_or_default() as u32;
    // RoBERTa's mask takes the space before it, so that a masked word looks as the word would.
    let byte_level = how.kind == TokenizerKind::ByteBpe;
    let added = specials.iter().map(|s| def::added_token(id(s), s, byte_level && *s == "<mask>", true)).collect();
    let (post, decoder) = match how.kind {
        TokenizerKind::WordPiece => (
            def::bert_template(("[CLS]", id("[CLS]")), ("[SEP]", id("[SEP]"))),
            json!({"type": "WordPiece", "prefix": "##", "cleanup": true}),
        ),
        TokenizerKind::ByteBpe => (
            def::roberta_processing(("<s>", id("<s>")), ("</s>", id("</s>")), false),
            json!({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true}),
        ),
        TokenizerKind::Unigram => (def::roberta_template(("<s>", id("<s>")), ("</s>", id("</s>"))), def::metaspace()),
    };
    let definition = def::tokenizer(added, kind.normalizer, kind.pre_tokenizer, post, decoder, model);
    let json = |v: &Value| serde_json::to_vec_pretty(v).map_err(|e| Error::Training { what: e.to_string() });
    let mut files = BTreeMap::new();
    files.insert("tokenizer.json".to_owned(), json(&definition)?);
    files.insert("tokenizer_config.json".to_owned(), json(&settings(how))?);
    Tokenizer::from_files(Path::new("the trained tokenizer"), files)
}

fn settings(how: &TokenizerTraining) -> Value {
    let mut out = match how.kind {
        TokenizerKind::WordPiece => json!({
            "tokenizer_class": "BertTokenizer", "do_lower_case": how.lowercase, "strip_accents": null,
            "tokenize_chinese_chars": true, "unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]",
            "cls_token": "[CLS]", "mask_token": "[MASK]",
        }),
        // transformers rebuilds its RobertaTokenizer without a normalizer; the plain class keeps it.
        TokenizerKind::ByteBpe if !how.lowercase => json!({
            "tokenizer_class": "RobertaTokenizer", "add_prefix_space": false, "trim_offsets": true,
        }),
        _ => json!({"tokenizer_class": "PreTrainedTokenizerFast"}),
    };
    if how.kind != TokenizerKind::WordPiece {
        let tokens = [
            ("bos_token", "<s>"),
            ("eos_token", "</s>"),
            ("unk_token", "<unk>"),
            ("sep_token", "</s>"),
            ("pad_token", "<pad>"),
            ("cls_token", "<s>"),
        ];
        for (key, token) in tokens {
            out[key] = json!(token);
        }
        let lstrip = how.kind == TokenizerKind::ByteBpe;
        out["mask_token"] = json!({
            "__type": "AddedToken", "content": "<mask>", "lstrip": lstrip, "normalized": false,
            "rstrip": false, "single_word": false, "special": true,
        });
    }
    out["model_max_length"] = json!(how.max_length);
    out
}
