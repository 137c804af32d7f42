//! What can be wrong with text, tables and tokenizers.

use polyseme_formats::Fault;
use std::path::{Path, PathBuf};

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

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Format(e) => return e.hint(),
            Self::NothingGiven => "name one or more files or folders of text".into(),
            Self::NotFound { .. } => "check the spelling, and the folder you are in".into(),
            Self::Unreadable { .. } => "check that the file may be read and that the disk is in order".into(),
            Self::Unwritable { .. } => "check that the folder may be written to and that the disk is not full".into(),
            Self::EmptyFile { .. } => "leave it out, or check how it was made".into(),
            Self::EmptyFolder { .. } => format!("files that can be read end in {}", crate::source::ENDINGS),
            Self::UnknownExtension { known, found, .. } => unknown_extension(known, found),
            Self::IsFolder { .. } => "name one file in it".into(),
            Self::CorruptCompression { kind, .. } => {
                format!("copy or download it again; `{} -t` tells whether it is whole", tool(kind))
            }
            Self::CorruptParquet { .. } => "copy or download it again, or write it again with another tool".into(),
            Self::Utf16 { .. } => "convert it: iconv -f UTF-16 -t UTF-8 OLD > NEW".into(),
            Self::NotUtf8 { .. } => {
                "convert it: iconv -f LATIN1 -t UTF-8 OLD > NEW, with the encoding it was written in".into()
            }
            Self::NulByte { .. } => "remove them: tr -d '\\000' < OLD > NEW".into(),
            Self::LineTooLong { .. } => "JSON lines need one object on a line of its own".into(),
            Self::HeaderOnly { .. } => "add rows below the header".into(),
            Self::RaggedRow { .. } => {
                "a cell with a separator or line break in it needs \"double quotes\" around it".into()
            }
            Self::UnclosedQuote { .. } => {
                "close it, or write it twice and put quotes around the cell if it belongs to the text".into()
            }
            Self::DuplicateColumn { .. } => "give each column a name of its own".into(),
            Self::BadJsonLine { .. } | Self::NotAnObject { .. } => {
                "JSON lines hold one whole object on each line; to convert a JSON list: jq -c '.[]' OLD > NEW".into()
            }
            Self::MissingColumn { nearest: Some(near), .. } => format!("did you mean `{near}`?"),
            Self::MissingColumn { columns, .. } if columns.is_empty() => {
                "give a table (.csv, .tsv, .jsonl or .parquet), or name no column".into()
            }
            Self::MissingColumn { .. } => "name one of those it has".into(),
            Self::NoTextColumn { .. } => "name one of them as the text column (`--text`)".into(),
            Self::MissingKey { .. } => "every line needs that key; its value may be null".into(),
            Self::NoLabelColumn { .. } => "name one of them as the label column (`--label`)".into(),
            Self::TableNotRead { found: "Parquet", .. } => {
                "convert it: pandas.read_parquet(OLD).to_json(NEW, orient=\"records\", lines=True)".into()
            }
            Self::TableNotRead { .. } => "write it anew in that form, or choose the task that reads rows".into(),
            Self::NoExample { .. } => "check that it is the right file, and how it was made".into(),
            Self::OneColumn { .. } => {
                "each line holds a token and its tag, with a tab or space between; an empty line ends a sentence".into()
            }
            Self::ColumnsChange { .. } => {
                "separate columns by tabs, or name the number of the tag's column, counted from 0 (`--label`)".into()
            }
            Self::NoSuchColumn { .. } => "name columns by their numbers, counted from 0 (`--text`, `--label`)".into(),
            Self::SameColumn { .. } => "name two different ones (`--text`, `--label`)".into(),
            Self::NoSequenceKey { what, .. } => {
                format!("name one of them (`--{}`)", if *what == "tokens" { "text" } else { "label" })
            }
            Self::ListsDiffer { .. } => "the two lists go together, item by item".into(),
            Self::EmptyValue { .. } => "fill it in or take it out".into(),
            Self::WrongKind { expected, .. } => format!("make it {expected}"),
            Self::MissingPart { at, keys, line, .. } => missing_part(at, keys, *line),
            Self::BadJson { .. } => "copy or download it again, or check how it was written".into(),
            Self::AnswerOutside { .. } | Self::AnswerMisplaced { .. } => {
                "`answer_start` counts characters of the context from 0, not bytes".into()
            }
            Self::ImpossibleAnswered { .. } => "move them to `plausible_answers`, or make `is_impossible` false".into(),
            Self::NoAnswer { .. } => "add an answer, or make `is_impossible` true".into(),
            Self::SameId { .. } => "give each question an id of its own".into(),
            Self::EmptyCorpus { .. } => "check that the files hold text, in the column that is read".into(),
            Self::VocabularyTooSmall { least, .. } => format!("ask for {least} or more; 8000 is a usual small size"),
            Self::Training { .. } => "try another kind of tokenizer or a smaller vocabulary".into(),
            Self::NoTokenizer { .. } => "copy the tokenizer's files from the place the model came from".into(),
            Self::BadTokenizer { .. } | Self::BadTokenizerConfig { .. } | Self::BadVocabulary { .. } => {
                "copy the tokenizer's files again from the place the model came from".into()
            }
            Self::UnsupportedTokenizer { .. } => {
                "save the model's tokenizer with transformers as tokenizer.json and use that".into()
            }
            Self::NoSpecialToken { role, .. } => format!("name it in special_tokens_map.json as \"{role}_token\""),
            Self::LengthTooShort { least, .. } => format!("allow {least} ids or more"),
            Self::Encode { .. } => "the tokenizer's vocabulary may lack its unknown token".into(),
            Self::Stopped | Self::Decode { .. } => return None,
        })
    }
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

fn place(row_group: Option<usize>) -> String {
    row_group.map_or_else(|| "its footer".into(), |g| format!("row group {g}"))
}

fn tool(kind: &str) -> &'static str {
    if kind == "zstd" { "zstd" } else { "gzip" }
}

fn unknown_extension(known: &str, found: &str) -> String {
    if found.trim_start_matches('.').starts_with("json") && !found.contains("jsonl") {
        return format!("a JSON list can be made into JSON lines: jq -c '.[]' OLD.json > NEW.jsonl; known: {known}");
    }
    format!("files that can be read end in {known}; rename it if it is one of these")
}

fn missing_part(at: &str, keys: &[String], line: Option<u64>) -> String {
    match (crate::names::nearest(at.rsplit('.').next().unwrap_or(at), keys), line) {
        (Some(near), _) => format!("did you mean `{near}`?"),
        (None, Some(_)) => "every line needs that key".into(),
        (None, None) => "SQuAD form is data[].paragraphs[] with `context` and qas[] with `id`, `question` and \
             answers[] of `text` and `answer_start`"
            .into(),
    }
}

/// What a message is about: a file, a line of it or something in it.
fn subject(path: &Path, line: Option<u64>, at: &str) -> String {
    let line = line.map_or(String::new(), |l| format!(" line {l}"));
    let at = if at.is_empty() { String::new() } else { format!(": {at}") };
    format!("{}{line}{at}", path.display())
}

/// "nowhere in it", "at 5", "at 5 and 9" or "at 5, 9, 12 and 4 more".
fn misplaced(found: &Misplaced) -> String {
    let Misplaced { start, answer, there, places } = found;
    format!("{start}, but there the context has {there:?} and not {answer:?}, which stands {}", stands(places))
}

fn stands(places: &[usize]) -> String {
    match places {
        [] => "nowhere in it".into(),
        [only] => format!("at {only}"),
        [first, second] => format!("at {first} and {second}"),
        [first, second, third] => format!("at {first}, {second} and {third}"),
        [first, second, third, rest @ ..] => format!("at {first}, {second}, {third} and {} more", rest.len()),
    }
}

/// `` `a`, `b` and `c` ``, at most twenty of them.
fn names(list: &[String]) -> String {
    const SHOWN: usize = 20;
    if list.is_empty() {
        return "none".into();
    }
    let mut out: Vec<String> = list.iter().take(SHOWN).map(|n| format!("`{n}`")).collect();
    if list.len() > SHOWN {
        out.push(format!("{} more", list.len() - SHOWN));
    }
    match out.len() {
        1 => out.remove(0),
        n => format!("{} and {}", out[..n - 1].join(", "), out[n - 1]),
    }
}
