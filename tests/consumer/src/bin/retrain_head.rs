//! One head trained again, alone, from features that are computed once; all else stays: `retrain_head MODEL FOLDER OUT`.

use consumer::{dataset, tint};
use hydranet::ModelFile;
use hydranet::train::{Config, train_head};

fn main() -> hydranet::Result<()> {
    let of = |place| std::env::args().nth(place).unwrap_or_default();
    let model = ModelFile::read(of(1))?;
    let mut config = Config::for_head(&model, tint());
    config.train.epochs = 30;
    let dataset = dataset(vec![tint()])?;
    train_head(&config, &model, &dataset, of(2))?.write(of(3))
}
