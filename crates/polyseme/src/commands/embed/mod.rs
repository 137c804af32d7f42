//! `polyseme embed`: texts as vectors, streamed in bounded memory, in order.

mod folder;
mod jsonl;
mod npy;
mod parquet;

use crate::args::{EmbedArgs, PoolingArg};
use crate::commands::Context;
use crate::commands::stream::{Done, TextStream};
use crate::render::numbers::group;
use crate::settings::{Error, spell_duration};
use polyseme_formats::folder::Pooling;
use polyseme_infer::{EmbedOptions, Encoder, TokenVectors};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Takes vectors piece by piece; nothing stands under the final name until `finish`.
trait Sink {
    /// One vector a text.
    fn texts(&mut self, texts: &[&str], vectors: &[Vec<f32>]) -> anyhow::Result<()>;
    /// One vector a word.
    fn words(&mut self, texts: &[&str], words: &[TokenVectors]) -> anyhow::Result<()>;
    /// Makes the file whole.
    fn finish(self: Box<Self>) -> anyhow::Result<()>;
}

/// What `--json` says when the vectors went to a file.
#[derive(Serialize)]
struct Embedded {
    out: PathBuf,
    texts: u64,
    dimensions: usize,
    truncated: u64,
    seconds: f64,
}

/// Streams texts through the encoder.
pub fn run(args: &EmbedArgs, context: &Context) -> anyhow::Result<()> {
    let encoder = context.open(&args.model)?;
    let width = encoder.model.config().hidden_size;
    let options = options(args);
    encoder.encode_to_embed(&[], &options)?; // what cannot be is said before a file is begun
    let mut stream = TextStream::open(&args.file, args.text.as_deref(), None, "embed", context)?;
    let mut sink = open_sink(args, width, &options)?;
    while let Some(rows) = stream.next_piece()? {
        let texts: Vec<&str> = rows.iter().map(|r| r.text.as_str()).collect();
        let truncated = embed(&encoder, &texts, args.tokens, &options, sink.as_mut())?;
        stream.wrote(rows.len(), truncated);
    }
    sink.finish()?;
    let done = stream.finish();
    match &args.out {
        Some(out) => say(out, width, done, context),
        None => Ok(()),
    }
}

/// Embeds one piece; returns how many texts were cut.
fn embed(
    encoder: &Encoder,
    texts: &[&str],
    tokens: bool,
    options: &EmbedOptions,
    sink: &mut dyn Sink,
) -> anyhow::Result<usize> {
    let encodings = encoder.encode_to_embed(texts, options)?;
    if tokens {
        sink.words(texts, &encoder.embed_tokens_encoded(texts, &encodings, options)?)?;
    } else {
        sink.texts(texts, &encoder.embed_encoded(&encodings, options)?)?;
    }
    Ok(encodings.iter().filter(|e| e.truncated > 0).count())
}

fn options(args: &EmbedArgs) -> EmbedOptions {
    let pooling = match args.pooling {
        PoolingArg::Auto => None,
        PoolingArg::Mean => Some(Pooling::Mean),
        PoolingArg::Cls => Some(Pooling::Cls),
        PoolingArg::Max => Some(Pooling::Max),
    };
    EmbedOptions { pooling, normalize: args.normalize, layer: args.layer, max_length: args.max_length }
}

fn open_sink(args: &EmbedArgs, width: usize, options: &EmbedOptions) -> anyhow::Result<Box<dyn Sink>> {
    let Some(out) = &args.out else { return Ok(Box::new(jsonl::JsonLines::stdout())) };
    let extension = out.extension().map(|e| e.to_string_lossy().to_lowercase());
    if args.approximate && extension.is_some() {
        return Err(Error::Contradiction {
            first: "--approximate".into(),
            second: format!("--out {}", out.display()),
            why: "only a folder to search in has a graph; name one without an ending".into(),
        }
        .into());
    }
    Ok(match extension.as_deref() {
        Some("npy") if args.tokens => {
            return Err(Error::Contradiction {
                first: "--tokens".into(),
                second: format!("--out {}", out.display()),
                why: "texts have different numbers of words, an .npy file has one shape; write .jsonl or .parquet"
                    .into(),
            }
            .into());
        }
        Some("npy") => Box::new(npy::Npy::create(out, width)?),
        Some("jsonl") => Box::new(jsonl::JsonLines::create(out)?),
        Some("parquet") => Box::new(parquet::Parquet::create(out, args.tokens)?),
        None => Box::new(folder::Folder::create(out, args, width, options)?),
        _ => {
            return Err(Error::UnknownValue {
                what: "kind of file",
                found: out.display().to_string(),
                expected: "named .npy, .parquet or .jsonl, or without an ending a folder to search in".into(),
            }
            .into());
        }
    })
}

fn say(out: &Path, dimensions: usize, done: Done, context: &Context) -> anyhow::Result<()> {
    let Done { rows: texts, truncated, seconds } = done;
    let text = format!(
        "{}: {} texts × {dimensions} dimensions in {} ({} texts/s)",
        out.display(),
        group(texts),
        spell_duration(seconds),
        group((texts as f64 / seconds.max(1e-9)) as u64)
    );
    context.result(&Embedded { out: out.into(), texts, dimensions, truncated, seconds }, &text)
}
