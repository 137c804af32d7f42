//! Which settings a search may choose, and how it chooses.

use crate::error::{Error, Result};
use polyseme_tensor::Stream;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use toml::Value;

/// One setting: some values, or a range.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Dimension {
    /// One of these.
    Values(Vec<Value>),
    /// A number between two, whole or on a logarithmic scale if so said.
    Range {
        /// Least.
        low: f64,
        /// Greatest.
        high: f64,
        /// Every factor is as likely as every other, not every difference.
        #[serde(default)]
        log: bool,
        /// Whole numbers only.
        #[serde(default)]
        whole: bool,
    },
}

/// Dotted keys of the settings of fine-tuning, and what they may be.
pub type Space = BTreeMap<String, Dimension>;

/// A point of a space: each dimension from 0 to 1.
pub type Point = BTreeMap<String, f64>;

impl Dimension {
    /// The value at a place from 0 to 1.
    pub fn at(&self, place: f64) -> Value {
        let place = place.clamp(0.0, 1.0);
        match self {
            Self::Values(values) => values[((place * values.len() as f64) as usize).min(values.len() - 1)].clone(),
            Self::Range { low, high, log, whole } => {
                let value =
                    if *log { (low.ln() + place * (high.ln() - low.ln())).exp() } else { low + place * (high - low) };
                if *whole {
                    return Value::Integer(value.round() as i64);
                }
                // Three digits are as much as a search can tell apart.
                Value::Float(format!("{value:.2e}").parse().expect("a number as it was written"))
            }
        }
    }

    fn check(&self, key: &str) -> Result<()> {
        let wrong = |expected: &str| {
            let found = toml::to_string(&BTreeMap::from([("value", self)])).unwrap_or_default().trim().to_owned();
            Err(Error::Setting { key: format!("space.{key}"), found, expected: expected.into() })
        };
        match self {
            Self::Values(values) if values.is_empty() => wrong("one value at least"),
            Self::Range { low, high, log, .. } => {
                let finite = low.is_finite() && high.is_finite();
                if !finite || low >= high {
                    wrong("`low` below `high`")
                } else if *log && *low <= 0.0 {
                    wrong("`low` above 0 on a logarithmic scale")
                } else {
                    Ok(())
                }
            }
            Self::Values(_) => Ok(()),
        }
    }
}

/// Errors on an empty space and on dimensions without a value.
pub fn check(space: &Space) -> Result<()> {
    if space.is_empty() {
        let (key, found) = ("space".into(), "empty".into());
        return Err(Error::Setting { key, found, expected: "a setting at least".into() });
    }
    space.iter().try_for_each(|(key, dimension)| dimension.check(key))
}

/// A point by chance, the same for the same stream and number.
pub fn random(space: &Space, stream: Stream, trial: u64) -> Point {
    space.keys().map(|key| (key.clone(), f64::from(stream.named(key).uniform(trial)))).collect()
}

/// Points tried at random before the others' scores are looked at.
pub const BEGINNING: u64 = 8;
/// Share of the points that count as good.
const GOOD: f64 = 0.25;
/// Points drawn near the good ones, of which the most promising is tried.
const DRAWN: u64 = 24;

/// The next point by tree-structured Parzen estimation (Bergstra et al. 2011): in each dimension, of points drawn
/// near the good quarter of those tried, the one that is most more likely among the good than among the rest.
/// `tried` have scores of which more is better.
pub fn tpe(space: &Space, tried: &[(Point, f64)], stream: Stream, trial: u64) -> Point {
    if trial < BEGINNING || tried.len() < 4 {
        return random(space, stream, trial);
    }
    let mut order: Vec<&(Point, f64)> = tried.iter().collect();
    order.sort_by(|a, b| b.1.total_cmp(&a.1));
    let count = ((GOOD * order.len() as f64).ceil() as usize).clamp(2, 25);
    let (good, rest) = order.split_at(count.min(order.len() - 1));
    let stream = stream.named("tpe").at(trial);
    let best = |(key, dimension): (&String, &Dimension)| {
        let of = |points: &[&(Point, f64)]| points.iter().map(|(p, _)| p[key]).collect::<Vec<f64>>();
        let (good, rest) = (of(good), of(rest));
        // Values lie side by side without being near each other: their kernel is the value itself.
        let width = |points: &[f64]| match dimension {
            Dimension::Values(values) => 0.25 / values.len() as f64,
            Dimension::Range { .. } => (1.0 / (points.len() as f64 + 1.0)).max(0.05),
        };
        let likely = |points: &[f64], x: f64| {
            let width = width(points);
            let near = |p: &f64| (-0.5 * ((x - p) / width).powi(2)).exp() / width;
            // A little of everywhere, as if one point more had been tried.
            (1.0 + points.iter().map(near).sum::<f64>() / 2.5) / (points.len() as f64 + 1.0)
        };
        let stream = stream.named(key);
        let draw = |k: u64| {
            let from = good[stream.named("from").below(k, good.len() as u64) as usize];
            let noise = f64::from(stream.named("noise").at(k).normals(1, 1.0)[0]);
            (from + width(&good) * noise).clamp(0.0, 1.0)
        };
        let promise = |x: &f64| likely(&good, *x) / likely(&rest, *x);
        let drawn = (0..DRAWN).map(draw).chain([f64::from(stream.uniform(0))]);
        let found = drawn.max_by(|a, b| promise(a).total_cmp(&promise(b))).expect("some were drawn");
        (key.clone(), found)
    };
    space.iter().map(best).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space() -> Space {
        let range = Dimension::Range { low: 1e-5, high: 1e-1, log: true, whole: false };
        BTreeMap::from([
            ("rate".to_owned(), range),
            ("epochs".to_owned(), Dimension::Range { low: 1.0, high: 9.0, log: false, whole: true }),
            ("freeze".to_owned(), Dimension::Values(vec!["a".into(), "b".into(), "c".into()])),
        ])
    }

    #[test]
    fn values_of_places() {
        let s = space();
        assert_eq!(s["rate"].at(0.5), Value::Float(1e-3));
        assert_eq!((s["rate"].at(0.0), s["rate"].at(1.0)), (Value::Float(1e-5), Value::Float(0.1)));
        assert_eq!((s["epochs"].at(0.5), s["epochs"].at(1.0)), (Value::Integer(5), Value::Integer(9)));
        assert_eq!((s["freeze"].at(0.34), s["freeze"].at(1.0)), ("b".into(), "c".into()));
    }

    #[test]
    fn what_is_no_space_is_said() {
        let bad = |d: Dimension| check(&BTreeMap::from([("x".to_owned(), d)])).unwrap_err().to_string();
        assert!(bad(Dimension::Values(Vec::new())).contains("one value at least"));
        assert!(bad(Dimension::Range { low: 2.0, high: 1.0, log: false, whole: false }).contains("`low` below `high`"));
        assert!(bad(Dimension::Range { low: 0.0, high: 1.0, log: true, whole: false }).contains("logarithmic"));
        assert!(check(&Space::new()).is_err());
        assert!(check(&space()).is_ok());
    }

    /// A hill around rate 1e-3 and `b`: after the same number of trials the search is nearer than chance, in the
    /// median of eleven seeds.
    #[test]
    fn it_finds_a_hill_sooner_than_chance() {
        let space = space();
        let height = |p: &Point| {
            let b = space["freeze"].at(p["freeze"]) == "b".into();
            -(p["rate"] - 0.5).abs() - 0.2 * (p["epochs"] - 0.8).abs() - if b { 0.0 } else { 0.5 }
        };
        let run = |seed: u64, clever: bool| {
            let mut tried: Vec<(Point, f64)> = Vec::new();
            for trial in 0..40 {
                let stream = Stream::new(seed);
                let p = if clever { tpe(&space, &tried, stream, trial) } else { random(&space, stream, trial) };
                let h = height(&p);
                tried.push((p, h));
            }
            tried.iter().map(|t| t.1).fold(f64::MIN, f64::max)
        };
        let median = |clever: bool| {
            let mut found: Vec<f64> = (0..11).map(|seed| run(seed, clever)).collect();
            found.sort_by(f64::total_cmp);
            found[5]
        };
        assert!(median(true) > median(false), "{} against {}", median(true), median(false));
    }
}
