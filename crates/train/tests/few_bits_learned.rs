//! Learning with the rounding of 8 bits: it ends in a folder of 8 bits that scores as was measured, and a run that was
//! stopped ends in the same bytes.

mod common;

use common::bench::Bench;
use common::{bytes, device, sentence};
use polyseme_infer::Encoder;
use polyseme_train::metrics::Metrics;
use polyseme_train::observer::Silent;
use polyseme_train::{FinetuneSettings, Stop, finetune};
use std::fmt::Write as _;

fn rows(from: u64, n: u64) -> String {
    (from..from + n).fold("text,label\n".to_owned(), |mut text, i| {
        _ = writeln!(text, "{},{}", sentence((i % 2) as usize, 900_000 + i), ["thing", "animal"][(i % 2) as usize]);
        text
    })
}

fn settings(bench: &Bench) -> FinetuneSettings {
    let (train, valid) = (bench.file("train.csv", &rows(0, 120)), bench.file("valid.csv", &rows(5_000, 30)));
    FinetuneSettings { quantize: "int8".into(), ..bench.settings("classify", &train, &valid) }
}

#[test]
fn a_model_that_learns_with_rounding_ends_in_eight_bits() {
    let bench = Bench::new();
    let settings = settings(&bench);
    let outcome = bench.learns(&settings);
    let Metrics::Classify(found) = &outcome.results[0].valid else { panic!("{outcome:?}") };
    assert!(found.accuracy > 0.85, "{found:?}");
    let encoder = Encoder::open(&settings.out).unwrap();
    assert!(encoder.model.is_quantized());
    let config = String::from_utf8(bytes(settings.out.join("config.json"))).unwrap();
    assert!(config.contains("compressed-tensors") && config.contains("int-quantized"), "{config}");
    let text = String::from_utf8(bytes(settings.out.join("run/settings.toml"))).unwrap();
    assert!(text.contains("quantize = \"int8\""), "{text}");
}

#[test]
fn what_would_contradict_it_is_refused() {
    let bench = Bench::new();
    let refused = |change: &dyn Fn(&mut FinetuneSettings), word: &str| {
        let mut settings = settings(&bench);
        change(&mut settings);
        let error = finetune(&settings, false, &device(), &mut Silent, &Stop::default()).expect_err(word);
        assert!(error.to_string().contains(word), "{error}");
        assert!(!settings.out.exists(), "{word}");
    };
    refused(&|s| s.quantize = "int3".into(), "`int8`");
    refused(&|s| s.lora.rank = 4, "lora.rank");
    refused(&|s| s.adapter_size = 4, "adapter_size");
    refused(&|s| s.freeze = polyseme_train::finetune::Freeze::Encoder, "freeze");
}
