//! A scalar mix (ELMo, Peters et al. 2018): a head looks at `γ · Σ softmax(w)_l · h_l` over the embeddings' output and
//! that of each layer, where `w` and `γ` are learned with the head.
//!
//! On disk the head's tensors have names of their own then, and `config.json` a key: the reference library knows no
//! mix, and would else open the folder and answer otherwise.

use crate::EncoderConfig;
use crate::model::{Model, Parts};
use crate::params::{Builder, ParamGroup, ParamId, Params, Spec, View};
use polyseme_tensor::ops::softmax;
use polyseme_tensor::{Stream, Tensor};
use std::collections::BTreeMap;

/// The key of `config.json`.
pub(crate) const KEY: &str = "scalar_mix";

/// The name of a head's parameter where the head looks at a mix.
pub(crate) fn name(of_head: &str) -> String {
    format!("{KEY}.{of_head}")
}

/// Numbers of the mix's parameters.
pub(crate) struct ScalarMix {
    /// `(layers + 1)`
    weights: ParamId,
    /// `(1)`
    gamma: ParamId,
}

impl ScalarMix {
    /// Declares the parameters, and gives those of the head, which stand from `first` on, their names.
    pub fn declare(builder: &mut Builder, config: &EncoderConfig, first: usize) -> Self {
        for spec in &mut builder.specs[first..] {
            (spec.info.name, spec.bare) = (name(&spec.info.name), None);
        }
        Self {
            weights: builder.bias(&name("weights"), config.num_hidden_layers + 1, ParamGroup::Head),
            gamma: builder.ones(&name("gamma"), 1, ParamGroup::Head),
        }
    }

    /// States of all layers side by side to their mix. `(rows, (layers + 1) · hidden)` to `(rows, hidden)`
    pub fn forward(&self, states: Tensor<2>, params: View<'_>) -> Tensor<2> {
        let weights = softmax(params.vector(self.weights)) * params.vector(self.gamma); // (layers + 1)
        let ([rows, width], [count]) = (states.dims(), weights.dims());
        let states = states.reshape([rows, count, width / count]); // (rows, layers + 1, hidden)
        (states * weights.reshape([1, count, 1])).sum_dim(1).reshape([rows, width / count])
    }
}

impl Model {
    /// Lets the head look at a mix of all layers, with a head that begins anew; `false` if it does already.
    /// Panics without a task's head, or with an adapter, which is added later.
    pub fn mix_layers(&mut self, stream: Stream) -> bool {
        assert!(self.adapter.is_none(), "layers are mixed before an adapter is added");
        if self.mixes_layers() {
            return false;
        }
        let (head, dropout) = (self.head(), self.task_head().dropout());
        let (parts, specs) = Parts::declare(self.family, &self.config, &head, false, dropout, true);
        let mut known: BTreeMap<String, Vec<f32>> =
            self.params.values().map(|(spec, values)| (spec.info.name.clone(), values)).collect();
        let value = |spec: Spec| {
            let kept = known.remove(&spec.info.name);
            let value = kept.unwrap_or_else(|| spec.initial(stream, self.config.initializer_range));
            (spec, value)
        };
        let values = specs.into_iter().map(value).collect();
        self.params = Params::new(values, &self.params.device().clone());
        self.parts = parts;
        true
    }

    /// Whether the head looks at a mix of all layers.
    pub fn mixes_layers(&self) -> bool {
        self.parts.mix.is_some()
    }
}
