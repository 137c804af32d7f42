//! A model folder in the Hugging Face layout, looked at without loading a tensor.

mod error;
mod sentence;

pub use error::FolderError;

use crate::{ConfigJson, Error, Result, tensors::TensorFile};
use std::path::{Path, PathBuf};

/// How a sentence vector is made of token vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// Mean over all tokens, special tokens included (as sentence-transformers does).
    Mean,
    /// The first token.
    Cls,
    /// Maximum over tokens in each dimension.
    Max,
}

/// What `modules.json` and `1_Pooling/config.json` ask for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SentenceModules {
    /// How token vectors are pooled.
    pub pooling: Pooling,
    /// Whether vectors are scaled to unit length at the end.
    pub normalize: bool,
    /// `max_seq_length` of `sentence_bert_config.json`.
    pub max_seq_length: Option<usize>,
}

/// A folder with a `config.json`.
#[derive(Clone, Debug)]
pub struct ModelFolder {
    /// The folder.
    pub path: PathBuf,
}

/// Files of weights in the order in which they are looked for.
const WEIGHTS: [&str; 4] =
    ["model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"];

impl ModelFolder {
    /// Checks that `path` is a folder with a `config.json`; says what was found otherwise
    /// (a file, an empty folder, a run folder, a checkpoint folder).
    pub fn open(path: &Path) -> Result<Self> {
        if path.join("config.json").is_file() {
            return Ok(Self { path: path.to_path_buf() });
        }
        Err(what_is(path)?)
    }

    /// Its configuration.
    pub fn config(&self) -> Result<ConfigJson> {
        ConfigJson::read(&self.path.join("config.json"))
    }

    /// Its weights: `model.safetensors`, else its index, else `pytorch_model.bin`, else its index.
    pub fn tensors(&self) -> Result<TensorFile> {
        for name in WEIGHTS {
            let path = self.path.join(name);
            if path.exists() {
                return TensorFile::open(&path);
            }
        }
        Err(wrong(&self.path, FolderError::NoWeights { found: names(&self.path)? }))
    }

    /// The sentence-transformers modules, when there is a `modules.json`. A module we do not know
    /// (for example `Dense`), an unknown pooling mode, a default prompt or lower-casing outside the
    /// tokenizer is an error that names it.
    pub fn sentence_modules(&self) -> Result<Option<SentenceModules>> {
        sentence::read(self)
    }
}

/// Writes `modules.json`, `1_Pooling/config.json` and `sentence_bert_config.json` into a model
/// folder, so that sentence-transformers opens it; `width` is the size of a token vector.
pub fn write_sentence_modules(folder: &Path, modules: &SentenceModules, width: usize) -> Result<()> {
    sentence::write(folder, modules, width)
}

fn wrong(path: &Path, what: FolderError) -> Error {
    Error::Folder { path: path.to_path_buf(), what }
}

/// Why a path is no model folder.
fn what_is(path: &Path) -> Result<Error> {
    let kind = match std::fs::metadata(path) {
        Ok(kind) => kind,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(wrong(path, FolderError::Missing)),
        Err(e) => return Err(Error::io("read", path, e)),
    };
    if !kind.is_dir() {
        return Ok(wrong(path, FolderError::IsFile));
    }
    let config = path.join("config.json");
    if config.is_dir() {
        return Ok(Error::IsFolder { action: "read", path: config });
    }
    let found = names(path)?;
    let has = |name: &str| found.iter().any(|f| f == name);
    let what = if found.is_empty() {
        FolderError::Empty
    } else if has("complete") && has("tensors.safetensors") {
        FolderError::Checkpoint
    } else if has("checkpoints") || has("settings.toml") {
        let out = path.parent().unwrap_or(path).to_path_buf();
        match out.join("config.json").is_file() {
            true => FolderError::RunOfModel { model: out },
            false => FolderError::RunFolder { out },
        }
    } else if path.join("run").join("settings.toml").is_file() {
        FolderError::RunFolder { out: path.to_path_buf() }
    } else {
        FolderError::NoConfig { found }
    };
    Ok(wrong(path, what))
}

/// Names in a folder, sorted.
fn names(path: &Path) -> Result<Vec<String>> {
    let io = |e| Error::io("read", path, e);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path).map_err(io)? {
        names.push(entry.map_err(io)?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}
