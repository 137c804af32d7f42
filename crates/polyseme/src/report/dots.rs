//! A dot chart of runs with several seeds: a dot a seed, a bar at the median, a line for a yardstick.

use super::html::escape;
use super::scale::{percent, ticks};
use std::fmt::Write;

const WIDTH: f64 = 860.0;
const LEFT: f64 = 150.0;
const RIGHT: f64 = 96.0;
const ROW: f64 = 54.0;

/// The results of one way of doing it, as shares between 0 and 1.
pub struct Arm {
    /// What was done.
    pub name: String,
    /// Seed and result.
    pub results: Vec<(u64, f64)>,
}

/// The middle value; the mean of the two middle ones where there is no single one. NaN if empty.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0,
    }
}

impl Arm {
    /// Finite results only.
    pub fn values(&self) -> Vec<f64> {
        self.results.iter().map(|r| r.1).filter(|v| v.is_finite()).collect()
    }

    /// Median, lowest, highest; NaN where nothing finite is there.
    pub fn summary(&self) -> (f64, f64, f64) {
        let values = self.values();
        let low = values.iter().copied().reduce(f64::min).unwrap_or(f64::NAN);
        let high = values.iter().copied().reduce(f64::max).unwrap_or(f64::NAN);
        (median(&values), low, high)
    }
}

/// Draws one row an arm. `chance` is drawn as a dashed line where it is given.
pub fn dot_chart(metric: &str, arms: &[Arm], chance: Option<f64>) -> String {
    let all: Vec<f64> = arms.iter().flat_map(Arm::values).chain(chance).filter(|v| v.is_finite()).collect();
    let low = all.iter().copied().fold(f64::INFINITY, f64::min);
    let high = all.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if arms.iter().all(|a| a.values().is_empty()) {
        return "<p class=\"none\">No results were recorded.</p>".to_owned();
    }
    let margin = ((high - low) * 0.08).max(0.005);
    let from = if low - margin < 0.12 { 0.0 } else { low - margin };
    let to = (high + margin).min(1.0).max(from + 0.01);
    let px = |v: f64| LEFT + (v - from) / (to - from) * (WIDTH - LEFT - RIGHT);
    let bottom = ROW * arms.len() as f64 + 8.0;
    let mut label = format!("{metric} by seed.");
    for arm in arms {
        let (middle, lowest, highest) = arm.summary();
        let _ = write!(
            label,
            " {}: median {}, from {} to {}.",
            arm.name,
            percent(middle),
            percent(lowest),
            percent(highest)
        );
    }
    let mut out = format!(
        "<svg viewBox=\"0 0 {WIDTH} {}\" role=\"img\" aria-label=\"{}\">\n<g class=\"axis\">",
        bottom + 44.0,
        escape(&label)
    );
    for value in ticks(from, to, 6) {
        let x = px(value);
        let _ = write!(out, "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"4\" y2=\"{bottom}\"/>");
        let digits = if to - from < 0.05 { 1 } else { 0 };
        let _ = write!(
            out,
            "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{:.digits$}</text>",
            bottom + 18.0,
            value * 100.0
        );
    }
    let _ = writeln!(
        out,
        "<text class=\"name\" x=\"{}\" y=\"{}\" text-anchor=\"end\">{} in per cent</text></g>",
        WIDTH - RIGHT,
        bottom + 38.0,
        escape(metric)
    );
    if let Some(chance) = chance.filter(|c| c.is_finite()) {
        let x = px(chance);
        let _ = write!(
            out,
            "<line class=\"level\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"4\" y2=\"{bottom}\"><title>guessing {}</title></line>",
            percent(chance)
        );
        let _ = writeln!(out, "<text class=\"end c0\" x=\"{:.1}\" y=\"{}\">guessing</text>", x + 5.0, bottom - 5.0);
    }
    for (i, arm) in arms.iter().enumerate() {
        draw_arm(arm, i, &px, &mut out);
    }
    out.push_str("</svg>");
    out
}

fn draw_arm(arm: &Arm, number: usize, px: &dyn Fn(f64) -> f64, out: &mut String) {
    let class = format!("c{}", number % 3 + 1);
    let y = ROW * (number as f64 + 0.5) + 4.0;
    let (middle, low, high) = arm.summary();
    let _ = write!(
        out,
        "<text class=\"arm\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
        LEFT - 14.0,
        y + 5.0,
        escape(&arm.name)
    );
    if !middle.is_finite() {
        return;
    }
    let _ = write!(
        out,
        "<line class=\"range {class}\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{y}\" y2=\"{y}\"/>",
        px(low),
        px(high)
    );
    // Equal results would hide each other: a dot near one already drawn steps down a little.
    let mut drawn: Vec<f64> = Vec::new();
    for (seed, value) in arm.results.iter().filter(|r| r.1.is_finite()) {
        let x = px(*value);
        let near = drawn.iter().filter(|d| (**d - x).abs() < 9.0).count();
        drawn.push(x);
        let step = [0.0, 7.0, -7.0, 13.0, -13.0][near % 5];
        let _ = write!(
            out,
            "<circle class=\"dot {class}\" cx=\"{x:.1}\" cy=\"{:.1}\" r=\"5\"><title>{}, seed {seed}: {}</title></circle>",
            y + step,
            escape(&arm.name),
            percent(*value)
        );
    }
    let x = px(middle);
    let _ = write!(
        out,
        "<line class=\"median {class}\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{}\" y2=\"{}\"/>",
        y - 19.0,
        y + 19.0
    );
    let _ = writeln!(
        out,
        "<text class=\"end {class}\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
        px(high).max(x) + 12.0,
        y + 5.0,
        percent(middle)
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_of_odd_even_none() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, f64::NAN, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn every_seed_has_a_dot() {
        let arms = [
            Arm { name: "a<b".to_owned(), results: vec![(1, 0.5), (2, 0.5), (3, f64::NAN)] },
            Arm { name: "none".to_owned(), results: vec![] },
        ];
        let svg = dot_chart("accuracy", &arms, Some(0.05));
        assert_eq!(svg.matches("class=\"dot").count(), 2);
        assert!(svg.contains("a&lt;b") && !svg.contains("NaN") && !svg.contains("inf"));
    }
}
