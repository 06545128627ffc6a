//! A tape's steps as ONNX nodes.
//!
//! A map is in the graph as planes `(batch, channels, H, W)`, as rows `(batch, H, W, channels)`, or both: convolutions and
//! poolings take planes, linear layers, layer norm and attention rows, and what lies between is turned where it has to be.

use super::curves::{activate, response_norm};
use super::graph::Attribute::{Float, Int, Ints};
use super::graph::Graph;
use crate::error::{Error, Result};
use crate::tape::Conv2dParams;
use candle_core::{Tensor, TensorId};
use hydranet_tape::internal::{NormStep, Record, Step};
use std::collections::HashMap;

/// A map's names in the graph, as planes and as rows.
type Value = [Option<String>; 2];

/// Steps on their way into a graph.
pub(crate) struct Writer<'a> {
    pub(crate) graph: &'a mut Graph,
    dims: &'a [[usize; 4]],
    values: Vec<Value>,
    /// The names of the file's tensors.
    pub(crate) names: &'a HashMap<TensorId, String>,
}

/// Writes the steps after `images`, which are planes; gives the name of the map at `result`, rows or planes of one position.
pub(crate) fn write(
    graph: &mut Graph,
    images: String,
    record: &Record,
    result: usize,
    names: &HashMap<TensorId, String>,
) -> Result<String> {
    let images = value(false, images);
    let mut writer = Writer {
        graph,
        dims: &record.dims,
        values: vec![images],
        names,
    };
    for step in &record.steps {
        let value = writer.step(step)?;
        writer.values.push(value);
    }
    Ok(writer.either(result).1)
}

impl Writer<'_> {
    fn step(&mut self, step: &Step) -> Result<Value> {
        Ok(match step {
            Step::Conv { x, conv } => {
                let (weight, params) = (&conv.weight, &conv.params);
                let (scale, shift) = conv.epilogue.affine(weight.dim(0)?)?;
                let (scale, shift) = (scale.as_deref(), shift.as_deref());
                let of_rows = self.has_rows(*x) && is_linear(weight, params);
                let x = self.form(*x, of_rows);
                let y = if of_rows {
                    self.linear(&x, weight, scale, shift)?
                } else {
                    self.conv(&x, weight, params, scale, shift)?
                };
                value(of_rows, activate(self.graph, y, conv.epilogue.activation))
            }
            Step::LayerNorm(norm) => {
                let inputs = self.norm_inputs(norm)?;
                let attributes = [("axis", Int(-1)), ("epsilon", Float(norm.eps as f32))];
                let inputs = inputs.each_ref().map(String::as_str);
                let y = self.graph.node("LayerNormalization", &inputs, &attributes);
                value(true, y)
            }
            Step::ResponseNorm(norm) => {
                let inputs = self.norm_inputs(norm)?;
                let inputs = inputs.each_ref().map(String::as_str);
                value(true, response_norm(self.graph, inputs, norm.eps))
            }
            Step::Activation { x, activation } => {
                let (of_rows, x) = self.either(*x);
                value(of_rows, activate(self.graph, x, *activation))
            }
            Step::Attention { x, heads } => value(true, self.attention(*x, *heads)),
            Step::WindowAttention {
                x,
                layout,
                bias,
                filling,
            } => value(true, self.window_attention(*x, layout, bias, filling)?),
            Step::Merge { x } => value(true, self.merge(*x)),
            Step::Tokens {
                x,
                prefix,
                positions,
            } => value(true, self.tokens(*x, prefix, positions)?),
            Step::Token { x, place, count } => {
                let x = self.rows(*x);
                let places: Vec<i64> = (*place..place + count).map(|p| p as i64).collect();
                let places = self.graph.ints(&places);
                let axis = [("axis", Int(2))];
                value(true, self.graph.node("Gather", &[&x, &places], &axis))
            }
            Step::Offset { .. } => {
                return Err(Error::Invalid {
                    what: "the steps of a network".into(),
                    expected: "those of a prediction".into(),
                    found: "a map with an offset, which asks for gradients".into(),
                });
            }
            Step::Row { maps } => value(false, self.row(maps)),
            Step::Add { x, y, .. } => {
                let of_rows = self.has_rows(*x) && self.has_rows(*y);
                let [x, y] = [x, y].map(|m| self.form(*m, of_rows));
                value(of_rows, self.graph.node("Add", &[&x, &y], &[]))
            }
            Step::GlobalAvgPool { x } => match self.either(*x) {
                (true, x) => {
                    let attributes = [("axes", Ints(&[1, 2])), ("keepdims", Int(1))];
                    value(true, self.graph.node("ReduceMean", &[&x], &attributes))
                }
                (false, x) => value(false, self.graph.node("GlobalAveragePool", &[&x], &[])),
            },
            Step::ScaleChannels { x, gate } => {
                let (of_rows, x) = self.either(*x);
                let gate = self.form(*gate, of_rows);
                value(of_rows, self.graph.node("Mul", &[&x, &gate], &[]))
            }
            Step::AvgPool { x, params } => {
                let x = self.planes(*x);
                let attributes = [
                    ("kernel_shape", Ints(&pair(params.kernel))),
                    ("strides", Ints(&pair(params.stride))),
                    ("pads", Ints(&around(params.padding))),
                    ("ceil_mode", Int(params.ceil_mode.into())),
                    ("count_include_pad", Int(params.count_include_pad.into())),
                ];
                value(false, self.graph.node("AveragePool", &[&x], &attributes))
            }
            Step::MaxPool {
                x,
                kernel,
                stride,
                padding,
            } => {
                let x = self.planes(*x);
                let attributes = [
                    ("kernel_shape", Ints(&pair((*kernel, *kernel)))),
                    ("strides", Ints(&pair((*stride, *stride)))),
                    ("pads", Ints(&around((*padding, *padding)))),
                    ("dilations", Ints(&[1, 1])),
                    ("ceil_mode", Int(0)),
                ];
                value(false, self.graph.node("MaxPool", &[&x], &attributes))
            }
        })
    }

    /// The planes of maps behind each other, as a map of 1 × 1.
    fn row(&mut self, maps: &[usize]) -> String {
        let planes = maps.iter().map(|x| {
            let (h, w, c) = self.sides(*x);
            let planes = self.planes(*x);
            self.graph.reshape(&planes, &[h * w * c, 1, 1])
        });
        let planes: Vec<String> = planes.collect();
        let planes: Vec<&str> = planes.iter().map(String::as_str).collect();
        self.graph.node("Concat", &planes, &[("axis", Int(1))])
    }

    /// The names of a normalisation's map, scale and shift.
    fn norm_inputs(&mut self, NormStep { x, gamma, beta, .. }: &NormStep) -> Result<[String; 3]> {
        Ok([
            self.rows(*x),
            self.weight(gamma, "gamma")?,
            self.weight(beta, "beta")?,
        ])
    }

    /// The number of the step being written.
    pub(crate) fn number(&self) -> usize {
        self.values.len()
    }

    /// (H, W, channels) of a map.
    pub(crate) fn sides(&self, place: usize) -> (usize, usize, usize) {
        let [_, h, w, c] = self.dims[place];
        (h, w, c)
    }

    /// A map as planes.
    fn planes(&mut self, place: usize) -> String {
        self.form(place, false)
    }

    /// A map as rows.
    pub(crate) fn rows(&mut self, place: usize) -> String {
        self.form(place, true)
    }

    /// A map as rows or as planes, turned if it is the other.
    fn form(&mut self, place: usize, of_rows: bool) -> String {
        let order = if of_rows { [0, 2, 3, 1] } else { [0, 3, 1, 2] };
        let (wanted, other) = (usize::from(of_rows), usize::from(!of_rows));
        if let (None, Some(other)) = (&self.values[place][wanted], &self.values[place][other]) {
            let turned = self.graph.transpose(other, &order);
            self.values[place][wanted] = Some(turned);
        }
        self.values[place][wanted].clone().unwrap_or_default()
    }

    fn has_rows(&self, place: usize) -> bool {
        self.values[place][1].is_some()
    }

    /// A map as it is, and whether that is rows.
    fn either(&mut self, place: usize) -> (bool, String) {
        let of_rows = self.values[place][0].is_none();
        (of_rows, self.form(place, of_rows))
    }
}

/// A map that is in the graph as rows, or as planes.
fn value(of_rows: bool, name: String) -> Value {
    if of_rows {
        [None, Some(name)]
    } else {
        [Some(name), None]
    }
}

/// Whether a convolution is a linear layer at every position.
fn is_linear(weight: &Tensor, params: &Conv2dParams) -> bool {
    matches!(weight.dims(), [_, _] | [_, _, 1, 1]) && *params == Conv2dParams::default()
}

pub(crate) fn pair((vertical, horizontal): (usize, usize)) -> [i64; 2] {
    [vertical as i64, horizontal as i64]
}

/// The same padding before and behind.
fn around(padding: (usize, usize)) -> [i64; 4] {
    let [vertical, horizontal] = pair(padding);
    [vertical, horizontal, vertical, horizontal]
}
