//! A folder with small good files that each case then spoils: a model, texts and tables.

use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// What a fixture model can do.
#[derive(Clone, Copy, PartialEq)]
pub enum Head {
    /// The encoder alone.
    None,
    MaskedLm,
    /// Two labels, `cold` and `warm`.
    Classify,
    /// A number.
    Regress,
    /// Two tags, `B-X` and `O`.
    Tag,
    /// Answers copied from a passage.
    Answer,
    /// The best of several choices.
    Choice,
}

/// Name, shape and values of a tensor.
pub type Named = (String, Vec<usize>, Vec<f32>);

/// A temporary folder in which the binary runs.
pub struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    /// A folder with `texts.txt`, `train.csv`, `valid.csv` and `corpus.txt`, all good.
    pub fn new() -> Self {
        let bench = Self { folder: tempfile::tempdir().expect("a temporary folder") };
        bench.write("texts.txt", "the sun is warm\nthe snow is cold\n");
        bench.write("train.csv", table(12));
        bench.write("valid.csv", table(4));
        bench.write("corpus.txt", corpus(60));
        bench
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A path in it.
    pub fn at(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Writes a file, its folders too.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.at(name);
        std::fs::create_dir_all(path.parent().expect("has one")).expect("folders");
        std::fs::write(path, content).expect("written");
    }

    /// Makes a folder.
    pub fn folder(&self, name: &str) {
        std::fs::create_dir_all(self.at(name)).expect("made");
    }

    /// Bytes of a file.
    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.at(name)).expect("readable")
    }

    /// Removes a file.
    pub fn remove(&self, name: &str) {
        std::fs::remove_file(self.at(name)).expect("removed");
    }

    /// Keeps the first bytes of a file.
    pub fn cut(&self, name: &str, bytes: usize) {
        let content = self.read(name);
        assert!(bytes < content.len(), "nothing would be cut from {name}");
        self.write(name, &content[..bytes]);
    }

    /// A good model folder: BERT, 2 layers of 8.
    pub fn model(&self, name: &str, head: Head) {
        self.write(&format!("{name}/config.json"), pretty(&config(head)));
        self.write(&format!("{name}/model.safetensors"), safetensors(&tensors(head)));
        self.write(&format!("{name}/vocab.txt"), vocabulary().join("\n") + "\n");
        let tokenizer = json!({"tokenizer_class": "BertTokenizer", "do_lower_case": true, "model_max_length": 32});
        self.write(&format!("{name}/tokenizer_config.json"), pretty(&tokenizer));
    }

    /// A model folder with keys of its `config.json` set; null removes a key.
    pub fn model_with(&self, name: &str, head: Head, keys: Value) {
        self.model(name, head);
        let mut config = config(head);
        let Value::Object(keys) = keys else { panic!("an object") };
        for (key, value) in keys {
            match value {
                Value::Null => config.as_object_mut().expect("an object").remove(&key),
                value => config.as_object_mut().expect("an object").insert(key, value),
            };
        }
        self.write(&format!("{name}/config.json"), pretty(&config));
    }

    /// A model folder whose tensors were changed.
    pub fn model_of(&self, name: &str, head: Head, change: impl FnOnce(&mut Vec<Named>)) {
        self.model(name, head);
        let mut all = tensors(head);
        change(&mut all);
        self.write(&format!("{name}/model.safetensors"), safetensors(&all));
    }

    /// Runs the binary on good input, to have something to spoil.
    pub fn polyseme(&self, arguments: &[&str]) {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_polyseme"))
            .args(arguments)
            .current_dir(self.path())
            .stdin(std::process::Stdio::null())
            .output()
            .expect("the binary runs");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "the good run failed: polyseme {}\n{stderr}", arguments.join(" "));
    }

    /// Runs the binary with these words and kills it once it has saved a checkpoint into this folder.
    pub fn killed(&self, words: &str, checkpoints: &str) {
        let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_polyseme"))
            .args(words.split_whitespace())
            .current_dir(self.path())
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("the binary runs");
        let saved = |entry: std::fs::DirEntry| entry.file_name().to_string_lossy().starts_with("step-");
        while !std::fs::read_dir(self.at(checkpoints)).is_ok_and(|all| all.flatten().any(saved)) {
            assert!(child.try_wait().expect("a child").is_none(), "the run ended before it could be killed");
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        child.kill().expect("killed");
        child.wait().expect("ended");
    }

    /// A finished run of two steps in `out`.
    pub fn pretrained(&self) {
        self.polyseme(PRETRAIN);
    }
}

/// Two steps of pre-training into `out`.
pub const PRETRAIN: &[&str] =
    &["pretrain", "corpus.txt", "--out", "out", "--recipe", "tiny", "--steps", "2", "--vocab-size", "120", "--quiet"];

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).expect("plain values") + "\n"
}

fn table(rows: usize) -> String {
    let row = |i: usize| ["the sun is warm,warm\n", "the snow is cold,cold\n"][i % 2];
    "text,label\n".to_owned() + &(0..rows).map(row).collect::<String>()
}

fn corpus(documents: usize) -> String {
    let nouns = ["sun", "snow", "fire", "ice", "summer", "winter", "oven", "lake"];
    (0..documents)
        .map(|i| format!("the {} and the {} number {i}\n\n", nouns[i % 8], nouns[(i * 5 + i / 8) % 8]))
        .collect()
}

/// Special tokens, letters, continued letters and a few words: 62 pieces.
pub fn vocabulary() -> Vec<String> {
    let mut pieces: Vec<String> = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(String::from).into();
    pieces.extend(('a'..='z').map(String::from));
    pieces.extend(('a'..='z').map(|c| format!("##{c}")));
    pieces.extend(["the", "is", "sun", "snow", "cold"].map(String::from));
    pieces
}

fn config(head: Head) -> Value {
    let architecture = match head {
        Head::None => "BertModel",
        Head::MaskedLm => "BertForMaskedLM",
        Head::Classify | Head::Regress => "BertForSequenceClassification",
        Head::Tag => "BertForTokenClassification",
        Head::Answer => "BertForQuestionAnswering",
        Head::Choice => "BertForMultipleChoice",
    };
    let mut values = json!({
        "architectures": [architecture], "model_type": "bert", "vocab_size": 62, "hidden_size": 8,
        "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16, "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1, "max_position_embeddings": 32,
        "type_vocab_size": 2, "initializer_range": 0.02, "layer_norm_eps": 1e-12, "pad_token_id": 0,
    });
    let labels = match head {
        Head::Classify => json!({"id2label": {"0": "cold", "1": "warm"}, "label2id": {"cold": 0, "warm": 1}}),
        Head::Tag => json!({"id2label": {"0": "B-X", "1": "O"}, "label2id": {"B-X": 0, "O": 1}}),
        Head::Regress => json!({"id2label": {"0": "score"}, "problem_type": "regression"}),
        Head::None | Head::MaskedLm | Head::Answer | Head::Choice => json!({}),
    };
    let Value::Object(labels) = labels else { unreachable!() };
    values.as_object_mut().expect("an object").extend(labels);
    values
}

/// All tensors of the fixture model under their Hugging Face names, with small values.
fn tensors(head: Head) -> Vec<Named> {
    let mut shapes: Vec<(String, Vec<usize>)> = Vec::new();
    let mut linear = |name: &str, out: usize, input: usize| {
        shapes.push((format!("{name}.weight"), vec![out, input]));
        shapes.push((format!("{name}.bias"), vec![out]));
    };
    for layer in 0..2 {
        let at = format!("bert.encoder.layer.{layer}");
        for name in ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"] {
            linear(&format!("{at}.{name}"), 8, 8);
        }
        linear(&format!("{at}.intermediate.dense"), 16, 8);
        linear(&format!("{at}.output.dense"), 8, 16);
    }
    match head {
        Head::None => {}
        Head::MaskedLm => linear("cls.predictions.transform.dense", 8, 8),
        Head::Tag => linear("classifier", 2, 8),
        Head::Answer => linear("qa_outputs", 2, 8),
        Head::Classify | Head::Regress | Head::Choice => {
            linear("bert.pooler.dense", 8, 8);
            linear("classifier", if head == Head::Classify { 2 } else { 1 }, 8);
        }
    }
    let mut norms = vec!["bert.embeddings.LayerNorm".to_owned()];
    for layer in 0..2 {
        norms.push(format!("bert.encoder.layer.{layer}.attention.output.LayerNorm"));
        norms.push(format!("bert.encoder.layer.{layer}.output.LayerNorm"));
    }
    if head == Head::MaskedLm {
        norms.push("cls.predictions.transform.LayerNorm".into());
        shapes.push(("cls.predictions.bias".into(), vec![62]));
    }
    for norm in norms {
        shapes.push((format!("{norm}.weight"), vec![8]));
        shapes.push((format!("{norm}.bias"), vec![8]));
    }
    for (name, rows) in [("word", 62), ("position", 32), ("token_type", 2)] {
        shapes.push((format!("bert.embeddings.{name}_embeddings.weight"), vec![rows, 8]));
    }
    let mut seed = 1u32;
    let mut next = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 16) as f32 / 65_536.0 - 0.5
    };
    shapes.into_iter().map(|(n, s)| (n, s.clone(), (0..s.iter().product()).map(|_| next()).collect())).collect()
}

/// A safetensors file of f32 tensors.
pub fn safetensors(tensors: &[Named]) -> Vec<u8> {
    let mut header = Map::new();
    let mut data = Vec::new();
    for (name, shape, values) in tensors {
        let begin = data.len();
        data.extend(values.iter().flat_map(|v| v.to_le_bytes()));
        header.insert(name.clone(), json!({"dtype": "F32", "shape": shape, "data_offsets": [begin, data.len()]}));
    }
    safetensors_raw(&Value::Object(header).to_string(), &data)
}

/// A safetensors file with any header.
pub fn safetensors_raw(header: &str, data: &[u8]) -> Vec<u8> {
    let mut out = (header.len() as u64).to_le_bytes().to_vec();
    out.extend(header.as_bytes());
    out.extend(data);
    out
}

/// An uncompressed gzip file with the checksum given (0 is wrong for any text but an empty one).
pub fn gzip(text: &[u8], checksum: u32) -> Vec<u8> {
    let length = u16::try_from(text.len()).expect("a short text");
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1];
    out.extend(length.to_le_bytes());
    out.extend((!length).to_le_bytes());
    out.extend(text);
    out.extend(checksum.to_le_bytes());
    out.extend(u32::from(length).to_le_bytes());
    out
}

/// An uncompressed zip archive, as `torch.save` writes them.
pub fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in files {
        let mut common = vec![20, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        common.extend(crc32(content).to_le_bytes());
        common.extend((content.len() as u32).to_le_bytes());
        common.extend((content.len() as u32).to_le_bytes());
        common.extend((name.len() as u16).to_le_bytes());
        common.extend([0, 0]);
        let offset = out.len() as u32;
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&common);
        directory.extend([0; 10]);
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
        out.extend(b"PK\x03\x04");
        out.extend(&common);
        out.extend(name.as_bytes());
        out.extend(*content);
    }
    let (start, size, count) = (out.len() as u32, directory.len() as u32, files.len() as u16);
    out.extend(directory);
    out.extend(b"PK\x05\x06\0\0\0\0");
    out.extend([count.to_le_bytes(), count.to_le_bytes()].concat());
    out.extend([size.to_le_bytes(), start.to_le_bytes()].concat());
    out.extend([0, 0]);
    out
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}
