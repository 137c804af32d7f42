//! Parameters as a forward pass sees them.

use super::{Bf16, LinearIds, NormIds, PUT_BACK, ParamId, Params, Value};
use polyseme_tensor::Tensor;
use polyseme_tensor::ops::{LayerCache, Linear, Matrix, Norm};

/// Parameters in their shapes, with gradients recorded in training only.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(super) params: &'a Params,
    pub(super) record: bool,
}

impl<'a> View<'a> {
    /// What a layer keeps between forward passes; nothing while its weights change at every step.
    pub fn layer_cache(&self, index: usize) -> Option<&'a LayerCache> {
        self.params.caches.get(index).filter(|_| !self.record)
    }

    /// Whether a layer keeps its input only.
    pub fn gradient_checkpointing(&self) -> bool {
        self.params.gradient_checkpointing
    }

    /// Whether products with the layers' matrices are rounded now.
    pub fn bf16(&self) -> bool {
        match self.params.bf16 {
            Bf16::Never => false,
            Bf16::Learning => self.record,
            Bf16::Always => true,
        }
    }

    pub fn vector(&self, id: ParamId) -> Tensor<1> {
        match self.params.list[id.0].value.as_ref().expect(PUT_BACK) {
            Value::Vector(value) if self.record => value.clone(),
            Value::Vector(value) => value.clone().inner(),
            Value::Matrix(_) | Value::Few(_) => unreachable!("a vector was declared"),
        }
    }

    /// A matrix, with its change if it has one.
    pub fn matrix(&self, id: ParamId) -> Tensor<2> {
        match self.params.changes.get(&id.0) {
            None => self.as_it_is(id),
            Some(change) => {
                let change = self.as_it_is(change.up).matmul(self.as_it_is(change.down)) * change.scale;
                self.as_it_is(id) + change
            }
        }
    }

    fn as_it_is(&self, id: ParamId) -> Tensor<2> {
        match self.params.list[id.0].value.as_ref().expect(PUT_BACK) {
            Value::Matrix(value) if self.record => value.clone(),
            Value::Matrix(value) => value.clone().inner(),
            Value::Few(few) => few.whole(&self.params.device),
            Value::Vector(_) => unreachable!("a matrix was declared"),
        }
    }

    /// A matrix as maps and lookups use it: in few bits where it is.
    pub fn map(&self, id: ParamId) -> Matrix {
        match self.params.few(id).filter(|_| !self.params.changes.contains_key(&id.0)) {
            Some(few) => Matrix::Few(few.clone()),
            None if self.params.learning.contains(&id.0) => Matrix::Learning(self.matrix(id)),
            None => self.matrix(id).into(),
        }
    }

    pub fn linear(&self, ids: LinearIds) -> Linear {
        Linear { weight: self.map(ids.weight), bias: ids.bias.map(|id| self.vector(id)) }
    }

    pub fn norm(&self, ids: NormIds) -> Norm {
        Norm { weight: self.vector(ids.weight), bias: ids.bias.map(|id| self.vector(id)), epsilon: ids.epsilon }
    }
}
