//! The encoder layer as one operation: 17 tensors in, one out.

use super::{tensor, values};
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::{Tensor, TensorData};
use polyseme_kernels::layer::{self, COUNT, Few, LayerDropout, LayerSaved, LayerShape, Needs, Prepared, Rows};
use polyseme_kernels::quantize::{Input, Quantized, Watch};
use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

/// Everything that is not a tensor.
#[derive(Clone, Debug)]
pub struct LayerPlan {
    pub(crate) shape: LayerShape,
    pub(crate) starts: Arc<[usize]>,
    pub(crate) asked: Option<AskedRows>,
    /// The position of each row and how many first rows of its sequence it sees, where they do not see all.
    pub(crate) views: Option<[Arc<[u32]>; 2]>,
    pub(crate) dropout: LayerDropout,
    /// Matrices in few bits, which have no tensor.
    pub(crate) few: Few,
    /// The matrices as the kernel multiplies by them, where they are kept.
    pub(crate) cache: Option<Arc<OnceLock<Prepared>>>,
    /// Sees what is multiplied by the matrices.
    pub(crate) watch: Option<Arc<Watch>>,
    /// Compute the layer again in the backward pass instead of keeping what that needs.
    pub(crate) checkpoint: bool,
}

/// Rows whose output is asked for, and how many lie before each sequence.
#[derive(Clone, Debug)]
pub struct AskedRows {
    pub(crate) rows: Arc<[usize]>,
    pub(crate) counts: Arc<[usize]>,
}

impl LayerPlan {
    fn rows(&self) -> Rows<'_> {
        let rows = match &self.asked {
            Some(asked) => Rows::some(&self.starts, &asked.rows, &asked.counts),
            None => Rows::all(&self.starts),
        };
        match &self.views {
            Some([positions, seen]) => rows.with_views(positions, seen),
            None => rows,
        }
    }
}

/// The layer on the back ends that have it. The weights are in the order of
/// [`polyseme_kernels::layer::WEIGHTS`].
#[backend_extension(Flex, Autodiff)]
#[allow(clippy::too_many_arguments)]
pub trait LayerBackend: Backend {
    /// `x`: `(tokens, hidden)`; result: `(rows asked for, hidden)`
    fn encoder_layer(
        x: FloatTensor<Self>,
        w0: FloatTensor<Self>,
        w1: FloatTensor<Self>,
        w2: FloatTensor<Self>,
        w3: FloatTensor<Self>,
        w4: FloatTensor<Self>,
        w5: FloatTensor<Self>,
        w6: FloatTensor<Self>,
        w7: FloatTensor<Self>,
        w8: FloatTensor<Self>,
        w9: FloatTensor<Self>,
        w10: FloatTensor<Self>,
        w11: FloatTensor<Self>,
        w12: FloatTensor<Self>,
        w13: FloatTensor<Self>,
        w14: FloatTensor<Self>,
        w15: FloatTensor<Self>,
        plan: LayerPlan,
    ) -> FloatTensor<Self>;
}

/// Defines the operation over an array, since the trait cannot take one.
macro_rules! over_array {
    ($array:path) => {
        fn encoder_layer(
            x: FloatTensor<Self>,
            w0: FloatTensor<Self>,
            w1: FloatTensor<Self>,
            w2: FloatTensor<Self>,
            w3: FloatTensor<Self>,
            w4: FloatTensor<Self>,
            w5: FloatTensor<Self>,
            w6: FloatTensor<Self>,
            w7: FloatTensor<Self>,
            w8: FloatTensor<Self>,
            w9: FloatTensor<Self>,
            w10: FloatTensor<Self>,
            w11: FloatTensor<Self>,
            w12: FloatTensor<Self>,
            w13: FloatTensor<Self>,
            w14: FloatTensor<Self>,
            w15: FloatTensor<Self>,
            plan: LayerPlan,
        ) -> FloatTensor<Self> {
            $array(x, [w0, w1, w2, w3, w4, w5, w6, w7, w8, w9, w10, w11, w12, w13, w14, w15], plan)
        }
    };
}

impl LayerBackend for Flex {
    over_array!(infer);
}

impl<C: CheckpointStrategy> LayerBackend for Autodiff<Flex, C> {
    over_array!(train::<C>);
}

/// Runs the layer where nothing is differentiated.
fn infer(x: FlexTensor, weights: [FlexTensor; COUNT], plan: LayerPlan) -> FlexTensor {
    run(&x, &weights, &plan, false).0
}

/// The forward pass on primitives.
fn run(
    x: &FlexTensor,
    weights: &[FlexTensor; COUNT],
    plan: &LayerPlan,
    save: bool,
) -> (FlexTensor, Option<LayerSaved>) {
    let weights = weights.each_ref().map(values);
    let (w, x, rows) = (slices(&weights), values(x), plan.rows());
    let (y, saved) = match &plan.cache {
        Some(cache) => {
            let prepared = cache.get_or_init(|| {
                let rounded = rounded(plan, &w);
                let prepared = Prepared::new(plan.shape, &slices_of(&rounded, &w), &plan.few);
                match &plan.watch {
                    Some(watch) => prepared.watched(watch.clone()),
                    None => prepared,
                }
            });
            layer::forward_prepared(plan.shape, &w, prepared, &x, rows, plan.dropout, save)
        }
        None => {
            let rounded = rounded(plan, &w);
            let prepared = Prepared::new(plan.shape, &slices_of(&rounded, &w), &plan.few);
            layer::forward_prepared(plan.shape, &w, &prepared, &x, rows, plan.dropout, save)
        }
    };
    let rows = y.len() / plan.shape.hidden;
    (tensor(y, [rows, plan.shape.hidden]), saved)
}

fn slices<'a>(weights: &'a [Cow<'a, [f32]>; COUNT]) -> [&'a [f32]; COUNT] {
    std::array::from_fn(|i| &*weights[i])
}

/// The matrices as 8 bits hold them, where the layer learns so; empty elsewhere.
fn rounded(plan: &LayerPlan, w: &[&[f32]; COUNT]) -> Vec<Vec<f32>> {
    if !plan.shape.rounded {
        return Vec::new();
    }
    let columns = |at: usize| match at {
        6 => plan.shape.attention,
        12 => plan.shape.inner,
        _ => plan.shape.hidden,
    };
    let of = |at: usize| match MATRICES.contains(&at) && !w[at].is_empty() {
        true => Quantized::new(w[at], columns(at), 8, None, Input::Dynamic).values(),
        false => Vec::new(),
    };
    (0..COUNT).map(of).collect()
}

/// Where a layer's matrices stand among its weights.
const MATRICES: [usize; 6] = [0, 2, 4, 6, 10, 12];

/// The weights, with those that were rounded in their places.
fn slices_of<'a>(rounded: &'a [Vec<f32>], w: &[&'a [f32]; COUNT]) -> [&'a [f32]; COUNT] {
    std::array::from_fn(|at| rounded.get(at).filter(|values| !values.is_empty()).map_or(w[at], Vec::as_slice))
}

/// What the backward pass needs; cheap to clone.
#[derive(Clone, Debug)]
struct State {
    x: FlexTensor,
    weights: [FlexTensor; COUNT],
    plan: LayerPlan,
    /// Nothing where the layer is computed again.
    saved: Option<Arc<LayerSaved>>,
}

#[derive(Debug)]
struct LayerBackward;

impl Backward<Flex, 17> for LayerBackward {
    type State = State;

    fn backward(self, ops: Ops<State, 17>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let State { x, weights, plan, saved } = ops.state;
        let dy = grads.consume::<Flex>(&ops.node);
        let shapes = weights.each_ref().map(|w| w.shape());
        let weights = weights.each_ref().map(values);
        let needs =
            Needs { x: ops.parents[0].is_some(), weights: std::array::from_fn(|i| ops.parents[i + 1].is_some()) };
        let (w, x, dy) = (slices(&weights), values(&x), values(&dy));
        let rounded = rounded(&plan, &w);
        let w = slices_of(&rounded, &w);
        let saved = saved.unwrap_or_else(|| {
            let (_, saved) = layer::forward(plan.shape, &w, &x, plan.rows(), plan.dropout, true);
            Arc::new(saved.expect("asked to save"))
        });
        let (dx, dw) = layer::backward(plan.shape, &w, &x, plan.rows(), plan.dropout, &saved, &dy, needs);
        let mut parents = ops.parents.into_iter();
        if let Some(parent) = parents.next().flatten() {
            let rows = dx.len() / plan.shape.hidden;
            grads.register::<Flex>(parent.id, tensor(dx, [rows, plan.shape.hidden]));
        }
        for ((parent, dw), shape) in parents.zip(dw).zip(shapes) {
            if let Some(parent) = parent {
                let data = TensorData::new(dw, shape);
                grads.register::<Flex>(parent.id, FlexTensor::from_data(data));
            }
        }
    }
}

/// Runs the layer and records its backward pass.
fn train<C: CheckpointStrategy>(
    x: FloatTensor<Autodiff<Flex, C>>,
    weights: [FloatTensor<Autodiff<Flex, C>>; COUNT],
    plan: LayerPlan,
) -> FloatTensor<Autodiff<Flex, C>> {
    let nodes: [_; 17] = std::array::from_fn(|i| if i == 0 { x.node() } else { weights[i - 1].node() });
    let x = x.into_primitive();
    let weights = weights.map(|w| w.into_primitive());
    match LayerBackward.prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prep) => {
            let (y, saved) = run(&x, &weights, &plan, !plan.checkpoint);
            let saved = saved.map(Arc::new);
            prep.finish(State { x, weights, plan, saved }, y)
        }
        OpsKind::UnTracked(prep) => {
            let (y, _) = run(&x, &weights, &plan, false);
            prep.finish(y)
        }
    }
}

/// The fused layer. `x`: `(tokens, hidden)`; result: `(rows asked for, hidden)`. Weights as the kernel
/// orders them: six matrices, their biases and then the weights and biases of the two norms.
pub(crate) fn encoder_layer(
    x: Tensor<2>,
    (matrices, vectors): (Vec<Option<Tensor<2>>>, Vec<Option<Tensor<1>>>),
    plan: LayerPlan,
) -> Tensor<2> {
    let device = x.device().without_autodiff();
    let absent = || Tensor::<1>::from_data(TensorData::new(Vec::<f32>::new(), [0]), &device).into_dispatch();
    let mut matrices = matrices.into_iter().map(|w| w.map_or_else(absent, Tensor::into_dispatch));
    let mut vectors = vectors.into_iter().map(|w| w.map_or_else(absent, Tensor::into_dispatch));
    let mut matrix = || matrices.next().expect("six matrices");
    let mut vector = || vectors.next().expect("ten vectors");
    let [w1, w3, w5, w7, w11, w13, w8, w9, w14, w15] = std::array::from_fn(|_| vector());
    let [w0, w2, w4, w6, w10, w12] = std::array::from_fn(|_| matrix());
    Tensor::from_dispatch(<Dispatch as LayerBackend>::encoder_layer(
        x.into_dispatch(),
        w0,
        w1,
        w2,
        w3,
        w4,
        w5,
        w6,
        w7,
        w8,
        w9,
        w10,
        w11,
        w12,
        w13,
        w14,
        w15,
        plan,
    ))
}
