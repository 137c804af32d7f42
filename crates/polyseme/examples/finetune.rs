//! From an encoder and labelled rows to a classifier.
//!
//! ```text
//! cargo run --release --example finetune -- encoder train.csv classifier
//! ```
//!
//! `train.csv` has a header with a column `text` and a column `label`; labels may be words or numbers.

use polyseme::Encoder;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let (Some(model), Some(train), Some(out)) = (words.next(), words.next(), words.next()) else {
        return Err("usage: finetune MODEL TRAIN OUT".into());
    };

    // Sensible settings for everything that is not named here. Without a file of its own for
    // validation, a tenth of the rows is kept apart for it.
    let mut plan = polyseme::finetuning(&model, &train, &out);
    plan.metric = "macro_f1".into();

    // With few labels, chance is a large part of any result: three runs, and the median one stays.
    plan.seeds = 3;
    let outcome = polyseme::finetune(&plan)?;

    for run in &outcome.results {
        println!(
            "seed {}: best epoch {}, macro F1 {:.3}",
            run.seed,
            run.epoch,
            run.valid.get("macro_f1").unwrap_or(f64::NAN)
        );
    }
    let (low, high) = outcome.spread;
    println!("median {:.3}, from {low:.3} to {high:.3}", outcome.median);

    // What was written is a model folder like any other.
    let classifier = Encoder::open(&out)?;
    println!("labels: {}", classifier.labels()?.join(", "));
    for text in ["a text of your own", "another one"] {
        let answer = &classifier.predict(&[(text.into(), None)])?[0];
        println!("{:5.1} %  {}  {text:?}", 100.0 * answer.score, answer.label);
    }
    Ok(())
}
