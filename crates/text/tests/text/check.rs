//! Checks of labelled rows.

use polyseme_text::check::LabelledRow;
use polyseme_text::{TableCheck, check};

fn rows<'a>(rows: &[(&'a str, &'a str)]) -> Vec<LabelledRow<'a>> {
    rows.iter().map(|(text, label)| (*text, None, *label)).collect()
}

#[test]
fn nothing_to_say() {
    let found = check(rows(&[("a", "x"), ("b", "y"), ("c", "y")]), rows(&[("d", "x"), ("A", "y")]));
    let want = TableCheck { imbalance: Some(("y".into(), 2, "x".into(), 1)), ..TableCheck::default() };
    assert_eq!(found, want);
    assert_eq!(found.sentences(), [""; 0]);
    assert_eq!(check([], []), TableCheck::default());
    assert_eq!(check(rows(&[("a", "x")]), []).imbalance, None);
}

#[test]
fn repeated_texts_and_their_labels() {
    let train = rows(&[("a", "x"), ("b", "x"), (" a\n", "x"), ("b", "y"), ("a", "y"), ("b ", "y")]);
    let found = check(train, []);
    assert_eq!((found.duplicates, found.conflicting, found.first_conflict), (4, 3, Some((2, 4))));
    assert_eq!(
        found.sentences(),
        [
            "4 training rows repeat the text of an earlier one.",
            "3 repeated texts have another label than the first time: row 4 against row 2, and others.",
        ]
    );
    assert_eq!(
        check(rows(&[("a", "x"), ("a", "y")]), []).sentences(),
        [
            "1 training row repeats the text of an earlier one.",
            "1 repeated text has another label than the first time: row 2 against row 1.",
        ]
    );
}

#[test]
fn pairs_are_compared_as_pairs() {
    let train = [("a", Some("b"), "x"), ("a", Some("c"), "y"), ("a", None, "y"), ("a", Some(" b"), "x")];
    let found = check(train, [("b", Some("a"), "x"), ("a", Some("c "), "x")]);
    assert_eq!((found.duplicates, found.conflicting), (1, 0));
    assert_eq!((found.leaked, found.first_leak), (1, Some((2, 2))));
}

#[test]
fn validation_texts_that_are_training_texts() {
    let train = rows(&[("a", "x"), ("b", "x")]);
    let one = check(train.clone(), rows(&[("c", "x"), ("b\t", "y")]));
    assert_eq!((one.leaked, one.first_leak), (1, Some((2, 2))));
    assert_eq!(
        one.sentences(),
        ["1 validation row has a text of the training rows, which makes results look better than they are: \
          validation row 2 is training row 2."]
    );
    // Texts repeated among the validation rows alone are no leak.
    let two = check(train, rows(&[("b", "x"), ("c", "x"), ("c", "x"), ("b", "x")]));
    assert_eq!((two.duplicates, two.leaked, two.first_leak), (0, 2, Some((2, 1))));
    assert_eq!(
        two.sentences(),
        ["2 validation rows have a text of the training rows, which makes results look better than they are: \
          validation row 1 is training row 2, and others."]
    );
}

#[test]
fn rare_labels() {
    let with = |many: usize, few: usize| {
        let texts: Vec<String> = (0..many + few).map(|i| i.to_string()).collect();
        let row = |(i, text)| (text, None, if i < many { "often" } else { "seldom" });
        check(texts.iter().map(String::as_str).enumerate().map(row), [])
    };
    assert_eq!(with(19, 2).sentences(), [""; 0]);
    assert_eq!(with(20, 2).sentences(), ["The label `often` has 20 rows, and `seldom` has 2 rows."]);
    assert_eq!(with(10, 1).sentences(), ["The label `often` has 10 rows, and `seldom` has 1 row."]);
    assert_eq!(with(3, 3).imbalance, Some(("often".into(), 3, "seldom".into(), 3)));
}
