//! How a run tells what it does. Libraries do not print: they report events.

use polyseme_formats::run::StepRow;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Something worth telling.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// A stage begins: "train tokenizer", "build token store", "pre-train", …
    Stage(&'a str),
    /// Progress inside a stage: done of total, in the stage's own unit.
    Progress {
        /// How much is done.
        done: u64,
        /// Of how much.
        total: u64,
    },
    /// A row was logged.
    Step(&'a StepRow),
    /// A sentence for the user that is no warning.
    Note(&'a str),
    /// A sentence that the user should see.
    Warning(&'a str),
}

/// Receives events.
pub trait Observer {
    /// Called on the training thread.
    fn event(&mut self, event: Event<'_>);
}

/// Listens to nothing.
pub struct Silent;

impl Observer for Silent {
    fn event(&mut self, _event: Event<'_>) {}
}

/// Tells another what it is told, but each sentence once.
pub struct Once<'a> {
    inner: &'a mut dyn Observer,
    said: BTreeSet<String>,
}

impl<'a> Once<'a> {
    /// In front of another.
    pub fn new(inner: &'a mut dyn Observer) -> Self {
        Self { inner, said: BTreeSet::new() }
    }
}

impl Observer for Once<'_> {
    fn event(&mut self, event: Event<'_>) {
        if let Event::Note(sentence) | Event::Warning(sentence) = event
            && !self.said.insert(sentence.to_owned())
        {
            return;
        }
        self.inner.event(event);
    }
}

/// A request to stop at the next step, saving a checkpoint first (Ctrl-C).
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Asks for the stop.
    pub fn request(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
    /// Whether it was asked for.
    pub fn requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
