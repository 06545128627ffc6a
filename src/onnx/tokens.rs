//! What transformers do with tokens, as nodes.

use super::graph::Attribute::Int;
use super::steps::Writer;
use crate::error::Result;
use candle_core::{DType, Tensor};
use hydranet_tape::internal::WindowLayout;

/// Axes of `(batch, tokens, heads, dim)` or `(batch, windows, tokens, heads, dim)` with heads before tokens, and those of keys,
/// which a product takes turned.
const TOKENS: [&[i64]; 2] = [&[0, 2, 1, 3], &[0, 2, 3, 1]];
const WINDOWS: [&[i64]; 2] = [&[0, 1, 3, 2, 4], &[0, 1, 3, 4, 2]];

impl Writer<'_> {
    /// Queries, scaled, keys, turned, and values of each head, from rows of all three; `shape` is that of one of the three.
    fn heads(&mut self, x: &str, axis: i64, shape: &[usize]) -> [String; 3] {
        let [plain, turned] = if shape.len() == 3 { TOKENS } else { WINDOWS };
        let dim = shape[shape.len() - 1] as f64;
        let [q, k, v] = self.graph.split::<3>(x, axis);
        let [q, k, v] = [(q, plain), (k, turned), (v, plain)].map(|(part, order)| {
            let part = self.graph.reshape(&part, shape);
            self.graph.transpose(&part, order)
        });
        let scale = self.graph.number((1.0 / dim.sqrt()) as f32);
        let q = self.graph.node("Mul", &[&q, &scale], &[]);
        [q, k, v]
    }

    /// Attention of all positions to each other.
    pub(crate) fn attention(&mut self, place: usize, heads: usize) -> String {
        let (h, w, c) = self.sides(place);
        let x = self.rows(place);
        let [q, k, v] = self.heads(&x, 3, &[h * w, heads, c / 3 / heads]);
        let scores = self.graph.node("MatMul", &[&q, &k], &[]);
        let probs = self.graph.node("Softmax", &[&scores], &[("axis", Int(-1))]);
        let y = self.graph.node("MatMul", &[&probs, &v], &[]);
        let y = self.graph.transpose(&y, TOKENS[0]);
        self.graph.reshape(&y, &[h, w, c / 3])
    }

    /// Attention within windows. Rolling, filling up and cutting is one choice of positions, and back.
    pub(crate) fn window_attention(
        &mut self,
        place: usize,
        layout: &WindowLayout,
        bias: &Tensor,
        filling: &Tensor,
    ) -> Result<String> {
        let (h, w, c) = self.sides(place);
        let (windows, n) = (layout.windows(), layout.tokens());
        let x = self.rows(place);
        let mut x = self.graph.reshape(&x, &[h * w, c]);
        if layout.is_filled() {
            let filling = filling.to_dtype(DType::F32)?.to_vec1()?;
            let filling = self.graph.floats(&[1, 1, c], &filling);
            let filling = self.for_each_image(&filling, &[1, c], &x);
            let axis = [("axis", Int(1))];
            x = self.graph.node("Concat", &[&x, &filling], &axis);
        }
        let x = self.choice(&x, &layout.taken());
        let x = self.graph.reshape(&x, &[windows, n, c]);
        let [q, k, v] = self.heads(&x, 3, &[windows, n, layout.heads, layout.dim]);
        let scores = self.graph.node("MatMul", &[&q, &k], &[]);
        let bias = self.biases(layout, bias)?;
        let mut scores = self.graph.node("Add", &[&scores, &bias], &[]);
        if let Some(unseen) = layout.unseen() {
            let unseen: Vec<f32> = unseen.into_iter().map(|v| v as f32).collect();
            let unseen = self.graph.floats(&[windows, 1, n, n], &unseen);
            scores = self.graph.node("Add", &[&scores, &unseen], &[]);
        }
        let probs = self.graph.node("Softmax", &[&scores], &[("axis", Int(-1))]);
        let y = self.graph.node("MatMul", &[&probs, &v], &[]);
        let y = self.graph.transpose(&y, WINDOWS[0]);
        let y = self.graph.reshape(&y, &[windows * n, c / 3]);
        let y = self.choice(&y, &layout.returned());
        Ok(self.graph.reshape(&y, &[h, w, c / 3]))
    }

    /// The table of biases spread out, `(heads, queries, keys)`.
    fn biases(&mut self, layout: &WindowLayout, table: &Tensor) -> Result<String> {
        let (n, heads) = (layout.tokens(), layout.heads);
        let values: Vec<f32> = table.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
        let distances = layout.distances();
        let of_head = |head| {
            let values = &values;
            let place = move |d: &u32| values[*d as usize * heads + head];
            distances.iter().map(place)
        };
        let spread: Vec<f32> = (0..heads).flat_map(of_head).collect();
        Ok(self.graph.floats(&[heads, n, n], &spread))
    }

    /// Some positions of `(batch, positions, channels)`.
    fn choice(&mut self, x: &str, places: &[u32]) -> String {
        let places: Vec<i64> = places.iter().map(|p| i64::from(*p)).collect();
        let places = self.graph.ints(&places);
        let axis = [("axis", Int(1))];
        self.graph.node("Gather", &[x, &places], &axis)
    }

    /// A constant `(1, shape)` for each image of `x`.
    fn for_each_image(&mut self, constant: &str, shape: &[usize], x: &str) -> String {
        let first = [("start", Int(0)), ("end", Int(1))];
        let batch = self.graph.node("Shape", &[x], &first);
        let shape: Vec<i64> = shape.iter().map(|d| *d as i64).collect();
        let shape = self.graph.ints(&shape);
        let axis = [("axis", Int(0))];
        let shape = self.graph.node("Concat", &[&batch, &shape], &axis);
        self.graph.node("Expand", &[constant, &shape], &[])
    }

    /// Squares of four positions as one.
    pub(crate) fn merge(&mut self, place: usize) -> String {
        let (h, w, c) = self.sides(place);
        let (rows, cols) = (h.div_ceil(2), w.div_ceil(2));
        let mut x = self.rows(place);
        if (2 * rows, 2 * cols) != (h, w) {
            let (bottom, right) = (2 * rows - h, 2 * cols - w);
            let pads = [0, 0, 0, 0, 0, bottom as i64, right as i64, 0];
            let pads = self.graph.ints(&pads);
            x = self.graph.node("Pad", &[&x, &pads], &[]);
        }
        let x = self.graph.reshape(&x, &[rows, 2, cols, 2, c]);
        let x = self.graph.transpose(&x, &[0, 1, 3, 4, 2, 5]);
        self.graph.reshape(&x, &[rows, cols, 4 * c])
    }

    /// Positions behind the tokens of a prefix, and the positions' embedding.
    pub(crate) fn tokens(
        &mut self,
        place: usize,
        prefix: &Tensor,
        positions: &Tensor,
    ) -> Result<String> {
        let (h, w, c) = self.sides(place);
        let before = prefix.dim(1)?;
        let x = self.rows(place);
        let patches = self.graph.reshape(&x, &[1, h * w, c]);
        let of_all = positions.dim(1)? == before + h * w;
        let positions = self.weight(positions, "positions")?;
        let prefix = self.weight(prefix, "prefix")?;
        let prefix = self.for_each_image(&prefix, &[1, before, c], &patches);
        let axis = [("axis", Int(2))];
        if of_all {
            let all = [prefix.as_str(), &patches];
            let all = self.graph.node("Concat", &all, &axis);
            return Ok(self.graph.node("Add", &[&all, &positions], &[]));
        }
        let patches = self.graph.node("Add", &[&patches, &positions], &[]);
        let all = [prefix.as_str(), &patches];
        Ok(self.graph.node("Concat", &all, &axis))
    }
}
