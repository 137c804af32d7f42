//! What every command is given: where to compute, how to talk, when to stop.

use crate::args::GlobalArgs;
use crate::render::progress::Progress;
use crate::report::Made;
use polyseme_infer::Encoder;
use polyseme_models::HeadKind;
use polyseme_tensor::Device;
use polyseme_train::Stop;
use serde::Serialize;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// What every command is given.
pub struct Context {
    /// One machine-readable result on stdout.
    pub json: bool,
    /// No progress and no notes.
    pub quiet: bool,
    /// Where to compute; records no gradients.
    pub device: Device,
    /// The device's name as it was asked for.
    pub device_name: String,
    /// Seed, if one was given.
    pub seed: Option<u64>,
    /// Set by the first Ctrl-C; the second ends the program at once.
    pub stop: Stop,
}

/// The command was stopped by Ctrl-C and has said what there was to say.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

impl Context {
    /// Sets threads, device and the Ctrl-C handler from the global flags.
    pub fn new(global: &GlobalArgs) -> anyhow::Result<Self> {
        if let Some(threads) = global.threads {
            polyseme_tensor::device::set_threads(threads.into());
        }
        let device = polyseme_tensor::device::parse(&global.device)?;
        let stop = Stop::default();
        catch_interrupt(stop.clone())?;
        let device_name = global.device.clone();
        Ok(Self { json: global.json, quiet: global.quiet, device, device_name, seed: global.seed, stop })
    }

    /// How this run is made, for its report.
    pub fn made(&self) -> Made {
        let words = std::env::args_os().skip(1).map(|w| quote(&w.to_string_lossy()));
        let command = std::iter::once("polyseme".to_owned()).chain(words).collect::<Vec<_>>().join(" ");
        Made { command, threads: polyseme_tensor::device::threads(), device: self.device_name.clone() }
    }

    /// Says where a report was written. A report is no reason for a run to fail: what went wrong is
    /// a warning.
    pub fn reported(&self, report: polyseme_formats::Result<PathBuf>) {
        match report {
            Ok(path) => self.note(&format!("report: {}", path.display())),
            Err(e) => self.warn(&format!("no report: {}", crate::render::errors::spell(&e.into()))),
        }
    }

    /// Shows the progress of a run on stderr: a bar on a terminal, plain lines elsewhere.
    pub fn progress(&self) -> Progress {
        Progress::new(self.quiet)
    }

    /// A sentence on stderr, unless `--quiet`.
    pub fn note(&self, sentence: &str) {
        if !self.quiet {
            eprintln!("{sentence}");
        }
    }

    /// A sentence on stderr that stands out, even with `--quiet`.
    pub fn warn(&self, sentence: &str) {
        eprintln!("warning: {sentence}");
    }

    /// Prints the result: as one line of JSON with `--json`, else the text.
    pub fn result(&self, json: &impl Serialize, text: &str) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        if self.json {
            serde_json::to_writer(&mut out, json)?;
            writeln!(out)?;
        } else {
            writeln!(out, "{}", text.trim_end())?;
        }
        Ok(())
    }

    /// Ends a command that was stopped: the result so far, what is saved, and how to go on.
    pub fn stopped(&self, so_far: &impl Serialize, said: &str, command: &str, out: &Path) -> anyhow::Result<()> {
        if self.json {
            self.result(so_far, "")?;
        }
        eprintln!("{said}");
        eprintln!("hint: go on with `polyseme {command} --out {} --resume`", out.display());
        Err(Interrupted.into())
    }

    /// Opens a model folder with whatever head it has.
    pub fn open(&self, model: &Path) -> anyhow::Result<Encoder> {
        Ok(Encoder::open_on(model, HeadKind::AsFound, &self.device)?)
    }

    /// Errors with [`Interrupted`] once Ctrl-C was pressed.
    pub fn check_stop(&self) -> anyhow::Result<()> {
        if self.stop.requested() { Err(Interrupted.into()) } else { Ok(()) }
    }
}

/// A word as a shell would want it.
fn quote(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./,:=+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

fn catch_interrupt(stop: Stop) -> anyhow::Result<()> {
    static PRESSED: AtomicBool = AtomicBool::new(false);
    ctrlc::set_handler(move || {
        if PRESSED.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
        eprintln!("\nstopping at the next safe point; Ctrl-C again ends at once");
        stop.request();
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::quote;

    #[test]
    fn words_are_quoted_where_a_shell_needs_it() {
        assert_eq!(quote("a/b.csv"), "a/b.csv");
        assert_eq!(quote("it's"), r"'it'\''s'");
        assert_eq!(quote(""), "''");
    }
}
