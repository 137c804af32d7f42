//! Pieces that a domain never uses are dropped from the tokenizer and the model. What the model says of the domain's
//! texts stays what it was; the vocabulary is half of a small model.

use crate::{Both, Error, Result, write_model};
use polyseme_formats::ModelFolder;
use polyseme_infer::Encoder;
use polyseme_models::{HeadKind, Model};
use polyseme_tensor::{Device, Mode, PackedBatch, Sequence, Stream};
use polyseme_text::piece_counts::{PieceCounts, count};
use polyseme_text::{CorpusReader, Keep, Tokenizer, Trimmed};
use polyseme_train::{Event, Observer, Stop};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// What to drop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VocabSettings {
    /// The model folder.
    pub model: PathBuf,
    /// Texts of the domain.
    pub corpus: Vec<PathBuf>,
    /// Columns of the text in tables; empty: guessed file by file.
    pub text: Vec<String>,
    /// Where the smaller model goes.
    pub out: PathBuf,
    /// Pieces that stand in the texts less often than this are dropped.
    pub min_count: u64,
    /// Whether all pieces of a single character stay.
    pub keep_characters: bool,
    /// Pieces that stay anyhow.
    pub keep_pieces: Vec<String>,
}

/// What dropping came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VocabOutcome {
    /// The model folder.
    pub model: PathBuf,
    /// Pieces.
    pub pieces: Both,
    /// Numbers in the model.
    pub parameters: Both,
    /// Bytes of its weights, as f32.
    pub bytes: Both,
    /// Documents looked at.
    pub documents: u64,
    /// Tokens in them.
    pub tokens: u64,
    /// Of these, tokens whose piece was dropped, so that they are cut into smaller pieces now.
    pub cut_otherwise: u64,
    /// Texts that both models were asked about.
    pub compared: usize,
    /// The lowest cosine between their hidden states of a token; `None` if no text was left to compare.
    pub lowest_cosine: Option<f64>,
}

/// Texts that both models are asked about.
const COMPARED: usize = 32;

/// Drops the pieces that the texts do not use and writes the folder.
///
/// # Errors
/// A folder or a text that cannot be read, a piece that is not there, a model whose outputs would not stay,
/// [`polyseme_text::Error::Stopped`].
pub fn vocab(
    settings: &VocabSettings,
    device: &Device,
    observer: &mut dyn Observer,
    stop: &Stop,
) -> Result<VocabOutcome> {
    let whole = Encoder::open_on(&settings.model, HeadKind::AsFound, device)?;
    let source = ModelFolder::open(&settings.model)?;
    whole.model.check_whole()?;
    whole.model.check_learns(&settings.model)?;
    whole.model.config().check_vocabulary(whole.tokenizer.vocab_size())?;
    let pieces: BTreeSet<u32> =
        settings.keep_pieces.iter().map(|p| piece(settings, &whole, p)).collect::<Result<_>>()?;
    let (counts, first) = counted(settings, &whole.tokenizer, observer, stop)?;
    let keep = Keep {
        wanted: &|id| counts.counts[id as usize] >= settings.min_count.max(1) || pieces.contains(&id),
        characters: settings.keep_characters,
        first: whole.model.fixed_ids(),
    };
    let trimmed = whole.tokenizer.trim(&settings.model, &keep)?;
    let model = whole.model.with_vocabulary(&trimmed.kept)?;
    let cosines = compared(&whole, &model, &trimmed, &first)?;

    observer.event(Event::Stage("write"));
    write_model(&model, &trimmed.tokenizer, &source, &settings.out)?;
    let found = Model::open(&ModelFolder::open(&settings.out)?, HeadKind::AsFound, Stream::new(0), device)?;
    let numbers = |model: &Model| model.parameters().iter().map(|p| p.elements()).sum::<usize>();
    let parameters = Both { before: numbers(&whole.model), after: numbers(&found.0) };
    let tokens = counts.counts.iter().sum();
    let kept: u64 = trimmed.kept.iter().map(|&id| counts.counts[id as usize]).sum();
    Ok(VocabOutcome {
        model: settings.out.clone(),
        pieces: Both { before: whole.model.config().vocab_size, after: trimmed.kept.len() },
        parameters,
        bytes: Both { before: 4 * parameters.before, after: 4 * parameters.after },
        documents: counts.documents,
        tokens,
        cut_otherwise: tokens - kept,
        compared: cosines.len(),
        lowest_cosine: cosines.into_iter().reduce(f64::min),
    })
}

/// The id of a piece that is to stay.
fn piece(settings: &VocabSettings, whole: &Encoder, piece: &str) -> Result<u32> {
    let missing = || Error::NoPiece { model: settings.model.clone(), piece: piece.to_owned() };
    whole.tokenizer.id(piece).ok_or_else(missing)
}

/// Counts pieces in all columns; some of the first texts of each.
fn counted(
    settings: &VocabSettings,
    tokenizer: &Tokenizer,
    observer: &mut dyn Observer,
    stop: &Stop,
) -> Result<(PieceCounts, Vec<String>)> {
    let columns: Vec<Option<&str>> = match settings.text.is_empty() {
        true => vec![None],
        false => settings.text.iter().map(|column| Some(column.as_str())).collect(),
    };
    let each = COMPARED.div_ceil(columns.len());
    let mut all: Option<PieceCounts> = None;
    observer.event(Event::Stage("count pieces"));
    for column in columns {
        let corpus = CorpusReader::open(&settings.corpus, column)?;
        let total = corpus.bytes();
        let found = count(&corpus, tokenizer, each, &mut |done| {
            observer.event(Event::Progress { done, total });
            !stop.requested()
        })?;
        found.warnings.iter().for_each(|warning| observer.event(Event::Warning(&warning.to_string())));
        match &mut all {
            None => all = Some(found),
            Some(all) => {
                all.counts.iter_mut().zip(&found.counts).for_each(|(sum, more)| *sum += more);
                all.documents += found.documents;
                all.first.extend(found.first);
            }
        }
    }
    let mut all = all.expect("at least one column");
    let first = std::mem::take(&mut all.first);
    Ok((all, first))
}

/// For each text whose pieces all stay the lowest cosine between what both models say of a token.
fn compared(whole: &Encoder, smaller: &Model, trimmed: &Trimmed, texts: &[String]) -> Result<Vec<f64>> {
    let mut cosines = Vec::new();
    for text in texts {
        let ids = whole.tokenizer.encode_document(text)?;
        if ids.iter().any(|id| trimmed.kept.binary_search(id).is_err()) {
            continue;
        }
        let before = whole.tokenizer.encode(text, None, whole.limit())?;
        let after = trimmed.tokenizer.encode(text, None, whole.limit())?;
        let as_before: Vec<u32> = after.ids.iter().map(|&id| trimmed.kept[id as usize]).collect();
        if as_before != before.ids {
            return Err(Error::CutOtherwise { begins: text.chars().take(60).collect() });
        }
        let batch = |ids, type_ids| PackedBatch::new(&[Sequence { ids, type_ids }]);
        let before = values(&whole.model, &batch(before.ids, before.type_ids));
        let after = values(smaller, &batch(after.ids, after.type_ids));
        let width = smaller.config().hidden_size;
        cosines.extend(before.chunks(width).zip(after.chunks(width)).map(|(a, b)| cosine(a, b)).reduce(f64::min));
    }
    Ok(cosines)
}

/// Last hidden states, token by token.
fn values(model: &Model, batch: &PackedBatch) -> Vec<f32> {
    model.hidden(batch, Mode::Eval).into_data().iter::<f32>().collect()
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt().max(f64::MIN_POSITIVE)
}
