//! Token ids of the lines of standard input by the tokenizer of a model folder, one JSON list a line.
//!
//! `scripts/verify_transformers.py` compares them with the reference library's.

use polyseme_text::Tokenizer;
use std::io::BufRead;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: token_ids MODEL < texts.txt")?;
    let tokenizer = Tokenizer::open(folder.as_ref())?;
    for line in std::io::stdin().lock().lines() {
        println!("{:?}", tokenizer.encode(&line?, None, usize::MAX)?.ids);
    }
    Ok(())
}
