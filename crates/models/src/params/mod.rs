//! The parameters of a model: one list in one fixed order.
//!
//! A matrix is a leaf of the graph in its own shape, so that all who use it leave their gradients in one
//! place; outside it is as flat as all others.
//!
//! Layers hold numbers into this list, not tensors. So a tied parameter stands once, and freezing,
//! taking values out and collecting gradients are loops over one list.

mod spec;
mod view;

pub(crate) use spec::{Builder, Init, LinearIds, NormIds, ParamId, Spec, kaiming};
pub use spec::{ParamGroup, ParamInfo};
pub(crate) use view::View;

use crate::quantized::Precision;
use polyseme_tensor::ops::{FewBits, LayerCache};
use polyseme_tensor::{Device, Gradients, Mode, Quantized, Stream, Tensor, TensorData, Watch};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A parameter with its value, which is out while the optimizer has it.
struct Param {
    spec: Spec,
    value: Option<Value>,
}

/// A value in its shape.
enum Value {
    Vector(Tensor<1>),
    Matrix(Tensor<2>),
    /// It is never trained.
    Few(FewBits),
}

/// Values of a parameter on the host.
#[derive(Debug)]
pub(crate) enum Stored {
    Whole(Vec<f32>),
    Few(Quantized),
}

impl Stored {
    /// In f32.
    pub fn into_values(self) -> Vec<f32> {
        match self {
            Self::Whole(values) => values,
            Self::Few(matrix) => matrix.values(),
        }
    }

    /// The value in its shape.
    fn onto(self, spec: &Spec, device: &Device) -> Value {
        match self {
            Self::Whole(values) => Value::new(flat(values, device), spec, device),
            Self::Few(matrix) => Value::Few(FewBits::new(matrix)),
        }
    }
}

impl From<Vec<f32>> for Stored {
    fn from(values: Vec<f32>) -> Self {
        Self::Whole(values)
    }
}

impl Value {
    /// From flat values without a graph. It records gradients if it is trained and the device records any.
    fn new(flat: Tensor<1>, spec: &Spec, device: &Device) -> Self {
        let track = spec.info.trainable && device.is_autodiff();
        match spec.info.shape[..] {
            [rows, width] => Self::Matrix(tracked(flat.reshape([rows, width]), track)),
            _ => Self::Vector(tracked(flat, track)),
        }
    }

    /// The flat values without a graph.
    fn into_flat(self) -> Tensor<1> {
        match self {
            Self::Vector(value) => value.inner(),
            Self::Matrix(value) => value.inner().flatten(0, 1),
            Self::Few(_) => panic!("{FEW}"),
        }
    }

    /// The values on the host.
    fn values(&self) -> Vec<f32> {
        let flat = match self {
            Self::Vector(value) => value.clone().inner(),
            Self::Matrix(value) => value.clone().inner().flatten(0, 1),
            Self::Few(few) => return few.matrix().values(),
        };
        flat.into_data_as::<f32>().try_into_vec().expect("f32 was asked for")
    }

    /// Its gradient, flat, taken out.
    fn gradient(&self, grads: &mut Gradients) -> Option<Tensor<1>> {
        match self {
            Self::Vector(value) => value.grad_remove(grads),
            Self::Matrix(value) => value.grad_remove(grads).map(|gradient| gradient.flatten(0, 1)),
            Self::Few(_) => None,
        }
    }
}

/// Records gradients or not.
fn tracked<const D: usize>(value: Tensor<D>, track: bool) -> Tensor<D> {
    if track { value.autodiff().require_grad() } else { value }
}

/// When what is multiplied in a model's layers and by its vocabulary is rounded to bfloat16.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bf16 {
    /// Never.
    #[default]
    Never,
    /// While it learns; whatever is asked of it otherwise is f32.
    Learning,
    /// Always: of a teacher, whose answers are only learned from.
    Always,
}

/// All parameters of a model.
pub(crate) struct Params {
    list: Vec<Param>,
    device: Device,
    /// What each layer keeps between forward passes; new ones whenever a value changes.
    caches: Vec<LayerCache>,
    /// Matrices that learn to stand in 8 bits.
    learning: BTreeSet<usize>,
    /// In what the values were stored, as long as they are those.
    precision: Precision,
    /// Whether layers keep their input only, and are computed again in the backward pass.
    pub gradient_checkpointing: bool,
    /// When products with the layers' matrices are rounded to bfloat16.
    bf16: Bf16,
    /// Low-rank changes, by the number of the matrix they change.
    changes: BTreeMap<usize, Change>,
}

/// A low-rank change of a matrix: `scale · up · down`.
#[derive(Clone, Copy)]
struct Change {
    down: ParamId,
    up: ParamId,
    scale: f32,
}

impl Params {
    /// Puts values on a device; gradients are recorded if the device does so.
    pub fn new<V: Into<Stored>>(values: Vec<(Spec, V)>, device: &Device) -> Self {
        let list =
            values.into_iter().map(|(spec, values)| Param { value: Some(values.into().onto(&spec, device)), spec });
        let mut params = Self {
            list: list.collect(),
            device: device.clone(),
            caches: Vec::new(),
            precision: Precision::F32,
            learning: BTreeSet::new(),
            gradient_checkpointing: false,
            bf16: Bf16::Never,
            changes: BTreeMap::new(),
        };
        params.forget();
        params
    }

    /// Forgets what was made of values that change now.
    fn forget(&mut self) {
        self.forget_layers();
        self.precision = Precision::F32;
    }

    /// Forgets what layers keep between forward passes.
    fn forget_layers(&mut self) {
        let layer = |param: &Param| match param.spec.info.group {
            ParamGroup::Layer(index) => index + 1,
            _ => 0,
        };
        let layers = self.list.iter().map(layer).max().unwrap_or(0);
        self.caches = (0..layers).map(|_| LayerCache::default()).collect();
    }

    /// Chooses when products are rounded to bfloat16.
    pub fn set_bf16(&mut self, when: Bf16) {
        self.bf16 = when;
        self.forget_layers();
    }

    /// Watches what is multiplied by the matrices of each layer, until [`Params::unwatch`].
    pub fn watch(&mut self) -> Vec<Arc<Watch>> {
        let watches: Vec<Arc<Watch>> = self.caches.iter().map(|_| Arc::default()).collect();
        self.caches = watches.iter().cloned().map(LayerCache::watching).collect();
        watches
    }

    /// Watches nothing.
    pub fn unwatch(&mut self) {
        self.caches = self.caches.iter().map(|_| LayerCache::default()).collect();
    }

    /// In what values are to be stored.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Says in what they are to be stored, until one changes. They must be of that precision.
    pub fn set_precision(&mut self, precision: Precision) {
        self.precision = precision;
    }

    pub fn device(&self) -> &Device {
        &self.device
    }

    pub fn specs(&self) -> impl Iterator<Item = &Spec> {
        self.list.iter().map(|param| &param.spec)
    }

    pub fn set_trainable(&mut self, trained: &dyn Fn(&ParamInfo) -> bool) {
        for param in &mut self.list {
            let few = matches!(param.value, Some(Value::Few(_)));
            param.spec.info.trainable = !few && trained(&param.spec.info);
            if !few {
                let value = param.value.take().expect(PUT_BACK).into_flat();
                param.value = Some(Value::new(value, &param.spec, &self.device));
            }
        }
    }

    pub fn take(&mut self) -> Vec<Tensor<1>> {
        self.forget();
        self.trained().map(|param| param.value.take().expect(PUT_BACK).into_flat()).collect()
    }

    pub fn put(&mut self, values: Vec<Tensor<1>>) {
        let device = self.device.clone();
        let mut values = values.into_iter();
        for param in self.trained() {
            let value = values.next().expect("as many values as were taken");
            assert_eq!(value.dims()[0], param.spec.info.elements(), "values in the order they were taken");
            param.value = Some(Value::new(value, &param.spec, &device));
        }
        assert!(values.next().is_none(), "as many values as were taken");
    }

    pub fn gradients(&self, grads: &mut Gradients) -> Vec<Tensor<1>> {
        let trained = self.list.iter().filter(|param| param.spec.info.trainable);
        trained
            .map(|param| {
                let value = param.value.as_ref().expect(PUT_BACK);
                value.gradient(grads).unwrap_or_else(|| {
                    Tensor::zeros([param.spec.info.elements()], &self.device.clone().without_autodiff())
                })
            })
            .collect()
    }

    /// The same with their numbers.
    pub fn numbered(&self) -> impl Iterator<Item = (ParamId, &Spec, Vec<f32>)> {
        self.values().enumerate().map(|(i, (spec, values))| (ParamId(i), spec, values))
    }

    /// All parameters with their numbers.
    pub fn numbered_specs(&self) -> impl Iterator<Item = (ParamId, &Spec)> {
        self.specs().enumerate().map(|(i, spec)| (ParamId(i), spec))
    }

    /// Values of all parameters on the host, in order.
    pub fn values(&self) -> impl Iterator<Item = (&Spec, Vec<f32>)> {
        self.list.iter().map(|param| (&param.spec, param.value.as_ref().expect(PUT_BACK).values()))
    }

    /// Replaces all values.
    pub fn replace(&mut self, values: Vec<Vec<f32>>) {
        assert_eq!(values.len(), self.list.len(), "a value for each parameter");
        self.forget();
        for (param, values) in self.list.iter_mut().zip(values) {
            param.value = Some(Value::new(flat(values, &self.device), &param.spec, &self.device));
        }
    }

    /// Adds a parameter at the end of the list.
    pub fn add(&mut self, info: ParamInfo, values: Vec<f32>) -> ParamId {
        assert_eq!(values.len(), info.elements(), "as many values as the parameter has");
        let spec = Spec { info, init: Init::Zeros, bare: None, also: Vec::new() };
        let value = Some(Value::new(flat(values, &self.device), &spec, &self.device));
        self.list.push(Param { spec, value });
        self.forget();
        ParamId(self.list.len() - 1)
    }

    /// Adds a low-rank change to each matrix that is chosen. New ones change nothing: `down` is uniform as the
    /// reference's, `up` is zero.
    pub fn add_changes(&mut self, chosen: &dyn Fn(&Spec) -> bool, rank: usize, scale: f32, stream: Stream) {
        for i in 0..self.list.len() {
            let spec = self.list[i].spec.clone();
            if !chosen(&spec) {
                continue;
            }
            let (out, input) = (spec.info.shape[0], spec.info.shape[1]);
            let stem = spec.info.name.strip_suffix(".weight").unwrap_or(&spec.info.name);
            let mut add = |name: String, shape: Vec<usize>, values: Vec<f32>| {
                self.add(ParamInfo { name, shape, trainable: true, ..spec.info.clone() }, values)
            };
            let values = kaiming(stream.named(&spec.info.name), rank * input, input);
            let down = add(format!("{stem}.lora_A.weight"), vec![rank, input], values);
            let up = add(format!("{stem}.lora_B.weight"), vec![out, rank], vec![0.0; out * rank]);
            self.changes.insert(i, Change { down, up, scale });
        }
    }

    /// What is known of a parameter.
    pub fn info(&self, id: ParamId) -> &ParamInfo {
        &self.list[id.0].spec.info
    }

    /// A parameter's values on the host.
    pub fn get(&self, id: ParamId) -> Vec<f32> {
        self.list[id.0].value.as_ref().expect(PUT_BACK).values()
    }

    /// The matrix, if it is in few bits.
    pub fn few(&self, id: ParamId) -> Option<&FewBits> {
        match self.list[id.0].value.as_ref().expect(PUT_BACK) {
            Value::Few(few) => Some(few),
            _ => None,
        }
    }

    /// Says which matrices learn to stand in 8 bits: they are used as if they stood there.
    pub fn learn_in_few(&mut self, ids: impl IntoIterator<Item = ParamId>) {
        self.learning = ids.into_iter().map(|id| id.0).collect();
        self.forget();
    }

    /// Puts a matrix in few bits in the place of its values. Panics on other sizes.
    pub fn set_few(&mut self, id: ParamId, matrix: Quantized) {
        self.forget();
        let param = &mut self.list[id.0];
        assert_eq!(param.spec.info.shape, [matrix.rows(), matrix.columns()], "the matrix it stands for");
        param.spec.info.trainable = false;
        param.value = Some(Value::Few(FewBits::new(matrix)));
    }

    /// Replaces a parameter's values.
    pub fn set(&mut self, id: ParamId, values: Vec<f32>) {
        self.forget();
        let param = &mut self.list[id.0];
        assert_eq!(values.len(), param.spec.info.elements(), "as many values as the parameter has");
        param.value = Some(Value::new(flat(values, &self.device), &param.spec, &self.device));
    }

    /// The parameters as a forward pass in this mode sees them.
    pub fn view(&self, mode: Mode) -> View<'_> {
        View { params: self, record: matches!(mode, Mode::Train(_)) }
    }

    fn trained(&mut self) -> impl Iterator<Item = &mut Param> {
        self.list.iter_mut().filter(|param| param.spec.info.trainable)
    }
}

/// Said when values are asked for that cannot be trained.
const FEW: &str = "a matrix in few bits is not trained";

/// Said when a model is used while its values are out.
const PUT_BACK: &str = "values that were taken are put back before the model is used";

fn flat(values: Vec<f32>, device: &Device) -> Tensor<1> {
    let count = values.len();
    Tensor::from_data(TensorData::new(values, [count]), &device.clone().without_autodiff())
}
