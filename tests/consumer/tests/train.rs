//! The programs that train, from outside the library.

use candle_core::Tensor;
use consumer::photo;
use hydranet::{ModelFile, Predictor};
use std::path::Path;
use std::process::{Command, Output};

fn run(program: &str, arguments: &[&dyn AsRef<std::ffi::OsStr>]) -> Output {
    let mut command = Command::new(program);
    arguments.iter().for_each(|a| {
        command.arg(a);
    });
    command.output().unwrap()
}

/// What a program that succeeds says.
fn says(program: &str, arguments: &[&dyn AsRef<std::ffi::OsStr>]) -> String {
    let output = run(program, arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

fn bits(tensor: &Tensor) -> Vec<u32> {
    let values: Vec<f32> = tensor.flatten_all().unwrap().to_vec1().unwrap();
    values.into_iter().map(f32::to_bits).collect()
}

#[test]
fn a_loop_of_ones_own_teaches_heads_by_candles_optimiser_or_ours() {
    let folder = tempfile::tempdir().unwrap();
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let weights = repository.join("weights/tf_efficientnet_lite0.in1k.safetensors");
    for optimizer in ["candle", "ours"] {
        let out = folder.path().join(optimizer);
        says(
            env!("CARGO_BIN_EXE_own_loop"),
            &[&weights, &out, &optimizer],
        );
        let predictor = Predictor::from_file(&out).unwrap();
        let name = |i| predictor.predict_photo(&photo(i)).unwrap().name;
        assert_eq!(name(100), "dark / red", "{optimizer}");
        assert_eq!(name(103), "bright / blue", "{optimizer}");
    }
}

#[test]
fn a_backbone_of_ones_own_is_trained_saved_and_loaded_and_another_program_is_told_to_register_it() {
    let folder = tempfile::tempdir().unwrap();
    let said = says(env!("CARGO_BIN_EXE_own_backbone"), &[&folder.path()]);
    assert_eq!(said, "dark\nbright\n");
    let model = folder.path().join("best.safetensors");
    let output = run(env!("CARGO_BIN_EXE_predict"), &[&model, &"photo.jpg"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(
        errors.contains("`patches`") && errors.contains("register"),
        "{errors}"
    );
}

#[test]
fn a_run_is_started_again_until_it_is_done_and_one_head_of_its_model_is_trained_again_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let program = env!("CARGO_BIN_EXE_train");
    assert!(says(program, &[&path("whole")]).ends_with("done\n"));
    assert_eq!(says(program, &[&path("parts"), &"2"]), "stopped\n");
    let rest = says(program, &[&path("parts")]);
    assert!(
        rest.starts_with("epoch 1: ") && rest.ends_with("done\n"),
        "{rest}"
    );
    let [whole, parts] = ["whole", "parts"].map(|n| path(n).join("best.safetensors"));
    assert!(std::fs::read(&whole).unwrap() == std::fs::read(parts).unwrap());

    let (run, out) = (path("tint"), path("swapped"));
    says(env!("CARGO_BIN_EXE_retrain_head"), &[&whole, &run, &out]);
    let [before, after] = [&whole, &out].map(|p| ModelFile::read(p).unwrap());
    for (name, tensor) in &before.tensors {
        let same = bits(tensor) == bits(&after.tensors[name]);
        assert_eq!(same, !name.starts_with("heads.tint."), "{name}");
    }
    let [before, after] = [&whole, &out].map(|p| {
        let predictor = Predictor::from_file(p).unwrap();
        predictor.predict_photo(&photo(70)).unwrap().heads
    });
    assert_eq!(before[0], after[0]);
    assert_eq!(after[1].label.as_deref(), Some("blue"));
}
