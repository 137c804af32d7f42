//! Pre-training end to end on a made-up language: resume, accumulation, budgets, errors.

mod common;

use common::{Listener, bytes, corpus, device, pretraining, story};
use polyseme_formats::Fault;
use polyseme_infer::Encoder;
use polyseme_models::Family;
use polyseme_tensor::Stream;
use polyseme_text::{CorpusReader, Document};
use polyseme_train::objective::mlm::{Lengths, Masker, Mlm, Said};
use polyseme_train::pretrain::{Length, MaskingSettings};
use polyseme_train::{
    Error, LanguageMetrics, PretrainOutcome, PretrainSettings, Result, Stop, evaluate_language, pretrain,
};
use std::path::Path;

fn run(settings: &PretrainSettings, resume: bool) -> Result<(PretrainOutcome, Listener)> {
    let mut listener = Listener::default();
    pretrain(settings, resume, &device(), &mut listener, &Stop::default()).map(|outcome| (outcome, listener))
}

fn stopped_after(settings: &PretrainSettings, steps: u64, resume: bool) -> PretrainOutcome {
    let stop = Stop::default();
    let mut listener = Listener::stopping(steps, &stop);
    pretrain(settings, resume, &device(), &mut listener, &stop).unwrap()
}

#[test]
fn twenty_steps_are_ten_and_ten_byte_for_byte() {
    let dir = tempfile::tempdir().unwrap();
    let corpus = corpus(dir.path(), 60);
    for (name, length) in [("steps", Length::Steps(20)), ("epochs", Length::Epochs(0.9))] {
        let whole = pretraining(corpus.clone(), dir.path().join(format!("{name}-whole")), length);
        let (done, listener) = run(&whole, false).unwrap();
        assert!(!done.interrupted && done.valid_loss.is_finite() && done.unigram_entropy > 1.0);
        assert_eq!(listener.stages, ["train tokenizer", "build token store", "pre-train"]);

        let parts = PretrainSettings { out: dir.path().join(format!("{name}-parts")), ..whole.clone() };
        let first = stopped_after(&parts, 10, false);
        assert!(first.interrupted && first.steps == 10, "{first:?}");
        assert!(!parts.out.join("model.safetensors").exists());
        let again = stopped_after(&parts, 3, true);
        assert_eq!(again.steps, 13);
        let (resumed, _) = run(&parts, true).unwrap();
        assert_eq!((resumed.steps, resumed.tokens), (done.steps, done.tokens));
        assert_eq!((resumed.valid_loss, resumed.valid_accuracy), (done.valid_loss, done.valid_accuracy));
        for file in ["model.safetensors", "config.json", "tokenizer.json"] {
            assert!(bytes(whole.out.join(file)) == bytes(parts.out.join(file)), "{name}: {file} differs");
        }
        assert_eq!(story(&whole.out), story(&parts.out));

        // A run that is done is not done again, and what a kill may have cost is written again.
        std::fs::remove_file(parts.out.join("model.safetensors")).unwrap();
        assert_eq!(run(&parts, true).unwrap().0.valid_loss, done.valid_loss);
        assert!(bytes(whole.out.join("model.safetensors")) == bytes(parts.out.join("model.safetensors")));
        assert_eq!(story(&whole.out), story(&parts.out));
    }
}

/// What a model says of texts, and the same from the objective, group by group of documents.
fn measured(folder: &Path, corpus: &Path, seed: u64) -> (LanguageMetrics, Said, usize) {
    let encoder = Encoder::open(folder).unwrap();
    let texts = CorpusReader::open(&[corpus.to_owned()], None).unwrap();
    let found = evaluate_language(&encoder, &texts, Some(20), seed, &mut Listener::default(), &Stop::default())
        .unwrap()
        .unwrap();
    let mut groups: Vec<Vec<Vec<u32>>> = vec![Vec::new()];
    let mut take = |document: Document| {
        let group = groups.last_mut().unwrap();
        group.push(encoder.tokenizer.encode_document(&document.text)?);
        if group.iter().map(Vec::len).sum::<usize>() >= 16_384 {
            groups.push(Vec::new());
        }
        Ok(())
    };
    texts.for_each(&mut take, &mut |_| true).unwrap();
    let masker = Masker::of(&encoder.tokenizer, MaskingSettings::default(), false).unwrap();
    let lengths = Lengths { sequence: 20, batch: 500, all: usize::MAX };
    let mut said = Said::default();
    for (i, group) in groups.iter().enumerate() {
        let (all, masks) = ((0..group.len()).collect::<Vec<_>>(), Stream::new(seed).named("eval mask"));
        said.and(&Mlm::new(group, &all, &masker, &lengths, masks.at(i as u64)).asked(&encoder.model));
    }
    (found, said, groups.len())
}

#[test]
fn a_language_model_is_measured_on_all_of_a_text() {
    let dir = tempfile::tempdir().unwrap();
    let small = corpus(dir.path(), 60);
    let settings = pretraining(small.clone(), dir.path().join("m"), Length::Steps(5));
    run(&settings, false).unwrap();
    std::fs::create_dir(dir.path().join("large")).unwrap();
    let large = corpus(&dir.path().join("large"), 400);
    for (texts, in_groups) in [(&small, false), (&large, true)] {
        let (found, said, groups) = measured(&settings.out, texts, 7);
        let means = said.means();
        assert_eq!((groups > 1, found.hidden), (in_groups, said.targets as u64));
        assert!((found.loss - means["loss"]).abs() < 1e-5 && (found.accuracy - means["accuracy"]).abs() < 1e-9);
        let share = found.hidden as f64 / found.tokens as f64;
        assert!((share - 0.15).abs() < 0.01, "{share}");
        assert!(found.documents > 50 && found.unigram_entropy > 1.0, "{found:?}");
    }
    let of = |seed| measured(&settings.out, &small, seed).0;
    assert_eq!(of(7), of(7));
    assert_ne!(of(7).loss, of(8).loss);

    let encoder = Encoder::open(&settings.out).unwrap();
    let texts = CorpusReader::open(&[small], None).unwrap();
    let stop = Stop::default();
    stop.request();
    assert_eq!(evaluate_language(&encoder, &texts, None, 0, &mut Listener::default(), &stop).unwrap(), None);
}

#[test]
fn the_order_of_parts_is_learned_too_and_goes_on_byte_for_byte() {
    let dir = tempfile::tempdir().unwrap();
    let corpus = corpus(dir.path(), 60);
    let mut whole = pretraining(corpus, dir.path().join("whole"), Length::Steps(16));
    whole.objective = "mlm+sop".into();
    whole.model.family = Family::Albert;
    whole.model.config.sharing.num_hidden_groups = 1;
    whole.model.config.embedding_size = 8;
    let (done, _) = run(&whole, false).unwrap();
    let accuracy = done.order_accuracy.expect("it was measured");
    assert!((0.0..=1.0).contains(&accuracy) && done.valid_loss.is_finite());
    let parts = PretrainSettings { out: dir.path().join("parts"), ..whole.clone() };
    assert_eq!(stopped_after(&parts, 7, false).steps, 7);
    run(&parts, true).unwrap();
    for file in ["model.safetensors", "config.json"] {
        assert!(bytes(whole.out.join(file)) == bytes(parts.out.join(file)), "{file} differs");
    }
    assert_eq!(story(&whole.out), story(&parts.out));
    let config = String::from_utf8(bytes(whole.out.join("config.json"))).unwrap();
    assert!(config.contains("AlbertForPreTraining"), "{config}");

    // On from there, and from a model that has no such head yet.
    let mut on = PretrainSettings { out: dir.path().join("on"), from: Some(whole.out.clone()), ..whole.clone() };
    on.length = Length::Steps(2);
    assert!(!run(&on, false).unwrap().1.said("made new"));
    let plain = PretrainSettings { objective: "mlm".into(), out: dir.path().join("plain"), ..whole.clone() };
    assert_eq!(run(&plain, false).unwrap().0.order_accuracy, None);
    let from_plain = PretrainSettings { out: dir.path().join("from-plain"), from: Some(plain.out), ..on };
    assert!(run(&from_plain, false).unwrap().1.said("made new"));

    let says = |change: &dyn Fn(&mut PretrainSettings), part: &str| {
        let mut settings = PretrainSettings { out: dir.path().join("none"), ..whole.clone() };
        change(&mut settings);
        let error = run(&settings, false).err().unwrap();
        assert!(error.to_string().contains(part) && error.fault() == Fault::Input, "{error}");
        assert!(!settings.out.exists());
    };
    says(&|s| s.model.family = Family::DistilBert, "mlm+sop for distilbert");
    says(&|s| s.model.config.type_vocab_size = 1, "at least 2, for two parts");
    says(&|s| s.data.short_seq_len = 10, "at least 16");
}

#[test]
fn another_seed_or_dropout_is_another_model() {
    let dir = tempfile::tempdir().unwrap();
    let corpus = corpus(dir.path(), 40);
    let base = pretraining(corpus, dir.path().join("a"), Length::Steps(3));
    let mut seed = PretrainSettings { out: dir.path().join("b"), seed: 12, ..base.clone() };
    seed.data.keep = 1;
    let mut dry = PretrainSettings { out: dir.path().join("c"), ..base.clone() };
    dry.model.config.hidden_dropout_prob = 0.0;
    dry.model.config.attention_probs_dropout_prob = 0.0;
    let same = PretrainSettings { out: dir.path().join("d"), ..base.clone() };
    let models = [&base, &seed, &dry, &same].map(|settings| {
        run(settings, false).unwrap();
        bytes(settings.out.join("model.safetensors"))
    });
    assert!(models[0] != models[1] && models[0] != models[2] && models[0] == models[3]);
}

/// The child of the next test: runs until it is killed.
#[test]
#[ignore = "run by another test, which kills it"]
fn child() {
    let Some(folder) = std::env::var_os("POLYSEME_TEST_CHILD") else { return };
    let folder = Path::new(&folder);
    let _ = run(&killed_settings(folder), folder.join("out/run/settings.toml").exists());
}

fn killed_settings(folder: &Path) -> PretrainSettings {
    let mut settings = pretraining(folder.join("corpus.jsonl"), folder.join("out"), Length::Steps(400));
    settings.data.save_every_steps = 5;
    settings
}

#[test]
fn killed_at_any_moment_and_resumed_ends_in_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    corpus(dir.path(), 60);
    let settings = killed_settings(dir.path());
    let whole = PretrainSettings { out: dir.path().join("whole"), ..settings.clone() };
    let (done, _) = run(&whole, false).unwrap();

    // Two anywhere at the beginning, the others in the loop, at various times after a checkpoint.
    common::kill_child(dir.path(), 20, || true);
    common::kill_child(dir.path(), 70, || true);
    let checkpoints = settings.out.join("run/checkpoints");
    for milliseconds in [0, 3, 11, 24] {
        let before = common::newest(&checkpoints);
        common::kill_child(dir.path(), milliseconds, || common::newest(&checkpoints) > before);
    }
    assert!(!settings.out.join("model.safetensors").exists(), "killed before the end");
    let begun = settings.out.join("run/settings.toml").exists();
    let (resumed, _) = run(&settings, begun).unwrap();
    assert_eq!((resumed.steps, resumed.tokens), (done.steps, done.tokens));
    assert!(bytes(whole.out.join("model.safetensors")) == bytes(settings.out.join("model.safetensors")));
    assert_eq!(story(&whole.out), story(&settings.out));
}

#[test]
fn accumulated_batches_give_the_gradient_of_the_mean_over_all_masked_tokens() {
    let dir = tempfile::tempdir().unwrap();
    let corpus = corpus(dir.path(), 60);
    let mut one = pretraining(corpus, dir.path().join("one"), Length::Steps(3));
    one.model.config.hidden_dropout_prob = 0.0;
    one.model.config.attention_probs_dropout_prob = 0.0;
    one.data.tokens_per_step = 300;
    one.data.tokens_per_batch = 10_000;
    one.optimizer.max_grad_norm = 0.0;
    let mut many = PretrainSettings { out: dir.path().join("many"), ..one.clone() };
    many.data.tokens_per_batch = 32;
    let rows = [&one, &many].map(|settings| {
        run(settings, false).unwrap();
        story(&settings.out)
    });
    for (a, b) in rows[0].iter().zip(&rows[1]) {
        assert!((a.loss - b.loss).abs() < 1e-5, "{} and {}", a.loss, b.loss);
        assert!((a.grad_norm / b.grad_norm - 1.0).abs() < 1e-4, "{} and {}", a.grad_norm, b.grad_norm);
    }
}

#[test]
fn it_learns_more_than_frequencies() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = pretraining(corpus(dir.path(), 300), dir.path().join("out"), Length::Steps(400));
    let config = &mut settings.model.config;
    (config.hidden_size, config.embedding_size, config.intermediate_size) = (64, 64, 128);
    (config.hidden_dropout_prob, config.attention_probs_dropout_prob) = (0.0, 0.0);
    config.initializer_range = 0.1;
    settings.tokenizer.vocab_size = 200;
    settings.masking.whole_word = false;
    (settings.data.tokens_per_step, settings.data.tokens_per_batch) = (300, 300);
    let (outcome, _) = run(&settings, false).unwrap();
    assert!(outcome.valid_loss < outcome.unigram_entropy - 0.3, "{outcome:?}");
    assert!(outcome.valid_accuracy > 0.28, "{outcome:?}");
}

#[test]
fn a_budget_is_kept_within_five_percent() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = pretraining(corpus(dir.path(), 60), dir.path().join("out"), Length::Budget(3.0));
    settings.data.save_every_seconds = 1.0;
    settings.data.valid_every = 50;
    let (outcome, listener) = run(&settings, false).unwrap();
    // Five percent, and a tenth of a second for a machine that does other things too.
    assert!((outcome.seconds - 3.0).abs() <= 0.25, "{} seconds", outcome.seconds);
    let last = listener.rows.last().unwrap();
    assert_eq!(last.step, outcome.steps);
    assert!(last.learning_rate < 0.02 * settings.optimizer.learning_rate, "{}", last.learning_rate);
    assert_eq!(last.valid.get("loss"), Some(&outcome.valid_loss));
    // The time before a stop counts: what is left is done, not the whole again.
    let parts = PretrainSettings { out: dir.path().join("parts"), ..settings.clone() };
    let first = stopped_after(&parts, outcome.steps / 20 + 1, false);
    assert!(first.interrupted);
    let (second, _) = run(&parts, true).unwrap();
    assert!((second.seconds - 3.0).abs() <= 0.25, "{} seconds", second.seconds);
}

#[test]
fn from_a_checkpoint_keeps_its_tokenizer_and_shape() {
    let dir = tempfile::tempdir().unwrap();
    let corpus = corpus(dir.path(), 60);
    let first = pretraining(corpus.clone(), dir.path().join("first"), Length::Steps(5));
    run(&first, false).unwrap();
    let mut second = pretraining(corpus, dir.path().join("second"), Length::Steps(2));
    second.from = Some(first.out.clone());
    second.tokenizer.vocab_size = 5_000;
    second.model.config.hidden_size = 64;
    let (_, listener) = run(&second, false).unwrap();
    assert!(!listener.stages.contains(&"train tokenizer".to_owned()));
    assert!(bytes(first.out.join("tokenizer.json")) == bytes(second.out.join("tokenizer.json")));
    let config = String::from_utf8(bytes(second.out.join("config.json"))).unwrap();
    assert!(config.contains("\"hidden_size\": 16"), "{config}");

    second.out = dir.path().join("third");
    second.data.seq_len = 64;
    let error = run(&second, false).unwrap_err();
    assert!(matches!(error, Error::TooLongForModel { found: 64, longest: 40, .. }), "{error}");
    assert!(!second.out.exists());
}

/// Every error that the settings and the corpus can cause, with a part of its message.
#[test]
fn errors_name_what_was_found_and_leave_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = corpus(dir.path(), 60);
    let good = pretraining(path.clone(), dir.path().join("out"), Length::Steps(2));
    type Change = fn(&mut PretrainSettings);
    let cases: [(Change, &str); 12] = [
        (|s| s.objective = "electra".into(), "no objective `electra`; there is: mlm"),
        (|s| s.corpus.clear(), "`corpus` is no file"),
        (|s| s.length = Length::Steps(0), "`length.steps` is 0"),
        (|s| s.length = Length::Budget(f64::NAN), "`length.budget` is NaN"),
        (|s| s.masking.probability = 1.5, "`masking.probability` is 1.5"),
        (|s| s.masking.replace_random = 0.3, "`masking.replace_mask + masking.replace_random` is 1.1"),
        (|s| s.data.seq_len = 64, "`data.seq_len` is 64, expected at most 40"),
        (|s| s.data.short_seq_len = 33, "`data.short_seq_len` is 33, expected 3 to 32"),
        (|s| s.data.tokens_per_batch = 31, "`data.tokens_per_batch` is 31"),
        (|s| s.optimizer.learning_rate = -1.0, "`optimizer.learning_rate` is -1"),
        (|s| s.optimizer.warmup = 2.0, "`optimizer.warmup` is 2"),
        (|s| s.seed = u64::MAX, "`seed` is 18446744073709551615"),
    ];
    for (change, part) in cases {
        let mut settings = good.clone();
        change(&mut settings);
        let error = run(&settings, false).err().unwrap_or_else(|| panic!("no error: {part}"));
        assert!(error.to_string().contains(part), "{error}");
        assert_eq!(error.fault(), Fault::Input);
        assert!(error.hint().is_some() && !settings.out.exists());
    }
    for (text, part) in [
        ("text\none document only", "1 document(s), expected at least 2"),
        ("text\ntwo\ndocuments", "expected at least 32"),
    ] {
        std::fs::write(dir.path().join("small.csv"), text).unwrap();
        let settings = PretrainSettings { corpus: vec![dir.path().join("small.csv")], ..good.clone() };
        let error = run(&settings, false).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
        assert!(!settings.out.exists(), "a failed beginning leaves nothing");
    }
}

#[test]
fn a_resume_with_other_settings_or_data_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = corpus(dir.path(), 60);
    let settings = pretraining(path.clone(), dir.path().join("out"), Length::Steps(6));
    stopped_after(&settings, 2, false);
    assert!(run(&settings, false).is_err(), "a run is there already");
    let mut other = settings.clone();
    other.optimizer.learning_rate = 0.1;
    let error = run(&other, true).unwrap_err();
    assert!(
        error.to_string().contains("optimizer.learning_rate = 0.005, now optimizer.learning_rate = 0.1"),
        "{error}"
    );
    std::fs::write(&path, format!("{}{{\"text\": \"and one more\"}}\n", std::fs::read_to_string(&path).unwrap()))
        .unwrap();
    assert!(matches!(run(&settings, true).unwrap_err(), Error::DataChanged { .. }));
}
