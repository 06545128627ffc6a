//! The methods of balancing, against courses from PyTorch.

use crate::common::golden::json;
use hydranet::train::balancing::{DynamicAverage, Famo, GradNorm, Uncertainty, project};
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Losses of the heads, a row a step; `None`: the head has none.
type Rows = Vec<Vec<Option<f64>>>;

fn read<T: DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap()
}

fn close(what: &str, ours: &[f64], golden: &[f64]) {
    assert_eq!(ours.len(), golden.len(), "{what}");
    for (ours, golden) in ours.iter().zip(golden) {
        let off = (ours - golden).abs() / golden.abs().max(1e-3);
        assert!(off < 1e-10, "{what}: {ours}, golden {golden}");
    }
}

#[test]
fn log_variances_go_the_way_of_the_golden_ones() {
    let golden = &json("balancing.json")["uncertainty"];
    let losses: Rows = read(&golden["losses"]);
    let [factors, course] = ["factors", "log_variances"].map(|k| read::<Vec<Vec<f64>>>(&golden[k]));
    let rates: Vec<f64> = read(&golden["lr"]);
    let mut method = Uncertainty::new(3);
    for (step, losses) in losses.iter().enumerate() {
        close("factors", &method.factors(), &factors[step]);
        method.update(losses, rates[step]);
        close("log-variances", method.log_variances(), &course[step]);
    }
}

#[test]
fn dynamic_averages_are_the_golden_ones() {
    let golden = &json("balancing.json")["dynamic_average"];
    let epochs: Vec<Rows> = read(&golden["epochs"]);
    let factors: Vec<Vec<f64>> = read(&golden["factors"]);
    let mut method = DynamicAverage::new(read(&golden["temperature"]), 3);
    for (epoch, factors) in epochs.iter().zip(&factors) {
        close("factors", &method.factors(), factors);
        epoch.iter().for_each(|losses| method.update(losses));
        method.end_epoch();
    }
    assert!(factors[1] == [1.0; 3] && factors[2] != [1.0; 3]);
}

#[test]
fn grad_norms_factors_go_the_way_of_the_golden_ones() {
    let golden = &json("balancing.json")["grad_norm"];
    let losses: Rows = read(&golden["losses"]);
    let [norms, factors] = ["norms", "factors"].map(|k| read::<Vec<Vec<f64>>>(&golden[k]));
    let mut method = GradNorm::new(read(&golden["alpha"]), read(&golden["lr"]), 3);
    for (step, losses) in losses.iter().enumerate() {
        method.update(losses, &norms[step]);
        close("factors", method.factors(), &factors[step]);
        let sum: f64 = method.factors().iter().sum();
        assert!((sum - 3.0).abs() < 1e-12);
    }
    // The floor was reached, and what lies on it was scaled with the others.
    assert!(factors.iter().flatten().any(|f| *f < 0.01));
}

#[test]
fn gradient_surgery_by_products_is_that_of_the_golden_vectors() {
    for case in json("balancing.json")["pc_grad"].as_array().unwrap() {
        let vectors: Vec<Vec<f64>> = read(&case["vectors"]);
        let orders: Vec<Vec<usize>> = read(&case["orders"]);
        let factors = project(&products(&vectors), &orders);
        let total: Vec<f64> = (0..vectors[0].len())
            .map(|i| factors.iter().zip(&vectors).map(|(f, v)| f * v[i]).sum())
            .collect();
        close("the sum", &total, &read::<Vec<f64>>(&case["total"]));
    }
}

#[test]
fn famos_factors_go_the_way_of_the_golden_ones() {
    let golden = &json("balancing.json")["famo"];
    let [before, after] = ["before", "after"].map(|k| read::<Rows>(&golden[k]));
    let [factors, logits] = ["factors", "logits"].map(|k| read::<Vec<Vec<f64>>>(&golden[k]));
    let mut method = Famo::new(read(&golden["lr"]), read(&golden["decay"]), 3);
    for (step, before) in before.iter().enumerate() {
        close("factors", &method.factors(before), &factors[step]);
        method.update(before, &after[step]);
        close("logits", method.logits(), &logits[step]);
    }
}

fn products(vectors: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum();
    let row = |a: &Vec<f64>| vectors.iter().map(|b| product(a, b)).collect();
    vectors.iter().map(row).collect()
}

proptest! {
    #[test]
    fn of_two_heads_none_is_pulled_against_after_surgery_and_friends_are_left_alone(
        a in proptest::collection::vec(-1.0..1.0, 4),
        b in proptest::collection::vec(-1.0..1.0, 4),
    ) {
        let products = products(&[a, b]);
        let factors = project(&products, &[vec![1], vec![0]]);
        for own in &products {
            let along: f64 = factors.iter().zip(own).map(|(f, p)| f * p).sum();
            prop_assert!(along > -1e-12, "{along}");
        }
        if products[0][1] >= 0.0 {
            prop_assert_eq!(factors, vec![1.0, 1.0]);
        }
    }
}
