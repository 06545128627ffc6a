//! Convolutions and linear layers as nodes. What follows them and is fixed is part of their weights, computed in f64.

use super::graph::Attribute::{Int, Ints};
use super::steps::{Writer, pair};
use crate::error::Result;
use crate::tape::Conv2dParams;
use candle_core::{DType, Tensor};

impl Writer<'_> {
    /// A tensor of the file as it is.
    pub(crate) fn weight(&mut self, tensor: &Tensor, what: &str) -> Result<String> {
        let values = tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
        let name = self.name(tensor, what);
        self.graph.weight(&name, tensor.dims(), &values);
        Ok(name)
    }

    /// The name of a constant: that of the file's tensor, or one by the step it belongs to.
    fn name(&self, tensor: &Tensor, what: &str) -> String {
        match self.names.get(&tensor.id()) {
            Some(name) => name.clone(),
            None => format!("step{}.{what}", self.number()),
        }
    }

    /// Adds a convolution's or a linear layer's weight, scaled, and its shift; `turned` puts inputs first. Gives their names.
    fn scaled(
        &mut self,
        weight: &Tensor,
        scale: Option<&[f64]>,
        shift: Option<&[f64]>,
        turned: bool,
    ) -> Result<(String, Option<String>)> {
        let outputs = weight.dim(0)?;
        let inputs = weight.elem_count() / outputs.max(1);
        let mut values: Vec<f32> = weight.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
        if let Some(scale) = scale {
            for (row, scale) in values.chunks_exact_mut(inputs).zip(scale) {
                row.iter_mut()
                    .for_each(|v| *v = (f64::from(*v) * scale) as f32);
            }
        }
        let mut shape = weight.dims().to_vec();
        if turned {
            shape = vec![inputs, outputs];
            let turn = |i: usize| values[i % outputs * inputs + i / outputs];
            values = (0..inputs * outputs).map(turn).collect();
        } else if shape.len() == 2 {
            // A linear layer over planes is a pointwise convolution.
            shape.extend([1, 1]);
        }
        let name = self.name(weight, "weight");
        self.graph.weight(&name, &shape, &values);
        let shift = shift.map(|shift| {
            let shift: Vec<f32> = shift.iter().map(|s| *s as f32).collect();
            let stem = name.strip_suffix(".weight").unwrap_or(&name);
            let name = format!("{stem}.bias");
            self.graph.weight(&name, &[outputs], &shift);
            name
        });
        Ok((name, shift))
    }

    /// A convolution of planes.
    pub(crate) fn conv(
        &mut self,
        x: &str,
        weight: &Tensor,
        params: &Conv2dParams,
        scale: Option<&[f64]>,
        shift: Option<&[f64]>,
    ) -> Result<String> {
        let kernel = match *weight.dims() {
            [_, _, h, w] => (h, w),
            _ => (1, 1),
        };
        let (weight, shift) = self.scaled(weight, scale, shift, false)?;
        let [top, bottom, left, right] = params.padding.map(|p| p as i64);
        let attributes = [
            ("kernel_shape", Ints(&pair(kernel))),
            ("strides", Ints(&pair(params.stride))),
            ("pads", Ints(&[top, left, bottom, right])),
            ("dilations", Ints(&pair(params.dilation))),
            ("group", Int(params.groups as i64)),
        ];
        let mut inputs = vec![x, &weight];
        inputs.extend(shift.as_deref());
        Ok(self.graph.node("Conv", &inputs, &attributes))
    }

    /// A linear layer of rows.
    pub(crate) fn linear(
        &mut self,
        x: &str,
        weight: &Tensor,
        scale: Option<&[f64]>,
        shift: Option<&[f64]>,
    ) -> Result<String> {
        let (weight, shift) = self.scaled(weight, scale, shift, true)?;
        let mut y = self.graph.node("MatMul", &[x, &weight], &[]);
        if let Some(shift) = shift {
            y = self.graph.node("Add", &[&y, &shift], &[]);
        }
        Ok(y)
    }
}
