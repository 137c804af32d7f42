//! Models as ONNX graphs, for ONNX Runtime and others.
//!
//! Inputs are `input_ids`, `attention_mask` and, where segments have embeddings, `token_type_ids`, all
//! `(texts, tokens)` and filled up at the right; the output is `logits`, or `last_hidden_state` without a head. Matrices
//! of 8 bits stay so: with `QuantizeLinear` and `DequantizeLinear` around what is multiplied where its range is fixed
//! (QDQ), else with `DynamicQuantizeLinear` and `MatMulInteger`. The latter takes one range for all rows of a batch, so
//! that numbers differ a little from ours, which has one a row. Matrices of 4 bits are written in f32.

mod graph;
mod proto;

use crate::layers::LayerIds;
use crate::model::{HeadKind, Model};
use crate::params::{LinearIds, NormIds, ParamId};
use crate::{Error, Result, Variant};
use graph::{Attribute, Graph};
use polyseme_tensor::ops::Activation;
use polyseme_tensor::{Input, Quantized};

impl Model {
    /// The model as an ONNX file.
    ///
    /// # Errors
    /// A model that is not of BERT's kind (ModernBERT), a head that looks at all layers, an adapter beside the weights.
    pub fn to_onnx(&self) -> Result<Vec<u8>> {
        self.check_whole()?;
        let refused = |what: &'static str| Err(Error::NotInOnnx { what });
        let usual = Variant { classifier_bias: self.config.variant.classifier_bias, ..Variant::default() };
        if self.config.variant != usual {
            return refused("layers with their norms before their halves, rotary positions or windows");
        }
        if self.mixes_layers() {
            return refused("a head that looks at all layers");
        }
        let mut builder = Builder { model: self, graph: Graph::default() };
        let x = builder.encoder();
        let width = self.config.hidden_size.to_string();
        let (output, dims) = match self.head() {
            HeadKind::None | HeadKind::AsFound => {
                builder.graph.named("Identity", &[&x], "last_hidden_state");
                ("last_hidden_state", vec!["texts".to_owned(), "tokens".into(), width])
            }
            HeadKind::MaskedLm | HeadKind::Generate => {
                builder.masked_lm(&x);
                let vocabulary = self.config.vocab_size.to_string();
                ("logits", vec!["texts".to_owned(), "tokens".into(), vocabulary])
            }
            head => {
                let of_tokens = matches!(head, HeadKind::Tag(_) | HeadKind::Answer);
                builder.task(&x, of_tokens);
                let outputs = head.outputs().expect("a head of a task").to_string();
                let tokens = of_tokens.then(|| "tokens".to_owned());
                ("logits", [Some("texts".to_owned()), tokens, Some(outputs)].into_iter().flatten().collect())
            }
        };
        let mut inputs = vec!["input_ids", "attention_mask"];
        if self.config.type_vocab_size > 0 {
            inputs.push("token_type_ids");
        }
        let dims: Vec<&str> = dims.iter().map(String::as_str).collect();
        Ok(builder.graph.finish(&inputs, (output, &dims)))
    }
}

/// A graph and the model it is of. Names of values are passed on.
struct Builder<'a> {
    model: &'a Model,
    graph: Graph,
}

impl Builder<'_> {
    fn name(&self, id: ParamId) -> String {
        self.model.params().info(id).name.clone()
    }

    fn vector(&mut self, id: ParamId) -> String {
        let (name, values) = (self.name(id), self.model.params().get(id));
        self.graph.floats(&name, &[values.len()], &values)
    }

    fn scalar(&mut self, value: f32) -> String {
        self.graph.floats(&format!("number {value}"), &[], &[value])
    }

    fn few(&self, id: ParamId) -> Option<std::sync::Arc<Quantized>> {
        let few = self.model.params().few(id)?.matrix().clone();
        (few.bits() == 8 && few.group() == few.columns()).then_some(few)
    }

    /// The embeddings and all layers. `(texts, tokens, hidden)`
    fn encoder(&mut self) -> String {
        let encoder = &self.model.parts.encoder;
        let (tables, norm, projection) = encoder.embedding_ids();
        let mut sum = self.lookup(tables[0].expect("words have embeddings"), "input_ids");
        if let Some(position) = tables[1] {
            let places = self.places();
            let rows = self.lookup(position, &places);
            sum = self.graph.node("Add", &[&sum, &rows], &[]);
        }
        if let Some(segment) = tables[2] {
            let rows = self.lookup(segment, "token_type_ids");
            sum = self.graph.node("Add", &[&sum, &rows], &[]);
        }
        let mut x = self.norm(&sum, norm);
        if let Some(projection) = projection {
            x = self.map(&x, projection);
        }
        let mask = self.mask();
        let layers: Vec<LayerIds> = encoder.layers().iter().map(crate::layers::Layer::ids).collect();
        for layer in layers {
            x = self.layer(&x, &layer, &mask);
        }
        x
    }

    /// Numbers of positions, from the first one. `(tokens)`
    fn places(&mut self) -> String {
        let offset = self.model.config.position_offset as i64;
        let shape = self.graph.node("Shape", &["input_ids"], &[]);
        let one = self.graph.ints("the number of tokens", &[], &[1]);
        let length = self.graph.node("Gather", &[&shape, &one], &[Attribute::Int("axis", 0)]);
        let first = self.graph.ints("the first position", &[], &[offset]);
        let end = self.graph.node("Add", &[&length, &first], &[]);
        self.graph.node("Range", &[&first, &end, &one], &[])
    }

    /// What is added to scores: nothing, or so much that a token is not seen. `(texts, 1, 1, tokens)`
    fn mask(&mut self) -> String {
        let there = self.graph.cast("attention_mask");
        let one = self.scalar(1.0);
        let absent = self.graph.node("Sub", &[&one, &there], &[]);
        let least = self.scalar(f32::MIN);
        let added = self.graph.node("Mul", &[&absent, &least], &[]);
        let axes = self.graph.ints("heads and rows", &[2], &[1, 2]);
        self.graph.node("Unsqueeze", &[&added, &axes], &[])
    }

    /// Rows of a table.
    fn lookup(&mut self, id: ParamId, rows: &str) -> String {
        let name = self.name(id);
        let [count, width] = self.model.params().info(id).shape[..] else { unreachable!("a table") };
        let Some(few) = self.few(id) else {
            let table = self.graph.floats(&name, &[count, width], &self.model.params().get(id));
            return self.graph.node("Gather", &[&table, rows], &[]);
        };
        // Only what is looked up is made whole.
        let numbers = self.graph.int8(&name, &[count, width], few.codes());
        let scales = self.graph.floats(&format!("{name} scale"), &[count, 1], few.scales());
        let numbers = self.graph.node("Gather", &[&numbers, rows], &[]);
        let scales = self.graph.node("Gather", &[&scales, rows], &[]);
        let numbers = self.graph.cast(&numbers);
        self.graph.node("Mul", &[&numbers, &scales], &[])
    }

    fn norm(&mut self, x: &str, norm: NormIds) -> String {
        let mut inputs = vec![x.to_owned(), self.vector(norm.weight)];
        inputs.extend(norm.bias.map(|bias| self.vector(bias)));
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let attributes = [Attribute::Int("axis", -1), Attribute::Float("epsilon", norm.epsilon as f32)];
        self.graph.node("LayerNormalization", &inputs, &attributes)
    }

    /// `x Wᵀ + b`
    fn map(&mut self, x: &str, map: LinearIds) -> String {
        let y = match self.few(map.weight) {
            Some(few) => self.product_of_few(x, map.weight, &few),
            None => {
                let weight = self.transposed(map.weight);
                self.graph.node("MatMul", &[x, &weight], &[])
            }
        };
        match map.bias {
            None => y,
            Some(bias) => {
                let bias = self.vector(bias);
                self.graph.node("Add", &[&y, &bias], &[])
            }
        }
    }

    /// A matrix turned, `(in, out)`, as products read it.
    fn transposed(&mut self, id: ParamId) -> String {
        let name = format!("{} transposed", self.name(id));
        let [out, input] = self.model.params().info(id).shape[..] else { unreachable!("a matrix") };
        if self.graph.has(&name) {
            return name;
        }
        self.graph.floats(&name, &[input, out], &turned(&self.model.params().get(id), out, input))
    }

    fn product_of_few(&mut self, x: &str, id: ParamId, few: &Quantized) -> String {
        let name = self.name(id);
        let (out, input) = (few.rows(), few.columns());
        let numbers = format!("{name} transposed");
        let numbers = self.graph.int8(&numbers, &[input, out], &turned(few.codes(), out, input));
        let scales = self.graph.floats(&format!("{name} scale"), &[out], few.scales());
        let x = match few.input() {
            Input::Dynamic => {
                let [x, step, zero] = self.graph.node_of("DynamicQuantizeLinear", &[x], &[]);
                let sums = self.graph.node("MatMulInteger", &[&x, &numbers, &zero], &[]);
                let sums = self.graph.cast(&sums);
                let scales = self.graph.node("Mul", &[&step, &scales], &[]);
                return self.graph.node("Mul", &[&sums, &scales], &[]);
            }
            Input::Static { scale, zero } => {
                let step = self.graph.floats(&format!("{name} input scale"), &[], &[scale]);
                let zero = self.graph.byte(&format!("{name} input zero"), zero);
                let x = self.graph.node("QuantizeLinear", &[x, &step, &zero], &[]);
                self.graph.node("DequantizeLinear", &[&x, &step, &zero], &[])
            }
            Input::Whole => x.to_owned(),
        };
        let zeros = self.graph.int8(&format!("zeros {out}"), &[out], &vec![0; out]);
        let weight = self.graph.node("DequantizeLinear", &[&numbers, &scales, &zeros], &[Attribute::Int("axis", 1)]);
        self.graph.node("MatMul", &[&x, &weight], &[])
    }

    /// `(texts, tokens, hidden)` to the same
    fn layer(&mut self, x: &str, layer: &LayerIds, mask: &str) -> String {
        let size = self.model.config.layer_size(layer.index).num_attention_heads;
        let (heads, width) = (size as i64, self.model.config.head_size());
        let [query, key, value] = layer.query_key_value[..] else { unreachable!("three maps, as in BERT") };
        let apart = self.graph.ints(&format!("{heads} heads"), &[4], &[0, 0, heads, width as i64]);
        let mut of = |map: LinearIds, order: &[i64]| {
            let y = self.map(x, map);
            let y = self.graph.node("Reshape", &[&y, &apart], &[]); // (texts, tokens, heads, width)
            self.graph.node("Transpose", &[&y], &[Attribute::Ints("perm", order)])
        };
        let (query, key, value) = (of(query, &[0, 2, 1, 3]), of(key, &[0, 2, 3, 1]), of(value, &[0, 2, 1, 3]));
        let scores = self.graph.node("MatMul", &[&query, &key], &[]); // (texts, heads, tokens, tokens)
        let scale = self.scalar(1.0 / (width as f32).sqrt());
        let scores = self.graph.node("Mul", &[&scores, &scale], &[]);
        let scores = self.graph.node("Add", &[&scores, mask], &[]);
        let probabilities = self.graph.node("Softmax", &[&scores], &[Attribute::Int("axis", -1)]);
        let context = self.graph.node("MatMul", &[&probabilities, &value], &[]);
        let context = self.graph.node("Transpose", &[&context], &[Attribute::Ints("perm", &[0, 2, 1, 3])]);
        let together = self.graph.ints(&format!("{heads} heads together"), &[3], &[0, 0, heads * width as i64]);
        let context = self.graph.node("Reshape", &[&context, &together], &[]);
        let attended = self.map(&context, layer.attention_output);
        let sum = self.graph.node("Add", &[&attended, x], &[]);
        let middle = self.norm(&sum, layer.attention_norm.expect("a norm after each half, as in BERT"));

        let inner = self.map(&middle, layer.intermediate);
        let inner = self.activation(&inner, self.model.config.hidden_act);
        let out = self.map(&inner, layer.output);
        let sum = self.graph.node("Add", &[&out, &middle], &[]);
        self.norm(&sum, layer.output_norm)
    }

    fn activation(&mut self, x: &str, activation: Activation) -> String {
        match activation {
            Activation::Relu => self.graph.node("Relu", &[x], &[]),
            Activation::Tanh => self.graph.node("Tanh", &[x], &[]),
            Activation::Silu => {
                let gate = self.graph.node("Sigmoid", &[x], &[]);
                self.graph.node("Mul", &[x, &gate], &[])
            }
            Activation::Gelu => {
                let root = self.scalar(std::f32::consts::SQRT_2);
                let inner = self.graph.node("Div", &[x, &root], &[]);
                let inner = self.graph.node("Erf", &[&inner], &[]);
                self.half_of(x, &inner)
            }
            Activation::GeluTanh => {
                let [cubic, root] = [0.044_715, (2.0 / std::f32::consts::PI).sqrt()].map(|number| self.scalar(number));
                let square = self.graph.node("Mul", &[x, x], &[]);
                let cube = self.graph.node("Mul", &[&square, x], &[]);
                let cube = self.graph.node("Mul", &[&cube, &cubic], &[]);
                let inner = self.graph.node("Add", &[x, &cube], &[]);
                let inner = self.graph.node("Mul", &[&inner, &root], &[]);
                let inner = self.graph.node("Tanh", &[&inner], &[]);
                self.half_of(x, &inner)
            }
        }
    }

    /// `x · (1 + y) · 0.5`
    fn half_of(&mut self, x: &str, y: &str) -> String {
        let (one, half) = (self.scalar(1.0), self.scalar(0.5));
        let y = self.graph.node("Add", &[y, &one], &[]);
        let y = self.graph.node("Mul", &[x, &y], &[]);
        self.graph.node("Mul", &[&y, &half], &[])
    }

    /// The head of a task over each token, or over the first.
    fn task(&mut self, x: &str, of_tokens: bool) {
        let model = self.model;
        let head = model.task_head();
        let mut x = x.to_owned();
        if !of_tokens {
            let first = self.graph.ints("the first token", &[], &[0]);
            x = self.graph.node("Gather", &[&x, &first], &[Attribute::Int("axis", 1)]); // (texts, hidden)
        }
        let (dense, activation, norm) = head.before_output();
        if let Some(dense) = dense {
            x = self.map(&x, dense);
            x = self.activation(&x, activation);
        }
        if let Some(norm) = norm {
            x = self.norm(&x, norm);
        }
        let logits = self.map(&x, head.output());
        self.graph.named("Identity", &[&logits], "logits");
    }

    /// The head over the vocabulary.
    fn masked_lm(&mut self, x: &str) {
        let model = self.model;
        let (dense, activation, norm, decoder) = model.masked_lm_ids();
        let x = self.map(x, dense);
        let x = self.activation(&x, activation);
        let x = self.norm(&x, norm);
        let word = model.parts.encoder.word;
        let logits = if decoder.weight == word && self.few(word).is_none() {
            // The table is there already.
            let name = self.name(word);
            let turned = self.graph.node("Transpose", &[&name], &[Attribute::Ints("perm", &[1, 0])]);
            let y = self.graph.node("MatMul", &[&x, &turned], &[]);
            let bias = self.vector(decoder.bias.expect("the output has a bias"));
            self.graph.node("Add", &[&y, &bias], &[])
        } else {
            self.map(&x, decoder)
        };
        self.graph.named("Identity", &[&logits], "logits");
    }
}

/// A matrix `(rows, columns)` as `(columns, rows)`.
fn turned<T: Copy>(values: &[T], rows: usize, columns: usize) -> Vec<T> {
    (0..columns).flat_map(|j| (0..rows).map(move |i| values[i * columns + j])).collect()
}
