//! Every way in which a file of ours can be wrong: the outer error, which names the file.
//!
//! What can be wrong *inside* a kind of file stands beside the code that reads it
//! ([`ConfigError`], [`SettingsError`], [`TensorsError`], [`PickleError`], [`FolderError`],
//! [`StoreError`], [`RunError`]); each of those has its own `hint`.

use crate::config::ConfigError;
use crate::folder::FolderError;
use crate::pickle::PickleError;
use crate::run::RunError;
use crate::settings::SettingsError;
use crate::store::StoreError;
use crate::tensors::TensorsError;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Whose fault an error is; the command line makes its exit code from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// What the user gave is wrong: exit code 1.
    Input,
    /// The disk, the system or we ourselves: exit code 2.
    System,
}

/// What went wrong with a file: which one, what was found, what was expected.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system refused to read or write.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was being done, as a verb: "read", "write", "create".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's own words.
        source: std::io::Error,
    },
    /// The disk is full, or a quota or a limit on file sizes was reached, while writing.
    #[error("no room on the disk to {action} {}", path.display())]
    DiskFull {
        /// What was being done, as a verb.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's own words.
        source: std::io::Error,
    },
    /// A folder stands where a file should.
    #[error("cannot {action} {}: it is a folder, expected a file", path.display())]
    IsFolder {
        /// What was being done, as a verb.
        action: &'static str,
        /// The folder.
        path: PathBuf,
    },
    /// A JSON configuration is wrong.
    #[error("{}: {what}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: Box<ConfigError>,
    },
    /// A TOML file is wrong.
    #[error("{}: {what}", path.display())]
    Settings {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: SettingsError,
    },
    /// A file of tensors is wrong.
    #[error("{}: {what}", path.display())]
    Tensors {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: Box<TensorsError>,
    },
    /// A file of `torch.save` is wrong or holds more than tensors.
    #[error("{}: {what}", path.display())]
    Pickle {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: Box<PickleError>,
    },
    /// A path is no model folder, or the folder is incomplete.
    #[error("{}: {what}", path.display())]
    Folder {
        /// The path.
        path: PathBuf,
        /// What is wrong with it.
        what: FolderError,
    },
    /// A token store is wrong.
    #[error("{}: {what}", path.display())]
    Store {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: StoreError,
    },
    /// A run folder cannot be begun, continued or read.
    #[error("{}: {what}", path.display())]
    Run {
        /// The folder or file.
        path: PathBuf,
        /// What is wrong with it.
        what: RunError,
    },
}

impl Error {
    /// The right variant for what the system said: a full disk and a folder in the place of a file
    /// are told apart from the rest.
    pub fn io(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        let path = path.to_path_buf();
        match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                Self::DiskFull { action, path, source }
            }
            ErrorKind::IsADirectory => Self::IsFolder { action, path },
            _ => Self::Io { action, path, source },
        }
    }

    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Io { source, .. } if matches!(source.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                Fault::Input
            }
            Self::Io { .. } | Self::DiskFull { .. } => Fault::System,
            Self::IsFolder { .. } => Fault::Input,
            Self::Config { .. } | Self::Pickle { .. } | Self::Folder { .. } => Fault::Input,
            Self::Settings { what, .. } => what.fault(),
            Self::Tensors { what, .. } => what.fault(),
            Self::Store { what, .. } => what.fault(),
            Self::Run { what, .. } => what.fault(),
        }
    }

    /// What to do about it: one sentence that stands alone.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Io { path, source, .. } => io_hint(path, source.kind()),
            Self::DiskFull { path, .. } => Some(format!(
                "make room on the disk of {} or write elsewhere; what was saved before is untouched",
                path.parent().unwrap_or(path).display()
            )),
            Self::IsFolder { .. } => Some("give the path of a file".into()),
            Self::Config { what, .. } => what.hint(),
            Self::Settings { what, .. } => what.hint(),
            Self::Tensors { what, .. } => what.hint(),
            Self::Pickle { what, .. } => what.hint(),
            Self::Folder { what, .. } => what.hint(),
            Self::Store { what, .. } => what.hint(),
            Self::Run { what, .. } => what.hint(),
        }
    }
}

fn io_hint(path: &Path, kind: ErrorKind) -> Option<String> {
    match kind {
        ErrorKind::NotFound => Some(format!("check the path; nothing is at {}", path.display())),
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            Some(format!("check who may read and write {}, or choose another place", path.display()))
        }
        ErrorKind::NotADirectory => Some(format!("a part of {} is a file, expected a folder", path.display())),
        ErrorKind::StaleNetworkFileHandle => Some("the network disk went away; mount it again and repeat".into()),
        _ => None,
    }
}

/// A result whose error names the file.
pub type Result<T> = std::result::Result<T, Error>;
