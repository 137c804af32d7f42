//! Labelled rows that are not there, not labelled, or not rows.

use crate::check::{Case, Odd};
use crate::fixture::{Bench, Head};

const TUNE: &[&str] =
    &["finetune", "m", "--task", "classify", "--train", "train.csv", "--valid", "valid.csv", "--out", "c"];
const TUNE_JSONL: &[&str] =
    &["finetune", "m", "--task", "classify", "--train", "train.jsonl", "--valid", "valid.csv", "--out", "c"];

fn train(b: &Bench, content: impl AsRef<[u8]>) {
    b.model("m", Head::MaskedLm);
    b.write("train.csv", content);
}

fn lines(b: &Bench, content: &str) {
    b.model("m", Head::MaskedLm);
    b.write("train.jsonl", content);
}

pub const CASES: &[Case] = &[
    Case { name: "an empty CSV", make: |b| train(b, ""), run: TUNE, exit: 1, says: &["train.csv", "empty"] },
    Case {
        name: "a CSV of a header only",
        make: |b| train(b, "text,label\n"),
        run: TUNE,
        exit: 1,
        says: &["train.csv", "no rows|no row|0 rows|only a header"],
    },
    Case {
        name: "a column that is not there",
        make: |b| b.model("m", Head::MaskedLm),
        run: &[
            "finetune",
            "m",
            "--task",
            "classify",
            "--train",
            "train.csv",
            "--valid",
            "valid.csv",
            "--out",
            "c",
            "--label",
            "lable",
        ],
        exit: 1,
        says: &["train.csv", "lable", "text", "`label`|label"],
    },
    Case {
        name: "no column that could be the text",
        make: |b| train(b, "a,b,label\nx,y,cold\nx,y,warm\n"),
        run: TUNE,
        exit: 1,
        says: &["train.csv", "a", "b", "--text"],
    },
    Case {
        name: "no column that could be the label",
        make: |b| train(b, "text,a,b\nx,y,cold\nx,y,warm\n"),
        run: TUNE,
        exit: 1,
        says: &["train.csv", "--label"],
    },
    Case {
        name: "no header, so that the first row is taken for one",
        make: |b| train(b, "the sun is warm,warm\nthe snow is cold,cold\n"),
        run: TUNE,
        exit: 1,
        says: &["train.csv", "column", "header|--text|--label"],
    },
    Case {
        name: "one class only",
        make: |b| train(b, "text,label\nthe sun,warm\nthe fire,warm\n"),
        run: TUNE,
        exit: 1,
        says: &["train.csv", "warm", "two|2|only|one"],
    },
    Case {
        name: "a label of validation that training lacks",
        make: |b| {
            b.model("m", Head::MaskedLm);
            b.write("valid.csv", "text,label\nthe sun,warm\nthe rain,wet\n");
        },
        run: TUNE,
        exit: 1,
        says: &["valid.csv", "wet", "warm"],
    },
    Case {
        name: "a label of evaluation that the model lacks",
        make: |b| {
            b.model("m", Head::Classify);
            b.write("valid.csv", "text,label\nthe sun,warm\nthe rain,wet\n");
        },
        run: &["eval", "m", "--data", "valid.csv"],
        exit: 1,
        says: &["valid.csv", "wet", "warm"],
    },
    Case {
        name: "rows without a label",
        make: |b| train(b, "text,label\nthe sun,warm\nthe snow,\nthe ice,cold\n"),
        run: TUNE,
        exit: 1,
        says: &["train.csv", "row 2|line 3|row 3", "label"],
    },
    Case {
        name: "a ragged CSV",
        make: |b| train(b, "text,label\nthe sun,warm\nthe snow, the ice,cold\n"),
        run: TUNE,
        exit: 1,
        says: &["train.csv", "row 2|line 3|row 3", "3", "2"],
    },
    Case {
        name: "a CSV that is not UTF-8",
        make: |b| train(b, b"text,label\nthe sun,warm\ncaf\xe9,cold\n"),
        run: TUNE,
        exit: 1,
        says: &["train.csv", "utf-8", "row 2|line 3|row 3|byte"],
    },
    Case {
        name: "two columns of one name",
        make: |b| train(b, "text,label,label\nthe sun,warm,1\nthe snow,cold,2\n"),
        run: TUNE,
        exit: 1,
        says: &["train.csv", "label", "twice|two|two columns"],
    },
    Case {
        name: "a line that is no JSON",
        make: |b| lines(b, "{\"text\": \"the sun\", \"label\": \"warm\"}\n{\"text\": the snow}\n"),
        run: TUNE_JSONL,
        exit: 1,
        says: &["train.jsonl", "line 2|row 2"],
    },
    Case {
        name: "a JSON line that is no object",
        make: |b| lines(b, "{\"text\": \"the sun\", \"label\": \"warm\"}\n[\"the snow\", \"cold\"]\n"),
        run: TUNE_JSONL,
        exit: 1,
        says: &["train.jsonl", "line 2|row 2", "object"],
    },
    Case {
        name: "JSON lines without the label",
        make: |b| lines(b, "{\"text\": \"the sun\"}\n{\"text\": \"the snow\"}\n"),
        run: TUNE_JSONL,
        exit: 1,
        says: &["train.jsonl", "label"],
    },
    Case {
        name: "rows in a file of unknown kind",
        make: |b| {
            b.model("m", Head::MaskedLm);
            b.write("train.xlsx", "PK\x03\x04");
        },
        run: &["finetune", "m", "--task", "classify", "--train", "train.xlsx", "--out", "c"],
        exit: 1,
        says: &["train.xlsx", ".csv", ".tsv", ".jsonl", ".parquet"],
    },
    Case {
        name: "rows in a Parquet file that is none",
        make: |b| {
            b.model("m", Head::MaskedLm);
            b.write("train.parquet", "text,label\nthe sun,warm\n");
        },
        run: &["finetune", "m", "--task", "classify", "--train", "train.parquet", "--out", "c"],
        exit: 1,
        says: &["train.parquet", "parquet"],
    },
    Case {
        name: "a folder where rows should be",
        make: |b| {
            b.model("m", Head::MaskedLm);
            b.remove("train.csv");
            b.folder("train.csv");
        },
        run: TUNE,
        exit: 1,
        says: &["train.csv", "folder|directory"],
    },
    Case {
        name: "rows that are not there",
        make: |b| {
            b.model("m", Head::MaskedLm);
            b.remove("train.csv");
        },
        run: TUNE,
        exit: 1,
        says: &["train.csv", "there is no file"],
    },
    Case {
        name: "too few rows to hold some out",
        make: |b| train(b, "text,label\nthe sun,warm\nthe snow,cold\n"),
        run: &["finetune", "m", "--task", "classify", "--train", "train.csv", "--out", "c"],
        exit: 1,
        says: &["train.csv", "--valid"],
    },
    Case {
        name: "texts to embed that are not there",
        make: |b| b.model("m", Head::MaskedLm),
        run: &["embed", "m", "nothing.txt", "--out", "v.npy"],
        exit: 1,
        says: &["nothing.txt"],
    },
    Case {
        name: "texts to embed in a folder",
        make: |b| {
            b.model("m", Head::MaskedLm);
            b.folder("many.txt");
        },
        run: &["embed", "m", "many.txt", "--out", "v.npy"],
        exit: 1,
        says: &["many.txt", "folder|directory"],
    },
    Case {
        name: "no text at all to embed",
        make: |b| {
            b.model("m", Head::MaskedLm);
            b.write("texts.txt", "");
        },
        run: &["embed", "m", "texts.txt", "--out", "v.npy"],
        exit: 1,
        says: &["texts.txt", "empty|no text"],
    },
    Case {
        name: "a table to label without its text column",
        make: |b| b.model("m", Head::Classify),
        run: &["predict", "m", "valid.csv", "--text", "body"],
        exit: 1,
        says: &["valid.csv", "body", "text", "label"],
    },
    Case {
        name: "a bad row far into a table of vectors",
        make: |b| {
            b.model("m", Head::MaskedLm);
            let good = "{\"text\": \"the sun\"}\n".repeat(3000);
            b.write("many.jsonl", good + "{\"text\": the snow}\n");
        },
        run: &["embed", "m", "many.jsonl", "--out", "v.npy"],
        exit: 1,
        says: &["many.jsonl", "3001"],
    },
];

pub const ODD_BUT_FINE: &[Odd] = &[
    Odd {
        name: "a line of ten million bytes to embed",
        make: |b| {
            b.model("m", Head::MaskedLm);
            b.write("texts.txt", "the sun is warm ".repeat(625_000));
        },
        run: &["embed", "m", "texts.txt", "--out", "v.npy"],
        says: &[],
        leaves: "v.npy",
    },
    Odd {
        name: "NUL bytes in a text to embed",
        make: |b| {
            b.model("m", Head::MaskedLm);
            b.write("texts.txt", "the\0sun\n\0\0\0\nthe snow\n");
        },
        run: &["embed", "m", "texts.txt", "--out", "v.npy"],
        says: &[],
        leaves: "v.npy",
    },
    Odd {
        name: "an empty line among texts to embed",
        make: |b| {
            b.model("m", Head::MaskedLm);
            b.write("texts.txt", "the sun\n\nthe snow\n");
        },
        run: &["embed", "m", "texts.txt", "--out", "v.npy"],
        says: &[],
        leaves: "v.npy",
    },
    Odd {
        name: "a byte-order mark, CRLF and quotes in a CSV",
        make: |b| {
            train(b, "\u{feff}text,label\r\n\"the \"\"sun\"\", and\r\nmore\",warm\r\nthe snow,cold\r\n");
        },
        run: &[
            "finetune",
            "m",
            "--task",
            "classify",
            "--train",
            "train.csv",
            "--valid",
            "valid.csv",
            "--out",
            "c",
            "--epochs",
            "1",
            "--max-length",
            "16",
        ],
        says: &[],
        leaves: "c/model.safetensors",
    },
    Odd {
        name: "rows longer than the model takes",
        make: |b| {
            b.model("m", Head::MaskedLm);
            b.write("train.csv", "text,label\n".to_owned() + &"the sun is warm ".repeat(30) + ",warm\nthe snow,cold\n");
        },
        run: &[
            "finetune",
            "m",
            "--task",
            "classify",
            "--train",
            "train.csv",
            "--valid",
            "valid.csv",
            "--out",
            "c",
            "--epochs",
            "1",
        ],
        says: &["1 of 6 texts", "cut to 32 tokens"],
        leaves: "c/model.safetensors",
    },
];
