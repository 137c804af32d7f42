//! The one encoder: embeddings, then layers.

use crate::EncoderConfig;
use crate::adapters::{Added, Laid};
use crate::families::EncoderNames;
use crate::layers::{Layer, Side, of_map, of_norm};
use crate::params::{Builder, LinearIds, NormIds, ParamGroup, ParamId, Params, View};
use polyseme_tensor::ops::{EmbeddingSettings, EmbeddingWeights, embed_norm, layer_norm, linear};
use polyseme_tensor::packed::row_tensor;
use polyseme_tensor::{Mode, PackedBatch, Tensor};

/// What each layer but the first was given of sequences that grow. `(tokens, hidden)` each
#[derive(Debug, Default)]
pub struct Grown(Vec<Tensor<2>>);

/// Values of an encoder's embeddings.
pub(crate) struct EmbeddingValues {
    /// `(vocabulary, width)`
    pub word: Vec<f32>,
    /// `(positions, width)`
    pub position: Vec<f32>,
    /// `(segments, width)`
    pub token_type: Option<Vec<f32>>,
    /// Weight and bias. `(width)` each
    pub norm: [Vec<f32>; 2],
    /// Weight and bias. `(hidden, width)`, `(hidden)`
    pub projection: Option<[Vec<f32>; 2]>,
}

/// Embeddings and layers, as numbers of parameters.
pub(crate) struct Encoder {
    /// The word embeddings, which a tied head uses too.
    pub word: ParamId,
    position: Option<ParamId>,
    token_type: Option<ParamId>,
    norm: NormIds,
    /// ELECTRA and ALBERT, where embeddings are narrower than layers.
    projection: Option<LinearIds>,
    layers: Vec<Layer>,
    final_norm: Option<NormIds>,
    /// What an adapter adds on the way.
    pub added: Added,
}

impl Encoder {
    /// Declares all parameters, in the order of the forward pass.
    pub fn declare(builder: &mut Builder, names: &EncoderNames, config: &EncoderConfig) -> Self {
        let width = config.embedding_size;
        let inside = |name: &str| format!("~{name}");
        let pad_position = config.position_offset.checked_sub(1);
        let projects = width != config.hidden_size || names.always_projects;
        Self {
            word: builder.table(&inside(names.word), [config.vocab_size, width], Some(config.pad_token_id as usize)),
            position: (!config.variant.is_rotary())
                .then(|| builder.table(&inside(names.position), [config.max_position_embeddings, width], pad_position)),
            token_type: (config.type_vocab_size > 0)
                .then(|| builder.table(&inside(names.token_type), [config.type_vocab_size, width], None)),
            norm: builder.norm(&inside(names.norm), width, config, ParamGroup::Embeddings),
            projection: projects.then(|| {
                builder.linear(&inside(names.projection), [config.hidden_size, width], ParamGroup::Embeddings, true)
            }),
            layers: {
                let own = (0..config.own_layers()).map(|own| Layer::declare(builder, &names.layer, config, own));
                let own: Vec<Layer> = own.collect();
                (0..config.num_hidden_layers).map(|index| own[config.own_layer(index)].at(index)).collect()
            },
            final_norm: config.variant.pre_norm.then(|| {
                let last = ParamGroup::Layer(config.num_hidden_layers - 1);
                builder.norm(&inside(names.final_norm), config.hidden_size, config, last)
            }),
            added: Added::default(),
        }
    }

    /// What the width of the embeddings is: that of the hidden states unless a map stands between them.
    pub fn narrow(&self) -> Side {
        if self.projection.is_some() { Side::All } else { Side::Width }
    }

    /// All parameters, with what their rows and columns are.
    pub fn sides(&self) -> Vec<(ParamId, [Side; 2])> {
        let narrow = self.narrow();
        let tables = [Some(self.word), self.position, self.token_type].into_iter().flatten();
        let mut sides: Vec<(ParamId, [Side; 2])> = tables.map(|table| (table, [Side::All, narrow])).collect();
        sides.extend(of_norm(self.norm, narrow));
        sides.extend(self.projection.into_iter().flat_map(|map| of_map(map, [Side::Width, Side::All])));
        sides.extend(self.layers.iter().flat_map(Layer::sides));
        sides.extend(self.final_norm.into_iter().flat_map(|norm| of_norm(norm, Side::Width)));
        sides
    }

    /// What writes into the channels of the hidden states, which are its rows.
    pub fn writers(&self) -> Vec<ParamId> {
        let first: Vec<ParamId> = match self.projection {
            Some(map) => map.both().collect(),
            None => self.norm.both().collect(),
        };
        let last = self.final_norm.into_iter().flat_map(NormIds::both);
        first.into_iter().chain(self.layers.iter().flat_map(Layer::writers)).chain(last).collect()
    }

    /// Runs the encoder and shows `see` the embeddings and the output of each layer, in order; the
    /// last is returned. `(tokens, hidden)` each; the last one has the rows `asked` for only.
    pub fn forward(
        &self,
        params: View<'_>,
        batch: &PackedBatch,
        config: &EncoderConfig,
        mode: Mode,
        asked: Option<&[usize]>,
        mut see: impl FnMut(&Tensor<2>),
    ) -> Tensor<2> {
        let laid = self.lay(batch);
        let mut x = self.embed(params, laid.as_ref().map_or(batch, |laid| &laid.moved), config, mode);
        see(&x);
        for index in 0..self.layers.len() {
            let asked = asked.filter(|_| index + 1 == self.layers.len());
            x = self.layer(index, x, (params, config, mode), (batch, laid.as_ref()), asked);
            see(&x);
        }
        x
    }

    /// What tokens attend to in layer `index`, which is given `x`. `(tokens, hidden)` to `(heads, length, length)` of
    /// each sequence; virtual tokens stand before its own.
    pub fn attention(
        &self,
        index: usize,
        x: Tensor<2>,
        params: View<'_>,
        batch: &PackedBatch,
        config: &EncoderConfig,
    ) -> Vec<Tensor<3>> {
        match self.lay(batch) {
            None => self.layers[index].attention(x, params, batch, config),
            Some(laid) => self.layers[index].attention(laid.before(x, index, params), params, &laid.wide, config),
        }
    }

    /// The same of sequences that have grown since `grown` was filled: only their new rows go through the layers.
    /// `from` names the row that each row was then; `None`: it is new. Old rows must see what they saw. The rows
    /// asked for are new ones.
    pub fn forward_grown(
        &self,
        params: View<'_>,
        batch: &PackedBatch,
        config: &EncoderConfig,
        (from, grown): (&[Option<usize>], &mut Grown),
        asked: &[usize],
    ) -> Tensor<2> {
        let laid = self.lay(batch);
        let new: Vec<usize> = (0..from.len()).filter(|&row| from[row].is_none()).collect();
        let mut x = self.embed(params, laid.as_ref().map_or(batch, |laid| &laid.moved), config, Mode::Eval);
        let last = self.layers.len() - 1;
        for index in 0..last {
            let y = self.layer(index, x, (params, config, Mode::Eval), (batch, laid.as_ref()), Some(&new));
            x = match grown.0.get(index) {
                None => y,
                Some(old) => {
                    // Old rows stand before the new ones.
                    let mut next = old.dims()[0]..;
                    let places = from.iter().map(|row| row.unwrap_or_else(|| next.next().expect("without end")));
                    let places = row_tensor(&places.collect::<Vec<_>>(), &y.device());
                    Tensor::cat(vec![old.clone(), y], 0).select(0, places)
                }
            };
            match grown.0.get_mut(index) {
                None => grown.0.push(x.clone()),
                Some(old) => *old = x.clone(),
            }
        }
        self.layer(last, x, (params, config, Mode::Eval), (batch, laid.as_ref()), Some(asked))
    }

    /// How a batch lies with virtual tokens, if there are any.
    fn lay(&self, batch: &PackedBatch) -> Option<Laid<'_>> {
        if let Added::Prefixes(prefixes) = &self.added { Some(prefixes.lay(batch)) } else { None }
    }

    /// Layer `index` with what an adapter adds, and the norm after the last one, of all rows or those asked for.
    fn layer(
        &self,
        index: usize,
        x: Tensor<2>,
        (params, config, mode): (View<'_>, &EncoderConfig, Mode),
        (batch, laid): (&PackedBatch, Option<&Laid<'_>>),
        asked: Option<&[usize]>,
    ) -> Tensor<2> {
        let layer = &self.layers[index];
        let mut x = match laid {
            None => layer.forward(x, params, batch, config, mode, asked),
            Some(laid) => {
                let (x, asked) = (laid.before(x, index, params), laid.asked(asked));
                layer.forward(x, params, &laid.wide, config, mode, Some(&asked))
            }
        };
        if let Added::Bottlenecks(bottlenecks) = &self.added {
            x = bottlenecks[index].forward(x, params);
        }
        match self.final_norm.filter(|_| index + 1 == self.layers.len()) {
            Some(norm) => layer_norm(x, params.norm(norm)),
            None => x,
        }
    }

    /// Values of the embeddings. Panics where positions are rotary or the norm has no bias.
    pub fn embedding_values(&self, params: &Params) -> EmbeddingValues {
        let linear = |ids: LinearIds| [params.get(ids.weight), params.get(ids.bias.expect("a map with a bias"))];
        EmbeddingValues {
            word: params.get(self.word),
            position: params.get(self.position.expect("positions in a table")),
            token_type: self.token_type.map(|id| params.get(id)),
            norm: [params.get(self.norm.weight), params.get(self.norm.bias.expect("a norm with a bias"))],
            projection: self.projection.map(linear),
        }
    }

    /// Whether it is a parameter of the norm after the last layer, which is no layer's own.
    pub fn is_final_norm(&self, id: ParamId) -> bool {
        self.final_norm.is_some_and(|norm| norm.weight == id || norm.bias == Some(id))
    }

    /// The tables of words, positions and segments, the norm over their sum, and the map behind it.
    pub fn embedding_ids(&self) -> ([Option<ParamId>; 3], NormIds, Option<LinearIds>) {
        ([Some(self.word), self.position, self.token_type], self.norm, self.projection)
    }

    /// The tables of embeddings: words, positions, segments.
    pub fn tables(&self) -> Vec<ParamId> {
        [Some(self.word), self.position, self.token_type].into_iter().flatten().collect()
    }

    /// The layers.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The maps onto key and value of a layer, where they stand apart.
    pub fn key_and_value(&self, layer: usize) -> Option<[LinearIds; 2]> {
        self.layers[layer].key_and_value()
    }

    /// Embeddings of tokens, positions and segments. `(tokens, hidden)`
    fn embed(&self, params: View<'_>, batch: &PackedBatch, config: &EncoderConfig, mode: Mode) -> Tensor<2> {
        let weights = EmbeddingWeights {
            word: params.map(self.word),
            position: self.position.map(|id| params.map(id)),
            token_type: self.token_type.map(|id| params.map(id)),
            norm: params.norm(self.norm),
        };
        let settings =
            EmbeddingSettings { position_offset: config.position_offset, dropout: config.hidden_dropout_prob };
        let x = embed_norm(batch, weights, settings, mode);
        match self.projection {
            Some(projection) => linear(x, params.linear(projection)),
            None => x,
        }
    }
}
