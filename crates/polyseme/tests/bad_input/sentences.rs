//! Tagged sentences and questions about passages that are damaged, contradict themselves or are none.

use crate::check::Case;
use crate::fixture::{Bench, Head};

/// Fine-tuning of the model `m` on tagged sentences with more flags.
macro_rules! tag {
    ($train:literal $(, $flag:literal)*) => {
        &["finetune", "m", "--task", "tag", "--train", $train, "--out", "c" $(, $flag)*]
    };
}

const TAG: &[&str] = tag!["train.conll", "--valid", "valid.conll"];
const TAG_JSONL: &[&str] = tag!["train.jsonl", "--valid", "valid.conll"];
/// A run that ends in some days.
const LONG: &str = "finetune m --task tag --train train.conll --valid valid.conll --out c --epochs 100000000 \
     --patience 0 --set save_every_steps=1";
const ASK: &[&str] = &["finetune", "m", "--task", "qa", "--train", "train.json", "--valid", "valid.json", "--out", "c"];
const SENTENCES: &str = "the O\nsun B-X\n\nthe O\nsnow B-X\n";

fn tagged(b: &Bench, train: impl AsRef<[u8]>) {
    b.model("m", Head::MaskedLm);
    b.write("train.conll", train);
    b.write("valid.conll", SENTENCES);
}

fn lines(b: &Bench, train: &str) {
    tagged(b, SENTENCES);
    b.write("train.jsonl", train);
}

/// SQuAD of one passage with these questions.
fn squad(questions: &str) -> String {
    let passage = format!(r#"{{"context": "the café is warm and the snow is cold", "qas": [{questions}]}}"#);
    format!(r#"{{"version": "1.1", "data": [{{"title": "t", "paragraphs": [{passage}]}}]}}"#)
}

const GOOD: &str = r#"{"id": "a", "question": "what is cold", "answers": [{"text": "snow", "answer_start": 25}]}"#;

fn asked(b: &Bench, questions: &str) {
    b.model("m", Head::MaskedLm);
    b.write("train.json", squad(questions));
    b.write("valid.json", squad(GOOD));
}

/// A question whose answer is said to stand at this place.
fn answer_at(b: &Bench, answer: &str, start: &str) {
    let answers = format!(r#"[{{"text": "{answer}", "answer_start": {start}}}]"#);
    asked(b, &format!(r#"{{"id": "a", "question": "what", "answers": {answers}}}"#));
}

pub const CASES: &[Case] = &[
    Case {
        name: "a tagged file of one column",
        make: |b| tagged(b, "the\nsun\n"),
        run: TAG,
        exit: 1,
        says: &["train.conll", "line 1", "`the`", "a token and its tag"],
    },
    Case {
        name: "a line of more columns than those before",
        make: |b| tagged(b, "the O\nsun B-X\n\nsnow NN B-X\n"),
        run: TAG,
        exit: 1,
        says: &["train.conll", "line 4", "3 columns", "line 1", "2", "--label"],
    },
    Case {
        name: "a tag of validation that training lacks",
        make: |b| {
            tagged(b, SENTENCES);
            b.write("valid.conll", "the O\nsun B-X\n\nthe O\nrain B-Y\n");
        },
        run: TAG,
        exit: 1,
        says: &["valid.conll", "line 4", "`B-Y`", "`B-X`, `O`"],
    },
    Case {
        name: "one tag only",
        make: |b| tagged(b, "the O\nsun O\n\nthe O\nsnow O\n"),
        run: TAG,
        exit: 1,
        says: &["train.conll", "`O`", "at least two"],
    },
    Case {
        name: "one sentence of which none can be kept",
        make: |b| tagged(b, "the O\nsun B-X\n"),
        run: tag!["train.conll"],
        exit: 1,
        says: &["train.conll", "1 sentence", "validation", "--valid"],
    },
    Case {
        name: "more tokens than tags",
        make: |b| lines(b, r#"{"tokens": ["the", "sun"], "tags": ["O"]}"#),
        run: TAG_JSONL,
        exit: 1,
        says: &["train.jsonl", "line 1", "`tokens` holds 2", "`tags` 1", "one length"],
    },
    Case {
        name: "tokens in one string",
        make: |b| lines(b, r#"{"tokens": "the sun", "tags": ["O", "O"]}"#),
        run: TAG_JSONL,
        exit: 1,
        says: &["train.jsonl", "line 1", "tokens is a string", "a list"],
    },
    Case {
        name: "an empty token",
        make: |b| lines(b, r#"{"tokens": ["the", ""], "tags": ["O", "B-X"]}"#),
        run: TAG_JSONL,
        exit: 1,
        says: &["train.jsonl", "line 1", "tokens[1]", "empty"],
    },
    Case {
        name: "JSON lines without tokens",
        make: |b| lines(b, r#"{"text": "the sun", "label": "O"}"#),
        run: TAG_JSONL,
        exit: 1,
        says: &["train.jsonl", "tokens", "`text` and `label`", "--text"],
    },
    Case {
        name: "tagged sentences in a CSV",
        make: |b| b.model("m", Head::MaskedLm),
        run: tag!["train.csv"],
        exit: 1,
        says: &["train.csv", "table", "tagged sentences", ".conll", ".jsonl"],
    },
    Case {
        name: "tagged sentences in Parquet",
        make: |b| {
            b.model("m", Head::MaskedLm);
            b.write("train.parquet", "PAR1");
        },
        run: tag!["train.parquet"],
        exit: 1,
        says: &["train.parquet", "Parquet", "tagged sentences", "to_json"],
    },
    Case {
        name: "an empty file of sentences",
        make: |b| tagged(b, "\n\n \n"),
        run: TAG,
        exit: 1,
        says: &["train.conll", "empty"],
    },
    Case {
        name: "the beginning of a document and no sentence",
        make: |b| tagged(b, "-DOCSTART- -X- O O\n\n"),
        run: TAG,
        exit: 1,
        says: &["train.conll", "no sentence"],
    },
    Case {
        name: "tagged sentences that are not UTF-8",
        make: |b| tagged(b, b"the O\ncaf\xe9 B-X\n"),
        run: TAG,
        exit: 1,
        says: &["train.conll", "line 2", "UTF-8", "iconv"],
    },
    Case {
        name: "words of which the tokenizer leaves nothing",
        make: |b| {
            tagged(b, SENTENCES);
            b.write("valid.conll", "\u{200b} O\n\u{200b} B-X\n");
        },
        run: TAG,
        exit: 1,
        says: &["valid.conll", "tokenizer", "nothing"],
    },
    Case {
        name: "measuring on words of which the tokenizer leaves nothing",
        make: |b| {
            b.model("m", Head::Tag);
            b.write("valid.conll", "\u{200b} O\n\u{200b} B-X\n");
        },
        run: &["eval", "m", "--data", "valid.conll"],
        exit: 1,
        says: &["valid.conll", "tokenizer", "nothing"],
    },
    Case {
        name: "a column of tags that is not there",
        make: |b| tagged(b, SENTENCES),
        run: tag!["train.conll", "--label", "7"],
        exit: 1,
        says: &["train.conll", "line 1", "`7`", "0 to 1", "--label"],
    },
    Case {
        name: "a second text beside sentences",
        make: |b| tagged(b, SENTENCES),
        run: tag!["train.conll", "--pair", "1"],
        exit: 1,
        says: &["`pair`", "tag", "leave --pair out"],
    },
    Case {
        name: "a folder where tagged sentences should be",
        make: |b| {
            b.model("m", Head::MaskedLm);
            b.folder("train.conll");
        },
        run: TAG,
        exit: 1,
        says: &["train.conll", "folder", "file"],
    },
    Case {
        name: "tagged sentences that are not there",
        make: |b| b.model("m", Head::MaskedLm),
        run: TAG,
        exit: 1,
        says: &["train.conll", "there is no file"],
    },
    Case {
        name: "going on with other sentences than at the beginning",
        make: |b| {
            tagged(b, SENTENCES);
            b.killed(LONG, "c/run/seed-0/run/checkpoints");
            b.write("train.conll", "the O\nice B-X\n\nthe O\nlake B-X\n");
        },
        run: &["finetune", "--out", "c", "--resume"],
        exit: 1,
        says: &["rows", "changed", "c/run", "another folder"],
    },
    Case {
        name: "measuring a tagger on a table",
        make: |b| b.model("m", Head::Tag),
        run: &["eval", "m", "--data", "valid.csv"],
        exit: 1,
        says: &["valid.csv", "table", "tagged sentences", ".conll"],
    },
    Case {
        name: "measuring a tagger on a tag it does not know",
        make: |b| {
            b.model("m", Head::Tag);
            b.write("valid.conll", "the O\nsun B-Y\n");
        },
        run: &["eval", "m", "--data", "valid.conll"],
        exit: 1,
        says: &["valid.conll", "line 1", "`B-Y`", "`B-X`, `O`"],
    },
    Case {
        name: "an answer that does not stand where it is said to",
        make: |b| answer_at(b, "snow", "26"),
        run: ASK,
        exit: 1,
        says: &["train.json", "qas[0].answers[0].answer_start", "26", "\"now \"", "\"snow\"", "at 25", "characters"],
    },
    Case {
        name: "an answer whose place was counted in bytes",
        make: |b| answer_at(b, "warm", "13"),
        run: ASK,
        exit: 1,
        says: &["train.json", "answer_start", "13", "at 12", "not bytes"],
    },
    Case {
        name: "an answer beyond the end of its passage",
        make: |b| answer_at(b, "snow", "500"),
        run: ASK,
        exit: 1,
        says: &["train.json", "answer_start", "500", "37 characters"],
    },
    Case {
        name: "an answer before the beginning of its passage",
        make: |b| answer_at(b, "snow", "-1"),
        run: ASK,
        exit: 1,
        says: &["train.json", "answer_start", "-1", "37 characters"],
    },
    Case {
        name: "an answer that stands nowhere",
        make: |b| answer_at(b, "moon", "25"),
        run: ASK,
        exit: 1,
        says: &["train.json", "\"moon\"", "nowhere"],
    },
    Case {
        name: "the place of an answer in words",
        make: |b| answer_at(b, "snow", "\"25\""),
        run: ASK,
        exit: 1,
        says: &["train.json", "answer_start", "a string", "a whole number"],
    },
    Case {
        name: "answers to a question that is impossible",
        make: |b| asked(b, &GOOD.replace("\"answers\"", "\"is_impossible\": true, \"answers\"")),
        run: ASK,
        exit: 1,
        says: &["train.json", "qas[0].answers", "`is_impossible` is true", "plausible_answers"],
    },
    Case {
        name: "no answer to any question",
        make: |b| asked(b, r#"{"id": "a", "question": "what", "answers": []}"#),
        run: ASK,
        exit: 1,
        says: &["no question", "train.json", "an answer"],
    },
    Case {
        name: "two questions of one id",
        make: |b| asked(b, &format!("{GOOD}, {GOOD}")),
        run: ASK,
        exit: 1,
        says: &["train.json", "qas[1].id", "`a`", "qas[0].id"],
    },
    Case {
        name: "questions cut off",
        make: |b| {
            asked(b, GOOD);
            b.cut("train.json", 100);
        },
        run: ASK,
        exit: 1,
        says: &["train.json", "JSON", "line 1", "download"],
    },
    Case {
        name: "a passage without a question's words",
        make: |b| asked(b, r#"{"id": "a", "answers": []}"#),
        run: ASK,
        exit: 1,
        says: &["train.json", "qas[0].question", "missing", "`id` and `answers`"],
    },
    Case {
        name: "passages without a question",
        make: |b| asked(b, ""),
        run: ASK,
        exit: 1,
        says: &["train.json", "no question"],
    },
    Case {
        name: "one passage of which none can be kept",
        make: |b| asked(b, GOOD),
        run: &["finetune", "m", "--task", "qa", "--train", "train.json", "--out", "c"],
        exit: 1,
        says: &["train.json", "1 article", "validation", "--valid"],
    },
    Case {
        name: "more places than answers",
        make: |b| {
            asked(b, GOOD);
            let answers = r#"{"text": ["sun"], "answer_start": [4, 5]}"#;
            let line = format!(r#"{{"question": "what", "context": "the sun", "answers": {answers}}}"#);
            b.write("train.jsonl", line);
        },
        run: &["finetune", "m", "--task", "qa", "--train", "train.jsonl", "--out", "c"],
        exit: 1,
        says: &["train.jsonl", "line 1", "`answers.text` holds 1", "`answers.answer_start` 2"],
    },
    Case {
        name: "questions in a CSV",
        make: |b| b.model("m", Head::MaskedLm),
        run: &["finetune", "m", "--task", "qa", "--train", "train.csv", "--out", "c"],
        exit: 1,
        says: &["train.csv", "table", "questions", "SQuAD", ".jsonl"],
    },
    Case {
        name: "a column of questions named where there are none",
        make: |b| asked(b, GOOD),
        run: &["finetune", "m", "--task", "qa", "--train", "train.json", "--out", "c", "--text", "question"],
        exit: 1,
        says: &["`text`", "qa", "leave --text out"],
    },
    Case {
        name: "questions that are not there",
        make: |b| b.model("m", Head::MaskedLm),
        run: ASK,
        exit: 1,
        says: &["train.json", "there is no file"],
    },
    Case {
        name: "measuring a reader on sentences",
        make: |b| {
            b.model("m", Head::Answer);
            b.write("valid.conll", SENTENCES);
        },
        run: &["eval", "m", "--data", "valid.conll"],
        exit: 1,
        says: &["valid.conll", "`.conll`", ".json", ".jsonl"],
    },
    Case {
        name: "measuring a reader with no room for a passage",
        make: |b| {
            b.model("m", Head::Answer);
            b.write("valid.json", squad(GOOD));
        },
        run: &["eval", "m", "--data", "valid.json", "--max-length", "4"],
        exit: 1,
        says: &["4 ids", "too short", "5"],
    },
    Case {
        name: "asking a reader without passages",
        make: |b| b.model("m", Head::Answer),
        run: &["predict", "m", "valid.csv"],
        exit: 1,
        says: &["--pair", "missing", "passages"],
    },
    Case {
        name: "asking a reader about passages in a file without columns",
        make: |b| b.model("m", Head::Answer),
        run: &["predict", "m", "texts.txt", "--pair", "context"],
        exit: 1,
        says: &["texts.txt", "`context`", "none", ".jsonl"],
    },
];
