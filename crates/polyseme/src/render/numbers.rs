//! Numbers as people read them.

/// `1234567` as `1,234,567`.
pub fn group(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(c);
    }
    text
}

/// A small number such as a learning rate in three digits: `1.5e-3`, `0.25`.
pub fn short(x: f64) -> String {
    if x == 0.0 || (0.01..1000.0).contains(&x.abs()) {
        let text = format!("{x:.3}");
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    let text = format!("{x:.2e}");
    let (mantissa, exponent) = text.split_once('e').expect("scientific notation has an e");
    format!("{}e{exponent}", mantissa.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_grouped() {
        assert_eq!(group(0), "0");
        assert_eq!(group(999), "999");
        assert_eq!(group(1234567), "1,234,567");
        assert_eq!(short(0.0015), "1.5e-3");
        assert_eq!(short(0.001), "1e-3");
        assert_eq!(short(0.25), "0.25");
        assert_eq!(short(0.0), "0");
        assert_eq!(short(12.0), "12");
    }
}
