//! What a recipe asks for: a gate, rows, and steps in order.

use super::setting;
use crate::Result;
use polyseme_train::Error as TrainError;
use polyseme_train::metrics::{is_error, metrics_of};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The resolved plan of a recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecipeSettings {
    /// The model folder to make smaller.
    pub model: PathBuf,
    /// Where the best candidate goes, with all others in its `candidates`.
    pub out: PathBuf,
    /// Seed of everything random.
    pub seed: u64,
    /// What may be lost, and what is wanted.
    pub gate: Gate,
    /// Rows to learn from and to measure on.
    pub data: Data,
    /// What is tried, in order.
    pub step: Vec<Step>,
}

/// What may be lost, and what is wanted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    /// The metric on the validation rows; empty: the usual one of the task.
    #[serde(default)]
    pub metric: String,
    /// The largest loss that is allowed, as a share of what the whole model has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_loss: Option<f64>,
    /// The same in the metric's own unit: 0.02 of an accuracy are two points.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_loss_points: Option<f64>,
    /// Wanted: the share of the whole model's bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<f64>,
    /// Wanted: so many times the rows per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speed: Option<f64>,
}

/// Rows, and how they are read; what is not given is guessed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// Rows to learn from.
    pub train: PathBuf,
    /// Rows that decide.
    pub valid: PathBuf,
    /// Rows that are looked at once, for the model at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<PathBuf>,
    /// What the model has learned, where its folder does not tell.
    #[serde(default)]
    pub task: String,
    /// Column of the text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Column of the second text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pair: Option<String>,
    /// Column of the label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Columns of the choices.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<String>,
    /// Between the labels of a row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_separator: Option<String>,
    /// Longest input in tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_length: Option<usize>,
}

/// One way to make the model smaller, as gently or as hard as its alternatives say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// A command of `polyseme shrink`.
    pub way: String,
    /// What may be lost up to this step, where that is less than the gate allows, so that something is left to later
    /// steps; as a share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_loss: Option<f64>,
    /// Whether all alternatives are tried, also behind one that lost too much.
    #[serde(default)]
    pub try_all: bool,
    /// The words of the command, one list an alternative, the gentlest first.
    pub alternatives: Vec<Vec<String>>,
}

impl RecipeSettings {
    /// Looks for values that cannot be, before anything is read or written.
    ///
    /// # Errors
    /// No gate or two, a negative one, a metric of another task, wanted figures that are none, no steps.
    pub fn check(&self) -> Result<()> {
        let gate = &self.gate;
        let known = metrics_of(&self.data.task);
        if !known.contains(&gate.metric.as_str()) {
            return Err(TrainError::UnknownMetric { found: gate.metric.clone(), known: known.join(", ") }.into());
        }
        match (gate.max_loss, gate.max_loss_points) {
            (None, None) => {
                return Err(setting(
                    "gate.max_loss",
                    "missing",
                    "the largest loss that is allowed, such as 0.02 for 2 %",
                ));
            }
            (Some(_), Some(_)) => {
                let expected = "left out beside gate.max_loss: one of the two says what may be lost";
                return Err(setting("gate.max_loss_points", "given", expected));
            }
            (Some(share), None) => check_share("gate.max_loss", share)?,
            (None, Some(points)) if !(points.is_finite() && points >= 0.0) => {
                return Err(setting("gate.max_loss_points", points, "0 or more, in the metric's own unit"));
            }
            _ => {}
        }
        if let Some(size) = gate.size.filter(|size| !(*size > 0.0 && *size <= 1.0)) {
            return Err(setting("gate.size", size, "above 0 and at most 1, the share of the whole model's bytes"));
        }
        if let Some(speed) = gate.speed.filter(|speed| !(speed.is_finite() && *speed >= 1.0)) {
            return Err(setting("gate.speed", speed, "1 or more, times the whole model's rows per second"));
        }
        if self.step.is_empty() {
            return Err(setting("step", "missing", "at least one [[step]] with a `way`"));
        }
        for (number, step) in (1..).zip(&self.step) {
            if let Some(share) = step.max_loss {
                check_share(&format!("step {number}, max_loss"), share)?;
            }
        }
        Ok(())
    }
}

fn check_share(key: &str, share: f64) -> Result<()> {
    match (0.0..1.0).contains(&share) {
        true => Ok(()),
        false => Err(setting(key, share, "from 0 to less than 1: 0.02 allows a loss of 2 %")),
    }
}

impl Gate {
    /// The worst score that is within the gate, where the whole model has `whole`; `share`, if given, may be stricter.
    pub fn limit(&self, whole: f64, share: Option<f64>) -> f64 {
        let lost = match self.max_loss_points {
            Some(points) => points,
            None => self.max_loss.unwrap_or(0.0) * whole.abs(),
        };
        let lost = share.map_or(lost, |share| lost.min(share * whole.abs()));
        if self.less_is_better() { whole + lost } else { whole - lost }
    }

    /// Whether a score is no worse than a limit, up to rounding.
    pub fn holds(&self, score: f64, limit: f64) -> bool {
        let room = 1e-9 * limit.abs().max(1.0);
        if self.less_is_better() { score <= limit + room } else { score >= limit - room }
    }

    /// What is lost of `whole`, as a share of it; below 0 where something was gained.
    pub fn lost(&self, whole: f64, score: f64) -> f64 {
        let lost = if self.less_is_better() { score - whole } else { whole - score };
        if lost == 0.0 { 0.0 } else { lost / whole.abs() }
    }

    /// A score of which more is better.
    pub fn good(&self, score: f64) -> f64 {
        if self.less_is_better() { -score } else { score }
    }

    fn less_is_better(&self) -> bool {
        is_error(&self.metric)
    }
}
