//! y = x·Wᵀ + b, as one operator.

use crate::values::{Value, typed, values, with_values};
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};
use hydranet_kernels::linear::{bias_gradient, forward, input_gradient, weight_gradient};

/// A linear layer.
///
/// # Shapes
/// `x` `(…, in)`, `weight` `(out, in)`, `bias` `(out)`; result `(…, out)`.
///
/// # Errors
/// If shapes do not fit, or the type is not a floating-point one (on the CPU: neither `f32` nor `f64`).
#[doc(hidden)]
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    if !x.device().is_cpu() {
        return composed(x, weight, bias);
    }
    let (x, weight) = (x.contiguous()?, weight.contiguous()?);
    let bias = match bias {
        Some(bias) => bias.contiguous()?,
        None => Tensor::zeros(weight.dim(0)?, weight.dtype(), weight.device())?,
    };
    if x.track_op() || weight.track_op() || bias.track_op() {
        x.apply_op3(&weight, &bias, Linear)
    } else {
        x.apply_op3_no_bwd(&weight, &bias, &Linear)
    }
}

/// The same by candle's operators.
fn composed(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let (outputs, inputs) = weight.dims2()?;
    let mut shape = x.dims().to_vec();
    if let Some(last) = shape.last_mut() {
        *last = outputs;
    }
    let rows = x.elem_count() / inputs.max(1);
    let y = x.reshape((rows, inputs))?.matmul(&weight.t()?)?;
    let y = match bias {
        Some(bias) => y.broadcast_add(bias)?,
        None => y,
    };
    y.reshape(shape)
}

struct Linear;

type Gradients = (Option<Tensor>, Option<Tensor>, Option<Tensor>);

impl Linear {
    fn result<T: Value>(
        inputs: usize,
        [x, w, b]: [(&CpuStorage, &Layout); 3],
    ) -> Result<CpuStorage> {
        let (x, w, b) = (values(x.0, x.1)?, values(w.0, w.1)?, values(b.0, b.1)?);
        Ok(T::storage(forward::<T>(inputs, x, w, b)))
    }

    fn gradients<T: Value>([x, w, b]: [&Tensor; 3], dy: &Tensor) -> Result<Gradients> {
        let size = w.dims2()?;
        with_values(dy, |dy: &[T]| {
            let dx = x
                .track_op()
                .then(|| with_values(w, |w| T::tensor(input_gradient(size, w, dy), x.dims())));
            let dw = w
                .track_op()
                .then(|| with_values(x, |x| T::tensor(weight_gradient(size, x, dy), w.dims())));
            let db = b
                .track_op()
                .then(|| T::tensor(bias_gradient(dy, size.0), b.dims()));
            Ok((dx.transpose()?, dw.transpose()?, db.transpose()?))
        })
    }
}

impl CustomOp3 for Linear {
    fn name(&self) -> &'static str {
        "hydranet-linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        w: &CpuStorage,
        w_layout: &Layout,
        b: &CpuStorage,
        b_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (&[ref leading @ .., inputs], &[outputs, w_inputs], &[bias]) =
            (x_layout.dims(), w_layout.dims(), b_layout.dims())
        else {
            bail!(
                "linear: expected x (…, in), weight (out, in) and bias (out), found {:?}, {:?} and {:?}",
                x_layout.dims(),
                w_layout.dims(),
                b_layout.dims()
            )
        };
        if inputs != w_inputs || outputs != bias || inputs == 0 || outputs == 0 {
            bail!(
                "linear: x has {inputs} features, weight is ({outputs}, {w_inputs}), bias ({bias})"
            )
        }
        let shape = Shape::from_dims(&[leading, &[outputs]].concat());
        let arguments = [(x, x_layout), (w, w_layout), (b, b_layout)];
        match x {
            CpuStorage::F32(_) => Ok((Self::result::<f32>(inputs, arguments)?, shape)),
            CpuStorage::F64(_) => Ok((Self::result::<f64>(inputs, arguments)?, shape)),
            _ => bail!("linear: expected values of type f32 or f64"),
        }
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<Gradients> {
        typed!("linear", x, T => Self::gradients::<T>([x, w, b], dy))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    /// Result and gradients of all arguments.
    fn run(f: fn(&Tensor, &Tensor, Option<&Tensor>) -> Result<Tensor>) -> Result<Vec<Vec<f64>>> {
        let values = |shape: &[usize], step: f64| {
            let n = shape.iter().product::<usize>();
            let values: Vec<f64> = (0..n).map(|i| (i as f64 * step).sin()).collect();
            Var::from_vec(values, shape, &Device::Cpu)
        };
        let (x, w, b) = (
            values(&[2, 70, 13], 0.7)?,
            values(&[5, 13], 1.3)?,
            values(&[5], 0.9)?,
        );
        let y = f(&x, &w, Some(&b))?;
        let gradients = (&y * &y)?.sum_all()?.backward()?;
        let mut found = vec![y];
        for t in [&x, &w, &b] {
            found.extend(gradients.get(t).cloned());
        }
        found.iter().map(|t| t.flatten_all()?.to_vec1()).collect()
    }

    #[test]
    fn the_composition_has_the_values_and_gradients_of_the_kernel() {
        let (kernel, composed) = (run(linear).unwrap(), run(composed).unwrap());
        assert_eq!((kernel.len(), composed.len()), (4, 4));
        for (kernel, composed) in kernel.iter().zip(&composed) {
            assert_eq!(kernel.len(), composed.len());
            for (a, b) in kernel.iter().zip(composed) {
                assert!((a - b).abs() < 1e-11 * b.abs().max(1.0), "{a} {b}");
            }
        }
    }
}
