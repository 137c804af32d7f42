//! Cutting a packed batch into one part a thread, and a part into chunks that fit a cache.

use rayon::prelude::*;
use std::ops::Range;

/// Rows a chunk aims at: its activations stay in a second-level cache while one layer runs.
const CHUNK_ROWS: usize = 256;

/// Number of threads of the pool.
pub fn threads() -> usize {
    rayon::current_num_threads()
}

/// Cuts sequences (`starts` has one entry more) into at most `parts` contiguous ranges with about
/// equally many rows each; none is empty.
pub fn parts(starts: &[usize], parts: usize) -> Vec<Range<usize>> {
    let sequences = starts.len() - 1;
    let total = starts[sequences];
    let mut ranges = Vec::with_capacity(parts);
    let mut begin = 0;
    for part in 1..=parts {
        let goal = total * part / parts;
        let mut end = begin;
        // A sequence belongs to the part in which its middle lies.
        while end < sequences && (part == parts || starts[end] + starts[end + 1] <= 2 * goal) {
            end += 1;
        }
        if end > begin {
            ranges.push(begin..end);
        }
        begin = end;
    }
    ranges
}

/// Cuts a range of sequences into chunks of whole sequences of at least [`CHUNK_ROWS`] rows (the
/// last one may be smaller).
pub fn chunks(starts: &[usize], range: Range<usize>) -> Vec<Range<usize>> {
    let mut chunks = Vec::new();
    let mut begin = range.start;
    for end in range.start + 1..=range.end {
        if starts[end] - starts[begin] >= CHUNK_ROWS || end == range.end {
            chunks.push(begin..end);
            begin = end;
        }
    }
    chunks
}

/// How many threads share what one part does: one, unless there are fewer parts than threads (few or
/// long sequences). Values do not depend on it.
pub fn threads_of_a_part(parts: usize) -> usize {
    if parts < threads() { threads() } else { 1 }
}

/// Runs `f` over items on the pool; results in the items' order.
pub fn map<T: Send, R: Send>(items: Vec<T>, f: impl Fn(T) -> R + Sync + Send) -> Vec<R> {
    if items.len() == 1 {
        return items.into_iter().map(f).collect();
    }
    items.into_par_iter().map(f).collect()
}

/// Splits `len` items into at most `parts` contiguous ranges of nearly equal size.
pub fn even(len: usize, parts: usize) -> Vec<Range<usize>> {
    let parts = parts.clamp(1, len.max(1));
    (0..parts).map(|i| len * i / parts..len * (i + 1) / parts).filter(|r| !r.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_everything_once() {
        for lengths in [vec![5], vec![1, 1, 1], vec![100, 1, 1, 1], vec![1, 1, 1, 100], vec![7; 33]] {
            let mut starts = vec![0];
            for l in &lengths {
                starts.push(starts.last().unwrap() + l);
            }
            for n in 1..6 {
                let ranges = parts(&starts, n);
                assert!(ranges.len() <= n && ranges[0].start == 0 && ranges.last().unwrap().end == lengths.len());
                assert!(ranges.windows(2).all(|w| w[0].end == w[1].start));
                let chunked: Vec<_> = ranges.iter().flat_map(|r| chunks(&starts, r.clone())).collect();
                assert!(chunked.windows(2).all(|w| w[0].end == w[1].start));
                assert_eq!(chunked.last().unwrap().end, lengths.len());
            }
        }
        assert_eq!(parts(&[0, 10, 20, 30, 40], 2), vec![0..2, 2..4]);
        assert_eq!(even(5, 2), vec![0..2, 2..5]);
    }
}
