//! A layer forward for few or uneven sequences and many threads, where nothing is kept.
//!
//! Threads take rows instead of sequences, and wait for each other once: keys and values of all rows are there
//! before any row attends to them, and all else of a row needs no other. To share out each product instead would
//! let them wait seven times a layer, which costs one short text more than the products gain.

use super::forward::Layer;
use super::rows;
use crate::parallel;
use crate::pool::Buffer;
use std::ops::Range;

/// Rows that are worth a thread.
const ROWS: usize = 16;

/// Rows that a thread takes at once: a long sequence's keys are packed anew for each.
const CHUNK: usize = 512;

/// How many threads to spread so many rows over, where sequences are cut into parts of so many rows; none if these
/// parts keep all threads busy, or nearly so.
pub(super) fn threads(total: usize, greatest: usize) -> Option<usize> {
    let threads = parallel::threads().min(total.div_ceil(ROWS));
    (threads > 1 && 5 * total < 4 * greatest * threads).then_some(threads)
}

/// The layer over all rows. `y`: the rows asked for.
pub(super) fn forward(layer: &Layer<'_>, threads: usize, y: &mut [f32]) {
    let Layer { shape, rows, .. } = *layer;
    let (h, wide) = (shape.hidden, 2 * shape.attention);
    let mut key_value = Buffer::new(rows.len() * wide);
    share(rows.len(), threads, wide, &mut key_value, |range, out| layer.key_value_of(range, out));
    share(rows.asked(), threads, h, y, |range, y| {
        let list: Vec<usize> = range.map(|i| rows.row(i)).collect();
        let sequences = rows.sequence(list[0])..rows.sequence(list[list.len() - 1]) + 1;
        let counts = rows::count(rows.starts(), &list);
        let piece = Layer { rows: rows.only(&list, &counts), key_value: Some(&key_value), ..*layer };
        piece.chunk(sequences, y);
    });
}

/// Lets threads fill rows of so many values.
fn share(len: usize, threads: usize, width: usize, out: &mut [f32], f: impl Fn(Range<usize>, &mut [f32]) + Sync) {
    let mut rest = out;
    let items = parallel::even(len, threads)
        .into_iter()
        .map(|range| (range.clone(), rest.split_off_mut(..range.len() * width).expect("values for each row")))
        .collect();
    parallel::map(items, |(range, mut out): (Range<usize>, &mut [f32])| {
        let pieces = range.len().div_ceil(CHUNK);
        for piece in parallel::even(range.len(), pieces) {
            let part = out.split_off_mut(..piece.len() * width).expect("values for each row");
            f(range.start + piece.start..range.start + piece.end, part);
        }
    });
}
