//! Runs a loop compiled for the best instruction set the processor has.

/// Defines `fn name(args) -> R` whose body is compiled three times (portable, AVX2, AVX-512) and
/// chosen at run time. The bodies contain no fused multiply-add, so all three give the same bits.
macro_rules! simd_fn {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident : $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        #[inline]
        $vis fn $name($($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            fn body($($arg: $ty),*) $(-> $ret)? $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq")]
                fn v4($($arg: $ty),*) $(-> $ret)? {
                    body($($arg),*)
                }
                #[target_feature(enable = "avx2")]
                fn v3($($arg: $ty),*) $(-> $ret)? {
                    body($($arg),*)
                }
                match crate::simd::level() {
                    // SAFETY: `level` found these instructions on this processor.
                    crate::simd::Level::V4 => return unsafe { v4($($arg),*) },
                    // SAFETY: as above.
                    crate::simd::Level::V3 => return unsafe { v3($($arg),*) },
                    crate::simd::Level::Portable => {}
                }
            }
            body($($arg),*)
        }
    };
}
pub(crate) use simd_fn;

/// What the processor can do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
pub(crate) enum Level {
    /// AVX-512 F, VL, BW, DQ.
    V4,
    /// AVX2.
    V3,
    /// Whatever the target guarantees (SSE2, NEON).
    Portable,
}

/// Brings rows near, `stride` values apart, that are going to be written: a tile of a result is in no cache, and its stores
/// would wait for memory after the sums are made. Values beyond the slice are no error.
#[inline(always)]
pub(crate) fn fetch_rows(out: &[f32], rows: usize, columns: usize, stride: usize) {
    #[cfg(target_arch = "x86_64")]
    for row in 0..rows {
        let row = out.as_ptr().wrapping_add(row * stride);
        for column in (0..columns).step_by(16) {
            use std::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};
            // SAFETY: an address that is only fetched may be any.
            unsafe { _mm_prefetch::<_MM_HINT_ET0>(row.wrapping_add(column).cast()) };
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (out, rows, columns, stride);
}

/// The processor's level; the standard library caches the detection.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(crate) fn level() -> Level {
    if is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
    {
        Level::V4
    } else if is_x86_feature_detected!("avx2") {
        Level::V3
    } else {
        Level::Portable
    }
}
