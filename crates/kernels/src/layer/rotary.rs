//! Rotary positions (Su et al. 2021): pairs of a head's columns, half a head apart, are turned by an
//! angle that grows with the position.

use super::{LayerShape, Rows};
use crate::simd::simd_fn;
use std::ops::Range;

/// Cosines and sines of all angles up to a length.
pub(super) struct Angles {
    /// Columns of half a head.
    half: usize,
    /// For each position the cosines and then the sines.
    values: Vec<f32>,
}

impl Angles {
    /// For the longest sequence; `None` where the layer turns nothing. Angles are products in f32, as in
    /// the reference library, so that long texts give its numbers.
    pub fn of(shape: LayerShape, starts: &[usize]) -> Option<Self> {
        let base = f64::from(shape.rotary?);
        let length = starts.windows(2).map(|s| s[1] - s[0]).max().unwrap_or(0);
        let size = shape.attention / shape.heads;
        let half = size / 2;
        let speeds: Vec<f32> = (0..half).map(|i| (1.0 / base.powf(2.0 * i as f64 / size as f64)) as f32).collect();
        let mut values = Vec::with_capacity(length * size);
        for position in 0..length {
            let angles = || speeds.iter().map(|speed| f64::from(position as f32 * speed));
            values.extend(angles().map(|angle| angle.cos() as f32));
            values.extend(angles().map(|angle| angle.sin() as f32));
        }
        Some(Self { half, values })
    }

    /// Turns the heads of rows by their positions, or back. A row begins every `stride` values and its
    /// first `width` ones are turned.
    pub fn turn(&self, x: &mut [f32], width: usize, stride: usize, positions: impl Iterator<Item = usize>, back: bool) {
        let sign = if back { -1.0 } else { 1.0 };
        for (row, position) in x.chunks_mut(stride).zip(positions) {
            let (cos, sin) = self.values[2 * self.half * position..][..2 * self.half].split_at(self.half);
            turn_row(&mut row[..width], cos, sin, sign);
        }
    }
}

/// Positions of some rows in their sequences.
pub(super) fn positions(rows: Rows<'_>, range: Range<usize>) -> impl Iterator<Item = usize> + '_ {
    let starts = rows.starts();
    let mut sequence = rows.sequence(range.start);
    range.map(move |row| {
        sequence += usize::from(row == starts[sequence + 1]);
        rows.position(row, starts[sequence])
    })
}

/// Those of the rows asked for in some sequences.
pub(super) fn asked_positions(rows: Rows<'_>, sequences: Range<usize>) -> impl Iterator<Item = usize> + '_ {
    sequences.flat_map(move |s| rows.asked_in(s..s + 1).map(move |i| rows.position(rows.row(i), rows.starts()[s])))
}

simd_fn! {
    fn turn_row(row: &mut [f32], cos: &[f32], sin: &[f32], sign: f32) {
        let half = cos.len();
        for head in row.chunks_exact_mut(2 * half) {
            let (a, b) = head.split_at_mut(half);
            for (((a, b), &cos), &sin) in a.iter_mut().zip(b.iter_mut()).zip(cos).zip(sin) {
                let (x, y, sin) = (*a, *b, sign * sin);
                *a = x * cos - y * sin;
                *b = y * cos + x * sin;
            }
        }
    }
}
