//! Processes that train one model together, as threads of this one: the same bytes as alone.

use candle_core::{Device, Tensor};
use hydranet::input::PhotoSource;
use hydranet::train::batches::Batches;
use hydranet::train::config::{Config, load_weights};
use hydranet::train::loss::tasks::Tasks;
use hydranet::train::parts::{Contribution, Tree};
use hydranet::train::ranks::{Group, Ranks};
use hydranet::train::trainer::{Event, Trainer};
use hydranet::{Error, Result};
use proptest::prelude::*;
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, Mutex};

use crate::common::runs::{Bench, HEADS};

/// What is being said: by each its bytes, and its lists for the others.
struct Table {
    bytes: Mutex<Vec<Vec<u8>>>,
    lists: Mutex<Vec<Vec<Vec<f32>>>>,
    all: Barrier,
}

/// A thread that stands for a process.
struct Thread {
    rank: usize,
    size: usize,
    table: Arc<Table>,
}

impl Ranks for Thread {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn gather(&self, own: &[u8]) -> Result<Vec<Vec<u8>>> {
        self.table.bytes.lock().unwrap()[self.rank] = own.to_vec();
        self.table.all.wait();
        let all = self.table.bytes.lock().unwrap().clone();
        self.table.all.wait();
        Ok(all)
    }

    fn exchange(&self, own: &[Vec<f32>]) -> Result<Vec<Vec<f32>>> {
        self.table.lists.lock().unwrap()[self.rank] = own.to_vec();
        self.table.all.wait();
        let lists = self.table.lists.lock().unwrap();
        let all = lists.iter().map(|of| of[self.rank].clone()).collect();
        drop(lists);
        self.table.all.wait();
        Ok(all)
    }
}

/// Runs the same on so many threads that stand for processes; what each gives, in their order.
pub(super) fn together<T: Send>(size: usize, run: impl Fn(&Group) -> T + Sync) -> Vec<T> {
    let table = Arc::new(Table {
        bytes: Mutex::new(vec![Vec::new(); size]),
        lists: Mutex::new(vec![Vec::new(); size]),
        all: Barrier::new(size),
    });
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..size)
            .map(|rank| {
                let (run, table) = (&run, Arc::clone(&table));
                scope.spawn(move || run(&Group::new(Box::new(Thread { rank, size, table }))))
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    })
}

/// Trains as `size` processes; the first one's end, and an error of each other.
fn train(
    bench: &Bench,
    config: &Config,
    (name, size): (&str, usize),
    (resume, stop_after): (bool, Option<usize>),
) -> Vec<Result<bool>> {
    together(size, |group| {
        let (stop, mut steps) = (AtomicBool::new(false), 0);
        let weights = load_weights(config, Path::new(HEADS)).unwrap();
        let outcome = Trainer::new(config, weights, &bench.dataset(config))
            .out(bench.out(name))
            .resume(resume)
            .stop(&stop)
            .group(group)
            .on_event(|event| {
                if let Event::Step { .. } = event {
                    steps += 1;
                    if Some(steps) == stop_after {
                        stop.store(true, Ordering::Relaxed);
                    }
                }
            })
            .run();
        outcome.map(|outcome| outcome.stopped)
    })
}

const FILES: [&str; 6] = [
    "best.safetensors",
    "last.safetensors",
    "state.safetensors",
    "metrics.csv",
    "scores.json",
    "valid_predictions.csv",
];

fn same_bytes(bench: &Bench, one: &str, other: &str) {
    for file in FILES {
        assert!(
            bench.bytes(one, file) == bench.bytes(other, file),
            "{file} of {one} and {other}"
        );
    }
}

#[test]
fn one_two_and_four_processes_train_the_same_bytes() {
    let bench = Bench::new();
    let kinds: [(&str, &[&str]); 5] = [
        (
            "whole-batch",
            &[
                "train.batch_norm=sync",
                "train.unfreeze_every=1",
                "train.fine_tune={last_stages=2}",
                "train.average_last=1",
            ],
        ),
        (
            "batch-norm",
            &[
                "train.drop_path=0.1",
                "train.average_last=2",
                "train.ema=0.5",
                "train.clip=1.0",
                "train.first_size=0.5",
                "model.input.size=[64,48]",
            ],
        ),
        (
            "kept",
            &[
                "train.fine_tune=frozen",
                "train.mix_up=0",
                "train.augment.flip=0",
            ],
        ),
        (
            "projected",
            &[
                "train.balancing=pc_grad",
                "train.report_gradients=2",
                "train.batch_norm=sync",
                "train.mix=[{kind='half_paste',partner='same_class'}]",
                "train.epochs=1",
            ],
        ),
        (
            "balanced",
            &[
                "train.balancing={grad_norm={}}",
                "train.fine_tune={last_stages=1}",
                "train.epochs=1",
            ],
        ),
    ];
    for (kind, settings) in kinds {
        // The last step has too few photos for four parts.
        let settings = [&["train.parts=4", "train.batch=12"], settings].concat();
        let config = Bench::config(&settings).unwrap();
        let alone = format!("{kind}-alone");
        bench.train(&config, &alone, false, None).unwrap();
        for size in [2, 4] {
            let name = format!("{kind}-{size}");
            for outcome in train(&bench, &config, (&name, size), (false, None)) {
                assert!(!outcome.unwrap());
            }
            same_bytes(&bench, &alone, &name);
        }
    }
}

#[test]
fn a_run_goes_on_with_another_number_of_processes() {
    let bench = Bench::new();
    let config = Bench::config(&["train.parts=4"]).unwrap();
    bench.train(&config, "whole", false, None).unwrap();
    for (size, resume, stop) in [(2, false, Some(3)), (4, true, Some(4)), (1, true, None)] {
        for outcome in train(&bench, &config, ("parts", size), (resume, stop)) {
            assert_eq!(outcome.unwrap(), stop.is_some());
        }
    }
    same_bytes(&bench, "whole", "parts");
}

#[test]
fn an_error_of_one_is_an_error_of_all_and_what_was_done_is_saved() {
    let bench = Bench::new();
    let config = Bench::config(&["train.parts=2"]).unwrap();
    bench.train(&config, "whole", false, None).unwrap();
    // The last photo of the third batch is one that the second process loads, and cannot read.
    let spec = config.model_spec().unwrap();
    let dataset = bench.dataset(&config);
    let tasks = Rc::new(Tasks::new(&spec).unwrap());
    let batches = Batches::new(&config.train, &spec, tasks, &dataset).unwrap();
    let photo = batches.epoch(0, 0).unwrap().photos(2).last().unwrap();
    let outcomes = together(2, |group| {
        let weights = load_weights(&config, Path::new(HEADS)).unwrap();
        let mut dataset = bench.dataset(&config);
        if !group.is_first() {
            dataset.samples[photo].photo = PhotoSource::File("nowhere.jpg".into());
        }
        let trainer = Trainer::new(&config, weights, &dataset);
        let outcome = trainer.out(bench.out("broken")).group(group).run();
        outcome.map(|outcome| outcome.stopped)
    });
    let errors: Vec<Error> = outcomes.into_iter().map(Result::unwrap_err).collect();
    assert!(errors[1].to_string().contains("nowhere.jpg"), "{errors:?}");
    assert!(matches!(
        errors[0],
        Error::Process {
            rank: 1,
            size: 2,
            ..
        }
    ));
    let message = errors[0].to_string();
    assert!(
        message.starts_with("process 2 of 2: ") && message.contains("nowhere.jpg"),
        "{message}"
    );
    // The steps before it are saved, and the run goes on from there.
    let mut first = None;
    let weights = load_weights(&config, Path::new(HEADS)).unwrap();
    Trainer::new(&config, weights, &bench.dataset(&config))
        .out(bench.out("broken"))
        .resume(true)
        .on_event(|event| {
            if let (Event::Step { epoch, step, .. }, None) = (event, first) {
                first = Some((*epoch, *step));
            }
        })
        .run()
        .unwrap();
    assert_eq!(first, Some((1, 3)));
    same_bytes(&bench, "whole", "broken");
}

#[test]
fn processes_that_cannot_share_or_were_given_other_things_are_told_apart() {
    let bench = Bench::new();
    let config = Bench::config(&["train.parts=3", "train.batch=6"]).unwrap();
    for outcome in train(&bench, &config, ("odd", 2), (false, None)) {
        let message = outcome.unwrap_err().to_string();
        assert_eq!(
            message,
            "train.parts: expected a multiple of 2, the number of processes, found 3"
        );
    }
    let configs = ["train.seed=0", "train.seed=1"];
    let configs = configs.map(|seed| Bench::config(&["train.parts=2", seed]).unwrap());
    let outcomes = together(2, |group| {
        let config = &configs[group.place().0];
        let weights = load_weights(config, Path::new(HEADS)).unwrap();
        Trainer::new(config, weights, &bench.dataset(config))
            .out(bench.out("other"))
            .group(group)
            .run()
            .map(|_| ())
    });
    for outcome in outcomes {
        let message = outcome.unwrap_err().to_string();
        assert_eq!(
            message,
            "process 2 of 2: expected the same settings as the first process, found another"
        );
    }
    assert!(!bench.out("other").join("state.safetensors").exists());
}

#[test]
fn what_one_makes_and_what_all_make_reaches_all() {
    for size in [1, 2, 3] {
        let said = together(size, |group| {
            let made = group.share(|| Ok(vec![7; 1000])).unwrap();
            let own: Vec<f32> = group.own(10).map(|i| i as f32).collect();
            (
                made,
                group.rows(Ok(own)).unwrap(),
                group.any(Ok(group.is_first())).unwrap(),
            )
        });
        for (made, rows, any) in said {
            assert_eq!(made, [7; 1000]);
            assert_eq!(rows, Vec::from_iter((0..10u8).map(f32::from)));
            assert!(any);
        }
    }
}

/// A contribution whose sums are rounded, with a tensor that some parts have not.
fn contribution(part: usize, seed: u32) -> Contribution {
    let value = |i: usize| {
        let bits = (part as u32 * 31 + i as u32).wrapping_mul(0x9E37_79B9) ^ seed;
        (f64::from(bits) / 1e9 - 2.0) as f32
    };
    let tensor = |n: usize| Tensor::from_vec((0..n).map(value).collect(), n, &Device::Cpu).unwrap();
    Contribution {
        tensors: vec![
            Some(tensor(7)),
            (part % 3 == 1).then(|| tensor(5)),
            None,
            Some(tensor(1)),
        ],
        numbers: vec![f64::from(value(1)) / 3.0, 0.1],
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn the_sum_over_processes_is_that_of_one_to_the_last_bit(
        parts in 1usize..9,
        size in 1usize..6,
        seed: u32,
    ) {
        let sum = |group: &Group| {
            let (rank, size) = group.place();
            let mut tree = Tree::new(parts);
            for part in rank * parts / size..(rank + 1) * parts / size {
                tree.push(part..part + 1, contribution(part, seed), Contribution::plus).unwrap();
            }
            let shapes = [vec![7], vec![5], vec![3], vec![1]];
            let sum = group.sum(parts, Ok(tree), &shapes, 2).unwrap();
            let bits = |t: &Option<Tensor>| {
                let values = t.as_ref().map(|t| t.to_vec1::<f32>().unwrap());
                values.map(|all| Vec::from_iter(all.iter().map(|v| v.to_bits())))
            };
            let tensors: Vec<_> = sum.tensors.iter().map(bits).collect();
            (tensors, Vec::from_iter(sum.numbers.iter().map(|n| n.to_bits())))
        };
        let alone = sum(&Group::alone());
        for of_rank in together(size, sum) {
            prop_assert_eq!(&of_rank, &alone);
        }
    }
}
