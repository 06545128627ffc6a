//! Tensors whose values follow from their names, as in `tests/golden/make_backbones.py`.

use candle_core::{DType, Device, Result, Shape, Tensor, Var};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};
use hydranet::train::optim::variables::is_buffer;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Uniform from −1 to below 1: SplitMix64 (Steele, Lea, Flood 2014) from the FNV-1a hash of the name.
fn draws(name: &str, count: usize) -> impl Iterator<Item = f64> {
    let start = name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    (1..=count as u64).map(move |i| {
        let mut z = start.wrapping_add(i.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        (z >> 40) as f64 / f64::from(1 << 23) - 1.0
    })
}

/// A tensor made from its name as in the script.
pub fn tensor(name: &str, shape: &[usize], dtype: DType) -> Tensor {
    let (centre, width) = match (name, shape) {
        (n, _) if n.ends_with("running_var") => (1.0, 0.5),
        (n, _) if n.ends_with("gamma") => (0.5, 0.25),
        (n, [_]) if n.ends_with("weight") => (1.0, 0.25),
        (n, [_, fan @ ..]) if n.ends_with("weight") => {
            (0.0, 2.0 / (fan.iter().product::<usize>() as f64).sqrt())
        }
        ("images", _) => (0.0, 2.0),
        _ => (0.0, 0.25),
    };
    let values: Vec<f32> = draws(name, shape.iter().product())
        .map(|d| (centre + width * d) as f32)
        .collect();
    let t = Tensor::from_vec(values, shape, &Device::Cpu).unwrap();
    t.to_dtype(dtype).unwrap()
}

/// Variables by name.
pub type Vars = BTreeMap<String, Var>;

/// Gives variables, and constants for statistics of norms.
struct Drawn(Arc<Mutex<Vars>>);

impl SimpleBackend for Drawn {
    fn get(&self, shape: Shape, name: &str, _: Init, dtype: DType, _: &Device) -> Result<Tensor> {
        let tensor = tensor(name, shape.dims(), dtype);
        if is_buffer(name) {
            return Ok(tensor);
        }
        let mut vars = self.0.lock().unwrap();
        let var = vars
            .entry(name.into())
            .or_insert(Var::from_tensor(&tensor)?);
        Ok(var.as_tensor().clone())
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> Result<Tensor> {
        candle_core::bail!("{name} has no shape")
    }

    fn contains_tensor(&self, _: &str) -> bool {
        false
    }
}

/// A builder over drawn variables, and those asked for so far.
pub fn builder(dtype: DType) -> (VarBuilder<'static>, Arc<Mutex<Vars>>) {
    let vars: Arc<Mutex<Vars>> = Arc::default();
    let drawn = Box::new(Drawn(Arc::clone(&vars)));
    (VarBuilder::from_backend(drawn, dtype, Device::Cpu), vars)
}
