//! A file that is something else is called what it is wherever it is given.

use crate::common::runs::{Bench, HEADS};
use hydranet::data::corrections::Corrections;
use hydranet::data::dataset::Dataset;
use hydranet::experiment::ExperimentFile;
use hydranet::predict::Manifest;
use hydranet::train::config::{Config, read_head};
use hydranet::train::run_folder::RunFolder;
use hydranet::{Ensemble, HeadSpec, ModelFile, Predictor};
use std::path::Path;

/// Files that are something else, and a word by which they are to be called.
fn strangers() -> Vec<(&'static str, Vec<u8>)> {
    let lfs = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n";
    let html = "\r\n  <!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>";
    let mut tar = vec![b'a'; 600];
    tar[257..262].copy_from_slice(b"ustar");
    vec![
        ("git lfs pull", lfs.into()),
        ("HTML page", html.into()),
        ("HTML page", b"\xef\xbb\xbf<html>".to_vec()),
        ("empty file", Vec::new()),
        ("XML", b"<?xml version=\"1.0\"?><Error/>".to_vec()),
        ("JSON", b"{\"model_type\": \"resnet\"}".to_vec()),
        ("JSON", b"[{\"a\": 1}]".to_vec()),
        (
            "split into several files",
            b"{\"metadata\": {}, \"weight_map\": {\"a\": \"b\"}}".to_vec(),
        ),
        ("PNG", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec()),
        ("JPEG", b"\xff\xd8\xff\xe0\0\x10JFIF".to_vec()),
        (
            "zip archive",
            b"PK\x03\x04\x14\0\0\0\x08\0abcdefgh".to_vec(),
        ),
        ("pickle", b"\x80\x04\x95\x10\0\0\0\0\0\0\0}\x94.".to_vec()),
        ("gzip", b"\x1f\x8b\x08\0\0\0\0\0\0\0".to_vec()),
        ("HDF5", b"\x89HDF\r\n\x1a\n\0\0\0\0".to_vec()),
        ("NumPy", b"\x93NUMPY\x01\0v\0{".to_vec()),
        ("tar archive", tar),
        ("zeros", vec![0; 5000]),
        ("ONNX", b"\x08\x07\x12\x07pytorch\x1a\x05".to_vec()),
    ]
}

fn says(what: &str, word: &str, error: impl std::fmt::Display) {
    let message = format!("{error:#}");
    assert!(message.contains(word), "{what}, no `{word}`: {message}");
    assert!(message.contains("given"), "{what}, no file: {message}");
    assert!(message.len() < 700, "{what}: {message}");
}

#[test]
fn a_file_that_is_something_else_is_called_what_it_is_wherever_it_is_given() {
    let bench = Bench::new();
    let given = bench.out("given.bin");
    let resnet = hydranet::Architecture::from_name("resnet18").unwrap();
    for (word, bytes) in strangers() {
        std::fs::write(&given, &bytes).unwrap();
        let source = given.display().to_string();
        says("model", word, ModelFile::read(&given).err().unwrap());
        says(
            "mapped",
            word,
            ModelFile::read_mapped(&given).err().unwrap(),
        );
        says(
            "predictor",
            word,
            Predictor::from_file(&given).err().unwrap(),
        );
        says("ensemble", word, Ensemble::from_file(&given).err().unwrap());
        says("manifest", word, Manifest::read(&given).err().unwrap());
        let heads = hydranet::model_file::heads::HeadsFile::read(&given)
            .err()
            .unwrap();
        says("heads", word, heads);
        let weights = hydranet::pretrained::load(&source, &[], resnet);
        says("weights", word, weights.err().unwrap());
        // A state of training.
        let run = bench.out("given");
        std::fs::create_dir_all(&run).unwrap();
        std::fs::copy(&given, run.join("state.safetensors")).unwrap();
        let folder = RunFolder::create(&run, true).unwrap();
        says("state", word, folder.read_state().err().unwrap());
        drop(folder);
        if bytes.is_empty() {
            continue;
        }
        let heads = [HeadSpec::new("mask", ["worn", "not"])];
        let listing = Dataset::open(std::slice::from_ref(&given), &heads);
        says("listing", word, listing.err().unwrap());
        let corrections = bench.out("given.toml");
        std::fs::copy(&given, &corrections).unwrap();
        let read = Corrections::read(std::slice::from_ref(&corrections));
        says("corrections", word, read.err().unwrap());
        if std::str::from_utf8(&bytes).is_ok() {
            says("head", word, read_head(&corrections).err().unwrap());
            let config = Config::load(Path::new(HEADS), Some(&corrections), &[]);
            says("config", word, config.err().unwrap());
            let experiment = ExperimentFile::read(&corrections);
            says("experiment", word, experiment.err().unwrap());
        }
    }
    std::fs::write(&given, "models:\n- a.safetensors\n").unwrap();
    says(
        "text",
        "`models:`",
        Ensemble::from_file(&given).err().unwrap(),
    );
}
