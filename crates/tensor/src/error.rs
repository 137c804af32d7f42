//! What can be wrong with a device.

/// A device that is not there.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The name of a device is not one this program knows or was built with.
    #[error("no device `{name}`: this program was built with {available}")]
    NoDevice {
        /// What was asked for.
        name: String,
        /// What there is.
        available: String,
    },
    /// The kind of device is built in, but the machine has fewer of them.
    #[error("no device `{name}`: this machine has {found} of kind `{kind}`")]
    NoSuchIndex {
        /// What was asked for.
        name: String,
        /// Its kind.
        kind: String,
        /// How many the machine has.
        found: usize,
    },
}

impl Error {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoDevice { .. } => {
                "use `--device cpu`, or build with `--features cuda`, `rocm`, `metal`, `vulkan` or `wgpu`".into()
            }
            Self::NoSuchIndex { .. } => "devices are counted from 0; `--device auto` takes the best there is".into(),
        })
    }
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;
