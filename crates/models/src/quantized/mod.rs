//! Models with matrices in few bits: which matrices there are, what stands in their place, and the form in which a
//! folder holds them.
//!
//! The form is that of Hugging Face's `compressed-tensors` (<https://github.com/vllm-project/compressed-tensors>):
//! `quantization_config` in `config.json`, whole numbers and scales among the tensors.
//! Deviations: rows are rounded asymmetrically where a folder asks for symmetric rounding of rows; that is finer.

pub(crate) mod folder;
pub(crate) mod scheme;

use crate::model::Model;
use crate::params::{ParamGroup, ParamId};
use crate::{Error, Result};
use polyseme_formats::tensors::DType;
use polyseme_tensor::{Input, Quantized};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// In what a folder stores values that are not in few bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// 32 bits.
    F32,
    /// 16 bits, of which 5 are the exponent's.
    F16,
    /// 16 bits, of which 8 are the exponent's.
    Bf16,
}

impl Precision {
    /// Its name in `config.json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::F16 => "float16",
            Self::Bf16 => "bfloat16",
        }
    }

    /// The element type of tensors.
    pub(crate) fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::F16 => DType::F16,
            Self::Bf16 => DType::BF16,
        }
    }

    /// The nearest value.
    fn round(self, value: f32) -> f32 {
        match self {
            Self::F32 => value,
            Self::F16 => half::f16::from_f32(value).to_f32(),
            Self::Bf16 => half::bf16::from_f32(value).to_f32(),
        }
    }

    /// Bytes of a tensor whose values are of this precision.
    pub(crate) fn bytes(self, values: &[f32]) -> Vec<u8> {
        match self {
            Self::F32 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Self::F16 => values.iter().flat_map(|&v| half::f16::from_f32(v).to_le_bytes()).collect(),
            Self::Bf16 => values.iter().flat_map(|&v| half::bf16::from_f32(v).to_le_bytes()).collect(),
        }
    }
}

/// What a matrix is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatrixRole {
    /// A table of embeddings.
    Table,
    /// A map of a layer, from 0.
    Layer(usize),
    /// The projection onto the vocabulary, where it is no table of embeddings.
    Decoder,
}

/// A matrix that can stand in few bits.
#[derive(Clone, Debug, PartialEq)]
pub struct MatrixInfo {
    /// Its Hugging Face name.
    pub name: String,
    /// Rows and columns.
    pub shape: [usize; 2],
    /// What it is for.
    pub role: MatrixRole,
}

impl Model {
    /// The matrices that can stand in few bits, in order: tables of embeddings, the maps of layers, the projection onto
    /// the vocabulary. All else is small.
    pub fn matrices(&self) -> Vec<MatrixInfo> {
        let encoder = &self.parts.encoder;
        let tables = encoder.tables();
        let maps: Vec<ParamId> = encoder.layers().iter().flat_map(|layer| layer.sides()).map(|(id, _)| id).collect();
        let role = |id: ParamId, group: ParamGroup| match group {
            _ if tables.contains(&id) => Some(MatrixRole::Table),
            ParamGroup::Layer(layer) if maps.contains(&id) => Some(MatrixRole::Layer(layer)),
            ParamGroup::Head if self.own_decoder() == Some(id) => Some(MatrixRole::Decoder),
            _ => None,
        };
        let infos = self.params.numbered_specs().filter_map(|(id, spec)| {
            let &[rows, columns] = &spec.info.shape[..] else { return None };
            let role = role(id, spec.info.group)?;
            Some(MatrixInfo { name: spec.info.name.clone(), shape: [rows, columns], role })
        });
        infos.collect()
    }

    fn id_of(&self, name: &str) -> ParamId {
        let found = self.params.numbered_specs().find(|(_, spec)| spec.info.name == name);
        found.unwrap_or_else(|| panic!("{name} is a parameter")).0
    }

    /// Values of a parameter. Panics if there is none of that name.
    pub fn values(&self, name: &str) -> Vec<f32> {
        self.params.get(self.id_of(name))
    }

    /// A matrix in few bits, if it is. Panics if there is none of that name.
    pub fn quantized(&self, name: &str) -> Option<Arc<Quantized>> {
        self.params.few(self.id_of(name)).map(|few| few.matrix().clone())
    }

    /// Puts a matrix in few bits in the place of its values. Panics if there is none of that name and those sizes.
    pub fn quantize(&mut self, name: &str, matrix: Quantized) {
        let id = self.id_of(name);
        self.params.set_few(id, matrix);
    }

    /// Puts a matrix's values back in f32. Panics if there is none of that name, or another number of values.
    pub fn make_whole(&mut self, name: &str, values: Vec<f32>) {
        let id = self.id_of(name);
        self.params.set(id, values);
    }

    /// Rounds all values to a precision, in which they are then stored until one changes. Panics where a matrix is in
    /// few bits.
    ///
    /// # Errors
    /// A value that is beyond it.
    pub fn round_to(&mut self, precision: Precision) -> Result<()> {
        assert!(!self.is_quantized(), "values, not numbers and scales");
        let mut all = Vec::new();
        for (spec, values) in self.params.values() {
            let rounded: Vec<f32> = values.iter().map(|&v| precision.round(v)).collect();
            if let Some(at) = rounded.iter().position(|v| !v.is_finite()) {
                let (name, found) = (spec.info.name.clone(), values[at]);
                return Err(Error::BeyondPrecision { name, found, precision: precision.name() });
            }
            all.push(rounded);
        }
        self.params.replace(all);
        self.params.set_precision(precision);
        Ok(())
    }

    /// The ranges of what is multiplied by each map of the layers while `run` uses the model: for each the least and the
    /// greatest value, but for a share of the rows at either end. Only the CPU can tell.
    pub fn input_ranges(&mut self, share: f64, run: impl FnOnce(&Self)) -> BTreeMap<String, (f32, f32)> {
        let watches = self.params.watch();
        run(self);
        self.params.unwatch();
        let mut ranges = BTreeMap::new();
        for (layer, watch) in self.parts.encoder.layers().iter().zip(&watches) {
            for (id, input) in layer.inputs() {
                if let Some(range) = watch.range(input, share) {
                    ranges.insert(self.params.info(id).name.clone(), range);
                }
            }
        }
        ranges
    }

    /// Lets the maps of all layers learn to stand in 8 bits: from now on they, and what they multiply, are rounded
    /// wherever the model is used, and gradients pass as if they were not (Q8BERT: Zafrir et al. 2019). Tables are
    /// rounded at the end only ([`Model::round_what_learned`]), since that changes little.
    pub fn learn_in_few(&mut self) {
        let maps = self.matrices().into_iter().filter(|matrix| matches!(matrix.role, MatrixRole::Layer(_)));
        let ids: Vec<ParamId> = maps.map(|matrix| self.id_of(&matrix.name)).collect();
        self.params.learn_in_few(ids);
    }

    /// Puts all matrices in 8 bits, as they have learned to stand.
    pub fn round_what_learned(&mut self) {
        self.params.learn_in_few([]);
        for matrix in self.matrices() {
            let input = if matches!(matrix.role, MatrixRole::Layer(_)) { Input::Dynamic } else { Input::Whole };
            let values = self.values(&matrix.name);
            self.quantize(&matrix.name, Quantized::new(&values, matrix.shape[1], 8, None, input));
        }
    }

    /// Whether any matrix is in few bits.
    pub fn is_quantized(&self) -> bool {
        self.params.numbered_specs().any(|(id, _)| self.params.few(id).is_some())
    }

    /// Errors where a matrix is in few bits: such a model does not learn. `folder` is where it came from.
    ///
    /// # Errors
    /// As said.
    pub fn check_learns(&self, folder: &Path) -> Result<()> {
        if self.is_quantized() { Err(Error::FewBits { path: folder.to_owned() }) } else { Ok(()) }
    }
}
