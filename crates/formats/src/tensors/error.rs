//! Every way in which a file of tensors can be wrong.

use crate::Fault;
use crate::config::ConfigError;
use crate::near::few;

/// What can be wrong with a safetensors file, an index of shards, or a tensor asked of them.
#[derive(Debug, thiserror::Error)]
pub enum TensorsError {
    /// The file is something else altogether.
    #[error("found {found}, expected a safetensors file")]
    NotSafetensors {
        /// What it looks like.
        found: &'static str,
        /// What to do in this case.
        advice: &'static str,
    },
    /// The name ends in nothing we know and the content is not known either.
    #[error("no known kind of weights file, expected .safetensors, .safetensors.index.json, .bin, .pt or .pth")]
    UnknownKind,
    /// The length of the header at the file's begin cannot be true.
    #[error("its first 8 bytes announce a header of {announced} bytes, but {left} bytes follow")]
    HeaderLength {
        /// Bytes announced.
        announced: u64,
        /// Bytes of the file after the first 8.
        left: usize,
    },
    /// The header is longer than any honest one.
    #[error("its header would be {announced} bytes long, more than the format's {limit}")]
    HeaderTooLong {
        /// Bytes announced.
        announced: u64,
        /// Most that the format allows.
        limit: u64,
    },
    /// The header is no JSON.
    #[error("its header is {0}")]
    Header(ConfigError),
    /// The entry of a tensor has missing or wrong fields.
    #[error("tensor `{name}`: its entry in the header is wrong: {message}")]
    Entry {
        /// The tensor.
        name: String,
        /// What is wrong.
        message: String,
    },
    /// An element type we do not read.
    #[error("tensor `{name}` has the element type {found}, expected one of {expected}")]
    UnknownDType {
        /// The tensor.
        name: String,
        /// The type found.
        found: String,
        /// The types read.
        expected: String,
    },
    /// Two tensors of one name.
    #[error("tensor `{name}` is there twice")]
    Duplicate {
        /// The tensor.
        name: String,
    },
    /// The end of a tensor lies before its begin.
    #[error("tensor `{name}` begins at byte {begin} and ends before that, at {end}")]
    OffsetsReversed {
        /// The tensor.
        name: String,
        /// First byte.
        begin: u64,
        /// Byte after the last.
        end: u64,
    },
    /// The bytes of a tensor are not as many as its shape and type need.
    #[error("tensor `{name}` of shape {shape:?} and type {dtype} needs {expected} bytes, its offsets say {found}")]
    ByteCount {
        /// The tensor.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
        /// Its element type.
        dtype: &'static str,
        /// Bytes by its offsets.
        found: u64,
        /// Bytes by shape and type; "more than fit into memory" where that overflows.
        expected: String,
    },
    /// Two tensors share bytes.
    #[error("tensors `{first}` and `{second}` overlap: one ends at byte {end}, the other begins at {begin}")]
    Overlap {
        /// The tensor that begins first.
        first: String,
        /// The tensor that begins inside it.
        second: String,
        /// Where the first ends.
        end: u64,
        /// Where the second begins.
        begin: u64,
    },
    /// Bytes before a tensor that belong to none.
    #[error("{bytes} bytes before tensor `{name}` belong to no tensor")]
    Gap {
        /// The tensor after the gap.
        name: String,
        /// Size of the gap.
        bytes: u64,
    },
    /// A tensor lies beyond the end of the file, and not because the file was merely cut.
    #[error("tensor `{name}` ends at byte {end} of the data, which has {available}")]
    OutOfRange {
        /// The tensor.
        name: String,
        /// Byte after its last.
        end: u64,
        /// Bytes of data there are.
        available: u64,
    },
    /// The file is cut short.
    #[error("the file is cut short: {found} bytes of tensors, expected {expected}")]
    Truncated {
        /// Bytes there are after the header.
        found: u64,
        /// Bytes the header asks for.
        expected: u64,
    },
    /// More bytes than the tensors need.
    #[error("{extra} bytes after the last tensor belong to no tensor")]
    Trailing {
        /// How many.
        extra: u64,
    },
    /// The index of shards has no or a wrong `weight_map`.
    #[error("this index of shards is wrong: {message}")]
    Index {
        /// What is wrong.
        message: String,
    },
    /// An index names a file outside its folder.
    #[error("the index names the shard `{shard}`, expected the plain name of a file beside it")]
    ShardPath {
        /// The name found.
        shard: String,
    },
    /// Shards of the index are not there.
    #[error("{} of {of} shards are missing: {}", missing.len(), few(missing))]
    MissingShard {
        /// Names of the missing files.
        missing: Vec<String>,
        /// Number of shards in the index.
        of: usize,
    },
    /// A shard lacks a tensor that the index says it has.
    #[error("the index says that tensor `{name}` is in `{shard}`, but it is not")]
    NotInShard {
        /// The tensor.
        name: String,
        /// The shard.
        shard: String,
    },
    /// A tensor was asked for and is not there.
    #[error("tensor `{name}` is missing among {count} tensors")]
    NoSuchTensor {
        /// The tensor.
        name: String,
        /// How many there are.
        count: usize,
        /// A name that is nearly the same.
        near: Option<String>,
    },
    /// A tensor has another shape than the model wants.
    #[error("tensor `{name}` has the shape {found:?}, expected {expected:?}")]
    Shape {
        /// The tensor.
        name: String,
        /// Its shape.
        found: Vec<usize>,
        /// The shape wanted.
        expected: Vec<usize>,
    },
    /// Numbers were asked of a tensor that holds no floating-point numbers.
    #[error("tensor `{name}` holds {found}, expected floating-point numbers (F64, F32, F16 or BF16)")]
    NotFloat {
        /// The tensor.
        name: String,
        /// Its element type.
        found: &'static str,
    },
    /// We were about to write a tensor whose bytes do not fit its shape.
    #[error("cannot write tensor `{name}`: {found} bytes given, its shape and type need {expected}")]
    OutByteCount {
        /// The tensor.
        name: String,
        /// Bytes given.
        found: usize,
        /// Bytes needed.
        expected: usize,
    },
    /// We were about to write two tensors of one name, or one with a reserved name.
    #[error("cannot write tensor `{name}`: the name is {why}")]
    OutName {
        /// The name.
        name: String,
        /// "used twice", "reserved by the format".
        why: &'static str,
    },
}

impl TensorsError {
    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::OutByteCount { .. } | Self::OutName { .. } => Fault::System,
            _ => Fault::Input,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        const AGAIN: &str = "get the file again and compare its size with the original";
        const WRITER: &str = "the program that wrote the file is at fault; write it again with the safetensors library";
        Some(match self {
            Self::NotSafetensors { advice, .. } => (*advice).into(),
            Self::UnknownKind => "give a model folder or one of these files".into(),
            Self::HeaderLength { .. } | Self::Truncated { .. } | Self::Trailing { .. } => AGAIN.into(),
            Self::HeaderTooLong { .. } | Self::Header(_) => {
                "this is probably no safetensors file, or a damaged one; get it again".into()
            }
            Self::Entry { .. }
            | Self::Duplicate { .. }
            | Self::OffsetsReversed { .. }
            | Self::ByteCount { .. }
            | Self::Overlap { .. }
            | Self::Gap { .. }
            | Self::OutOfRange { .. } => WRITER.into(),
            Self::UnknownDType { .. } => "convert the model to float32 with its own library first".into(),
            Self::Index { .. } | Self::ShardPath { .. } | Self::NotInShard { .. } => {
                "take the index and the shards from the same download".into()
            }
            Self::MissingShard { .. } => "download the missing files into the same folder".into(),
            Self::NoSuchTensor { near: Some(near), .. } => format!("did you mean `{near}`, which is there?"),
            Self::NoSuchTensor { .. } => "check that config.json and the weights belong together".into(),
            Self::Shape { .. } => "check that config.json and the weights belong together".into(),
            Self::NotFloat { .. } => "a quantized model must be converted back to float32 first".into(),
            Self::OutByteCount { .. } | Self::OutName { .. } => "this is a bug in Polyseme; please report it".into(),
        })
    }
}
