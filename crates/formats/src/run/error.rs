//! Every way in which a run folder can refuse.

use crate::Fault;
use std::path::PathBuf;

/// What can be wrong with a run folder.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// There is a run already.
    #[error("there is a run here already, expected a new or empty folder")]
    Exists,
    /// A model is there that is not of a run.
    #[error("there is a model here already (config.json), which the run would overwrite")]
    ModelThere,
    /// There is no run to go on with.
    #[error("there is no run here to go on with")]
    NoRun,
    /// Another process writes to the run.
    #[error("another process{} is writing to this run", pid.as_ref().map(|p| format!(" (number {p})")).unwrap_or_default())]
    Locked {
        /// Its number, where it could be read.
        pid: Option<String>,
    },
    /// The output path is a file.
    #[error("it is a file, expected a folder or a new name for one")]
    OutIsFile,
    /// The folder cannot be written.
    #[error("cannot write to this folder")]
    NotWritable {
        /// The system's own words.
        source: std::io::Error,
    },
    /// The disk is too full for what the run will write.
    #[error("only {} are free on this disk, expected at least {}", bytes(*free), bytes(*needed))]
    NotEnoughSpace {
        /// Bytes free.
        free: u64,
        /// Bytes the run needs.
        needed: u64,
    },
    /// A line of `metrics.jsonl` before the last is no row.
    #[error("line {line} is no row of metrics: {message}")]
    Metrics {
        /// Line, from 1.
        line: usize,
        /// The parser's words.
        message: String,
    },
    /// The state of a checkpoint is whole but does not fit what is read.
    #[error("this checkpoint is of another version of Polyseme: {message}")]
    State {
        /// The parser's words.
        message: String,
    },
    /// A file name for a checkpoint that is reserved or no plain name.
    #[error("`{name}` cannot be the name of a file in a checkpoint")]
    FileName {
        /// The name.
        name: PathBuf,
    },
}

impl RunError {
    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Exists
            | Self::ModelThere
            | Self::NoRun
            | Self::OutIsFile
            | Self::Metrics { .. }
            | Self::State { .. } => Fault::Input,
            Self::Locked { .. } | Self::NotWritable { .. } | Self::NotEnoughSpace { .. } | Self::FileName { .. } => {
                Fault::System
            }
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Exists => "go on with it with `--resume`, or choose another `--out`".into(),
            Self::ModelThere => "choose another `--out`".into(),
            Self::NoRun => "check `--out`, or leave `--resume` out to begin a run".into(),
            Self::Locked { .. } => "wait for it to end, or stop it; Ctrl-C saves first".into(),
            Self::OutIsFile => "choose another `--out`".into(),
            Self::NotWritable { .. } => "choose another `--out`, or check who may write there".into(),
            Self::NotEnoughSpace { .. } => "make room, choose another disk, or keep fewer checkpoints".into(),
            Self::Metrics { .. } => "the file was edited or damaged; remove that line".into(),
            Self::State { .. } => "go on with the version that began the run, or begin a new one".into(),
            Self::FileName { .. } => "this is a bug in Polyseme; please report it".into(),
        })
    }
}

/// "1.5 GB"
fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["bytes", "kB", "MB", "GB", "TB"];
    let (mut value, mut unit) = (n as f64, 0);
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 { format!("{n} bytes") } else { format!("{value:.1} {}", UNITS[unit]) }
}
