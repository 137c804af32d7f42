//! Embeddings with their norm as one operation. Its backward pass adds the few rows it has to the
//! gradient of the word embeddings that a tied decoder has left there, in place.

use super::{in_order, tensor, values};
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::{Tensor, TensorData};
use polyseme_kernels::dropout::Dropout;
use polyseme_kernels::embed::{self, EmbedSaved, Lookup, Norm, Table};
use polyseme_kernels::quantize::Quantized;
use std::sync::Arc;

/// Everything that is not a tensor.
#[derive(Clone, Debug)]
pub struct EmbedPlan {
    /// Rows of the tables of words, positions and segments, one a token.
    pub(crate) rows: [Arc<[u32]>; 3],
    /// Row of the position table that belongs to position 0.
    pub(crate) position_offset: usize,
    pub(crate) epsilon: f32,
    pub(crate) dropout: Dropout,
    /// Tables in few bits, which have no tensor.
    pub(crate) few: [Option<Arc<Quantized>>; 3],
}

impl EmbedPlan {
    fn offset(&self, table: usize) -> usize {
        if table == 1 { self.position_offset } else { 0 }
    }
}

/// The operation on the back ends that have it.
#[backend_extension(Flex, Autodiff)]
pub trait EmbedBackend: Backend {
    /// Tables `(rows, width)`, of which those of positions and segments may be empty; the norm's weight
    /// `(width)` and bias `(width)`, which may be empty. Result: `(tokens, width)`
    fn embed_norm(
        word: FloatTensor<Self>,
        position: FloatTensor<Self>,
        token_type: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        plan: EmbedPlan,
    ) -> FloatTensor<Self>;
}

impl EmbedBackend for Flex {
    fn embed_norm(
        word: FlexTensor,
        position: FlexTensor,
        token_type: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        plan: EmbedPlan,
    ) -> FlexTensor {
        run(&[word, position, token_type, weight, bias], &plan, false).0
    }
}

/// The forward pass on primitives.
fn run(inputs: &[FlexTensor; 5], plan: &EmbedPlan, save: bool) -> (FlexTensor, Option<EmbedSaved>) {
    let inputs = inputs.each_ref().map(values);
    let lookups: Vec<Lookup<'_>> = (0..3)
        .filter(|&i| plan.few[i].is_some() || !inputs[i].is_empty())
        .map(|i| {
            let table = plan.few[i].as_deref().map_or(Table::Whole(&inputs[i]), Table::Few);
            Lookup { table, rows: &plan.rows[i], offset: plan.offset(i) }
        })
        .collect();
    let norm = Norm { weight: &inputs[3], bias: &inputs[4], eps: plan.epsilon };
    let (y, saved) = embed::forward(&lookups, norm, plan.dropout, save);
    let width = inputs[3].len();
    (tensor(y, [plan.rows[0].len(), width]), saved)
}

#[derive(Debug)]
struct EmbedBackward;

/// What the backward pass needs; cheap to clone.
#[derive(Clone, Debug)]
struct State {
    /// The tables, to find gradients by. They are leaves, which the model holds anyway: intermediate
    /// tensors would be kept alive by this.
    tables: [FloatTensor<Autodiff<Flex>>; 3],
    weight: FlexTensor,
    bias: FlexTensor,
    plan: EmbedPlan,
    saved: Arc<EmbedSaved>,
}

impl Backward<Flex, 5> for EmbedBackward {
    type State = State;

    fn backward(self, ops: Ops<State, 5>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let State { tables, weight, bias, plan, saved } = ops.state;
        let dy = grads.consume::<Flex>(&ops.node);
        let (weight, bias) = (values(&weight), values(&bias));
        let norm = Norm { weight: &weight, bias: &bias, eps: plan.epsilon };
        let (d, dweight, dbias) = embed::backward(&saved, norm, plan.dropout, &values(&dy));
        let width = dweight.len();
        let mut parents = ops.parents.into_iter();
        for (i, (table, parent)) in tables.iter().zip(parents.by_ref()).enumerate() {
            let Some(parent) = parent else { continue };
            // What is there already is taken out, so that nothing else holds it and it can be added to.
            let size = table.shape().num_elements();
            let there = grads.remove(table).map(in_order);
            let mut gradient = there.unwrap_or_else(|| tensor(vec![0.0; size], [size / width, width]));
            embed::scatter(&d, plan.rows[i].as_ref(), plan.offset(i), gradient.storage_mut::<f32>());
            grads.register::<Flex>(parent.id, gradient);
        }
        for (gradient, parent) in [dweight, dbias].into_iter().zip(parents) {
            if let Some(parent) = parent {
                grads.register::<Flex>(parent.id, tensor(gradient, [width]));
            }
        }
    }
}

impl<C: CheckpointStrategy> EmbedBackend for Autodiff<Flex, C> {
    fn embed_norm(
        word: FloatTensor<Self>,
        position: FloatTensor<Self>,
        token_type: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        plan: EmbedPlan,
    ) -> FloatTensor<Self> {
        let tables = [word, position, token_type];
        let [n0, n1, n2] = tables.each_ref().map(|table| table.node());
        let nodes = [n0, n1, n2, weight.node(), bias.node()];
        let (weight, bias) = (weight.into_primitive(), bias.into_primitive());
        let [t0, t1, t2] = tables.each_ref().map(|t| t.primitive().clone());
        let inputs = [t0, t1, t2, weight.clone(), bias.clone()];
        match EmbedBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let (y, saved) = run(&inputs, &plan, true);
                let saved = Arc::new(saved.expect("asked to save"));
                prep.finish(State { tables, weight, bias, plan, saved }, y)
            }
            OpsKind::UnTracked(prep) => prep.finish(run(&inputs, &plan, false).0),
        }
    }
}

/// The embeddings. Tables `(rows, width)` of words, positions and segments, norm's vectors `(width)`; result:
/// `(tokens, width)`
pub(crate) fn embed_norm(
    [word, position, token_type]: [Option<Tensor<2>>; 3],
    weight: Tensor<1>,
    bias: Option<Tensor<1>>,
    plan: EmbedPlan,
) -> Tensor<2> {
    let device = weight.device().without_autodiff();
    let absent = || Tensor::<1>::from_data(TensorData::new(Vec::<f32>::new(), [0]), &device).into_dispatch();
    Tensor::from_dispatch(<Dispatch as EmbedBackend>::embed_norm(
        word.map_or_else(absent, Tensor::into_dispatch),
        position.map_or_else(absent, Tensor::into_dispatch),
        token_type.map_or_else(absent, Tensor::into_dispatch),
        weight.into_dispatch(),
        bias.map_or_else(absent, Tensor::into_dispatch),
        plan,
    ))
}
