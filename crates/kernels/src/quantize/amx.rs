//! Products of bytes on the registers of [`crate::amx`].

use super::rows::STEPS;
use super::tile::{Block, Tile, finish512};
use crate::amx::{self, DEEP, Operands, Registers, SIDE, Sums, TALL, WIDE};
use std::arch::x86_64::_mm512_load_si512;

/// Fewer rows than these are for VNNI: a register is multiplied whole, however few of its rows are there. Measured: with
/// three both take as long, with eight AMX takes two thirds (1536 x 384).
pub(super) const LEAST: usize = 4;

/// # Safety
/// AMX is available, and AVX-512 with VNNI is there.
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx512vnni")]
pub(super) unsafe fn amx(mut block: Block<'_>) {
    let (m, apart, left) = (block.x.len(), block.x.stride, block.x.bytes());
    let deep = block.w.groups() * STEPS;
    assert!(deep.is_multiple_of(DEEP) && deep <= apart, "inner sizes of whole registers");
    assert!(left.len() >= m.next_multiple_of(SIDE) * apart, "rows that fill whole registers");
    let mut sums = Sums::ZERO;
    // SAFETY: AMX is available.
    let _registers = unsafe { Registers::set_up() };
    for panel in block.panels.clone() {
        let numbers = block.w.panel(panel);
        assert_eq!(numbers.len(), deep * WIDE, "whole panels");
        for row in (0..m).step_by(TALL) {
            let rows = TALL.min(m - row);
            // SAFETY: registers are set up; rows up to the next sixteenth and the panel are in memory, by the sizes
            // asserted above.
            unsafe {
                let left = (left.as_ptr().add(row * apart), apart);
                let given = Operands { left, panel: numbers.as_ptr().cast(), steps: deep / DEEP };
                amx::tile_of_bytes(rows, given, amx::from_nothing(), sums.place());
            }
            let tile = Tile { block: &mut block, row, panel };
            // SAFETY: AVX-512 is there; a row of sums is two lines of the cache, the first of which begins one.
            unsafe { finish512(tile, rows, |i, j| _mm512_load_si512(sums.row(i).add(j * 16).cast())) };
        }
    }
}
