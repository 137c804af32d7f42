//! AMX: registers of sixteen rows of 64 bytes, of which one instruction multiplies two and adds 256 sums of the products to
//! a third.
//!
//! The instructions are written out, since Rust has them as functions in its nightly compilers only. The system hands
//! the registers out on request. Whatever is multiplied (bytes here, pairs of bfloat16 there), a panel of the right
//! operand is 32 columns of four bytes, line by line, and a row of the left one goes on with the same four bytes.

use std::arch::asm;
use std::arch::x86_64::{__cpuid_count, _xgetbv};
use std::sync::LazyLock;

/// Rows of a register, and columns of sums in one.
pub(crate) const SIDE: usize = 16;

/// Rows of a tile: two registers of the left operand by two of the right one leave two more for them and four for the sums.
pub(crate) const TALL: usize = 2 * SIDE;

/// Columns of a tile.
pub(crate) const WIDE: usize = 2 * SIDE;

/// Bytes of a row of a register: what one instruction takes of the inner size.
pub(crate) const DEEP: usize = 64;

/// Bytes of a line of a panel.
const LINE: usize = 4 * WIDE;

/// What the registers can multiply.
#[derive(Clone, Copy)]
pub(crate) struct Kinds {
    /// Bytes.
    pub int8: bool,
    /// Pairs of bfloat16.
    pub bf16: bool,
}

/// What the processor has registers for that the system lets this process use.
pub(crate) fn available() -> Kinds {
    static AVAILABLE: LazyLock<Kinds> = LazyLock::new(|| {
        let kinds = of_the_processor();
        let given = (kinds.int8 || kinds.bf16) && system_gives_them();
        Kinds { int8: kinds.int8 && given, bf16: kinds.bf16 && given }
    });
    *AVAILABLE
}

/// What the processor multiplies, with registers that the system saves.
fn of_the_processor() -> Kinds {
    const BF16: u32 = 1 << 22;
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
        return Kinds { int8: false, bf16: false };
    }
    // A processor of AVX-512 has leaf 7.
    let found = __cpuid_count(7, 0).edx;
    // SAFETY: `xsave` was found.
    let usable = found & TILE == TILE && unsafe { saved() } & STATE == STATE;
    Kinds { int8: usable && found & INT8 == INT8, bf16: usable && found & BF16 == BF16 }
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

/// The registers, set up until this is dropped.
pub(crate) struct Registers(());

impl Registers {
    /// # Safety
    /// AMX is available.
    pub unsafe fn set_up() -> Self {
        // SAFETY: the caller's promise.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const SHAPES, options(nostack, readonly)) };
        Self(())
    }
}

impl Drop for Registers {
    fn drop(&mut self) {
        // SAFETY: AMX is available, since this was made. The registers are given back, so that the system need not save them.
        unsafe { asm!("tilerelease", options(nomem, nostack)) };
    }
}

/// A tile's sums, each row of 32 beside the next, in bits of f32, or of whole numbers where the instruction has these.
#[repr(C, align(64))]
pub(crate) struct Sums([[f32; WIDE]; TALL]);

impl Sums {
    pub const ZERO: Self = Self([[0.0; WIDE]; TALL]);

    /// Where the sums of a row begin, with a line of the cache.
    pub fn row(&self, row: usize) -> *const f32 {
        self.0[row].as_ptr()
    }

    /// All of them, where they are f32.
    pub fn floats(&self) -> &[[f32; WIDE]; TALL] {
        &self.0
    }

    /// Where a tile is to be stored in them.
    pub fn place(&mut self) -> (*mut f32, usize) {
        (self.0.as_mut_ptr().cast(), LINE)
    }
}

/// A row of zeros.
#[repr(C, align(64))]
struct Zeros([f32; WIDE]);

static ZEROS: Zeros = Zeros([0.0; WIDE]);

/// What a tile begins with, by where its rows are and how many bytes lie between them: nothing.
pub(crate) fn from_nothing() -> (*const f32, usize) {
    (ZEROS.0.as_ptr(), 0)
}

/// What is multiplied for a tile.
#[derive(Clone, Copy)]
pub(crate) struct Operands {
    /// The left operand's rows, and bytes from row to row.
    pub left: (*const u8, usize),
    /// The right operand's panel.
    pub panel: *const u8,
    /// Registers of the inner size.
    pub steps: usize,
}

/// Defines a tile by an instruction that multiplies two registers.
macro_rules! tile_by {
    ($(#[$meta:meta])* $name:ident, $dot:literal) => {
        $(#[$meta])*
        ///
        /// With more than 16 `rows` it is 32 rows high, else 16. `from`: what it begins with; `to`: where it is stored, each
        /// with the bytes from row to row.
        ///
        /// # Safety
        /// [`Registers`] are set up; so many rows of `64 · steps` bytes are there, a panel as deep, and so many rows of 32 values
        /// to begin with and to store to.
        pub(crate) unsafe fn $name(rows: usize, given: Operands, from: (*const f32, usize), to: (*mut f32, usize)) {
            let Operands { left: (left, apart), panel, steps } = given;
            let ((begin, down), (end, out)) = (from, to);
            if rows <= SIDE {
                // SAFETY: the caller's promise.
                unsafe {
                    asm!(
                        "tileloadd tmm0, [{begin} + {down}*1]",
                        "tileloadd tmm1, [{begin} + {down}*1 + 64]",
                        "test {steps}, {steps}",
                        "jz 3f",
                        "2:",
                        "tileloadd tmm6, [{panel} + {line}*1]",
                        "tileloadd tmm4, [{left} + {apart}*1]",
                        "tileloadd tmm7, [{panel} + {line}*1 + 64]",
                        concat!($dot, " tmm0, tmm4, tmm6"),
                        concat!($dot, " tmm1, tmm4, tmm7"),
                        "add {left}, 64",
                        "add {panel}, 2048",
                        "dec {steps}",
                        "jnz 2b",
                        "3:",
                        "tilestored [{end} + {out}*1], tmm0",
                        "tilestored [{end} + {out}*1 + 64], tmm1",
                        steps = inout(reg) steps => _,
                        panel = inout(reg) panel => _,
                        left = inout(reg) left => _,
                        apart = in(reg) apart,
                        line = in(reg) LINE,
                        begin = in(reg) begin,
                        down = in(reg) down,
                        end = in(reg) end,
                        out = in(reg) out,
                        out("tmm0") _, out("tmm1") _, out("tmm4") _, out("tmm6") _, out("tmm7") _,
                        options(nostack),
                    );
                }
                return;
            }
            // SAFETY: the caller's promise. Registers are few: the lower rows' places are counted from the upper ones'.
            unsafe {
                asm!(
                    "tileloadd tmm0, [{begin} + {down}*1]",
                    "tileloadd tmm1, [{begin} + {down}*1 + 64]",
                    "lea {begin}, [{begin} + {down}*8]",
                    "lea {begin}, [{begin} + {down}*8]",
                    "tileloadd tmm2, [{begin} + {down}*1]",
                    "tileloadd tmm3, [{begin} + {down}*1 + 64]",
                    "test {steps}, {steps}",
                    "jz 3f",
                    "2:",
                    "tileloadd tmm6, [{panel} + {line}*1]",
                    "tileloadd tmm4, [{upper} + {apart}*1]",
                    "tileloadd tmm7, [{panel} + {line}*1 + 64]",
                    "tileloadd tmm5, [{lower} + {apart}*1]",
                    concat!($dot, " tmm0, tmm4, tmm6"),
                    concat!($dot, " tmm1, tmm4, tmm7"),
                    concat!($dot, " tmm2, tmm5, tmm6"),
                    concat!($dot, " tmm3, tmm5, tmm7"),
                    "add {upper}, 64",
                    "add {lower}, 64",
                    "add {panel}, 2048",
                    "dec {steps}",
                    "jnz 2b",
                    "3:",
                    "tilestored [{end} + {out}*1], tmm0",
                    "tilestored [{end} + {out}*1 + 64], tmm1",
                    "lea {end}, [{end} + {out}*8]",
                    "lea {end}, [{end} + {out}*8]",
                    "tilestored [{end} + {out}*1], tmm2",
                    "tilestored [{end} + {out}*1 + 64], tmm3",
                    steps = inout(reg) steps => _,
                    panel = inout(reg) panel => _,
                    upper = inout(reg) left => _,
                    lower = inout(reg) left.add(SIDE * apart) => _,
                    apart = in(reg) apart,
                    line = in(reg) LINE,
                    begin = inout(reg) begin => _,
                    down = in(reg) down,
                    end = inout(reg) end => _,
                    out = in(reg) out,
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack),
                );
            }
        }
    };
}

tile_by!(
    /// Unsigned bytes by signed ones; sums are 32-bit integers.
    tile_of_bytes,
    "tdpbusd"
);
tile_by!(
    /// Pairs of bfloat16; sums are f32.
    tile_of_pairs,
    "tdpbf16ps"
);
