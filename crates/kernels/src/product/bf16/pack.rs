//! Operands in pairs of bfloat16.

use super::{SIDE, WIDE, pair, pairs};
use crate::parallel;
use crate::pool::Buffer;
use crate::product::Mat;
use crate::product::pack::turn;
use crate::simd::simd_fn;

simd_fn! {
    /// Neighbours in pairs; what is missing of the last one, and pairs behind it, are zeros.
    fn pair_up(row: &[f32], out: &mut [f32]) {
        let (whole, rest) = row.as_chunks::<2>();
        for (out, &[first, second]) in out.iter_mut().zip(whole) {
            *out = pair(first, second);
        }
        if let Some(&last) = rest.first() {
            out[whole.len()] = pair(last, 0.0);
        }
        out[row.len().div_ceil(2)..].fill(0.0);
    }
}

simd_fn! {
    /// Two rows in pairs.
    fn pair_rows(first: &[f32], second: &[f32], out: &mut [f32]) {
        for ((out, &first), &second) in out.iter_mut().zip(first).zip(second) {
            *out = pair(first, second);
        }
    }
}

simd_fn! {
    /// The last row, if it has no second.
    fn pair_row(first: &[f32], out: &mut [f32]) {
        for (out, &first) in out.iter_mut().zip(first) {
            *out = pair(first, 0.0);
        }
    }
}

/// Columns `from` of pair number `p` of the steps of a matrix whose columns' values lie side by side: `a` is `(columns, k)`
/// with `a.row == 1`.
fn pair_of_steps(a: Mat<'_>, p: usize, columns: std::ops::Range<usize>, out: &mut [f32]) {
    let step = |step: usize| &a.data[step * a.col + columns.start..][..columns.len()];
    match 2 * p + 1 < a.cols {
        true => pair_rows(step(2 * p), step(2 * p + 1), out),
        false => pair_row(step(2 * p), out),
    }
}

/// A left operand `(rows, k)` row by row, `pairs(k)` words each.
pub(in crate::product) fn pack_left(a: Mat<'_>, out: &mut [f32]) {
    let (m, k) = (a.rows, a.cols);
    let words = pairs(k);
    out[m * words..].fill(0.0);
    if m == 0 || k == 0 {
        return;
    }
    if a.col == 1 {
        for (i, out) in out.chunks_exact_mut(words).enumerate().take(m) {
            pair_up(&a.data[i * a.row..][..k], out);
        }
        return;
    }
    assert_eq!(a.row, 1, "a view of rows or of columns that lie side by side");
    // Pair by pair as they lie, some rows at a time, then turned.
    const AT_ONCE: usize = 64;
    let there = k.div_ceil(2);
    let mut lying = Buffer::new(there * AT_ONCE);
    for first in (0..m).step_by(AT_ONCE) {
        let rows = first..m.min(first + AT_ONCE);
        let lying = &mut lying[..there * rows.len()];
        for (p, lying) in lying.chunks_exact_mut(rows.len()).enumerate() {
            pair_of_steps(a, p, rows.clone(), lying);
        }
        let out = &mut out[first * words..rows.end * words];
        turn(lying, rows.len(), there, words, rows.len(), out);
    }
}

/// A right operand in panels, by so many threads, from the view `(columns, k)` of it.
pub(in crate::product) fn pack_right(b: Mat<'_>, threads: usize, out: &mut [f32]) {
    let (n, k) = (b.rows, b.cols);
    if n == 0 || k == 0 {
        return out.fill(0.0);
    }
    let words = pairs(k);
    let mut tasks = Vec::with_capacity(threads);
    let mut rest = out;
    for panels in parallel::even(n.div_ceil(WIDE), threads) {
        let (part, tail) = rest.split_at_mut(panels.len() * words * WIDE);
        rest = tail;
        tasks.push((panels, part));
    }
    parallel::map(tasks, |(panels, part): (std::ops::Range<usize>, &mut [f32])| {
        let columns = panels.start * WIDE..n.min(panels.end * WIDE);
        match b.row == 1 {
            true => panels_as_they_lie(b, columns, words, part),
            false => panels_turned(b, columns, words, part),
        }
    });
}

/// Panels of columns that lie side by side.
fn panels_as_they_lie(b: Mat<'_>, columns: std::ops::Range<usize>, words: usize, out: &mut [f32]) {
    let there = b.cols.div_ceil(2);
    let whole = columns.len() / WIDE * WIDE;
    for panel in out.chunks_exact_mut(words * WIDE) {
        panel[there * WIDE..].fill(0.0);
    }
    // All of a pair go before the next one, since a step's values are neighbours and two steps may be pages apart.
    for p in 0..there {
        for (i, panel) in out.chunks_exact_mut(words * WIDE).enumerate() {
            let line = &mut panel[p * WIDE..][..WIDE];
            let from = columns.start + i * WIDE;
            let here = if i * WIDE < whole { WIDE } else { columns.end - from };
            pair_of_steps(b, p, from..from + here, &mut line[..here]);
            line[here..].fill(0.0);
        }
    }
}

/// Panels of columns whose steps lie side by side.
fn panels_turned(b: Mat<'_>, columns: std::ops::Range<usize>, words: usize, out: &mut [f32]) {
    assert_eq!(b.col, 1, "a view of rows or of columns that lie side by side");
    let mut lying = Buffer::new(WIDE * words);
    for (i, panel) in out.chunks_exact_mut(words * WIDE).enumerate() {
        let from = columns.start + i * WIDE;
        let here = WIDE.min(columns.end - from);
        for (column, lying) in lying.chunks_exact_mut(words).enumerate().take(here) {
            pair_up(&b.data[(from + column) * b.row..][..b.cols], lying);
        }
        turn(&lying[..here * words], words, here, WIDE, words, panel);
    }
}

const _: () = assert!(WIDE.is_multiple_of(SIDE));
