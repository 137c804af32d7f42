//! Corpora that are not there, empty, damaged or of no use.

use crate::check::{Case, Odd};
use crate::fixture::gzip;

/// Two steps from a corpus of this name.
macro_rules! from {
    ($corpus:literal) => {
        &["pretrain", $corpus, "--out", "o", "--recipe", "tiny", "--steps", "2", "--vocab-size", "120"]
    };
}

fn documents() -> String {
    (0..40).map(|i| format!("the sun and the snow number {i}\n\n")).collect()
}

pub const CASES: &[Case] = &[
    Case {
        name: "a corpus that is not there",
        make: |_| (),
        run: from!("nowhere.txt"),
        exit: 1,
        says: &["nowhere.txt"],
    },
    Case {
        name: "an empty corpus",
        make: |b| b.write("empty.txt", ""),
        run: from!("empty.txt"),
        exit: 1,
        says: &["empty.txt", "empty"],
    },
    Case {
        name: "a corpus of white space",
        make: |b| b.write("blank.txt", "\n\n   \n\t\n\n"),
        run: from!("blank.txt"),
        exit: 1,
        says: &["blank.txt|corpus", "no text|no document|empty"],
    },
    Case {
        name: "a folder without any text",
        make: |b| b.write("photos/one.png", "\x7fPNG"),
        run: from!("photos"),
        exit: 1,
        says: &["photos", ".txt"],
    },
    Case {
        name: "an empty folder as a corpus",
        make: |b| b.folder("nothing"),
        run: from!("nothing"),
        exit: 1,
        says: &["nothing", ".txt"],
    },
    Case {
        name: "a corpus of unknown kind",
        make: |b| b.write("book.pdf", "%PDF-1.4"),
        run: from!("book.pdf"),
        exit: 1,
        says: &["book.pdf", ".txt", ".jsonl"],
    },
    Case {
        name: "a gzip file with a wrong checksum",
        make: |b| b.write("bad.txt.gz", gzip(documents().as_bytes(), 0)),
        run: from!("bad.txt.gz"),
        exit: 1,
        says: &["bad.txt.gz", "gzip|corrupt|damaged|compress"],
    },
    Case {
        name: "a gzip file cut off",
        make: |b| {
            let whole = gzip(documents().as_bytes(), 0);
            b.write("cut.txt.gz", &whole[..whole.len() / 2]);
        },
        run: from!("cut.txt.gz"),
        exit: 1,
        says: &["cut.txt.gz"],
    },
    Case {
        name: "a gzip file that is none",
        make: |b| b.write("none.txt.gz", documents()),
        run: from!("none.txt.gz"),
        exit: 1,
        says: &["none.txt.gz", "gzip|gz"],
    },
    Case {
        name: "a zstd file that is none",
        make: |b| b.write("none.txt.zst", documents()),
        run: from!("none.txt.zst"),
        exit: 1,
        says: &["none.txt.zst", "zst"],
    },
    Case {
        name: "a Parquet corpus cut off",
        make: |b| b.write("cut.parquet", "PAR1\x15\x04\x15"),
        run: from!("cut.parquet"),
        exit: 1,
        says: &["cut.parquet", "parquet"],
    },
    Case {
        name: "JSON lines with a bad line",
        make: |b| b.write("bad.jsonl", "{\"text\": \"the sun\"}\n{\"text\": \"the snow\"\n"),
        run: from!("bad.jsonl"),
        exit: 1,
        says: &["bad.jsonl", "line 2|row 2"],
    },
    Case {
        name: "JSON lines without text",
        make: |b| b.write("other.jsonl", "{\"name\": \"the sun\", \"words\": \"is warm\"}\n"),
        run: from!("other.jsonl"),
        exit: 1,
        says: &["other.jsonl", "name", "words", "text"],
    },
    Case {
        name: "a table without the column named",
        make: |b| b.write("rows.csv", "title,body\nthe sun,is warm\n"),
        run: &["pretrain", "rows.csv", "--text", "boddy", "--out", "o", "--recipe", "tiny", "--steps", "2"],
        exit: 1,
        says: &["rows.csv", "boddy", "body"],
    },
    Case {
        name: "a corpus of one document",
        make: |b| b.write("one.txt", "the sun is warm"),
        run: from!("one.txt"),
        exit: 1,
        says: &["document", "1|one"],
    },
    Case {
        name: "a folder with one damaged file among good ones",
        make: |b| {
            b.write("many/a.txt", documents());
            b.write("many/b.txt.gz", "no gzip");
        },
        run: from!("many"),
        exit: 1,
        says: &["b.txt.gz"],
    },
];

pub const ODD_BUT_FINE: &[Odd] = &[
    Odd {
        name: "a corpus that is not UTF-8",
        make: |b| {
            let mut text = documents().into_bytes();
            text.extend(b"caf\xe9 and \xff\xfe more\n");
            b.write("latin.txt", text);
        },
        run: from!("latin.txt"),
        says: &["latin.txt", "utf-8", "byte"],
        leaves: "o/model.safetensors",
    },
    Odd {
        name: "NUL bytes in a corpus",
        make: |b| b.write("nul.txt", documents().replace("sun", "s\0un")),
        run: from!("nul.txt"),
        says: &[],
        leaves: "o/model.safetensors",
    },
    Odd {
        name: "a corpus in one line of ten million bytes",
        make: |b| b.write("line.txt", "the sun and the snow and the ice ".repeat(303_031)),
        run: from!("line.txt"),
        says: &[],
        leaves: "o/model.safetensors",
    },
];
