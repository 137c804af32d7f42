//! Every way in which a path can fail to be a model folder.

use crate::near::few;
use std::path::PathBuf;

/// What can be wrong with a model folder.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Nothing is there.
    #[error("no such folder, expected a model folder")]
    Missing,
    /// A file is there.
    #[error("it is a file, expected a model folder")]
    IsFile,
    /// The folder is empty.
    #[error("the folder is empty, expected a model folder with a config.json")]
    Empty,
    /// It is the `run` folder of a run, or has one and no model yet.
    #[error("found a run folder, expected a model folder; the run has not written its model (yet)")]
    RunFolder {
        /// The folder given to `--out`.
        out: PathBuf,
    },
    /// It is the `run` folder inside a folder with a finished model.
    #[error("found the run folder of a model, expected the model folder above it")]
    RunOfModel {
        /// The model folder.
        model: PathBuf,
    },
    /// It is a checkpoint of a run.
    #[error("found a checkpoint of a run, expected a model folder")]
    Checkpoint,
    /// There is no `config.json`.
    #[error("there is no config.json, expected a model folder; found {}", few(found))]
    NoConfig {
        /// Names in the folder.
        found: Vec<String>,
    },
    /// There are no weights.
    #[error("there are no weights, expected model.safetensors or pytorch_model.bin; found {}", few(found))]
    NoWeights {
        /// Names in the folder.
        found: Vec<String>,
    },
    /// `modules.json` is no list of modules.
    #[error("modules.json is wrong: {message}")]
    Modules {
        /// What is wrong.
        message: String,
    },
    /// A sentence-transformers module that we do not have.
    #[error("module {number} of modules.json is `{kind}`; only Transformer, Pooling and Normalize are supported")]
    UnknownModule {
        /// Its number, from 0.
        number: usize,
        /// Its type.
        kind: String,
    },
    /// Known modules in an order that makes no sentence vector.
    #[error("modules.json has the modules {}; expected Transformer, Pooling and perhaps Normalize", found.join(", "))]
    ModuleOrder {
        /// The types in their order.
        found: Vec<String>,
    },
    /// The transformer module stands in a folder of its own.
    #[error("modules.json puts the Transformer into the folder `{folder}`, expected the model folder itself")]
    TransformerElsewhere {
        /// That folder.
        folder: String,
    },
    /// A pooling mode that we do not have, or several at once.
    #[error("the pooling mode is {}; only one of mean, cls and max is supported", found.join(" + "))]
    PoolingMode {
        /// The modes.
        found: Vec<String>,
    },
    /// A module's folder has a name that leads elsewhere.
    #[error("modules.json names the folder `{folder}`, expected a folder inside the model folder")]
    ModulePath {
        /// The name found.
        folder: String,
    },
}

impl FolderError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Missing => "check the path; models are read from folders only and never downloaded".into(),
            Self::IsFile => "give the folder that the file is in".into(),
            Self::Empty => "copy config.json, the weights and the tokenizer's files into it".into(),
            Self::RunFolder { out } => {
                format!(
                    "go on with the run with `--resume --out {}`; its model appears there at the end",
                    out.display()
                )
            }
            Self::RunOfModel { model } => format!("give {}", model.display()),
            Self::Checkpoint => {
                "a checkpoint holds the state of training; resume the run, and give the model folder it writes".into()
            }
            Self::NoConfig { found } if found.iter().any(|f| f == "adapter_config.json") => {
                "this is an adapter without its model; merge it first".into()
            }
            Self::NoConfig { .. } => "add the config.json of the original model, or give its folder".into(),
            Self::NoWeights { found } if found.iter().any(|f| f.ends_with(".h5") || f.ends_with(".msgpack")) => {
                "convert the weights of TensorFlow or Flax with `transformers` and `save_pretrained` first".into()
            }
            Self::NoWeights { found } if found.iter().any(|f| f.ends_with(".onnx") || f.ends_with(".gguf")) => {
                "exported models cannot be opened; take the original weights as model.safetensors".into()
            }
            Self::NoWeights { .. } => "download model.safetensors into the folder".into(),
            Self::Modules { .. } | Self::ModulePath { .. } => {
                "take modules.json from the original model again, or remove it to choose the pooling yourself".into()
            }
            Self::UnknownModule { .. } | Self::ModuleOrder { .. } => {
                "choose another sentence model; without modules.json the bare encoder can still be used".into()
            }
            Self::TransformerElsewhere { folder } => {
                format!("move the files of `{folder}` up and set its `path` in modules.json to the empty string")
            }
            Self::PoolingMode { .. } => "choose a pooling with --pooling, or another model".into(),
        })
    }
}
