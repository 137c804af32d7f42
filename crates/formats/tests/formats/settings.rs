//! TOML files of settings.

use crate::common::{fixture, folder, refused, refused_by_system};
use polyseme_formats::settings;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

#[derive(Serialize, Deserialize, Debug, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Length {
    Steps(u64),
    Budget(f64),
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
struct Plan {
    seed: u64,
    from: Option<String>,
    length: Length,
    learning_rate: f64,
    best: f64,
    counts: BTreeMap<u64, u64>,
    after: bool,
}

fn plan() -> Plan {
    Plan {
        seed: u64::MAX,
        from: None,
        length: Length::Budget(1800.0),
        learning_rate: 0.1 + 0.2,
        best: f64::NEG_INFINITY,
        counts: BTreeMap::from([(3, 4)]),
        after: true,
    }
}

#[test]
fn settings_come_back_to_the_last_bit() {
    let dir = folder();
    let path = dir.path().join("settings.toml");
    settings::write(&path, &plan()).unwrap();
    assert_eq!(settings::read::<Plan>(&path).unwrap(), plan());
    let other = Plan { from: Some("a\nb \"c\"".into()), length: Length::Steps(3), ..plan() };
    settings::write(&path, &other).unwrap();
    assert_eq!(settings::read::<Plan>(&path).unwrap(), other);
}

#[test]
fn an_unknown_key_names_the_nearest() {
    let text = settings::to_toml(&plan()).unwrap().replace("learning_rate", "lerning_rate");
    let error =
        refused(settings::parse::<Plan>(Path::new("mine.toml"), &text), &["mine.toml", "unknown key `lerning_rate`"]);
    assert_eq!(error.hint().unwrap(), "did you mean `learning_rate`?");
    let error = refused(settings::parse::<Plan>(Path::new("mine.toml"), "xyzzy = 1"), &["line 1: unknown key `xyzzy`"]);
    assert!(error.hint().unwrap().contains("seed, from, length"), "{:?}", error.hint());
}

#[test]
fn a_wrong_value_names_line_and_column() {
    let text = "from = \"x\"\nseed = \"many\"\n";
    refused(settings::parse::<Plan>(Path::new("mine.toml"), text), &["line 2, column 8", "expected u64"]);
    refused(settings::parse::<Plan>(Path::new("mine.toml"), "seed = = 3"), &["line 1, column 8"]);
    refused(settings::parse::<Plan>(Path::new("mine.toml"), "seed = 3"), &["missing field `length`"]);
}

#[test]
fn bytes_that_are_no_text_are_placed() {
    let dir = folder();
    let path = dir.path().join("bad.toml");
    std::fs::write(&path, b"seed = 1\nfrom = \"\xff\"\n").unwrap();
    refused(settings::read::<Plan>(&path), &["bad.toml", "line 2, column 9", "not UTF-8"]);
    refused(settings::read::<Plan>(dir.path()), &["it is a folder"]);
    refused(settings::read::<Plan>(&fixture("nowhere.toml")), &["cannot read"]);
}

#[test]
fn what_toml_cannot_say_is_our_fault() {
    let dir = folder();
    let path = dir.path().join("settings.toml");
    refused_by_system(settings::write(&path, &vec![1, 2]), &["cannot be written as TOML"]);
    assert!(!path.exists());
}
