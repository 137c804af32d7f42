//! Errors as people see them: the cause chain, what to do, and the exit code.

use crate::commands::Interrupted;
use polyseme_formats::Fault;
use std::error::Error as StdError;
use std::io::ErrorKind;

/// How a command ended that did not end well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The reader of our output went away: that is fine.
    Fine,
    /// Ctrl-C; everything was said already.
    Interrupted,
    /// An error with its exit code.
    Failed(u8),
}

/// How an error ends the program.
pub fn ending(e: &anyhow::Error) -> Ending {
    if e.is::<Interrupted>() {
        return Ending::Interrupted;
    }
    if e.chain().any(broken_pipe) {
        return Ending::Fine;
    }
    match e.chain().find_map(|c| known(c).map(|(fault, _)| fault)) {
        Some(Fault::Input) => Ending::Failed(1),
        Some(Fault::System) | None => Ending::Failed(2),
    }
}

/// Prints `error:` with the chain of causes, then `hint:` lines, on stderr.
pub fn print_error(e: &anyhow::Error) {
    eprintln!("error: {}", spell(e));
}

/// The text of an error: message, causes, hints, a line each.
pub fn spell(e: &anyhow::Error) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut hints: Vec<String> = Vec::new();
    for cause in e.chain() {
        let message = cause.to_string().trim_end().to_owned();
        // A wrapper that repeats its cause says nothing new.
        if lines.last().is_none_or(|l| *l != message && !l.ends_with(&format!(": {message}"))) {
            lines.push(message);
        }
        if let Some((_, Some(hint))) = known(cause)
            && !hints.contains(&hint)
        {
            hints.push(hint);
        }
    }
    let mut text = lines.remove(0);
    for cause in lines {
        text += &format!("\n  cause: {}", cause.replace('\n', "\n    "));
    }
    for hint in hints {
        text += &format!("\nhint: {hint}");
    }
    text
}

/// Whose fault an error is and what to do, if it is one of ours.
fn known(e: &(dyn StdError + 'static)) -> Option<(Fault, Option<String>)> {
    macro_rules! ask {
        ($($error:ty),+ $(,)?) => {
            $(if let Some(e) = e.downcast_ref::<$error>() {
                return Some((e.fault(), e.hint()));
            })+
        };
    }
    ask!(
        crate::settings::Error,
        crate::tour::Error,
        polyseme_formats::Error,
        polyseme_text::Error,
        polyseme_models::Error,
        polyseme_infer::Error,
        polyseme_inspect::Error,
        polyseme_train::Error,
        polyseme_shrink::Error,
    );
    e.downcast_ref::<polyseme_tensor::Error>().map(|e| (Fault::Input, e.hint()))
}

fn broken_pipe(e: &(dyn StdError + 'static)) -> bool {
    let kind = match e.downcast_ref::<serde_json::Error>() {
        Some(e) => e.io_error_kind(),
        None => e.downcast_ref::<std::io::Error>().map(std::io::Error::kind),
    };
    kind == Some(ErrorKind::BrokenPipe)
}
