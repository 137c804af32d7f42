//! What is kept as it is.

use crate::error::{Error, Result};
use polyseme_models::{Model, ParamGroup, ParamInfo};
use serde::{Deserialize, Serialize};

/// What is kept as it is. The head is tuned unless it is named.
///
/// A pattern is a parameter's name as it stands in the model's file, or its end from any dot on, with `*`
/// for anything: `*.bias`, `layer.0.*`, `word_embeddings.weight`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Freeze {
    /// Nothing: everything is tuned.
    Nothing,
    /// The embeddings.
    Embeddings,
    /// The embeddings and the first N layers.
    Layers(usize),
    /// Everything but the head.
    Encoder,
    /// What matches one of these patterns.
    Names(Vec<String>),
    /// All that matches none of these patterns, but for the head. `*.bias` is BitFit (Ben Zaken et al. 2022).
    AllBut(Vec<String>),
}

impl Freeze {
    /// Whether a parameter is tuned.
    pub(crate) fn tunes(&self, p: &ParamInfo) -> bool {
        let named = |patterns: &[String]| patterns.iter().any(|pattern| matches(pattern, &p.name));
        match (self, p.group) {
            (Self::Names(patterns), _) => !named(patterns),
            (Self::Nothing, _) | (_, ParamGroup::Head) => true,
            (Self::AllBut(patterns), _) => named(patterns),
            (Self::Embeddings, group) => group != ParamGroup::Embeddings,
            (Self::Layers(_), ParamGroup::Embeddings) | (Self::Encoder, _) => false,
            (Self::Layers(n), ParamGroup::Layer(i)) => i >= *n,
        }
    }

    /// Errors on more layers than the model has, a pattern that matches nothing, and if nothing is tuned.
    pub(crate) fn check(&self, model: &Model, folder: &std::path::Path) -> Result<()> {
        let folder = folder.to_owned();
        let depth = model.config().num_hidden_layers;
        let parameters = model.parameters();
        match self {
            Self::Layers(found) if *found > depth => {
                return Err(Error::TooManyFrozen { found: *found, depth, folder });
            }
            Self::Names(patterns) | Self::AllBut(patterns) => {
                let names = || parameters.iter().map(|p| p.name.as_str());
                if let Some(pattern) = patterns.iter().find(|pattern| !names().any(|name| matches(pattern, name))) {
                    let pattern = pattern.clone();
                    let like = names().map(str::to_owned).take(3).collect();
                    return Err(Error::NoSuchParameter { pattern, folder, like });
                }
            }
            _ => {}
        }
        match parameters.iter().any(|p| self.tunes(p)) {
            true => Ok(()),
            false => Err(Error::NothingToTune { folder }),
        }
    }
}

/// Whether a pattern matches a name or its end from some dot on.
fn matches(pattern: &str, name: &str) -> bool {
    let ends = name.match_indices('.').map(|(dot, _)| &name[dot + 1..]);
    std::iter::once(name).chain(ends).any(|end| whole(pattern, end))
}

/// Whether a pattern matches all of a text.
fn whole(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((before, after)) => text.strip_prefix(before).is_some_and(|rest| {
            let cuts = rest.char_indices().map(|(i, _)| i).chain([rest.len()]);
            cuts.into_iter().any(|cut| whole(after, &rest[cut..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let name = "bert.encoder.layer.10.output.dense.bias";
        for pattern in
            ["*.bias", "*bias", "layer.10.*", "encoder.layer.1*", "dense.bias", name, "*", "*.1*.*.bias", "bias"]
        {
            assert!(matches(pattern, name), "{pattern}");
        }
        for pattern in ["*.weight", "layer.1.*", "ias", "layer", "encoder.layer.1", "", "*.bias.*"] {
            assert!(!matches(pattern, name), "{pattern}");
        }
    }
}
