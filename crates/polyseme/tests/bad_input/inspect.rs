//! Looking at what is not there: words, layers, models, drawings.

use crate::check::Case;
use crate::fixture::{Bench, Head};

fn with_texts(b: &Bench) {
    b.model("m", Head::MaskedLm);
    b.write("texts.txt", "the sun is warm\nthe snow is cold\nthe sun is red\nthe sun is far\n");
}

fn labelled(b: &Bench, rows: &str) {
    b.model("m", Head::MaskedLm);
    b.write("rows.csv", rows);
}

/// Rows of two labels, so many.
fn rows(count: usize) -> String {
    let row = |i: usize| format!("the sun is warm {i},{}\n", ["hot", "cold"][i % 2]);
    "text,label\n".to_owned() + &(0..count).map(row).collect::<String>()
}

pub const CASES: &[Case] = &[
    Case {
        name: "a word that never occurs",
        make: with_texts,
        run: &["inspect", "senses", "m", "moon", "texts.txt", "--out", "p.html"],
        exit: 1,
        says: &["`moon` occurs in none of the 4 texts", "texts.txt", "--also"],
    },
    Case {
        name: "a word that is none",
        make: with_texts,
        run: &["inspect", "senses", "m", " ?! ", "texts.txt", "--out", "p.html"],
        exit: 1,
        says: &["`?!` is no word", "no letter and no digit"],
    },
    Case {
        name: "a word that occurs once",
        make: with_texts,
        run: &["inspect", "senses", "m", "snow", "texts.txt", "--out", "p.html"],
        exit: 1,
        says: &["`snow` occurs 1 time", "at least 3"],
    },
    Case {
        name: "a file of texts that is empty",
        make: |b| {
            b.model("m", Head::MaskedLm);
            b.write("texts.txt", "");
        },
        run: &["inspect", "senses", "m", "sun", "texts.txt", "--out", "p.html"],
        exit: 1,
        says: &["texts.txt", "empty"],
    },
    Case {
        name: "a column of true senses that is not there",
        make: |b| labelled(b, &rows(8)),
        run: &["inspect", "senses", "m", "sun", "rows.csv", "--label", "sense", "--out", "p.html"],
        exit: 1,
        says: &["rows.csv", "`sense`", "label"],
    },
    Case {
        name: "a drawing of a layer that is not there",
        make: with_texts,
        run: &["inspect", "senses", "m", "sun", "texts.txt", "--layer", "99", "--out", "p.svg"],
        exit: 1,
        says: &["layer 99", "layers 0"],
    },
    Case {
        name: "a file whose ending says nothing",
        make: with_texts,
        run: &["inspect", "senses", "m", "sun", "texts.txt", "--out", "page"],
        exit: 1,
        says: &["the ending of page", ".html, .svg, .png or .json"],
    },
    Case {
        name: "a page in a folder that is not there",
        make: with_texts,
        run: &["inspect", "senses", "m", "sun", "texts.txt", "--out", "no/p.html"],
        exit: 1,
        says: &["no/p.html"],
    },
    Case {
        name: "a graph of vectors in a file",
        make: with_texts,
        run: &["embed", "m", "texts.txt", "--out", "v.npy", "--approximate"],
        exit: 1,
        says: &["--approximate", "--out v.npy", "folder"],
    },
    Case {
        name: "attention in a layer that is not there",
        make: with_texts,
        run: &["inspect", "attention", "m", "the sun", "--layer", "0", "--out", "p.html"],
        exit: 1,
        says: &["layer 0", "layers 1 to"],
    },
    Case {
        name: "attention in a text longer than the model takes",
        make: with_texts,
        run: &["inspect", "attention", "m", LONG, "--out", "p.html"],
        exit: 1,
        says: &["tokens", "at most"],
    },
    Case {
        name: "what it would have said of a text longer than the model takes",
        make: with_texts,
        run: &["inspect", "fill", "m", LONG, "--out", "p.html"],
        exit: 1,
        says: &["tokens", "at most", "shorten"],
    },
    Case {
        name: "what it would have said of nothing",
        make: with_texts,
        run: &["inspect", "fill", "m", "  ", "--out", "p.html"],
        exit: 1,
        says: &["no token"],
    },
    Case {
        name: "what a classifier would have said",
        make: |b| b.model("c", Head::Classify),
        run: &["inspect", "fill", "c", "the sun", "--out", "p.html"],
        exit: 1,
        says: &["masked-language-modelling head", "classification head"],
    },
    Case {
        name: "a probe of one label",
        make: |b| labelled(b, &rows(40).replace("cold", "hot")),
        run: &["inspect", "probe", "m", "rows.csv", "--out", "p.html"],
        exit: 1,
        says: &["rows.csv has one label only, `hot`", "two or more"],
    },
    Case {
        name: "a probe of a few rows",
        make: |b| labelled(b, &rows(12)),
        run: &["inspect", "probe", "m", "rows.csv", "--out", "p.html"],
        exit: 1,
        says: &["rows.csv", "9 example", "10 at least"],
    },
    Case {
        name: "a probe of tags in a table",
        make: |b| labelled(b, &rows(40)),
        run: &["inspect", "probe", "m", "rows.csv", "--tags", "--out", "p.html"],
        exit: 1,
        says: &["rows.csv", "CoNLL"],
    },
    Case {
        name: "a landscape of a model without a task",
        make: |b| labelled(b, &rows(12)),
        run: &["inspect", "landscape", "m", "m", "--data", "rows.csv", "--out", "p.html"],
        exit: 1,
        says: &["head"],
    },
    Case {
        name: "a landscape from nowhere",
        make: |b| {
            labelled(b, &rows(12).replace("hot", "warm"));
            b.model("c", Head::Classify);
        },
        run: &["inspect", "landscape", "nowhere", "c", "--data", "rows.csv", "--out", "p.html"],
        exit: 1,
        says: &["nowhere"],
    },
    Case {
        name: "a probe of a file without labels",
        make: |b| labelled(b, "text,note\nthe sun,a\nthe snow,b\n"),
        run: &["inspect", "probe", "m", "rows.csv", "--out", "p.html"],
        exit: 1,
        says: &["rows.csv", "label", "note"],
    },
    Case {
        name: "an index of texts that are not there",
        make: with_texts,
        run: &["embed", "m", "nowhere.txt", "--out", "index"],
        exit: 1,
        says: &["nowhere.txt"],
    },
    Case {
        name: "an index of a table that breaks off",
        make: |b| labelled(b, "text,label\nthe sun,a\nthe snow,b,c\n"),
        run: &["embed", "m", "rows.csv", "--out", "index"],
        exit: 1,
        says: &["rows.csv"],
    },
    Case {
        name: "a search in what is no index",
        make: |b| b.folder("index"),
        run: &["search", "index", "the sun"],
        exit: 1,
        says: &["index is no index", "polyseme embed"],
    },
    Case {
        name: "a folder that is no model",
        make: |b| b.write("folder/readme.txt", "nothing"),
        run: &["inspect", "model", "folder", "--out", "p.html"],
        exit: 1,
        says: &["folder", "config.json"],
    },
    Case {
        name: "a difference to what is no model",
        make: with_texts,
        run: &["inspect", "model", "m", "--diff", "texts.txt", "--out", "p.html"],
        exit: 1,
        says: &["texts.txt"],
    },
];

/// More words than any model of these tests takes.
const LONG: &str = "the sun is warm the sun is warm the sun is warm the sun is warm the sun is warm the sun is warm the \
    sun is warm the sun is warm the sun is warm the sun is warm the sun is warm the sun is warm the sun \
    is warm the sun is warm the sun is warm the sun is warm the sun is warm the sun is warm the sun is \
    warm the sun is warm the sun is warm the sun is warm the sun is warm the sun is warm the sun is warm \
    the sun is warm the sun is warm the sun is warm the sun is warm the sun is warm the sun is warm the \
    sun is warm the sun is warm the sun is warm the sun is warm the sun is warm the sun is warm the sun \
    is warm the sun is warm the sun is warm the sun is warm the sun is warm the sun is warm the sun is \
    warm the sun is warm the sun is warm the sun is warm the sun is warm the sun is warm the sun is warm \
    the sun is warm the sun is warm the sun is warm the sun is warm the sun is warm the sun is warm the \
    sun is warm the sun is warm the sun is warm the sun is warm the sun is warm the sun is warm the sun \
    is warm the sun is warm the sun is warm the sun is warm the sun is warm the sun is warm the sun is \
    warm the sun is warm the sun is warm the sun is warm the sun is warm the sun is warm the sun is warm \
    the sun is warm the sun is warm the sun is warm the sun is warm the sun is warm the sun is warm the \
    sun is warm the sun is warm the sun is warm the sun is warm the sun is warm the sun is warm the sun \
    is warm the sun is warm the sun is warm the sun is warm the sun is warm the sun is warm the sun is \
    warm the sun is warm the sun is warm the sun is warm the sun is warm the sun is warm the sun is warm \
    the sun is warm the sun is warm the sun is warm the sun is warm the sun is warm the sun is warm the \
    sun is warm the sun is warm the sun is warm the sun is warm the sun is warm the sun is warm the sun \
    is warm the sun is warm the sun is warm the sun is warm the sun is warm the sun is warm the sun is \
    warm the sun is warm the sun is warm the sun is warm the sun is warm the sun is warm the sun is warm \
    the sun is warm the sun is warm the sun is warm the sun is warm the sun is warm the sun is warm the \
    sun is warm the sun is warm the sun is warm the sun is warm the sun is warm the sun is warm the sun \
    is warm the sun is warm the sun is warm the sun is warm the sun is warm the sun is warm the sun is \
    warm the sun is warm the sun is warm the sun is warm the sun is warm the sun is warm the sun is warm \
    the sun is warm the sun is warm the sun is warm the sun is warm the sun is warm the sun is warm the \
    sun is warm the sun is warm the sun is warm the sun is warm";
