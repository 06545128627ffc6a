//! Steps of a batch in parts: statistics of batch norm over all of them, and gradients that go out while backward runs.

use super::ranks::together;
use crate::common::runs::{Bench, HEADS};
use candle_core::Tensor;
use hydranet::Result;
use hydranet::train::balancing::Balancer;
use hydranet::train::batches::{Batches, Inputs};
use hydranet::train::config::{Config, load_weights};
use hydranet::train::loss::objective::Objective;
use hydranet::train::loss::tasks::Tasks;
use hydranet::train::network::Network;
use hydranet::train::optim::variables::is_buffer;
use hydranet::train::ranks::Group;
use hydranet::train::step::{At, step};
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

/// What stands after some steps.
struct After {
    losses: Vec<f64>,
    tensors: BTreeMap<String, Vec<f32>>,
    /// Variables of which the order is known in which backward finds their gradients, and all.
    ordered: (usize, usize),
}

/// The first steps of a run as one of the processes; `change` sees the photos of each.
fn steps(
    bench: &Bench,
    config: &Config,
    group: &Group,
    count: usize,
    change: impl Fn(usize, Inputs) -> Inputs,
) -> Result<After> {
    let (spec, dataset) = (config.model_spec()?, bench.dataset(config));
    let tasks = Rc::new(Tasks::new(&spec)?);
    let mut batches = Batches::new(&config.train, &spec, Rc::clone(&tasks), &dataset)?;
    batches.place = group.place();
    let objective = Objective::new(&spec, Rc::clone(&tasks), &dataset, &batches.train, &[])?;
    let mut balancer = Balancer::new(config.train.balancing, tasks.heads().count());
    let weights = load_weights(config, Path::new(HEADS))?;
    let mut network = Network::new(config, spec, weights, 0, batches.steps())?;
    let mut losses = Vec::new();
    let mut loaded = batches.epoch(0, 0)?;
    for number in 0..count {
        let mut batch = loaded.load(number)?;
        batch.inputs = change(number, batch.inputs);
        let at = At {
            epoch: 0,
            step: number,
            lr: 1.0,
        };
        losses.push(step(
            &mut network,
            &objective,
            &mut balancer,
            batch,
            at,
            group,
        )?);
    }
    let tensors = network.variables.snapshot()?.into_iter();
    let tensors = tensors.map(|(name, t)| Ok((name, t.flatten_all()?.to_vec1()?)));
    let order = network.order.as_ref().map_or(0, |order| order.len());
    Ok(After {
        losses,
        tensors: tensors.collect::<Result<_>>()?,
        ordered: (order, network.optimizer.groups().count()),
    })
}

fn same(number: usize, inputs: Inputs) -> Inputs {
    let _ = number;
    inputs
}

/// Nothing random, and one step of the plainest optimiser.
fn config(settings: &[&str]) -> Config {
    let plain = [
        "train.mix_up=0",
        "train.optimizer={sgd={momentum=0}}",
        "train.lr_backbone=0.01",
        "train.lr_heads=0.01",
        "train.weight_decay=0",
        "heads.mask.dropout=0",
        "heads.gender.dropout=0",
        "heads.age.dropout=0",
    ];
    Bench::config(&[&plain[..], settings].concat()).unwrap()
}

#[test]
fn a_step_in_parts_is_one_over_the_whole_batch() {
    let bench = Bench::new();
    let before = steps(&bench, &config(&[]), &Group::alone(), 0, same).unwrap();
    let of = |settings: &[&str]| {
        let config = config(settings);
        steps(&bench, &config, &Group::alone(), 1, same).unwrap()
    };
    let whole = of(&["train.parts=1"]);
    // By the batch norm of one part, to the last bit.
    let alone = of(&["train.parts=1", "train.batch_norm=sync"]);
    assert_eq!(whole.losses, alone.losses);
    assert_eq!(whole.tensors, alone.tensors);
    // Of 8 photos: 2, 3 and 3.
    let parts = of(&["train.parts=3", "train.batch_norm=sync"]);
    let apart = of(&["train.parts=3"]);
    assert!((whole.losses[0] - parts.losses[0]).abs() < 1e-4);
    assert!((whole.losses[0] - apart.losses[0]).abs() > 1e-4);
    // How far two are apart, over how far the step went, of all variables and of all running statistics.
    let distance = |other: &After, buffers: bool| {
        let (mut apart, mut moved) = (0.0, 0.0);
        for (name, of_whole) in &whole.tensors {
            if is_buffer(name) == buffers {
                let others = other.tensors[name].iter().zip(&before.tensors[name]);
                for (w, (o, b)) in of_whole.iter().zip(others) {
                    apart += f64::from(w - o).powi(2);
                    moved += f64::from(w - b).powi(2);
                }
            }
        }
        assert!(moved > 0.0);
        (apart / moved).sqrt()
    };
    for buffers in [false, true] {
        let (near, far) = (distance(&parts, buffers), distance(&apart, buffers));
        assert!(near < 2e-3, "{near:e}");
        assert!(far > 10.0 * near, "{far:e} and {near:e}");
    }
}

#[test]
fn gradients_of_nearly_all_variables_are_known_while_backward_runs() {
    let bench = Bench::new();
    let kinds: [&[&str]; 3] = [
        &["train.parts=2"],
        &["train.parts=4", "train.batch_norm=sync"],
        &[
            "train.parts=2",
            "model.backbone=vit_tiny_patch16_224",
            "model.weights=",
        ],
    ];
    for settings in kinds {
        let config = config(settings);
        let alone = steps(&bench, &config, &Group::alone(), 3, same).unwrap();
        for after in together(2, |group| steps(&bench, &config, group, 3, same)) {
            let after = after.unwrap();
            assert_eq!(after.losses, alone.losses);
            assert_eq!(after.tensors, alone.tensors);
            let (ordered, all) = after.ordered;
            assert!(ordered > all * 9 / 10, "{ordered} of {all}");
        }
        assert_eq!(alone.ordered.0, 0);
    }
}

#[test]
fn a_process_without_parts_hears_the_statistics_and_the_gradients_of_the_others() {
    let bench = Bench::new();
    // Four photos are two parts, and three processes.
    let config = config(&["train.parts=2", "train.batch=4", "train.batch_norm=sync"]);
    let alone = steps(&bench, &config, &Group::alone(), 3, same).unwrap();
    for after in together(3, |group| steps(&bench, &config, group, 3, same)) {
        let after = after.unwrap();
        assert_eq!(after.losses, alone.losses);
        assert_eq!(after.tensors, alone.tensors);
    }
}

#[test]
fn an_error_in_one_part_ends_those_that_wait_for_its_statistics() {
    let bench = Bench::new();
    let config = config(&["train.parts=4", "train.batch_norm=sync"]);
    // In the first step, where no order is known, and in the second.
    for broken in [0, 1] {
        let outcomes = together(2, |group| {
            let second = !group.is_first();
            steps(&bench, &config, group, 2, |number, inputs| {
                match inputs {
                    Inputs::Photos(all) if second && number == broken => {
                        // One channel, where the network takes three.
                        Inputs::Photos(all.narrow(1, 0, 1).unwrap())
                    }
                    other => other,
                }
            })
            .map(|_| ())
        });
        let messages: Vec<String> = outcomes
            .into_iter()
            .map(|outcome| outcome.unwrap_err().to_string())
            .collect();
        assert!(
            messages[0].starts_with("process 2 of 2: ") && messages[0].contains(&messages[1]),
            "{messages:?}"
        );
    }
    // In a backward pass.
    let failed = Arc::new(Mutex::new(0));
    let outcomes = together(2, |group| {
        let second = !group.is_first();
        let failed = Arc::clone(&failed);
        steps(&bench, &config, group, 1, move |_, inputs| match inputs {
            Inputs::Photos(all) if second => {
                let breaks = Breaks(Arc::clone(&failed));
                let all = candle_core::Var::from_tensor(&all).unwrap();
                Inputs::Photos(all.as_tensor().apply_op1(breaks).unwrap())
            }
            other => other,
        })
        .map(|_| ())
    });
    assert!(*failed.lock().unwrap() > 0);
    for outcome in outcomes {
        let message = outcome.unwrap_err().to_string();
        assert!(message.contains("no way back"), "{message}");
    }
}

/// An operator without a way back.
struct Breaks(Arc<Mutex<usize>>);

impl candle_core::CustomOp1 for Breaks {
    fn name(&self) -> &'static str {
        "breaks"
    }

    fn cpu_fwd(
        &self,
        storage: &candle_core::CpuStorage,
        layout: &candle_core::Layout,
    ) -> candle_core::Result<(candle_core::CpuStorage, candle_core::Shape)> {
        let values = storage.as_slice::<f32>()?.to_vec();
        Ok((candle_core::CpuStorage::F32(values), layout.shape().clone()))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, _: &Tensor) -> candle_core::Result<Option<Tensor>> {
        *self.0.lock().unwrap() += 1;
        candle_core::bail!("no way back")
    }
}
