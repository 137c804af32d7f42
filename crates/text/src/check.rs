//! Checks of labelled rows before training: repeated texts, contradictions, leaks, rare labels.

use std::collections::{BTreeMap, HashMap};

/// A labelled row: its text, the second text of a pair, its label.
pub type LabelledRow<'a> = (&'a str, Option<&'a str>, &'a str);

/// What was found. Rows are counted from 1; texts are compared without white space around them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableCheck {
    /// Training rows whose text (or pair) an earlier one has.
    pub duplicates: usize,
    /// Those of them with another label than the first row of that text.
    pub conflicting: usize,
    /// The first row of that text and the first row that contradicts it.
    pub first_conflict: Option<(usize, usize)>,
    /// Validation rows whose text (or pair) is a training text.
    pub leaked: usize,
    /// The first such pair: the training row and the validation row.
    pub first_leak: Option<(usize, usize)>,
    /// The most frequent label of the training rows with its rows, then the rarest; `None` with fewer
    /// than two labels.
    pub imbalance: Option<(String, u64, String, u64)>,
}

/// Checks training rows by themselves and against validation rows, in one pass.
pub fn check<'a>(
    train: impl IntoIterator<Item = LabelledRow<'a>>,
    valid: impl IntoIterator<Item = LabelledRow<'a>>,
) -> TableCheck {
    let mut found = TableCheck::default();
    // Row and label where a text was first seen. The map is only asked, never iterated.
    let mut first: HashMap<(&str, Option<&str>), (usize, &str)> = HashMap::new();
    let mut labels: BTreeMap<&str, u64> = BTreeMap::new();
    for ((text, pair, label), row) in train.into_iter().zip(1..) {
        *labels.entry(label).or_default() += 1;
        let (before, known) = *first.entry((text.trim(), pair.map(str::trim))).or_insert((row, label));
        if before == row {
            continue;
        }
        found.duplicates += 1;
        if known != label {
            found.conflicting += 1;
            found.first_conflict.get_or_insert((before, row));
        }
    }
    for ((text, pair, _), row) in valid.into_iter().zip(1..) {
        if let Some((before, _)) = first.get(&(text.trim(), pair.map(str::trim))) {
            found.leaked += 1;
            found.first_leak.get_or_insert((*before, row));
        }
    }
    // Of labels as frequent as each other, the first by name.
    let most = labels.iter().min_by_key(|(label, rows)| (std::cmp::Reverse(**rows), **label));
    let rarest = labels.iter().min_by_key(|(label, rows)| (**rows, **label));
    if let (Some((most, many)), Some((rarest, few)), 2..) = (most, rarest, labels.len()) {
        let rarest = if most == rarest { labels.keys().next_back().unwrap_or(rarest) } else { rarest };
        found.imbalance = Some(((*most).to_owned(), *many, (*rarest).to_owned(), *few));
    }
    found
}

impl TableCheck {
    /// A label counts as rare when the most frequent one has this many times its rows.
    const RARE: u64 = 10;

    /// A sentence for each problem; none when all is well.
    pub fn sentences(&self) -> Vec<String> {
        let mut out = Vec::new();
        match self.duplicates {
            0 => {}
            1 => out.push("1 training row repeats the text of an earlier one.".into()),
            n => out.push(format!("{n} training rows repeat the text of an earlier one.")),
        }
        if let Some((before, row)) = self.first_conflict {
            let many = match self.conflicting {
                1 => "1 repeated text has another label than".to_owned(),
                n => format!("{n} repeated texts have another label than"),
            };
            out.push(format!("{many} the first time: row {row} against row {before}{}.", tail(self.conflicting)));
        }
        if let Some((train, valid)) = self.first_leak {
            let many = match self.leaked {
                1 => "1 validation row has a text of the training rows".to_owned(),
                n => format!("{n} validation rows have a text of the training rows"),
            };
            let tail = tail(self.leaked);
            out.push(format!(
                "{many}, which makes results look better than they are: validation row {valid} is training row \
                 {train}{tail}."
            ));
        }
        if let Some((most, many, rarest, few)) = &self.imbalance
            && *many >= few.saturating_mul(Self::RARE)
        {
            let rows = if *few == 1 { "row" } else { "rows" };
            out.push(format!("The label `{most}` has {many} rows, and `{rarest}` has {few} {rows}."));
        }
        out
    }
}

fn tail(count: usize) -> &'static str {
    if count > 1 { ", and others" } else { "" }
}
