//! What is left of a model when parts are cut out of its encoder.

use crate::layers::Side;
use crate::model::{Model, Parts};
use crate::params::{ParamGroup, ParamId, Params, Spec};
use crate::{EncoderConfig, Error, LayerSize, Result};
use polyseme_tensor::Tensor;
use std::collections::BTreeMap;

/// What stays of an encoder. Numbers are from 0, ascending, and name what the whole model has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cut {
    /// Layers; all if `None`.
    pub layers: Option<Vec<usize>>,
    /// For each layer of the whole model its heads; all if `None`.
    pub heads: Option<Vec<Vec<usize>>>,
    /// For each layer of the whole model its units of the feed-forward part; all if `None`.
    pub units: Option<Vec<Vec<usize>>>,
    /// Channels of the hidden states, a multiple of the size of a head; all if `None`. Norms then go over fewer
    /// channels, so that what is left says something else until it has learned again.
    pub width: Option<Vec<usize>>,
}

impl Model {
    /// A model of what stays, with the same head. Where all layers have all heads and as many units left, it is
    /// one of its family as any other; else `config.json` names the size of each.
    ///
    /// # Errors
    /// A part that is not there, named twice or not in order; nothing left of a kind; an adapter beside the
    /// weights, or a head that mixes layers; layers of ModernBERT that would attend otherwise at their new place.
    pub fn cut(&self, cut: &Cut) -> Result<Self> {
        self.check_whole()?;
        let old = &self.config;
        let all: Vec<usize> = (0..old.num_hidden_layers).collect();
        let layers = cut.layers.clone().unwrap_or(all);
        check("layers", &layers, old.num_hidden_layers)?;
        if self.mixes_layers() && layers.len() < old.num_hidden_layers {
            return Err(Error::setting(
                "scalar_mix",
                true,
                "a head that looks at the last layer, where layers are cut",
            ));
        }
        if !old.sharing.is_none() {
            return self.cut_shared(cut, layers);
        }
        let variant = &old.variant;
        let moved = |(to, &from): (usize, &usize)| {
            variant.window(to) != variant.window(from) || variant.pre_norm && (to == 0) != (from == 0)
        };
        if layers.iter().enumerate().any(moved) {
            let expected = format!("such that the first stays, and every {}th", variant.global_attn_every_n_layers);
            return Err(Error::setting("layers", format!("{layers:?}"), expected));
        }
        // Of each layer that stays its heads and units.
        let mut kept = Vec::with_capacity(layers.len());
        for &layer in &layers {
            let size = old.layer_size(layer);
            let of = |what: &str, lists: &Option<Vec<Vec<usize>>>, count: usize| match lists {
                None => Ok((0..count).collect::<Vec<usize>>()),
                Some(lists) => {
                    let what = format!("{what} of layer {layer}");
                    let list = lists.get(layer).ok_or_else(|| Error::setting(&what, "not given", "a list"))?;
                    check(&what, list, count).map(|()| list.clone())
                }
            };
            kept.push([
                of("heads", &cut.heads, size.num_attention_heads)?,
                of("units", &cut.units, size.intermediate_size)?,
            ]);
        }

        let mut config = old.clone();
        let width = cut.width.clone().unwrap_or_else(|| (0..old.hidden_size).collect());
        self.narrowed(&mut config, &width)?;
        config.num_hidden_layers = layers.len();
        let sizes: Vec<LayerSize> = kept
            .iter()
            .map(|[heads, units]| LayerSize { num_attention_heads: heads.len(), intermediate_size: units.len() })
            .collect();
        let alike = sizes.iter().all(|size| size == &sizes[0]);
        config.intermediate_size = sizes.iter().map(|size| size.intermediate_size).max().expect("a layer stays");
        let whole_heads = sizes[0].num_attention_heads == config.num_attention_heads;
        config.layer_sizes = if alike && whole_heads { Vec::new() } else { sizes };
        config.check()?;

        let values = self.cut_values(&layers, &kept, &width);
        Ok(self.rebuilt(config, values))
    }

    /// Gives a configuration the width that stays. Heads are as large as before.
    fn narrowed(&self, config: &mut EncoderConfig, width: &[usize]) -> Result<()> {
        check("channels", width, config.hidden_size)?;
        let (size, apart) = (config.head_size(), config.embedding_size != config.hidden_size);
        if !width.len().is_multiple_of(size) || apart && width.len() == config.embedding_size {
            let besides = if apart { " and not the width of the embeddings" } else { "" };
            let expected = format!("a multiple of {size}, the size of a head{besides}");
            return Err(Error::setting("hidden_size", width.len(), expected));
        }
        if !apart {
            config.embedding_size = width.len();
        }
        (config.hidden_size, config.num_attention_heads) = (width.len(), width.len() / size);
        Ok(())
    }

    /// Errors where layers share their weights, so that nothing inside one can be cut.
    pub fn check_own_layers(&self) -> Result<()> {
        let found = "those of layers that share their weights";
        if self.config.sharing.is_none() {
            return Ok(());
        }
        Err(Error::setting("heads, units and channels to cut", found, "those of layers with weights of their own"))
    }

    /// A model that goes through shared layers less often.
    fn cut_shared(&self, cut: &Cut, layers: Vec<usize>) -> Result<Self> {
        if cut.heads.is_some() || cut.units.is_some() || cut.width.is_some() {
            self.check_own_layers()?;
        }
        let old = &self.config;
        let all_alike = old.own_layers() == 1;
        if layers.len() < old.num_hidden_layers && !all_alike {
            let expected = "all of them, where some layers share their weights and others do not";
            return Err(Error::setting("layers", format!("{layers:?}"), expected));
        }
        let config = EncoderConfig { num_hidden_layers: layers.len(), ..old.clone() };
        let values = self.params.values().map(|(_, values)| values).collect();
        Ok(self.rebuilt(config, values))
    }

    /// The same model in another shape, with values for its parameters in their order. Panics on values of other sizes.
    pub(crate) fn rebuilt(&self, config: EncoderConfig, values: Vec<Vec<f32>>) -> Self {
        let dropout = if self.parts.has_task_head() { self.task_head().dropout() } else { 0.0 };
        let pooler = self.parts.pooler.is_some();
        let (parts, specs) = Parts::declare(self.family, &config, &self.head(), pooler, dropout, self.mixes_layers());
        assert_eq!(values.len(), specs.len(), "a value for each parameter that stays");
        let values: Vec<(Spec, Vec<f32>)> = specs.into_iter().zip(values).collect();
        for (spec, values) in &values {
            assert_eq!(values.len(), spec.info.elements(), "the size of {}", spec.info.name);
        }
        Self {
            family: self.family,
            config,
            parts,
            params: Params::new(values, self.device()),
            adapter: None,
            chosen: self.chosen.clone(),
            json: self.json.clone(),
            projection: None,
            was_cut: true,
        }
    }

    /// The values that stay, in the order of the parameters: what comes before the layers, each layer, the rest.
    fn cut_values(&self, layers: &[usize], kept: &[[Vec<usize>; 2]], width: &[usize]) -> Vec<Vec<f32>> {
        let sides = self.parts.sides();
        let size = self.config.head_size();
        let (mut before, mut after) = (Vec::new(), Vec::new());
        let mut of_layers: BTreeMap<usize, Vec<Vec<f32>>> = BTreeMap::new();
        let of_all = [Vec::new(), Vec::new()];
        for (id, spec, values) in self.params.numbered() {
            let last = self.parts.encoder.is_final_norm(id);
            let place = match spec.info.group {
                ParamGroup::Layer(layer) if !last => match layers.iter().position(|&kept| kept == layer) {
                    None => continue,
                    place => place,
                },
                _ => None,
            };
            let [heads, units] = place.map_or(&of_all, |place| &kept[place]);
            let shape = [spec.info.shape[0], spec.info.shape.get(1).copied().unwrap_or(1)];
            let chosen = |side: Side, length: usize| match side {
                Side::All => (0..length).collect::<Vec<_>>(),
                Side::Width => width.to_vec(),
                Side::Heads(blocks) => indices(heads, size, length / blocks, blocks),
                Side::Units(blocks) => indices(units, 1, length / blocks, blocks),
            };
            let values = match sides.get(&id) {
                None => values,
                Some(sides) => select(&values, shape, &chosen(sides[0], shape[0]), &chosen(sides[1], shape[1])),
            };
            match (place, spec.info.group) {
                (Some(place), _) => of_layers.entry(place).or_default().push(values),
                (None, ParamGroup::Embeddings) if of_layers.is_empty() => before.push(values),
                _ => after.push(values),
            }
        }
        before.into_iter().chain(of_layers.into_values().flatten()).chain(after).collect()
    }
}

/// Errors unless `list` names some of `count` things, ascending.
fn check(what: &str, list: &[usize], count: usize) -> Result<()> {
    let ascending = list.windows(2).all(|pair| pair[0] < pair[1]);
    if list.is_empty() || !ascending || list.last().is_some_and(|&last| last >= count) {
        let shown = if list.len() > 12 { format!("{} numbers", list.len()) } else { format!("{list:?}") };
        let expected = format!("at least one of the numbers 0 to {}, ascending", count.saturating_sub(1));
        return Err(Error::setting(&format!("what stays of the {what}"), shown, expected));
    }
    Ok(())
}

/// Places of `chosen` things of a `size` each in blocks of a length.
fn indices(chosen: &[usize], size: usize, length: usize, blocks: usize) -> Vec<usize> {
    let in_block = || chosen.iter().flat_map(|&which| which * size..(which + 1) * size);
    (0..blocks).flat_map(|block| in_block().map(move |place| block * length + place)).collect()
}

/// Some rows and columns of a matrix.
fn select(values: &[f32], [_, columns]: [usize; 2], rows: &[usize], chosen: &[usize]) -> Vec<f32> {
    rows.iter().flat_map(|row| chosen.iter().map(move |column| values[row * columns + column])).collect()
}

/// How much each head of a layer and each unit of its feed-forward part matters: how much a loss would change if it said
/// nothing, to the first order, or how large its weights are.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[allow(missing_docs)]
pub struct Importance {
    pub heads: Vec<f64>,
    pub units: Vec<f64>,
}

/// The importance of all that can be cut.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Importances {
    /// Of heads and units, a layer each.
    pub layers: Vec<Importance>,
    /// Of each channel of the hidden states.
    pub width: Vec<f64>,
}

impl Model {
    /// How large the weights are behind what each head and each unit says: the sum of their squares.
    pub fn weights_behind(&self) -> Vec<Importance> {
        let size = self.config.head_size();
        let along = |id: ParamId, per_part: usize| {
            let columns = self.params.info(id).shape[1];
            let mut sums = vec![0.0f64; columns / per_part];
            for (i, w) in self.params.get(id).iter().enumerate() {
                sums[i % columns / per_part] += f64::from(w * w);
            }
            sums
        };
        let layers = self.parts.encoder.layers().iter().map(|layer| layer.maps_behind());
        layers
            .map(|[attention, output]| Importance { heads: along(attention, size), units: along(output, 1) })
            .collect()
    }

    /// Names of the maps behind the heads and behind the units of each layer.
    pub fn maps_behind(&self) -> Vec<[String; 2]> {
        let name = |id| self.params.info(id).name.clone();
        self.parts.encoder.layers().iter().map(|layer| layer.maps_behind().map(name)).collect()
    }

    /// The importance of heads and units of each layer, and of channels, by the gradients of one batch, in the order of
    /// [`Model::gradients`]: the derivative of the loss by a factor before what a part says (Michel et al. 2019;
    /// Molchanov et al. 2019). That is the product of the map behind it and its gradient, summed over the columns that
    /// are the part's; of a channel, that of all that writes into it. Panics unless all of the encoder is trained.
    pub fn importance(&self, gradients: &[Tensor<1>]) -> Importances {
        let trained: Vec<ParamId> =
            self.params.numbered_specs().filter(|(_, spec)| spec.info.trainable).map(|(id, _)| id).collect();
        // Sums of weights times gradients over what `part` says is one.
        let sums = |id: ParamId, sums: &mut [f64], part: &dyn Fn(usize) -> usize| {
            let at = trained.iter().position(|&known| known == id).expect("all of the encoder is trained");
            let gradient: Vec<f32> = gradients[at].clone().into_data().iter::<f32>().collect();
            for (i, (w, g)) in self.params.get(id).iter().zip(&gradient).enumerate() {
                sums[part(i)] += f64::from(w * g);
            }
        };
        let positive = |sums: Vec<f64>| sums.into_iter().map(f64::abs).collect::<Vec<f64>>();
        let along = |id: ParamId, per_part: usize| {
            let columns = self.params.info(id).shape[1];
            let mut found = vec![0.0; columns / per_part];
            sums(id, &mut found, &|i| i % columns / per_part);
            positive(found)
        };
        let mut width = vec![0.0; self.config.hidden_size];
        for id in self.parts.encoder.writers() {
            let columns = self.params.info(id).shape.get(1).copied().unwrap_or(1);
            sums(id, &mut width, &|i| i / columns);
        }
        let size = self.config.head_size();
        let layers = self.parts.encoder.layers().iter().map(|layer| {
            let [attention, output] = layer.maps_behind();
            Importance { heads: along(attention, size), units: along(output, 1) }
        });
        Importances { layers: layers.collect(), width: positive(width) }
    }

    /// Lets nothing be dropped in training, for gradients of what the model says when it is used. Such a model is not
    /// meant to be saved.
    pub fn without_dropout(&mut self) {
        let config = &mut self.config;
        config.hidden_dropout_prob = 0.0;
        config.attention_probs_dropout_prob = 0.0;
        config.classifier_dropout = 0.0;
        self.parts.without_dropout();
    }
}
