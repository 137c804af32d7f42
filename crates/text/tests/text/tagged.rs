//! Sentences of tagged tokens.

use crate::help::{folder, gzip, put, said, zstd};
use polyseme_text::{Scheme, TagOddities, Tagged, TaggedSentence};

/// Reads a file of this name and content.
fn read(name: &str, bytes: impl AsRef<[u8]>) -> Vec<TaggedSentence> {
    let dir = folder();
    Tagged::read(&put(dir.path(), name, bytes), None, None).unwrap().sentences
}

/// A sentence of `token/tag` pieces.
fn sentence(line: u64, pieces: &str) -> TaggedSentence {
    let (tokens, tags) =
        pieces.split(' ').map(|p| p.rsplit_once('/').unwrap()).map(|(a, b)| (a.into(), b.into())).unzip();
    TaggedSentence { tokens, tags, line }
}

/// Message and hint of the error for a file of this name and content.
fn wrong(name: &str, bytes: impl AsRef<[u8]>, text: Option<&str>, label: Option<&str>) -> (String, String) {
    let dir = folder();
    said(Tagged::read(&put(dir.path(), name, bytes), text, label), dir.path())
}

const CONLL: &str = "-DOCSTART- -X- -X- O\n\nEU NNP B-NP B-ORG\nrejects VBZ B-VP O\n \n\t\nPeter NNP B-NP B-PER\r\n";

#[test]
fn conll_by_every_ending() {
    let want = [sentence(3, "EU/B-ORG rejects/O"), sentence(7, "Peter/B-PER")];
    for ending in ["conll", "iob", "iob2", "bio", "bioes", "tags", "txt", "tsv", "CONLL"] {
        assert_eq!(read(&format!("a.{ending}"), CONLL), want, "{ending}");
    }
    assert_eq!(read("a.conll.gz", gzip(CONLL.as_bytes())), want);
    assert_eq!(read("a.txt.zst", zstd(CONLL.as_bytes())), want);
    assert_eq!(read("a.conll", CONLL.replace(' ', "\t")), want);
    assert_eq!(read("a.conll", format!("\u{FEFF}{CONLL}")), want);
}

#[test]
fn columns_by_number() {
    let dir = folder();
    let path = put(dir.path(), "a.tsv", "1\tNew York\tB-LOC\t_\n2\tis\tO\n\n3\tbig\tO\t_\t_\n");
    let tagged = Tagged::read(&path, Some("1"), Some("2")).unwrap();
    let want = |line, tokens: &[&str], tags: &[&str]| TaggedSentence {
        tokens: tokens.iter().map(|t| (*t).to_owned()).collect(),
        tags: tags.iter().map(|t| (*t).to_owned()).collect(),
        line,
    };
    assert_eq!(tagged.sentences, [want(1, &["New York", "is"], &["B-LOC", "O"]), want(4, &["big"], &["O"])]);
    assert_eq!(tagged.path, path);
}

#[test]
fn comments_are_told_from_the_token_of_that_name() {
    let tabs = "# newdoc\n# text = a b\n# id 7\tdomain=en\na\tX\n#\tY\n\n# \tZ\n";
    assert_eq!(read("a.conll", tabs), [sentence(4, "a/X #/Y"), sentence(7, "#/Z")]);
    let spaces = "# sent_id = 1\n# newdoc\n# O\ntag B\n# O\n\n# B\n";
    assert_eq!(read("a.conll", spaces), [sentence(3, "#/O tag/B #/O"), sentence(7, "#/B")]);
    assert_eq!(read("a.conll", "# id 1 x\na _ _ O\n\n# x = y\nb _ _ O\n"), [sentence(2, "a/O"), sentence(5, "b/O")]);
    // Within a sentence nothing is a comment.
    assert_eq!(read("a.conll", "a X\n# id\n"), [sentence(1, "a/X #/id")]);
}

#[test]
fn a_document_mark_ends_a_sentence_and_odd_spaces_are_tokens() {
    assert_eq!(
        read("a.conll", "a X\n-DOCSTART- O\nb X\n\u{A0} Y\n\u{3000}\tY\n"),
        [sentence(1, "a/X"), sentence(3, "b/X \u{A0}/Y \u{3000}/Y")]
    );
}

#[test]
fn json_lines() {
    let text = "{\"tokens\":[\"EU\",\"x y\"],\"ner_tags\":[3,\"O\"]}\n\n{\"tokens\":[],\"ner_tags\":[]}\n\
                {\"ner_tags\":[0],\"tokens\":[\"四\"]}";
    let want = |token: &str| TaggedSentence {
        tokens: vec!["EU".into(), token.into()],
        tags: vec!["3".into(), "O".into()],
        line: 1,
    };
    assert_eq!(read("a.jsonl", text), [want("x y"), sentence(4, "四/0")]);
    assert_eq!(read("a.jsonl.gz", gzip(text.as_bytes())), [want("x y"), sentence(4, "四/0")]);
    assert_eq!(read("a.ndjson", "{\"Words\":[\"a\"],\"labels\":[\"X\"],\"ner_tags\":[\"Y\"]}"), [sentence(1, "a/Y")]);
    let dir = folder();
    let path = put(dir.path(), "a.jsonl", "{\"s\":{\"form\":[\"a\"]},\"pos\":[\"X\"],\"tags\":[\"Y\"]}");
    let tagged = Tagged::read(&path, Some("s.form"), Some("pos")).unwrap();
    assert_eq!(tagged.sentences, [sentence(1, "a/X")]);
}

#[test]
fn files_that_hold_no_sentence() {
    assert_eq!(wrong("a.conll", "", None, None).0, "a.conll is empty: it holds no text");
    assert_eq!(wrong("a.jsonl.gz", gzip(b" \n\n"), None, None).0, "a.jsonl.gz is empty: it holds no text");
    let nothing = wrong("a.conll", "-DOCSTART- -X- O O\n\n# comment\n", None, None);
    assert_eq!(nothing.0, "a.conll holds no sentence");
    assert_eq!(nothing.1, "check that it is the right file, and how it was made");
    assert_eq!(wrong("a.jsonl", "{\"tokens\":[],\"tags\":[]}", None, None).0, "a.jsonl holds no sentence");
    let parquet = wrong("a.parquet", "PAR1", None, None);
    assert_eq!(
        parquet.0,
        "a.parquet is Parquet, from which no tagged sentences are read; CoNLL (.conll, a token and its tag a line) \
         or JSON lines (.jsonl) was expected"
    );
    assert_eq!(parquet.1, "convert it: pandas.read_parquet(OLD).to_json(NEW, orient=\"records\", lines=True)");
    let csv = wrong("a.csv", "a,b", None, None);
    assert!(csv.0.starts_with("a.csv is a table, from which no tagged sentences are read; CoNLL (.conll"), "{}", csv.0);
    assert_eq!(csv.1, "write it anew in that form, or choose the task that reads rows");
    let readme = wrong("README", "a b", None, None);
    assert_eq!(readme.0, "cannot tell how to read README: its ending is ``");
    assert!(readme.1.contains(".conll, .iob"), "{}", readme.1);
    let dir = folder();
    let missing = said(Tagged::read(&dir.path().join("no.conll"), None, None), dir.path());
    assert_eq!(missing.0, "there is no file or folder no.conll");
    assert!(said(Tagged::read(dir.path(), None, None), dir.path()).0.ends_with("is a folder; a file was expected"));
}

#[test]
fn bytes_that_are_not_text() {
    assert_eq!(wrong("a.conll", b"a X\nb\xFF X\n", None, None).0, "a.conll line 2: bytes that are not UTF-8");
    assert_eq!(wrong("a.conll", b"a X\nb\0 X\n", None, None).0, "a.conll line 2: a NUL byte; text was expected");
    assert_eq!(wrong("a.conll", b"\xFF\xFEa\0", None, None).0, "a.conll is UTF-16 text; UTF-8 was expected");
    let torn = gzip(&CONLL.repeat(99).into_bytes());
    let torn = wrong("a.conll.gz", &torn[..torn.len() / 2], None, None).0;
    assert!(torn.starts_with("a.conll.gz is not whole gzip data"), "{torn}");
}

#[test]
fn lines_of_other_columns() {
    let alone = wrong("a.txt", "a X\nb\n", None, None);
    assert_eq!(alone.0, "a.txt line 2: `b` stands alone; a token and its tag were expected");
    assert_eq!(
        alone.1,
        "each line holds a token and its tag, with a tab or space between; an empty line ends a sentence"
    );
    assert_eq!(
        wrong("a.txt", "\nHello\nyou\n", None, None).0,
        "a.txt line 2: `Hello` stands alone; a token and its tag were expected"
    );
    let fewer = wrong("a.conll", "\na NN X\n\nb X\n", None, None);
    assert_eq!(fewer.0, "a.conll line 4: 2 columns, but line 2 has 3");
    assert_eq!(fewer.1, "separate columns by tabs, or name the number of the tag's column, counted from 0 (`--label`)");
    assert_eq!(wrong("a.conll", "a X\nNew York X\n", None, None).0, "a.conll line 2: 3 columns, but line 1 has 2");
    let missing = wrong("a.conll", "a NN X\nb X\n", None, Some("2"));
    assert_eq!(missing.0, "a.conll line 2: no column `2`; there are 0 to 1");
    assert_eq!(missing.1, "name columns by their numbers, counted from 0 (`--text`, `--label`)");
    assert_eq!(wrong("a.conll", "a X\n", None, Some("7")).0, "a.conll line 1: no column `7`; there are 0 to 1");
    assert_eq!(wrong("a.conll", "a X\n", Some("token"), None).0, "a.conll line 1: no column `token`; there are 0 to 1");
    let same = wrong("a.conll", "a X\n", Some("1"), None);
    assert_eq!(same.0, "a.conll: tokens and tags cannot both come from `1`");
    assert_eq!(same.1, "name two different ones (`--text`, `--label`)");
    let token = wrong("a.conll", "a\tX\n\tX\n", None, None);
    assert_eq!(token.0, "a.conll line 2: column 0 is empty; a token was expected");
    assert_eq!(token.1, "fill it in or take it out");
    assert_eq!(wrong("a.conll", "a\tX\nb\t \n", None, None).0, "a.conll line 2: column 1 is empty; a tag was expected");
}

#[test]
fn json_lines_of_another_form() {
    let json = |text: &str| wrong("a.jsonl", text, None, None);
    let good = "{\"tokens\":[\"a\"],\"tags\":[\"X\"]}\n";
    let second = |text: &str| json(&format!("{good}{text}"));
    let bad = second("{\"tokens\":").0;
    assert_eq!(bad, "a.jsonl line 2: not valid JSON: EOF while parsing a value at line 1 column 10");
    assert_eq!(second("[1]").0, "a.jsonl line 2: a list; an object such as {\"text\": \"…\"} was expected");
    let differ = second("{\"tokens\":[\"a\",\"b\"],\"tags\":[\"X\"]}");
    assert_eq!(differ.0, "a.jsonl line 2: `tokens` holds 2 and `tags` 1; lists of one length were expected");
    assert_eq!(differ.1, "the two lists go together, item by item");
    let kind = second("{\"tokens\":\"a\",\"tags\":[\"X\"]}");
    assert_eq!(kind.0, "a.jsonl line 2: tokens is a string; a list of strings was expected");
    assert_eq!(kind.1, "make it a list of strings");
    assert_eq!(
        second("{\"tokens\":[\"a\",1],\"tags\":[0,1]}").0,
        "a.jsonl line 2: tokens[1] is a number; a string was expected"
    );
    assert_eq!(
        second("{\"tokens\":[\"a\"],\"tags\":[1.5]}").0,
        "a.jsonl line 2: tags[0] is a number with a fraction; a string or whole number was expected"
    );
    assert_eq!(
        second("{\"tokens\":[\"a\"],\"tags\":[null]}").0,
        "a.jsonl line 2: tags[0] is null; a string or whole number was expected"
    );
    assert_eq!(
        second("{\"tokens\":[\"\"],\"tags\":[0]}").0,
        "a.jsonl line 2: tokens[0] is empty; a token was expected"
    );
    assert_eq!(
        second("{\"tokens\":[\"a\"],\"tags\":[\"\"]}").0,
        "a.jsonl line 2: tags[0] is empty; a tag was expected"
    );
    let near = second("{\"tokens\":[\"a\"],\"tag\":[0]}");
    assert_eq!(near.0, "a.jsonl line 2: tags is missing; the object has `tokens` and `tag`");
    assert_eq!(near.1, "did you mean `tag`?");
    assert_eq!(second("{\"x\":1}").1, "every line needs that key");
}

#[test]
fn keys_that_cannot_be_found() {
    let line = "{\"words\":[\"a\"],\"pos\":[\"X\"]}";
    let tags = wrong("a.jsonl", line, None, None);
    assert_eq!(tags.0, "cannot tell which key of a.jsonl holds the tags; it has `words` and `pos`");
    assert_eq!(tags.1, "name one of them (`--label`)");
    let tokens = wrong("a.jsonl", "{\"x\":[\"a\"],\"tags\":[\"X\"]}", None, None);
    assert_eq!(tokens.0, "cannot tell which key of a.jsonl holds the tokens; it has `x` and `tags`");
    assert_eq!(tokens.1, "name one of them (`--text`)");
    let near = wrong("a.jsonl", line, Some("word"), Some("pos"));
    assert_eq!(near.0, "a.jsonl has no column `word`; it has `words` and `pos`");
    assert_eq!(near.1, "did you mean `words`?");
    let same = wrong("a.jsonl", line, Some("pos"), Some("pos"));
    assert_eq!(same.0, "a.jsonl: tokens and tags cannot both come from `pos`");
}

/// Oddities of sentences of tags.
fn odd(sentences: &[&str]) -> TagOddities {
    let dir = folder();
    let lines: Vec<String> = sentences
        .iter()
        .map(|s| serde_json::json!({ "tokens": vec!["a"; s.split(' ').count()], "tags": s.split(' ').collect::<Vec<_>>() }))
        .map(|v| v.to_string())
        .collect();
    Tagged::read(&put(dir.path(), "a.jsonl", lines.join("\n")), None, None).unwrap().oddities()
}

#[test]
fn schemes_and_names_that_begin_inside() {
    let want = |scheme, begins_inside, changes_inside| TagOddities { begins_inside, changes_inside, scheme };
    assert_eq!(odd(&["O B-X I-X B-X O", "B-Y B-Y I-Y"]), want(Scheme::Bio, None, None));
    assert_eq!(odd(&["O B-X", "I-X I-X O I-Y", "B-X I-Y I-Y I-X"]), want(Scheme::Bio, Some((2, 2)), Some((2, 3))));
    assert_eq!(odd(&["B I O", "O I"]), want(Scheme::Bio, Some((1, 2)), None));
    assert_eq!(odd(&["S-X B-X I-X E-X O B-Y E-Y"]), want(Scheme::Bioes, None, None));
    assert_eq!(odd(&["S-X I-X", "B-X E-Y", "E-X"]), want(Scheme::Bioes, Some((2, 1)), Some((1, 2))));
    assert_eq!(odd(&["NOUN VERB", "I-X O"]), want(Scheme::Plain, None, None));
    assert_eq!(odd(&["O O"]), want(Scheme::Plain, None, None));
    assert_eq!(odd(&["INTJ I", "1 2"]), want(Scheme::Plain, None, None));
}
