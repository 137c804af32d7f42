//! Questions in the form of SQuAD.

use crate::help::{folder, gzip, put, said, zstd};
use polyseme_text::{Answer, Questions, Result};
use serde_json::{Value, json};
use std::sync::Arc;

/// Reads a file of this name and content.
fn read(name: &str, bytes: impl AsRef<[u8]>) -> Result<Questions> {
    let dir = folder();
    Questions::read(&put(dir.path(), name, bytes))
}

/// Message and hint of the error for a file of this name and content.
fn wrong(name: &str, bytes: impl AsRef<[u8]>) -> (String, String) {
    let dir = folder();
    said(Questions::read(&put(dir.path(), name, bytes)), dir.path())
}

const CONTEXT: &str = "Zürich liegt am See. Bern nicht am See.";

/// Two articles, of two paragraphs and one; an impossible question among three.
fn squad() -> Value {
    json!({ "version": "v2.0", "data": [
        { "title": "Zürich", "paragraphs": [
            { "context": "Leer.", "qas": [] },
            { "context": CONTEXT, "document_id": 7, "qas": [
                { "id": "a", "question": "Wo liegt Zürich?", "is_impossible": false,
                  "answers": [{ "text": "am See", "answer_start": 13 }, { "text": "See", "answer_start": 16 }] },
                { "id": 8, "question": "Warum?", "answers": [], "is_impossible": true,
                  "plausible_answers": [{ "text": "nichts", "answer_start": -1 }] },
            ] },
        ] },
        { "paragraphs": [{ "context": "a", "qas": [
            { "id": "c", "question": "?", "answers": [{ "text": "a", "answer_start": 0 }] },
        ] }] },
    ] })
}

fn answer(text: &str, start: usize) -> Answer {
    Answer { text: text.into(), start }
}

#[test]
fn squad_files() {
    let text = squad().to_string();
    let read = |name: &str, bytes: &[u8]| read(name, bytes).unwrap().questions;
    let questions = read("dev-v2.0.json", text.as_bytes());
    assert_eq!(questions.iter().map(|q| q.id.as_str()).collect::<Vec<_>>(), ["a", "8", "c"]);
    let [first, second, third] = &questions[..] else { panic!("{questions:?}") };
    assert_eq!(first.question, "Wo liegt Zürich?");
    // Bytes, not characters: the ü has two.
    assert_eq!(first.answers, [answer("am See", 14), answer("See", 17)]);
    assert_eq!(&first.context[14..20], "am See");
    assert!(!first.impossible && second.impossible && second.answers.is_empty() && !third.impossible);
    assert_eq!((first.group.as_str(), third.group.as_str()), ("Zürich", "data[1]"));
    assert!(Arc::ptr_eq(&first.context, &second.context));
    assert_eq!(read("a.json.gz", &gzip(text.as_bytes())), questions);
    assert_eq!(read("a.json.zst", &zstd(text.as_bytes())), questions);
}

#[test]
fn json_lines_of_both_forms() {
    let lines = [
        json!({ "id": "a", "title": "T", "context": CONTEXT, "question": "q", "extra": 1,
                "answers": { "text": ["See", "am See"], "answer_start": [16, 13] } }),
        json!({ "context": CONTEXT, "question": "r", "answers": { "text": [], "answer_start": [] } }),
        json!({ "id": null, "context": "b", "question": "s", "answers": [{ "text": "b", "answer_start": 0 }] }),
        json!({ "id": "d", "context": "b", "question": "t", "answers": [], "is_impossible": true }),
    ];
    let text = lines.map(|l| l.to_string()).join("\n\n");
    for (name, bytes) in [("a.jsonl", text.clone().into_bytes()), ("a.jsonl.gz", gzip(text.as_bytes()))] {
        let questions = read(name, bytes).unwrap().questions;
        assert_eq!(questions.iter().map(|q| q.id.as_str()).collect::<Vec<_>>(), ["a", "3", "5", "d"]);
        assert_eq!(questions.iter().map(|q| q.impossible).collect::<Vec<_>>(), [false, true, false, true]);
        assert_eq!(questions[0].answers, [answer("See", 17), answer("am See", 14)]);
        assert_eq!((questions[0].group.as_str(), questions[1].group.as_str()), ("T", ""));
        assert!(Arc::ptr_eq(&questions[0].context, &questions[1].context));
        assert!(Arc::ptr_eq(&questions[2].context, &questions[3].context));
    }
}

#[test]
fn files_without_a_question() {
    assert_eq!(wrong("a.json", "").0, "a.json is empty: it holds no text");
    assert_eq!(wrong("a.json", "{\"data\":[]}").0, "a.json holds no question");
    let csv = wrong("a.csv", "x");
    assert!(csv.0.starts_with("a.csv is a table, from which no questions are read; SQuAD"), "{}", csv.0);
    assert_eq!(csv.1, "write it anew in that form, or choose the task that reads rows");
    let conll = wrong("a.conll", "x");
    assert_eq!(conll.0, "cannot tell how to read a.conll: its ending is `.conll`");
    assert!(conll.1.starts_with("files that can be read end in .json and .jsonl"), "{}", conll.1);
    assert_eq!(
        wrong("a.parquet", "x").0,
        "a.parquet is Parquet, from which no questions are read; SQuAD (.json) or JSON lines (.jsonl) was expected"
    );
    assert_eq!(wrong("a.json", b"{\n\"\xFF\"}").0, "a.json line 2: bytes that are not UTF-8");
    let bad = wrong("a.json", "{\"data\":\n[}");
    assert_eq!(bad.0, "a.json cannot be read as JSON: expected value at line 2 column 2");
    assert_eq!(bad.1, "copy or download it again, or check how it was written");
    // Wrong in its form, then torn: the tear is told.
    let torn = wrong("a.json", "{\"data\": 5, \"x\":");
    assert_eq!(torn.0, "a.json cannot be read as JSON: EOF while parsing a value at line 1 column 16");
    let twice = wrong("a.json", "{\"data\": [], \"data\": []}");
    assert_eq!(twice.0, "a.json cannot be read as JSON: duplicate field `data` at line 1 column 19");
    assert_eq!(
        wrong("a.jsonl", "{\"id\":").0,
        "a.jsonl line 1: not valid JSON: EOF while parsing a value at line 1 column 6"
    );
    assert_eq!(wrong("a.jsonl", "[]").0, "a.jsonl line 1: a list; an object such as {\"text\": \"…\"} was expected");
}

/// The SQuAD file with one value replaced, or taken out.
fn with(pointer: &str, value: Option<Value>) -> String {
    let mut squad = squad();
    match value {
        Some(value) => *squad.pointer_mut(pointer).unwrap() = value,
        None => {
            let (parent, key) = pointer.rsplit_once('/').unwrap();
            squad.pointer_mut(parent).unwrap().as_object_mut().unwrap().shift_remove(key).unwrap();
        }
    }
    squad.to_string()
}

const QA: &str = "/data/0/paragraphs/1/qas/0";

#[test]
fn missing_keys_are_named_by_their_path() {
    let missing = |pointer: &str| wrong("a.json", with(pointer, None));
    let question = missing(&format!("{QA}/question"));
    assert_eq!(
        question.0,
        "a.json: data[0].paragraphs[1].qas[0].question is missing; the object has `id`, `is_impossible` and `answers`"
    );
    assert!(question.1.starts_with("SQuAD form is data[]"), "{}", question.1);
    assert_eq!(
        missing(&format!("{QA}/id")).0,
        "a.json: data[0].paragraphs[1].qas[0].id is missing; the object has `question`, `is_impossible` and `answers`"
    );
    assert_eq!(
        missing(&format!("{QA}/answers/1/text")).0,
        "a.json: data[0].paragraphs[1].qas[0].answers[1].text is missing; the object has `answer_start`"
    );
    assert_eq!(
        missing("/data/1/paragraphs/0/context").0,
        "a.json: data[1].paragraphs[0].context is missing; the object has `qas`"
    );
    assert_eq!(missing("/data").0, "a.json: data is missing; the object has `version`");
    let near = wrong("a.jsonl", "\n{\"context\":\"a\",\"qestion\":\"q\",\"answers\":[]}");
    assert_eq!(near.0, "a.jsonl line 2: question is missing; the object has `context`, `qestion` and `answers`");
    assert_eq!(near.1, "did you mean `qestion`?");
    // A null where the key is not needed is not what is wrong.
    let null = wrong("a.jsonl", "{\"id\":null,\"context\":\"a\",\"answers\":[]}");
    assert_eq!(null.0, "a.jsonl line 1: question is missing; the object has `id`, `context` and `answers`");
    let answers = json!({ "context": "a", "question": "q", "answers": { "text": ["a"] } }).to_string();
    assert_eq!(wrong("a.jsonl", answers).0, "a.jsonl line 1: answers.answer_start is missing; the object has `text`");
}

#[test]
fn values_of_another_kind() {
    let kind = |pointer: &str, value: Value| wrong("a.json", with(pointer, Some(value))).0;
    assert_eq!(kind("", json!([])), "a.json is a list; an object was expected");
    assert_eq!(kind("/data", json!({})), "a.json: data is an object; a list was expected");
    assert_eq!(
        kind("/data/1/paragraphs/0", json!(1)),
        "a.json: data[1].paragraphs[0] is a number; an object was expected"
    );
    let qa = |key: &str, value: Value| kind(&format!("{QA}{key}"), value);
    let at = "a.json: data[0].paragraphs[1].qas[0]";
    assert_eq!(qa("/question", json!(null)), format!("{at}.question is null; a string was expected"));
    assert_eq!(
        qa("/id", json!(1.5)),
        format!("{at}.id is a number with a fraction; a string or whole number was expected")
    );
    assert_eq!(
        qa("/is_impossible", json!("no")),
        format!("{at}.is_impossible is a string; true or false was expected")
    );
    assert_eq!(qa("/answers", json!("See")), format!("{at}.answers is a string; a list was expected"));
    assert_eq!(
        qa("/answers/1/answer_start", json!("16")),
        format!("{at}.answers[1].answer_start is a string; a whole number was expected")
    );
    let columns = json!({ "context": "a", "question": "q", "answers": { "text": ["a"], "answer_start": [0.5] } });
    let columns = wrong("a.jsonl", columns.to_string());
    assert_eq!(
        columns.0,
        "a.jsonl line 1: answers.answer_start[0] is a number with a fraction; a whole number was expected"
    );
    assert_eq!(columns.1, "make it a whole number");
}

#[test]
fn answers_that_are_not_in_their_context() {
    let at = "a.json: data[0].paragraphs[1].qas[0].answers[1]";
    let answer = |text: &str, start: i64| {
        let answer = json!({ "text": text, "answer_start": start });
        wrong("a.json", with(&format!("{QA}/answers/1"), Some(answer)))
    };
    let elsewhere = answer("liegt", 8);
    assert_eq!(
        elsewhere.0,
        format!("{at}.answer_start is 8, but there the context has \"iegt \" and not \"liegt\", which stands at 7")
    );
    assert_eq!(elsewhere.1, "`answer_start` counts characters of the context from 0, not bytes");
    assert_eq!(
        answer("Basel", 0).0,
        format!(
            "{at}.answer_start is 0, but there the context has \"Züric\" and not \"Basel\", which stands nowhere in it"
        )
    );
    assert_eq!(
        answer("See", 0).0,
        format!("{at}.answer_start is 0, but there the context has \"Zür\" and not \"See\", which stands at 16 and 35")
    );
    assert_eq!(
        answer("i", 0).0,
        format!("{at}.answer_start is 0, but there the context has \"Z\" and not \"i\", which stands at 3, 8 and 27")
    );
    assert_eq!(answer("See", 39).0, format!("{at}.answer_start is 39, but the context has 39 characters"));
    assert_eq!(answer("See", -1).0, format!("{at}.answer_start is -1, but the context has 39 characters"));
    let empty = answer(" ", 3);
    assert_eq!(empty.0, format!("{at}.text is empty; an answer was expected"));
    assert_eq!(empty.1, "fill it in or take it out");
    let columns = |text: Value, start: Value| {
        let line = json!({ "context": "abc", "question": "q", "answers": { "text": text, "answer_start": start } });
        wrong("a.jsonl", line.to_string()).0
    };
    assert_eq!(
        columns(json!(["a", "c"]), json!([0, 1])),
        "a.jsonl line 1: answers.answer_start[1] is 1, but there the context has \"b\" and not \"c\", which stands at 2"
    );
    assert_eq!(
        columns(json!(["a"]), json!([0, 1])),
        "a.jsonl line 1: `answers.text` holds 1 and `answers.answer_start` 2; lists of one length were expected"
    );
}

#[test]
fn questions_that_contradict_themselves_or_each_other() {
    let at = "a.json: data[0].paragraphs[1].qas[0]";
    let impossible = wrong("a.json", with(&format!("{QA}/is_impossible"), Some(json!(true))));
    assert_eq!(impossible.0, format!("{at}.answers is not empty although `is_impossible` is true"));
    assert_eq!(impossible.1, "move them to `plausible_answers`, or make `is_impossible` false");
    let none = wrong("a.json", with(&format!("{QA}/answers"), Some(json!([]))));
    assert_eq!(none.0, format!("{at}.answers is empty although `is_impossible` is false"));
    assert_eq!(none.1, "add an answer, or make `is_impossible` true");
    let same = wrong("a.json", with("/data/1/paragraphs/0/qas/0/id", Some(json!("8"))));
    assert_eq!(
        same.0,
        "a.json: data[1].paragraphs[0].qas[0].id is `8`, the same as in data[0].paragraphs[1].qas[1].id"
    );
    assert_eq!(same.1, "give each question an id of its own");
    let line = json!({ "id": "x", "context": "a", "question": "q", "answers": [] }).to_string();
    assert_eq!(wrong("a.jsonl", format!("{line}\n{line}")).0, "a.jsonl line 2: id is `x`, the same as in line 1");
}
