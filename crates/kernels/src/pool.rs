//! Buffers that are handed back instead of freed.
//!
//! A training step asks for the same few dozen large buffers again and again. Giving their pages
//! to the system and faulting them in again costs a tenth of a step, so they wait here. A buffer
//! taken from the pool holds old values: whoever takes it writes all of it before reading.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::Mutex;

static POOL: Mutex<BTreeMap<usize, Vec<Vec<f32>>>> = Mutex::new(BTreeMap::new());

/// A buffer of f32 with unspecified old values; begins with a line of the cache, so that no vector lies in two; returns to
/// the pool when dropped.
#[derive(Debug, Default)]
pub struct Buffer {
    values: Vec<f32>,
    from: usize,
    len: usize,
}

/// Bytes of a line of the cache.
const LINE: usize = 64;

/// Values that may lie before the first line.
const BEFORE: usize = LINE / size_of::<f32>() - 1;

impl Buffer {
    /// A buffer of `len` values, whatever they are.
    pub fn new(len: usize) -> Self {
        let class = class_of(len);
        let values = take(class).unwrap_or_else(|| vec![0.0; class + BEFORE]);
        let from = values.as_ptr().align_offset(LINE);
        Self { values, from, len }
    }

    /// A buffer with a copy of these values.
    pub fn copy_of(values: &[f32]) -> Self {
        let mut buffer = Self::new(values.len());
        buffer.copy_from_slice(values);
        buffer
    }

    /// The buffer as bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: every value of f32 is four bytes, whatever they are.
        unsafe { std::slice::from_raw_parts(self.as_ptr().cast(), 4 * self.len) }
    }

    /// The same, to be written to.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and any four bytes are a value of f32.
        unsafe { std::slice::from_raw_parts_mut(self.as_mut_ptr().cast(), 4 * self.len) }
    }

    /// A buffer of zeros.
    pub fn zeros(len: usize) -> Self {
        let mut buffer = Self::new(len);
        buffer.fill(0.0);
        buffer
    }
}

impl Deref for Buffer {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &self.values[self.from..][..self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.values[self.from..][..self.len]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let values = std::mem::take(&mut self.values);
        if !values.is_empty() {
            let mut pool = POOL.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            pool.entry(values.len() - BEFORE).or_default().push(values);
        }
    }
}

/// The smallest buffer that waits and is large enough, but not more than twice too large: where batches
/// come in all lengths, a buffer of the very size is seldom there, and many would come to wait.
fn take(class: usize) -> Option<Vec<f32>> {
    let mut pool = POOL.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    pool.range_mut(class..=2 * class).find_map(|(_, waiting)| waiting.pop())
}

/// Sizes are rounded up to a quarter of a power of two, so that batches of slightly different
/// sizes share buffers and at most a fifth is wasted.
fn class_of(len: usize) -> usize {
    if len <= 64 {
        return 64;
    }
    let step = (len - 1).ilog2().saturating_sub(2);
    (((len - 1) >> step) + 1) << step
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_hold_what_was_asked_for_and_waste_little() {
        for len in 0..100_000 {
            let class = class_of(len);
            assert!(class >= len && (len < 64 || class <= len + len / 4 + 1), "{len} -> {class}");
        }
    }

    #[test]
    fn a_larger_buffer_serves_if_it_is_not_too_large() {
        let large = Buffer::new(7_000_003);
        let address = large.as_ptr();
        drop(large);
        assert_ne!(Buffer::new(3_000_000).as_ptr(), address, "more than twice as large");
        let serves = Buffer::new(4_000_000);
        assert_eq!((serves.as_ptr(), serves.len()), (address, 4_000_000));
    }

    #[test]
    fn a_dropped_buffer_comes_back() {
        let mut a = Buffer::new(123_457);
        a[123_456] = 7.0;
        let address = a.as_ptr();
        drop(a);
        let b = Buffer::new(123_450);
        assert_eq!(b.as_ptr(), address);
        assert_eq!(b.len(), 123_450);
        assert!(Buffer::zeros(123_450).iter().all(|&v| v == 0.0));
    }
}
