//! Elementary functions that vectorize, and the activations made of them.
//!
//! All are straight-line arithmetic without branches or fused multiply-adds, so that loops over
//! them compile to vector code and give the same bits on every instruction set.

use crate::Activation;
use crate::simd::simd_fn;

/// e^x with about one unit in the last place; 0 below -87.3, saturated above 88.3.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    // x = n·ln 2 + r with |r| <= ln 2 / 2; adding 1.5·2^23 rounds to the nearest whole number.
    const ROUND: f32 = 12_582_912.0;
    let clamped = x.clamp(-87.336_54, 88.37);
    let shifted = clamped * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    // ln 2 in two parts, the first with trailing zeros, so that n·HIGH is exact.
    let r = clamped - n * 0.693_359_4;
    let r = r - n * -2.121_944_4e-4;
    // Taylor's series to r^7 / 7!: below half a unit in the last place on this interval.
    let p = 1.984_127e-4_f32;
    let p = p * r + 1.388_889e-3;
    let p = p * r + 8.333_333e-3;
    let p = p * r + 4.166_666_8e-2;
    let p = p * r + 0.166_666_67;
    let p = p * r + 0.5;
    let y = p * r * r + r + 1.0;
    // n stands in the lowest bits of `shifted`: a cast to a whole number would not become vector code, since it
    // saturates.
    let scale = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    let y = y * scale;
    if x < -87.336_54 { 0.0 } else { y }
}

/// Standard normal distribution function and its density, from one exponential.
///
/// erfc(z) = e^(-z²) · q(t), t = 1 / (1 + 0.34 z), with q a polynomial of degree 7 fitted by us to
/// the smallest maximum error of erfc (7e-10 before rounding).
#[inline(always)]
pub fn normal_cdf_pdf(x: f32) -> (f32, f32) {
    const FRAC_1_SQRT_TAU: f32 = 0.398_942_3;
    let e = exp(-0.5 * x * x);
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.34 * z);
    let q = -0.246_983_84_f32;
    let q = q * t + 1.087_616_5;
    let q = q * t - 1.250_997;
    let q = q * t + 1.211_198_7;
    let q = q * t - 0.286_043_7;
    let q = q * t + 0.305_061_7;
    let q = q * t + 0.180_147_62;
    let tail = 0.5 * e * q * t;
    let cdf = if x < 0.0 { tail } else { 1.0 - tail };
    (cdf, e * FRAC_1_SQRT_TAU)
}

/// tanh by the exponential; absolute error about 1e-7.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    let e = exp(-2.0 * x.abs());
    let t = (1.0 - e) / (1.0 + e);
    if x < 0.0 { -t } else { t }
}

/// The activation's value.
#[inline(always)]
fn value(act: Activation, x: f32) -> f32 {
    match act {
        Activation::Gelu => x * normal_cdf_pdf(x).0,
        Activation::GeluTanh => 0.5 * x * (1.0 + tanh(GELU_C * (x + GELU_K * x * x * x))),
        Activation::Relu => x.max(0.0),
        Activation::Silu => x * (1.0 / (1.0 + exp(-x))),
    }
}

/// The activation's value and derivative.
#[inline(always)]
fn value_slope(act: Activation, x: f32) -> (f32, f32) {
    match act {
        Activation::Gelu => {
            let (cdf, pdf) = normal_cdf_pdf(x);
            (x * cdf, cdf + x * pdf)
        }
        Activation::GeluTanh => {
            let t = tanh(GELU_C * (x + GELU_K * x * x * x));
            let slope = 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * GELU_C * (1.0 + 3.0 * GELU_K * x * x);
            (0.5 * x * (1.0 + t), slope)
        }
        Activation::Relu => (x.max(0.0), if x > 0.0 { 1.0 } else { 0.0 }),
        Activation::Silu => {
            let s = 1.0 / (1.0 + exp(-x));
            (x * s, s * (1.0 + x * (1.0 - s)))
        }
    }
}

/// sqrt(2 / pi)
const GELU_C: f32 = 0.797_884_6;
/// The cubic term of the tanh approximation.
const GELU_K: f32 = 0.044_715;

/// The activation of each value. Both of one length.
pub fn activate(act: Activation, x: &[f32], y: &mut [f32]) {
    assert_eq!(x.len(), y.len());
    match act {
        Activation::Gelu => gelu(x, y),
        Activation::GeluTanh => gelu_tanh(x, y),
        Activation::Relu => relu(x, y),
        Activation::Silu => silu(x, y),
    }
}

macro_rules! activation_rows {
    ($forward:ident, $backward:ident, $act:expr) => {
        simd_fn! {
            fn $forward(x: &[f32], y: &mut [f32]) {
                for (&x, y) in x.iter().zip(y.iter_mut()) {
                    *y = value($act, x);
                }
            }
        }
        simd_fn! {
            fn $backward(x: &[f32], dy: &mut [f32], y: &mut [f32]) {
                for ((&x, dy), y) in x.iter().zip(dy.iter_mut()).zip(y.iter_mut()) {
                    let (value, slope) = value_slope($act, x);
                    *y = value;
                    *dy *= slope;
                }
            }
        }
    };
}
activation_rows!(gelu, gelu_back, Activation::Gelu);
activation_rows!(gelu_tanh, gelu_tanh_back, Activation::GeluTanh);
activation_rows!(relu, relu_back, Activation::Relu);
activation_rows!(silu, silu_back, Activation::Silu);

/// From the pre-activation `x`: the activation again into `y`, and `dy` turned from the gradient
/// of the activation into that of the pre-activation. All of one length.
pub fn activate_backward(act: Activation, x: &[f32], dy: &mut [f32], y: &mut [f32]) {
    assert!(x.len() == dy.len() && x.len() == y.len());
    match act {
        Activation::Gelu => gelu_back(x, dy, y),
        Activation::GeluTanh => gelu_tanh_back(x, dy, y),
        Activation::Relu => relu_back(x, dy, y),
        Activation::Silu => silu_back(x, dy, y),
    }
}

simd_fn! {
    /// `y += x`
    pub fn add(y: &mut [f32], x: &[f32]) {
        for (y, &x) in y.iter_mut().zip(x) {
            *y += x;
        }
    }
}

simd_fn! {
    /// `y *= s`
    pub fn scale(y: &mut [f32], s: f32) {
        for y in y.iter_mut() {
            *y *= s;
        }
    }
}

simd_fn! {
    /// Adds every row of `x` to `sums`; rows begin every `stride` values. Nothing if there are no sums.
    pub fn sum_rows(x: &[f32], stride: usize, sums: &mut [f32]) {
        for row in x.chunks(stride) {
            for (sum, &x) in sums.iter_mut().zip(row) {
                *sum += x;
            }
        }
    }
}

/// The activation of the first half of a row times the second half: a gate (Shazeer 2020).
/// `x`: `(2f)`; `y`: `(f)`
pub fn gate(act: Activation, x: &[f32], y: &mut [f32]) {
    let (x, gate) = x.split_at(y.len());
    activate(act, x, y);
    multiply(y, gate);
}

/// From a row `x` `(2f)` and the gradient `dy` `(f)` of [`gate`]: the gradient of `x`, and the gate's value
/// again into `y`.
pub fn gate_backward(act: Activation, x: &[f32], dy: &[f32], dx: &mut [f32], y: &mut [f32]) {
    let (x, gate) = x.split_at(y.len());
    let (dx, dgate) = dx.split_at_mut(y.len());
    dx.copy_from_slice(dy);
    activate_backward(act, x, dx, y);
    // Now `y` is the activation and `dx` the gradient times its slope.
    dgate.copy_from_slice(dy);
    multiply(dgate, y);
    multiply(dx, gate);
    multiply(y, gate);
}

simd_fn! {
    /// `y *= x`
    pub fn multiply(y: &mut [f32], x: &[f32]) {
        for (y, &x) in y.iter_mut().zip(x) {
            *y *= x;
        }
    }
}

/// Lanes of the unrolled reductions: wide enough for two AVX-512 registers.
pub(crate) const LANES: usize = 32;

/// Sum of `f` over a row in a fixed order that vectorizes.
#[inline(always)]
pub(crate) fn reduce2(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut acc = [0.0f32; LANES];
    let (ca, cb) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let (ra, rb) = (ca.remainder(), cb.remainder());
    for (a, b) in ca.zip(cb) {
        for i in 0..LANES {
            acc[i] += f(a[i], b[i]);
        }
    }
    for (i, (&a, &b)) in ra.iter().zip(rb).enumerate() {
        acc[i] += f(a, b);
    }
    fold(acc, |a, b| a + b)
}

/// All lanes by halves: what stands 16 apart, then 8, 4, 2 and 1. No lane is named by a number that the compiler does
/// not know, so they stay in registers.
#[inline(always)]
fn fold(lanes: [f32; LANES], f: impl Fn(f32, f32) -> f32) -> f32 {
    let sixteen: [f32; 16] = std::array::from_fn(|i| f(lanes[i], lanes[i + 16]));
    let eight: [f32; 8] = std::array::from_fn(|i| f(sixteen[i], sixteen[i + 8]));
    let four: [f32; 4] = std::array::from_fn(|i| f(eight[i], eight[i + 4]));
    let two: [f32; 2] = std::array::from_fn(|i| f(four[i], four[i + 2]));
    f(two[0], two[1])
}

/// Largest value of a row; -inf for an empty one.
#[inline(always)]
pub(crate) fn max_of(a: &[f32]) -> f32 {
    let mut acc = [f32::NEG_INFINITY; LANES];
    let chunks = a.chunks_exact(LANES);
    let rest = chunks.remainder();
    for a in chunks {
        for i in 0..LANES {
            acc[i] = if a[i] > acc[i] { a[i] } else { acc[i] };
        }
    }
    for (i, &a) in rest.iter().enumerate() {
        acc[i] = if a > acc[i] { a } else { acc[i] };
    }
    fold(acc, |a, b| if a > b { a } else { b })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// erfc by its continued fraction and series in f64, for reference.
    fn cdf64(x: f64) -> f64 {
        let z = x.abs();
        let tail = if z < 3.0 {
            let (mut sum, mut term, mut k) = (z, z, 1.0);
            while term.abs() > 1e-18 {
                term *= z * z / (2.0 * k + 1.0);
                sum += term;
                k += 1.0;
            }
            0.5 - sum * (-0.5 * z * z).exp() / (2.0 * std::f64::consts::PI).sqrt()
        } else {
            let mut f = z;
            for k in (1..200).rev() {
                f = z + k as f64 / f;
            }
            (-0.5 * z * z).exp() / (2.0 * std::f64::consts::PI).sqrt() / f
        };
        if x < 0.0 { tail } else { 1.0 - tail }
    }

    #[test]
    fn exp_is_within_two_units_in_the_last_place() {
        for i in -87_000..88_000 {
            let x = i as f32 * 1e-3;
            let want = f64::from(x).exp();
            let rel = (f64::from(exp(x)) - want).abs() / want;
            assert!(rel < 2.4e-7, "exp({x}): relative error {rel:e}");
        }
        assert_eq!(exp(-200.0), 0.0);
        assert!(exp(f32::NEG_INFINITY) == 0.0 && exp(0.0) == 1.0);
    }

    #[test]
    fn normal_distribution_and_density() {
        for i in -8_000..8_000 {
            let x = i as f32 * 1e-3;
            let (cdf, pdf) = normal_cdf_pdf(x);
            assert!((f64::from(cdf) - cdf64(f64::from(x))).abs() < 4e-7, "cdf({x}) = {cdf}");
            let want = (-0.5 * f64::from(x).powi(2)).exp() / (2.0 * std::f64::consts::PI).sqrt();
            assert!((f64::from(pdf) - want).abs() < 1e-7, "pdf({x}) = {pdf}");
        }
    }

    #[test]
    fn slopes_agree_with_finite_differences() {
        for act in [Activation::Gelu, Activation::GeluTanh, Activation::Relu, Activation::Silu] {
            for i in -400..400 {
                let x = i as f32 * 0.02 + 0.005;
                let h = 4e-3;
                let numeric = (f64::from(value(act, x + h)) - f64::from(value(act, x - h))) / (2.0 * f64::from(h));
                let (v, slope) = value_slope(act, x);
                assert_eq!(v.to_bits(), value(act, x).to_bits());
                assert!((numeric - f64::from(slope)).abs() < 2e-3, "{act:?}'({x}) = {slope}, numeric {numeric}");
            }
        }
    }

    #[test]
    fn reductions_of_odd_lengths() {
        for n in [0usize, 1, 31, 32, 33, 100] {
            let a: Vec<f32> = (0..n).map(|i| i as f32).collect();
            let want: f32 = a.iter().map(|x| x * x).sum();
            assert_eq!(reduce2(&a, &a, |x, y| x * y), want);
            assert_eq!(max_of(&a), a.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        }
    }
}
