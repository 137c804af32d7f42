//! The masked positions' loss as one operation whose gradients are made in the forward pass.

use super::{tensor, values};
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::Tensor;
use polyseme_kernels::masked_loss;
use polyseme_kernels::product::Precision;
use std::sync::Arc;

/// The loss on the back ends that have it.
#[backend_extension(Flex, Autodiff)]
pub trait LossBackend: Backend {
    /// `rows`: `(m, h)`; `table`: `(vocabulary, h)`; `bias`: `(vocabulary)`. Result: `(2)`, the mean
    /// loss and how many are right; only the first is differentiated.
    fn masked_loss(
        rows: FloatTensor<Self>,
        table: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        labels: Arc<[u32]>,
        precision: Precision,
    ) -> FloatTensor<Self>;
}

impl LossBackend for Flex {
    fn masked_loss(
        rows: FlexTensor,
        table: FlexTensor,
        bias: FlexTensor,
        labels: Arc<[u32]>,
        precision: Precision,
    ) -> FlexTensor {
        run(&[rows, table, bias], &labels, precision, false).0
    }
}

/// The forward pass on primitives, with the gradients when asked for.
fn run(
    inputs: &[FlexTensor; 3],
    labels: &[u32],
    precision: Precision,
    with_gradients: bool,
) -> (FlexTensor, Option<masked_loss::Gradients>) {
    let [rows, table, bias] = inputs.each_ref().map(values);
    let result = masked_loss::masked_loss(&rows, &table, &bias, labels, with_gradients, precision);
    (tensor(vec![result.loss, result.correct as f32], [2]), result.gradients)
}

#[derive(Debug)]
struct LossBackward;

/// The gradients wait as tensors, to be handed on (or scaled) once.
type State = [FlexTensor; 3];

impl Backward<Flex, 3> for LossBackward {
    type State = State;

    fn backward(self, ops: Ops<State, 3>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let upstream = grads.consume::<Flex>(&ops.node);
        let scale = values(&upstream)[0];
        for (parent, gradient) in ops.parents.into_iter().zip(ops.state) {
            let Some(parent) = parent else { continue };
            let mut gradient = gradient;
            if scale != 1.0 {
                polyseme_kernels::math::scale(gradient.storage_mut::<f32>(), scale);
            }
            grads.register::<Flex>(parent.id, gradient);
        }
    }
}

impl<C: CheckpointStrategy> LossBackend for Autodiff<Flex, C> {
    fn masked_loss(
        rows: FloatTensor<Self>,
        table: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        labels: Arc<[u32]>,
        precision: Precision,
    ) -> FloatTensor<Self> {
        let nodes = [rows.node(), table.node(), bias.node()];
        let inputs = [rows, table, bias].map(|t| t.into_primitive());
        match LossBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let (loss, gradients) = run(&inputs, &labels, precision, true);
                let gradients = gradients.expect("asked for");
                let [rows, table, bias] = inputs.each_ref().map(|t| t.shape());
                let state = [
                    tensor(gradients.rows, rows.dims::<2>()),
                    tensor(gradients.table, table.dims::<2>()),
                    tensor(gradients.bias, bias.dims::<1>()),
                ];
                prep.finish(state, loss)
            }
            OpsKind::UnTracked(prep) => prep.finish(run(&inputs, &labels, precision, false).0),
        }
    }
}

/// Mean loss `(1)` and number right `(1)`, the latter without a gradient.
pub(crate) fn masked_loss(
    rows: Tensor<2>,
    table: Tensor<2>,
    bias: Tensor<1>,
    labels: &[u32],
    precision: Precision,
) -> (Tensor<1>, Tensor<1>) {
    let both = Tensor::<1>::from_dispatch(<Dispatch as LossBackend>::masked_loss(
        rows.into_dispatch(),
        table.into_dispatch(),
        bias.into_dispatch(),
        labels.into(),
        precision,
    ));
    (both.clone().narrow(0, 0, 1), both.inner().narrow(0, 1, 1))
}
