//! From a model folder to parameters, with a report of what happened to each tensor.

use crate::adapters::folder::{Adapter, Beside};
use crate::chosen::Chosen;
use crate::families::{Form, TaskForm};
use crate::model::{HeadKind, Parts};
use crate::params::{ParamGroup, Spec, Stored};
use crate::quantized::Precision;
use crate::quantized::{folder as few_bits, scheme::Scheme};
use crate::save::GENERATES;
use crate::scalar_mix;
use crate::{EncoderConfig, Error, Family, Result};
use polyseme_formats::tensors::{TensorFile, TensorRef};
use polyseme_formats::{ConfigJson, LoadReport, ModelFolder};
use polyseme_tensor::Stream;
use rayon::prelude::*;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

/// What [`load`] gives.
pub(crate) struct Loaded {
    pub family: Family,
    pub config: EncoderConfig,
    pub parts: Parts,
    pub values: Vec<(Spec, Stored)>,
    /// An adapter that is no part of the values.
    pub beside: Beside,
    pub chosen: Chosen,
    pub json: ConfigJson,
    pub report: LoadReport,
    /// What all values were stored in, if nothing was made new.
    pub precision: Precision,
}

/// What a folder holds, before any tensor is read.
pub(crate) struct Planned {
    pub family: Family,
    pub config: EncoderConfig,
    pub parts: Parts,
    /// Every parameter of the model, with its name in the file, if it is there.
    pub sources: Vec<(Spec, Option<String>)>,
    pub head: HeadKind,
    pub file: TensorFile,
    pub report: LoadReport,
    pub adapter: Option<Adapter>,
    pub scheme: Option<Scheme>,
    head_is_new: bool,
    chosen: Chosen,
    json: ConfigJson,
}

/// Reads the configuration of a folder and finds the tensors.
pub(crate) fn plan(folder: &ModelFolder, wanted: HeadKind) -> Result<Planned> {
    let mut json = folder.config()?;
    let family = family_of(&mut json)?;
    let form = family.form();
    let config = (form.read)(&mut json)?;
    config.check()?;
    (form.check)(&config)?;
    family.check_head(&wanted)?;
    let said = Said::read(&mut json)?;
    let adapter = Adapter::open(folder)?;
    let scheme = Scheme::read(&mut json)?;
    if let (Some(scheme), Some(_)) = (&scheme, &adapter) {
        return Err(Error::FewBits { path: scheme.path.clone() });
    }
    if wanted == HeadKind::MaskedLm
        && let Some(adapter) = &adapter
    {
        adapter.check_folds()?;
    }
    let file = adapter.as_ref().map_or(folder, |adapter| &adapter.base).tensors()?;
    let names: BTreeSet<String> = file.names().into_iter().collect();
    let of_adapter = adapter.as_ref().map(Adapter::names).unwrap_or_default();
    let (head, head_is_new) = choose_head(wanted, &said, form, &names.union(&of_adapter).cloned().collect())?;

    if head == HeadKind::Choice && !head_is_new {
        for (key, only) in (form.choice_keys)() {
            json.refuse_unless(&key, only, "a head of choices looks at the first token, through a map and a GELU")?;
        }
    }
    let chosen = if head_is_new { Chosen::default() } else { Chosen::read(&mut json, &head)? };

    let pooler = form.pooler.is_some_and(|pooler| {
        let bare = pooler.trim_start_matches('~');
        names.contains(&format!("{bare}.weight")) || names.contains(&format!("{}{bare}.weight", form.prefix))
    });
    let dropout = head.form(form).map_or(Ok(0.0), |task| task.rate(&config, Some(&mut json)))?;
    let (parts, specs) = Parts::declare(family, &config, &head, pooler, dropout, said.mixes && !head_is_new);
    let mut reader = Reader { path: &folder.path, form, file: &file, names: &names, report: LoadReport::default() };
    let mut sources = Vec::with_capacity(specs.len());
    for spec in specs {
        let own_head = spec.info.group == ParamGroup::Head && spec.bare.is_none();
        // What an adapter holds of the head stands for what its base has.
        let elsewhere = own_head && head_is_new || of_adapter.contains(&spec.info.name);
        let found = if elsewhere { None } else { reader.find(&spec) };
        if found.is_none() && spec.info.group != ParamGroup::Head {
            return Err(reader.missing(&spec));
        }
        if found.is_none() {
            reader.report.missing.push(spec.info.name.clone());
        }
        sources.push((spec, found));
    }
    reader.sort_the_rest(&config)?;
    let report = reader.report;
    Ok(Planned { family, config, parts, sources, head, file, report, adapter, scheme, head_is_new, chosen, json })
}

/// Reads configuration and tensors of a folder. What an absent head needs is made from `stream`.
pub(crate) fn load(folder: &ModelFolder, wanted: HeadKind, stream: Stream) -> Result<Loaded> {
    let planned = plan(folder, wanted)?;
    let Planned { family, config, parts, sources, file, mut report, adapter, scheme, .. } = planned;
    let form = family.form();
    // By all threads: most of the time of opening a model is the copying of its tensors.
    let values = sources.into_par_iter().map(|(spec, found)| {
        let value = match found {
            Some(name) => {
                let few = scheme.as_ref().map_or(Ok(None), |scheme| few_bits::read(&file, &name, &spec, scheme))?;
                match few {
                    Some(matrix) => Stored::Few(matrix),
                    None => values(&file.require(&name)?, &spec)?.into(),
                }
            }
            None => spec.initial(stream, config.initializer_range).into(),
        };
        Ok((spec, value))
    });
    let mut values: Vec<(Spec, Stored)> = values.collect::<Vec<Result<_>>>().into_iter().collect::<Result<_>>()?;
    let precision = if adapter.is_none() { precision(&file, &report) } else { Precision::F32 };
    let has_its_head = !planned.head_is_new && parts.has_task_head();
    let beside = match adapter {
        Some(adapter) => {
            let mut whole: Vec<(Spec, Vec<f32>)> =
                values.into_iter().map(|(spec, stored)| (spec, stored.into_values())).collect();
            let beside = adapter.apply(&mut whole, &mut report, form, &config, has_its_head)?;
            values = whole.into_iter().map(|(spec, values)| (spec, values.into())).collect();
            beside
        }
        None => None,
    };
    let (chosen, json) = (planned.chosen, planned.json);
    Ok(Loaded { family, config, parts, values, beside, chosen, json, report, precision })
}

/// The half precision that all values of a file are in; f32 where they are not, or where some are new.
fn precision(file: &TensorFile, report: &LoadReport) -> Precision {
    let of = |precision: Precision| {
        let is = |name: &String| file.get(name).is_some_and(|tensor| tensor.dtype == precision.dtype());
        report.missing.is_empty() && report.applied.iter().all(is)
    };
    [Precision::F16, Precision::Bf16].into_iter().find(|&precision| of(precision)).unwrap_or(Precision::F32)
}

/// The family that `model_type` names.
fn family_of(json: &mut ConfigJson) -> Result<Family> {
    let known = || Family::ALL.map(|family| format!("`{}`", family.model_type())).join(", ");
    let found = json.str_or("model_type", "")?;
    if found.is_empty() {
        return Err(Error::NoModelType { path: json.path.clone(), known: known() });
    }
    Family::from_model_type(&found).ok_or_else(|| Error::AlienModelType {
        path: json.path.clone(),
        found,
        known: known(),
    })
}

/// What `config.json` says of heads.
struct Said {
    path: std::path::PathBuf,
    architectures: Vec<String>,
    labels: Vec<String>,
    problem_type: Option<String>,
    /// Whether its head over the vocabulary generates.
    generates: bool,
    /// Whether the head looks at a mix of all layers.
    mixes: bool,
}

impl Said {
    fn read(json: &mut ConfigJson) -> Result<Self> {
        let architectures = match json.take("architectures") {
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            _ => Vec::new(),
        };
        // These say nothing that is computed; they are written anew or kept.
        for key in ["dtype", "torch_dtype", "transformers_version", "use_cache", "label2id"] {
            json.take(key);
        }
        Ok(Self {
            path: json.path.clone(),
            architectures,
            labels: labels(json)?,
            mixes: json.bool_or(scalar_mix::KEY, false)?,
            problem_type: Some(json.str_or("problem_type", "")?).filter(|problem| !problem.is_empty()),
            generates: json.bool_or(GENERATES, false)?,
        })
    }

    fn says(&self, name: &str) -> bool {
        self.architectures.iter().any(|found| found == name)
    }

    /// Whether it names the class of a task.
    fn says_task(&self, form: &Form) -> bool {
        let said = &form.architectures;
        [said.classify, said.tags, said.answer, said.choice].into_iter().any(|name| self.says(name))
    }

    /// The head of a task that the folder has, by what the configuration says and by its tensors.
    fn task_head(&self, form: &Form, names: &BTreeSet<String>) -> Result<Option<HeadKind>> {
        let has = |form: &TaskForm| {
            let name = format!("{}.weight", form.output);
            names.contains(&if self.mixes { scalar_mix::name(&name) } else { name })
        };
        let said = &form.architectures;
        if self.says(said.answer) && has(&form.answer) {
            return Ok(Some(HeadKind::Answer));
        }
        if self.says(said.choice) && has(&form.choice) {
            return Ok(Some(HeadKind::Choice));
        }
        if self.says(said.tags) && has(&form.tags) {
            return self.each_once(2).map(|labels| Some(HeadKind::Tag(labels)));
        }
        if has(&form.classifier) { self.sequence_head().map(Some) } else { Ok(None) }
    }

    /// The head of the folder over whole sequences. A single label means a number where nothing is said.
    fn sequence_head(&self) -> Result<HeadKind> {
        match (self.problem_type.as_deref(), self.labels.len()) {
            (None | Some("regression"), 1) => Ok(HeadKind::Regress),
            (Some("regression"), n) => self.bad("id2label", format!("{n} labels"), "one, of a regression"),
            (Some("multi_label_classification"), _) => self.each_once(1).map(HeadKind::MultiLabel),
            (None | Some("single_label_classification"), _) => self.each_once(2).map(HeadKind::Classify),
            (Some(other), _) => {
                let expected = "`single_label_classification`, `multi_label_classification`, `regression` or null";
                self.bad("problem_type", format!("`{other}`"), expected)
            }
        }
    }

    /// The labels, if they are as many as this at least, and each stands once.
    fn each_once(&self, least: usize) -> Result<Vec<String>> {
        let distinct: BTreeSet<_> = self.labels.iter().collect();
        match self.labels.len() {
            n if n < least => {
                self.bad("id2label", format!("{n} label(s)"), "two or more, or `problem_type` `regression`")
            }
            n if distinct.len() < n => self.bad("id2label", format!("{:?}", self.labels), "each label once"),
            _ => Ok(self.labels.clone()),
        }
    }

    fn bad<T>(&self, key: &'static str, found: String, expected: &str) -> Result<T> {
        Err(Error::BadKey { path: self.path.clone(), key, found, expected: expected.into() })
    }
}

/// `id2label` in the order of its numbers; `LABEL_0`, … where there is none, as the reference does.
fn labels(json: &mut ConfigJson) -> Result<Vec<String>> {
    let count = json.usize_or("num_labels", 2)?;
    let Some(value) = json.take("id2label").filter(|value| !value.is_null()) else {
        return Ok((0..count.min(1 << 20)).map(|i| format!("LABEL_{i}")).collect());
    };
    let bad = || Error::BadKey {
        path: json.path.clone(),
        key: "id2label",
        found: value.to_string().chars().take(200).collect(),
        expected: "an object with a label for each of \"0\", \"1\", …".into(),
    };
    let object = value.as_object().ok_or_else(bad)?;
    (0..object.len())
        .map(|i| match object.get(&i.to_string()) {
            Some(Value::String(label)) => Ok(label.clone()),
            Some(Value::Number(label)) => Ok(label.to_string()),
            _ => Err(bad()),
        })
        .collect()
}

/// The head the model gets, and whether its own tensors begin anew.
fn choose_head(wanted: HeadKind, said: &Said, form: &Form, names: &BTreeSet<String>) -> Result<(HeadKind, bool)> {
    let has_masked_lm = names.contains(&format!("{}.weight", form.masked_lm.dense));
    let masked_lm = if said.generates { HeadKind::Generate } else { HeadKind::MaskedLm };
    match wanted {
        HeadKind::None => Ok((HeadKind::None, false)),
        HeadKind::MaskedLm | HeadKind::Generate | HeadKind::PreTraining => Ok((wanted, !has_masked_lm)),
        // The tensors decide; where heads of both kinds are there, what the configuration says.
        HeadKind::AsFound if has_masked_lm && !said.says_task(form) => Ok((masked_lm, false)),
        HeadKind::AsFound => Ok(match said.task_head(form, names)? {
            Some(head) => (head, false),
            None if has_masked_lm => (masked_lm, false),
            None => (HeadKind::None, false),
        }),
        task => {
            let same = said.task_head(form, names).ok().flatten().as_ref() == Some(&task);
            Ok((task, !same))
        }
    }
}

/// Looks tensors up in a file.
struct Reader<'a> {
    path: &'a Path,
    form: &'a Form,
    file: &'a TensorFile,
    names: &'a BTreeSet<String>,
    report: LoadReport,
}

impl Reader<'_> {
    /// The name a parameter has in the file, if it is there.
    fn find(&mut self, spec: &Spec) -> Option<String> {
        let name = names_of(spec, self.form).into_iter().find(|name| few_bits::is_there(self.names, name))?;
        if self.names.contains(&name) {
            self.report.applied.push(name.clone());
        }
        self.report.applied.extend(few_bits::beside(self.names, &name));
        self.report.ignored.extend(spec.also.iter().filter(|also| self.names.contains(*also)).cloned());
        Some(name)
    }

    /// The error for a missing part of the encoder, with the nearest tensor that is left.
    fn missing(&self, spec: &Spec) -> Error {
        let applied: BTreeSet<_> = self.report.applied.iter().collect();
        let unused = self.names.iter().filter(|name| !applied.contains(name)).cloned().collect();
        let name = spec.info.name.clone();
        let nearest = LoadReport { unused, ..LoadReport::default() }.did_you_mean(&name).map(str::to_owned);
        Error::MissingTensor { path: self.path.to_owned(), name, nearest }
    }

    /// Sorts what no parameter took into ignored and unused. Copies of tied tensors must be copies.
    fn sort_the_rest(&mut self, config: &EncoderConfig) -> Result<()> {
        let taken: BTreeSet<String> = self.report.applied.iter().chain(&self.report.ignored).cloned().collect();
        let decoder = self.form.masked_lm.decoder;
        for name in self.names.difference(&taken) {
            let tied = if !config.tie_word_embeddings {
                None
            } else if *name == format!("{decoder}.weight") {
                let word = format!("{}.weight", self.form.encoder.word);
                self.report.applied.iter().find(|applied| applied.ends_with(&word))
            } else if *name == format!("{decoder}.bias") {
                self.report.applied.iter().find(|applied| *applied == self.form.masked_lm.bias)
            } else {
                None
            };
            if let Some(of) = tied {
                self.check_copy(name, of)?;
            }
            // Position and segment numbers that old versions saved as tensors.
            let numbers = name.ends_with("embeddings.position_ids") || name.ends_with("embeddings.token_type_ids");
            let list = if tied.is_some() || numbers { &mut self.report.ignored } else { &mut self.report.unused };
            list.push(name.clone());
        }
        Ok(())
    }

    fn check_copy(&self, name: &str, of: &str) -> Result<()> {
        let bytes = |name: &str| self.file.get(name).map(|tensor| tensor.bytes);
        if bytes(name) == bytes(of) {
            return Ok(());
        }
        Err(Error::TiedDiffer { path: self.path.to_owned(), name: name.into(), of: of.into() })
    }
}

/// The names a parameter may have in a file, the usual one first: with and without the family's
/// prefix, and with the norms' old `gamma` and `beta`.
fn names_of(spec: &Spec, form: &Form) -> Vec<String> {
    let mut names = vec![spec.info.name.clone()];
    if let Some(bare) = &spec.bare {
        names.extend([format!("{}{bare}", form.prefix), bare.clone()]);
    }
    names.extend(spec.also.iter().cloned());
    let old: Vec<String> = names
        .iter()
        .filter_map(|name| {
            let stem = |suffix| name.strip_suffix(suffix).filter(|stem| stem.ends_with("LayerNorm"));
            let weight = stem(".weight").map(|stem| format!("{stem}.gamma"));
            weight.or_else(|| stem(".bias").map(|stem| format!("{stem}.beta")))
        })
        .collect();
    names.extend(old);
    names
}

/// All parameters from a checkpoint, each under its own name.
pub(crate) fn checkpoint<'a>(specs: impl Iterator<Item = &'a Spec>, file: &TensorFile) -> Result<Vec<Vec<f32>>> {
    specs.map(|spec| values(&file.require(&spec.info.name)?, spec)).collect()
}

/// A tensor's values, if it has the shape that the configuration wants.
fn values(tensor: &TensorRef<'_>, spec: &Spec) -> Result<Vec<f32>> {
    finite(tensor, &spec.info.shape)
}

/// A tensor's values, if it has this shape and they are finite.
pub(crate) fn finite(tensor: &TensorRef<'_>, shape: &[usize]) -> Result<Vec<f32>> {
    tensor.expect_shape(shape)?;
    let values = tensor.to_f32()?;
    // Without an early end inside a chunk the loop vectorizes.
    let bad = values.chunks(4096).find(|chunk| !chunk.iter().fold(true, |all, v| all & v.is_finite()));
    match bad.and_then(|chunk| chunk.iter().find(|v| !v.is_finite())) {
        Some(&found) => Err(Error::NotFinite { path: tensor.file.to_owned(), name: tensor.name.into(), found }),
        None => Ok(values),
    }
}
