//! Every way in which a file of `torch.save` can be wrong or more than weights.

use crate::near::few;

/// What can be wrong with a `pytorch_model.bin`.
#[derive(Debug, thiserror::Error)]
pub enum PickleError {
    /// Written by a PyTorch before 1.6.
    #[error("found the old format of torch.save (before PyTorch 1.6), expected a zip archive")]
    Legacy,
    /// No zip archive at all.
    #[error("found {found}, expected a zip archive as torch.save writes it")]
    NotZip {
        /// What it looks like.
        found: &'static str,
        /// What to do in this case.
        advice: &'static str,
    },
    /// A zip archive that cannot be read.
    #[error("the zip archive is damaged: {message}")]
    DamagedZip {
        /// What the zip reader says.
        message: String,
    },
    /// A zip archive without the pickle.
    #[error("the zip archive holds {}, expected a `data.pkl`", few(found))]
    NoData {
        /// Entries there are.
        found: Vec<String>,
    },
    /// An entry is compressed or encrypted; `torch.save` only stores.
    #[error("entry `{entry}` is compressed or encrypted, expected plain storage")]
    Compressed {
        /// The entry.
        entry: String,
    },
    /// Numbers in the other byte order.
    #[error("the numbers are stored in the byte order `{found}`, expected `little`")]
    ByteOrder {
        /// What the archive says.
        found: String,
    },
    /// The pickle wants something of Python that is no tensor.
    #[error("it asks Python for `{name}`; only tensors are read and no code is run")]
    Global {
        /// Module and name.
        name: String,
    },
    /// A known global was called with arguments of other types.
    #[error("`{name}` was called with arguments we do not know")]
    Call {
        /// Module and name.
        name: String,
    },
    /// An instruction we do not know.
    #[error("unknown pickle instruction 0x{code:02x} at byte {at}")]
    Opcode {
        /// The instruction.
        code: u8,
        /// Its place in `data.pkl`.
        at: usize,
    },
    /// The pickle ends early or its stack does not add up.
    #[error("the pickle is damaged at byte {at}: {why}")]
    Malformed {
        /// Place in `data.pkl`.
        at: usize,
        /// What is wrong.
        why: &'static str,
    },
    /// The pickled object is no dictionary.
    #[error("it holds {found}, expected a dictionary from names to tensors")]
    NotADict {
        /// What it holds.
        found: &'static str,
    },
    /// The dictionary has no tensors in it.
    #[error("none of its entries is a tensor; found {}", few(keys))]
    NoTensors {
        /// Keys there are.
        keys: Vec<String>,
    },
    /// A key of the dictionary is no string.
    #[error("a tensor stands under a key that is no string")]
    KeyNotString,
    /// The bytes of a tensor are not in the archive.
    #[error("tensor `{name}` needs the entry `{entry}`, which the archive lacks")]
    MissingStorage {
        /// The tensor.
        name: String,
        /// The entry.
        entry: String,
    },
    /// The entry of a storage has another size than the pickle says.
    #[error("tensor `{name}`: the entry `{entry}` has {found} bytes, expected {expected}")]
    StorageSize {
        /// The tensor.
        name: String,
        /// The entry.
        entry: String,
        /// Its size.
        found: u64,
        /// The size by the pickle.
        expected: u64,
    },
    /// A tensor reaches beyond its storage.
    #[error(
        "tensor `{name}` of shape {shape:?} and strides {strides:?} reaches beyond its storage of {elements} elements"
    )]
    OutOfBounds {
        /// The tensor.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
        /// Its strides.
        strides: Vec<usize>,
        /// Elements of its storage.
        elements: usize,
    },
    /// A view that repeats its elements (`expand`).
    #[error("tensor `{name}` of shape {shape:?} repeats the {elements} elements of its storage")]
    Expanded {
        /// The tensor.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
        /// Elements of its storage.
        elements: usize,
    },
}

impl PickleError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        const CONVERT: &str = "convert it once in Python: \
             `from safetensors.torch import save_file; save_file(torch.load(file, weights_only=True), 'model.safetensors')`";
        Some(match self {
            Self::Legacy => "rewrite it once in Python with any PyTorch since 1.6: \
                 `torch.save(torch.load(file, weights_only=True), file)`"
                .into(),
            Self::NotZip { advice, .. } => (*advice).into(),
            Self::DamagedZip { .. } | Self::NoData { .. } => {
                "get the file again, or take the model's model.safetensors if there is one".into()
            }
            Self::Compressed { .. } => {
                "unpack the archive and zip it again without compression, or save it anew".into()
            }
            Self::ByteOrder { .. } => CONVERT.into(),
            Self::Global { .. } | Self::Call { .. } => {
                "save only the weights, `torch.save(model.state_dict(), file)`, or convert them to safetensors".into()
            }
            Self::Opcode { .. } => "save it with the default protocol of torch.save (2)".into(),
            Self::NotADict { .. } | Self::NoTensors { .. } | Self::KeyNotString => {
                "save the weights alone: `torch.save(model.state_dict(), file)`".into()
            }
            Self::Malformed { .. }
            | Self::MissingStorage { .. }
            | Self::StorageSize { .. }
            | Self::OutOfBounds { .. } => "the file is damaged; get it again".into(),
            Self::Expanded { .. } => "call `.contiguous()` on it before saving".into(),
        })
    }
}
