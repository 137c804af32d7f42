//! An encoder whose layers each have their own weights as one whose layers share them (ALBERT), with narrower
//! embeddings.

mod factor;

use crate::families::Form;
use crate::model::{HeadKind, Model, Parts};
use crate::params::{ParamGroup, Params, Spec};
use crate::{EncoderConfig, Error, Family, Result, Sharing, Variant};
use factor::Factored;

/// How layers come to share their weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// Groups of neighbouring layers; each shares one layer's weights.
    pub groups: usize,
    /// Width of the embeddings; `None`: as they are.
    pub embedding_size: Option<usize>,
    /// Of each group the layer, from 0, whose weights all take; `None`: the mean of the group's.
    pub layers: Option<Vec<usize>>,
}

impl Model {
    /// The same model as an ALBERT. With as many groups as layers and embeddings as wide as they are it says the same,
    /// but for rounding; else it has much to learn again.
    ///
    /// # Errors
    /// More groups than layers, embeddings wider than layers, a layer that is not of its group; layers other than BERT's,
    /// or that share their weights already; a head that ALBERT has otherwise.
    pub fn share(&self, how: &Share) -> Result<Self> {
        self.check_whole()?;
        let config = self.shared_config(how)?;
        let head = self.head();
        self.check_head(&head)?;
        let pooler = self.parts.pooler.is_some();
        let dropout = if self.parts.has_task_head() { self.task_head().dropout() } else { 0.0 };
        let (parts, specs) = Parts::declare(Family::Albert, &config, &head, pooler, dropout, self.mixes_layers());

        let (mut layers, mut rest) = (vec![Vec::new(); self.config.num_hidden_layers], Vec::new());
        for (spec, values) in self.params.values() {
            match spec.info.group {
                ParamGroup::Embeddings => {}
                ParamGroup::Layer(layer) => layers[layer].push(values),
                ParamGroup::Head => rest.push(values),
            }
        }
        let embeddings = self.parts.encoder.embedding_values(&self.params);
        let factored = match config.embedding_size == self.config.embedding_size {
            true => Factored::as_it_is(embeddings, &self.config),
            false => Factored::of(embeddings, &self.config, config.embedding_size),
        };
        if config.embedding_size < self.config.embedding_size && head.is_over_vocabulary() {
            factored.narrow_head(&mut rest);
        }
        let shared = (0..config.own_layers()).flat_map(|own| {
            let of_group: Vec<usize> = (0..layers.len()).filter(|&layer| config.own_layer(layer) == own).collect();
            match &how.layers {
                Some(chosen) => layers[chosen[own]].clone(),
                None => mean(&of_group.iter().map(|&layer| layers[layer].as_slice()).collect::<Vec<_>>()),
            }
        });
        let values: Vec<Vec<f32>> = factored.values.into_iter().chain(shared).chain(rest).collect();
        assert_eq!(values.len(), specs.len(), "a value for each parameter");
        let values: Vec<(Spec, Vec<f32>)> = specs.into_iter().zip(values).collect();
        for (spec, values) in &values {
            assert_eq!(values.len(), spec.info.elements(), "the size of {}", spec.info.name);
        }
        Ok(Self {
            family: Family::Albert,
            config,
            parts,
            params: Params::new(values, self.device()),
            adapter: None,
            chosen: self.chosen.clone(),
            json: None,
            projection: None,
            was_cut: false,
        })
    }

    /// The shape of the shared model.
    fn shared_config(&self, how: &Share) -> Result<EncoderConfig> {
        let old = &self.config;
        let (depth, width) = (old.num_hidden_layers, old.embedding_size);
        if !old.sharing.is_none() {
            let found = format!("an {} with shared ones", self.family.model_type());
            return Err(Error::setting(
                "the model whose layers are to share weights",
                found,
                "one with weights a layer",
            ));
        }
        if old.variant != Variant::default() || !old.layer_sizes.is_empty() {
            let found = format!("a {} with other layers than BERT's", self.family.model_type());
            return Err(Error::setting("the model whose layers are to share weights", found, "one with BERT's layers"));
        }
        if !(1..=depth).contains(&how.groups) {
            return Err(Error::setting("groups", how.groups, format!("from 1 to {depth}, the model's layers")));
        }
        let embedding_size = how.embedding_size.unwrap_or(width);
        if embedding_size != width && !(2..=width).contains(&embedding_size) {
            let expected = format!("from 2 to {width}, the width of the model's embeddings");
            return Err(Error::setting("embedding_size", embedding_size, expected));
        }
        if embedding_size < width && width < old.hidden_size {
            let expected = format!("{width}: they are narrower than layers already");
            return Err(Error::setting("embedding_size", embedding_size, expected));
        }
        let config = EncoderConfig {
            embedding_size,
            max_position_embeddings: old.max_length(),
            position_offset: 0,
            // DistilBERT has no segments: two that say nothing.
            type_vocab_size: if old.type_vocab_size == 0 { 2 } else { old.type_vocab_size },
            sharing: Sharing { num_hidden_groups: how.groups, inner_group_num: 1 },
            ..old.clone()
        };
        config.check()?;
        if let Some(chosen) = &how.layers {
            let fits = |(own, &layer): (usize, &usize)| layer < depth && config.own_layer(layer) == own;
            if chosen.len() != how.groups || !chosen.iter().enumerate().all(fits) {
                let firsts = (0..how.groups).map(|own| (0..depth).position(|layer| config.own_layer(layer) == own));
                let firsts: Vec<usize> = firsts.flatten().collect();
                let expected = format!("a layer of each group; groups begin with {firsts:?} of 0 to {}", depth - 1);
                return Err(Error::setting("layers", format!("{chosen:?}"), expected));
            }
        }
        Ok(config)
    }

    /// Errors where ALBERT's head computes otherwise.
    fn check_head(&self, head: &HeadKind) -> Result<()> {
        let (own, albert): (&Form, &Form) = (self.family.form(), Family::Albert.form());
        let same = match (head.form(own), head.form(albert)) {
            (Some(a), Some(b)) => {
                let maps = a.dense.is_some() == b.dense.is_some() && a.norm.is_none();
                maps && (a.dense.is_none() || a.activation == b.activation)
            }
            _ => {
                !head.is_over_vocabulary()
                    || own.masked_lm.activation.is_none_or(|activation| activation == self.config.hidden_act)
            }
        };
        if same {
            return Ok(());
        }
        let found = format!("one of {} with another activation than ALBERT's", self.family.model_type());
        Err(Error::setting("the head", found, "that of a BERT, or none: share the encoder before it is fine-tuned"))
    }
}

/// The mean of several layers' values, parameter by parameter.
fn mean(layers: &[&[Vec<f32>]]) -> Vec<Vec<f32>> {
    let of = |parameter: usize| {
        let lists = layers.iter().map(|layer| layer[parameter].as_slice());
        let mut sums = vec![0.0f64; layers[0][parameter].len()];
        lists.for_each(|list| sums.iter_mut().zip(list).for_each(|(sum, &value)| *sum += f64::from(value)));
        sums.into_iter().map(|sum| (sum / layers.len() as f64) as f32).collect()
    };
    (0..layers[0].len()).map(of).collect()
}
