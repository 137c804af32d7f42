//! Adapters on disk: a folder in the layout of the reference library `peft`, with the head and the name of the model
//! that it changes. Bottlenecks, which `peft` has not, lie in the same layout under a `peft_type` of ours.

use super::AdapterSettings;
use super::lora::fold;
use crate::families::Form;
use crate::model::{HeadKind, Model};
use crate::params::{ParamGroup, ParamInfo, Spec};
use crate::{EncoderConfig, Error, Result, load};
use polyseme_formats::tensors::{TensorFile, TensorOut, hf_metadata, write_safetensors};
use polyseme_formats::{ConfigJson, LoadReport, ModelFolder};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";
/// What the reference has no place for: which base the adapter is for.
const OURS: &str = "polyseme_adapter.json";
/// Vectors of virtual tokens, of whose keys and values alone the reference knows.
const VECTORS: &str = "polyseme_prefix.safetensors";
/// Their keys and values in the reference's file.
const PROMPT: &str = "prompt_embeddings";
/// `peft_type` of bottlenecks.
const BOTTLENECK: &str = "BOTTLENECK";
/// The reference's of virtual tokens.
const PREFIX_TUNING: &str = "PREFIX_TUNING";

/// All files of an adapter's folder but `config.json` and the tokenizer's.
pub const FILES: [&str; 4] = [WEIGHTS, VECTORS, OURS, CONFIG];

/// Those of them that hold tensors.
pub const WEIGHT_FILES: [&str; 2] = [WEIGHTS, VECTORS];

/// Whether a folder holds an adapter and no whole model.
pub fn is_adapter(folder: &Path) -> bool {
    folder.join(CONFIG).is_file() && !folder.join("model.safetensors").exists()
}

/// An adapter's folder.
pub(crate) struct Adapter {
    pub base: ModelFolder,
    /// The reference's tensors.
    file: TensorFile,
    /// The vectors of virtual tokens, if it is of such.
    vectors: Option<TensorFile>,
    kind: Kind,
}

enum Kind {
    /// What changes are multiplied by.
    Lora {
        scale: f32,
    },
    Other(AdapterSettings),
}

/// What the names of parameters begin with in the reference's file: its module around the model, which prefixes lack.
fn stem(is_prefix: bool) -> &'static str {
    if is_prefix { "base_model." } else { "base_model.model." }
}

/// What an adapter holds besides what is folded in: which it is, and its values.
pub(crate) type Beside = Option<(AdapterSettings, Vec<Vec<f32>>)>;

impl Adapter {
    /// The adapter of a folder, if it holds one; `None` where it holds a whole model.
    ///
    /// # Errors
    /// Another kind of adapter, no base, or another base than it was made for.
    pub fn open(folder: &ModelFolder) -> Result<Option<Self>> {
        if !is_adapter(&folder.path) {
            return Ok(None);
        }
        let mut json = ConfigJson::read(&folder.path.join(CONFIG))?;
        let kind = match json.str("peft_type")?.as_str() {
            "LORA" => Kind::Lora { scale: scale(&mut json)? },
            BOTTLENECK => {
                json.refuse_unless("activation", "gelu".into(), "bottlenecks have a GELU")?;
                Kind::Other(AdapterSettings::Bottleneck(json.usize("bottleneck_size")?))
            }
            PREFIX_TUNING => {
                json.refuse_unless("prefix_projection", false.into(), "virtual tokens have vectors of their own")?;
                Kind::Other(AdapterSettings::Prefix(json.usize("num_virtual_tokens")?))
            }
            other => {
                let (path, found) = (json.path.clone(), format!("`{other}`"));
                let expected = format!("`LORA`, `{PREFIX_TUNING}` or `{BOTTLENECK}`");
                return Err(Error::BadKey { path, key: "peft_type", found, expected });
            }
        };
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
        let vectors = match kind {
            Kind::Other(AdapterSettings::Prefix(_)) => {
                let path = folder.path.join(VECTORS);
                if !path.is_file() {
                    return Err(Error::NoVectors { adapter: folder.path.clone(), file: VECTORS });
                }
                Some(TensorFile::open(&path)?)
            }
            _ => None,
        };
        Ok(Some(Self { base, file, vectors, kind }))
    }

    fn stem(&self) -> &'static str {
        stem(self.vectors.is_some())
    }

    /// Names of the head's tensors that it holds.
    pub fn names(&self) -> BTreeSet<String> {
        let bare = |name: String| name.strip_prefix(self.stem()).map(str::to_owned);
        self.file.names().into_iter().filter_map(bare).filter(|name| is_head(name)).collect()
    }

    /// Errors where the adapter would stand beside a model that is to be written as a whole one.
    pub fn check_folds(&self) -> Result<()> {
        match &self.kind {
            Kind::Lora { .. } => Ok(()),
            Kind::Other(other) => Err(Error::NotFolded { what: other.name() }),
        }
    }

    /// Changes values that were read from the base, and puts in the head's, unless the model has another head. What
    /// it holds of the head is missing no more. Gives what stands beside the values.
    pub fn apply(
        &self,
        values: &mut [(Spec, Vec<f32>)],
        report: &mut LoadReport,
        form: &Form,
        config: &EncoderConfig,
        has_its_head: bool,
    ) -> Result<Beside> {
        let mut left: BTreeSet<String> = self.file.names().into_iter().collect();
        for (spec, values) in values.iter_mut() {
            let inside = spec.bare.as_ref().map(|bare| format!("{}{bare}", form.prefix));
            let full = format!("{}{}", self.stem(), inside.as_ref().unwrap_or(&spec.info.name));
            if let Some(tensor) = self.file.get(&full).filter(|_| has_its_head) {
                tensor.expect_shape(&spec.info.shape)?;
                *values = tensor.to_f32()?;
                left.remove(&full);
                report.missing.retain(|name| *name != spec.info.name);
                report.applied.push(full);
            } else if let Kind::Lora { scale } = self.kind
                && let Some(names) = self.change(&full, spec, values, scale)?
            {
                names.iter().for_each(|name| _ = left.remove(name));
                report.applied.extend(names);
            }
        }
        let beside = match &self.kind {
            Kind::Lora { .. } => None,
            Kind::Other(settings) => {
                let infos = settings.parameters(&form.layers(), config);
                Some((settings.clone(), self.beside(infos, &mut left, report)?))
            }
        };
        match left.into_iter().find(|name| has_its_head || !is_head(name)) {
            None => Ok(beside),
            Some(name) => Err(Error::ForeignAdapter { path: self.file.path().to_owned(), name }),
        }
    }

    /// Values of what stands beside those of the base.
    fn beside(
        &self,
        infos: Vec<ParamInfo>,
        left: &mut BTreeSet<String>,
        report: &mut LoadReport,
    ) -> Result<Vec<Vec<f32>>> {
        // Vectors of virtual tokens lie in the file of ours under their own names.
        let (file, stem) = self.vectors.as_ref().map_or((&self.file, self.stem()), |file| (file, ""));
        if let Some(vectors) = &self.vectors {
            left.remove(PROMPT);
            left.extend(vectors.names());
        }
        let mut values = Vec::with_capacity(infos.len());
        for info in infos {
            let name = format!("{stem}{}", info.name);
            values.push(load::finite(&file.require(&name)?, &info.shape)?);
            left.remove(&name);
            report.applied.push(name);
        }
        Ok(values)
    }

    /// Folds the low-rank change of a matrix in, if there is one, and gives the names of its tensors.
    fn change(&self, full: &str, spec: &Spec, values: &mut [f32], scale: f32) -> Result<Option<[String; 2]>> {
        let stem = full.strip_suffix(".weight").unwrap_or(full);
        let (down, up) = (format!("{stem}.lora_A.weight"), format!("{stem}.lora_B.weight"));
        let Some(a) = self.file.get(&down) else { return Ok(None) };
        let b = self.file.require(&up)?;
        let &[out, input] = spec.info.shape.as_slice() else {
            return Err(Error::ForeignAdapter { path: self.file.path().to_owned(), name: down });
        };
        let rank = self.file.shape(&down).and_then(|shape| shape.first().copied()).unwrap_or(0);
        a.expect_shape(&[rank, input])?;
        b.expect_shape(&[out, rank])?;
        fold(values, &b.to_f32()?, &a.to_f32()?, rank, scale);
        Ok(Some([down, up]))
    }
}

/// Whether a tensor of an adapter belongs to the head.
fn is_head(name: &str) -> bool {
    ![".lora_", ".adapter.", ".prefix", PROMPT].iter().any(|part| name.contains(part))
}

/// What low-rank changes are multiplied by.
fn scale(json: &mut ConfigJson) -> Result<f32> {
    for key in ["use_dora", "fan_in_fan_out", "lora_bias"] {
        json.refuse_unless(key, false.into(), "low-rank changes are plain ones")?;
    }
    json.refuse_unless("bias", "none".into(), "biases do not change beside")?;
    for key in ["rank_pattern", "alpha_pattern"] {
        json.refuse_unless(key, json!({}), "all changes have one rank")?;
    }
    let (rank, alpha) = (json.usize("r")?, json.f64_or("lora_alpha", 8.0)?);
    let root = if json.bool_or("use_rslora", false)? { (rank as f64).sqrt() } else { rank as f64 };
    Ok((alpha / root) as f32)
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

/// Writes an adapter and the head in the reference's layout, with a `config.json` that says what the head's outputs
/// are.
pub(crate) fn save(model: &Model, settings: &AdapterSettings, folder: &Path, base: &Path) -> Result<()> {
    let (mut tensors, mut vectors, mut targets, mut heads) = (Vec::new(), Vec::new(), Vec::new(), BTreeSet::new());
    let prefix = model.family().form().prefix;
    let is_prefix = matches!(settings, AdapterSettings::Prefix(_));
    for (spec, values) in model.params().values() {
        let name = &spec.info.name;
        let is_head = spec.info.group == ParamGroup::Head;
        if is_prefix && spec.info.is_adapter() {
            vectors.push(TensorOut::f32(name, spec.info.shape.clone(), &values));
        } else if is_head || spec.info.is_adapter() {
            tensors.push(TensorOut::f32(format!("{}{name}", stem(is_prefix)), spec.info.shape.clone(), &values));
        }
        if let Some(target) = name.strip_suffix(".lora_A.weight") {
            targets.push(target.to_owned());
        }
        if is_head {
            let inside = name.strip_prefix(prefix).unwrap_or(name);
            heads.insert(inside.split('.').next().unwrap_or(inside).to_owned());
        }
    }
    if let Some((shape, values)) = model.prefix_keys_and_values() {
        tensors.push(TensorOut::f32(PROMPT, shape, &values));
        write_safetensors(&folder.join(VECTORS), &vectors, &hf_metadata())?;
    }
    let task = match model.head() {
        HeadKind::Classify(_) | HeadKind::MultiLabel(_) | HeadKind::Regress => json!("SEQ_CLS"),
        HeadKind::Tag(_) => json!("TOKEN_CLS"),
        HeadKind::Answer => json!("QUESTION_ANS"),
        _ => Value::Null,
    };
    let base = std::path::absolute(base).unwrap_or_else(|_| base.to_owned());
    let mut config: BTreeMap<&str, Value> = BTreeMap::from([
        ("task_type", task),
        ("base_model_name_or_path", json!(base)),
        ("inference_mode", json!(true)),
        ("modules_to_save", json!(heads)),
    ]);
    config.extend(match settings {
        AdapterSettings::Lora(settings) => vec![
            ("peft_type", json!("LORA")),
            ("r", json!(settings.rank)),
            ("lora_alpha", json!(settings.alpha)),
            ("lora_dropout", json!(0.0)),
            ("bias", json!("none")),
            ("fan_in_fan_out", json!(false)),
            ("target_modules", json!(targets)),
        ],
        AdapterSettings::Bottleneck(size) => {
            vec![("peft_type", json!(BOTTLENECK)), ("bottleneck_size", json!(size)), ("activation", json!("gelu"))]
        }
        AdapterSettings::Prefix(length) => {
            let shape = model.config();
            vec![
                ("peft_type", json!(PREFIX_TUNING)),
                ("num_virtual_tokens", json!(length)),
                ("token_dim", json!(shape.hidden_size)),
                ("encoder_hidden_size", json!(shape.hidden_size)),
                ("num_layers", json!(shape.num_hidden_layers)),
                ("num_attention_heads", json!(shape.num_attention_heads)),
                ("num_transformer_submodules", json!(1)),
                ("prefix_projection", json!(false)),
            ]
        }
    });
    let config: Map<String, Value> = config.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    write_safetensors(&folder.join(WEIGHTS), &tensors, &hf_metadata())?;
    let ours = json!({ "base_hash": hash(&ModelFolder::open(&base)?)? });
    polyseme_formats::write_json(&folder.join(OURS), &ours)?;
    ConfigJson::write(&folder.join(CONFIG), &config)?;
    Ok(ConfigJson::write(&folder.join("config.json"), &crate::save::config_json(model))?)
}
