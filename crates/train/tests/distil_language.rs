//! A student learns from a pre-trained teacher on texts without labels: its words, its insides, or both.

mod common;

use common::{Listener, bytes, corpus, device, pretraining};
use polyseme_formats::ModelFolder;
use polyseme_models::{EncoderConfig, HeadKind, Model};
use polyseme_tensor::Stream;
use polyseme_text::Tokenizer;
use polyseme_train::distil::DistilSettings;
use polyseme_train::pretrain::Length;
use polyseme_train::{PretrainOutcome, PretrainSettings, Result, Stop, pretrain};
use std::path::{Path, PathBuf};

struct Bench {
    dir: tempfile::TempDir,
    teacher: PathBuf,
    corpus: PathBuf,
}

impl Bench {
    /// With a teacher that has learned for so many steps.
    fn new(steps: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let corpus = corpus(dir.path(), 120);
        let teacher = dir.path().join("teacher");
        let mut settings = pretraining(corpus.clone(), teacher.clone(), Length::Steps(steps));
        (settings.data.tokens_per_step, settings.data.valid_every) = (400, 0);
        run(&settings).unwrap();
        Self { dir, teacher, corpus }
    }

    /// A student that is the first layer of the teacher.
    fn student(&self, name: &str, preset: &str) -> PretrainSettings {
        let mut settings = pretraining(self.corpus.clone(), self.dir.path().join(name), Length::Steps(40));
        settings.from = Some(self.teacher.clone());
        settings.document.words = 0;
        settings.distil = DistilSettings {
            teacher: Some(self.teacher.clone()),
            keep_layers: vec![0],
            ..DistilSettings::preset(preset).unwrap()
        };
        settings
    }

    /// The teacher without its head, in a folder of its own.
    fn silent_teacher(&self) -> PathBuf {
        let source = ModelFolder::open(&self.teacher).unwrap();
        let (model, _) = Model::open(&source, HeadKind::None, Stream::new(0), &device()).unwrap();
        self.other("silent", &model)
    }

    /// A model with the teacher's tokenizer.
    fn other(&self, name: &str, model: &Model) -> PathBuf {
        let out = self.dir.path().join(name);
        std::fs::create_dir_all(&out).unwrap();
        model.save(&out).unwrap();
        Tokenizer::open(&self.teacher).unwrap().save(&out).unwrap();
        out
    }
}

fn run(settings: &PretrainSettings) -> Result<PretrainOutcome> {
    pretrain(settings, false, &device(), &mut Listener::default(), &Stop::default())
}

fn config(folder: &Path) -> EncoderConfig {
    let source = ModelFolder::open(folder).unwrap();
    let (model, _) = Model::open(&source, HeadKind::AsFound, Stream::new(0), &device()).unwrap();
    model.config().clone()
}

#[test]
fn every_preset_brings_a_student_nearer_and_resumes_to_the_same_bytes() {
    let bench = Bench::new(600);
    for preset in DistilSettings::presets() {
        let mut whole = bench.student(preset, preset);
        if preset == "mobilebert" {
            (whole.distil.keep_layers, whole.distil.keep_heads, whole.distil.keep_units) = (Vec::new(), 0.5, 0.25);
        }
        (whole.optimizer.learning_rate, whole.data.tokens_per_step, whole.length) = (1e-3, 600, Length::Steps(80));
        let mut brief = PretrainSettings { out: whole.out.with_extension("brief"), ..whole.clone() };
        brief.length = Length::Steps(1);
        brief.optimizer.learning_rate = 1e-9;
        let (before, after) = (run(&brief).unwrap(), run(&whole).unwrap());
        assert!(after.valid_loss < before.valid_loss, "{preset}: {} to {}", before.valid_loss, after.valid_loss);
        let parts = PretrainSettings { out: whole.out.with_extension("parts"), ..whole.clone() };
        let stop = Stop::default();
        pretrain(&parts, false, &device(), &mut Listener::stopping(11, &stop), &stop).unwrap();
        assert!(!parts.out.join("model.safetensors").exists(), "it was stopped");
        pretrain(&parts, true, &device(), &mut Listener::default(), &Stop::default()).unwrap();
        assert!(bytes(whole.out.join("model.safetensors")) == bytes(parts.out.join("model.safetensors")), "{preset}");
        let config = config(&whole.out);
        match preset {
            "mobilebert" => assert_eq!(
                (config.num_hidden_layers, config.layer_size(1).num_attention_heads, config.intermediate_size),
                (2, 1, 8)
            ),
            _ => assert_eq!(config.num_hidden_layers, 1),
        }
    }
}

#[test]
fn a_teacher_that_says_nothing_is_looked_into() {
    let bench = Bench::new(60);
    let silent = bench.silent_teacher();
    let mut settings = bench.student("s", "tinybert");
    (settings.from, settings.distil.teacher, settings.distil.soft) = (Some(silent.clone()), Some(silent.clone()), 0.0);
    settings.length = Length::Steps(60);
    let mut brief = PretrainSettings { out: bench.dir.path().join("brief"), ..settings.clone() };
    (brief.length, brief.optimizer.learning_rate) = (Length::Steps(1), 1e-9);
    let (before, after) = (run(&brief).unwrap(), run(&settings).unwrap());
    assert!(after.predicts_nothing() && after.valid_accuracy.is_nan());
    assert!(after.valid_loss < 0.7 * before.valid_loss, "{} to {}", before.valid_loss, after.valid_loss);

    // A new student that is narrower, with the teacher's tokenizer.
    let mut new = PretrainSettings { out: bench.dir.path().join("new"), from: None, ..settings.clone() };
    (new.distil.keep_layers, new.distil.attention) = (Vec::new(), 0.0);
    (new.model.config.hidden_size, new.model.config.embedding_size) = (8, 8);
    assert!(run(&new).unwrap().predicts_nothing());
    assert_eq!((config(&new.out).hidden_size, config(&new.out).vocab_size), (8, config(&silent).vocab_size));
    let names = bytes(new.out.join("model.safetensors"));
    assert!(!String::from_utf8_lossy(&names).contains("distil."), "the map between both is not the student's");

    let speaks = DistilSettings { soft: 1.0, ..settings.distil.clone() };
    let error = run(&PretrainSettings { out: bench.dir.path().join("e"), distil: speaks, ..settings }).unwrap_err();
    assert!(error.to_string().contains("has no head"), "{error}");
}

#[test]
fn teachers_that_cannot_teach_are_refused() {
    let bench = Bench::new(1);
    let mut settings = bench.student("s", "distilbert");
    let (family, config) = (settings.model.family, config(&bench.teacher));
    let random = Model::new(family, config, HeadKind::MaskedLm, Stream::new(3), &device()).unwrap();
    settings.distil.teacher = Some(bench.other("random", &random));
    let error = run(&settings).unwrap_err().to_string();
    assert!(error.contains("knows nothing") && error.contains("word frequencies"), "{error}");
    assert!(!settings.out.exists(), "nothing is left");

    let mut larger = bench.student("l", "minilm");
    (larger.from, larger.distil.keep_layers) = (None, Vec::new());
    larger.model.config.num_hidden_layers = 3;
    let error = run(&larger).unwrap_err().to_string();
    assert!(error.contains("num_hidden_layers of the student"), "{error}");
    let mut none = bench.student("k", "minilm");
    none.distil.keep_heads = 0.0;
    assert!(run(&none).unwrap_err().to_string().contains("distil.keep_heads"));
}
