//! From a corpus to all that the loop needs: tokenizer, token store, held-out documents, model.

use super::settings::InitialEmbeddings;
use super::{PretrainSettings, initial};
use crate::distil::Language;
use crate::error::{Error, Result};
use crate::masking::Vocabulary;
use crate::objective::Objective;
use crate::objective::document_words::DocumentWords;
use crate::objective::mlm::{Lengths, Masker, Mlm, VALID_TOKENS, unigram_counts, unigram_entropy};
use crate::observer::{Event, Observer, Stop};
use crate::sampler::hold_out;
use polyseme_formats::run::RunFolder;
use polyseme_formats::store::TokenStore;
use polyseme_formats::{LoadReport, ModelFolder};
use polyseme_models::{EncoderConfig, Family, HeadKind, Model};
use polyseme_tensor::{Device, Stream};
use polyseme_text::train_tokenizer::{TokenizerTraining, train_tokenizer};
use polyseme_text::{CorpusReader, Tokenizer, store_builder};
use std::path::PathBuf;

/// The checkpoint a run begins from.
pub(super) struct Checkpoint {
    folder: PathBuf,
    tokenizer: Tokenizer,
    model: Model,
    report: LoadReport,
}

impl Checkpoint {
    /// Opens the folder of `settings.from`, if there is one, and compares tokenizer, model and
    /// settings.
    pub(super) fn open(settings: &PretrainSettings, init: Stream, device: &Device) -> Result<Option<Self>> {
        let Some(folder) = &settings.from else { return Ok(None) };
        let tokenizer = Tokenizer::open(folder)?;
        let (model, report) = Model::open(&ModelFolder::open(folder)?, settings.head(), init, device)?;
        model.check_learns(folder)?;
        let model = settings.distil.student_of(model)?;
        let folder = folder.clone();
        let (ids, rows) = (tokenizer.vocab_size(), model.config().vocab_size);
        if ids > rows {
            return Err(Error::VocabularyMismatch { folder, tokenizer: ids, model: rows });
        }
        let (found, longest) = (settings.data.seq_len, model.config().max_length());
        if found > longest {
            return Err(Error::TooLongForModel { key: "data.seq_len", found, folder, longest });
        }
        Ok(Some(Self { folder, tokenizer, model, report }))
    }
}

/// What the loop needs.
pub(super) struct Prepared {
    pub tokenizer: Tokenizer,
    pub store: TokenStore,
    /// Documents not learned from, sorted.
    pub held_out: Vec<usize>,
    pub masker: Masker,
    pub objective: Mlm,
    pub unigram_entropy: f64,
    pub model: Model,
    /// Names tokenizer and text.
    pub fingerprint: String,
}

/// About how many bytes a run will write: four checkpoints of weights and two moments each, the
/// model, and a store of about half the corpus.
pub(super) fn disk_bytes(settings: &PretrainSettings, from: Option<&Checkpoint>, corpus_bytes: u64) -> u64 {
    let parameters = match from {
        Some(from) => from.model.parameters().iter().map(|p| p.shape.iter().product::<usize>()).sum(),
        None => parameters(&settings.model.config, settings.tokenizer.vocab_size),
    };
    (4 * 3 + 1) * 4 * parameters as u64 + corpus_bytes / 2
}

/// About how many parameters an encoder has.
fn parameters(config: &EncoderConfig, vocab_size: usize) -> usize {
    let (h, e) = (config.hidden_size, config.embedding_size);
    let layer = 4 * h * h + 2 * h * config.intermediate_size + 10 * h;
    (vocab_size + config.max_position_embeddings + 4) * e + config.own_layers() * layer + 2 * h * h
}

/// Everything before the loop. [`Error::Stopped`], from here or from the text below, leaves what is
/// whole by then to a resumed run.
#[allow(clippy::too_many_arguments)]
pub(super) fn prepare(
    settings: &PretrainSettings,
    resume: bool,
    corpus: &CorpusReader,
    from: Option<Checkpoint>,
    folder: &RunFolder,
    device: &Device,
    observer: &mut dyn Observer,
    stop: &Stop,
) -> Result<Prepared> {
    let tokenizer = match (&from, &settings.distil.teacher) {
        (Some(from), _) => from.tokenizer.clone(),
        (None, Some(teacher)) => Tokenizer::open(teacher)?,
        (None, None) => tokenizer(settings, resume, corpus, observer, stop)?,
    };
    // At once, so that a resumed run has it; the model folder gets it with its model.
    tokenizer.save(&tokenizer_folder(settings))?;
    let mut how = settings.masking.clone();
    if settings.head() == HeadKind::None {
        // Nobody is asked for hidden tokens: texts are read as they are.
        (how.replace_mask, how.replace_random) = (0.0, 0.0);
    }
    let no_mask = || Error::NoMaskToken { folder: from.as_ref().map_or(&settings.out, |f| &f.folder).clone() };
    let orders = settings.head() == HeadKind::PreTraining;
    let mut masker = Masker::of(&tokenizer, how, orders).ok_or_else(no_mask)?;

    let store = store(corpus, &tokenizer, folder, observer, stop)?;
    let stream = Stream::new(settings.seed);
    let held_out = held_out(settings, &store, stream)?;
    let data = &settings.data;
    let valid_masks = stream.named("valid mask");
    let lengths = Lengths { sequence: data.seq_len, batch: data.tokens_per_batch, all: VALID_TOKENS };
    let objective = Mlm::new(&store, &held_out, &masker, &lengths, valid_masks);
    if objective.targets() == 0 {
        return Err(Error::NothingToMask { tokens: held_out.iter().map(|&i| store.doc_len(i) as u64).sum() });
    }
    let counts = unigram_counts(&store, &held_out, &masker.vocabulary);
    let unigram_entropy = unigram_entropy(&counts);
    let number = settings.document.words;
    masker.words = (number > 0).then(|| DocumentWords::new(number, &counts, &masker.vocabulary));
    let mut model = match from {
        Some(from) => from_checkpoint(from, observer),
        None => {
            let mut model = new_model(settings, &tokenizer, stream.named("init"), device)?;
            from_counts(&mut model, settings, &store, &held_out, &masker.vocabulary, &counts, stop)?;
            model
        }
    };
    model.set_gradient_checkpointing(settings.data.gradient_checkpointing);
    settings.optimizer.choose_precision(&mut model)?;
    settings.optimizer.tell_precision(observer);
    let objective = taught(objective, &mut model, settings, &tokenizer, unigram_entropy, observer)?;
    let header = store.header();
    let fingerprint = format!("{} {} {} {}", header.tokenizer, header.corpus, header.documents, header.tokens);
    Ok(Prepared { tokenizer, store, held_out, masker, objective, unigram_entropy, model, fingerprint })
}

/// The objective with the teacher of the settings, who must know something; makes the model ready to learn from it.
fn taught(
    objective: Mlm,
    model: &mut Model,
    settings: &PretrainSettings,
    tokenizer: &Tokenizer,
    unigram_entropy: f64,
    observer: &mut dyn Observer,
) -> Result<Mlm> {
    let Some(folder) = &settings.distil.teacher else { return Ok(objective) };
    let mut teacher = Language::open(folder, &settings.distil, tokenizer, model.device())?;
    teacher.prepare(model, Stream::new(settings.seed).named("init"))?;
    if teacher.speaks() && settings.head() == HeadKind::MaskedLm {
        let loss = objective.validate(teacher.model())?["loss"];
        if loss >= unigram_entropy {
            let why = format!("its loss on hidden tokens is {loss:.2}, that of word frequencies {unigram_entropy:.2}");
            return Err(Error::IgnorantTeacher { teacher: folder.clone(), why });
        }
        observer.event(Event::Note(&format!("the teacher has a loss of {loss:.4} on held-out documents")));
    }
    teacher.set_bf16(settings.optimizer.rounding_of_teacher());
    Ok(objective.taught(Some(teacher)))
}

/// Where a run keeps its tokenizer until there is a model to go with it.
fn tokenizer_folder(settings: &PretrainSettings) -> PathBuf {
    settings.out.join("run").join("tokenizer")
}

/// The tokenizer that a run made before it was killed, else a new one.
fn tokenizer(
    settings: &PretrainSettings,
    resume: bool,
    corpus: &CorpusReader,
    observer: &mut dyn Observer,
    stop: &Stop,
) -> Result<Tokenizer> {
    let made = tokenizer_folder(settings);
    if resume
        && made.join("tokenizer.json").is_file()
        && let Ok(tokenizer) = Tokenizer::open(&made)
    {
        return Ok(tokenizer);
    }
    let t = &settings.tokenizer;
    let how = TokenizerTraining {
        kind: t.kind,
        vocab_size: t.vocab_size,
        lowercase: t.lowercase,
        min_frequency: t.min_frequency,
        max_length: settings.model.config.max_length(),
        sample_bytes: t.sample_bytes,
    };
    observer.event(Event::Stage("train tokenizer"));
    let total = corpus.bytes();
    let tokenizer = train_tokenizer(corpus, &how, &mut |done| {
        observer.event(Event::Progress { done, total });
        !stop.requested()
    })?;
    if tokenizer.vocab_size() < t.vocab_size {
        observer.event(Event::Note(&format!(
            "the corpus gave a vocabulary of {} pieces, {} were wanted",
            tokenizer.vocab_size(),
            t.vocab_size
        )));
    }
    Ok(tokenizer)
}

/// The token store in the run folder, built or found.
fn store(
    corpus: &CorpusReader,
    tokenizer: &Tokenizer,
    folder: &RunFolder,
    observer: &mut dyn Observer,
    stop: &Stop,
) -> Result<TokenStore> {
    observer.event(Event::Stage("build token store"));
    let path = folder.path().join("tokens.store");
    let total = corpus.bytes();
    let report = store_builder::build_store(corpus, tokenizer, &path, &mut |done| {
        observer.event(Event::Progress { done, total });
        !stop.requested()
    })?;
    for warning in &report.warnings {
        observer.event(Event::Warning(&warning.to_string()));
    }
    let h = &report.header;
    let duplicates =
        if h.duplicates > 0 { format!(", {} exact duplicates dropped", h.duplicates) } else { String::new() };
    let found = if report.reused { " (unchanged since it was built)" } else { "" };
    observer.event(Event::Note(&format!("{} documents, {} tokens{duplicates}{found}", h.documents, h.tokens)));
    Ok(TokenStore::open(&path)?)
}

/// Documents to validate on, once it is sure that there is enough to learn from.
fn held_out(settings: &PretrainSettings, store: &TokenStore, stream: Stream) -> Result<Vec<usize>> {
    let data = &settings.data;
    let held_out = hold_out(store.len(), data.valid_share, data.valid_documents, stream);
    if held_out.is_empty() {
        return Err(Error::NothingToHoldOut { documents: store.len() as u64 });
    }
    let kept: u64 = held_out.iter().map(|&i| store.doc_len(i) as u64).sum();
    let found = store.header().tokens - kept;
    if found + 2 < data.seq_len as u64 {
        return Err(Error::CorpusTooSmall { found, expected: data.seq_len as u64 });
    }
    Ok(held_out)
}

/// The checkpoint's model, and a word about what was made new.
fn from_checkpoint(from: Checkpoint, observer: &mut dyn Observer) -> Model {
    let missing = match from.model.head() {
        HeadKind::MaskedLm => "masked-language-modelling head",
        _ => "whole head for masked language modelling and the order of parts",
    };
    if !from.report.missing.is_empty() && from.model.head().is_over_vocabulary() {
        observer
            .event(Event::Note(&format!("{} has no {missing}: what is not there was made new", from.folder.display())));
    }
    let mut model = from.model;
    model.set_trainable(&|_| true);
    model
}

/// A new model of the recipe's shape, fitted to the tokenizer.
fn new_model(settings: &PretrainSettings, tokenizer: &Tokenizer, init: Stream, device: &Device) -> Result<Model> {
    let mut config = settings.model.config.clone();
    let longest = config.max_length();
    config.vocab_size = tokenizer.vocab_size();
    config.pad_token_id = tokenizer.special().pad;
    if settings.model.family == Family::Roberta {
        // RoBERTa counts positions from the padding id on.
        config.position_offset = config.pad_token_id as usize + 1;
        config.max_position_embeddings = longest + config.position_offset;
    }
    Ok(Model::new(settings.model.family, config, settings.head(), init, device)?)
}

/// What counting words tells a new model: how frequent each is, and which share documents.
fn from_counts(
    model: &mut Model,
    settings: &PretrainSettings,
    store: &TokenStore,
    held_out: &[usize],
    vocabulary: &Vocabulary,
    counts: &[u64],
    stop: &Stop,
) -> Result<()> {
    if model.head().is_over_vocabulary() {
        model.set_output_bias(initial::output_bias(counts));
    }
    if settings.model.embeddings == InitialEmbeddings::Documents {
        let (random, deviation) = (model.word_embeddings(), model.config().initializer_range);
        let stream = Stream::new(settings.seed).named("embeddings");
        let values = initial::word_embeddings(store, held_out, vocabulary, &random, deviation, stream, stop);
        model.set_word_embeddings(values.ok_or(Error::Stopped)?);
    }
    Ok(())
}
