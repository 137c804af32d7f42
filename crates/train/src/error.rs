//! What can go wrong while learning.

use polyseme_formats::Fault;
use polyseme_infer::head_name;
use polyseme_models::HeadKind;
use std::path::PathBuf;

/// What went wrong, where, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file.
    #[error(transparent)]
    Format(#[from] polyseme_formats::Error),
    /// Text, a table, a tokenizer.
    #[error(transparent)]
    Text(#[from] polyseme_text::Error),
    /// The model.
    #[error(transparent)]
    Model(#[from] polyseme_models::Error),
    /// Using it.
    #[error(transparent)]
    Infer(#[from] polyseme_infer::Error),
    /// It was asked to stop before the loop began.
    #[error("stopped before the training began")]
    Stopped,
    /// A setting has a value that cannot be.
    #[error("setting `{key}` is {found}, expected {expected}")]
    Setting {
        /// Dotted key.
        key: String,
        /// Its value.
        found: String,
        /// What it may be.
        expected: String,
    },
    /// No such objective.
    #[error("no objective `{found}`; there is: {known}")]
    UnknownObjective {
        /// What was asked for.
        found: String,
        /// What there is.
        known: String,
    },
    /// No such task.
    #[error("no task `{found}`; there is: {known}")]
    UnknownTask {
        /// What was asked for.
        found: String,
        /// What there is.
        known: String,
    },
    /// No such metric to choose the best epoch by.
    #[error("no metric `{found}`; there is: {known}")]
    UnknownMetric {
        /// What was asked for.
        found: String,
        /// What there is.
        known: String,
    },
    /// A resumed run was given other settings than it began with.
    #[error("the run in {} began with {key} = {saved}, now {key} = {found}", run.display())]
    SettingsChanged {
        /// The run folder.
        run: PathBuf,
        /// Dotted key.
        key: String,
        /// Value the run began with.
        saved: String,
        /// Value it was given now.
        found: String,
    },
    /// A resumed run finds other data than it began with.
    #[error("{what} changed since the run in {} began", run.display())]
    DataChanged {
        /// The run folder.
        run: PathBuf,
        /// "the corpus or its tokenizer", "the training rows".
        what: &'static str,
    },
    /// There are too few documents to keep one for validation.
    #[error("the corpus has {documents} document(s), expected at least 2: one to learn from and one to validate on")]
    NothingToHoldOut {
        /// Distinct documents found.
        documents: u64,
    },
    /// There is too little text.
    #[error(
        "the corpus has {found} tokens to learn from, expected at least {expected}: \
         one sequence of {expected} tokens (data.seq_len)"
    )]
    CorpusTooSmall {
        /// Tokens found, held-out documents not counted.
        found: u64,
        /// Tokens needed.
        expected: u64,
    },
    /// The held-out documents hold no token that could be masked.
    #[error("none of the {tokens} held-out tokens can be masked: all are special or unknown tokens")]
    NothingToMask {
        /// Tokens of held-out documents.
        tokens: u64,
    },
    /// Texts to measure a language model on of which nothing was hidden.
    #[error("no token was hidden among {tokens}: they are too few, or all special or unknown")]
    NothingHidden {
        /// Tokens of all texts.
        tokens: u64,
    },
    /// The tokenizer cannot be used for masked language modelling.
    #[error("the tokenizer in {} has no mask token", folder.display())]
    NoMaskToken {
        /// The model folder.
        folder: PathBuf,
    },
    /// The tokenizer gives ids that the model has no embedding for.
    #[error(
        "the tokenizer in {} has {tokenizer} ids, but the model beside it has embeddings for {model}",
        folder.display()
    )]
    VocabularyMismatch {
        /// The model folder.
        folder: PathBuf,
        /// Ids of the tokenizer.
        tokenizer: usize,
        /// `vocab_size` of the model.
        model: usize,
    },
    /// Sequences are asked for that the checkpoint cannot take.
    #[error("`{key}` is {found}, but the model in {} takes at most {longest} tokens", folder.display())]
    TooLongForModel {
        /// The setting.
        key: &'static str,
        /// Its value.
        found: usize,
        /// The model folder.
        folder: PathBuf,
        /// What it takes.
        longest: usize,
    },
    /// The loss or a gradient was not finite several times in a row.
    #[error("step {step}: {what} was not finite in {in_a_row} steps in a row; training cannot go on")]
    Diverged {
        /// Last step.
        step: u64,
        /// "the loss" or "the gradient".
        what: &'static str,
        /// How many.
        in_a_row: u64,
    },
    /// A table without rows.
    #[error("{} has no rows", file.display())]
    NoRows {
        /// The file.
        file: PathBuf,
    },
    /// All rows have one label.
    #[error("column `{column}` of {} has one label only (`{label}`), expected at least two", file.display())]
    OneClass {
        /// The file.
        file: PathBuf,
        /// The column.
        column: String,
        /// The label.
        label: String,
    },
    /// A label that the model does not know.
    #[error("{}, row {row}: label `{label}` is unknown; known labels: {known}", file.display())]
    UnseenLabel {
        /// The file.
        file: PathBuf,
        /// Row, counted from 1 without the header.
        row: usize,
        /// The label.
        label: String,
        /// Known ones, shortened.
        known: String,
    },
    /// A row without a value.
    #[error("{}, row {row}: column `{column}` is empty ({count} such row(s) in all)", file.display())]
    MissingValue {
        /// The file.
        file: PathBuf,
        /// First such row, counted from 1 without the header.
        row: usize,
        /// The column.
        column: String,
        /// How many there are.
        count: usize,
    },
    /// One column was named for two purposes.
    #[error("column `{column}` of {} was named {}", file.display(), twice(first, second))]
    SameColumn {
        /// The file.
        file: PathBuf,
        /// The column.
        column: String,
        /// "text".
        first: &'static str,
        /// "label".
        second: &'static str,
    },
    /// Labels as different as numbers that were measured are.
    #[error("column `{column}` of {} holds {rows} different labels in {rows} rows, all of them numbers", file.display())]
    #[allow(missing_docs)]
    LabelEachRow { file: PathBuf, column: String, rows: usize },
    /// A single row, sentence or article, so that none can be kept for validation.
    #[error("{} has {found} {what}: nothing can be kept for validation", file.display())]
    TooFewToSplit {
        /// The file.
        file: PathBuf,
        /// How many.
        found: usize,
        /// "row(s)".
        what: &'static str,
    },
    /// Not a row, sentence or article for each fold.
    #[error("{} has {found} {what}, fewer than {folds} folds", file.display())]
    #[allow(missing_docs)]
    TooFewForFolds { file: PathBuf, found: usize, what: &'static str, folds: u64 },
    /// No class has two rows, so that none can be kept for validation.
    #[error("{} has {rows} rows and no label twice: nothing can be kept for validation", file.display())]
    NothingToValidate {
        /// The file.
        file: PathBuf,
        /// Rows.
        rows: usize,
    },
    /// More layers to freeze than there are.
    #[error("cannot freeze {found} layers: the model in {} has {depth}", folder.display())]
    TooManyFrozen {
        /// Asked for.
        found: usize,
        /// What the model has.
        depth: usize,
        /// The model folder.
        folder: PathBuf,
    },
    /// A label that should be a number.
    #[error("{}, row {row}: column `{column}` holds `{found}`, expected {expected}", file.display())]
    #[allow(missing_docs)]
    NotANumber { file: PathBuf, row: usize, column: String, found: String, expected: &'static str },
    /// A tag that the model does not know.
    #[error("{}, sentence of line {line}: tag `{tag}` is unknown; known tags: {known}", file.display())]
    #[allow(missing_docs)]
    UnseenTag { file: PathBuf, line: u64, tag: String, known: String },
    /// No row has a label, or no question an answer.
    #[error("no {each} of {} has {what}", file.display())]
    #[allow(missing_docs)]
    NoLabels { file: PathBuf, each: &'static str, what: &'static str },
    /// Words that are nothing to the tokenizer.
    #[error("the tokenizer leaves nothing of the words in {}", file.display())]
    #[allow(missing_docs)]
    NoWords { file: PathBuf },
    /// Something was named that a task does not look at.
    #[error("`{key}` was given, but the task {task} does not use it")]
    #[allow(missing_docs)]
    NotOfTask { key: &'static str, task: String },
    /// A teacher that reads other pieces.
    #[error("the teacher in {} has another tokenizer than the student", teacher.display())]
    #[allow(missing_docs)]
    OtherTokenizer { teacher: PathBuf },
    /// A teacher of something else.
    #[error("the teacher in {} has {}; wanted: {}", teacher.display(), described(found), described(wanted))]
    #[allow(missing_docs)]
    OtherTeacher { teacher: PathBuf, wanted: Box<HeadKind>, found: Box<HeadKind> },
    /// A teacher that is no better than chance.
    #[error("the teacher in {} knows nothing: {why}", teacher.display())]
    #[allow(missing_docs)]
    IgnorantTeacher { teacher: PathBuf, why: String },
    /// A label that names no choice.
    #[error("{}, row {row}: label `{label}` names none of the {choices} choices", file.display())]
    #[allow(missing_docs)]
    NoSuchChoice { file: PathBuf, row: usize, label: String, choices: usize },
    /// A pattern of what is frozen or tuned that no parameter matches.
    #[error("no parameter of {} matches `{pattern}`", folder.display())]
    #[allow(missing_docs)]
    NoSuchParameter { pattern: String, folder: PathBuf, like: Vec<String> },
    /// Everything is frozen.
    #[error("nothing of {} would be tuned: all of its parameters are frozen", folder.display())]
    #[allow(missing_docs)]
    NothingToTune { folder: PathBuf },
    /// What was written says something else than what was trained.
    #[error("the model written to {} does not say what the trained one says", folder.display())]
    #[allow(missing_docs)]
    NotReadBack { folder: PathBuf },
    /// A checkpoint lacks a tensor or holds one of another shape.
    #[error("checkpoint {}: tensor `{tensor}` {found}, expected {expected}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// "is missing", "has 12 values".
        found: String,
        /// What the model has.
        expected: String,
    },
}

/// A head in a sentence, with its labels.
fn described(head: &HeadKind) -> String {
    const SHOWN: usize = 8;
    let Some(labels) = head.labels() else { return head_name(head).to_owned() };
    let more = if labels.len() > SHOWN { format!(" and {} more", labels.len() - SHOWN) } else { String::new() };
    let shown: Vec<&str> = labels.iter().take(SHOWN).map(String::as_str).collect();
    format!("{} for {}{more}", head_name(head), shown.join(", "))
}

impl Error {
    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Format(e) => e.fault(),
            Self::Text(e) => e.fault(),
            Self::Model(e) => e.fault(),
            Self::Infer(e) => e.fault(),
            Self::Checkpoint { .. } | Self::NotReadBack { .. } => Fault::System,
            _ => Fault::Input,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Format(e) => return e.hint(),
            Self::Text(e) => return e.hint(),
            Self::Model(e) => return e.hint(),
            Self::Infer(e) => return e.hint(),
            Self::Stopped => return None,
            Self::Setting { .. } => "change the setting in the recipe or on the command line",
            Self::UnknownObjective { .. } | Self::UnknownTask { .. } | Self::UnknownMetric { .. } => {
                "choose one of those named"
            }
            Self::SettingsChanged { .. } => {
                "resume with the settings in settings.toml of the run, or begin a new run in another folder"
            }
            Self::DataChanged { .. } => "put the files back as they were, or begin a new run in another folder",
            Self::NothingToHoldOut { .. } => "documents are parted by blank lines or stand one a row; give more text",
            Self::CorpusTooSmall { .. } => "give more text, or make data.seq_len smaller",
            Self::NothingToMask { .. } => "use a tokenizer made for this text, or leave out --from to train one",
            Self::NothingHidden { .. } => "give it more text, in the language that the tokenizer was made for",
            Self::NoMaskToken { .. } => "begin from a checkpoint of an encoder (BERT, RoBERTa, …), or leave out --from",
            Self::VocabularyMismatch { .. } => {
                "the folder mixes files of two models; put the right tokenizer beside the weights"
            }
            Self::TooLongForModel { .. } => "make it at most what the model takes",
            Self::Diverged { .. } => {
                "lower the learning rate (half of it is a good try), lengthen the warm-up, \
                 and go on from the last checkpoint in a new run with --from"
            }
            Self::NoRows { .. } => "check that the right file was given",
            Self::OneClass { .. } => "check that the right label column was named",
            Self::NoLabels { .. } => "check that the right file and the right column were named",
            Self::LabelEachRow { .. } => {
                "learn numbers with --task regress, or name the column of the labels with --label"
            }
            Self::TooFewToSplit { .. } => "give a validation file (`--valid`)",
            Self::TooFewForFolds { .. } => "ask for fewer folds, or give more rows",
            Self::NoWords { .. } => "check that the file holds text that this model's tokenizer knows",
            Self::NotOfTask { key, .. } => return Some(format!("leave --{} out", key.replace('_', "-"))),
            Self::OtherTokenizer { .. } => {
                "a student reads what its teacher reads: begin with a part of the teacher itself"
            }
            Self::OtherTeacher { .. } => "take a teacher that was fine-tuned for this task, on these labels",
            Self::IgnorantTeacher { .. } => {
                "look whether its labels are in the order of id2label, and whether these rows are what it has learned"
            }
            Self::UnseenTag { .. } | Self::UnseenLabel { .. } => {
                "correct the label, or add rows with it to the training data"
            }
            Self::MissingValue { .. } => "fill the value in or remove the row",
            Self::SameColumn { .. } => "name different columns",
            Self::NothingToValidate { .. } => "give a validation file (`--valid`), or more rows for each label",
            Self::TooManyFrozen { .. } => "freeze fewer layers, or `encoder` for everything but the head",
            Self::NoSuchParameter { like, .. } => {
                return Some(format!(
                    "names are those in the model's file, as `{}`; `*` stands for anything, as in `*.bias`",
                    like.join("`, `")
                ));
            }
            Self::NotANumber { .. } => {
                "name the column of the numbers with --label, or learn labels with --task classify"
            }
            Self::NoSuchChoice { .. } => "choices are counted from 0, or named by letter (A, B, …) or by column",
            Self::NothingToTune { .. } => "freeze less",
            Self::NotReadBack { .. } => "the disk may have failed; go on with --resume, which writes it again",
            Self::Checkpoint { .. } => "remove this checkpoint; an older one will be used",
        };
        Some(hint.to_owned())
    }
}

/// How a column was named for two purposes, or twice for one.
fn twice(first: &str, second: &str) -> String {
    if first == second { format!("twice as {first}") } else { format!("both as {first} and as {second}") }
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;
