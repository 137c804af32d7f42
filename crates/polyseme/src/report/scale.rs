//! Numbers for people: axis ticks, short forms of values, and thinning of long series.

/// A stretch of a long series drawn as one point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// Position on the x axis: that of the last point in the stretch.
    pub x: f64,
    /// Mean of the stretch.
    pub mean: f64,
    /// Lowest value of the stretch.
    pub low: f64,
    /// Highest value of the stretch.
    pub high: f64,
}

/// Joins neighbouring points so that at most `most` remain; points that are not finite are left out.
pub fn thin(points: &[(f64, f64)], most: usize) -> Vec<Bucket> {
    let finite: Vec<(f64, f64)> = points.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite()).collect();
    let width = finite.len().div_ceil(most.max(1)).max(1);
    finite
        .chunks(width)
        .map(|part| Bucket {
            x: part[part.len() - 1].0,
            mean: part.iter().map(|p| p.1).sum::<f64>() / part.len() as f64,
            low: part.iter().map(|p| p.1).fold(f64::INFINITY, f64::min),
            high: part.iter().map(|p| p.1).fold(f64::NEG_INFINITY, f64::max),
        })
        .collect()
}

/// Smoothed copy of a series: each value the mean of its neighbours on both sides, weighted down
/// exponentially over `memory` points. Looks both ways, so that it does not lag behind a falling loss.
pub fn smooth(points: &[(f64, f64)], memory: f64) -> Vec<(f64, f64)> {
    let finite: Vec<(f64, f64)> = points.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite()).collect();
    let keep = (-1.0 / memory.max(1.0)).exp();
    // Sum and weight of all values up to each point, from one side.
    let one_sided = |values: &mut dyn Iterator<Item = f64>| -> Vec<(f64, f64)> {
        let (mut sum, mut weight) = (0.0, 0.0);
        values
            .map(|y| {
                sum = sum * keep + y;
                weight = weight * keep + 1.0;
                (sum, weight)
            })
            .collect()
    };
    let before = one_sided(&mut finite.iter().map(|p| p.1));
    let mut after = one_sided(&mut finite.iter().rev().map(|p| p.1));
    after.reverse();
    // The point itself is in both sums.
    let mean = |i: usize| {
        let ((x, y), (b, a)) = (finite[i], (before[i], after[i]));
        (x, (b.0 + a.0 - y) / (b.1 + a.1 - 1.0))
    };
    (0..finite.len()).map(mean).collect()
}

/// Round numbers from `low` to `high` at steps of 1, 2 or 5 times a power of ten, about `want` of them.
pub fn ticks(low: f64, high: f64, want: usize) -> Vec<f64> {
    let span = high - low;
    if !span.is_finite() || span <= 0.0 || want == 0 {
        return vec![low];
    }
    let rough = span / want as f64;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|s| *s >= rough * 0.999).unwrap_or(rough);
    let first = (low / step).ceil() as i64;
    let last = (high / step + 1e-9).floor() as i64;
    (first..=last).map(|k| k as f64 * step).collect()
}

/// Powers of ten, with 2 and 5 between them where there are few.
pub fn log_ticks(low: f64, high: f64) -> Vec<f64> {
    let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    let between: &[f64] = if last - first <= 3 { &[1.0, 2.0, 5.0] } else { &[1.0] };
    (first..=last)
        .flat_map(|e| between.iter().map(move |m| m * 10f64.powi(e)))
        .filter(|v| *v >= low * 0.999 && *v <= high * 1.001)
        .collect()
}

/// A value in at most four digits: `0.0003`, `3.2e-6`, `6.84`, `812`, `12.4k`, `3.1M`; `–` if not finite.
pub fn short(value: f64) -> String {
    let size = value.abs();
    match size {
        _ if !value.is_finite() => "–".to_owned(),
        0.0 => "0".to_owned(),
        s if s < 9.9995e-5 => {
            let text = format!("{value:.1e}");
            text.replacen(".0e", "e", 1)
        }
        s if s < 1.0 => trim(format!("{value:.*}", (3 - s.log10().floor() as i32 - 1).clamp(2, 7) as usize)),
        s if s < 9.995 => trim(format!("{value:.2}")),
        s if s < 99.95 => trim(format!("{value:.1}")),
        s if s < 9999.5 => trim(format!("{value:.0}")),
        s if s < 999_950.0 => trim(format!("{:.1}", value / 1e3)) + "k",
        s if s < 999_950_000.0 => trim(format!("{:.1}", value / 1e6)) + "M",
        _ => trim(format!("{:.1}", value / 1e9)) + "G",
    }
}

fn trim(text: String) -> String {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A whole number in groups of three: `1 234 567`, with narrow no-break spaces.
pub fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(c);
    }
    out
}

/// A share as per cent with one digit: `61.3 %`.
pub fn percent(share: f64) -> String {
    if share.is_finite() { format!("{:.1}\u{202f}%", share * 100.0) } else { "–".to_owned() }
}

/// A span of time: `48 s`, `3 min 5 s`, `2 h 10 min`.
pub fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "–".to_owned();
    }
    let whole = seconds.round() as u64;
    match whole {
        0..60 if seconds < 9.95 => format!("{seconds:.1}\u{202f}s"),
        0..60 => format!("{whole}\u{202f}s"),
        60..3600 => format!("{}\u{202f}min {}\u{202f}s", whole / 60, whole % 60),
        _ => format!("{}\u{202f}h {}\u{202f}min", whole / 3600, whole % 3600 / 60),
    }
}

/// Bytes in decimal units: `812 kB`, `21.4 MB`.
pub fn bytes(count: u64) -> String {
    let b = count as f64;
    match count {
        0..1000 => format!("{count}\u{202f}B"),
        1000..999_500 => format!("{:.0}\u{202f}kB", b / 1e3),
        999_500..999_950_000 => format!("{:.1}\u{202f}MB", b / 1e6),
        _ => format!("{:.1}\u{202f}GB", b / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(ticks(0.0, 10.0, 5), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(ticks(5.9, 8.1, 5), [6.0, 6.5, 7.0, 7.5, 8.0]);
        assert_eq!(ticks(3.0, 3.0, 5), [3.0]);
        assert_eq!(ticks(f64::NAN, 1.0, 5).len(), 1);
    }

    #[test]
    fn log_ticks_cover_the_range() {
        assert_eq!(log_ticks(0.4, 12.0), [0.5, 1.0, 2.0, 5.0, 10.0]);
        assert!(log_ticks(1e-6, 1e3).len() >= 9);
    }

    #[test]
    fn short_numbers() {
        let cases = [
            (0.0, "0"),
            (0.0003, "0.0003"),
            (3.2e-6, "3.2e-6"),
            (5e-5, "5e-5"),
            (6.842, "6.84"),
            (812.4, "812"),
            (12_400.0, "12.4k"),
            (3_100_000.0, "3.1M"),
            (f64::NAN, "–"),
            (-0.25, "-0.25"),
            (1.0, "1"),
        ];
        for (value, text) in cases {
            assert_eq!(short(value), text);
        }
    }

    #[test]
    fn spans_and_sizes() {
        assert_eq!(duration(185.0), "3\u{202f}min 5\u{202f}s");
        assert_eq!(duration(7800.0), "2\u{202f}h 10\u{202f}min");
        assert_eq!(bytes(21_400_000), "21.4\u{202f}MB");
        assert_eq!(grouped(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(percent(0.6125), "61.3\u{202f}%");
    }

    #[test]
    fn thinning_keeps_extremes_and_drops_nan() {
        let points: Vec<(f64, f64)> = (0..1000).map(|i| (i as f64, if i == 500 { 9.0 } else { 1.0 })).collect();
        let thinned = thin(&points, 100);
        assert_eq!(thinned.len(), 100);
        assert!(thinned.iter().any(|b| b.high == 9.0));
        assert!(thin(&[(1.0, f64::NAN)], 10).is_empty());
        assert_eq!(smooth(&[(0.0, 4.0), (1.0, 4.0)], 5.0), [(0.0, 4.0), (1.0, 4.0)]);
    }
}
