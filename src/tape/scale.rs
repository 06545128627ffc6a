//! Scaling by constants: dropout, and weights of losses.

use crate::values::{Value, typed, typed_storage, values, with_values};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};

/// `x` multiplied by constants, each covering `x.elem_count() / factors.len()` consecutive values: one factor a value is dropout
/// (Srivastava et al. 2014).
///
/// # Shapes
/// `x` of any shape; the result has the same.
///
/// # Errors
/// If the number of factors does not divide that of values, or on the CPU if the type is neither `f32` nor `f64`.
pub fn scale(x: &Tensor, factors: Vec<f32>) -> Result<Tensor> {
    let (n, count) = (x.elem_count(), factors.len());
    if count == 0 || !n.is_multiple_of(count) {
        bail!("scale: {count} factors do not divide {n} values")
    }
    if x.device().is_cpu() {
        x.contiguous()?.apply_op1(Scale { factors })
    } else {
        composed(x, factors)
    }
}

/// The same by candle's operators.
pub(crate) fn composed(x: &Tensor, factors: Vec<f32>) -> Result<Tensor> {
    let (n, count) = (x.elem_count(), factors.len());
    // A product with a tensor: candle drops the gradient of a product with the number 0.
    let factors = Tensor::from_vec(factors, (count, 1), x.device())?.to_dtype(x.dtype())?;
    x.reshape((count, n / count))?
        .broadcast_mul(&factors)?
        .reshape(x.shape())
}

struct Scale {
    factors: Vec<f32>,
}

impl Scale {
    fn apply<T: Value>(&self, x: &[T]) -> Vec<T> {
        let share = x.len() / self.factors.len();
        x.chunks(share.max(1))
            .zip(&self.factors)
            .flat_map(|(x, f)| {
                let f = T::from_f64(f64::from(*f));
                x.iter().map(move |v| *v * f)
            })
            .collect()
    }
}

impl CustomOp1 for Scale {
    fn name(&self) -> &'static str {
        "hydranet-scale"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let storage = typed_storage!("scale", x, T => self.apply::<T>(values(x, layout)?));
        Ok((storage, layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        typed!("scale", x, T => with_values(dy, |dy: &[T]| T::tensor(self.apply(dy), x.dims())).map(Some))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    #[test]
    fn the_composition_has_the_values_and_gradients_of_the_kernel() {
        for factors in [vec![0.0, 2.0], vec![1.5], vec![0.5; 24]] {
            let values: Vec<f64> = (0..24).map(f64::from).collect();
            let x = Var::from_vec(values, (2, 3, 4), &Device::Cpu).unwrap();
            let run = |y: Tensor| -> [Vec<f64>; 2] {
                let gradients = y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
                let gradient = gradients.get(x.as_tensor()).unwrap().clone();
                [y, gradient].map(|t| t.flatten_all().unwrap().to_vec1().unwrap())
            };
            let kernel = run(scale(&x, factors.clone()).unwrap());
            assert_eq!(kernel, run(composed(&x, factors).unwrap()));
        }
        let x = Tensor::zeros((2, 3), candle_core::DType::F32, &Device::Cpu).unwrap();
        assert!(scale(&x, vec![1.0; 4]).is_err() && scale(&x, vec![]).is_err());
    }
}
