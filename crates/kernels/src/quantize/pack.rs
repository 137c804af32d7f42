//! The right operand, laid out as tiles read it.

use super::rows::STEPS;
use super::tile::Unit;
use super::weights::{Input, Quantized};
use crate::parallel;

/// Columns of a panel.
pub(super) const WIDE: usize = 32;

/// Panels begin at a line of the cache, so that no vector lies in two.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Line([i8; 64]);

/// A matrix in panels of [`WIDE`] outputs: for each [`STEPS`] steps of the inner size, these of each output side by
/// side. What is missing is zeros.
#[derive(Debug)]
pub struct Panels {
    lines: Vec<Line>,
    /// Outputs.
    pub(super) len: usize,
    /// Inner size.
    pub(super) k: usize,
    /// Of each output, filled up to whole panels.
    pub(super) scales: Vec<f32>,
    /// The sum of each output's numbers, which a row's zero is multiplied by.
    pub(super) sums: Vec<i32>,
    pub(super) input: Input,
}

impl Panels {
    /// From a matrix of 8 bits with a scale for each row. Panics on another, or where sums could leave 32 bits.
    pub(super) fn new(matrix: &Quantized) -> Self {
        let (len, k) = (matrix.rows(), matrix.columns());
        assert!(matrix.bits() == 8 && matrix.group() == k, "8 bits with a scale for each output");
        assert!(k <= 1 << 16, "sums of {k} products in 32 bits");
        let (groups, room) = (groups(k), len.next_multiple_of(WIDE));
        let mut lines = vec![Line([0; 64]); groups * WIDE * STEPS / 64 * (room / WIDE)];
        let per_panel = (groups * WIDE * STEPS / 64).max(1);
        let panels: Vec<_> = lines.chunks_mut(per_panel).enumerate().collect();
        parallel::map(panels, |(panel, lines): (usize, &mut [Line])| {
            for j in panel * WIDE..len.min((panel + 1) * WIDE) {
                for (step, &code) in matrix.codes()[j * k..(j + 1) * k].iter().enumerate() {
                    let at = (step / STEPS * WIDE + j % WIDE) * STEPS + step % STEPS;
                    lines[at / 64].0[at % 64] = code;
                }
            }
        });
        let mut scales = matrix.scales().to_vec();
        scales.resize(room, 0.0);
        let sum = |codes: &[i8]| codes.iter().map(|&code| i32::from(code)).sum();
        let mut sums: Vec<i32> = matrix.codes().chunks(k.max(1)).map(sum).collect();
        sums.resize(room, 0);
        Self { lines, len, k, scales, sums, input: matrix.input() }
    }

    /// Groups of steps.
    pub(super) fn groups(&self) -> usize {
        groups(self.k)
    }

    /// A panel's numbers `(groups, WIDE, STEPS)`.
    pub(super) fn panel(&self, panel: usize) -> &[i8] {
        let len = self.groups() * WIDE * STEPS / 64;
        let lines = &self.lines[panel * len..(panel + 1) * len];
        // SAFETY: a line is 64 numbers and nothing else, and lines lie one after the other.
        unsafe { std::slice::from_raw_parts(lines.as_ptr().cast(), lines.len() * 64) }
    }
}

/// Groups of steps of an inner size, filled up to what this processor takes at once.
fn groups(k: usize) -> usize {
    k.next_multiple_of(Unit::of_this_processor().deep()) / STEPS
}
