//! A model to fine-tune, and what must hold of every fine-tuning.

use super::{Listener, bytes, corpus, device, pretraining};
use polyseme_formats::ModelFolder;
use polyseme_infer::Encoder;
use polyseme_models::{EncoderConfig, HeadKind, Model};
use polyseme_tensor::Stream;
use polyseme_text::Tokenizer;
use polyseme_train::metrics::Metrics;
use polyseme_train::observer::Silent;
use polyseme_train::pretrain::Length;
use polyseme_train::{EvaluateSettings, FinetuneOutcome, FinetuneSettings, Stop, evaluate, finetune, pretrain};
use std::path::{Path, PathBuf};

/// A folder with a tiny model that has learned a language.
pub struct Bench {
    pub dir: tempfile::TempDir,
    pub model: PathBuf,
}

impl Bench {
    pub fn new() -> Self {
        Self::with_words(120)
    }

    /// With a tokenizer of so many pieces at most.
    pub fn with_words(count: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let model = dir.path().join("model");
        let mut settings = pretraining(corpus(dir.path(), 60), model.clone(), Length::Steps(20));
        settings.tokenizer.vocab_size = count;
        pretrain(&settings, false, &device(), &mut Silent, &Stop::default()).unwrap();
        Self { dir, model }
    }

    /// A folder with another model of this width, with the same tokenizer.
    pub fn of_width(&self, width: usize) -> PathBuf {
        let out = self.dir.path().join(format!("width-{width}"));
        let source = ModelFolder::open(&self.model).unwrap();
        let (like, _) = Model::open(&source, HeadKind::None, Stream::new(0), &device()).unwrap();
        let config = EncoderConfig { hidden_size: width, embedding_size: width, ..like.config().clone() };
        let model = Model::new(like.family(), config, HeadKind::None, Stream::new(5), &device()).unwrap();
        std::fs::create_dir_all(&out).unwrap();
        model.save(&out).unwrap();
        Tokenizer::open(&self.model).unwrap().save(&out).unwrap();
        out
    }

    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    pub fn settings(&self, task: &str, train: &Path, valid: &Path) -> FinetuneSettings {
        let mut settings = FinetuneSettings::of_task(task, &self.model, train, self.dir.path().join(task));
        settings.valid = Some(valid.to_owned());
        (settings.max_length, settings.batch_size, settings.epochs) = (40, 8, 12);
        settings.optimizer.learning_rate = 5e-3;
        settings
    }

    /// Learns; learns again, interrupted and resumed; measures the folder. All three must agree.
    pub fn learns(&self, settings: &FinetuneSettings) -> FinetuneOutcome {
        let whole = run(settings);
        let parts = FinetuneSettings { out: settings.out.with_extension("parts"), ..settings.clone() };
        let stop = Stop::default();
        let mut listener = Listener::stopping(7, &stop);
        assert!(finetune(&parts, false, &device(), &mut listener, &stop).unwrap().interrupted);
        let resumed = finetune(&parts, true, &device(), &mut Silent, &Stop::default()).unwrap();
        assert_eq!(resumed.results, whole.results, "{}", settings.task);
        for file in ["model.safetensors", "config.json", "run/analysis.json"] {
            assert!(bytes(parts.out.join(file)) == bytes(settings.out.join(file)), "{}: {file}", settings.task);
        }
        let found = measured(settings);
        for name in polyseme_train::metrics::metrics_of(&settings.task) {
            let (a, b) = (found.get(name).unwrap(), whole.results[0].valid.get(name).unwrap());
            assert!((a - b).abs() < 1e-3, "{} {name}: {a} and {b}", settings.task);
        }
        whole
    }
}

pub fn run(settings: &FinetuneSettings) -> FinetuneOutcome {
    finetune(settings, false, &device(), &mut Silent, &Stop::default()).unwrap()
}

pub fn measured(settings: &FinetuneSettings) -> Metrics {
    let encoder = Encoder::open(&settings.out).unwrap();
    let how = EvaluateSettings {
        columns: settings.columns(),
        label_separator: settings.label_separator.clone(),
        max_length: Some(settings.max_length),
        stride: settings.stride,
        max_new_tokens: settings.max_new_tokens,
        analyse: false,
    };
    let file = settings.valid.as_ref().unwrap();
    evaluate(&encoder, file, &how, &mut |_, _| (), &Stop::default()).unwrap().unwrap().metrics
}
