//! A small made-up language, tiny models and short runs for the tests of this crate.
#![allow(dead_code)]

pub mod bench;

use polyseme_formats::run::StepRow;
use polyseme_models::{Activation, EncoderConfig, Family};
use polyseme_tensor::{Device, Stream};
use polyseme_text::train_tokenizer::TokenizerKind;
use polyseme_train::pretrain::{
    DataSettings, DocumentSettings, InitialEmbeddings, Length, MaskingSettings, ModelSettings, OptimizerSettings,
    Recipe, TokenizerSettings,
};
use polyseme_train::schedule::Schedule;
use polyseme_train::{Event, FinetuneSettings, Observer, PretrainSettings, Stop};
use std::path::{Path, PathBuf};

pub fn device() -> Device {
    polyseme_tensor::device::parse("cpu").expect("there is always a CPU")
}

const ANIMALS: [&str; 8] = ["cat", "dog", "horse", "mouse", "sheep", "goat", "hen", "fox"];
const THINGS: [&str; 8] = ["ship", "train", "engine", "wagon", "bicycle", "lorry", "boat", "plane"];

/// A sentence about animals (0) or things that move (1).
pub fn sentence(topic: usize, n: u64) -> String {
    let s = Stream::new(n).at(topic as u64);
    let pick = |i: u64, of: &[&str]| of[s.below(i, of.len() as u64) as usize].to_owned();
    let (who, does, how) = if topic == 0 {
        (&ANIMALS, ["eats", "sleeps", "drinks", "hides"], ["grass", "quietly", "in the barn", "near the river"])
    } else {
        (&THINGS, ["runs", "stops", "waits", "breaks"], ["at the station", "slowly", "with coal", "on the road"])
    };
    format!("the {} and the {} {} {}", pick(0, who), pick(1, who), pick(2, &does), pick(3, &how))
}

/// A question on a sentence, whose second word answers it, as a line of JSON.
pub fn question(n: u64) -> String {
    let text = sentence((n % 2) as usize, n);
    let word = text.split(' ').nth(1).expect("a sentence of many words");
    format!(
        "{{\"id\": \"{n}\", \"question\": \"the\", \"context\": \"{text}\", \"answers\": \
         [{{\"text\": \"{word}\", \"answer_start\": 4}}]}}\n"
    )
}

/// Writes documents of a few sentences, all about animals or all about things that move.
pub fn corpus(folder: &Path, documents: u64) -> PathBuf {
    let path = folder.join("corpus.jsonl");
    let document = |d: u64| {
        let sentences = 3 + Stream::new(d).below(99, 10);
        let text: Vec<String> = (0..sentences).map(|i| sentence((d % 2) as usize, d * 100 + i)).collect();
        format!("{{\"text\": \"{}.\"}}\n", text.join(". "))
    };
    std::fs::write(&path, (0..documents).map(document).collect::<String>()).expect("a corpus");
    path
}

/// Writes labelled sentences.
pub fn table(path: &Path, rows: u64, from: u64) {
    let row = |i: u64| {
        format!("{},{}\n", sentence((i % 2) as usize, 900_000 + from + i), ["animal", "thing"][i as usize % 2])
    };
    let text: String = (0..rows).map(row).collect();
    std::fs::write(path, format!("text,label\n{text}")).expect("a table");
}

pub fn config() -> EncoderConfig {
    EncoderConfig {
        vocab_size: 0,
        hidden_size: 16,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        intermediate_size: 32,
        hidden_act: Activation::Gelu,
        max_position_embeddings: 40,
        position_offset: 0,
        type_vocab_size: 2,
        embedding_size: 16,
        layer_norm_eps: 1e-12,
        hidden_dropout_prob: 0.1,
        attention_probs_dropout_prob: 0.1,
        classifier_dropout: 0.1,
        initializer_range: 0.05,
        pad_token_id: 0,
        tie_word_embeddings: true,
        variant: Default::default(),
        layer_sizes: Vec::new(),
        sharing: Default::default(),
    }
}

/// A run of so many steps with dropout, accumulation and short sequences first.
pub fn pretraining(corpus: PathBuf, out: PathBuf, length: Length) -> PretrainSettings {
    let recipe = Recipe {
        length,
        objective: "mlm".into(),
        seed: 11,
        model: ModelSettings { family: Family::Bert, embeddings: InitialEmbeddings::Documents, config: config() },
        tokenizer: TokenizerSettings {
            kind: TokenizerKind::WordPiece,
            vocab_size: 120,
            lowercase: true,
            min_frequency: 1,
            sample_bytes: 1_000_000,
        },
        masking: MaskingSettings { whole_word: true, ..MaskingSettings::default() },
        document: DocumentSettings { words: 3 },
        optimizer: OptimizerSettings {
            learning_rate: 5e-3,
            schedule: Schedule::Cosine,
            warmup: 0.2,
            ..OptimizerSettings::default()
        },
        data: DataSettings {
            seq_len: 32,
            short_share: 0.4,
            short_seq_len: 16,
            tokens_per_step: 150,
            tokens_per_batch: 64,
            valid_share: 0.1,
            valid_documents: 10,
            valid_every: 7,
            log_every: 4,
            ..DataSettings::default()
        },
    };
    recipe.plan(vec![corpus], out)
}

pub fn finetuning(model: &Path, train: &Path, out: &Path) -> FinetuneSettings {
    let mut settings = FinetuneSettings::classify(model, train, out);
    settings.max_length = 24;
    settings.batch_size = 8;
    settings.epochs = 3;
    settings.optimizer.learning_rate = 5e-3;
    settings
}

/// Remembers what was told, and asks to stop after a step.
#[derive(Debug, Default)]
pub struct Listener {
    pub notes: Vec<String>,
    pub warnings: Vec<String>,
    pub stages: Vec<String>,
    pub rows: Vec<StepRow>,
    /// Steps seen in stages that train.
    pub steps: u64,
    pub stop_after: Option<(u64, Stop)>,
}

impl Listener {
    pub fn stopping(after: u64, stop: &Stop) -> Self {
        Self { stop_after: Some((after, stop.clone())), ..Self::default() }
    }
    pub fn said(&self, part: &str) -> bool {
        self.notes.iter().chain(&self.warnings).any(|s| s.contains(part))
    }
}

impl Observer for Listener {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Stage(s) => self.stages.push(s.to_owned()),
            Event::Note(s) => self.notes.push(s.to_owned()),
            Event::Warning(s) => self.warnings.push(s.to_owned()),
            Event::Step(row) => self.rows.push(row.clone()),
            Event::Progress { .. } => {
                let training = self.stages.last().is_some_and(|s| s.contains("pre-train") || s.contains("fine-tune"));
                self.steps += u64::from(training);
                if let Some((after, stop)) = &self.stop_after
                    && training
                    && self.steps == *after
                {
                    stop.request();
                }
            }
        }
    }
}

/// Rows of the log without what the clock says.
pub fn story(out: &Path) -> Vec<StepRow> {
    let rows = polyseme_formats::run::RunFolder::resume(out).expect("a run").rows().expect("rows");
    rows.into_iter().map(|r| StepRow { seconds: 0.0, tokens_per_second: 0.0, ..r }).collect()
}

pub fn bytes(path: PathBuf) -> Vec<u8> {
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The newest checkpoint's step; 0 if there is none.
pub fn newest(checkpoints: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(checkpoints) else { return 0 };
    let step = |name: String| name.strip_prefix("step-").and_then(|n| n.parse().ok());
    entries.flatten().filter_map(|e| step(e.file_name().to_string_lossy().into_owned())).max().unwrap_or(0)
}

/// Runs this test program's test `child`, waits for a moment and some milliseconds more, and kills
/// it with signal 9.
pub fn kill_child(folder: &Path, milliseconds: u64, moment: impl Fn() -> bool) {
    let mut child = std::process::Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "child", "--ignored"])
        .env("POLYSEME_TEST_CHILD", folder)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("this program again");
    let begun = std::time::Instant::now();
    while !moment() {
        assert!(begun.elapsed().as_secs() < 60, "the child does not get on");
        assert!(child.try_wait().expect("a child").is_none(), "the child ended before it could be killed");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    std::thread::sleep(std::time::Duration::from_millis(milliseconds));
    child.kill().expect("killed");
    child.wait().expect("dead");
}
