//! Scaling by constants: dropout, and weights of losses.

use candle_core::{Result, Tensor, bail};

/// `x` multiplied by constants, each covering `x.elem_count() / factors.len()` consecutive values: one factor a value is dropout
/// (Srivastava et al. 2014).
///
/// # Shapes
/// `x` of any shape; the result has the same.
///
/// # Errors
/// If the number of factors does not divide that of values.
#[doc(hidden)]
pub fn scale(x: &Tensor, factors: Vec<f32>) -> Result<Tensor> {
    let (n, count) = (x.elem_count(), factors.len());
    if count == 0 || !n.is_multiple_of(count) {
        bail!("scale: {count} factors do not divide {n} values")
    }
    // A product with a tensor: candle drops the gradient of a product with the number 0.
    let factors = Tensor::from_vec(factors, (count, 1), x.device())?.to_dtype(x.dtype())?;
    x.reshape((count, n / count))?
        .broadcast_mul(&factors)?
        .reshape(x.shape())
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    #[test]
    fn values_and_gradients_are_multiplied_to_the_bit() {
        let values: Vec<f32> = (1..25).map(|i| 1.0 / i as f32).collect();
        let x = Var::from_vec(values.clone(), (2, 3, 4), &Device::Cpu).unwrap();
        for factors in [vec![0.0, 2.0], vec![1.7], vec![0.3; 24]] {
            let factor = |i: usize| factors[i * factors.len() / 24];
            let y = scale(&x, factors.clone()).unwrap();
            let gradients = y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
            let gradient = gradients.get(x.as_tensor()).unwrap();
            let flat = |t: &Tensor| -> Vec<f32> { t.flatten_all().unwrap().to_vec1().unwrap() };
            let expected = |f: &dyn Fn(f32, f32) -> f32| -> Vec<f32> {
                let values = values.iter().enumerate();
                values.map(|(i, v)| f(*v, factor(i))).collect()
            };
            assert_eq!(flat(&y), expected(&|v, f| v * f));
            assert_eq!(flat(gradient), expected(&|v, f| 2.0 * (v * f) * f));
        }
        assert!(scale(&x, vec![1.0; 5]).is_err() && scale(&x, vec![]).is_err());
    }
}
