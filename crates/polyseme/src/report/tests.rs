//! What every report must be: balanced, escaped, alone, small, and unmoved by empty or broken numbers.

use super::*;
use crate::tour::outcome::{ArmOutcome, CorpusFacts, Near, Sense, TaskOutcome, TourOutcome, WordSenses};
use polyseme_models::{Activation, EncoderConfig, Family};
use polyseme_text::train_tokenizer::TokenizerKind;
use polyseme_train::finetune::{CrossValidation, Freeze, SeedResult};
use polyseme_train::metrics::{ClassifyMetrics, Metrics, RegressMetrics};
use polyseme_train::pretrain::{
    DataSettings, Length, MaskingSettings, ModelSettings, OptimizerSettings, TokenizerSettings,
};
use polyseme_train::schedule::Schedule;

pub(super) const EVIL: &str = "</script><script>alert('x')</script>\"&<b>";

/// Walks all tags: each that opens closes, in order; attribute values are quoted; no script.
pub(super) fn check(page: &str) {
    const VOID: [&str; 3] = ["meta", "!doctype", "br"];
    let style_end = page.find("</style>").expect("a style");
    let body = &page[style_end..];
    assert!(!page[..style_end].contains("url("), "the style asks for a file");
    let mut open: Vec<String> = Vec::new();
    let mut rest = page.split_once("<style>").map(|(head, _)| head.to_owned() + "<style>" + body).expect("a style");
    while let Some(at) = rest.find('<') {
        let end = at + rest[at..].find('>').expect("a tag ends");
        let tag = rest[at + 1..end].to_owned();
        assert!(!tag.contains('<'), "a bare < in {tag}");
        let closing = tag.strip_prefix('/');
        let name: String = closing.unwrap_or(&tag).split([' ', '/']).next().unwrap_or_default().to_owned();
        assert_ne!(name, "script");
        let attributes: String = tag.split('"').step_by(2).collect();
        assert!([" on", "href", "src"].iter().all(|a| !attributes.contains(a)), "{tag}");
        assert_eq!(tag.matches('"').count() % 2, 0, "quotes in {tag}");
        if closing.is_some() {
            assert_eq!(open.pop().as_deref(), Some(name.as_str()), "closing order near {tag}");
        } else if !tag.ends_with('/') && !VOID.contains(&name.as_str()) {
            open.push(name);
        }
        rest.drain(..=end);
    }
    assert!(open.is_empty(), "left open: {open:?}");
    let numbers_gone_wrong = ["NaN", "inf,", ",inf", "\"inf", "\"-inf", "NaN,"];
    let drawings = page.split("<svg").skip(1).map(|s| s.split("</svg>").next().unwrap_or_default());
    for drawing in drawings {
        assert!(numbers_gone_wrong.iter().all(|bad| !drawing.contains(bad)), "a number that is none in {drawing}");
    }
}

pub(super) fn made() -> Made {
    Made { command: format!("polyseme pretrain {EVIL}"), threads: 2, device: "cpu".into() }
}

fn rows(n: u64) -> Vec<StepRow> {
    (1..=n)
        .map(|step| {
            let x = step as f64 / n as f64;
            let wobble = ((step * 2_654_435_761) % 1000) as f64 / 1000.0 - 0.5;
            let loss = 5.2 + 3.6 * (-6.0 * x).exp() + 0.35 * wobble;
            let mut row = StepRow {
                step,
                tokens: step * 1024,
                loss,
                learning_rate: 2e-3 * (x / 0.06).min(1.0) * (1.0 - x),
                grad_norm: 1.2 + 4.0 * (-9.0 * x).exp() + 0.6 * wobble,
                tokens_per_second: 6800.0 + 500.0 * wobble,
                seconds: 180.0 * x,
                ..StepRow::default()
            };
            if step % n.div_ceil(8) == 0 || step == n {
                row.valid.insert("loss".into(), 5.1 + 3.2 * (-6.0 * x).exp());
                row.valid.insert("accuracy".into(), 0.24 * x);
            }
            row
        })
        .collect()
}

fn optimizer() -> OptimizerSettings {
    OptimizerSettings {
        learning_rate: 2e-3,
        embeddings_rate: 1.0,
        head_rate: 1.0,
        layer_decay: 1.0,
        beta1: 0.9,
        beta2: 0.98,
        epsilon: 1e-6,
        weight_decay: 0.01,
        max_grad_norm: 1.0,
        schedule: Schedule::Linear,
        warmup: 0.06,
        bf16: false,
    }
}

fn config() -> EncoderConfig {
    EncoderConfig {
        vocab_size: 4096,
        hidden_size: 128,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        intermediate_size: 512,
        hidden_act: Activation::Gelu,
        max_position_embeddings: 128,
        position_offset: 0,
        type_vocab_size: 2,
        embedding_size: 128,
        layer_norm_eps: 1e-12,
        hidden_dropout_prob: 0.0,
        attention_probs_dropout_prob: 0.0,
        classifier_dropout: 0.1,
        initializer_range: 0.02,
        pad_token_id: 0,
        tie_word_embeddings: true,
        variant: Default::default(),
        layer_sizes: Vec::new(),
        sharing: Default::default(),
    }
}

fn pretrain_settings() -> PretrainSettings {
    PretrainSettings {
        distil: Default::default(),
        corpus: vec![PathBuf::from(format!("texts{EVIL}.txt"))],
        text_column: None,
        out: "out".into(),
        from: None,
        seed: 1,
        length: Length::Budget(180.0),
        objective: "mlm".into(),
        model: ModelSettings { family: Family::Bert, embeddings: Default::default(), config: config() },
        tokenizer: TokenizerSettings {
            kind: TokenizerKind::WordPiece,
            vocab_size: 4096,
            lowercase: true,
            min_frequency: 2,
            sample_bytes: 1 << 28,
        },
        masking: MaskingSettings { probability: 0.15, replace_mask: 0.8, replace_random: 0.1, whole_word: false },
        document: Default::default(),
        optimizer: optimizer(),
        data: DataSettings {
            seq_len: 128,
            short_share: 0.9,
            short_seq_len: 64,
            tokens_per_step: 1024,
            tokens_per_batch: 4096,
            valid_share: 0.01,
            valid_documents: 500,
            valid_every: 200,
            gradient_checkpointing: false,
            save_every_seconds: 60.0,
            save_every_steps: 0,
            keep: 1,
            log_every: 1,
        },
    }
}

fn pretrain_outcome() -> PretrainOutcome {
    PretrainOutcome {
        model: "out".into(),
        steps: 1200,
        tokens: 1_228_800,
        seconds: 181.2,
        valid_loss: 5.18,
        valid_accuracy: 0.214,
        order_accuracy: None,
        unigram_entropy: 6.41,
        interrupted: false,
    }
}

fn metrics(classes: usize) -> ClassifyMetrics {
    let labels: Vec<String> =
        (0..classes).map(|i| if i == 0 { EVIL.to_owned() } else { format!("label-{i}") }).collect();
    let truth: Vec<usize> = (0..classes * 20).map(|i| i % classes).collect();
    let answer = |(i, t): (usize, &usize)| if (i * 7 + t * 5) % 11 < 7 { *t } else { (t + i * 3 / 7) % classes };
    let predicted: Vec<usize> = truth.iter().enumerate().map(answer).collect();
    ClassifyMetrics::new(&labels, &truth, &predicted, 1.3)
}

pub(super) fn finetune_settings() -> FinetuneSettings {
    FinetuneSettings {
        model: format!("encoder{EVIL}").into(),
        from_scratch: false,
        task: "classify".into(),
        train: "train.csv".into(),
        valid: Some("valid.csv".into()),
        out: "out".into(),
        text: None,
        pair: None,
        label: None,
        choices: Vec::new(),
        label_separator: ",".into(),
        stride: 128,
        max_new_tokens: 48,
        class_weights: "none".into(),
        label_smoothing: 0.0,
        similarity_loss: "cosine".into(),
        freeze: Freeze::Nothing,
        lora: Default::default(),
        adapter_size: 0,
        prefix_length: 0,
        mix_layers: false,
        probe_first: true,
        epochs: 10,
        patience: 0,
        metric: "accuracy".into(),
        batch_size: 16,
        max_length: 64,
        gradient_checkpointing: false,
        quantize: "none".into(),
        save_every_seconds: 300.0,
        save_every_steps: 0,
        optimizer: optimizer(),
        seed: 1,
        seeds: 5,
        ..FinetuneSettings::classify("model", "train.csv", "out")
    }
}

pub(super) fn finetune_outcome() -> FinetuneOutcome {
    let results = (1..=5)
        .map(|seed| {
            let mut valid = metrics(20);
            valid.accuracy = 0.58 + 0.01 * (seed * 3 % 5) as f64;
            SeedResult { seed, fold: None, epoch: 6 + seed % 3, valid: Metrics::Classify(valid) }
        })
        .collect();
    let learning_rate = 3e-4;
    FinetuneOutcome {
        model: "out".into(),
        learning_rate,
        results,
        chosen: 4,
        median: 0.6,
        spread: (0.58, 0.62),
        cross_validation: None,
        zeros: None,
        interrupted: false,
    }
}

fn tour_outcome() -> TourOutcome {
    let near = |word: &str, s: f32| Near {
        word: word.into(),
        similarity: s,
        context: format!("some {word} in its own sentence {EVIL}"),
    };
    let sense = |before: &str, after: &str, source: &str| Sense {
        before: before.into(),
        word: "key".into(),
        after: after.into(),
        source: source.into(),
        nearest: vec![
            near("secret", 0.71),
            near("value", 0.66),
            near("entry", 0.61),
            near("nonce", 0.58),
            near("hash", 0.55),
        ],
    };
    let seeds = |base: f64| (1..=5u64).map(|s| (s, base + 0.012 * (s * 2 % 5) as f64, base)).collect::<Vec<_>>();
    let tried = vec![(1e-3, 0.4), (3e-3, 0.44), (5e-3, 0.43)];
    TourOutcome {
        model: "tour/model".into(),
        report: "tour/report.html".into(),
        corpus: CorpusFacts {
            source: format!("documentation {EVIL}"),
            unit: "crate".into(),
            parts: 412,
            absent: 97,
            documents: 61_234,
            bytes: 21_400_000,
            duplicates: 3210,
        },
        pretrain: pretrain_outcome(),
        pretrain_settings: pretrain_settings(),
        task: Ok(TaskOutcome {
            question: "Which crate does this documentation belong to?".into(),
            labels: metrics(20).labels,
            rows: (400, 400, 1000),
            examples: vec![(EVIL.repeat(20), EVIL.into())],
            arms: vec![
                ArmOutcome::new("pre-trained", tried.clone(), 3e-3, seeds(0.52)),
                ArmOutcome::new("from scratch", tried, 1e-3, seeds(0.31)),
            ],
            metrics: metrics(20),
        }),
        senses: vec![WordSenses {
            word: "key".into(),
            similarity: 0.31,
            senses: vec![
                sense("encrypts the message with a private ", " that only the receiver", "ring"),
                sense("looks up the entry under this ", " in the map and", EVIL),
            ],
        }],
        stages: vec![("read".into(), 3.2), ("pre-train".into(), 181.0), (EVIL.into(), 120.4)],
        seconds: 362.0,
    }
}

/// Writes a page where `POLYSEME_SHOW_REPORTS` points to, for one's own eyes.
pub(super) fn show(name: &str, page: &str) {
    if let Some(folder) = std::env::var_os("POLYSEME_SHOW_REPORTS") {
        std::fs::write(PathBuf::from(folder).join(name), page).expect("the folder can be written");
    }
}

#[test]
fn pretrain_page() {
    let page = pretrain(&rows(1200), &pretrain_settings(), &pretrain_outcome(), &made());
    check(&page);
    show("pretrain.html", &page);
    for needed in ["1.2M", "5.18", "role=\"img\"", "<details>", "settings.toml", "validation", "frequencies 6.41"] {
        assert!(page.contains(needed), "{needed}");
    }
}

#[test]
fn finetune_page() {
    let page = finetune(&rows(300), &finetune_settings(), &finetune_outcome(), None, &made());
    check(&page);
    show("finetune.html", &page);
    assert_eq!(page.matches("class=\"dot").count(), 5);
    assert!(page.contains("Precision") && page.contains("Confusion matrix") && page.contains("4 (kept)"));
}

#[test]
fn finetune_page_of_folds() {
    let mut settings = finetune_settings();
    (settings.seeds, settings.folds, settings.valid) = (1, 5, None);
    let mut outcome = finetune_outcome();
    outcome.results.iter_mut().zip(1..).for_each(|(result, fold)| (result.seed, result.fold) = (1, Some(fold)));
    let Metrics::Classify(stuck) = &mut outcome.results[1].valid else { panic!("classes") };
    stuck
        .confusion
        .iter_mut()
        .for_each(|row| *row = (0..row.len()).map(|c| u64::from(c == 0) * row.iter().sum::<u64>()).collect());
    let (mean, deviation, note) = (0.604, 0.0158, "the model learned from all rows".into());
    outcome.cross_validation = Some(CrossValidation { folds: 5, mean, deviation, epochs: 7, note });
    let page = finetune(&rows(300), &settings, &outcome, None, &made());
    check(&page);
    show("finetune-folds.html", &page);
    for part in ["learned from all rows, for 7 epochs", "60.4", "Fold", "the one in the middle", "epochs on all rows"] {
        assert!(page.contains(part), "{part}");
    }
    assert_eq!(page.matches("(stuck)").count(), 1);
    assert!(page.contains("2 (stuck)"));
    assert!(!page.contains("seed 1,") && !page.contains("of the validation rows rightly"));
}

#[test]
fn finetune_page_of_numbers() {
    let mut settings = finetune_settings();
    (settings.task, settings.metric) = ("regress".into(), "spearman".into());
    let mut outcome = finetune_outcome();
    let truth: Vec<f32> = (0..50).map(|i| i as f32 / 10.0).collect();
    for result in &mut outcome.results {
        let off = result.seed as f32;
        let predicted: Vec<f32> = truth.iter().enumerate().map(|(i, t)| t + off * (i % 3) as f32 / 9.0).collect();
        result.valid = Metrics::Regress(RegressMetrics::new(&truth, &predicted));
    }
    let mut rows = rows(300);
    for row in &mut rows {
        let measured = row.valid.remove("accuracy");
        row.valid.extend(measured.map(|value| ("spearman".to_owned(), value)));
    }
    let page = finetune(&rows, &settings, &outcome, None, &made());
    check(&page);
    show("finetune-numbers.html", &page);
    for needed in ["A number for each text", "Spearman", "RMSE", "correlation", "always giving their mean", "4 (kept)"]
    {
        assert!(page.contains(needed), "{needed}");
    }
    assert!(!page.contains("Confusion"));
}

#[test]
fn tour_page() {
    let page = tour(&rows(1200), &tour_outcome(), &made());
    check(&page);
    show("tour.html", &page);
    assert_eq!(page.matches("class=\"dot").count(), 10);
    assert!(page.contains("<mark>key</mark>") && page.contains("Six minutes"));
    let mut without = tour_outcome();
    without.task = Err(format!("one label only {EVIL}"));
    without.senses.clear();
    check(&tour(&[], &without, &made()));
}

#[test]
fn texts_stay_texts() {
    let pages = [
        pretrain(&rows(3), &pretrain_settings(), &pretrain_outcome(), &made()),
        finetune(&rows(3), &finetune_settings(), &finetune_outcome(), None, &made()),
        tour(&rows(3), &tour_outcome(), &made()),
    ];
    for page in pages {
        assert!(!page.contains("<script") && page.contains("&lt;script&gt;alert(&#39;x&#39;)"));
    }
}

#[test]
fn empty_one_row_and_broken_numbers() {
    let mut broken = rows(40);
    for (i, row) in broken.iter_mut().enumerate() {
        row.loss = [f64::NAN, f64::INFINITY, 5.0, -0.0][i % 4];
        row.grad_norm = [0.0, f64::NAN, -1.0][i % 3];
        row.valid.values_mut().for_each(|v| *v = f64::NAN);
    }
    let all_nan: Vec<StepRow> = (1..5).map(|step| StepRow { step, loss: f64::NAN, ..StepRow::default() }).collect();
    let mut outcome = pretrain_outcome();
    for (name, log) in [("none", vec![]), ("one", rows(1)), ("broken", broken), ("nan", all_nan)] {
        let page = pretrain(&log, &pretrain_settings(), &outcome, &made());
        check(&page);
        show(&format!("pretrain-{name}.html"), &page);
        check(&finetune(&log, &finetune_settings(), &finetune_outcome(), None, &made()));
    }
    (outcome.valid_loss, outcome.unigram_entropy, outcome.valid_accuracy) = (f64::NAN, f64::NAN, f64::NAN);
    check(&pretrain(&rows(2), &pretrain_settings(), &outcome, &made()));
    let mut nothing = finetune_outcome();
    nothing.results.clear();
    check(&finetune(&[], &finetune_settings(), &nothing, None, &made()));
}

#[test]
fn a_long_run_stays_small() {
    let page = pretrain(&rows(100_000), &pretrain_settings(), &pretrain_outcome(), &made());
    check(&page);
    assert!(page.len() < 1_000_000, "{} bytes", page.len());
}

#[test]
fn a_log_with_a_torn_line_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("metrics.jsonl");
    let mut text = serde_json::to_string(&rows(1)[0]).expect("a row");
    text.push_str("\n{\"step\": 2, \"tok");
    std::fs::write(&log, text).expect("written");
    assert_eq!(read_rows(&log).len(), 1);
    assert!(read_rows(&folder.path().join("none")).is_empty());
}
