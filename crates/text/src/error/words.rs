//! The words of the messages: what to do about each, and how places, names and answers are told.

use super::{Error, Misplaced};
use std::path::Path;

impl Error {
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

pub(super) fn place(row_group: Option<usize>) -> String {
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
pub(super) fn subject(path: &Path, line: Option<u64>, at: &str) -> String {
    let line = line.map_or(String::new(), |l| format!(" line {l}"));
    let at = if at.is_empty() { String::new() } else { format!(": {at}") };
    format!("{}{line}{at}", path.display())
}

/// "nowhere in it", "at 5", "at 5 and 9" or "at 5, 9, 12 and 4 more".
pub(super) fn misplaced(found: &Misplaced) -> String {
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
pub(super) fn names(list: &[String]) -> String {
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
