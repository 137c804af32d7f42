//! What a pre-trained encoder expects behind a mask.
//!
//! ```text
//! cargo run --release --example fill -- encoder 'The [MASK] sat on the mat.'
//! ```

use polyseme::Encoder;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let folder = words.next().ok_or("usage: fill MODEL [TEXT]")?;
    let encoder = Encoder::open(folder)?;

    // Each tokenizer has its own mask: `[MASK]` for BERT, `<mask>` for RoBERTa.
    let special = encoder.tokenizer.special();
    let mask = special.mask.and_then(|id| encoder.tokenizer.token(id)).ok_or("this tokenizer has no mask")?;
    let text = words.next().unwrap_or_else(|| format!("The {mask} sat on the mat and {mask} its milk."));

    // Each mask is filled by itself: the model looks at all the words around it at once, but it does
    // not see what it put behind the other masks.
    for (n, fill) in encoder.fill(&text, 5)?.iter().enumerate() {
        println!("mask {} (token {}):", n + 1, fill.position);
        for candidate in &fill.candidates {
            println!("  {:6.2} %  {}", 100.0 * candidate.score, candidate.token);
        }
    }
    Ok(())
}
