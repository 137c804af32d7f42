//! From labelled tables to encoded rows: columns, the label set, the split.

use crate::error::{Error, Result};
use crate::objective::whole_sequence::{Output, Rows, Targets};
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
}

/// A text or pair with its label, and where it stands in its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelledRow {
    /// Text and second text.
    pub texts: (String, Option<String>),
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
    pub fn new(table: &Table, columns: &Columns) -> Result<Self> {
        let file = table.path.clone();
        let label = match &columns.label {
            Some(name) => table.column(name)?,
            None => table.guess_label()?,
        };
        let text = match &columns.text {
            Some(name) => table.column(name)?,
            None => table.guess_text(Some(&label.name))?,
        };
        let pair = columns.pair.as_ref().map(|name| table.column(name)).transpose()?;
        let named = [Some((text, "text")), pair.map(|p| (p, "pair")), Some((label, "label"))];
        let named: Vec<(&Column, &'static str)> = named.into_iter().flatten().collect();
        for (i, (a, first)) in named.iter().enumerate() {
            if let Some((_, second)) = named[i + 1..].iter().find(|(b, _)| a.name == b.name) {
                return Err(Error::SameColumn { file, column: a.name.clone(), first, second });
            }
        }
        if table.rows() == 0 {
            return Err(Error::NoRows { file });
        }
        named.iter().try_for_each(|(column, _)| all_there(&file, column))?;
        let value = |column: &Column, i: usize| column.values[i].clone().unwrap_or_default();
        let rows = (0..table.rows())
            .map(|i| LabelledRow {
                texts: (value(text, i), pair.map(|p| value(p, i))),
                label: value(label, i).trim().to_owned(),
                row: i + 1,
            })
            .collect();
        let name = |column: &Column| Some(column.name.clone());
        let columns = Columns { text: name(text), pair: pair.and_then(name), label: name(label) };
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
            let column = self.columns.label.clone().unwrap_or_default();
            return Err(Error::OneClass { file: self.file.clone(), column, label: label.clone() });
        }
        if labels.iter().all(|l| l.parse::<i64>().is_ok()) {
            labels.sort_by_key(|l| l.parse::<i64>().expect("just tried"));
        }
        Ok(labels)
    }

    /// The number of each row's label in `labels`.
    ///
    /// # Errors
    /// A label that is not in the set, named with its row.
    pub fn numbers(&self, labels: &[String]) -> Result<Vec<usize>> {
        let number: BTreeMap<&str, usize> = labels.iter().enumerate().map(|(i, l)| (l.as_str(), i)).collect();
        self.rows
            .iter()
            .map(|r| {
                number.get(r.label.as_str()).copied().ok_or_else(|| Error::UnseenLabel {
                    file: self.file.clone(),
                    row: r.row,
                    label: r.label.clone(),
                    known: shortened(labels),
                })
            })
            .collect()
    }

    /// Each row's label as a number that was measured.
    ///
    /// # Errors
    /// A label that is no finite number, named with its row.
    pub fn measured(&self) -> Result<Vec<f32>> {
        let number = |r: &LabelledRow| {
            let found = r.label.parse::<f32>().ok().filter(|n| n.is_finite());
            found.ok_or_else(|| Error::NotANumber {
                file: self.file.clone(),
                row: r.row,
                column: self.columns.label.clone().unwrap_or_default(),
                found: r.label.clone(),
            })
        };
        self.rows.iter().map(number).collect()
    }

    /// Encodes all rows for a model with this output.
    ///
    /// # Errors
    /// A label that is none of the output's, or no number, named with its row.
    pub fn encode(&self, tokenizer: &Tokenizer, output: &Output, max_length: usize) -> Result<Rows> {
        let mut rows = Rows::of(match output {
            Output::Labels(labels) => Targets::Classes(self.numbers(labels)?),
            Output::Number(_) => Targets::Numbers(self.measured()?),
        });
        // In parts, so that the offsets and words of a large file do not stand in memory at once.
        for part in self.rows.chunks(4_096) {
            let texts: Vec<_> = part.iter().map(|r| r.texts.clone()).collect();
            tokenizer.encode_batch(&texts, max_length)?.iter().for_each(|e| rows.push(e));
        }
        Ok(rows)
    }

    /// Takes a tenth of each label's rows out for validation, at least one where a label has two
    /// rows; both parts keep the file's order. Of measured numbers, a tenth of all rows.
    ///
    /// # Errors
    /// No label has two rows; one row only.
    pub fn split(self, stream: Stream, measured: bool) -> Result<(Self, Self)> {
        let mut by_label: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (i, r) in self.rows.iter().enumerate() {
            by_label.entry(if measured { "" } else { &r.label }).or_default().push(i);
        }
        let mut valid = BTreeSet::new();
        for (k, rows) in by_label.into_values().enumerate() {
            let mut rows = rows;
            let count = if rows.len() < 2 { 0 } else { ((rows.len() as f64 / 10.0).round() as usize).max(1) };
            stream.named("split").at(k as u64).shuffle(&mut rows);
            valid.extend(rows.into_iter().take(count));
        }
        if valid.is_empty() {
            return Err(Error::NothingToValidate { file: self.file, rows: self.rows.len() });
        }
        let Self { file, columns, rows } = self;
        let part = |kept: bool, rows: &[LabelledRow]| Self {
            file: file.clone(),
            columns: columns.clone(),
            rows: rows.iter().enumerate().filter(|(i, _)| valid.contains(i) == kept).map(|(_, r)| r.clone()).collect(),
        };
        Ok((part(false, &rows), part(true, &rows)))
    }
}

/// Errors at the first empty value of a column.
fn all_there(file: &Path, column: &Column) -> Result<()> {
    let empty = |v: &&Option<String>| v.as_ref().is_none_or(|t| t.trim().is_empty());
    let Some(first) = column.values.iter().position(|v| empty(&v)) else { return Ok(()) };
    let count = column.values.iter().filter(empty).count();
    Err(Error::MissingValue { file: file.to_owned(), row: first + 1, column: column.name.clone(), count })
}

/// The first few labels, for a message.
fn shortened(labels: &[String]) -> String {
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
        Columns { text: Some("t".into()), pair: None, label: Some("l".into()) }
    }

    fn labels(values: &[&str]) -> Vec<String> {
        let texts = vec!["x"; values.len()];
        Labelled::new(&table(&[("t", &texts), ("l", values)]), &named()).unwrap().label_set().unwrap()
    }

    #[test]
    fn label_sets_are_sorted_as_numbers_or_as_text() {
        assert_eq!(labels(&["10", "9", "-1", "10"]), ["-1", "9", "10"]);
        assert_eq!(labels(&["10", "9", "b", "a"]), ["10", "9", "a", "b"]);
    }

    #[test]
    fn one_label_only_is_an_error() {
        let rows = Labelled::new(&table(&[("t", &["a", "b"]), ("l", &["x", "x"])]), &named()).unwrap();
        let error = rows.label_set().unwrap_err();
        assert_eq!(error.to_string(), "column `l` of rows.csv has one label only (`x`), expected at least two");
    }

    #[test]
    fn missing_values_are_named_by_row() {
        let error = Labelled::new(&table(&[("t", &["a", "", " "]), ("l", &["x", "y", "x"])]), &named()).unwrap_err();
        assert_eq!(error.to_string(), "rows.csv, row 2: column `t` is empty (2 such row(s) in all)");
        let error = Labelled::new(&table(&[("t", &["a", "b"]), ("l", &["x", ""])]), &named()).unwrap_err();
        assert_eq!(error.to_string(), "rows.csv, row 2: column `l` is empty (1 such row(s) in all)");
    }

    #[test]
    fn no_rows_and_a_column_named_twice_are_errors() {
        let error = Labelled::new(&table(&[("t", &[]), ("l", &[])]), &named()).unwrap_err();
        assert!(matches!(error, Error::NoRows { .. }));
        let twice = Columns { text: Some("l".into()), ..named() };
        let error = Labelled::new(&table(&[("t", &["a"]), ("l", &["x"])]), &twice).unwrap_err();
        assert_eq!(error.to_string(), "column `l` of rows.csv was named both as text and as label");
    }

    #[test]
    fn a_label_unseen_in_training_is_named_with_its_row() {
        let rows = Labelled::new(&table(&[("t", &["a", "b"]), ("l", &["x", "z"])]), &named()).unwrap();
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
        let all = Labelled::new(&table(&[("t", &texts), ("l", &values)]), &named()).unwrap();
        let (train, valid) = all.clone().split(Stream::new(1), false).unwrap();
        let count = |part: &Labelled, l: &str| part.rows.iter().filter(|r| r.label == l).count();
        assert_eq!((count(&valid, "a"), count(&valid, "b"), count(&valid, "c")), (4, 2, 0));
        let mut rows: Vec<usize> = train.rows.iter().chain(&valid.rows).map(|r| r.row).collect();
        rows.sort_unstable();
        assert_eq!(rows, (1..=60).collect::<Vec<_>>());
        let again = all.split(Stream::new(2), false).unwrap().1;
        assert_ne!(again.rows, valid.rows);
    }

    #[test]
    fn nothing_to_split_is_an_error() {
        let rows = Labelled::new(&table(&[("t", &["a", "b"]), ("l", &["x", "y"])]), &named()).unwrap();
        assert!(matches!(rows.split(Stream::new(0), false), Err(Error::NothingToValidate { rows: 2, .. })));
    }
}
