//! Rows of numbers as golden files hold them.

use candle_core::{DType, Device, Tensor};

pub type Rows = Vec<Vec<f64>>;

/// The rows as a tensor `(rows, columns)`.
pub fn tensor(rows: &Rows, dtype: DType) -> Tensor {
    let shape = (rows.len(), rows[0].len());
    let tensor = Tensor::from_vec(rows.concat(), shape, &Device::Cpu).unwrap();
    tensor.to_dtype(dtype).unwrap()
}

/// max |a − b| / max(|b|, 1); infinite if something is not finite.
pub fn distance(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let greatest = b.iter().fold(1f64, |m, v| m.max(v.abs()));
    let worst = |m: f64, (a, b): (&f64, &f64)| match (a - b).abs() {
        d if d.is_finite() => m.max(d / greatest),
        _ => f64::INFINITY,
    };
    a.iter().zip(b).fold(0.0, worst)
}
