//! Progress on stderr: a bar with the time left on a terminal, a plain line now and then elsewhere.

use crate::render::numbers::{group, short};
use crate::settings::spell_duration;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use polyseme_formats::run::StepRow;
use polyseme_train::{Event, Observer};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Without a terminal, a line at most this often.
const PLAIN_EVERY: Duration = Duration::from_secs(10);

/// How long a shorter stage took is not worth a line.
const SHORT: Duration = Duration::from_secs(1);

/// Shows what a run does.
pub struct Progress {
    how: How,
    stage: Option<Stage>,
}

enum How {
    Quiet,
    Plain,
    Bar(ProgressBar),
}

struct Stage {
    name: String,
    began: Instant,
    last_line: Instant,
    done: u64,
    total: u64,
}

impl Progress {
    /// On stderr; with `quiet` only warnings are shown.
    pub fn new(quiet: bool) -> Self {
        let how = if quiet {
            How::Quiet
        } else if std::io::stderr().is_terminal() {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(8));
            How::Bar(bar)
        } else {
            How::Plain
        };
        Self { how, stage: None }
    }

    /// Begins a stage of a long run, ending the one before it.
    pub fn stage(&mut self, name: &str) {
        self.begin(name);
        if let How::Plain = self.how {
            eprintln!("{name} …");
        }
    }

    /// Begins the only stage of a command that may well be short: plain lines appear only when it is
    /// not.
    pub fn begin(&mut self, name: &str) {
        self.finish();
        let now = Instant::now();
        if let How::Bar(bar) = &self.how {
            bar.reset();
            bar.set_length(0);
            bar.set_style(style("{prefix}  {msg}"));
            bar.set_prefix(name.to_owned());
            bar.set_message("");
            bar.tick();
        }
        self.stage = Some(Stage { name: name.into(), began: now, last_line: now, done: 0, total: 0 });
    }

    /// How far the stage is; a `total` of 0 says that nobody knows how much there is.
    pub fn update(&mut self, done: u64, total: u64) {
        let Some(stage) = &mut self.stage else { return };
        if let How::Bar(bar) = &self.how {
            if total != stage.total {
                let known = "{prefix}  [{bar:24}] {percent:>3} %  {eta} left  {msg}";
                bar.set_style(style(if total > 0 { known } else { "{prefix}  {elapsed}  {msg}" }));
                bar.set_length(total);
            }
            bar.set_position(done);
        }
        (stage.done, stage.total) = (done, total);
        self.plain_line("");
    }

    /// A few words on what is going on, beside the bar.
    pub fn say(&mut self, words: &str) {
        if let How::Bar(bar) = &self.how {
            bar.set_message(words.to_owned());
        }
        self.plain_line(words);
    }

    /// A line that stays, unless `--quiet`.
    pub fn line(&self, line: &str) {
        match &self.how {
            How::Quiet => {}
            How::Plain => eprintln!("{line}"),
            How::Bar(bar) => bar.suspend(|| eprintln!("{line}")),
        }
    }

    /// A line that stays, whatever the flags say.
    pub fn warning(&self, line: &str) {
        match &self.how {
            How::Bar(bar) => bar.suspend(|| eprintln!("warning: {line}")),
            _ => eprintln!("warning: {line}"),
        }
    }

    /// Ends the last stage and says how long it took.
    pub fn finish(&mut self) {
        let Some(stage) = self.stage.take() else { return };
        if let How::Bar(bar) = &self.how {
            bar.finish_and_clear();
        }
        let took = stage.began.elapsed();
        if took > SHORT {
            self.line(&format!("{}: {}", stage.name, spell_duration(took.as_secs_f64())));
        }
    }

    fn plain_line(&mut self, words: &str) {
        let (How::Plain, Some(stage)) = (&self.how, &mut self.stage) else { return };
        if stage.last_line.elapsed() < PLAIN_EVERY {
            return;
        }
        stage.last_line = Instant::now();
        let left = time_left(stage.began.elapsed(), stage.done, stage.total);
        let share = (stage.done * 100).checked_div(stage.total).map(|p| format!("{p} %")).unwrap_or_default();
        let left = left.map(|s| format!("{} left", spell_duration(s))).unwrap_or_default();
        let parts = [share, left, words.to_owned()];
        let line = parts.into_iter().filter(|p| !p.is_empty()).collect::<Vec<_>>().join("  ");
        eprintln!("{}: {line}", stage.name);
    }
}

impl Drop for Progress {
    /// An error must not be printed into a half-drawn bar.
    fn drop(&mut self) {
        if let How::Bar(bar) = &self.how {
            bar.finish_and_clear();
        }
    }
}

impl Observer for Progress {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Stage(name) => self.stage(name),
            Event::Progress { done, total } => self.update(done, total),
            Event::Step(row) => self.step(row),
            Event::Note(note) => self.line(note),
            Event::Warning(warning) => self.warning(warning),
        }
    }
}

impl Progress {
    fn step(&mut self, row: &StepRow) {
        self.say(&format!(
            "step {}  loss {:.3}  lr {}  {} tokens/s",
            group(row.step),
            row.loss,
            short(row.learning_rate),
            group(row.tokens_per_second as u64)
        ));
        if !row.valid.is_empty() {
            let valid: Vec<String> = row.valid.iter().map(|(k, v)| format!("{k} {v:.4}")).collect();
            self.line(&format!("step {}: validation {}", group(row.step), valid.join("  ")));
        }
    }
}

/// Seconds left at the pace so far.
fn time_left(elapsed: Duration, done: u64, total: u64) -> Option<f64> {
    (done > 0 && total >= done).then(|| elapsed.as_secs_f64() * (total - done) as f64 / done as f64)
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("our own templates are right").progress_chars("━╸ ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_left_goes_by_the_pace_so_far() {
        let s = Duration::from_secs(30);
        assert_eq!(time_left(s, 25, 100), Some(90.0));
        assert_eq!(time_left(s, 0, 100), None);
        assert_eq!(time_left(s, 5, 0), None);
    }
}
