//! From a model to a folder that the reference library reads.

use crate::Result;
use crate::families::Form;
use crate::model::{HeadKind, Model};
use crate::params::{Params, Spec};
use polyseme_formats::ConfigJson;
use polyseme_formats::tensors::{TensorOut, hf_metadata, write_safetensors};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;

/// Writes weights first, so that a folder with a `config.json` has its weights.
pub(crate) fn save(model: &Model, folder: &Path) -> Result<()> {
    let mut tensors = to_tensors(model.params());
    for (spec, values) in model.params().values().filter(|(spec, _)| !spec.also.is_empty()) {
        tensors.extend(spec.also.iter().map(|name| tensor(spec, name, &values)));
    }
    write_safetensors(&folder.join("model.safetensors"), &tensors, &hf_metadata())?;
    Ok(ConfigJson::write(&folder.join("config.json"), &config_json(model))?)
}

/// All parameters under their own names, in order.
pub(crate) fn to_tensors(params: &Params) -> Vec<TensorOut> {
    params.values().map(|(spec, values)| tensor(spec, &spec.info.name, &values)).collect()
}

fn tensor(spec: &Spec, name: &str, values: &[f32]) -> TensorOut {
    TensorOut::f32(name, spec.info.shape.clone(), values)
}

/// `config.json`: the folder's own with what is new laid over it, or a whole one for a new model.
fn config_json(model: &Model) -> Map<String, Value> {
    let form = model.family().form();
    let mut news = Map::new();
    news.insert("architectures".into(), vec![architecture(form, &model.head())].into());
    news.insert("model_type".into(), form.model_type.into());
    match model.head() {
        HeadKind::Classify(labels) => insert_labels(&mut news, &labels, "single_label_classification"),
        // The reference's name for the only output.
        HeadKind::Regress => insert_labels(&mut news, &["LABEL_0".to_owned()], "regression"),
        HeadKind::None | HeadKind::AsFound | HeadKind::MaskedLm => {}
    }
    match model.json() {
        Some(json) => {
            let original = json.merged(Map::new());
            // Whatever it was read as, it is written as f32, under the name the file had for it.
            let dtype = if original.contains_key("torch_dtype") { "torch_dtype" } else { "dtype" };
            news.insert(dtype.into(), "float32".into());
            json.merged(news)
        }
        None => {
            news.extend((form.write)(model.config()));
            news.extend((form.extra)());
            news.insert("dtype".into(), "float32".into());
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
        HeadKind::MaskedLm => form.architectures.masked_lm,
        HeadKind::Classify(_) | HeadKind::Regress => form.architectures.classify,
    }
}

/// `id2label`, `label2id`, `problem_type`.
fn insert_labels(keys: &mut Map<String, Value>, labels: &[String], problem_type: &str) {
    let numbered = || labels.iter().enumerate();
    let id2label: Map<_, _> = numbered().map(|(i, label)| (i.to_string(), label.clone().into())).collect();
    let label2id: Map<_, _> = numbered().map(|(i, label)| (label.clone(), i.into())).collect();
    keys.insert("id2label".into(), id2label.into());
    keys.insert("label2id".into(), label2id.into());
    keys.insert("problem_type".into(), problem_type.into());
}
