//! What an architecture asks for when it is built.

use candle_core::{DType, Device, Result, Shape, Tensor};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};
use hydranet::Architecture;
use hydranet::train::optim::variables::is_buffer;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Names and shapes.
pub type Shapes = BTreeMap<String, Vec<usize>>;

/// Gives zeros that take no memory, and writes down what for.
struct Recorder(Arc<Mutex<Shapes>>);

impl SimpleBackend for Recorder {
    fn get(&self, shape: Shape, name: &str, _: Init, d: DType, dev: &Device) -> Result<Tensor> {
        let before = self
            .0
            .lock()
            .unwrap()
            .insert(name.into(), shape.dims().to_vec());
        assert_eq!(before, None, "{name} is asked for twice");
        Tensor::zeros((), d, dev)?.broadcast_as(shape)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> Result<Tensor> {
        candle_core::bail!("{name} has no shape")
    }

    fn contains_tensor(&self, _: &str) -> bool {
        true
    }
}

/// The tensors an architecture is built of.
pub fn shapes(architecture: Architecture) -> Shapes {
    let shapes = Arc::default();
    let recorder = Box::new(Recorder(Arc::clone(&shapes)));
    let builder = VarBuilder::from_backend(recorder, DType::F32, Device::Cpu);
    let network = architecture.build(builder, 0.0).unwrap();
    assert_eq!(network.num_features(), architecture.num_features());
    let shapes = shapes.lock().unwrap();
    shapes.clone()
}

/// The values of its parameters.
pub fn parameters(shapes: &Shapes) -> usize {
    let values = |(name, shape): (&String, &Vec<usize>)| {
        if is_buffer(name) {
            0
        } else {
            shape.iter().product()
        }
    };
    shapes.iter().map(values).sum()
}
