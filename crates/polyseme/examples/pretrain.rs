//! From raw text to an encoder.
//!
//! ```text
//! cargo run --release --example pretrain -- texts/ encoder        # for five minutes
//! cargo run --release --example pretrain -- texts/ encoder 3600   # for so many seconds
//! ```
//!
//! `texts/` may hold `.txt`, `.jsonl`, `.csv`, `.tsv` and `.parquet` files, plain or compressed. The
//! folder `encoder` is in the Hugging Face layout afterwards: `transformers` opens it as it is.

use polyseme::tensor::device;
use polyseme::train::observer::{Event, Observer, Stop};
use polyseme::train::pretrain::{Length, pretrain};

/// Libraries do not print: a run tells an observer what it does, and this one prints the loss.
struct Printer;

impl Observer for Printer {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Stage(name) => println!("{name} …"),
            Event::Step(row) => println!("step {:5}  loss {:.3}  {:.0} s", row.step, row.loss, row.seconds),
            Event::Warning(sentence) => println!("warning: {sentence}"),
            Event::Progress { .. } | Event::Note(_) => {}
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let (Some(corpus), Some(out)) = (words.next(), words.next()) else {
        return Err("usage: pretrain CORPUS OUT [SECONDS]".into());
    };
    let seconds = words.next().map_or(Ok(300.0), |s| s.parse())?;

    // A recipe is a complete plan; every value can be changed before the run, none after.
    let mut plan = polyseme::recipe("tiny")?;
    plan.corpus = vec![corpus.into()];
    plan.out = out.into();

    // By the clock: the learning rate falls to zero when the time is over. `Steps` and `Epochs` are
    // the other two ways to say when a run ends.
    plan.length = Length::Budget(seconds);

    // `polyseme::pretrain(&plan)` does the same in silence. `Stop` can be asked for from another
    // thread: the run then saves itself, and passing `true` for `resume` goes on with it.
    let outcome = pretrain(&plan, false, &device::parse("auto")?, &mut Printer, &Stop::default())?;

    // Knowing nothing but how frequent each word is gives the unigram entropy; below it, the
    // encoder has learned something about context.
    println!("loss on held-out text   {:.3} nats", outcome.valid_loss);
    println!("word frequencies alone  {:.3} nats", outcome.unigram_entropy);
    println!("the encoder is in       {}", outcome.model.display());
    Ok(())
}
