//! From a model to a folder that the reference library reads.

use crate::Result;
use crate::families::Form;
use crate::families::keys::LAYER_SIZES;
use crate::model::{HeadKind, Model};
use crate::params::{Params, Spec};
use crate::quantized::{self, Precision};
use crate::scalar_mix;
use crate::states::PROJECTION;
use polyseme_formats::ConfigJson;
use polyseme_formats::tensors::{TensorOut, hf_metadata, write_safetensors};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;

/// The key of `config.json` that tells a model that generates from one that fills masks; the reference reads over
/// it.
pub(crate) const GENERATES: &str = "prefix_lm";

/// Writes weights first, so that a folder with a `config.json` has its weights.
pub(crate) fn save(model: &Model, folder: &Path) -> Result<()> {
    let mut tensors = stored(model.params());
    tensors.retain(|tensor| !tensor.name.starts_with(PROJECTION));
    for (spec, values) in model.params().values().filter(|(spec, _)| !spec.also.is_empty()) {
        let precision = model.params().precision();
        tensors.extend(spec.also.iter().map(|name| tensor(spec, name, &values, precision)));
    }
    write_safetensors(&folder.join("model.safetensors"), &tensors, &hf_metadata())?;
    Ok(ConfigJson::write(&folder.join("config.json"), &config_json(model))?)
}

/// The same, those in few bits in their own form.
fn stored(params: &Params) -> Vec<TensorOut> {
    let mut tensors = Vec::new();
    for (id, spec) in params.numbered_specs() {
        match params.few(id) {
            Some(few) => quantized::folder::write(spec, few.matrix(), &mut tensors),
            None => tensors.push(tensor(spec, &spec.info.name, &params.get(id), params.precision())),
        }
    }
    tensors
}

/// All parameters under their own names, in order.
pub(crate) fn to_tensors(params: &Params) -> Vec<TensorOut> {
    params.values().map(|(spec, values)| tensor(spec, &spec.info.name, &values, Precision::F32)).collect()
}

fn tensor(spec: &Spec, name: &str, values: &[f32], precision: Precision) -> TensorOut {
    let (dtype, bytes) = (precision.dtype(), precision.bytes(values));
    TensorOut { name: name.to_owned(), dtype, shape: spec.info.shape.clone(), bytes }
}

/// `config.json`: the folder's own with what is new laid over it, or a whole one for a new model.
pub(crate) fn config_json(model: &Model) -> Map<String, Value> {
    let form = model.family().form();
    let mut news = Map::new();
    news.insert("architectures".into(), vec![architecture(form, &model.head())].into());
    news.insert("model_type".into(), form.model_type.into());
    // The reference's names where outputs have none.
    let numbered = |n: usize| (0..n).map(|i| format!("LABEL_{i}")).collect::<Vec<_>>();
    match model.head() {
        HeadKind::Classify(labels) => insert_labels(&mut news, &labels, "single_label_classification".into()),
        HeadKind::MultiLabel(labels) => insert_labels(&mut news, &labels, "multi_label_classification".into()),
        HeadKind::Regress => insert_labels(&mut news, &numbered(1), "regression".into()),
        HeadKind::Tag(labels) => insert_labels(&mut news, &labels, Value::Null),
        HeadKind::Answer => insert_labels(&mut news, &numbered(2), Value::Null),
        HeadKind::Choice => {
            insert_labels(&mut news, &numbered(1), Value::Null);
            news.extend((form.choice_keys)());
        }
        HeadKind::Generate => {
            news.insert(GENERATES.into(), true.into());
        }
        HeadKind::None | HeadKind::AsFound | HeadKind::MaskedLm | HeadKind::PreTraining => {}
    }
    let sizes = &model.config().layer_sizes;
    if !sizes.is_empty() {
        news.insert(LAYER_SIZES.into(), serde_json::to_value(sizes).expect("plain data"));
    }
    if model.mixes_layers() {
        news.insert(scalar_mix::KEY.into(), true.into());
    }
    let few = quantized::scheme::write(model.params());
    let is_whole = few.is_none();
    let precision = model.params().precision().name();
    news.extend(few.map(|scheme| (quantized::scheme::KEY.to_owned(), scheme)));
    match model.json() {
        Some(json) => {
            if model.was_cut {
                news.extend((form.write)(model.config()));
            }
            let original = json.merged(Map::new());
            // As it is written, under the name the file had for it.
            let dtype = if original.contains_key("torch_dtype") { "torch_dtype" } else { "dtype" };
            news.insert(dtype.into(), precision.into());
            let mut merged = json.merged(news);
            model.chosen.write(&mut merged);
            if model.head() != HeadKind::Generate {
                merged.shift_remove(GENERATES);
            }
            if !model.mixes_layers() {
                merged.shift_remove(scalar_mix::KEY);
            }
            if is_whole {
                merged.shift_remove(quantized::scheme::KEY);
            }
            merged
        }
        None => {
            news.extend((form.write)(model.config()));
            news.extend((form.extra)());
            news.insert("dtype".into(), precision.into());
            model.chosen.write(&mut news);
            // In alphabetical order, as the reference writes it.
            let sorted: BTreeMap<_, _> = news.into_iter().collect();
            sorted.into_iter().collect()
        }
    }
}

/// The class of the reference library that reads this model.
fn architecture(form: &Form, head: &HeadKind) -> &'static str {
    match head {
        HeadKind::None | HeadKind::AsFound => form.architectures.base,
        HeadKind::MaskedLm | HeadKind::Generate => form.architectures.masked_lm,
        HeadKind::PreTraining => form.order.as_ref().map_or(form.architectures.masked_lm, |order| order.architecture),
        HeadKind::Classify(_) | HeadKind::MultiLabel(_) | HeadKind::Regress => form.architectures.classify,
        HeadKind::Tag(_) => form.architectures.tags,
        HeadKind::Answer => form.architectures.answer,
        HeadKind::Choice => form.architectures.choice,
    }
}

/// `id2label`, `label2id`, `problem_type`.
fn insert_labels(keys: &mut Map<String, Value>, labels: &[String], problem_type: Value) {
    let numbered = || labels.iter().enumerate();
    let id2label: Map<_, _> = numbered().map(|(i, label)| (i.to_string(), label.clone().into())).collect();
    let label2id: Map<_, _> = numbered().map(|(i, label)| (label.clone(), i.into())).collect();
    keys.insert("id2label".into(), id2label.into());
    keys.insert("label2id".into(), label2id.into());
    keys.insert("problem_type".into(), problem_type);
}
