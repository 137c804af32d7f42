//! What a student learns from its teacher.

use crate::error::Result;
use crate::pretrain::settings::setting;
use polyseme_models::{Cut, EncoderConfig, Model};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The teacher, what is left of the model to begin with, and how much each loss weighs; 0: it is left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DistilSettings {
    /// The folder of a model that has learned the task; `None`: nobody teaches.
    pub teacher: Option<PathBuf>,
    /// Layers of the model to begin with that the student keeps, from 0; empty: all.
    pub keep_layers: Vec<usize>,
    /// Share of the heads of each layer that it keeps, those with the largest weights.
    pub keep_heads: f64,
    /// Share of the units of each layer's feed-forward part that it keeps, likewise.
    pub keep_units: f64,
    /// Files of texts without labels, whose labels the teacher says.
    pub unlabelled: Vec<PathBuf>,
    /// Copies of each row with words exchanged, whose labels the teacher says.
    pub augment: usize,
    /// Share of the words that are exchanged in each.
    pub augment_share: f64,
    /// The folder of a model that predicts what could stand in their place; `None`: the teacher, or, where it predicts
    /// nothing, pieces whose embeddings are near.
    pub augment_with: Option<PathBuf>,
    /// What logits are divided by before probabilities are compared (Hinton et al. 2015).
    pub temperature: f64,
    /// Weight of what the teacher says: the divergence of probabilities, or the squared error of numbers.
    pub soft: f64,
    /// Weight of what is true of the rows.
    pub hard: f64,
    /// Weight of the squared error of hidden states, the student's layers spread evenly over the teacher's, through a
    /// learned map where widths differ (TinyBERT, Jiao et al. 2020).
    pub hidden: f64,
    /// The same of the embeddings' output.
    pub embeddings: f64,
    /// Weight of the angle between last hidden states (DistilBERT, Sanh et al. 2019).
    pub cosine: f64,
    /// Weight of the squared error of attention scores (TinyBERT).
    pub attention: f64,
    /// Weight of the divergence of relations among queries, among keys and among values of the last layers (MiniLM v2,
    /// Wang et al. 2021).
    pub relations: f64,
    /// Heads that relations are computed in, whatever heads the models have; 0: as many as the student has.
    pub relation_heads: usize,
}

impl Default for DistilSettings {
    /// Nobody teaches. If somebody does: what it says and what is true weigh the same, nothing inside is compared.
    fn default() -> Self {
        Self {
            teacher: None,
            keep_layers: Vec::new(),
            keep_heads: 1.0,
            keep_units: 1.0,
            unlabelled: Vec::new(),
            augment: 0,
            augment_share: 0.3,
            augment_with: None,
            temperature: 2.0,
            soft: 1.0,
            hard: 1.0,
            hidden: 0.0,
            embeddings: 0.0,
            cosine: 0.0,
            attention: 0.0,
            relations: 0.0,
            relation_heads: 0,
        }
    }
}

/// Tasks whose models say something that can be imitated.
pub const TASKS: [&str; 7] = ["classify", "multilabel", "regress", "tag", "qa", "choice", "similarity"];

/// Tasks whose teacher can say labels of rows that have none.
pub(crate) const LABEL_ROWS: [&str; 3] = ["classify", "multilabel", "regress"];

/// Weights of losses by the names of the papers: soft, hard, hidden, embeddings, cosine, attention, relations; and
/// the temperature.
const PRESETS: [(&str, [f64; 7], f64); 5] = [
    ("hinton", [1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0], 2.0),
    ("distilbert", [5.0, 2.0, 0.0, 0.0, 1.0, 0.0, 0.0], 2.0),
    ("tinybert", [1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0], 1.0),
    ("minilm", [1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0], 2.0),
    ("mobilebert", [1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0], 2.0),
];

impl DistilSettings {
    /// Names of the presets.
    pub fn presets() -> impl Iterator<Item = &'static str> {
        PRESETS.into_iter().map(|(name, ..)| name)
    }

    /// What is left of a model to begin with, where parts of it are cut out.
    ///
    /// # Errors
    /// A layer that is not there.
    pub(crate) fn student_of(&self, model: Model) -> polyseme_models::Result<Model> {
        if self.keep_layers.is_empty() && self.keep_heads == 1.0 && self.keep_units == 1.0 {
            return Ok(model);
        }
        let weights = model.weights_behind();
        let largest = |share: f64, values: &[f64]| {
            let mut order: Vec<usize> = (0..values.len()).collect();
            order.sort_by(|&a, &b| values[b].total_cmp(&values[a]).then(a.cmp(&b)));
            order.truncate(((values.len() as f64 * share).round() as usize).max(1));
            order.sort_unstable();
            order
        };
        model.cut(&Cut {
            layers: (!self.keep_layers.is_empty()).then(|| self.keep_layers.clone()),
            heads: Some(weights.iter().map(|layer| largest(self.keep_heads, &layer.heads)).collect()),
            units: Some(weights.iter().map(|layer| largest(self.keep_units, &layer.units)).collect()),
            ..Cut::default()
        })
    }

    /// The weights of a preset; `None` if there is none of this name.
    pub fn preset(name: &str) -> Option<Self> {
        let (_, weights, temperature) = PRESETS.into_iter().find(|preset| preset.0 == name)?;
        let [soft, hard, hidden, embeddings, cosine, attention, relations] = weights;
        Some(Self { temperature, soft, hard, hidden, embeddings, cosine, attention, relations, ..Self::default() })
    }

    /// Whether there are to be more rows than those with labels.
    pub(crate) fn wants_more_rows(&self) -> bool {
        !self.unlabelled.is_empty() || self.augment > 0
    }

    /// Whether hidden states are compared, and not what models say alone.
    pub fn looks_inside(&self) -> bool {
        [self.hidden, self.embeddings, self.cosine, self.attention, self.relations].iter().any(|&w| w > 0.0)
    }

    /// Whether hidden states are compared value by value, which wants both of one width.
    pub(crate) fn compares_states(&self) -> bool {
        [self.hidden, self.embeddings, self.cosine].iter().any(|&w| w > 0.0)
    }

    /// Looks for values that cannot be.
    pub(crate) fn check(&self) -> Result<()> {
        let weights = [
            ("distil.soft", self.soft),
            ("distil.hard", self.hard),
            ("distil.hidden", self.hidden),
            ("distil.embeddings", self.embeddings),
            ("distil.cosine", self.cosine),
            ("distil.attention", self.attention),
            ("distil.relations", self.relations),
        ];
        if let Some((key, found)) = weights.into_iter().find(|(_, w)| !(w.is_finite() && *w >= 0.0)) {
            return Err(setting(key, found, "0 or more"));
        }
        if weights.iter().all(|(_, w)| *w == 0.0) {
            return Err(setting("distil", "all weights 0", "at least one loss that weighs something"));
        }
        let shares = [
            ("distil.keep_heads", self.keep_heads),
            ("distil.keep_units", self.keep_units),
            ("distil.augment_share", self.augment_share),
        ];
        for (key, share) in shares {
            if !(share > 0.0 && share <= 1.0) {
                return Err(setting(key, share, "a share above 0, at most 1"));
            }
        }
        if !(self.temperature.is_finite() && self.temperature > 0.0) {
            return Err(setting("distil.temperature", self.temperature, "above 0"));
        }
        Ok(())
    }

    /// Looks for what a student and its teacher cannot compare.
    pub(crate) fn check_sizes(&self, student: &EncoderConfig, teacher: &EncoderConfig) -> Result<()> {
        for (key, found, most) in [
            ("hidden_size of the student", student.hidden_size, teacher.hidden_size),
            ("num_hidden_layers of the student", student.num_hidden_layers, teacher.num_hidden_layers),
        ] {
            if found > most {
                return Err(setting(
                    key,
                    found,
                    format!("at most {most}, the teacher's: a student is the smaller one"),
                ));
            }
        }
        let heads = |config: &EncoderConfig| {
            (0..config.num_hidden_layers).map(|i| config.layer_size(i).num_attention_heads).collect::<Vec<_>>()
        };
        let all = heads(student).into_iter().chain(heads(teacher));
        let alike = all.clone().all(|count| count == student.num_attention_heads);
        if self.attention > 0.0 && (!alike || student.variant.is_rotary() || teacher.variant.is_rotary()) {
            let expected = "0 where heads are not as many or positions are turned: distil.relations compares them all";
            return Err(setting("distil.attention", self.attention, expected));
        }
        let relation_heads = self.relation_heads_of(student);
        for (whose, config) in [("the student", student), ("the teacher", teacher)] {
            let last = config.layer_size(config.num_hidden_layers - 1).num_attention_heads * config.head_size();
            if self.relations > 0.0 && !last.is_multiple_of(relation_heads) {
                let expected = format!("a number that divides {last}, the width of {whose}'s queries");
                return Err(setting("distil.relation_heads", relation_heads, expected));
            }
        }
        Ok(())
    }

    /// Heads that relations are computed in.
    pub(crate) fn relation_heads_of(&self, student: &EncoderConfig) -> usize {
        if self.relation_heads > 0 { self.relation_heads } else { student.num_attention_heads }
    }
}
