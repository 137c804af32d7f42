//! What can keep a tour from beginning.

use polyseme_formats::Fault;
use std::path::PathBuf;

/// What went wrong, where, and what was expected.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No sources of crates.
    #[error("no sources of crates in {}: expected folders named after the crates this program was built from", .searched.display())]
    NoRegistry {
        /// Where they were looked for.
        searched: PathBuf,
    },
    /// Not enough text to pre-train on.
    #[error("{found} of text in {what}: at least {needed} are needed to pre-train on")]
    TooLittleText {
        /// Where.
        what: String,
        /// How much there is.
        found: String,
        /// How much is needed.
        needed: String,
    },
    /// The output folder holds something that no tour made.
    #[error("{}: the folder is not empty and was not made by a tour", .path.display())]
    OutTaken {
        /// The folder.
        path: PathBuf,
    },
}

impl Error {
    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        Fault::Input
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoRegistry { .. } => {
                "cargo keeps them on the machine that built polyseme (CARGO_HOME says where); elsewhere give texts of \
                 your own: polyseme tour --corpus FILES_OR_FOLDERS"
                    .to_owned()
            }
            Self::TooLittleText { .. } => "give more files or folders with --corpus".to_owned(),
            Self::OutTaken { .. } => "choose another folder with --out".to_owned(),
        })
    }
}
