//! The only place that lists families.

use crate::families::{Form, albert, bert, distilbert, electra, modernbert, roberta};
use crate::{Error, HeadKind, Result};
use serde::{Deserialize, Serialize};

/// A family of checkpoints. All share one encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Family {
    Bert,
    Roberta,
    DistilBert,
    Electra,
    ModernBert,
    Albert,
}

impl Family {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Bert, Self::Roberta, Self::DistilBert, Self::Electra, Self::ModernBert, Self::Albert];

    /// The family whose `config.json` has this `model_type`.
    pub fn from_model_type(model_type: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|family| family.form().model_type == model_type)
    }

    /// `model_type` in `config.json`.
    pub fn model_type(self) -> &'static str {
        self.form().model_type
    }

    /// What names of the encoder's parameters begin with where a head stands beside it: `bert.`
    pub fn prefix(self) -> &'static str {
        self.form().prefix
    }

    /// Whether it has a head that says the order of two parts.
    pub fn says_order(self) -> bool {
        self.form().order.is_some()
    }

    /// Errors where this family has no such head.
    pub(crate) fn check_head(self, head: &HeadKind) -> Result<()> {
        if *head != HeadKind::PreTraining || self.says_order() {
            return Ok(());
        }
        let with: Vec<_> = Self::ALL.into_iter().filter(|family| family.says_order()).collect();
        let expected = with.iter().map(|family| format!("`{}`", family.model_type())).collect::<Vec<_>>().join(" or ");
        Err(Error::setting("the family of a model that says the order of two parts", self.model_type(), expected))
    }

    /// What this family is.
    pub(crate) fn form(self) -> &'static Form {
        match self {
            Self::Bert => &bert::FORM,
            Self::Roberta => &roberta::FORM,
            Self::DistilBert => &distilbert::FORM,
            Self::Electra => &electra::FORM,
            Self::ModernBert => &modernbert::FORM,
            Self::Albert => &albert::FORM,
        }
    }
}
