//! Texts from a file or standard input, a piece at a time, with progress.

use crate::commands::Context;
use crate::render::numbers::group;
use crate::render::progress::Progress;
use polyseme_text::table::{TextRow, TextRows};
use std::path::Path;
use std::time::Instant;

/// Rows worked on at a time; with [`PIECE_BYTES`] it bounds memory.
const PIECE_ROWS: usize = 2048;
/// Text worked on at a time; a single longer row is taken alone.
const PIECE_BYTES: usize = 8 << 20;
/// Rows read between two looks at the bytes.
const READ_ROWS: usize = 32;

/// Texts of a file or of standard input.
pub struct TextStream<'a> {
    rows: TextRows,
    progress: Progress,
    context: &'a Context,
    began: Instant,
    done: u64,
    truncated: u64,
}

impl<'a> TextStream<'a> {
    /// Opens `file`; `-` is standard input.
    pub fn open(
        file: &Path,
        text: Option<&str>,
        pair: Option<&str>,
        stage: &str,
        context: &'a Context,
    ) -> anyhow::Result<Self> {
        let file = (file != Path::new("-")).then_some(file);
        let rows = TextRows::open(file, text, pair)?;
        let mut progress = context.progress();
        progress.begin(stage);
        Ok(Self { rows, progress, context, began: Instant::now(), done: 0, truncated: 0 })
    }

    /// The next piece; `None` at the end. Errors on Ctrl-C, too.
    pub fn next_piece(&mut self) -> anyhow::Result<Option<Vec<TextRow>>> {
        self.context.check_stop()?;
        let mut piece: Vec<TextRow> = Vec::new();
        let mut bytes = 0;
        while piece.len() < PIECE_ROWS && bytes < PIECE_BYTES {
            let more = self.rows.next_batch(READ_ROWS)?;
            if more.is_empty() {
                break;
            }
            bytes += more.iter().map(|r| r.text.len() + r.pair.as_ref().map_or(0, String::len)).sum::<usize>();
            piece.extend(more);
        }
        Ok((!piece.is_empty()).then_some(piece))
    }

    /// Counts a piece that was written, of which `truncated` texts were cut.
    pub fn wrote(&mut self, rows: usize, truncated: usize) {
        self.done += rows as u64;
        self.truncated += truncated as u64;
        let (done, total) = self.rows.progress().unwrap_or((self.done, 0));
        self.progress.update(done, total);
        let rate = self.done as f64 / self.began.elapsed().as_secs_f64().max(1e-9);
        self.progress.say(&format!("{} texts, {}/s", group(self.done), group(rate as u64)));
    }

    /// Ends the progress; says what was odd in the input and what was cut.
    pub fn finish(mut self) -> Done {
        self.progress.finish();
        for warning in self.rows.warnings() {
            self.context.warn(&warning.to_string());
        }
        let (rows, truncated) = (self.done, self.truncated);
        if truncated > 0 {
            let of = group(rows);
            self.context
                .note(&format!("{} of {of} texts were longer than the longest input and were cut", group(truncated)));
        }
        Done { rows, truncated, seconds: self.began.elapsed().as_secs_f64() }
    }
}

/// What a stream came to.
#[derive(Clone, Copy, Debug)]
pub struct Done {
    /// Rows read and written.
    pub rows: u64,
    /// Of these, cut.
    pub truncated: u64,
    /// From opening to the end.
    pub seconds: f64,
}
