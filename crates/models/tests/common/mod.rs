//! What the tests of this crate share: golden cases, tiny models, batches.

#![allow(dead_code)]

use polyseme_formats::ModelFolder;
use polyseme_formats::tensors::{DType, TensorFile, TensorOut, write_safetensors};
use polyseme_models::{Activation, ClassifierPooling, EncoderConfig, Family, HeadKind, Model, Sharing, Variant};
use polyseme_tensor::closeness::{Level, assert_close, values};
use polyseme_tensor::ops::cross_entropy;
use polyseme_tensor::ops::optimizer::{AdamWState, AdamWStep, ParamRates, adamw_step};
use polyseme_tensor::packed::int_tensor;
use polyseme_tensor::{Device, Mode, PackedBatch, Sequence, Stream, Tensor, device};
use std::path::{Path, PathBuf};

/// All golden cases; a test of its own sees that no folder is left out.
pub const CASES: [&str; 34] = [
    "bert-mlm",
    "bert-mlm-untied",
    "bert-classify",
    "roberta-mlm",
    "roberta-classify",
    "distilbert-mlm",
    "distilbert-classify",
    "electra-mlm",
    "electra-classify",
    "modernbert-mlm",
    "modernbert-classify",
    "bert-regress",
    "bert-multilabel",
    "bert-tag",
    "roberta-tag",
    "distilbert-tag",
    "electra-tag",
    "modernbert-tag",
    "bert-qa",
    "roberta-qa",
    "distilbert-qa",
    "electra-qa",
    "modernbert-qa",
    "bert-choice",
    "roberta-choice",
    "distilbert-choice",
    "electra-choice",
    "modernbert-choice",
    "albert-mlm",
    "albert-mlm-untied",
    "albert-classify",
    "albert-tag",
    "albert-qa",
    "albert-choice",
];

/// A CPU without gradients.
pub fn cpu() -> Device {
    device::parse("cpu").expect("there is always a CPU")
}

/// Where the golden cases are.
pub fn goldens() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens")
}

/// A golden case: a folder of the reference library and its values.
pub struct Golden {
    pub folder: ModelFolder,
    pub values: TensorFile,
    pub record: serde_json::Value,
    pub sequences: Vec<Sequence>,
}

impl Golden {
    pub fn open(case: &str) -> Self {
        let path = goldens().join(case);
        let values = TensorFile::open(&path.join("golden.safetensors")).expect("golden values");
        let record = std::fs::read_to_string(path.join("golden.json")).expect("golden.json");
        let mut golden = Self {
            folder: ModelFolder::open(&path).expect("a model folder"),
            values,
            record: serde_json::from_str(&record).expect("JSON"),
            sequences: Vec::new(),
        };
        let (ids, type_ids) = (golden.ints("ids"), golden.ints("type_ids"));
        let mut start = 0;
        for length in golden.ints("lengths") {
            let rows = start..start + length as usize;
            golden
                .sequences
                .push(Sequence { ids: ids[rows.clone()].to_vec(), type_ids: type_ids[rows.clone()].to_vec() });
            start = rows.end;
        }
        golden
    }

    /// The model, with its head as found.
    pub fn model(&self, device: &Device) -> Model {
        let (model, report) = Model::open(&self.folder, HeadKind::AsFound, Stream::new(0), device).expect("it opens");
        assert!(report.missing.is_empty() && report.unused.is_empty(), "{report:?}");
        model
    }

    pub fn floats(&self, name: &str) -> Vec<f32> {
        self.values.require(name).and_then(|tensor| tensor.to_f32()).expect("golden value")
    }

    pub fn ints(&self, name: &str) -> Vec<u32> {
        let tensor = self.values.require(name).expect("golden value");
        assert_eq!(tensor.dtype, DType::I64);
        let numbers = tensor.bytes.chunks_exact(8).map(|bytes| i64::from_le_bytes(bytes.try_into().expect("8 bytes")));
        numbers.map(|number| u32::try_from(number).expect("a small number")).collect()
    }

    /// Packed rows of the tokens in the caller's order.
    pub fn rows(&self, batch: &PackedBatch) -> Vec<usize> {
        caller_rows(batch)
    }
}

/// Packed rows in the caller's order of sequences and tokens.
pub fn caller_rows(batch: &PackedBatch) -> Vec<usize> {
    (0..batch.sequences()).flat_map(|i| batch.rows(i)).collect()
}

/// Rows of a matrix `(rows, width)` in another order.
pub fn pick(values: &[f32], width: usize, rows: &[usize]) -> Vec<f32> {
    rows.iter().flat_map(|&row| values[row * width..(row + 1) * width].iter().copied()).collect()
}

/// A small BERT without dropout.
pub fn tiny() -> EncoderConfig {
    EncoderConfig {
        vocab_size: 41,
        hidden_size: 12,
        num_hidden_layers: 2,
        num_attention_heads: 3,
        intermediate_size: 20,
        hidden_act: Activation::Gelu,
        max_position_embeddings: 16,
        position_offset: 0,
        type_vocab_size: 2,
        embedding_size: 12,
        layer_norm_eps: 1e-6,
        hidden_dropout_prob: 0.0,
        attention_probs_dropout_prob: 0.0,
        classifier_dropout: 0.0,
        // Wide enough that attention is not even.
        initializer_range: 0.4,
        pad_token_id: 0,
        tie_word_embeddings: true,
        variant: Default::default(),
        layer_sizes: Vec::new(),
        sharing: Default::default(),
    }
}

/// ModernBERT's variant: a layer that sees all, and one that sees two neighbours on either side.
pub fn modern() -> Variant {
    Variant {
        pre_norm: true,
        gated: true,
        global_rope_theta: 500.0,
        local_rope_theta: 50.0,
        local_attention: 4,
        global_attn_every_n_layers: 2,
        attention_bias: false,
        mlp_bias: false,
        norm_bias: false,
        classifier_bias: false,
        classifier_pooling: ClassifierPooling::Mean,
    }
}

/// The settings of a family nearest to [`tiny`].
pub fn tiny_of(family: Family) -> EncoderConfig {
    let config = tiny();
    match family {
        Family::Bert => config,
        Family::Roberta => EncoderConfig { pad_token_id: 1, position_offset: 2, type_vocab_size: 1, ..config },
        Family::DistilBert => EncoderConfig { type_vocab_size: 0, layer_norm_eps: 1e-12, ..config },
        Family::Electra => EncoderConfig { embedding_size: 8, ..config },
        Family::Albert => {
            EncoderConfig { embedding_size: 8, sharing: Sharing { num_hidden_groups: 1, inner_group_num: 1 }, ..config }
        }
        Family::ModernBert => EncoderConfig { type_vocab_size: 0, variant: modern(), ..config },
    }
}

/// A new model from [`tiny_of`].
pub fn tiny_model(family: Family, head: HeadKind, device: &Device) -> Model {
    Model::new(family, tiny_of(family), head, Stream::new(1).named("init"), device).expect("possible settings")
}

/// Labels for a classification head.
pub fn three_labels() -> HeadKind {
    HeadKind::Classify(["sad", "merry", "so-so"].map(str::to_owned).to_vec())
}

/// Sequences of these lengths with random ids, none of them padding, all of segment 0.
pub fn sequences(lengths: &[usize], stream: Stream) -> Vec<Sequence> {
    let make = |(i, &length): (usize, &usize)| {
        let stream = stream.at(i as u64);
        let ids = (0..length as u64).map(|t| 2 + stream.below(t, 39) as u32).collect();
        Sequence { ids, type_ids: vec![0; length] }
    };
    lengths.iter().enumerate().map(make).collect()
}

/// Replaces the parameters for which there is a value.
pub fn put(model: &mut Model, value: &dyn Fn(&str) -> Option<Vec<f32>>) {
    let mut tensors: Vec<TensorOut> = model.to_tensors();
    for tensor in &mut tensors {
        let info = tensor.info();
        if let Some(values) = value(&info.name) {
            *tensor = TensorOut::f32(info.name, info.shape, &values);
        }
    }
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("all.safetensors");
    write_safetensors(&path, &tensors, &Default::default()).expect("it can be written");
    model.load_tensors(&TensorFile::open(&path).expect("it was written")).expect("its own tensors");
}

/// Gradients of what a classifier trains and the losses before ten steps are the reference's.
pub fn learns_as_the_reference(golden: &Golden, batch: &PackedBatch, model: &mut Model) {
    let loss = |model: &Model| {
        let labels = int_tensor(&golden.ints("class_labels"), &cpu());
        cross_entropy(model.sequence_outputs(batch, Mode::Train(Stream::new(0))), labels)
    };
    learns_by(golden, model, &loss);
}

/// The same by any loss.
pub fn learns_by(golden: &Golden, model: &mut Model, loss: &dyn Fn(&Model) -> Tensor<1>) {
    let infos: Vec<_> = model.parameters().into_iter().filter(|p| p.trainable).collect();
    assert_eq!(infos.len(), golden.values.names().iter().filter(|n| n.starts_with("gradient.")).count());
    let gradients = model.gradients(&mut loss(model).backward());
    for (info, gradient) in infos.iter().zip(&gradients) {
        let expected = golden.floats(&format!("gradient.{}", info.name));
        assert_close(&info.name, &values(gradient), &expected, Level::Gradient);
    }

    let each: Vec<ParamRates> = infos.iter().map(|info| info.decay.into()).collect();
    let adamw = &golden.record["adamw"];
    let number = |value: &serde_json::Value| value.as_f64().expect("a number");
    let step = AdamWStep {
        learning_rate: number(&adamw["lr"]),
        beta1: number(&adamw["betas"][0]),
        beta2: number(&adamw["betas"][1]),
        epsilon: number(&adamw["eps"]),
        weight_decay: number(&adamw["weight_decay"]),
        gradient_scale: 1.0,
    };
    let (mut state, mut losses) = (AdamWState::default(), Vec::new());
    for _ in 0..10 {
        let loss = loss(model);
        losses.extend(values(&loss));
        let gradients = model.gradients(&mut loss.backward());
        let taken = model.take();
        model.put(adamw_step(taken, gradients, &each, &mut state, step));
    }
    assert_close("losses", &losses, &golden.floats("losses"), Level::Loss);
}
