//! An ONNX graph that grows node by node.
//!
//! Numbers of fields and types: <https://github.com/onnx/onnx/blob/main/onnx/onnx.proto>; operators of opset 17, the
//! first with `LayerNormalization`.

use super::proto::Message;
use std::collections::BTreeSet;

const FLOAT: i64 = 1;
const UINT8: i64 = 2;
const INT8: i64 = 3;
const INT64: i64 = 7;

/// An attribute of a node.
pub(super) enum Attribute<'a> {
    Int(&'a str, i64),
    Float(&'a str, f32),
    Ints(&'a str, &'a [i64]),
}

impl Attribute<'_> {
    fn message(&self) -> Message {
        // The name, the value, the kind of value.
        match *self {
            Attribute::Float(name, value) => Message::new().text(1, name).float(2, value).int(20, 1),
            Attribute::Int(name, value) => Message::new().text(1, name).int(3, value).int(20, 2),
            Attribute::Ints(name, values) => {
                Message::new().text(1, name).each(8, values.iter(), |m, f, &v| m.int(f, v)).int(20, 7)
            }
        }
    }
}

/// A graph on its way. Values are named by strings.
#[derive(Default)]
pub(super) struct Graph {
    nodes: Vec<Message>,
    constants: Vec<Message>,
    known: BTreeSet<String>,
    values: usize,
}

impl Graph {
    /// A node with one output, whose name is given back.
    pub fn node(&mut self, kind: &str, inputs: &[&str], attributes: &[Attribute<'_>]) -> String {
        let [output] = self.node_of(kind, inputs, attributes);
        output
    }

    /// A node with several outputs.
    pub fn node_of<const N: usize>(
        &mut self,
        kind: &str,
        inputs: &[&str],
        attributes: &[Attribute<'_>],
    ) -> [String; N] {
        let outputs = std::array::from_fn(|_| {
            self.values += 1;
            format!("{}_{}", kind.to_lowercase(), self.values)
        });
        self.add(kind, inputs, &outputs, attributes);
        outputs
    }

    /// A node whose output has a name of its own.
    pub fn named(&mut self, kind: &str, inputs: &[&str], output: &str) {
        self.add(kind, inputs, &[output.to_owned()], &[]);
    }

    fn add(&mut self, kind: &str, inputs: &[&str], outputs: &[String], attributes: &[Attribute<'_>]) {
        let node = Message::new()
            .each(1, inputs, |m, f, input| m.text(f, input))
            .each(2, outputs, |m, f, output| m.text(f, output))
            .text(3, &outputs[0])
            .text(4, kind)
            .each(5, attributes, |m, f, attribute| m.message(f, &attribute.message()));
        self.nodes.push(node);
    }

    /// Whether a constant of this name is there already.
    pub fn has(&self, name: &str) -> bool {
        self.known.contains(name)
    }

    fn constant(&mut self, name: &str, kind: i64, dims: &[usize], bytes: &[u8]) -> String {
        if self.known.insert(name.to_owned()) {
            let dims = dims.iter().map(|&d| d as i64);
            let tensor = Message::new().each(1, dims, |m, f, d| m.int(f, d)).int(2, kind).text(8, name).bytes(9, bytes);
            self.constants.push(tensor);
        }
        name.to_owned()
    }

    /// A constant of f32; without dimensions a single value.
    pub fn floats(&mut self, name: &str, dims: &[usize], values: &[f32]) -> String {
        self.constant(name, FLOAT, dims, &values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>())
    }

    /// A constant of whole numbers.
    pub fn ints(&mut self, name: &str, dims: &[usize], values: &[i64]) -> String {
        self.constant(name, INT64, dims, &values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>())
    }

    /// A constant of signed bytes.
    pub fn int8(&mut self, name: &str, dims: &[usize], values: &[i8]) -> String {
        self.constant(name, INT8, dims, &values.iter().map(|&v| v as u8).collect::<Vec<u8>>())
    }

    /// A constant of a byte.
    pub fn byte(&mut self, name: &str, value: u8) -> String {
        self.constant(name, UINT8, &[], &[value])
    }

    /// A conversion to f32.
    pub fn cast(&mut self, x: &str) -> String {
        self.node("Cast", &[x], &[Attribute::Int("to", FLOAT)])
    }

    /// The whole model: inputs of whole numbers `(texts, tokens)`, one output of f32 with these dimensions.
    pub fn finish(self, inputs: &[&str], (output, dims): (&str, &[&str])) -> Vec<u8> {
        let value = |name: &str, kind: i64, dims: &[&str]| {
            let shape = Message::new().each(1, dims, |m, f, dim| {
                let dim = match dim.parse::<i64>() {
                    Ok(known) => Message::new().int(1, known),
                    Err(_) => Message::new().text(2, dim),
                };
                m.message(f, &dim)
            });
            let tensor = Message::new().int(1, kind).message(2, &shape);
            Message::new().text(1, name).message(2, &Message::new().message(1, &tensor))
        };
        let graph = Message::new()
            .each(1, &self.nodes, |m, f, node| m.message(f, node))
            .text(2, "encoder")
            .each(5, &self.constants, |m, f, constant| m.message(f, constant))
            .each(11, inputs, |m, f, name| m.message(f, &value(name, INT64, &["texts", "tokens"])))
            .message(12, &value(output, FLOAT, dims));
        let opset = Message::new().text(1, "").int(2, 17);
        // Version 8 of the format is the one that goes with opset 17.
        Message::new().int(1, 8).text(2, "polyseme").message(7, &graph).message(8, &opset).into_bytes()
    }
}
