//! What can be wrong with settings: files, flags and how they go together.

use polyseme_formats::Fault;
use std::path::PathBuf;

/// What is wrong with the settings, where, and what was expected.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A value that the library refuses.
    #[error(transparent)]
    Train(#[from] polyseme_train::Error),
    /// A settings file cannot be read.
    #[error("cannot read settings file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's own words.
        source: std::io::Error,
    },
    /// A settings file is no TOML.
    #[error("{place} is not valid TOML")]
    Toml {
        /// File or recipe.
        place: String,
        /// Line, column and reason.
        source: toml::de::Error,
    },
    /// A value has the wrong type, or a key is missing.
    #[error("{place} does not hold complete settings: {what}")]
    Shape {
        /// File or recipe.
        place: String,
        /// The key and what was expected there.
        what: String,
    },
    /// A key that nothing reads.
    #[error("unknown key `{key}` in {place}")]
    UnknownKey {
        /// File, recipe or flag.
        place: String,
        /// The key with its table.
        key: String,
        /// The known key with the nearest name.
        nearest: Option<String>,
    },
    /// A key and a table of the same name.
    #[error("`{key}` in {place} must be {expected}")]
    NotATable {
        /// File, recipe or flag.
        place: String,
        /// The key.
        key: String,
        /// "a table" or "a single value".
        expected: &'static str,
    },
    /// No recipe of this name, and no such file.
    #[error("no recipe `{name}`, and no file of that name")]
    UnknownRecipe {
        /// What was asked for.
        name: String,
        /// The nearest recipe.
        nearest: Option<String>,
    },
    /// Something that must be given.
    #[error("{what} is missing")]
    Missing {
        /// The flag or argument.
        what: &'static str,
        /// How to give it.
        hint: &'static str,
    },
    /// A flag that says nothing to a model with this head.
    #[error("{flag} was given, but this model has {head}")]
    NotOfModel {
        /// The flag.
        flag: &'static str,
        /// The head, by its name in a sentence.
        head: &'static str,
    },
    /// A step of a recipe says what its way does not know.
    #[error("{place}: {what}")]
    Step {
        /// The file, the step and its way.
        place: String,
        /// What is wrong there.
        what: String,
        /// What to do about it.
        hint: String,
    },
    /// Not of the form KEY=VALUE.
    #[error("`--set {given}` is not of the form KEY=VALUE")]
    BadSet {
        /// What was given.
        given: String,
    },
    /// Not a time span.
    #[error("`{given}` is not a time: {why}")]
    BadDuration {
        /// What was given.
        given: String,
        /// What is wrong with it.
        why: String,
    },
    /// A value outside of what makes sense.
    #[error("{key} is {found}; it must be {expected}")]
    OutOfRange {
        /// Flag or key.
        key: String,
        /// What was given.
        found: String,
        /// What it may be.
        expected: String,
    },
    /// A value that is none of the known ones.
    #[error("unknown {what} `{found}`: it must be {expected}")]
    UnknownValue {
        /// What kind of thing.
        what: &'static str,
        /// What was given.
        found: String,
        /// The ones there are.
        expected: String,
    },
    /// Two settings that cannot both hold.
    #[error("{first} and {second} contradict each other: {why}")]
    Contradiction {
        /// One.
        first: String,
        /// The other.
        second: String,
        /// Why they cannot both hold.
        why: String,
    },
    /// A flag beside `--resume` that says something else than the run's settings.
    #[error("{flag} is {given}, but the run in {} was begun with {stored}", run.display())]
    ResumeDiffers {
        /// The flag.
        flag: String,
        /// What was given now.
        given: String,
        /// What the run has.
        stored: String,
        /// The run folder.
        run: PathBuf,
    },
    /// A file whose name does not say what it is to hold.
    #[error("the ending of {} does not say what to write", path.display())]
    PictureEnding {
        /// The file.
        path: PathBuf,
    },
    /// `--resume` where there is nothing to go on with.
    #[error("nothing to go on with: there is no {}", settings.display())]
    NoRun {
        /// The settings file that was looked for.
        settings: PathBuf,
    },
}

impl Error {
    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Read { source, .. } => match source.kind() {
                std::io::ErrorKind::NotFound
                | std::io::ErrorKind::IsADirectory
                | std::io::ErrorKind::InvalidData
                | std::io::ErrorKind::NotADirectory => Fault::Input,
                _ => Fault::System,
            },
            Self::Train(e) => e.fault(),
            _ => Fault::Input,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Read { .. } => Some("give the path of a settings file, or the name of a recipe".into()),
            Self::Train(e) => e.hint(),
            Self::Toml { .. } => Some("compare with what `polyseme pretrain --recipe mini --dry-run` prints".into()),
            Self::Shape { .. } => Some(
                "begin the file with `base = \"mini\"` to take what it does not say from that recipe, or start \
                 from what `polyseme pretrain --recipe mini --dry-run` prints"
                    .into(),
            ),
            Self::UnknownKey { nearest: Some(n), .. } => Some(format!("did you mean `{n}`?")),
            Self::UnknownKey { nearest: None, .. } => {
                Some("`--dry-run` prints every key there is with its value".into())
            }
            Self::NotATable { .. } => None,
            Self::UnknownRecipe { nearest: Some(n), .. } => Some(format!("did you mean `{n}`?")),
            Self::UnknownRecipe { nearest: None, .. } => {
                Some(format!("recipes are {}", super::RECIPES.map(|(name, _)| name).join(", ")))
            }
            Self::Missing { hint, .. } => Some((*hint).into()),
            Self::NotOfModel { flag, .. } => Some(format!("leave {flag} out")),
            Self::Step { hint, .. } => Some(hint.clone()),
            Self::BadSet { .. } => Some("for example --set optimizer.learning_rate=1e-3".into()),
            Self::BadDuration { .. } => Some("write 90s, 30m, 1.5h or 1h30m".into()),
            Self::OutOfRange { .. } | Self::UnknownValue { .. } => None,
            Self::Contradiction { .. } => Some("leave one of them out".into()),
            Self::ResumeDiffers { flag, .. } => {
                Some(format!("leave {flag} out to go on with the run, or begin a new one in another --out"))
            }
            Self::PictureEnding { .. } => Some("end it in .html, .svg, .png or .json".into()),
            Self::NoRun { .. } => Some("leave --resume out to begin a run there".into()),
        }
    }
}

/// A result of this module.
pub type Result<T> = std::result::Result<T, Error>;
