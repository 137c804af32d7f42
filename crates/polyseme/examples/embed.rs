//! One word, two sentences, two meanings: what a contextual encoder sees.
//!
//! ```text
//! cargo run --release --example embed -- encoder
//! ```
//!
//! Any folder of the BERT family in the Hugging Face layout will do, sentence encoders included.

use polyseme::{EmbedOptions, Encoder, TokenVectors};

const SENTENCES: [&str; 4] = [
    "She sat on the bank of the river and watched the boats.",
    "The fishermen slept on the bank until the water rose.",
    "He opened an account at the bank to save some money.",
    "The bank raised the interest on all its loans.",
];
const WORD: &str = "bank";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: embed MODEL")?;
    let encoder = Encoder::open(folder)?;
    let options = EmbedOptions::default();

    // One vector a word: the mean of the word's pieces, in the context of its sentence.
    let sentences = encoder.embed_tokens(&SENTENCES, &options)?;
    let banks: Vec<&[f32]> = sentences.iter().filter_map(|s| vector_of(s, WORD)).collect();

    println!("how alike `{WORD}` is in each two sentences (1 is the same):\n");
    for (i, a) in banks.iter().enumerate() {
        let row: Vec<String> = banks.iter().map(|b| format!("{:5.2}", cosine(a, b))).collect();
        println!("  {}   {}", row.join("  "), SENTENCES[i]);
    }

    // One vector a sentence, pooled and normalized as the model's own files say.
    let vectors = encoder.embed(&SENTENCES, &options)?;
    println!("\nhow alike the sentences themselves are:\n");
    for (i, a) in vectors.iter().enumerate() {
        let row: Vec<String> = vectors.iter().map(|b| format!("{:5.2}", cosine(a, b))).collect();
        println!("  {}   {}", row.join("  "), SENTENCES[i]);
    }
    Ok(())
}

/// The vector of the first word that reads `word`.
fn vector_of<'a>(sentence: &'a TokenVectors, word: &str) -> Option<&'a [f32]> {
    let at = sentence.words.iter().position(|w| w == word)?;
    Some(&sentence.vectors[at])
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}
