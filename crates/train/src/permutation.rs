//! A keyed permutation of 0..n whose every value is had without the others.
//!
//! A Feistel network over pairs (left, right) with left < a, right < b, a·b ≥ n: each round adds a
//! hash of one half to the other, which can be undone, so the whole is one-to-one. A value that
//! falls outside 0..n walks on until it falls inside (cycle walking, Black & Rogaway 2002); a·b is
//! so near to n that this is rare. An epoch's order thus takes no memory and a resume no time.

use polyseme_tensor::Stream;

/// Half rounds; six mix well enough that neighbours go apart.
const ROUNDS: u64 = 6;

/// A permutation of `0..len`, named by its stream.
#[derive(Clone, Copy, Debug)]
pub struct Permutation {
    stream: Stream,
    len: u64,
    left: u64,
    right: u64,
}

impl Permutation {
    /// The permutation of `0..len` that belongs to `stream`.
    pub fn new(stream: Stream, len: u64) -> Self {
        let mut left = (len as f64).sqrt() as u64;
        left = left.max(1);
        let right = len.div_ceil(left).max(1);
        Self { stream, len, left, right }
    }

    /// Where `index` goes. Panics if `index` is not below the length.
    pub fn get(&self, index: u64) -> u64 {
        assert!(index < self.len, "index {index} outside a permutation of {}", self.len);
        let mut value = index;
        loop {
            value = self.once(value);
            if value < self.len {
                return value;
            }
        }
    }

    /// One pass over all rounds, inside `0..left * right`.
    fn once(&self, value: u64) -> u64 {
        let (mut l, mut r) = (value / self.right, value % self.right);
        for round in 0..ROUNDS {
            let stream = self.stream.at(round);
            if round % 2 == 0 {
                l = (l + stream.bits(r) % self.left) % self.left;
            } else {
                r = (r + stream.bits(l) % self.right) % self.right;
            }
        }
        l * self.right + r
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_comes_once() {
        for len in [1, 2, 3, 7, 16, 17, 100, 1_009, 4_096] {
            for epoch in 0..3 {
                let p = Permutation::new(Stream::new(5).named("order").at(epoch), len);
                let mut seen = vec![false; len as usize];
                for i in 0..len {
                    let v = p.get(i) as usize;
                    assert!(!seen[v], "{v} twice in a permutation of {len}");
                    seen[v] = true;
                }
            }
        }
    }

    #[test]
    fn another_stream_is_another_order_and_neighbours_part() {
        let a = Permutation::new(Stream::new(1), 10_000);
        let b = Permutation::new(Stream::new(2), 10_000);
        let same = (0..10_000).filter(|&i| a.get(i) == b.get(i)).count();
        assert!(same < 20, "{same} of 10000 places agree");
        let near = (0..9_999).filter(|&i| a.get(i).abs_diff(a.get(i + 1)) < 100).count();
        assert!(near < 400, "{near} of 9999 neighbours stay within 100, about 200 are expected by chance");
    }
}
