//! A backbone of one's own, with batch norm, trained, saved and loaded again: `own_backbone FOLDER`.

use candle_core::{Result, Tensor};
use candle_nn::{BatchNorm, Conv2d, Conv2dConfig, Module, ModuleT};
use consumer::{dataset, photo, shade};
use hydranet::adapter::{Entry, register};
use hydranet::train::{Config, Trainer};
use hydranet::{Backbone, InputSpec, Mode, ModelSpec, Predictor, Tensors};

struct Patches {
    patches: Conv2d,
    norm: BatchNorm,
}

impl Backbone for Patches {
    fn num_features(&self) -> usize {
        16
    }

    fn features(&self, images: &Tensor, mode: Mode) -> Result<Tensor> {
        let patches = self.patches.forward(images)?;
        let normed = self.norm.forward_t(&patches, mode != Mode::Eval)?;
        normed.relu()?.mean((2, 3))
    }
}

fn main() -> hydranet::Result<()> {
    let folder = std::env::args().nth(1).unwrap_or_default();
    let backbone = register(Entry::backbone("patches", 16, 32, |vb| {
        let config = Conv2dConfig {
            stride: 8,
            ..Default::default()
        };
        Ok(Patches {
            patches: candle_nn::conv2d(3, 16, 8, config, vb.pp("patches"))?,
            norm: candle_nn::batch_norm(16, 1e-5, vb.pp("norm"))?,
        })
    }))?;
    let input = InputSpec {
        size: [32, 32],
        ..InputSpec::default()
    };
    let mut config = Config::new(ModelSpec::new(backbone, vec![shade()], input));
    config.train.lr_backbone = 0.01;
    config.train.lr_heads = 0.05;
    let dataset = dataset(vec![shade()])?;
    Trainer::new(&config, Tensors::new(), &dataset)
        .out(&folder)
        .run()?;
    let predictor = Predictor::from_file(format!("{folder}/best.safetensors"))?;
    for i in [100, 101] {
        println!("{}", predictor.predict_photo(&photo(i))?.name);
    }
    Ok(())
}
