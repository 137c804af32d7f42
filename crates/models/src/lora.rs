//! Low-rank changes of matrices (Hu et al. 2022): while learning, a matrix is `W + α/r · B · A` with `W` as it was.
//! On disk they lie in the layout of the reference library `peft`, with the head.

use crate::model::{HeadKind, Model};
use crate::params::{ParamGroup, Spec};
use crate::{Error, Result};
use polyseme_formats::tensors::{TensorFile, TensorOut, hf_metadata, write_safetensors};
use polyseme_formats::{ConfigJson, LoadReport, ModelFolder};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";
/// What the reference has no place for: which base the adapter is for.
const OURS: &str = "polyseme_adapter.json";
const PREFIX: &str = "base_model.model.";

/// Which matrices change by how much.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoraSettings {
    /// Rank of the change; 0: there is none.
    pub rank: usize,
    /// The change is multiplied by this over the rank.
    pub alpha: f64,
    /// Ends of the names of the maps, such as `query`; none: the maps onto query and value.
    pub targets: Vec<String>,
}

impl Default for LoraSettings {
    fn default() -> Self {
        Self { rank: 0, alpha: 16.0, targets: Vec::new() }
    }
}

/// Maps onto query and value by the names the families have for them.
const USUAL: [&str; 5] = ["query", "value", "q_lin", "v_lin", "Wqkv"];

impl LoraSettings {
    /// Whether a matrix changes. A target is the end of a map's name, from a dot on.
    pub(crate) fn changes(&self, spec: &Spec) -> bool {
        let is_map = spec.info.shape.len() == 2 && matches!(spec.info.group, ParamGroup::Layer(_));
        let name = spec.info.name.strip_suffix(".weight").filter(|_| is_map);
        let ends = |name: &str, target: &str| name == target || name.ends_with(&format!(".{target}"));
        name.is_some_and(|name| match self.targets.as_slice() {
            [] => USUAL.iter().any(|target| ends(name, target)),
            targets => targets.iter().any(|target| target == "all-linear" || ends(name, target)),
        })
    }
}

/// An adapter's folder.
pub(crate) struct Adapter {
    pub base: ModelFolder,
    file: TensorFile,
    scale: f32,
}

impl Adapter {
    /// The adapter of a folder, if it holds one; `None` where it holds a whole model.
    ///
    /// # Errors
    /// Another kind of adapter, no base, or another base than it was made for.
    pub fn open(folder: &ModelFolder) -> Result<Option<Self>> {
        let path = folder.path.join(CONFIG);
        if !path.is_file() || folder.path.join("model.safetensors").exists() {
            return Ok(None);
        }
        let mut json = ConfigJson::read(&path)?;
        json.refuse_unless("peft_type", "LORA".into(), "low-rank changes are the adapters there are")?;
        for key in ["use_dora", "fan_in_fan_out", "lora_bias"] {
            json.refuse_unless(key, false.into(), "low-rank changes are plain ones")?;
        }
        json.refuse_unless("bias", "none".into(), "biases do not change beside")?;
        for key in ["rank_pattern", "alpha_pattern"] {
            json.refuse_unless(key, json!({}), "all changes have one rank")?;
        }
        let (rank, alpha) = (json.usize("r")?, json.f64_or("lora_alpha", 8.0)?);
        let root = if json.bool_or("use_rslora", false)? { (rank as f64).sqrt() } else { rank as f64 };
        let name = json.str("base_model_name_or_path")?;
        let base = base_of(&folder.path, &name)?;
        let ours = folder.path.join(OURS);
        if ours.is_file() {
            let wanted = ConfigJson::read(&ours)?.str("base_hash")?;
            if hash(&base)? != wanted {
                return Err(Error::OtherBase { adapter: folder.path.clone(), base: base.path });
            }
        }
        let file = TensorFile::open(&folder.path.join(WEIGHTS))?;
        Ok(Some(Self { base, file, scale: (alpha / root) as f32 }))
    }

    /// Names of the head's tensors that it holds.
    pub fn names(&self) -> BTreeSet<String> {
        let bare = |name: String| name.strip_prefix(PREFIX).map(str::to_owned);
        self.file.names().into_iter().filter_map(bare).filter(|name| !name.contains(".lora_")).collect()
    }

    /// Changes values that were read from the base, and puts in the head's. What it holds of the head is missing
    /// no more.
    pub fn apply(&self, values: &mut [(Spec, Vec<f32>)], report: &mut LoadReport) -> Result<()> {
        let mut left: BTreeSet<String> = self.file.names().into_iter().collect();
        for (spec, values) in values.iter_mut() {
            let full = format!("{PREFIX}{}", spec.info.name);
            if let Some(tensor) = self.file.get(&full) {
                tensor.expect_shape(&spec.info.shape)?;
                *values = tensor.to_f32()?;
                left.remove(&full);
                report.missing.retain(|name| *name != spec.info.name);
                report.applied.push(full);
                continue;
            }
            let stem = full.strip_suffix(".weight").unwrap_or(&full);
            let (down, up) = (format!("{stem}.lora_A.weight"), format!("{stem}.lora_B.weight"));
            if let Some(a) = self.file.get(&down) {
                let b = self.file.require(&up)?;
                let &[out, input] = spec.info.shape.as_slice() else {
                    return Err(Error::ForeignAdapter { path: self.file.path().to_owned(), name: down });
                };
                let rank = self.file.shape(&down).and_then(|shape| shape.first().copied()).unwrap_or(0);
                a.expect_shape(&[rank, input])?;
                b.expect_shape(&[out, rank])?;
                fold(values, &b.to_f32()?, &a.to_f32()?, rank, self.scale);
                left.remove(&down);
                left.remove(&up);
                report.applied.extend([down, up]);
            }
        }
        match left.into_iter().next() {
            None => Ok(()),
            Some(name) => Err(Error::ForeignAdapter { path: self.file.path().to_owned(), name }),
        }
    }
}

/// `weight += scale · up · down`. Weight `(out, in)`, up `(out, rank)`, down `(rank, in)`
pub(crate) fn fold(weight: &mut [f32], up: &[f32], down: &[f32], rank: usize, scale: f32) {
    let input = down.len() / rank.max(1);
    for (row, up) in weight.chunks_exact_mut(input.max(1)).zip(up.chunks_exact(rank.max(1))) {
        for (&b, down) in up.iter().zip(down.chunks_exact(input.max(1))) {
            row.iter_mut().zip(down).for_each(|(w, a)| *w += scale * b * a);
        }
    }
}

/// The base that an adapter names: a folder as it is named, or beside the adapter.
fn base_of(adapter: &Path, name: &str) -> Result<ModelFolder> {
    let places = [PathBuf::from(name), adapter.join(name)];
    let found = places.iter().find(|place| place.join("config.json").is_file());
    match found {
        Some(place) => Ok(ModelFolder::open(place)?),
        None => Err(Error::NoBase { adapter: adapter.to_owned(), base: name.to_owned() }),
    }
}

/// A hash of a folder's weights (FNV-1a), to know them again.
fn hash(folder: &ModelFolder) -> Result<String> {
    let file = folder.tensors()?;
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for name in file.names() {
        let tensor = file.require(&name)?;
        for word in tensor.bytes.chunks(8) {
            let word = word.iter().fold(0_u64, |w, &b| w << 8 | u64::from(b));
            hash = (hash ^ word).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    Ok(format!("{hash:016x}"))
}

/// Writes the changes of a model and its head in the reference's layout, with a `config.json` that says what the
/// head's outputs are.
pub(crate) fn save(model: &Model, settings: &LoraSettings, folder: &Path, base: &Path) -> Result<()> {
    let (mut tensors, mut targets, mut heads) = (Vec::new(), Vec::new(), BTreeSet::new());
    let prefix = model.family().form().prefix;
    for (spec, values) in model.params().values() {
        let name = &spec.info.name;
        let is_head = spec.info.group == ParamGroup::Head;
        if is_head || name.contains(".lora_") {
            tensors.push(TensorOut::f32(format!("{PREFIX}{name}"), spec.info.shape.clone(), &values));
        }
        if let Some(target) = name.strip_suffix(".lora_A.weight") {
            targets.push(target.to_owned());
        }
        if is_head {
            let inside = name.strip_prefix(prefix).unwrap_or(name);
            heads.insert(inside.split('.').next().unwrap_or(inside).to_owned());
        }
    }
    let task = match model.head() {
        HeadKind::Classify(_) | HeadKind::MultiLabel(_) | HeadKind::Regress => json!("SEQ_CLS"),
        HeadKind::Tag(_) => json!("TOKEN_CLS"),
        HeadKind::Answer => json!("QUESTION_ANS"),
        _ => Value::Null,
    };
    let base = std::path::absolute(base).unwrap_or_else(|_| base.to_owned());
    let config: BTreeMap<&str, Value> = BTreeMap::from([
        ("peft_type", json!("LORA")),
        ("task_type", task),
        ("base_model_name_or_path", json!(base)),
        ("r", json!(settings.rank)),
        ("lora_alpha", json!(settings.alpha)),
        ("lora_dropout", json!(0.0)),
        ("bias", json!("none")),
        ("fan_in_fan_out", json!(false)),
        ("inference_mode", json!(true)),
        ("target_modules", json!(targets)),
        ("modules_to_save", json!(heads)),
    ]);
    let config: Map<String, Value> = config.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    write_safetensors(&folder.join(WEIGHTS), &tensors, &hf_metadata())?;
    let ours = json!({ "base_hash": hash(&ModelFolder::open(&base)?)? });
    polyseme_formats::write_json(&folder.join(OURS), &ours)?;
    ConfigJson::write(&folder.join(CONFIG), &config)?;
    Ok(ConfigJson::write(&folder.join("config.json"), &crate::save::config_json(model))?)
}
