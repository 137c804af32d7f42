//! Sentences of tokens with a tag each, for named entities, parts of speech and their like.

use crate::names::{guess_tags, guess_tokens, nearest};
use crate::rows::{Object, flatten, kind, lookup, parse_object};
use crate::source::{ending, open_file, read_all, table_not_read, unknown_ending};
use crate::{Error, Result};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Endings of files of tagged sentences.
const ENDINGS: &str = ".conll, .iob, .iob2, .bio, .bioes, .tags, .txt, .tsv and .jsonl \
     (each also with .gz or .zst behind it)";

/// A sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaggedSentence {
    /// Its tokens, none of them empty.
    pub tokens: Vec<String>,
    /// A tag for each token, as it stands in the file.
    pub tags: Vec<String>,
    /// The line it begins at, counted from 1.
    pub line: u64,
}

/// All sentences of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tagged {
    /// Where they came from.
    pub path: PathBuf,
    /// Sentences in file order, none of them empty.
    pub sentences: Vec<TaggedSentence>,
}

/// How tags tell where a name begins and ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `B-x` begins, `I-x` goes on, `O` is outside.
    Bio,
    /// As [`Scheme::Bio`], and `E-x` ends, `S-x` stands alone.
    Bioes,
    /// Tags have no such prefixes: each token's tag stands for itself.
    Plain,
}

/// What is odd in the tags but can be trained on. The line is that of the sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TagOddities {
    /// Names that begin with `I-x` (or `E-x`) where no name went before: how many, the first line.
    pub begins_inside: Option<(u64, u64)>,
    /// Names that begin with `I-x` (or `E-x`) right within one of another type: how many, the first line.
    pub changes_inside: Option<(u64, u64)>,
    /// The scheme all tags agree with.
    pub scheme: Scheme,
}

impl Tagged {
    /// Reads a file by its extension.
    ///
    /// JSON lines hold two lists of one length in an object; `text` and `label` name their keys
    /// (dotted paths work), else `tokens` or `words` and `tags`, `ner_tags` or `labels` are taken.
    /// Tags may be whole numbers; empty sentences are left out.
    ///
    /// All else is CoNLL: a token a line, an empty line between sentences. `text` and `label` are
    /// numbers of columns counted from 0, else the first and the last are taken. Columns are
    /// separated by tabs if the line has one, else by spaces. `-DOCSTART-` lines and, between
    /// sentences, comments that begin with `# ` are left out.
    pub fn read(path: &Path, text: Option<&str>, label: Option<&str>) -> Result<Self> {
        open_file(path)?;
        let (ending, packing) = ending(path).ok_or_else(|| unknown_ending(path, ENDINGS))?;
        let sentences = match ending.as_str() {
            "conll" | "iob" | "iob2" | "bio" | "bioes" | "tags" | "txt" | "tsv" => {
                read_columns(path, &read_all(path, packing)?, text, label)?
            }
            "jsonl" | "ndjson" => read_objects(path, &read_all(path, packing)?, text, label)?,
            "csv" | "parquet" => {
                let expected = "CoNLL (.conll, a token and its tag a line) or JSON lines (.jsonl)";
                return Err(table_not_read(path, "tagged sentences", expected));
            }
            _ => return Err(unknown_ending(path, ENDINGS)),
        };
        if sentences.is_empty() {
            return Err(Error::NoExample { path: path.to_owned(), what: "sentence" });
        }
        Ok(Self { path: path.to_owned(), sentences })
    }

    /// The scheme of the tags, and where they break its rules.
    pub fn oddities(&self) -> TagOddities {
        let scheme = self.scheme();
        let mut odd = TagOddities { begins_inside: None, changes_inside: None, scheme };
        if scheme == Scheme::Plain {
            return odd;
        }
        for sentence in &self.sentences {
            // The type of the name that the next token may go on with.
            let mut open: Option<&str> = None;
            for tag in &sentence.tags {
                let Some((prefix, name)) = prefixed(tag) else {
                    open = None;
                    continue;
                };
                if matches!(prefix, 'I' | 'E') && open != Some(name) {
                    let which = if open.is_none() { &mut odd.begins_inside } else { &mut odd.changes_inside };
                    which.get_or_insert((0, sentence.line)).0 += 1;
                }
                open = matches!(prefix, 'B' | 'I').then_some(name);
            }
        }
        odd
    }

    fn scheme(&self) -> Scheme {
        let mut scheme = Scheme::Plain;
        for tag in self.sentences.iter().flat_map(|s| &s.tags).filter(|t| *t != "O") {
            match prefixed(tag) {
                Some(('E' | 'S', _)) => scheme = Scheme::Bioes,
                Some(_) if scheme == Scheme::Plain => scheme = Scheme::Bio,
                Some(_) => {}
                None => return Scheme::Plain,
            }
        }
        scheme
    }
}

/// Prefix and type of `B-x`, `I-x`, `E-x` or `S-x`; the type may be missing altogether (`B`).
fn prefixed(tag: &str) -> Option<(char, &str)> {
    let prefix = tag.chars().next().filter(|c| "BIES".contains(*c))?;
    let rest = &tag[1..];
    if rest.is_empty() { Some((prefix, "")) } else { Some((prefix, rest.strip_prefix('-')?)) }
}

// CoNLL.

/// Which columns hold what, by the first line with a token.
struct Layout<'a> {
    path: &'a Path,
    token: usize,
    tag: usize,
    /// Whether the tag's column was named, so that the others need not be there.
    named: bool,
    tabs: bool,
    width: usize,
    line: u64,
}

fn read_columns(path: &Path, text: &str, token: Option<&str>, tag: Option<&str>) -> Result<Vec<TaggedSentence>> {
    let lines = || text.lines().zip(1..);
    let Some((first, line)) = lines().find(|(l, _)| !is_break(l) && !l.starts_with("# ")) else {
        return Ok(Vec::new());
    };
    let layout = Layout::of(path, first, line, token, tag)?;
    let mut sentences = Vec::new();
    let mut open: Option<TaggedSentence> = None;
    for (text, line) in lines() {
        if is_break(text) {
            sentences.extend(open.take());
            continue;
        }
        if open.is_none() && layout.is_comment(text) {
            continue;
        }
        let (token, tag) = layout.token_and_tag(text, line)?;
        let sentence = open.get_or_insert(TaggedSentence { tokens: Vec::new(), tags: Vec::new(), line });
        sentence.tokens.push(token.to_owned());
        sentence.tags.push(tag.to_owned());
    }
    sentences.extend(open);
    Ok(sentences)
}

/// Whether a line ends the sentence before it and holds no token.
fn is_break(line: &str) -> bool {
    line.trim().is_empty() || line.starts_with("-DOCSTART-")
}

/// White space is ASCII's: tokens such as a lone no-break space do occur.
fn cells(line: &str) -> Vec<&str> {
    if line.contains('\t') {
        line.split('\t').map(|c| c.trim_matches(|c: char| c.is_ascii_whitespace())).collect()
    } else {
        line.split_ascii_whitespace().collect()
    }
}

impl<'a> Layout<'a> {
    fn of(path: &'a Path, first: &str, line: u64, token: Option<&str>, tag: Option<&str>) -> Result<Self> {
        let width = cells(first).len();
        let number = |name: &str| {
            name.parse::<usize>().ok().filter(|n| *n < width.max(2)).ok_or_else(|| Error::NoSuchColumn {
                path: path.to_owned(),
                line,
                wanted: name.to_owned(),
                last: width.saturating_sub(1),
            })
        };
        let layout = Self {
            path,
            token: token.map_or(Ok(0), number)?,
            tag: tag.map_or(Ok(width.max(2) - 1), number)?,
            named: tag.is_some(),
            tabs: first.contains('\t'),
            width,
            line,
        };
        if layout.token == layout.tag {
            return Err(Error::SameColumn { path: path.to_owned(), name: layout.tag.to_string() });
        }
        Ok(layout)
    }

    /// A comment begins with `# `. So does a line of the token `#` with spaces between columns: it has
    /// as many columns as the others, and no `key = value` as comments of CoNLL-U have.
    fn is_comment(&self, line: &str) -> bool {
        if !line.starts_with("# ") {
            return false;
        }
        if let Some((head, _)) = line.split_once('\t') {
            return head.trim_end() != "#";
        }
        let cells = cells(line);
        let key = cells.get(1).is_some_and(|c| matches!(*c, "id" | "newdoc" | "newpar"));
        self.tabs || cells.len() != self.width || key || cells.get(2) == Some(&"=")
    }

    fn token_and_tag<'t>(&self, text: &'t str, line: u64) -> Result<(&'t str, &'t str)> {
        let path = || self.path.to_owned();
        let cells = cells(text);
        if let [only] = cells[..] {
            return Err(Error::OneColumn { path: path(), line, found: only.to_owned() });
        }
        let found = cells.len();
        if !self.named && found != self.width {
            return Err(Error::ColumnsChange { path: path(), line, found, first: self.line, expected: self.width });
        }
        let cell = |column: usize, expected: &'static str| match cells.get(column) {
            Some(&"") => {
                Err(Error::EmptyValue { path: path(), line: Some(line), at: format!("column {column}"), expected })
            }
            Some(cell) => Ok(*cell),
            None => Err(Error::NoSuchColumn { path: path(), line, wanted: column.to_string(), last: found - 1 }),
        };
        Ok((cell(self.token, "a token")?, cell(self.tag, "a tag")?))
    }
}

// JSON lines.

fn read_objects(path: &Path, text: &str, token: Option<&str>, tag: Option<&str>) -> Result<Vec<TaggedSentence>> {
    let mut sentences = Vec::new();
    let mut keys: Option<(String, String)> = None;
    for (text, line) in text.lines().zip(1..).filter(|(t, _)| !t.trim().is_empty()) {
        let object = parse_object(path, text, line)?;
        let (token, tag) = match &mut keys {
            Some(known) => known,
            none => none.insert(find_keys(path, &object, token, tag)?),
        };
        let tokens = strings(path, line, &object, token, false)?;
        let tags = strings(path, line, &object, tag, true)?;
        if tokens.len() != tags.len() {
            return Err(Error::ListsDiffer {
                path: path.to_owned(),
                line: Some(line),
                first: token.clone(),
                first_len: tokens.len(),
                second: tag.clone(),
                second_len: tags.len(),
            });
        }
        if !tokens.is_empty() {
            sentences.push(TaggedSentence { tokens, tags, line });
        }
    }
    Ok(sentences)
}

/// The keys of tokens and tags: those named, else by their usual names in the first object.
fn find_keys(path: &Path, object: &Object, token: Option<&str>, tag: Option<&str>) -> Result<(String, String)> {
    let mut keys = Vec::new();
    flatten(object, "", &mut |name, _| keys.push(name.to_owned()));
    let find = |named: Option<&str>, guess: Option<usize>, what: &'static str| match (named, guess) {
        (Some(name), _) if lookup(object, name).is_some() => Ok(name.to_owned()),
        (Some(name), _) => Err(Error::MissingColumn {
            path: path.to_owned(),
            wanted: name.to_owned(),
            columns: keys.clone(),
            nearest: nearest(name, &keys),
        }),
        (None, Some(i)) => Ok(keys[i].clone()),
        (None, None) => Err(Error::NoSequenceKey { path: path.to_owned(), what, keys: keys.clone() }),
    };
    let token = find(token, guess_tokens(&keys), "tokens")?;
    let tag = find(tag, guess_tags(&keys), "tags")?;
    if token == tag {
        return Err(Error::SameColumn { path: path.to_owned(), name: tag });
    }
    Ok((token, tag))
}

/// A list of strings, none of them empty; tags may be whole numbers.
fn strings(path: &Path, line: u64, object: &Object, key: &str, tags: bool) -> Result<Vec<String>> {
    let wrong = |at: String, value: &Value, expected: &'static str| Error::WrongKind {
        path: path.to_owned(),
        line: Some(line),
        at,
        found: kind(value),
        expected,
    };
    let items = match lookup(object, key) {
        Some(Value::Array(items)) => items,
        Some(other) => return Err(wrong(key.to_owned(), other, "a list of strings")),
        None => {
            return Err(Error::MissingPart {
                path: path.to_owned(),
                line: Some(line),
                at: key.to_owned(),
                keys: object.keys().cloned().collect(),
            });
        }
    };
    let string = |(i, item): (usize, &Value)| match item {
        Value::String(s) if s.is_empty() => Err(Error::EmptyValue {
            path: path.to_owned(),
            line: Some(line),
            at: format!("{key}[{i}]"),
            expected: if tags { "a tag" } else { "a token" },
        }),
        Value::String(s) => Ok(s.clone()),
        Value::Number(n) if tags && !n.is_f64() => Ok(n.to_string()),
        other => Err(wrong(format!("{key}[{i}]"), other, if tags { "a string or whole number" } else { "a string" })),
    };
    items.iter().enumerate().map(string).collect()
}
