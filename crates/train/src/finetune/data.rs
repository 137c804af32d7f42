//! From labelled tables to encoded rows: columns, the label set, the split.

use crate::error::{Error, Result};
use crate::tasks::rows::{LooksAt, Rows};
use polyseme_tensor::Stream;
use polyseme_text::{Column, Table, Tokenizer};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Names of the columns; `None` are guessed from the header.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Columns {
    /// The text.
    pub text: Option<String>,
    /// The second text of a pair.
    pub pair: Option<String>,
    /// The label.
    pub label: Option<String>,
    /// The choices of multiple choice, two or more.
    #[serde(default)]
    pub choices: Vec<String>,
}

/// What a label column must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelRule {
    /// A value in each row.
    Always,
    /// A value or nothing: a row may have no label.
    Maybe,
    /// There is none.
    Never,
}

/// A text or pair with its label, and where it stands in its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelledRow {
    /// Text and second text.
    pub texts: (String, Option<String>),
    /// The choices.
    pub choices: Vec<String>,
    /// The label as it stands in the file.
    pub label: String,
    /// Row in the file, counted from 1 without the header.
    pub row: usize,
}

/// Labelled rows of one file.
#[derive(Clone, Debug)]
pub struct Labelled {
    /// The file.
    pub file: PathBuf,
    /// The columns that were used.
    pub columns: Columns,
    /// The rows.
    pub rows: Vec<LabelledRow>,
}

impl Labelled {
    /// Takes text, pair and label columns out of a table.
    ///
    /// # Errors
    /// No rows, a column that is not there or cannot be guessed, a column named twice, a row
    /// without text, second text or label.
    pub fn new(table: &Table, columns: &Columns, rule: LabelRule) -> Result<Self> {
        let file = table.path.clone();
        let label = match (&columns.label, rule) {
            (_, LabelRule::Never) => None,
            (Some(name), _) => Some(table.column(name)?),
            (None, _) => Some(table.guess_label()?),
        };
        let text = match &columns.text {
            Some(name) => table.column(name)?,
            None => table.guess_text(label.map(|label| label.name.as_str()))?,
        };
        let pair = columns.pair.as_ref().map(|name| table.column(name)).transpose()?;
        let choices: Vec<&Column> =
            columns.choices.iter().map(|name| table.column(name)).collect::<std::result::Result<_, _>>()?;
        let named = [Some((text, "text")), pair.map(|p| (p, "pair")), label.map(|l| (l, "label"))];
        let named: Vec<_> = named.into_iter().flatten().chain(choices.iter().map(|c| (*c, "choice"))).collect();
        for (i, (a, first)) in named.iter().enumerate() {
            if let Some((_, second)) = named[i + 1..].iter().find(|(b, _)| a.name == b.name) {
                return Err(Error::SameColumn { file, column: a.name.clone(), first, second });
            }
        }
        if table.rows() == 0 {
            return Err(Error::NoRows { file });
        }
        let needed = |what: &str| what != "label" || rule == LabelRule::Always;
        named.iter().filter(|(_, what)| needed(what)).try_for_each(|(column, _)| all_there(&file, column))?;
        let value = |column: &Column, i: usize| column.values[i].clone().unwrap_or_default();
        let rows = (0..table.rows())
            .map(|i| LabelledRow {
                texts: (value(text, i), pair.map(|p| value(p, i))),
                choices: choices.iter().map(|c| value(c, i)).collect(),
                label: label.map(|l| value(l, i).trim().to_owned()).unwrap_or_default(),
                row: i + 1,
            })
            .collect();
        let name = |column: &Column| Some(column.name.clone());
        let columns = Columns {
            text: name(text),
            pair: pair.and_then(name),
            label: label.and_then(name),
            choices: columns.choices.clone(),
        };
        Ok(Self { file, columns, rows })
    }

    /// The label set: sorted as numbers if all are whole numbers, else as text.
    ///
    /// # Errors
    /// One label only.
    pub fn label_set(&self) -> Result<Vec<String>> {
        let distinct: BTreeSet<&str> = self.rows.iter().map(|r| r.label.as_str()).collect();
        let mut labels: Vec<String> = distinct.into_iter().map(str::to_owned).collect();
        if let [label] = labels.as_slice() {
            return Err(self.one_class(label));
        }
        if labels.iter().all(|l| l.parse::<i64>().is_ok()) {
            labels.sort_by_key(|l| l.parse::<i64>().expect("just tried"));
        }
        Ok(labels)
    }

    /// The label set of these rows and of others.
    pub(super) fn label_set_with(&self, others: &Self) -> Result<Vec<String>> {
        let mut all = self.clone();
        all.rows.extend(others.rows.iter().cloned());
        all.label_set()
    }

    /// The error for one label only.
    pub(super) fn one_class(&self, label: &str) -> Error {
        let column = self.columns.label.clone().unwrap_or_default();
        Error::OneClass { file: self.file.clone(), column, label: label.to_owned() }
    }

    /// The number of each row's label in `labels`.
    ///
    /// # Errors
    /// A label that is not in the set, named with its row.
    pub fn numbers(&self, labels: &[String]) -> Result<Vec<usize>> {
        let number: BTreeMap<&str, usize> = labels.iter().enumerate().map(|(i, l)| (l.as_str(), i)).collect();
        let of =
            |r: &LabelledRow| number.get(r.label.as_str()).copied().ok_or_else(|| self.unseen(r, &r.label, labels));
        self.rows.iter().map(of).collect()
    }

    /// Each row's label as a number that was measured.
    ///
    /// # Errors
    /// A label that is no number, or one whose square is beyond what is computed with, named with its row.
    pub fn measured(&self) -> Result<Vec<f32>> {
        let number = |r: &LabelledRow| {
            let found = r.label.parse::<f32>().ok();
            found.filter(|n| n.abs() <= 1e18).ok_or_else(|| Error::NotANumber {
                file: self.file.clone(),
                row: r.row,
                column: self.columns.label.clone().unwrap_or_default(),
                found: r.label.clone(),
                expected: if found.is_some() { "a number from -1e18 to 1e18" } else { "a number" },
            })
        };
        self.rows.iter().map(number).collect()
    }

    /// The labels of each row, of a list in JSON (`["a", "b"]`) or parted by `separator`; each once.
    pub fn several(&self, separator: &str) -> Vec<Vec<String>> {
        let of = |r: &LabelledRow| {
            let list = serde_json::from_str::<Vec<serde_json::Value>>(&r.label).ok();
            let labels: Vec<String> = match list {
                Some(list) => list.iter().map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned)).collect(),
                None => r.label.split(separator).map(str::to_owned).collect(),
            };
            let mut each: Vec<String> = labels.iter().map(|l| l.trim().to_owned()).filter(|l| !l.is_empty()).collect();
            each.sort();
            each.dedup();
            each
        };
        self.rows.iter().map(of).collect()
    }

    /// Which of several labels each row has.
    ///
    /// # Errors
    /// A label that is not in the set, named with its row.
    pub fn several_of(&self, labels: &[String], separator: &str) -> Result<Vec<Vec<bool>>> {
        let of = |(r, its): (&LabelledRow, Vec<String>)| {
            if let Some(label) = its.iter().find(|l| !labels.contains(l)) {
                return Err(self.unseen(r, label, labels));
            }
            Ok(labels.iter().map(|l| its.contains(l)).collect())
        };
        self.rows.iter().zip(self.several(separator)).map(of).collect()
    }

    /// The number of each row's right choice: counted from 0, or named by its letter (A, B, …) or its column.
    ///
    /// # Errors
    /// A label that names none, named with its row.
    pub fn chosen(&self) -> Result<Vec<usize>> {
        let names = &self.columns.choices;
        let of = |r: &LabelledRow| {
            let letter = |l: &str| match l.as_bytes() {
                [c] if c.is_ascii_alphabetic() => Some(usize::from(c.to_ascii_uppercase() - b'A')),
                _ => None,
            };
            let by_name = names.iter().position(|n| *n == r.label);
            let found = by_name.or_else(|| r.label.parse().ok()).or_else(|| letter(&r.label));
            found.filter(|n| *n < names.len()).ok_or_else(|| Error::NoSuchChoice {
                file: self.file.clone(),
                row: r.row,
                label: r.label.clone(),
                choices: names.len(),
            })
        };
        self.rows.iter().map(of).collect()
    }

    fn unseen(&self, row: &LabelledRow, label: &str, known: &[String]) -> Error {
        Error::UnseenLabel { file: self.file.clone(), row: row.row, label: label.to_owned(), known: shortened(known) }
    }

    /// Encodes the two texts of each row apart from each other, cut at `max_length` tokens.
    ///
    /// # Errors
    /// A length without room for the special tokens.
    pub fn encode_apart(&self, tokenizer: &Tokenizer, max_length: usize, looks_at: LooksAt) -> Result<Rows> {
        let mut rows = Rows::new(2, looks_at);
        for part in self.rows.chunks(4_096) {
            let both = |r: &LabelledRow| [(r.texts.0.clone(), None), (r.texts.1.clone().unwrap_or_default(), None)];
            let texts: Vec<_> = part.iter().flat_map(both).collect();
            tokenizer.encode_batch(&texts, max_length)?.iter().for_each(|e| rows.push(e));
        }
        Ok(rows)
    }

    /// Encodes all rows, cut at `max_length` tokens; each choice behind its text.
    ///
    /// # Errors
    /// A length without room for the special tokens.
    pub fn encode(&self, tokenizer: &Tokenizer, max_length: usize) -> Result<Rows> {
        let mut rows = Rows::new(self.columns.choices.len().max(1), LooksAt::Sequences);
        // In parts, so that the offsets and words of a large file do not stand in memory at once.
        for part in self.rows.chunks(4_096) {
            let texts = part.iter().flat_map(|r| match r.choices.as_slice() {
                [] => vec![r.texts.clone()],
                choices => choices.iter().map(|c| (r.texts.0.clone(), Some(c.clone()))).collect(),
            });
            tokenizer.encode_batch(&texts.collect::<Vec<_>>(), max_length)?.iter().for_each(|e| rows.push(e));
        }
        Ok(rows)
    }

    /// Takes a tenth of each label's rows out for validation, at least one where a label has two
    /// rows; both parts keep the file's order. Where labels are not `alike`, a tenth of all rows.
    ///
    /// # Errors
    /// No label has two rows; one row only.
    pub fn split(self, stream: Stream, alike: bool) -> Result<(Self, Self)> {
        let valid = a_tenth(self.rows.iter().map(|r| if alike { r.label.as_str() } else { "" }), stream);
        if valid.is_empty() {
            let (file, rows) = (self.file, self.rows.len());
            let too_few = Error::TooFewToSplit { file: file.clone(), found: rows, what: "row(s)" };
            return Err(if alike { Error::NothingToValidate { file, rows } } else { too_few });
        }
        Ok(self.parted(&valid))
    }

    /// Those that are not `chosen`, and those that are.
    pub(super) fn parted(self, chosen: &BTreeSet<usize>) -> (Self, Self) {
        let Self { file, columns, rows } = self;
        let part = |kept: bool, rows: &[LabelledRow]| Self {
            file: file.clone(),
            columns: columns.clone(),
            rows: rows.iter().enumerate().filter(|(i, _)| chosen.contains(i) == kept).map(|(_, r)| r.clone()).collect(),
        };
        (part(false, &rows), part(true, &rows))
    }
}

/// A tenth of the rows of each label, at least one where it has two.
pub(super) fn a_tenth<'a>(labels: impl Iterator<Item = &'a str>, stream: Stream) -> BTreeSet<usize> {
    let mut by_label: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (i, label) in labels.enumerate() {
        by_label.entry(label).or_default().push(i);
    }
    let mut chosen = BTreeSet::new();
    for (k, mut rows) in by_label.into_values().enumerate() {
        let count = if rows.len() < 2 { 0 } else { ((rows.len() as f64 / 10.0).round() as usize).max(1) };
        stream.named("split").at(k as u64).shuffle(&mut rows);
        chosen.extend(rows.into_iter().take(count));
    }
    chosen
}

/// Errors at the first empty value of a column.
fn all_there(file: &Path, column: &Column) -> Result<()> {
    let empty = |v: &&Option<String>| v.as_ref().is_none_or(|t| t.trim().is_empty());
    let Some(first) = column.values.iter().position(|v| empty(&v)) else { return Ok(()) };
    let count = column.values.iter().filter(empty).count();
    Err(Error::MissingValue { file: file.to_owned(), row: first + 1, column: column.name.clone(), count })
}

/// The first few labels, for a message.
pub(super) fn shortened(labels: &[String]) -> String {
    let shown = labels.iter().take(20).map(|l| format!("`{l}`")).collect::<Vec<_>>().join(", ");
    if labels.len() > 20 { format!("{shown}, … ({} in all)", labels.len()) } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(columns: &[(&str, &[&str])]) -> Table {
        let column = |(name, values): &(&str, &[&str])| Column {
            name: (*name).to_owned(),
            values: values.iter().map(|v| (!v.is_empty()).then(|| (*v).to_owned())).collect(),
        };
        Table { path: "rows.csv".into(), columns: columns.iter().map(column).collect() }
    }

    fn named() -> Columns {
        Columns { text: Some("t".into()), label: Some("l".into()), ..Columns::default() }
    }

    fn labels(values: &[&str]) -> Vec<String> {
        let texts = vec!["x"; values.len()];
        Labelled::new(&table(&[("t", &texts), ("l", values)]), &named(), LabelRule::Always)
            .unwrap()
            .label_set()
            .unwrap()
    }

    #[test]
    fn label_sets_are_sorted_as_numbers_or_as_text() {
        assert_eq!(labels(&["10", "9", "-1", "10"]), ["-1", "9", "10"]);
        assert_eq!(labels(&["10", "9", "b", "a"]), ["10", "9", "a", "b"]);
    }

    #[test]
    fn one_label_only_is_an_error() {
        let rows =
            Labelled::new(&table(&[("t", &["a", "b"]), ("l", &["x", "x"])]), &named(), LabelRule::Always).unwrap();
        let error = rows.label_set().unwrap_err();
        assert_eq!(error.to_string(), "column `l` of rows.csv has one label only (`x`), expected at least two");
    }

    #[test]
    fn missing_values_are_named_by_row() {
        let error =
            Labelled::new(&table(&[("t", &["a", "", " "]), ("l", &["x", "y", "x"])]), &named(), LabelRule::Always)
                .unwrap_err();
        assert_eq!(error.to_string(), "rows.csv, row 2: column `t` is empty (2 such row(s) in all)");
        let error =
            Labelled::new(&table(&[("t", &["a", "b"]), ("l", &["x", ""])]), &named(), LabelRule::Always).unwrap_err();
        assert_eq!(error.to_string(), "rows.csv, row 2: column `l` is empty (1 such row(s) in all)");
    }

    #[test]
    fn no_rows_and_a_column_named_twice_are_errors() {
        let error = Labelled::new(&table(&[("t", &[]), ("l", &[])]), &named(), LabelRule::Always).unwrap_err();
        assert!(matches!(error, Error::NoRows { .. }));
        let twice = Columns { text: Some("l".into()), ..named() };
        let error = Labelled::new(&table(&[("t", &["a"]), ("l", &["x"])]), &twice, LabelRule::Always).unwrap_err();
        assert_eq!(error.to_string(), "column `l` of rows.csv was named both as text and as label");
    }

    #[test]
    fn a_label_unseen_in_training_is_named_with_its_row() {
        let rows =
            Labelled::new(&table(&[("t", &["a", "b"]), ("l", &["x", "z"])]), &named(), LabelRule::Always).unwrap();
        let error = rows.numbers(&["x".into(), "y".into()]).unwrap_err();
        assert_eq!(error.to_string(), "rows.csv, row 2: label `z` is unknown; known labels: `x`, `y`");
        assert_eq!(rows.numbers(&["z".into(), "x".into()]).unwrap(), [1, 0]);
    }

    #[test]
    fn the_split_is_stratified_and_disjoint() {
        let label = |i: usize| ["a", "b", "c"][usize::from(i >= 40) + usize::from(i == 59)];
        let values: Vec<&str> = (0..60).map(label).collect();
        let texts: Vec<String> = (0..60).map(|i| format!("text {i}")).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let all = Labelled::new(&table(&[("t", &texts), ("l", &values)]), &named(), LabelRule::Always).unwrap();
        let (train, valid) = all.clone().split(Stream::new(1), true).unwrap();
        let count = |part: &Labelled, l: &str| part.rows.iter().filter(|r| r.label == l).count();
        assert_eq!((count(&valid, "a"), count(&valid, "b"), count(&valid, "c")), (4, 2, 0));
        let mut rows: Vec<usize> = train.rows.iter().chain(&valid.rows).map(|r| r.row).collect();
        rows.sort_unstable();
        assert_eq!(rows, (1..=60).collect::<Vec<_>>());
        let again = all.split(Stream::new(2), true).unwrap().1;
        assert_ne!(again.rows, valid.rows);
    }

    #[test]
    fn nothing_to_split_is_an_error() {
        let rows =
            Labelled::new(&table(&[("t", &["a", "b"]), ("l", &["x", "y"])]), &named(), LabelRule::Always).unwrap();
        assert!(matches!(rows.split(Stream::new(0), true), Err(Error::NothingToValidate { rows: 2, .. })));
    }

    #[test]
    fn several_labels_are_a_list_or_parted() {
        let cells = ["a, b", "[\"b\", 3]", "", "b,a,b"];
        let rows = table(&[("t", &["w", "x", "y", "z"]), ("l", &cells)]);
        let rows = Labelled::new(&rows, &named(), LabelRule::Maybe).unwrap();
        assert_eq!(rows.several(","), [vec!["a", "b"], vec!["3", "b"], vec![], vec!["a", "b"]]);
        let labels = ["3", "a", "b"].map(String::from);
        assert_eq!(rows.several_of(&labels, ",").unwrap()[1], [true, false, true]);
        let error = rows.several_of(&labels[..2], ",").unwrap_err();
        assert_eq!(error.to_string(), "rows.csv, row 1: label `b` is unknown; known labels: `3`, `a`");
    }

    #[test]
    fn choices_are_named_by_number_letter_or_column() {
        let columns = Columns { choices: vec!["yes".into(), "no".into()], ..named() };
        let cells: [(&str, &[&str]); 4] =
            [("t", &["w", "x", "y"]), ("l", &["1", "a", "no"]), ("yes", &["1", "2", "3"]), ("no", &["4", "5", "6"])];
        let rows = Labelled::new(&table(&cells), &columns, LabelRule::Always).unwrap();
        assert_eq!(rows.chosen().unwrap(), [1, 0, 1]);
        let cells: [(&str, &[&str]); 4] = [cells[0], ("l", &["0", "2", "c"]), cells[2], cells[3]];
        let error = Labelled::new(&table(&cells), &columns, LabelRule::Always).unwrap().chosen().unwrap_err();
        assert_eq!(error.to_string(), "rows.csv, row 2: label `2` names none of the 2 choices");
    }
}
