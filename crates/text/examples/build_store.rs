//! Trains a tokenizer, builds a token store and says what that took:
//! `cargo run --release -p polyseme-text --example build_store -- OUT CORPUS... [--kind word-piece]
//! [--vocab-size 8192] [--sample-bytes N] [--text COLUMN] [--lowercase]`.

use polyseme_text::train_tokenizer::{TokenizerKind, TokenizerTraining, train_tokenizer_with_report};
use polyseme_text::{CorpusReader, store_builder::build_store};
use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let mut how = TokenizerTraining {
        kind: TokenizerKind::WordPiece,
        vocab_size: 8192,
        lowercase: false,
        min_frequency: 2,
        max_length: 512,
        sample_bytes: 256 << 20,
    };
    let mut paths: Vec<PathBuf> = Vec::new();
    let mut text = None;
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} needs a value"));
        match arg.as_str() {
            "--kind" => how.kind = serde_json::from_value(serde_json::json!(value()?))?,
            "--vocab-size" => how.vocab_size = value()?.parse()?,
            "--sample-bytes" => how.sample_bytes = value()?.parse()?,
            "--text" => text = Some(value()?),
            "--lowercase" => how.lowercase = true,
            _ => paths.push(arg.into()),
        }
    }
    if paths.len() < 2 {
        return Err("usage: build_store OUT CORPUS...".into());
    }
    let out = paths.remove(0);
    let corpus = CorpusReader::open(&paths, text.as_deref())?;

    let start = Instant::now();
    let (tokenizer, report) = train_tokenizer_with_report(&corpus, &how, &mut |_| true)?;
    println!("tokenizer: {:.1} s, peak {} MB, {report:?}", start.elapsed().as_secs_f64(), peak_mb());
    tokenizer.save(&out)?;

    let start = Instant::now();
    let store = out.join("tokens.store");
    let report = build_store(&corpus, &tokenizer, &store, &mut |_| true)?;
    for warning in &report.warnings {
        println!("warning: {warning}");
    }
    let bytes = std::fs::metadata(&store)?.len();
    println!(
        "store: {:.1} s, reused {}, {:?}, {bytes} bytes, {:.4} bytes a token",
        start.elapsed().as_secs_f64(),
        report.reused,
        report.header,
        bytes as f64 / report.header.tokens as f64
    );
    println!("peak resident memory: {} MB", peak_mb());
    Ok(())
}

/// Highest resident memory of this process so far, from the kernel's account of it.
fn peak_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap_or("0");
    line.split_whitespace().next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0) / 1024
}
