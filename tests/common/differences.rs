//! Made-up tensors, and gradients against central differences in f64.

use candle_core::{Device, Result, Tensor, Var, bail};

/// Values between −1 and 1 that look random and are the same everywhere.
pub fn values(shape: &[usize], seed: u64) -> Tensor {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 53) as f64 * 2.0 - 1.0
    };
    let data: Vec<f64> = (0..shape.iter().product()).map(|_| next()).collect();
    Tensor::from_vec(data, shape, &Device::Cpu).unwrap()
}

/// The values of a tensor in order.
pub fn flat(t: &Tensor) -> Vec<f64> {
    let t = t.to_dtype(candle_core::DType::F64).unwrap();
    t.flatten_all().unwrap().to_vec1().unwrap()
}

/// The result of `f`, and the gradients of Σ result · `weights` by each argument.
pub fn gradients(
    args: &[Tensor],
    weights: Option<&Tensor>,
    f: &dyn Fn(&[Tensor]) -> Result<Tensor>,
) -> Result<(Tensor, Vec<Tensor>)> {
    let vars = args
        .iter()
        .map(Var::from_tensor)
        .collect::<Result<Vec<_>>>()?;
    let tensors: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
    let out = f(&tensors)?;
    let weights = match weights {
        Some(weights) => weights.clone(),
        None => values(out.dims(), 99).to_dtype(out.dtype())?,
    };
    let grads = (&out * weights)?.sum_all()?.backward()?;
    let mut found = Vec::new();
    for (i, (tensor, arg)) in tensors.iter().zip(args).enumerate() {
        match grads.get(tensor) {
            Some(grad) if grad.dims() == arg.dims() => found.push(grad.clone()),
            Some(grad) => bail!("argument {i} has a gradient of shape {:?}", grad.dims()),
            None => bail!("argument {i} has no gradient"),
        }
    }
    Ok((out, found))
}

/// The greatest difference between the gradient that backward gives and central differences, over all values of all arguments,
/// relative to the greatest gradient. The loss is Σ result · fixed weights.
pub fn gradient_error(args: &[Tensor], f: &dyn Fn(&[Tensor]) -> Result<Tensor>) -> Result<f64> {
    gradient_error_of(args, usize::MAX, f)
}

/// [`gradient_error`] over about `count` values of each argument.
pub fn gradient_error_of(
    args: &[Tensor],
    count: usize,
    f: &dyn Fn(&[Tensor]) -> Result<Tensor>,
) -> Result<f64> {
    let (out, grads) = gradients(args, None, f)?;
    let weights = values(out.dims(), 99);
    let loss = |args: &[Tensor]| (f(args)? * &weights)?.sum_all()?.to_scalar::<f64>();
    let (mut worst, mut greatest) = (0f64, 1e-3f64);
    let h = 1e-6;
    for (i, (arg, grad)) in args.iter().zip(&grads).enumerate() {
        let (grad, values) = (flat(grad), flat(arg));
        // A step without a factor in common with the sizes, or nearly.
        let step = (values.len() / count).max(1) | 1;
        for j in (0..values.len()).step_by(step) {
            let moved = |d: f64| {
                let mut values = values.clone();
                values[j] += d;
                let mut args = args.to_vec();
                args[i] = Tensor::from_vec(values, arg.dims(), &Device::Cpu)?;
                loss(&args)
            };
            let numeric = (moved(h)? - moved(-h)?) / (2.0 * h);
            // A NaN must not be lost in a maximum.
            if !(numeric - grad[j]).is_finite() {
                return Ok(f64::NAN);
            }
            worst = worst.max((numeric - grad[j]).abs());
            greatest = greatest.max(numeric.abs());
        }
    }
    Ok(worst / greatest)
}

/// max |a − b| / max |b|, where a NaN equals a NaN and an infinity itself; infinite if shapes differ or anything else is not
/// finite.
pub fn difference(a: &Tensor, b: &Tensor) -> f64 {
    if a.dims() != b.dims() {
        return f64::INFINITY;
    }
    let (mut worst, mut greatest) = (0f64, 0f64);
    for (a, b) in flat(a).into_iter().zip(flat(b)) {
        if a == b || (a.is_nan() && b.is_nan()) {
            greatest = greatest.max(if b.is_finite() { b.abs() } else { 0.0 });
        } else if a.is_finite() && b.is_finite() {
            worst = worst.max((a - b).abs());
            greatest = greatest.max(b.abs());
        } else {
            return f64::INFINITY;
        }
    }
    if greatest > 0.0 {
        worst / greatest
    } else {
        worst
    }
}
