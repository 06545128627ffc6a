//! Reading ONNX files back, field by field.

// Each test file uses a part of this.
#![allow(dead_code)]

use std::collections::BTreeMap;

/// The fields of a message in order: number and value.
pub type Fields<'a> = Vec<(u64, Field<'a>)>;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Field<'a> {
    Int(i64),
    Float(f32),
    Bytes(&'a [u8]),
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let (mut value, mut shift) = (0u64, 0);
    loop {
        let byte = bytes[0];
        *bytes = &bytes[1..];
        value |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte < 0x80 {
            return value;
        }
    }
}

pub fn fields(mut bytes: &[u8]) -> Fields<'_> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let value = match key & 7 {
            0 => Field::Int(varint(&mut bytes) as i64),
            2 => {
                let length = varint(&mut bytes) as usize;
                let (value, rest) = bytes.split_at(length);
                bytes = rest;
                Field::Bytes(value)
            }
            5 => {
                let (value, rest) = bytes.split_at(4);
                bytes = rest;
                Field::Float(f32::from_le_bytes(value.try_into().unwrap()))
            }
            kind => panic!("a value of kind {kind}"),
        };
        found.push((key >> 3, value));
    }
    found
}

pub fn texts<'a>(message: &Fields<'a>, number: u64) -> Vec<&'a str> {
    messages(message, number)
        .map(|b| std::str::from_utf8(b).unwrap())
        .collect()
}

fn messages<'a>(message: &Fields<'a>, number: u64) -> impl Iterator<Item = &'a [u8]> {
    let of_number = message.iter().filter(move |(n, _)| *n == number);
    of_number.map(move |(_, value)| match value {
        Field::Bytes(bytes) => *bytes,
        other => panic!("field {number}: {other:?}"),
    })
}

pub fn ints(message: &Fields, number: u64) -> Vec<i64> {
    let of_number = message.iter().filter(|(n, _)| *n == number);
    of_number
        .map(|(_, value)| match value {
            Field::Int(v) => *v,
            other => panic!("field {number}: {other:?}"),
        })
        .collect()
}

#[derive(Debug)]
pub struct Node {
    pub op: String,
    /// With its settings, as it stands.
    pub bytes: Vec<u8>,
    pub inputs: Vec<String>,
    pub outputs: Vec<String>,
}

#[derive(Debug)]
pub struct Constant {
    pub shape: Vec<usize>,
    pub is_float: bool,
    pub bytes: Vec<u8>,
}

impl Constant {
    pub fn floats(&self) -> Vec<f32> {
        assert!(self.is_float);
        let values = self.bytes.chunks_exact(4);
        values
            .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
            .collect()
    }

    pub fn ints(&self) -> Vec<i64> {
        assert!(!self.is_float);
        let values = self.bytes.chunks_exact(8);
        values
            .map(|b| i64::from_le_bytes(b.try_into().unwrap()))
            .collect()
    }
}

/// A model. An input's or output's sides are numbers, or the name of one that is left open.
#[derive(Debug)]
pub struct Model {
    pub ir_version: i64,
    pub opset: (String, i64),
    pub metadata: BTreeMap<String, String>,
    pub nodes: Vec<Node>,
    pub constants: BTreeMap<String, Constant>,
    pub inputs: Vec<(String, Vec<String>)>,
    pub outputs: Vec<(String, Vec<String>)>,
}

fn value(bytes: &[u8]) -> (String, Vec<String>) {
    let value = fields(bytes);
    let kind = fields(messages(&value, 2).next().unwrap());
    let tensor = fields(messages(&kind, 1).next().unwrap());
    let name = texts(&value, 1)[0];
    let kind = if name == "final_class" { 7 } else { 1 };
    assert_eq!(ints(&tensor, 1), [kind], "{name}");
    let shape = fields(messages(&tensor, 2).next().unwrap());
    let sides = messages(&shape, 1).map(|side| match fields(side)[0] {
        (1, Field::Int(size)) => size.to_string(),
        (2, Field::Bytes(name)) => String::from_utf8(name.into()).unwrap(),
        other => panic!("a side {other:?}"),
    });
    (name.into(), sides.collect())
}

pub fn read(bytes: &[u8]) -> Model {
    let model = fields(bytes);
    let graph = fields(messages(&model, 7).next().unwrap());
    let owned = |texts: Vec<&str>| texts.into_iter().map(String::from).collect::<Vec<_>>();
    let opset = fields(messages(&model, 8).next().unwrap());
    let metadata = messages(&model, 14).map(|entry| {
        let entry = fields(entry);
        (texts(&entry, 1)[0].into(), texts(&entry, 2)[0].into())
    });
    let nodes = messages(&graph, 1).map(|bytes| {
        let node = fields(bytes);
        Node {
            bytes: bytes.into(),
            op: texts(&node, 4)[0].into(),
            inputs: owned(texts(&node, 1)),
            outputs: owned(texts(&node, 2)),
        }
    });
    let mut constants = BTreeMap::new();
    for tensor in messages(&graph, 5) {
        let tensor = fields(tensor);
        let kind = ints(&tensor, 2)[0];
        assert!(kind == 1 || kind == 7, "type {kind}");
        let constant = Constant {
            shape: ints(&tensor, 1).into_iter().map(|d| d as usize).collect(),
            is_float: kind == 1,
            bytes: messages(&tensor, 9).next().unwrap().into(),
        };
        let name = texts(&tensor, 8)[0];
        assert!(constants.insert(name.into(), constant).is_none(), "{name}");
    }
    Model {
        ir_version: ints(&model, 1)[0],
        opset: (texts(&opset, 1)[0].into(), ints(&opset, 2)[0]),
        metadata: metadata.collect(),
        nodes: nodes.collect(),
        constants,
        inputs: messages(&graph, 11).map(value).collect(),
        outputs: messages(&graph, 12).map(value).collect(),
    }
}
