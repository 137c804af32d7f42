//! What happened to each tensor when a model was loaded.

use crate::near::{few, nearest};

/// Applied, missing and unused tensors, with the nearest name where one may have been meant.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LoadReport {
    /// Tensors of the file that went into the model.
    pub applied: Vec<String>,
    /// Tensors the model wanted and the file lacks; they were freshly initialized (heads only).
    pub missing: Vec<String>,
    /// Tensors of the file nothing wanted.
    pub unused: Vec<String>,
    /// Unused on purpose, such as `embeddings.position_ids`.
    pub ignored: Vec<String>,
}

impl LoadReport {
    /// For a missing tensor, the unused one whose name is nearest.
    pub fn did_you_mean(&self, missing: &str) -> Option<&str> {
        nearest(missing, self.unused.iter().map(String::as_str))
    }

    /// A few lines for people; empty when there is nothing to say. What was applied or ignored on
    /// purpose is nothing to say.
    pub fn summary(&self) -> String {
        let mut lines = Vec::new();
        if !self.missing.is_empty() {
            let n = self.missing.len();
            lines.push(format!("{n} not in the file, newly initialized: {}", few(&self.missing)));
        }
        if !self.unused.is_empty() {
            lines.push(format!("{} of the file not used: {}", self.unused.len(), few(&self.unused)));
        }
        let mut meant = self.missing.iter().filter_map(|m| Some((m, self.did_you_mean(m)?)));
        if let Some((missing, near)) = meant.next() {
            lines.push(format!("was `{near}` meant for `{missing}`?"));
        }
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silent_when_all_went_well() {
        let report = LoadReport {
            applied: vec!["a".into()],
            ignored: vec!["embeddings.position_ids".into()],
            ..Default::default()
        };
        assert_eq!(report.summary(), "");
    }

    #[test]
    fn names_what_is_missing_unused_and_meant() {
        let report = LoadReport {
            missing: vec!["classifier.weight".into()],
            unused: vec!["pooler.bias".into(), "clasifier.weight".into()],
            ..Default::default()
        };
        assert_eq!(report.did_you_mean("classifier.weight"), Some("clasifier.weight"));
        let text = report.summary();
        assert!(text.contains("newly initialized: `classifier.weight`"), "{text}");
        assert!(text.contains("2 of the file not used: `pooler.bias`, `clasifier.weight`"), "{text}");
        assert!(text.contains("was `clasifier.weight` meant for `classifier.weight`?"), "{text}");
    }
}
