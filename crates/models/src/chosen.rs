//! What a model's outputs mean, found on data: it stands in `config.json`, where the reference reads over it.

use crate::error::{Error, Result};
use crate::model::HeadKind;
use polyseme_formats::ConfigJson;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

const THRESHOLDS: &str = "thresholds";
const SCORE_LINE: &str = "score_of_cosine";

/// A score for a cosine: `slope · cosine + shift`, on the scale of the scores that a sentence encoder learned from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct ScoreLine {
    pub slope: f64,
    pub shift: f64,
}

impl ScoreLine {
    /// The score of a cosine.
    pub fn score(&self, cosine: f32) -> f32 {
        (self.slope * f64::from(cosine) + self.shift) as f32
    }
}

/// The values there are; each belongs to one kind of head.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Chosen {
    /// The probability each of several labels must have.
    pub thresholds: Option<Vec<f64>>,
    /// The score that a pair's cosine stands for.
    pub score_line: Option<ScoreLine>,
}

impl Chosen {
    /// What a folder says for the head that is read from it.
    pub fn read(json: &mut ConfigJson, head: &HeadKind) -> Result<Self> {
        let mut chosen = Self::default();
        match head {
            HeadKind::MultiLabel(labels) => chosen.thresholds = thresholds(json, labels.len())?,
            HeadKind::None => chosen.score_line = score_line(json)?,
            _ => {}
        }
        Ok(chosen)
    }

    /// Lays it over the keys of `config.json`, and takes away what a folder had for another head.
    pub fn write(&self, keys: &mut Map<String, Value>) {
        let line = self.score_line.map(|line| serde_json::to_value(line).expect("plain data"));
        for (key, value) in [(THRESHOLDS, self.thresholds.clone().map(Value::from)), (SCORE_LINE, line)] {
            match value {
                Some(value) => _ = keys.insert(key.into(), value),
                None => _ = keys.shift_remove(key),
            }
        }
    }
}

fn thresholds(json: &mut ConfigJson, labels: usize) -> Result<Option<Vec<f64>>> {
    let Some(value) = taken(json, THRESHOLDS) else { return Ok(None) };
    let numbers: Option<Vec<f64>> = value.as_array().and_then(|list| list.iter().map(Value::as_f64).collect());
    match numbers.filter(|n| n.len() == labels && n.iter().all(|t| (0.0..=1.0).contains(t))) {
        Some(numbers) => Ok(Some(numbers)),
        None => Err(bad(json, THRESHOLDS, &value, format!("a number from 0 to 1 for each of {labels} labels"))),
    }
}

fn score_line(json: &mut ConfigJson) -> Result<Option<ScoreLine>> {
    let Some(value) = taken(json, SCORE_LINE) else { return Ok(None) };
    match ScoreLine::deserialize(&value).ok().filter(|line| line.slope > 0.0) {
        Some(line) => Ok(Some(line)),
        None => Err(bad(json, SCORE_LINE, &value, "a `slope` above 0 and a `shift`".into())),
    }
}

fn taken(json: &mut ConfigJson, key: &'static str) -> Option<Value> {
    json.take(key).filter(|value| !value.is_null())
}

fn bad(json: &ConfigJson, key: &'static str, found: &Value, expected: String) -> Error {
    let found = found.to_string().chars().take(200).collect();
    Error::BadKey { path: json.path.clone(), key, found, expected }
}
