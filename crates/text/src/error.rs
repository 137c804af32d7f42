//! What can be wrong with text, tables and tokenizers.

mod words;

use polyseme_formats::Fault;
use std::path::PathBuf;
use words::{misplaced, names, place, subject};

/// An answer and what stands where it should.
#[derive(Debug)]
pub struct Misplaced {
    /// Where it should stand, in characters.
    pub start: i64,
    /// Its beginning.
    pub answer: String,
    /// As many characters of the context at that place.
    pub there: String,
    /// Where it does stand, in characters.
    pub places: Vec<usize>,
}

/// What went wrong, where, and what was expected.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of ours or of a model folder.
    #[error(transparent)]
    Format(#[from] polyseme_formats::Error),

    // Files.
    /// No file or folder was named at all.
    #[error("no file or folder of text was given")]
    NothingGiven,
    /// There is nothing at this path.
    #[error("there is no file or folder {}", path.display())]
    NotFound {
        /// The path.
        path: PathBuf,
    },
    /// The system refused to open or read it.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// The system's own words.
        source: std::io::Error,
    },
    /// The system refused to write it.
    #[error("cannot write {}: {source}", path.display())]
    Unwritable {
        /// The file or folder.
        path: PathBuf,
        /// The system's own words.
        source: std::io::Error,
    },
    /// A file without a byte, or with nothing but white space.
    #[error("{} is empty: it holds no text", path.display())]
    EmptyFile {
        /// The file.
        path: PathBuf,
    },
    /// A folder in which no file has a known ending.
    #[error("the folder {} holds no file that can be read as text ({files} other files)", path.display())]
    EmptyFolder {
        /// The folder.
        path: PathBuf,
        /// Files seen whose ending is not known.
        files: usize,
    },
    /// A file whose ending says nothing about how to read it.
    #[error("cannot tell how to read {}: its ending is `{found}`", path.display())]
    UnknownExtension {
        /// The file.
        path: PathBuf,
        /// Its ending, compression included; empty when it has none.
        found: String,
        /// The endings that would do.
        known: &'static str,
    },
    /// A folder where a file was expected.
    #[error("{} is a folder; a file was expected", path.display())]
    IsFolder {
        /// The folder.
        path: PathBuf,
    },
    /// Compressed data that cannot be unpacked.
    #[error(
        "{} is not whole {kind} data: it breaks off or is damaged after {position} bytes of text: {source}",
        path.display()
    )]
    CorruptCompression {
        /// The file.
        path: PathBuf,
        /// `gzip` or `zstd`.
        kind: &'static str,
        /// Bytes that could be unpacked before.
        position: u64,
        /// The decoder's words.
        source: std::io::Error,
    },
    /// Parquet data that cannot be read.
    #[error("{} is not readable Parquet ({}): {what}", path.display(), place(*row_group))]
    CorruptParquet {
        /// The file.
        path: PathBuf,
        /// The row group, when the footer could be read.
        row_group: Option<usize>,
        /// The decoder's words.
        what: String,
    },
    /// A file in UTF-16, by its first two bytes.
    #[error("{} is UTF-16 text; UTF-8 was expected", path.display())]
    Utf16 {
        /// The file.
        path: PathBuf,
    },
    /// Bytes that are not UTF-8 in a labelled table.
    #[error("{} line {line}: bytes that are not UTF-8", path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// Its line, counted from 1.
        line: u64,
    },
    /// A NUL byte in a labelled table.
    #[error("{} line {line}: a NUL byte; text was expected", path.display())]
    NulByte {
        /// The file.
        path: PathBuf,
        /// Its line, counted from 1.
        line: u64,
    },
    /// A line too long to be held in memory.
    #[error("{} line {line} is longer than {limit} bytes", path.display())]
    LineTooLong {
        /// The file.
        path: PathBuf,
        /// Its line, counted from 1.
        line: u64,
        /// The longest line allowed.
        limit: usize,
    },

    // Tables.
    /// A table with a header and no row.
    #[error("{} has a header but no row", path.display())]
    HeaderOnly {
        /// The file.
        path: PathBuf,
    },
    /// A row with more or fewer cells than the header.
    #[error("{} line {line}: {found} cells, but the header has {expected}", path.display())]
    RaggedRow {
        /// The file.
        path: PathBuf,
        /// The line the row begins at, counted from 1.
        line: u64,
        /// Cells in this row.
        found: u64,
        /// Cells in the header.
        expected: u64,
    },
    /// A quote that is open where the file ends, so that all rows behind it are one cell.
    #[error("{} line {line}: the quote that opens here is never closed", path.display())]
    UnclosedQuote {
        /// The file.
        path: PathBuf,
        /// The line of the quote, counted from 1.
        line: u64,
    },
    /// Two columns of one name.
    #[error("{} has two columns named `{name}`", path.display())]
    DuplicateColumn {
        /// The file.
        path: PathBuf,
        /// The name.
        name: String,
    },
    /// A line that is not JSON.
    #[error("{} line {line}: not valid JSON: {source}", path.display())]
    BadJsonLine {
        /// The file.
        path: PathBuf,
        /// Its line, counted from 1.
        line: u64,
        /// The parser's words.
        source: serde_json::Error,
    },
    /// A line that is JSON but not an object.
    #[error("{} line {line}: {found}; an object such as {{\"text\": \"…\"}} was expected", path.display())]
    NotAnObject {
        /// The file.
        path: PathBuf,
        /// Its line, counted from 1.
        line: u64,
        /// What it is: "a list", "a number", …
        found: &'static str,
    },
    /// A column that the user named is not there.
    #[error("{} has no column `{wanted}`; it has {}", path.display(), names(columns))]
    MissingColumn {
        /// The file.
        path: PathBuf,
        /// The column asked for.
        wanted: String,
        /// The columns there are.
        columns: Vec<String>,
        /// The one with the most similar name.
        nearest: Option<String>,
    },
    /// A JSON line without the key of the text.
    #[error("{} line {line}: no key `{wanted}`; it has {}", path.display(), names(keys))]
    MissingKey {
        /// The file.
        path: PathBuf,
        /// Its line, counted from 1.
        line: u64,
        /// The key asked for.
        wanted: String,
        /// The keys there are.
        keys: Vec<String>,
    },
    /// No column looks like text and the user named none.
    #[error("cannot tell which column of {} holds the text; it has {}", path.display(), names(columns))]
    NoTextColumn {
        /// The file.
        path: PathBuf,
        /// The columns there are.
        columns: Vec<String>,
    },
    /// No column looks like a label and the user named none.
    #[error("cannot tell which column of {} holds the label; it has {}", path.display(), names(columns))]
    NoLabelColumn {
        /// The file.
        path: PathBuf,
        /// The columns there are.
        columns: Vec<String>,
    },

    // Labelled sentences and questions. `line` is missing where the file is one JSON object; `at` is
    // then a path such as `data[3].paragraphs[0].qas[1].question`.
    /// A table where text files and JSON lines are read.
    #[error("{} is {found}, from which no {what} are read; {expected} was expected", path.display())]
    TableNotRead {
        /// The file.
        path: PathBuf,
        /// "a table" or "Parquet".
        found: &'static str,
        /// What was to be read: "tagged sentences", …
        what: &'static str,
        /// What would do.
        expected: &'static str,
    },
    /// A file in which no sentence or no question was found.
    #[error("{} holds no {what}", path.display())]
    NoExample {
        /// The file.
        path: PathBuf,
        /// "sentence" or "question".
        what: &'static str,
    },
    /// A line with a token and no tag.
    #[error("{} line {line}: `{found}` stands alone; a token and its tag were expected", path.display())]
    OneColumn {
        /// The file.
        path: PathBuf,
        /// Its line, counted from 1.
        line: u64,
        /// What is on the line.
        found: String,
    },
    /// More or fewer columns than before, so that the last one need not be the tag.
    #[error("{} line {line}: {found} columns, but line {first} has {expected}", path.display())]
    ColumnsChange {
        /// The file.
        path: PathBuf,
        /// Its line, counted from 1.
        line: u64,
        /// Columns of this line.
        found: usize,
        /// The first line with a token.
        first: u64,
        /// Columns of that line.
        expected: usize,
    },
    /// A column number that a line does not have, or that is no number.
    #[error("{} line {line}: no column `{wanted}`; there are 0 to {last}", path.display())]
    NoSuchColumn {
        /// The file.
        path: PathBuf,
        /// Its line, counted from 1.
        line: u64,
        /// The column asked for.
        wanted: String,
        /// The number of the last column.
        last: usize,
    },
    /// Tokens and tags were to come from one place.
    #[error("{}: tokens and tags cannot both come from `{name}`", path.display())]
    SameColumn {
        /// The file.
        path: PathBuf,
        /// The column or key.
        name: String,
    },
    /// No key looks like the one of the tokens or tags and the user named none.
    #[error("cannot tell which key of {} holds the {what}; it has {}", path.display(), names(keys))]
    NoSequenceKey {
        /// The file.
        path: PathBuf,
        /// "tokens" or "tags".
        what: &'static str,
        /// The keys there are.
        keys: Vec<String>,
    },
    /// Two lists that go together, of different lengths.
    #[error(
        "{}: `{first}` holds {first_len} and `{second}` {second_len}; lists of one length were expected",
        subject(path, *line, "")
    )]
    ListsDiffer {
        /// The file.
        path: PathBuf,
        /// Its line, counted from 1.
        line: Option<u64>,
        /// The key or path of one list.
        first: String,
        /// Its length.
        first_len: usize,
        /// The key or path of the other.
        second: String,
        /// Its length.
        second_len: usize,
    },
    /// An empty token, tag or answer.
    #[error("{} is empty; {expected} was expected", subject(path, *line, at))]
    EmptyValue {
        /// The file.
        path: PathBuf,
        /// Its line, counted from 1.
        line: Option<u64>,
        /// The column, key or path.
        at: String,
        /// "a token", …
        expected: &'static str,
    },
    /// A JSON value of another kind.
    #[error("{} is {found}; {expected} was expected", subject(path, *line, at))]
    WrongKind {
        /// The file.
        path: PathBuf,
        /// Its line, counted from 1.
        line: Option<u64>,
        /// The key or path; empty for the whole file.
        at: String,
        /// What it is: "a list", …
        found: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// A JSON object without a key that is needed.
    #[error("{} is missing; the object has {}", subject(path, *line, at), names(keys))]
    MissingPart {
        /// The file.
        path: PathBuf,
        /// Its line, counted from 1.
        line: Option<u64>,
        /// The key or path.
        at: String,
        /// The keys there are.
        keys: Vec<String>,
    },
    /// A file that is not JSON, or (by the parser's words) not of the form expected.
    #[error("{} cannot be read as JSON: {source}", path.display())]
    BadJson {
        /// The file.
        path: PathBuf,
        /// The parser's words, with line and column.
        source: serde_json::Error,
    },
    /// An answer that would begin outside of its context.
    #[error("{} is {start}, but the context has {length} characters", subject(path, *line, at))]
    AnswerOutside {
        /// The file.
        path: PathBuf,
        /// Its line, counted from 1.
        line: Option<u64>,
        /// The key or path of the number.
        at: String,
        /// The number.
        start: i64,
        /// Characters in the context.
        length: usize,
    },
    /// An answer that is not where it is said to be.
    #[error("{} is {}", subject(path, *line, at), misplaced(found))]
    AnswerMisplaced {
        /// The file.
        path: PathBuf,
        /// Its line, counted from 1.
        line: Option<u64>,
        /// The key or path of the number.
        at: String,
        /// What was found there.
        found: Box<Misplaced>,
    },
    /// Answers to a question that is marked as impossible.
    #[error("{} is not empty although `is_impossible` is true", subject(path, *line, at))]
    ImpossibleAnswered {
        /// The file.
        path: PathBuf,
        /// Its line, counted from 1.
        line: Option<u64>,
        /// The key or path of the answers.
        at: String,
    },
    /// No answer to a question that is marked as possible.
    #[error("{} is empty although `is_impossible` is false", subject(path, *line, at))]
    NoAnswer {
        /// The file.
        path: PathBuf,
        /// Its line, counted from 1.
        line: Option<u64>,
        /// The key or path of the answers.
        at: String,
    },
    /// Two questions of one id.
    #[error("{} is `{id}`, the same as in {first}", subject(path, *line, at))]
    SameId {
        /// The file.
        path: PathBuf,
        /// Its line, counted from 1.
        line: Option<u64>,
        /// The key or path of the id.
        at: String,
        /// The id.
        id: String,
        /// The line or path of the first question.
        first: String,
    },

    // Corpora and training.
    /// Files were read, and no document came out of them.
    #[error("no document in {files} files: the corpus is empty")]
    EmptyCorpus {
        /// How many files were read.
        files: usize,
    },
    /// A vocabulary that cannot even hold the special tokens and the alphabet.
    #[error("a vocabulary of {wanted} is too small: {least} are needed for {what}")]
    VocabularyTooSmall {
        /// The size asked for.
        wanted: usize,
        /// The least that works.
        least: usize,
        /// What needs them.
        what: &'static str,
    },
    /// Whoever was told of the progress asked for a stop.
    #[error("stopped before it was done")]
    Stopped,
    /// The tokenizer's trainer gave up.
    #[error("the tokenizer could not be trained: {what}")]
    Training {
        /// Its words.
        what: String,
    },

    // Tokenizers.
    /// A folder without any file of a tokenizer.
    #[error("{} holds no tokenizer: neither tokenizer.json nor vocab.txt nor vocab.json with merges.txt", folder.display())]
    NoTokenizer {
        /// The folder.
        folder: PathBuf,
    },
    /// A tokenizer file that is not JSON, or not of the form expected.
    #[error("{} cannot be read as a tokenizer: {what}", path.display())]
    BadTokenizer {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A settings file beside a tokenizer that is not a JSON object.
    #[error("{} is not a JSON object: {what}", path.display())]
    BadTokenizerConfig {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A tokenizer of a kind that is not known here.
    #[error("{}: {key} is `{found}`, which is not supported", path.display())]
    UnsupportedTokenizer {
        /// The file.
        path: PathBuf,
        /// The key.
        key: &'static str,
        /// Its value.
        found: String,
    },
    /// A vocabulary file with a bad line.
    #[error("{} line {line}: {what}", path.display())]
    BadVocabulary {
        /// The file.
        path: PathBuf,
        /// Its line, counted from 1.
        line: usize,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A special token that every encoder needs was not found.
    #[error("the tokenizer in {} has no {role} token; looked for {looked}", folder.display())]
    NoSpecialToken {
        /// The folder.
        folder: PathBuf,
        /// `pad`, `cls` or `sep`.
        role: &'static str,
        /// Where it was looked for and what was found there.
        looked: String,
    },
    /// A length that has no room for the special tokens.
    #[error("a length of {max_len} ids is too short: {least} are needed for the special tokens and some text")]
    LengthTooShort {
        /// The length asked for.
        max_len: usize,
        /// The least that works.
        least: usize,
    },
    /// The tokenizer failed on a text.
    #[error("the tokenizer failed on a text that begins with {begins:?}: {what}")]
    Encode {
        /// The first characters of the text.
        begins: String,
        /// The tokenizer's words.
        what: String,
    },
    /// Ids that could not be turned into text.
    #[error("the tokenizer could not turn {count} ids into text: {what}")]
    Decode {
        /// How many ids.
        count: usize,
        /// The tokenizer's words.
        what: String,
    },
}

impl Error {
    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        use std::io::ErrorKind::{NotADirectory, NotFound, PermissionDenied};
        match self {
            Self::Format(e) => e.fault(),
            Self::Unreadable { source, .. } => match source.kind() {
                NotFound | PermissionDenied | NotADirectory => Fault::Input,
                _ => Fault::System,
            },
            Self::Unwritable { .. } | Self::Training { .. } | Self::Decode { .. } => Fault::System,
            _ => Fault::Input,
        }
    }
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;
