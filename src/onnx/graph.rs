//! An ONNX graph while it is made: nodes, constants, inputs and outputs. Fields are numbered as in `onnx.proto3`.

use crate::io::wire::Message;
use std::collections::{HashMap, HashSet};

/// A setting of a node.
pub(crate) enum Attribute<'a> {
    Int(i64),
    Float(f32),
    Ints(&'a [i64]),
}

/// The types of tensors there are, by ONNX's number.
const FLOAT: i64 = 1;
const INT64: i64 = 7;

/// The opset whose operators are meant. In 17 came `LayerNormalization`; in 18 the axes of reductions became inputs.
const OPSET: i64 = 17;

/// The version of the format that goes with the opset.
const IR_VERSION: i64 = 8;

/// A graph. Names of values and constants have a dot, which names of heads have not.
#[derive(Default)]
pub(crate) struct Graph {
    nodes: Vec<Message>,
    constants: Vec<Message>,
    outputs: Vec<Message>,
    /// Constants without a name of their own, by shape and bytes.
    known: HashMap<(Vec<usize>, Vec<u8>), String>,
    /// The names of weights that are there.
    weights: HashSet<String>,
    count: usize,
}

impl Graph {
    fn fresh(&mut self, prefix: &str) -> String {
        self.count += 1;
        format!("{}.{}", prefix.to_lowercase(), self.count)
    }

    /// A node with one output, whose name it gives.
    pub(crate) fn node(
        &mut self,
        op: &str,
        inputs: &[&str],
        attributes: &[(&str, Attribute)],
    ) -> String {
        let output = self.fresh(op);
        self.named(op, inputs, &[&output], attributes);
        output
    }

    /// The same values with axes in another order.
    pub(crate) fn transpose(&mut self, x: &str, order: &[i64]) -> String {
        self.node("Transpose", &[x], &[("perm", Attribute::Ints(order))])
    }

    /// The same values `(batch, …)` in another shape, however many images there are.
    pub(crate) fn reshape(&mut self, x: &str, shape: &[usize]) -> String {
        // 0: as it was.
        let shape: Vec<i64> = [0]
            .into_iter()
            .chain(shape.iter().map(|d| *d as i64))
            .collect();
        let shape = self.ints(&shape);
        self.node("Reshape", &[x, &shape], &[])
    }

    /// A node with `N` outputs.
    pub(crate) fn split<const N: usize>(&mut self, x: &str, axis: i64) -> [String; N] {
        let outputs = std::array::from_fn(|_| self.fresh("split"));
        let names: Vec<&str> = outputs.iter().map(String::as_str).collect();
        self.named("Split", &[x], &names, &[("axis", Attribute::Int(axis))]);
        outputs
    }

    /// A node whose outputs have the names given.
    pub(crate) fn named(
        &mut self,
        op: &str,
        inputs: &[&str],
        outputs: &[&str],
        attributes: &[(&str, Attribute)],
    ) {
        let mut node = Message::new();
        for input in inputs {
            node = node.text(1, input);
        }
        for output in outputs {
            node = node.text(2, output);
        }
        node = node.text(3, outputs[0]).text(4, op);
        for (name, attribute) in attributes {
            let a = Message::new().text(1, name);
            // Field 20 says which of the others holds the value.
            let a = match attribute {
                Attribute::Float(v) => a.float(2, *v).int(20, 1),
                Attribute::Int(v) => a.int(3, *v).int(20, 2),
                Attribute::Ints(values) => {
                    let a = values.iter().fold(a, |a, v| a.int(8, *v));
                    a.int(20, 7)
                }
            };
            node = node.message(5, &a);
        }
        self.nodes.push(node);
    }

    /// A constant of a name of its own: a weight.
    pub(crate) fn weight(&mut self, name: &str, shape: &[usize], values: &[f32]) {
        // Where the network runs twice its weights are there once.
        if !self.weights.insert(name.into()) {
            return;
        }
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.constants.push(tensor(name, FLOAT, shape, &bytes));
    }

    /// A constant, only once for the same values.
    pub(crate) fn floats(&mut self, shape: &[usize], values: &[f32]) -> String {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.constant(FLOAT, shape, bytes)
    }

    /// A constant of one number.
    pub(crate) fn number(&mut self, value: f32) -> String {
        self.floats(&[], &[value])
    }

    /// A list of integers, only once for the same ones.
    pub(crate) fn ints(&mut self, values: &[i64]) -> String {
        self.table(&[values.len()], values)
    }

    /// A table of integers.
    pub(crate) fn table(&mut self, shape: &[usize], values: &[i64]) -> String {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.constant(INT64, shape, bytes)
    }

    fn constant(&mut self, kind: i64, shape: &[usize], bytes: Vec<u8>) -> String {
        let prefix = if kind == FLOAT { "floats" } else { "ints" };
        // No float constant has the bytes and shape of an integer one: they have half as many bytes.
        let key = (shape.to_vec(), bytes);
        if let Some(name) = self.known.get(&key) {
            return name.clone();
        }
        let name = self.fresh(prefix);
        self.constants.push(tensor(&name, kind, shape, &key.1));
        self.known.insert(key, name.clone());
        name
    }

    /// Declares an output of floats `(batch, …)`; `shape` is that of one photo.
    pub(crate) fn output(&mut self, name: &str, shape: &[usize]) {
        self.outputs.push(value(name, FLOAT, shape));
    }

    /// Declares an output of integers `(batch)`.
    pub(crate) fn integers(&mut self, name: &str) {
        self.outputs.push(value(name, INT64, &[]));
    }

    /// The model's bytes: the graph with an input `(batch, …)`, and text about it.
    pub(crate) fn into_model(
        self,
        input: &str,
        shape: &[usize],
        metadata: &[(&str, &str)],
    ) -> Message {
        let mut graph = Message::new();
        for node in &self.nodes {
            graph = graph.message(1, node);
        }
        graph = graph.text(2, "hydranet");
        for constant in self.constants {
            graph = graph.message(5, &constant);
        }
        graph = graph.message(11, &value(input, FLOAT, shape));
        for output in &self.outputs {
            graph = graph.message(12, output);
        }
        // Nothing of the program's version: equal models are equal bytes.
        let opset = Message::new().text(1, "").int(2, OPSET);
        let mut model = Message::new()
            .int(1, IR_VERSION)
            .text(2, "hydranet")
            .message(7, &graph)
            .message(8, &opset);
        for (key, value) in metadata {
            let entry = Message::new().text(1, key).text(2, value);
            model = model.message(14, &entry);
        }
        model
    }
}

fn tensor(name: &str, kind: i64, shape: &[usize], bytes: &[u8]) -> Message {
    let dims = shape
        .iter()
        .fold(Message::new(), |t, d| t.int(1, *d as i64));
    dims.int(2, kind).text(8, name).bytes(9, bytes)
}

/// The description of something `(batch, …)`.
fn value(name: &str, kind: i64, shape: &[usize]) -> Message {
    let batch = Message::new().message(1, &Message::new().text(2, "batch"));
    let shape = shape.iter().fold(batch, |shape, d| {
        shape.message(1, &Message::new().int(1, *d as i64))
    });
    let tensor = Message::new().int(1, kind).message(2, &shape);
    Message::new()
        .text(1, name)
        .message(2, &Message::new().message(1, &tensor))
}
