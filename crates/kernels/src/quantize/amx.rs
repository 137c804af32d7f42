//! Tiles of AMX: registers of sixteen rows of 64 bytes, of which one instruction multiplies two and adds 256 sums of 64
//! products each to a third.
//!
//! The instructions are written out, since Rust has them as functions in its nightly compilers only. The system hands
//! the registers out on request.

use super::pack::WIDE;
use super::rows::STEPS;
use super::tile::{Block, Sums, Tile, finish512};
use std::arch::asm;
use std::arch::x86_64::{__cpuid_count, _mm512_load_si512, _xgetbv};
use std::sync::LazyLock;

/// Rows of a register, and columns of sums in one.
const SIDE: usize = 16;

/// Rows of a tile: two registers of the left operand by two of the right one leave two more for them and four for the sums.
const TALL: usize = 2 * SIDE;

/// Bytes of a row of a register: the steps of the inner size that one instruction takes.
pub(super) const DEEP: usize = 64;

/// Fewer rows than these are for VNNI: a register is multiplied whole, however few of its rows are there. Measured: with
/// three both take as long, with eight AMX takes two thirds (1536 x 384).
pub(super) const LEAST: usize = 4;

/// Whether the processor has the registers and the system lets this process use them.
pub(super) fn available() -> bool {
    static AVAILABLE: LazyLock<bool> = LazyLock::new(|| processor_has_them() && system_gives_them());
    *AVAILABLE
}

/// AMX with products of bytes, and registers that the system saves.
fn processor_has_them() -> bool {
    const TILE: u32 = 1 << 24;
    const INT8: u32 = 1 << 25;
    const STATE: u64 = 0b11 << 17;
    /// # Safety
    /// The caller found `xsave`.
    #[target_feature(enable = "xsave")]
    unsafe fn saved() -> u64 {
        // SAFETY: register 0 is there where `xsave` is.
        unsafe { _xgetbv(0) }
    }
    if !is_x86_feature_detected!("xsave") || !is_x86_feature_detected!("avx512f") {
        return false;
    }
    // A processor of AVX-512 has leaf 7.
    let found = __cpuid_count(7, 0).edx;
    // SAFETY: `xsave` was found.
    found & (TILE | INT8) == TILE | INT8 && unsafe { saved() } & STATE == STATE
}

/// Asks Linux for the registers, for all threads of this process; other systems are not asked.
#[cfg(target_os = "linux")]
fn system_gives_them() -> bool {
    const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
    const XFEATURE_XTILEDATA: libc::c_long = 18;
    // SAFETY: the call takes two numbers and touches no memory of this process.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0 }
}

#[cfg(not(target_os = "linux"))]
fn system_gives_them() -> bool {
    false
}

/// What each of the eight registers holds, as `ldtilecfg` reads it, with room for eight more.
#[repr(C, align(64))]
struct Shapes {
    palette: u8,
    start: u8,
    nothing: [u8; 14],
    row_bytes: [u16; 8],
    no_row_bytes: [u16; 8],
    rows: [u8; 8],
    no_rows: [u8; 8],
}

/// All are whole.
static SHAPES: Shapes = Shapes {
    palette: 1,
    start: 0,
    nothing: [0; 14],
    row_bytes: [DEEP as u16; 8],
    no_row_bytes: [0; 8],
    rows: [SIDE as u8; 8],
    no_rows: [0; 8],
};

/// A tile's sums, each row of 32 beside the next.
#[repr(C, align(64))]
struct Scratch(Sums<TALL>);

/// # Safety
/// AMX is available, and AVX-512 with VNNI is there.
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx512vnni")]
pub(super) unsafe fn amx(mut block: Block<'_>) {
    let (m, apart, left) = (block.x.len(), block.x.stride, block.x.bytes());
    let deep = block.w.groups() * STEPS;
    assert!(deep.is_multiple_of(DEEP) && deep <= apart, "inner sizes of whole registers");
    assert!(left.len() >= m.next_multiple_of(SIDE) * apart, "rows that fill whole registers");
    let mut sums = Scratch([[0; WIDE]; TALL]);
    // SAFETY: AMX is available.
    unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const SHAPES, options(nostack, readonly)) };
    for panel in block.panels.clone() {
        let numbers = block.w.panel(panel);
        assert_eq!(numbers.len(), deep * WIDE, "whole panels");
        for row in (0..m).step_by(TALL) {
            let rows = TALL.min(m - row);
            // SAFETY: registers are set up; rows up to the next sixteenth and the panel are in memory, by the sizes
            // asserted above.
            unsafe {
                let left = left.as_ptr().add(row * apart);
                if rows > SIDE {
                    tall(left, apart, numbers.as_ptr(), deep / DEEP, &mut sums);
                } else {
                    short(left, apart, numbers.as_ptr(), deep / DEEP, &mut sums);
                }
            }
            let tile = Tile { block: &mut block, row, panel };
            // SAFETY: AVX-512 is there; a row of sums is two lines of the cache, the first of which begins one.
            unsafe { finish512(tile, rows, |i, j| _mm512_load_si512(sums.0[i].as_ptr().add(j * 16).cast())) };
        }
    }
    // SAFETY: AMX is available. The registers are given back, so that the system need not save them.
    unsafe { asm!("tilerelease", options(nomem, nostack)) };
}

/// Sums of two registers of rows.
///
/// # Safety
/// `ldtilecfg` was done; there are 32 rows of `64 · steps` bytes, `apart` bytes from row to row, and a panel as deep.
unsafe fn tall(left: *const u8, apart: usize, panel: *const i8, steps: usize, sums: &mut Scratch) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!(
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            "test {steps}, {steps}",
            "jz 3f",
            "2:",
            "tileloadd tmm6, [{panel} + {line}*1]",
            "tileloadd tmm4, [{upper} + {apart}*1]",
            "tileloadd tmm7, [{panel} + {line}*1 + 64]",
            "tileloadd tmm5, [{lower} + {apart}*1]",
            "tdpbusd tmm0, tmm4, tmm6",
            "tdpbusd tmm1, tmm4, tmm7",
            "tdpbusd tmm2, tmm5, tmm6",
            "tdpbusd tmm3, tmm5, tmm7",
            "add {upper}, 64",
            "add {lower}, 64",
            "add {panel}, 2048",
            "dec {steps}",
            "jnz 2b",
            "3:",
            "tilestored [{sums} + {line}*1], tmm0",
            "tilestored [{sums} + {line}*1 + 64], tmm1",
            "tilestored [{sums} + {line}*1 + 2048], tmm2",
            "tilestored [{sums} + {line}*1 + 2112], tmm3",
            steps = inout(reg) steps => _,
            panel = inout(reg) panel => _,
            upper = inout(reg) left => _,
            lower = inout(reg) left.add(SIDE * apart) => _,
            apart = in(reg) apart,
            line = in(reg) WIDE * STEPS,
            sums = in(reg) &raw mut sums.0,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        );
    }
}

/// Sums of one register of rows.
///
/// # Safety
/// As [`tall`], with 16 rows.
unsafe fn short(left: *const u8, apart: usize, panel: *const i8, steps: usize, sums: &mut Scratch) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!(
            "tilezero tmm0",
            "tilezero tmm1",
            "test {steps}, {steps}",
            "jz 3f",
            "2:",
            "tileloadd tmm6, [{panel} + {line}*1]",
            "tileloadd tmm4, [{left} + {apart}*1]",
            "tileloadd tmm7, [{panel} + {line}*1 + 64]",
            "tdpbusd tmm0, tmm4, tmm6",
            "tdpbusd tmm1, tmm4, tmm7",
            "add {left}, 64",
            "add {panel}, 2048",
            "dec {steps}",
            "jnz 2b",
            "3:",
            "tilestored [{sums} + {line}*1], tmm0",
            "tilestored [{sums} + {line}*1 + 64], tmm1",
            steps = inout(reg) steps => _,
            panel = inout(reg) panel => _,
            left = inout(reg) left => _,
            apart = in(reg) apart,
            line = in(reg) WIDE * STEPS,
            sums = in(reg) &raw mut sums.0,
            out("tmm0") _, out("tmm1") _, out("tmm4") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        );
    }
}
