//! Labelled tables and streams of rows.

use crate::help::{folder, gzip, parquet, put};
use polyseme_text::Table;
use polyseme_text::table::{TextRow, TextRows};
use std::path::Path;

fn names(table: &Table) -> Vec<&str> {
    table.columns.iter().map(|c| c.name.as_str()).collect()
}

fn values<'a>(table: &'a Table, column: &str) -> Vec<Option<&'a str>> {
    table.column(column).unwrap().values.iter().map(|v| v.as_deref()).collect()
}

#[test]
fn csv_with_quotes_and_line_breaks() {
    let dir = folder();
    let path = put(dir.path(), "a.csv", "text , label\n\"one, \"\"two\"\"\nthree\",x\n,y\r\n\n四,0\n");
    let table = Table::read(&path).unwrap();
    assert_eq!(names(&table), ["text", "label"]);
    assert_eq!(table.rows(), 3);
    assert_eq!(values(&table, "text"), [Some("one, \"two\"\nthree"), None, Some("四")]);
    assert_eq!(values(&table, "label"), [Some("x"), Some("y"), Some("0")]);
}

#[test]
fn json_lines_of_many_shapes() {
    let dir = folder();
    let path = put(
        dir.path(),
        "a.jsonl",
        "{\"text\":\"a\",\"label\":1,\"meta\":{\"title\":\"t\",\"n\":{\"deep\":true}}}\n\n\
         {\"label\":2.5,\"text\":null,\"tags\":[1,\"b\"],\"meta\":{}}\n{\"new\":\"z\"}",
    );
    let table = Table::read(&path).unwrap();
    assert_eq!(names(&table), ["text", "label", "meta.title", "meta.n.deep", "tags", "meta", "new"]);
    assert_eq!(values(&table, "text"), [Some("a"), None, None]);
    assert_eq!(values(&table, "label"), [Some("1"), Some("2.5"), None]);
    assert_eq!(values(&table, "meta.title"), [Some("t"), None, None]);
    assert_eq!(values(&table, "meta.n.deep"), [Some("true"), None, None]);
    assert_eq!(values(&table, "tags"), [None, Some("[1,\"b\"]"), None]);
    assert_eq!(values(&table, "new"), [None, None, Some("z")]);
}

#[test]
fn parquet_of_several_row_groups() {
    let dir = folder();
    let path = dir.path().join("a.parquet");
    parquet(&path, &[Some("a"), None, Some("三")], 2);
    let table = Table::read(&path).unwrap();
    assert_eq!(names(&table), ["id", "text", "score", "meta.title"]);
    assert_eq!(values(&table, "id"), [Some("0"), Some("1"), Some("2")]);
    assert_eq!(values(&table, "text"), [Some("a"), None, Some("三")]);
    assert_eq!(values(&table, "score"), [Some("0"), Some("0.5"), Some("1")]);
    assert_eq!(values(&table, "meta.title"), [Some("title 0"), Some("title 1"), Some("title 2")]);
}

#[test]
fn tables_without_a_header() {
    let dir = folder();
    let path = put(dir.path(), "a.csv", "A man, a plan,\"Another, man\",2.5\n");
    assert_eq!(Table::read_headerless(&path).unwrap().columns.len(), 4);
    let path = put(dir.path(), "a.tsv.gz", gzip(b"one\ttwo\t1.5\nthree\tfour\t0\n"));
    let table = Table::read_headerless(&path).unwrap();
    assert_eq!(names(&table), ["0", "1", "2"]);
    assert_eq!(values(&table, "2"), [Some("1.5"), Some("0")]);
}

#[test]
fn columns_are_guessed() {
    let dir = folder();
    let read = |header: &str| Table::read(&put(dir.path(), "a.csv", format!("{header}\na,b\n"))).unwrap();
    assert_eq!(read("Sentence,CLASS").guess_text(Some("CLASS")).unwrap().name, "Sentence");
    assert_eq!(read("Sentence,CLASS").guess_label().unwrap().name, "CLASS");
    assert_eq!(read("q,kind").guess_text(Some("kind")).unwrap().name, "q");
    assert!(read("q,kind").guess_text(None).is_err());
    assert!(read("q,kind").guess_label().is_err());
    assert!(read("q,kind").column("q").is_ok());
}

/// All rows, in batches of two.
fn stream(path: &Path, text: Option<&str>, pair: Option<&str>) -> Vec<TextRow> {
    let mut rows = TextRows::open(Some(path), text, pair).unwrap();
    let mut all = Vec::new();
    loop {
        let batch = rows.next_batch(2).unwrap();
        assert!(batch.len() <= 2);
        let (done, size) = rows.progress().unwrap();
        assert!(done <= size);
        if batch.is_empty() {
            assert_eq!(done, size, "progress does not end at the end");
            return all;
        }
        all.extend(batch);
    }
}

fn row(text: &str, pair: Option<&str>) -> TextRow {
    TextRow { text: text.into(), pair: pair.map(str::to_owned) }
}

#[test]
fn lines_of_text_stay_in_step() {
    let dir = folder();
    let path = put(dir.path(), "a.txt", "one\n\n  two \r\n三");
    let want = [row("one", None), row("", None), row("  two ", None), row("三", None)];
    assert_eq!(stream(&path, None, None), want);
    let path = put(dir.path(), "a.txt.gz", gzip("one\n\n  two \r\n三\n".as_bytes()));
    assert_eq!(stream(&path, None, None), want);
}

#[test]
fn tables_stream_their_text_and_pair() {
    let dir = folder();
    let csv = put(dir.path(), "a.csv", "id,text,other\n1,a,b\n2,,d\n3,e,\n");
    assert_eq!(stream(&csv, None, None), [row("a", None), row("", None), row("e", None)]);
    let pairs = stream(&csv, Some("text"), Some("other"));
    assert_eq!(pairs, [row("a", Some("b")), row("", Some("d")), row("e", Some(""))]);

    let jsonl = put(dir.path(), "a.jsonl", "{\"m\":{\"t\":\"a\"},\"p\":1}\n{\"m\":{\"t\":null},\"p\":2}\n");
    assert_eq!(stream(&jsonl, Some("m.t"), Some("p")), [row("a", Some("1")), row("", Some("2"))]);

    let path = dir.path().join("a.parquet");
    parquet(&path, &[Some("a"), None, Some("c")], 2);
    let want = [row("a", Some("title 0")), row("", Some("title 1")), row("c", Some("title 2"))];
    assert_eq!(stream(&path, None, Some("meta.title")), want);
}

#[test]
fn a_label_is_not_taken_for_the_text() {
    let dir = folder();
    let path = put(dir.path(), "a.csv", "label,words\nx,a\n");
    assert_eq!(stream(&path, None, None), [row("a", None)]);
}

#[test]
fn bad_bytes_in_a_stream_are_replaced_and_told() {
    let dir = folder();
    let path = put(dir.path(), "a.txt", b"one\ntwo\xFF\n");
    let mut rows = TextRows::open(Some(&path), None, None).unwrap();
    assert_eq!(rows.next_batch(9).unwrap(), [row("one", None), row("two\u{FFFD}", None)]);
    assert_eq!(rows.warnings().len(), 1);
}
