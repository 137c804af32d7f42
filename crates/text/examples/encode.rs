//! Encodes `[text, pair or null]` lines of standard input with the tokenizer of a folder and writes
//! ids, type ids, byte offsets and words as JSON lines, for comparison with other programs:
//! `cargo run --release -p polyseme-text --example encode -- FOLDER MAX_LEN [SAVE_TO]`.

use polyseme_text::Tokenizer;
use std::error::Error;
use std::io::BufRead;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().collect();
    let [_, folder, max_len, rest @ ..] = args.as_slice() else {
        return Err("usage: encode FOLDER MAX_LEN [SAVE_TO]".into());
    };
    let tokenizer = Tokenizer::open(Path::new(folder))?;
    if let Some(save_to) = rest.first() {
        tokenizer.save(Path::new(save_to))?;
    }
    for line in std::io::stdin().lock().lines() {
        let (text, pair): (String, Option<String>) = serde_json::from_str(&line?)?;
        let e = tokenizer.encode(&text, pair.as_deref(), max_len.parse()?)?;
        let offsets: Vec<[usize; 2]> = e.offsets.iter().map(|r| [r.start, r.end]).collect();
        let decoded = tokenizer.decode(&e.ids, true)?;
        let row = serde_json::json!({
            "ids": e.ids, "type_ids": e.type_ids, "offsets": offsets, "words": e.words, "decoded": decoded,
        });
        println!("{row}");
    }
    Ok(())
}
