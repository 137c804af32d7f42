//! The innermost loops: a tile of sums held in registers while the inner size runs.
//!
//! A tile is some rows by the outputs of a panel. AMX has registers for whole tiles (`amx.rs`). Elsewhere the instruction
//! that does most is VNNI's: it multiplies four bytes of each lane by four bytes of a row, and adds the four products to
//! a 32-bit sum. AVX2 has no such that would not saturate: there bytes are widened to 16 bits first.

#[cfg(target_arch = "x86_64")]
use super::amx;
use super::pack::{Panels, WIDE};
use super::rows::{Rows8, STEPS};
#[cfg(target_arch = "x86_64")]
use crate::simd::fetch_rows;
use std::ops::Range;

#[cfg(target_arch = "x86_64")]
pub(super) use x86::finish512;

/// What multiplies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Tiles of AMX.
    #[cfg(target_arch = "x86_64")]
    Amx,
    /// VNNI on registers of 64 bytes.
    #[cfg(target_arch = "x86_64")]
    Vnni512,
    /// VNNI on registers of 32 bytes.
    #[cfg(target_arch = "x86_64")]
    Vnni256,
    /// Pairs of 16 bits on registers of 32 bytes.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// Whatever the compiler makes of plain loops.
    Portable,
}

impl Unit {
    /// The best that this processor has; the standard library caches the detection.
    pub fn of_this_processor() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            use crate::simd::{Level, level};
            if level() == Level::V4 && is_x86_feature_detected!("avx512vnni") {
                return if crate::amx::available().int8 { Self::Amx } else { Self::Vnni512 };
            }
            if is_x86_feature_detected!("avx2") {
                let vnni = is_x86_feature_detected!("avxvnni");
                return if vnni { Self::Vnni256 } else { Self::Avx2 };
            }
        }
        Self::Portable
    }

    /// The best for so many rows.
    pub fn for_rows(rows: usize) -> Self {
        match Self::of_this_processor() {
            #[cfg(target_arch = "x86_64")]
            Self::Amx if rows < amx::LEAST => Self::Vnni512,
            unit => unit,
        }
    }

    /// Bytes of the inner size that it takes at once: what operands are filled up to, with zeros.
    pub fn deep(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Amx => crate::amx::DEEP,
            _ => STEPS,
        }
    }

    /// All that this processor has.
    #[cfg(test)]
    pub fn all_of_this_processor() -> Vec<Self> {
        let mut all = vec![Self::Portable];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") {
                all.push(Self::Avx2);
                if is_x86_feature_detected!("avxvnni") {
                    all.push(Self::Vnni256);
                }
            }
            match Self::of_this_processor() {
                Self::Amx => all.extend([Self::Vnni512, Self::Amx]),
                Self::Vnni512 => all.push(Self::Vnni512),
                _ => {}
            }
        }
        all
    }
}

/// Sums of a tile's rows.
pub(super) type Sums<const M: usize> = [[i32; WIDE]; M];

/// Some panels of a product. `c`: begins with the first panel's first column, as the bias does.
pub(super) fn block(
    unit: Unit,
    c: &mut [f32],
    stride: usize,
    bias: Option<&[f32]>,
    x: &Rows8,
    w: &Panels,
    panels: Range<usize>,
) {
    assert_eq!(x.stride.checked_sub(w.groups() * STEPS).map(|more| more <= 64), Some(true), "inner sizes of a product");
    let block = Block { c, stride, bias, x, w, panels };
    match unit {
        // SAFETY: whoever names a unit found it on this processor.
        #[cfg(target_arch = "x86_64")]
        Unit::Amx => unsafe { amx::amx(block) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Unit::Vnni512 => unsafe { x86::vnni512(block) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Unit::Vnni256 => unsafe { x86::vnni256(block) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Unit::Avx2 => unsafe { x86::avx2(block) },
        Unit::Portable => block.portable(),
    }
}

pub(super) struct Block<'a> {
    c: &'a mut [f32],
    stride: usize,
    bias: Option<&'a [f32]>,
    pub x: &'a Rows8,
    pub w: &'a Panels,
    pub panels: Range<usize>,
}

/// Where a tile is written to.
pub(super) struct Tile<'b, 'a> {
    pub block: &'b mut Block<'a>,
    /// Its first row.
    pub row: usize,
    pub panel: usize,
}

/// Every tile of a block: `$whole::<M>(first number of the first row, from row to row, the panel, the tile)`.
macro_rules! each_tile {
    ($block:expr, $left:expr, $apart:expr, $tall:literal, $whole:ident, $($rows:literal)*) => {{
        let (block, left, apart) = ($block, $left, $apart);
        let m = block.x.len();
        for panel in block.panels.clone() {
            let numbers = block.w.panel(panel);
            for row in (0..m).step_by($tall) {
                match $tall.min(m - row) {
                    $($rows => {
                        // SAFETY: the left operand has so many rows, each as long as the panel's inner size
                        // (asserted in `block`), and the processor has the instructions of this unit.
                        unsafe {
                            let tile = Tile { block: &mut *block, row, panel };
                            $whole::<$rows>(left.as_ptr().add(row * apart), apart, numbers, tile);
                        }
                    })*
                    _ => unreachable!("a tile has at most {} rows", $tall),
                }
            }
        }
    }};
}

impl Block<'_> {
    /// Columns of a panel that are there.
    fn columns(&self, panel: usize) -> Range<usize> {
        panel * WIDE..self.w.len.min((panel + 1) * WIDE)
    }

    fn portable(mut self) {
        let (left, apart) = (self.x.bytes(), self.x.stride);
        each_tile!(&mut self, left, apart, 4, portable, 1 2 3 4);
    }
}

impl Tile<'_, '_> {
    /// Brings so many of its rows near.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn fetch(&self, rows: usize) {
        let Block { c, stride, panels, .. } = &*self.block;
        let from = (self.panel - panels.start) * WIDE;
        fetch_rows(&c[self.row * stride + from..], rows, WIDE, *stride);
    }

    /// From sums to values, row by row: less the row's zero times each output's sum, times both scales, plus the
    /// bias. The same arithmetic in the same order whatever the unit.
    #[inline(always)]
    fn finish<const M: usize>(self, sums: &Sums<M>) {
        let Self { block, row, panel } = self;
        let columns = block.columns(panel);
        let from = columns.start - block.panels.start * WIDE;
        let scales: &[f32; WIDE] = block.w.scales[columns.start..].first_chunk().expect("whole panels");
        let totals: &[i32; WIDE] = block.w.sums[columns.start..].first_chunk().expect("whole panels");
        let mut biases = [0.0; WIDE];
        if let Some(bias) = block.bias {
            biases[..columns.len()].copy_from_slice(&bias[from..from + columns.len()]);
        }
        for (i, sums) in sums.iter().enumerate() {
            let (zero, scale) = (block.x.zeros[row + i], block.x.scales[row + i]);
            let mut values = [0.0f32; WIDE];
            for j in 0..WIDE {
                values[j] = (sums[j] - zero * totals[j]) as f32 * (scale * scales[j]);
            }
            if block.bias.is_some() {
                for j in 0..WIDE {
                    values[j] += biases[j];
                }
            }
            let to = &mut block.c[(row + i) * block.stride + from..][..columns.len()];
            match to.as_mut_array::<WIDE>() {
                Some(to) => *to = values,
                None => to.copy_from_slice(&values[..columns.len()]),
            }
        }
    }
}

/// Sums of a tile by plain loops.
///
/// # Safety
/// The left operand has `M` rows of as many steps as the panel, `apart` bytes from row to row.
#[inline(always)]
unsafe fn portable<const M: usize>(left: *const u8, apart: usize, panel: &[i8], tile: Tile<'_, '_>) {
    let mut sums = [[0; WIDE]; M];
    for (group, numbers) in panel.as_chunks::<{ WIDE * STEPS }>().0.iter().enumerate() {
        for (i, sums) in sums.iter_mut().enumerate() {
            // SAFETY: the caller's promise.
            let x: [u8; STEPS] = unsafe { left.add(i * apart + group * STEPS).cast::<[u8; STEPS]>().read() };
            let x = x.map(i32::from);
            for (sum, w) in sums.iter_mut().zip(numbers.as_chunks::<STEPS>().0) {
                *sum +=
                    x[0] * i32::from(w[0]) + x[1] * i32::from(w[1]) + x[2] * i32::from(w[2]) + x[3] * i32::from(w[3]);
            }
        }
    }
    tile.finish(&sums);
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Block, STEPS, Sums, Tile, WIDE};
    use std::arch::x86_64::*;

    /// # Safety
    /// AVX-512 with VNNI.
    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx512vnni")]
    pub unsafe fn vnni512(mut block: Block<'_>) {
        let (left, apart) = (block.x.bytes(), block.x.stride);
        each_tile!(&mut block, left, apart, 14, whole512, 1 2 3 4 5 6 7 8 9 10 11 12 13 14);
    }

    /// A tile whose sums never leave their registers.
    ///
    /// # Safety
    /// As [`super::portable`], and AVX-512 with VNNI.
    #[inline]
    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx512vnni")]
    unsafe fn whole512<const M: usize>(left: *const u8, apart: usize, panel: &[i8], tile: Tile<'_, '_>) {
        tile.fetch(M);
        let mut sums = [[_mm512_setzero_si512(); 2]; M];
        let rows: [*const u8; M] = std::array::from_fn(|i| left.wrapping_add(i * apart));
        for (group, numbers) in panel.as_chunks::<{ WIDE * STEPS }>().0.iter().enumerate() {
            // SAFETY: a group of a panel is two vectors; rows are as long as the caller promises.
            unsafe {
                let w: [__m512i; 2] = std::array::from_fn(|j| _mm512_loadu_si512(numbers.as_ptr().add(j * 64).cast()));
                for (row, sums) in rows.iter().zip(&mut sums) {
                    let x = _mm512_set1_epi32(row.add(group * STEPS).cast::<i32>().read_unaligned());
                    for (sum, w) in sums.iter_mut().zip(w) {
                        *sum = _mm512_dpbusd_epi32(*sum, x, w);
                    }
                }
            }
        }
        // SAFETY: AVX-512 is there.
        unsafe { finish512(tile, M, |i, j| sums[i][j]) };
    }

    /// As [`Tile::finish`], from two vectors of sums for each of some rows.
    ///
    /// # Safety
    /// AVX-512.
    #[inline]
    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq")]
    pub unsafe fn finish512(tile: Tile<'_, '_>, rows: usize, sums: impl Fn(usize, usize) -> __m512i) {
        let Tile { block, row, panel } = tile;
        let (at, columns) = (panel * WIDE, block.columns(panel));
        let from = columns.start - block.panels.start * WIDE;
        let to = &mut block.c[row * block.stride + from..];
        assert!(
            to.len() >= (rows - 1) * block.stride + columns.len(),
            "a row of the result for each of the left operand"
        );
        let (scales, totals) = (&block.w.scales[at..at + WIDE], &block.w.sums[at..at + WIDE]);
        let bias = block.bias.map(|bias| &bias[from..from + columns.len()]);
        for j in 0..2 {
            let mask = !(u32::MAX.checked_shl(columns.len() as u32).unwrap_or(0)) >> (16 * j);
            let mask = (mask & 0xffff) as __mmask16;
            // SAFETY: scales and sums fill whole panels; values and biases are touched where the mask says that
            // there are columns.
            unsafe {
                let scale = _mm512_loadu_ps(scales.as_ptr().add(16 * j));
                let total = _mm512_loadu_si512(totals.as_ptr().add(16 * j).cast());
                let bias = bias.map(|bias| _mm512_maskz_loadu_ps(mask, bias.as_ptr().wrapping_add(16 * j)));
                for i in 0..rows {
                    let zero = _mm512_mullo_epi32(_mm512_set1_epi32(block.x.zeros[row + i]), total);
                    let value = _mm512_cvtepi32_ps(_mm512_sub_epi32(sums(i, j), zero));
                    let both = _mm512_mul_ps(_mm512_set1_ps(block.x.scales[row + i]), scale);
                    let mut value = _mm512_mul_ps(value, both);
                    if let Some(bias) = bias {
                        value = _mm512_add_ps(value, bias);
                    }
                    _mm512_mask_storeu_ps(to.as_mut_ptr().wrapping_add(i * block.stride + 16 * j), mask, value);
                }
            }
        }
    }

    /// # Safety
    /// AVX2 with VNNI.
    #[target_feature(enable = "avx2,avxvnni")]
    pub unsafe fn vnni256(mut block: Block<'_>) {
        let (left, apart) = (block.x.bytes(), block.x.stride);
        each_tile!(&mut block, left, apart, 6, whole256, 1 2 3 4 5 6);
    }

    /// Half a panel after the other, since sixteen registers hold no more.
    ///
    /// # Safety
    /// As [`super::portable`], and AVX2 with VNNI.
    #[inline]
    #[target_feature(enable = "avx2,avxvnni")]
    unsafe fn whole256<const M: usize>(left: *const u8, apart: usize, panel: &[i8], tile: Tile<'_, '_>) {
        let mut out: Sums<M> = [[0; WIDE]; M];
        for half in 0..2 {
            let mut sums = [[_mm256_setzero_si256(); 2]; M];
            for (group, numbers) in panel.as_chunks::<{ WIDE * STEPS }>().0.iter().enumerate() {
                // SAFETY: a group of a panel is four vectors; rows are as long as the caller promises.
                unsafe {
                    let at = numbers.as_ptr().add(half * 64);
                    let w: [__m256i; 2] = std::array::from_fn(|j| _mm256_loadu_si256(at.add(j * 32).cast()));
                    for (i, sums) in sums.iter_mut().enumerate() {
                        let x = left.add(i * apart + group * STEPS).cast::<i32>().read_unaligned();
                        let x = _mm256_set1_epi32(x);
                        for (sum, w) in sums.iter_mut().zip(w) {
                            *sum = _mm256_dpbusd_avx_epi32(*sum, x, w);
                        }
                    }
                }
            }
            for (out, sums) in out.iter_mut().zip(sums) {
                for (j, sum) in sums.into_iter().enumerate() {
                    // SAFETY: four vectors are as many sums as a row has.
                    unsafe { _mm256_storeu_si256(out.as_mut_ptr().add(half * 16 + j * 8).cast(), sum) };
                }
            }
        }
        tile.finish(&out);
    }

    /// # Safety
    /// AVX2.
    #[target_feature(enable = "avx2")]
    pub unsafe fn avx2(mut block: Block<'_>) {
        // Rows as 16 bits, once for all panels.
        let left: Vec<i16> = block.x.bytes().iter().map(|&v| i16::from(v)).collect();
        let apart = block.x.stride;
        each_tile!(&mut block, left, apart, 3, whole_avx2, 1 2 3);
    }

    /// # Safety
    /// As [`super::portable`] with rows of 16 bits, and AVX2.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn whole_avx2<const M: usize>(left: *const i16, apart: usize, panel: &[i8], tile: Tile<'_, '_>) {
        const QUADS: usize = 4;
        let mut out: Sums<M> = [[0; WIDE]; M];
        for half in 0..2 {
            // Each vector holds two sums of each of four outputs.
            let mut sums = [[_mm256_setzero_si256(); QUADS]; M];
            for (group, numbers) in panel.as_chunks::<{ WIDE * STEPS }>().0.iter().enumerate() {
                for quad in 0..QUADS {
                    // SAFETY: a group of a panel is eight times 16 bytes; rows are as long as the caller promises.
                    unsafe {
                        let at = numbers.as_ptr().add(half * 64 + quad * 16);
                        let w = _mm256_cvtepi8_epi16(_mm_loadu_si128(at.cast()));
                        for (i, sums) in sums.iter_mut().enumerate() {
                            let x = left.add(i * apart + group * STEPS).cast::<i64>().read_unaligned();
                            let products = _mm256_madd_epi16(_mm256_set1_epi64x(x), w);
                            sums[quad] = _mm256_add_epi32(sums[quad], products);
                        }
                    }
                }
            }
            for (out, sums) in out.iter_mut().zip(sums) {
                for (quad, sum) in sums.into_iter().enumerate() {
                    let mut both = [0i32; 8];
                    // SAFETY: a vector is eight sums.
                    unsafe { _mm256_storeu_si256(both.as_mut_ptr().cast(), sum) };
                    for (j, pair) in both.as_chunks::<2>().0.iter().enumerate() {
                        out[half * 16 + quad * 4 + j] = pair[0] + pair[1];
                    }
                }
            }
        }
        tile.finish(&out);
    }
}
