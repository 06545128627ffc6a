//! Whole networks on every instruction set that this processor has: each runs in a process of its own, because a process stays
//! with the one it began with.

use crate::common::differences::{flat, values};
use candle_core::{DType, Tensor, Var};
use candle_nn::VarBuilder;
use hydranet::backbone::Architecture;
use hydranet::model_file::Tensors;
use hydranet::train::optim::variables::Variables;
use hydranet::{BatchNormMode, Mode};
use std::path::Path;
use std::process::Command;

/// Convolutions of all kinds, gates, attention, layer norms; odd sizes.
const NETWORKS: [(&str, [usize; 2]); 6] = [
    ("tf_efficientnet_lite0", [61, 45]),
    ("mobilenetv3_small_100", [61, 45]),
    ("resnet18", [61, 45]),
    ("convnext_atto", [64, 96]),
    ("vit_tiny_patch16_224", [48, 32]),
    ("swin_tiny_patch4_window7_224", [60, 44]),
];

/// Features in training and evaluation, and gradients of the images and of the first and last variable.
fn results(dtype: DType) -> Vec<f64> {
    let mut all = Vec::new();
    for (name, [h, w]) in NETWORKS {
        let architecture = Architecture::from_name(name).unwrap();
        let variables = Variables::new(Tensors::new(), 1, |_| true, |_| true);
        architecture.build(variables.builder(), 0.0).unwrap();
        let given = variables.snapshot().unwrap();
        let vars = given.into_iter().map(|(name, t)| {
            let var = Var::from_tensor(&t.to_dtype(dtype).unwrap()).unwrap();
            (name, var.as_tensor().clone())
        });
        let tensors: std::collections::HashMap<String, Tensor> = vars.collect();
        let builder = VarBuilder::from_tensors(tensors.clone(), dtype, &candle_core::Device::Cpu);
        let net = architecture.build(builder, 0.0).unwrap();
        let images = values(&[3, 3, h, w], 3).to_dtype(dtype).unwrap();
        let images = Var::from_tensor(&images).unwrap();
        all.extend(flat(&net.features(&images, Mode::Eval).unwrap()));
        let mode = Mode::Train {
            batch_norm: BatchNormMode::Frozen,
            key: 0,
        };
        let features = net.features(&images, mode).unwrap();
        all.extend(flat(&features));
        let weights = values(features.dims(), 5).to_dtype(dtype).unwrap();
        let loss = (features * weights).unwrap().sum_all().unwrap();
        let grads = loss.backward().unwrap();
        all.extend(flat(grads.get(&images).unwrap()));
        let mut names: Vec<&String> = tensors.keys().collect();
        names.sort();
        for name in names {
            if let Some(grad) = grads.get(&tensors[name]) {
                all.extend(flat(grad).iter().take(50));
            }
        }
    }
    all
}

/// Where the child writes, and with which type it computes.
const OUT: &str = "HYDRANET_TEST_OUT";

#[test]
#[ignore = "run by the test below, in a process of its own"]
fn a_child_writes_what_it_computes() {
    let out = std::env::var_os(OUT).expect("where to write");
    let set = hydranet::tape::instruction_set().unwrap();
    let both = [DType::F64, DType::F32].map(results);
    std::fs::write(out, serde_json::to_vec(&(set, both)).unwrap()).unwrap();
}

fn child(limit: &str, out: &Path) -> (String, [Vec<f64>; 2]) {
    let status = Command::new(std::env::current_exe().unwrap())
        .args([
            "--ignored",
            "--exact",
            "backbone::tests::instruction_sets::a_child_writes_what_it_computes",
        ])
        .env("HYDRANET_ISA", limit)
        .env(OUT, out)
        .output()
        .unwrap();
    assert!(status.status.success(), "{limit}: {status:?}");
    serde_json::from_slice(&std::fs::read(out).unwrap()).unwrap()
}

#[test]
fn every_instruction_set_gives_the_same_within_rounding() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.json");
    let (set, [exact, single]) = child("portable", &out);
    assert_eq!(set, "portable");
    let greatest = exact.iter().fold(0f64, |m, v| m.max(v.abs()));
    let far = |a: &[f64], b: &[f64]| {
        assert_eq!(a.len(), b.len());
        let off = a.iter().zip(b).map(|(a, b)| (a - b).abs());
        off.fold(
            0f64,
            |m, d| if d.is_nan() { f64::INFINITY } else { m.max(d) },
        ) / greatest
    };
    println!(
        "portable: {} values, f32 from f64 {:.1e}",
        exact.len(),
        far(&single, &exact)
    );
    // Where rounding takes a value over the kink of a ReLU, its whole gradient appears or goes; single operators are compared
    // more closely by the tests that `.ci/run` repeats for each instruction set.
    assert!(far(&single, &exact) < 1e-2);
    for limit in ["avx2", "avx512"] {
        let (set, [double, single]) = child(limit, &out);
        let (d, s) = (far(&double, &exact), far(&single, &exact));
        println!("{limit}, which is {set}: f64 {d:.1e}, f32 {s:.1e}");
        assert!(d < 1e-12, "{limit}: {d:.1e}");
        assert!(s < 1e-2, "{limit}: {s:.1e}");
    }
}
