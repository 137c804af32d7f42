//! Cross-validation: each row is measured in one of several runs that did not learn from it, and a last run learns
//! from all rows, for as many epochs as were best in the middle of the runs.

use super::data::{Labelled, a_tenth};
use super::settings::{CrossValidation, FinetuneSettings, SeedResult};
use crate::error::{Error, Result};
use crate::observer::{Event, Observer};
use crate::pretrain::settings::setting;
use polyseme_tensor::Stream;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Which rows are kept for validation where no file holds them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// A tenth.
    Tenth,
    /// One of several folds, from 1.
    Fold { number: u64, of: u64 },
    /// None, after so many folds.
    NoneAfter { folds: u64 },
}

/// What is kept for validation, by chance.
#[derive(Clone, Copy, Debug)]
pub(super) struct Split {
    pub which: Which,
    pub stream: Stream,
}

impl Split {
    /// Those of so many that are kept, none alike.
    pub fn of(self, file: &Path, count: usize, what: &'static str) -> Result<BTreeSet<usize>> {
        let labels = || (0..count).map(|_| "");
        if self.which == Which::Tenth {
            let chosen = a_tenth(labels(), self.stream);
            return match chosen.is_empty() {
                true => Err(Error::TooFewToSplit { file: file.to_owned(), found: count, what }),
                false => Ok(chosen),
            };
        }
        self.fold(file, labels(), what)
    }

    /// Rows to learn from and to validate on; the same share of each label, where labels are `alike`.
    pub fn rows(self, train: Labelled, alike: bool) -> Result<(Labelled, Labelled)> {
        if self.which == Which::Tenth {
            return train.split(self.stream, alike);
        }
        let labels = train.rows.iter().map(|r| if alike { r.label.as_str() } else { "" });
        let chosen = self.fold(&train.file, labels, "row(s)")?;
        Ok(train.parted(&chosen))
    }

    fn fold<'a>(
        self,
        file: &Path,
        labels: impl Iterator<Item = &'a str>,
        what: &'static str,
    ) -> Result<BTreeSet<usize>> {
        let (Which::Fold { of: folds, .. } | Which::NoneAfter { folds }) = self.which else { unreachable!("no tenth") };
        let fold_of = dealt(labels, folds as usize, self.stream);
        if fold_of.len() < folds as usize {
            return Err(Error::TooFewForFolds { file: file.to_owned(), found: fold_of.len(), what, folds });
        }
        let Which::Fold { number, .. } = self.which else { return Ok(BTreeSet::new()) };
        Ok((0..fold_of.len()).filter(|&row| fold_of[row] as u64 + 1 == number).collect())
    }

    /// Says what cross-validation does, before the first fold; and which labels some folds must do without.
    pub fn tell(self, count: usize, what: &str, rows: Option<&Labelled>, observer: &mut dyn Observer) {
        let Which::NoneAfter { folds } = self.which else { return };
        let text = format!("each of {count} {what} is measured in one of {folds} folds, which does not learn from it");
        observer.event(Event::Note(&text));
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        rows.into_iter().flat_map(|rows| &rows.rows).for_each(|row| *counts.entry(&row.label).or_default() += 1);
        for (label, count) in counts.into_iter().filter(|(_, count)| *count < folds) {
            let without = match count {
                1 => "the fold that measures it has not learned from any".to_owned(),
                _ => format!("{} of {folds} folds measure without it", folds - count),
            };
            observer.event(Event::Warning(&format!("label `{label}` has {count} row(s), fewer than folds: {without}")));
        }
    }
}

/// The fold of each row, from 0: the rows of each label are shuffled and dealt out one by one, going on where those of
/// the label before ended, so that the sizes of folds differ by one at most, in all and of each label.
fn dealt<'a>(labels: impl Iterator<Item = &'a str>, folds: usize, stream: Stream) -> Vec<usize> {
    let mut by_label: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (i, label) in labels.enumerate() {
        by_label.entry(label).or_default().push(i);
    }
    let mut fold_of = vec![0; by_label.values().map(Vec::len).sum()];
    let mut next = 0;
    for (k, mut rows) in by_label.into_values().enumerate() {
        stream.named("split").at(k as u64).shuffle(&mut rows);
        for row in rows {
            fold_of[row] = next % folds;
            next += 1;
        }
    }
    fold_of
}

impl FinetuneSettings {
    /// Looks for contradictions with folds.
    pub(super) fn check_folds(&self) -> Result<()> {
        match self.folds {
            0 => return Ok(()),
            1 => return Err(setting("folds", 1, "2 or more: what one fold measures, the others learn from; or 0")),
            _ => {}
        }
        if let Some(valid) = &self.valid {
            return Err(setting("valid", valid.display(), "nothing where folds of the training rows measure (folds)"));
        }
        if self.seeds > 1 {
            return Err(setting("seeds", self.seeds, "1 where each fold is a run of its own (folds)"));
        }
        Ok(())
    }

    /// What is kept for validation in the runs there are, that on all rows first.
    pub(super) fn splits(&self) -> impl Iterator<Item = Which> + use<> {
        let of = self.folds;
        let first = if of == 0 { Which::Tenth } else { Which::NoneAfter { folds: of } };
        std::iter::once(first).chain((1..=of).map(move |number| Which::Fold { number, of }))
    }
}

impl CrossValidation {
    /// From the values of the metric in all folds, and their results.
    pub(super) fn new(values: &[f64], folds: &[SeedResult]) -> Self {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let deviation = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
        let note = "metrics are those of the folds, each at its best epoch; the model learned from all rows".to_owned();
        Self { folds: folds.len() as u64, mean, deviation, epochs: epochs(folds), note }
    }
}

/// The best epochs' median; rounded up where it lies between two.
pub(super) fn epochs(folds: &[SeedResult]) -> u64 {
    let mut best: Vec<u64> = folds.iter().map(|fold| fold.epoch).collect();
    best.sort_unstable();
    let n = best.len();
    (best[(n - 1) / 2] + best[n / 2]).div_ceil(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_in_one_fold_and_each_label_in_all_alike() {
        let label = |i: usize| ["a", "b", "c"][usize::from(i.is_multiple_of(3)) + usize::from(i.is_multiple_of(21))];
        let rows = 107;
        for folds in [2, 3, 5, 10] {
            let found = dealt((0..rows).map(label), folds, Stream::new(4));
            assert_eq!(found.len(), rows, "each row once");
            let sizes = |of: &dyn Fn(usize) -> bool| -> Vec<usize> {
                (0..folds).map(|f| (0..rows).filter(|&i| of(i) && found[i] == f).count()).collect()
            };
            for of in ["a", "b", "c", ""] {
                let sizes = sizes(&|i| of.is_empty() || label(i) == of);
                let (least, most) = (sizes.iter().min().unwrap(), sizes.iter().max().unwrap());
                assert!(most - least <= 1, "{folds} folds of `{of}`: {sizes:?}");
            }
            assert_eq!(found, dealt((0..rows).map(label), folds, Stream::new(4)));
            assert_ne!(found, dealt((0..rows).map(label), folds, Stream::new(5)));
        }
    }

    #[test]
    fn folds_do_not_overlap_and_leave_nothing_out() {
        let stream = Stream::new(1);
        let of = |which| Split { which, stream }.of(Path::new("f"), 23, "row(s)");
        let folds: Vec<_> = (1..=4).map(|number| of(Which::Fold { number, of: 4 }).unwrap()).collect();
        let all: Vec<usize> = folds.iter().flatten().copied().collect::<BTreeSet<_>>().into_iter().collect();
        assert_eq!(all, (0..23).collect::<Vec<_>>());
        assert_eq!(folds.iter().map(BTreeSet::len).sum::<usize>(), 23);
        assert!(of(Which::NoneAfter { folds: 4 }).unwrap().is_empty());
        let error = of(Which::NoneAfter { folds: 24 }).unwrap_err();
        assert_eq!(error.to_string(), "f has 23 row(s), fewer than 24 folds");
    }
}
