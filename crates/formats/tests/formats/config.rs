//! Every key of a config.json is consumed, kept or refused.

use crate::common::{fixture, folder, refused};
use polyseme_formats::ConfigJson;
use serde_json::{Map, Value, json};
use std::path::Path;

fn config(value: Value) -> ConfigJson {
    match value {
        Value::Object(map) => ConfigJson::from_map("config.json", map),
        _ => panic!("an object"),
    }
}

fn read(text: &str) -> polyseme_formats::Result<ConfigJson> {
    let dir = folder();
    let path = dir.path().join("config.json");
    std::fs::write(&path, text).unwrap();
    ConfigJson::read(&path)
}

#[test]
fn getters_give_values_defaults_and_treat_null_as_absent() {
    let mut c = config(json!({"a": 3, "b": 0.5, "c": true, "d": "x", "n": null, "list": [1]}));
    assert_eq!(c.usize("a").unwrap(), 3);
    assert_eq!(c.usize_or("n", 7).unwrap(), 7);
    assert_eq!(c.f64_or("b", 0.0).unwrap(), 0.5);
    assert_eq!(c.f64_or("a", 0.0).unwrap(), 3.0);
    assert_eq!(c.opt_f64("n").unwrap(), None);
    assert!(c.bool_or("c", false).unwrap());
    assert_eq!(c.str_or("d", "y").unwrap(), "x");
    assert_eq!(c.str_or("e", "y").unwrap(), "y");
    assert_eq!(c.take("list"), Some(json!([1])));
    assert_eq!(c.take("nothing"), None);
    assert_eq!(c.unconsumed(), Vec::<String>::new());
}

#[test]
fn what_nobody_took_is_kept_in_its_place() {
    let mut c = config(json!({"z": 1, "hidden_size": 2, "a": 3, "architectures": ["X"]}));
    c.usize("hidden_size").unwrap();
    assert_eq!(c.unconsumed(), ["z", "a", "architectures"]);
    let mut updates = Map::new();
    updates.insert("new".into(), json!(1));
    updates.insert("a".into(), json!(4));
    let merged = c.merged(updates);
    let expected = r#"{"z":1,"hidden_size":2,"a":4,"architectures":["X"],"new":1}"#;
    assert_eq!(Value::Object(merged).to_string(), expected);
}

#[test]
fn a_missing_key_names_the_nearest() {
    let mut c = config(json!({"hiden_size": 2, "vocab_size": 3}));
    let error = refused(c.usize("hidden_size"), &["config.json", "`hidden_size` is missing"]);
    assert!(error.hint().unwrap().contains("did you mean `hiden_size`"));
    let error = refused(c.str("model_type"), &["`model_type` is missing"]);
    assert!(error.hint().unwrap().contains("add `model_type`"));
}

#[test]
fn a_wrong_type_names_what_was_found() {
    let long = "y".repeat(500);
    let mut c = config(json!({"a": "3", "b": -1, "c": 1.5, "d": {}, "e": [1], "f": true, "g": long}));
    refused(c.usize("a"), &["`a` is the string \"3\"", "expected a whole number"]);
    refused(c.usize("b"), &["`b` is the number -1"]);
    refused(c.usize_or("c", 1), &["`c` is the number 1.5"]);
    refused(c.f64_or("d", 1.0), &["`d` is an object", "expected a number"]);
    refused(c.bool_or("e", true), &["`e` is the list [1]", "expected true or false"]);
    refused(c.str_or("f", ""), &["`f` is true", "expected a string"]);
    let error = refused(c.bool_or("g", true), &["yyy…"]);
    assert!(error.to_string().len() < 200);
}

#[test]
fn an_unsupported_value_is_refused_with_its_reason() {
    let mut c = config(json!({"is_decoder": true, "chunk": 0.0, "scale": null, "absent": 1}));
    let why = "a decoder attends only to the left";
    refused(c.refuse_unless("is_decoder", false.into(), why), &["`is_decoder` is true; only false is supported", why]);
    c.refuse_unless("chunk", 0.into(), "").unwrap();
    c.refuse_unless("scale", 1.into(), "").unwrap();
    c.refuse_unless("not there", 1.into(), "").unwrap();
    assert_eq!(c.unconsumed(), ["absent"]);
}

#[test]
fn bad_json_names_line_and_column() {
    refused(read("{\n  \"a\": 1,\n  \"b\": oops\n}"), &["config.json", "line 3, column 8", "expected value"]);
    refused(read("{\"a\": 1"), &["line 1, column 7", "EOF"]);
    refused(read(""), &["found an empty file, expected JSON"]);
    refused(read("\n[1, "), &["line 2, column 4"]);
    refused(read("{\"loss\": NaN}"), &["line 1, column 10"]);
    refused(read("[1, 2]"), &["found the list [1,2], expected a JSON object"]);
}

#[test]
fn pointers_and_web_pages_are_called_by_their_name() {
    let error = refused(read("version https://git-lfs.github.com/spec/v1\n"), &["found a Git LFS pointer"]);
    assert!(error.hint().unwrap().contains("git lfs pull"));
    refused(read("<html>404</html>"), &["found a web page, expected JSON"]);
}

#[test]
fn a_byte_order_mark_is_skipped() {
    assert_eq!(read("\u{feff}{\"a\": 1}").unwrap().usize("a").unwrap(), 1);
}

#[test]
fn a_missing_file_and_a_folder_are_said() {
    refused(ConfigJson::read(&fixture("nowhere.json")), &["cannot read", "nowhere.json"]);
    refused(ConfigJson::read(&fixture("sharded")), &["it is a folder"]);
}

#[test]
fn written_and_read_it_is_the_same() {
    let dir = folder();
    let path = dir.path().join("config.json");
    let Value::Object(map) = json!({"b": 1e-12, "a": {"x": [true, null]}, "naïve": "文"}) else { unreachable!() };
    ConfigJson::write(&path, &map).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.starts_with("{\n  \"b\": 1e-12,\n") && text.ends_with("}\n"), "{text}");
    assert_eq!(ConfigJson::read(&path).unwrap().merged(Map::new()), map);
    refused(ConfigJson::write(Path::new("/"), &map), &["it is a folder"]);
}
