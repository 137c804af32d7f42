//! Vectors as JSON lines, on stdout or in a file.

use super::Sink;
use polyseme_formats::atomic::Pending;
use polyseme_infer::TokenVectors;
use serde::Serialize;
use std::io::{BufWriter, Stdout, Write};
use std::path::Path;

/// One JSON object a text.
pub struct JsonLines {
    to: To,
    line: Vec<u8>,
}

enum To {
    Stdout(BufWriter<Stdout>),
    File(Pending),
}

#[derive(Serialize)]
struct TextLine<'a> {
    text: &'a str,
    embedding: &'a [f32],
}

#[derive(Serialize)]
struct WordsLine<'a> {
    text: &'a str,
    words: &'a [String],
    /// Byte ranges in the text.
    ranges: Vec<[usize; 2]>,
    embeddings: &'a [Vec<f32>],
}

impl JsonLines {
    /// To standard output.
    pub fn stdout() -> Self {
        Self { to: To::Stdout(BufWriter::new(std::io::stdout())), line: Vec::new() }
    }

    /// To a file.
    pub fn create(path: &Path) -> anyhow::Result<Self> {
        Ok(Self { to: To::File(Pending::create(path)?), line: Vec::new() })
    }

    fn push(&mut self, value: &impl Serialize) -> anyhow::Result<()> {
        serde_json::to_writer(&mut self.line, value)?;
        self.line.push(b'\n');
        Ok(())
    }

    /// Writes what was pushed.
    fn flush(&mut self) -> anyhow::Result<()> {
        match &mut self.to {
            To::Stdout(out) => {
                out.write_all(&self.line)?;
                out.flush()?;
            }
            To::File(file) => {
                let written = file.file_mut().write_all(&self.line);
                written.map_err(|e| polyseme_formats::Error::io("write", file.path(), e))?;
            }
        }
        self.line.clear();
        Ok(())
    }
}

impl Sink for JsonLines {
    fn texts(&mut self, texts: &[&str], vectors: &[Vec<f32>]) -> anyhow::Result<()> {
        for (text, embedding) in texts.iter().zip(vectors) {
            self.push(&TextLine { text, embedding })?;
        }
        self.flush()
    }

    fn words(&mut self, texts: &[&str], words: &[TokenVectors]) -> anyhow::Result<()> {
        for (text, w) in texts.iter().zip(words) {
            let ranges = w.ranges.iter().map(|r| [r.start, r.end]).collect();
            self.push(&WordsLine { text, words: &w.words, ranges, embeddings: &w.vectors })?;
        }
        self.flush()
    }

    fn finish(self: Box<Self>) -> anyhow::Result<()> {
        match self.to {
            To::Stdout(mut out) => out.flush()?,
            To::File(file) => file.commit()?,
        }
        Ok(())
    }
}
