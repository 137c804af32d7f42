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
    /// The position of each row, and before which row of its sequence that stands which it sees.
    views: Option<(&'a [u32], &'a [u32])>,
}

impl<'a> Rows<'a> {
    /// All rows. Panics unless every sequence has a row.
    pub fn all(starts: &'a [usize]) -> Self {
        let grows = starts.windows(2).all(|s| s[0] < s[1]);
        assert!(starts.len() > 1 && starts[0] == 0 && grows, "sequences are not empty");
        Self { starts, asked: None, views: None }
    }

    /// Some rows; `counts` by [`count`]. Panics unless they are ascending and there.
    pub fn some(starts: &'a [usize], rows: &'a [usize], counts: &'a [usize]) -> Self {
        let all = Self::all(starts);
        assert!(rows.windows(2).all(|r| r[0] < r[1]), "rows asked for ascend");
        assert!(rows.last().is_some_and(|&r| r < all.len()), "rows asked for are there");
        assert!(counts.len() == starts.len() && counts[counts.len() - 1] == rows.len(), "a count for each sequence");
        Self { asked: Some((rows, counts)), ..all }
    }

    /// With rows that see a part of their sequence only: themselves, and the rows before `ends`. `positions` say
    /// how near rows are and how far they are turned; rows that others see stand at their own positions, counted
    /// from 0. Panics unless there is one of both for each row.
    pub fn with_views(self, positions: &'a [u32], ends: &'a [u32]) -> Self {
        assert!(positions.len() == self.len() && ends.len() == self.len(), "a position and an end for each row");
        Self { views: Some((positions, ends)), ..self }
    }

    /// The position of a row, and before which row of its sequence those stand that it sees; `None` where rows
    /// see all.
    #[inline]
    pub(crate) fn view(&self, row: usize) -> Option<(usize, usize)> {
        self.views.map(|(positions, ends)| (positions[row] as usize, ends[row] as usize))
    }

    /// The position of a row in its sequence, which begins at `start`.
    #[inline]
    pub(crate) fn position(&self, row: usize, start: usize) -> usize {
        self.views.map_or(row - start, |(positions, _)| positions[row] as usize)
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

    /// The sequence of a row.
    pub(super) fn sequence(&self, row: usize) -> usize {
        self.starts.partition_point(|&start| start <= row) - 1
    }

    /// The same where only these rows are asked for; `counts` by [`count`].
    pub(super) fn only<'b>(&self, rows: &'b [usize], counts: &'b [usize]) -> Rows<'b>
    where
        'a: 'b,
    {
        Rows { asked: Some((rows, counts)), ..*self }
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
