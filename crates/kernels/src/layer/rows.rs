//! Which rows of a packed batch a layer is computed for.

use std::ops::Range;

/// The sequences of a packed batch, and the rows whose output is asked for.
///
/// The last layer is often asked for few rows only (masked positions, first tokens). Keys and values
/// are then still computed for all rows, and all else for the rows that are asked for.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// First row of each sequence and, last, the number of rows.
    starts: &'a [usize],
    /// Rows asked for, ascending, and how many lie before each sequence and, last, in all.
    asked: Option<(&'a [usize], &'a [usize])>,
    /// How many first rows of each sequence are its source.
    sources: Option<&'a [usize]>,
}

impl<'a> Rows<'a> {
    /// All rows. Panics unless every sequence has a row.
    pub fn all(starts: &'a [usize]) -> Self {
        let grows = starts.windows(2).all(|s| s[0] < s[1]);
        assert!(starts.len() > 1 && starts[0] == 0 && grows, "sequences are not empty");
        Self { starts, asked: None, sources: None }
    }

    /// Some rows; `counts` by [`count`]. Panics unless they are ascending and there.
    pub fn some(starts: &'a [usize], rows: &'a [usize], counts: &'a [usize]) -> Self {
        let all = Self::all(starts);
        assert!(rows.windows(2).all(|r| r[0] < r[1]), "rows asked for ascend");
        assert!(rows.last().is_some_and(|&r| r < all.len()), "rows asked for are there");
        assert!(counts.len() == starts.len() && counts[counts.len() - 1] == rows.len(), "a count for each sequence");
        Self { asked: Some((rows, counts)), ..all }
    }

    /// With a source in front of each sequence (Dong et al. 2019): its first rows, which see each other and
    /// which all rows see; those behind them see no further than themselves. Panics unless there is one for
    /// each sequence.
    pub fn with_sources(self, sources: &'a [usize]) -> Self {
        assert_eq!(sources.len() + 1, self.starts.len(), "a source for each sequence");
        Self { sources: Some(sources), ..self }
    }

    /// How many rows the source of a sequence has, if not all rows see all.
    pub(crate) fn source(&self, sequence: usize) -> Option<usize> {
        self.sources.map(|sources| sources[sequence])
    }

    /// First row of each sequence and, last, the number of rows.
    pub fn starts(&self) -> &'a [usize] {
        self.starts
    }

    /// Rows of the batch.
    pub fn len(&self) -> usize {
        self.starts[self.starts.len() - 1]
    }

    /// Always false: there is no empty batch.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Number of rows asked for.
    pub fn asked(&self) -> usize {
        self.asked.map_or(self.len(), |(rows, _)| rows.len())
    }

    /// Rows of some sequences.
    pub(super) fn range(&self, sequences: Range<usize>) -> Range<usize> {
        self.starts[sequences.start]..self.starts[sequences.end]
    }

    /// Which of the rows asked for lie in some sequences.
    pub(crate) fn asked_in(&self, sequences: Range<usize>) -> Range<usize> {
        let counts = self.asked.map_or(self.starts, |(_, counts)| counts);
        counts[sequences.start]..counts[sequences.end]
    }

    /// The row that is asked for as number `i`.
    #[inline]
    pub(crate) fn row(&self, i: usize) -> usize {
        self.asked.map_or(i, |(rows, _)| rows[i])
    }

    /// Whether all rows are asked for.
    pub(crate) fn is_all(&self) -> bool {
        self.asked.is_none()
    }
}

/// How many of `rows` (ascending) lie before each sequence and, last, in all.
pub fn count(starts: &[usize], rows: &[usize]) -> Vec<usize> {
    starts.iter().map(|&start| rows.partition_point(|&row| row < start)).collect()
}
