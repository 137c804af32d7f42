//! sentence-transformers' modules: how a sentence vector is made of token vectors.
//!
//! Files: `modules.json`, `1_Pooling/config.json`, `2_Normalize`, `sentence_bert_config.json`,
//! `config_sentence_transformers.json`. Source: sentence-transformers 2 to 6, whose class paths and
//! pooling keys differ.

use super::error::FolderError;
use super::{ModelFolder, Pooling, SentenceModules, wrong};
use crate::config::{read_json, write_json};
use crate::{ConfigJson, Error, Result};
use serde_json::{Map, Value, json};
use std::path::{Component, Path};

/// Flags of `1_Pooling/config.json` before version 6 and the modes they turn on.
const FLAGS: [(&str, &str); 6] = [
    ("pooling_mode_cls_token", "cls"),
    ("pooling_mode_max_tokens", "max"),
    ("pooling_mode_mean_tokens", "mean"),
    ("pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens"),
    ("pooling_mode_weightedmean_tokens", "weightedmean"),
    ("pooling_mode_lasttoken", "lasttoken"),
];

struct Module {
    /// Last part of its class path.
    class: String,
    folder: String,
}

/// Reads the modules; `None` without a `modules.json`.
pub(super) fn read(folder: &ModelFolder) -> Result<Option<SentenceModules>> {
    let path = folder.path.join("modules.json");
    if !path.exists() {
        return Ok(None);
    }
    let modules = list(&path, &read_json(&path)?)?;
    let classes: Vec<&str> = modules.iter().map(|m| m.class.as_str()).collect();
    let normalize = match classes[..] {
        ["Transformer", "Pooling"] => false,
        ["Transformer", "Pooling", "Normalize"] => true,
        _ => {
            let found = classes.iter().map(|c| (*c).to_owned()).collect();
            return Err(wrong(&path, FolderError::ModuleOrder { found }));
        }
    };
    if !modules[0].folder.is_empty() {
        return Err(wrong(&path, FolderError::TransformerElsewhere { folder: modules[0].folder.clone() }));
    }
    let pooling = pooling(&folder.path.join(&modules[1].folder).join("config.json"))?;
    if let Some(module) = modules.get(2) {
        check_normalize(&folder.path.join(&module.folder).join("config.json"))?;
    }
    check_prompt(&folder.path.join("config_sentence_transformers.json"))?;
    let max_seq_length = max_seq_length(&folder.path.join("sentence_bert_config.json"))?;
    Ok(Some(SentenceModules { pooling, normalize, max_seq_length }))
}

/// The modules of `modules.json`, each known and inside the folder.
fn list(path: &Path, json: &Value) -> Result<Vec<Module>> {
    let bad = |message: &str| wrong(path, FolderError::Modules { message: message.into() });
    let items = json.as_array().ok_or_else(|| bad("expected a list of modules"))?;
    let mut modules = Vec::new();
    for (number, item) in items.iter().enumerate() {
        let text = |key: &str| item.get(key).and_then(Value::as_str);
        let kind = text("type").ok_or_else(|| bad("a module has no `type`"))?;
        let folder = text("path").ok_or_else(|| bad("a module has no `path`"))?;
        let class = kind.rsplit('.').next().unwrap_or(kind);
        let ours = kind.starts_with("sentence_transformers.");
        if !ours || !["Transformer", "Pooling", "Normalize"].contains(&class) {
            return Err(wrong(path, FolderError::UnknownModule { number, kind: kind.into() }));
        }
        if !Path::new(folder).components().all(|c| matches!(c, Component::Normal(_))) {
            return Err(wrong(path, FolderError::ModulePath { folder: folder.into() }));
        }
        modules.push(Module { class: class.into(), folder: folder.into() });
    }
    Ok(modules)
}

fn pooling(path: &Path) -> Result<Pooling> {
    let mut config = ConfigJson::read(path)?;
    let mut found = match config.take("pooling_mode") {
        Some(Value::String(mode)) => vec![mode],
        Some(Value::Array(modes)) => modes.iter().map(|m| m.as_str().unwrap_or("?").to_owned()).collect(),
        _ => Vec::new(),
    };
    if found.is_empty() {
        for (flag, mode) in FLAGS {
            if config.bool_or(flag, false)? {
                found.push(mode.to_owned());
            }
        }
    }
    match found.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        // Nothing chosen means the mean, as in the reference.
        [] | ["mean"] => Ok(Pooling::Mean),
        ["cls"] => Ok(Pooling::Cls),
        ["max"] => Ok(Pooling::Max),
        _ => Err(wrong(path, FolderError::PoolingMode { found })),
    }
}

/// `Normalize` may be told to work on something else than the sentence vector.
fn check_normalize(path: &Path) -> Result<()> {
    let Some(mut config) = read_if_there(path)? else { return Ok(()) };
    let why = "only the sentence vector is normalized";
    config.refuse_unless("module_input_name", "sentence_embedding".into(), why)?;
    config.refuse_unless("module_output_name", "sentence_embedding".into(), why)
}

/// A prompt put before every text would change every vector.
fn check_prompt(path: &Path) -> Result<()> {
    let Some(mut config) = read_if_there(path)? else { return Ok(()) };
    let why = "a prompt is put before every text; put it into the texts yourself";
    let Some(Value::String(name)) = config.peek("default_prompt_name") else { return Ok(()) };
    let empty = config.peek("prompts").and_then(|p| p.get(name)).is_some_and(|p| p == "");
    if empty { Ok(()) } else { config.refuse_unless("default_prompt_name", Value::Null, why) }
}

fn max_seq_length(path: &Path) -> Result<Option<usize>> {
    let Some(mut config) = read_if_there(path)? else { return Ok(None) };
    config.refuse_unless("do_lower_case", false.into(), "lower-casing belongs into the tokenizer")?;
    config.opt_usize("max_seq_length")
}

fn read_if_there(path: &Path) -> Result<Option<ConfigJson>> {
    if path.exists() { ConfigJson::read(path).map(Some) } else { Ok(None) }
}

/// Writes the files that make a model folder a sentence encoder for sentence-transformers.
pub(super) fn write(folder: &Path, modules: &SentenceModules, width: usize) -> Result<()> {
    let mut list = vec![
        json!({"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}),
        json!({"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}),
    ];
    if modules.normalize {
        let kind = "sentence_transformers.models.Normalize";
        list.push(json!({"idx": 2, "name": "2", "path": "2_Normalize", "type": kind}));
        create(&folder.join("2_Normalize"))?;
    }
    create(&folder.join("1_Pooling"))?;
    let mode = match modules.pooling {
        Pooling::Mean => "mean",
        Pooling::Cls => "cls",
        Pooling::Max => "max",
    };
    let mut pooling = Map::new();
    pooling.insert("word_embedding_dimension".into(), width.into());
    for (flag, of) in FLAGS {
        pooling.insert(flag.into(), (of == mode).into());
    }
    pooling.insert("include_prompt".into(), true.into());
    ConfigJson::write(&folder.join("1_Pooling").join("config.json"), &pooling)?;
    let mut bert = Map::new();
    bert.insert("max_seq_length".into(), modules.max_seq_length.into());
    bert.insert("do_lower_case".into(), false.into());
    ConfigJson::write(&folder.join("sentence_bert_config.json"), &bert)?;
    // Last, so that a folder with a modules.json has all that it names.
    write_json(&folder.join("modules.json"), &list)
}

fn create(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).map_err(|e| Error::io("create", path, e))
}
