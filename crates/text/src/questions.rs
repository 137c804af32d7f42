//! Questions about a passage whose answers are spans of it, in the form of SQuAD.

use crate::error::Misplaced;
use crate::rows::{kind, parse_object};
use crate::source::{ending, open_file, read_all, table_not_read, unknown_ending};
use crate::{Error, Result};
use serde::Deserialize;
use serde_json::Value;
use serde_json::error::Category;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Endings of files of questions.
const ENDINGS: &str = ".json and .jsonl (each also with .gz or .zst behind it)";

/// One question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Its name, unique in the file; in JSON lines without one, the number of the line.
    pub id: String,
    /// The question.
    pub question: String,
    /// The passage; questions about the same one share it.
    pub context: Arc<str>,
    /// Spans of the context that answer it; none exactly when it is impossible.
    pub answers: Vec<Answer>,
    /// Whether the context does not hold an answer.
    pub impossible: bool,
    /// The title of the article: `data[3]` where a SQuAD file has none, empty in JSON lines without.
    pub group: String,
}

/// One span of a context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The text of the span, not empty.
    pub text: String,
    /// The byte of the context it begins at.
    pub start: usize,
}

/// All questions of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Questions {
    /// Where they came from.
    pub path: PathBuf,
    /// Questions in file order.
    pub questions: Vec<Question>,
}

impl Questions {
    /// Reads a file by its extension: SQuAD v1.1 or v2.0 (`.json`), or JSON lines with `question`,
    /// `context`, `answers` and optional `id`, `title` and `is_impossible`. Answers are a list of
    /// objects with `text` and `answer_start`, or as from Hugging Face an object with these two lists.
    /// A question without answers is impossible unless `is_impossible` says otherwise.
    ///
    /// Every answer is checked to stand in its context where it is said to.
    pub fn read(path: &Path) -> Result<Self> {
        open_file(path)?;
        let (ending, packing) = ending(path).ok_or_else(|| unknown_ending(path, ENDINGS))?;
        let mut reading = Reading { path, seen: HashMap::new(), questions: Vec::new() };
        match ending.as_str() {
            "json" => reading.squad(&read_all(path, packing)?)?,
            "jsonl" | "ndjson" => reading.lines(&read_all(path, packing)?)?,
            "csv" | "tsv" | "parquet" => {
                return Err(table_not_read(path, "questions", "SQuAD (.json) or JSON lines (.jsonl)"));
            }
            _ => return Err(unknown_ending(path, ENDINGS)),
        }
        let questions = reading.questions;
        if questions.is_empty() {
            return Err(Error::NoExample { path: path.to_owned(), what: "question" });
        }
        Ok(Self { path: path.to_owned(), questions })
    }
}

// The forms, for serde; whatever other keys there are is passed over.

#[derive(Deserialize)]
struct Squad {
    data: Vec<Article>,
}

#[derive(Deserialize)]
struct Article {
    title: Option<String>,
    paragraphs: Vec<Paragraph>,
}

#[derive(Deserialize)]
struct Paragraph {
    context: String,
    qas: Vec<Asked>,
}

#[derive(Deserialize)]
struct Asked {
    id: Id,
    question: String,
    answers: Answers,
    is_impossible: Option<bool>,
}

#[derive(Deserialize)]
struct Line {
    id: Option<Id>,
    title: Option<String>,
    context: String,
    question: String,
    answers: Answers,
    is_impossible: Option<bool>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Id {
    Text(String),
    Whole(u64),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Answers {
    List(Vec<Span>),
    Columns { text: Vec<String>, answer_start: Vec<i64> },
}

#[derive(Deserialize)]
struct Span {
    text: String,
    answer_start: i64,
}

/// Where a question stands in its file.
#[derive(Clone, Copy)]
enum Place {
    Line(u64),
    Qa { article: usize, paragraph: usize, qa: usize },
}

impl Place {
    fn line(self) -> Option<u64> {
        if let Self::Line(line) = self { Some(line) } else { None }
    }

    /// The path of a key of the question.
    fn at(self, key: &str) -> String {
        match self {
            Self::Line(_) => key.to_owned(),
            Self::Qa { article, paragraph, qa } => format!("data[{article}].paragraphs[{paragraph}].qas[{qa}].{key}"),
        }
    }
}

struct Reading<'a> {
    path: &'a Path,
    /// Where an id was first seen.
    seen: HashMap<String, Place>,
    questions: Vec<Question>,
}

impl Reading<'_> {
    fn squad(&mut self, text: &str) -> Result<()> {
        let squad: Squad = serde_json::from_str(text).map_err(|source| self.squad_error(text, source))?;
        for (a, article) in squad.data.into_iter().enumerate() {
            let group = article.title.unwrap_or_else(|| format!("data[{a}]"));
            for (p, paragraph) in article.paragraphs.into_iter().enumerate() {
                let context: Arc<str> = paragraph.context.into();
                for (q, asked) in paragraph.qas.into_iter().enumerate() {
                    let place = Place::Qa { article: a, paragraph: p, qa: q };
                    self.add(place, asked, context.clone(), group.clone())?;
                }
            }
        }
        Ok(())
    }

    /// Only to say where the form is wrong is the whole file made into a value.
    fn squad_error(&self, text: &str, source: serde_json::Error) -> Error {
        let path = || self.path.to_owned();
        if source.classify() != Category::Data {
            return Error::BadJson { path: path(), source };
        }
        match serde_json::from_str(text) {
            Ok(value) => SQUAD.fault(&value, "", self.path, None).unwrap_or(Error::BadJson { path: path(), source }),
            Err(source) => Error::BadJson { path: path(), source },
        }
    }

    fn lines(&mut self, text: &str) -> Result<()> {
        for (text, number) in text.lines().zip(1..).filter(|(t, _)| !t.trim().is_empty()) {
            let line: Line = serde_json::from_str(text).or_else(|source| {
                let value = Value::Object(parse_object(self.path, text, number)?);
                let bad = Error::BadJsonLine { path: self.path.to_owned(), line: number, source };
                Err(LINE.fault(&value, "", self.path, Some(number)).unwrap_or(bad))
            })?;
            let context = match self.questions.last() {
                Some(last) if *last.context == *line.context => last.context.clone(),
                _ => line.context.into(),
            };
            let id = line.id.unwrap_or_else(|| Id::Text(number.to_string()));
            let Line { question, answers, is_impossible, .. } = line;
            let asked = Asked { id, question, answers, is_impossible };
            self.add(Place::Line(number), asked, context, line.title.unwrap_or_default())?;
        }
        Ok(())
    }

    fn add(&mut self, place: Place, asked: Asked, context: Arc<str>, group: String) -> Result<()> {
        let (path, line) = (self.path.to_owned(), place.line());
        let id = match asked.id {
            Id::Text(id) => id,
            Id::Whole(number) => number.to_string(),
        };
        if let Some(first) = self.seen.insert(id.clone(), place) {
            let first = first.line().map_or_else(|| first.at("id"), |l| format!("line {l}"));
            return Err(Error::SameId { path, line, at: place.at("id"), id, first });
        }
        let answers = self.answers(place, asked.answers, &context)?;
        let impossible = asked.is_impossible.unwrap_or(answers.is_empty());
        if impossible != answers.is_empty() {
            let at = place.at("answers");
            return Err(if impossible {
                Error::ImpossibleAnswered { path, line, at }
            } else {
                Error::NoAnswer { path, line, at }
            });
        }
        self.questions.push(Question { id, question: asked.question, context, answers, impossible, group });
        Ok(())
    }

    /// The answers with the paths of their keys, checked one by one.
    fn answers(&self, place: Place, answers: Answers, context: &str) -> Result<Vec<Answer>> {
        match answers {
            Answers::List(spans) => {
                let at = |i: usize, key: &str| place.at(&format!("answers[{i}].{key}"));
                spans.into_iter().enumerate().map(|(i, s)| self.answer(place, &|key| at(i, key), s, context)).collect()
            }
            Answers::Columns { text, answer_start } => {
                if text.len() != answer_start.len() {
                    return Err(Error::ListsDiffer {
                        path: self.path.to_owned(),
                        line: place.line(),
                        first: place.at("answers.text"),
                        first_len: text.len(),
                        second: place.at("answers.answer_start"),
                        second_len: answer_start.len(),
                    });
                }
                let at = |i: usize, key: &str| place.at(&format!("answers.{key}[{i}]"));
                let spans = text.into_iter().zip(answer_start).map(|(text, answer_start)| Span { text, answer_start });
                spans.enumerate().map(|(i, s)| self.answer(place, &|key| at(i, key), s, context)).collect()
            }
        }
    }

    fn answer(&self, place: Place, at: &dyn Fn(&str) -> String, span: Span, context: &str) -> Result<Answer> {
        let (path, line, start) = (self.path.to_owned(), place.line(), span.answer_start);
        if span.text.trim().is_empty() {
            return Err(Error::EmptyValue { path, line, at: at("text"), expected: "an answer" });
        }
        let at = at("answer_start");
        let byte = usize::try_from(start).ok().and_then(|n| context.char_indices().nth(n));
        let Some((byte, _)) = byte else {
            return Err(Error::AnswerOutside { path, line, at, start, length: context.chars().count() });
        };
        if context[byte..].starts_with(&span.text) {
            return Ok(Answer { text: span.text, start: byte });
        }
        let length = span.text.chars().count().min(SHOWN);
        let found = Box::new(Misplaced {
            start,
            there: context[byte..].chars().take(length).collect(),
            places: context.match_indices(&span.text).map(|(byte, _)| context[..byte].chars().count()).collect(),
            answer: span.text.chars().take(length).collect(),
        });
        Err(Error::AnswerMisplaced { path, line, at, found })
    }
}

/// Characters of an answer that a message repeats.
const SHOWN: usize = 60;

/// What a JSON value should be, to find the first place where it is not.
enum Shape {
    Text,
    Whole,
    Flag,
    Id,
    List(&'static Shape),
    /// Keys, whether each is needed, and its value.
    Object(&'static [(&'static str, bool, &'static Shape)]),
    /// A list of spans or an object of two lists.
    Answers,
}

const SQUAD: Shape = Shape::Object(&[("data", true, &Shape::List(&ARTICLE))]);
const ARTICLE: Shape = Shape::Object(&[("title", false, &Shape::Text), ("paragraphs", true, &Shape::List(&PARAGRAPH))]);
const PARAGRAPH: Shape = Shape::Object(&[("context", true, &Shape::Text), ("qas", true, &Shape::List(&ASKED))]);
const ASKED: Shape = Shape::Object(&[
    ("id", true, &Shape::Id),
    ("question", true, &Shape::Text),
    ("answers", true, &Shape::Answers),
    ("is_impossible", false, &Shape::Flag),
]);
const LINE: Shape = Shape::Object(&[
    ("id", false, &Shape::Id),
    ("title", false, &Shape::Text),
    ("context", true, &Shape::Text),
    ("question", true, &Shape::Text),
    ("answers", true, &Shape::Answers),
    ("is_impossible", false, &Shape::Flag),
]);
const SPANS: Shape =
    Shape::List(&Shape::Object(&[("text", true, &Shape::Text), ("answer_start", true, &Shape::Whole)]));
const COLUMNS: Shape =
    Shape::Object(&[("text", true, &Shape::List(&Shape::Text)), ("answer_start", true, &Shape::List(&Shape::Whole))]);

impl Shape {
    /// The error for the first place where `value`, found at the path `at`, is not of this shape.
    fn fault(&self, value: &Value, at: &str, path: &Path, line: Option<u64>) -> Option<Error> {
        let expected = match (self, value) {
            (Self::Text | Self::Id, Value::String(_)) | (Self::Flag, Value::Bool(_)) => return None,
            (Self::Id, Value::Number(n)) if n.is_u64() => return None,
            (Self::Whole, Value::Number(n)) if n.is_i64() => return None,
            (Self::List(item), Value::Array(values)) => {
                let mut values = values.iter().enumerate();
                return values.find_map(|(i, v)| item.fault(v, &format!("{at}[{i}]"), path, line));
            }
            (Self::Object(keys), Value::Object(map)) => {
                return keys.iter().find_map(|(key, needed, shape)| {
                    let at = if at.is_empty() { (*key).to_owned() } else { format!("{at}.{key}") };
                    match map.get(*key) {
                        None | Some(Value::Null) if !needed => None,
                        Some(value) => shape.fault(value, &at, path, line),
                        None => {
                            let keys = map.keys().cloned().collect();
                            Some(Error::MissingPart { path: path.to_owned(), line, at, keys })
                        }
                    }
                });
            }
            (Self::Answers, Value::Object(_)) => return COLUMNS.fault(value, at, path, line),
            (Self::Answers, Value::Array(_)) => return SPANS.fault(value, at, path, line),
            (Self::Text, _) => "a string",
            (Self::Whole, _) => "a whole number",
            (Self::Flag, _) => "true or false",
            (Self::Id, _) => "a string or whole number",
            (Self::List(_) | Self::Answers, _) => "a list",
            (Self::Object(_), _) => "an object",
        };
        Some(Error::WrongKind { path: path.to_owned(), line, at: at.to_owned(), found: kind(value), expected })
    }
}
