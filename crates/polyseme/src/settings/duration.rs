//! Spans of time as people write them: `90s`, `30m`, `1h30m`.

use super::{Error, Result};

/// Seconds of a span such as `90s`, `30m`, `1.5h`, `1h30m`, `2d`. Errors: no unit, an unknown unit,
/// zero or less.
pub fn parse_duration(given: &str) -> Result<f64> {
    let bad = |why: &str| Error::BadDuration { given: given.into(), why: why.into() };
    let mut rest = given.trim();
    if rest.is_empty() {
        return Err(bad("it is empty"));
    }
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(|| bad("a unit is missing"))?;
        let number: f64 = rest[..end].parse().map_err(|_| bad("a number was expected before the unit"))?;
        let unit_end = rest[end..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |i| end + i);
        let factor = match &rest[end..unit_end] {
            "s" | "sec" => 1.0,
            "m" | "min" => 60.0,
            "h" => 3600.0,
            "d" => 86400.0,
            _ => return Err(bad("units are s, m, h and d")),
        };
        seconds += number * factor;
        rest = &rest[unit_end..];
    }
    if seconds > 0.0 && seconds.is_finite() { Ok(seconds) } else { Err(bad("it must be more than nothing")) }
}

/// A span for people: `80ms`, `4.2s`, `42s`, `3m 20s`, `1h 05m`, `2d 03h`.
pub fn spell_duration(seconds: f64) -> String {
    if seconds.is_nan() || seconds < 0.0 {
        return "?".into();
    }
    if seconds < 1.0 {
        return format!("{:.0}ms", 1000.0 * seconds);
    }
    if seconds < 10.0 {
        return format!("{seconds:.1}s");
    }
    let s = seconds.round() as u64;
    match s {
        0..60 => format!("{s}s"),
        60..3600 => format!("{}m {:02}s", s / 60, s % 60),
        3600..86400 => format!("{}h {:02}m", s / 3600, s % 3600 / 60),
        _ => format!("{}d {:02}h", s / 86400, s % 86400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_in_every_spelling() {
        for (text, seconds) in
            [("90s", 90.0), ("30m", 1800.0), ("1h", 3600.0), ("1h30m", 5400.0), ("1.5h", 5400.0), ("2d", 172800.0)]
        {
            assert_eq!(parse_duration(text).unwrap(), seconds, "{text}");
        }
    }

    #[test]
    fn what_is_no_span_is_refused() {
        for text in ["", "30", "m", "1x", "0s", "-5m", "1.2.3s", "1h30"] {
            assert!(parse_duration(text).is_err(), "{text:?} was taken for a time");
        }
    }

    #[test]
    fn spans_are_spelled_short() {
        assert_eq!(spell_duration(0.0804), "80ms");
        assert_eq!(spell_duration(4.21), "4.2s");
        assert_eq!(spell_duration(200.4), "3m 20s");
        assert_eq!(spell_duration(3900.0), "1h 05m");
        assert_eq!(spell_duration(97200.0), "1d 03h");
    }
}
