//! Low-rank changes of matrices (Hu et al. 2022): while learning, a matrix is `W + α/r · B · A` with `W` as it was.

use super::AdapterSettings;
use crate::model::Model;
use crate::params::{ParamGroup, Spec};
use crate::{Error, Result};
use polyseme_tensor::Stream;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Which matrices change by how much.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoraSettings {
    /// Rank of the change; 0: there is none.
    pub rank: usize,
    /// The change is multiplied by this over the rank.
    pub alpha: f64,
    /// Ends of the names of the maps, such as `query`; none: the maps onto query and value.
    pub targets: Vec<String>,
}

impl Default for LoraSettings {
    fn default() -> Self {
        Self { rank: 0, alpha: 16.0, targets: Vec::new() }
    }
}

/// Maps onto query and value by the names the families have for them.
const USUAL: [&str; 5] = ["query", "value", "q_lin", "v_lin", "Wqkv"];

impl LoraSettings {
    /// Whether a matrix changes. A target is the end of a map's name, from a dot on.
    pub(crate) fn changes(&self, spec: &Spec) -> bool {
        let is_map = spec.info.shape.len() == 2 && matches!(spec.info.group, ParamGroup::Layer(_));
        let name = spec.info.name.strip_suffix(".weight").filter(|_| is_map);
        let ends = |name: &str, target: &str| name == target || name.ends_with(&format!(".{target}"));
        name.is_some_and(|name| match self.targets.as_slice() {
            [] => USUAL.iter().any(|target| ends(name, target)),
            targets => targets.iter().any(|target| target == "all-linear" || ends(name, target)),
        })
    }
}

impl Model {
    /// Lets matrices change by low-rank ones that learn ([`LoraSettings`]), added to the parameters; new ones
    /// change nothing yet.
    ///
    /// # Errors
    /// No matrix is one of the targets.
    pub fn add_lora(&mut self, settings: &LoraSettings, stream: Stream) -> Result<()> {
        let before = self.params.specs().count();
        let scale = (settings.alpha / settings.rank as f64) as f32;
        self.params.add_changes(&|spec| settings.changes(spec), settings.rank, scale, stream);
        self.adapter = Some(AdapterSettings::Lora(settings.clone()));
        if self.params.specs().count() > before {
            return Ok(());
        }
        let map =
            |spec: &Spec| spec.info.name.strip_suffix(".weight").map(|n| n.rsplit('.').next().unwrap_or(n).to_owned());
        let layers =
            self.params.specs().filter(|s| s.info.shape.len() == 2 && matches!(s.info.group, ParamGroup::Layer(_)));
        let like: BTreeSet<String> = layers.filter_map(map).collect();
        Err(Error::NoTarget { targets: settings.targets.clone(), like: like.into_iter().collect() })
    }
}

/// `weight += scale · up · down`. Weight `(out, in)`, up `(out, rank)`, down `(rank, in)`
pub(crate) fn fold(weight: &mut [f32], up: &[f32], down: &[f32], rank: usize, scale: f32) {
    let input = down.len() / rank.max(1);
    for (row, up) in weight.chunks_exact_mut(input.max(1)).zip(up.chunks_exact(rank.max(1))) {
        for (&b, down) in up.iter().zip(down.chunks_exact(input.max(1))) {
            row.iter_mut().zip(down).for_each(|(w, a)| *w += scale * b * a);
        }
    }
}
