//! A run with its events, to be started again until it is done: `train FOLDER [STEPS]`. It stops after so many steps.

use consumer::{dataset, shade, tint};
use hydranet::train::{Config, Event, Trainer};
use hydranet::{Architecture, InputSpec, ModelSpec, Tensors};
use std::sync::atomic::{AtomicBool, Ordering};

fn main() -> hydranet::Result<()> {
    let of = |place| std::env::args().nth(place);
    let most: usize = of(2).and_then(|n| n.parse().ok()).unwrap_or(usize::MAX);
    let backbone = Architecture::from_name("tf_efficientnet_lite0")?;
    let input = InputSpec {
        size: [32, 32],
        ..backbone.input()
    };
    let heads = vec![shade(), tint()];
    let mut config = Config::new(ModelSpec::new(backbone, heads.clone(), input));
    config.train.epochs = 2;
    config.train.batch = 16;
    let dataset = dataset(heads)?;
    let (stop, mut steps) = (AtomicBool::new(false), 0);
    let outcome = Trainer::new(&config, Tensors::new(), &dataset)
        .out(of(1).unwrap_or_default())
        .resume(true)
        .stop(&stop)
        .on_event(|event| match event {
            Event::Step { .. } => {
                steps += 1;
                stop.store(steps == most, Ordering::Relaxed);
            }
            Event::Epoch(record) => println!("epoch {}: {:?}", record.epoch, record.macro_f1),
            _ => {}
        })
        .run()?;
    println!("{}", if outcome.stopped { "stopped" } else { "done" });
    Ok(())
}
