//! Pretrained weights from other libraries' files. `tests/golden/make_names.py` and `make_pickles.py` made the golden files.

use crate::common::differences::{difference, flat};
use crate::common::golden;
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use hydranet::model_file::pretrained::load;
use hydranet::model_file::{Tensors, to_bytes};
use hydranet::weights::{Shapes, adapt, adapt_input_conv, read};
use hydranet::{Architecture, Error, Mode};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

#[derive(Deserialize)]
struct Case {
    tensors: Vec<Row>,
    needless: Vec<(String, Vec<usize>)>,
    #[serde(default)]
    variance: f64,
    architecture: Option<String>,
}

/// timm's name, its shape, the library's names, their shape if another.
#[derive(Deserialize)]
struct Row(
    String,
    Vec<usize>,
    Vec<String>,
    #[serde(default)] Option<Vec<usize>>,
);

fn cases() -> BTreeMap<String, Case> {
    serde_json::from_value(golden::json("names.json")).unwrap()
}

/// Whole numbers that follow from the name: another tensor has others, and so has another order of the same.
fn numbers(name: &str, shape: &[usize]) -> Tensor {
    let start = name
        .bytes()
        .fold(7u32, |h, b| h.wrapping_mul(31).wrapping_add(b.into()));
    let values: Vec<f32> = (0..shape.iter().product::<usize>() as u32)
        .map(|i| (start.wrapping_add(i) % (1 << 22)) as f32)
        .collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

impl Case {
    fn shapes(&self) -> Shapes {
        let pair = |r: &Row| (r.0.clone(), r.1.clone());
        self.tensors.iter().map(pair).collect()
    }

    /// The library's tensors, those that features do not need among them.
    fn source(&self, prefix: &str) -> Tensors {
        let of_row = |Row(_, shape, names, other): &Row| -> Vec<(String, Vec<usize>)> {
            let shape = other.as_ref().unwrap_or(shape);
            names.iter().map(|n| (n.clone(), shape.clone())).collect()
        };
        let needless = self.needless.iter().cloned();
        let all = self.tensors.iter().flat_map(of_row).chain(needless);
        all.map(|(name, shape)| (format!("{prefix}{name}"), numbers(&name, &shape)))
            .collect()
    }

    /// What is wrong with the tensors that `source` became.
    fn differences(&self, found: &Tensors) -> Vec<String> {
        let mut wrong = Vec::new();
        if found.len() != self.tensors.len() {
            wrong.push(format!("{} tensors", found.len()));
        }
        let row = |name: &str| self.tensors.iter().find(|r| r.0 == name);
        let added = match (row("pos_embed"), row("cls_token")) {
            // The class token's position goes to the class token.
            (Some(Row(_, shape, names, Some(other))), Some(_)) if other[1] == shape[1] + 1 => {
                Some(flat(&numbers(&names[0], other)))
            }
            _ => None,
        };
        for Row(name, shape, names, other) in &self.tensors {
            let Some(tensor) = found.get(name).filter(|t| t.dims() == shape) else {
                wrong.push(format!("{name} is missing or of another shape"));
                continue;
            };
            let shape = other.as_ref().unwrap_or(shape);
            let mut expected: Vec<f64> = names
                .iter()
                .flat_map(|n| flat(&numbers(n, shape)))
                .collect();
            match &added {
                Some(positions) if name == "pos_embed" => {
                    expected = positions[positions.len() - tensor.elem_count()..].to_vec();
                }
                Some(positions) if name == "cls_token" => {
                    expected
                        .iter_mut()
                        .zip(positions)
                        .for_each(|(e, p)| *e += p);
                }
                _ => {}
            }
            let more = if name.ends_with("running_var") {
                self.variance
            } else {
                0.0
            };
            // In f32, to one rounding.
            let close = |(a, b): (&f64, &f64)| (a - b - more).abs() <= 2f64.powi(-24) * b.abs();
            let ours = flat(tensor);
            let same = ours.len() == expected.len() && ours.iter().zip(&expected).all(close);
            if !same || (more == 0.0 && added.is_none() && ours != expected) {
                wrong.push(format!("{name} has other values"));
            }
        }
        wrong
    }
}

fn words(result: hydranet::Result<impl Sized>) -> String {
    match result {
        Err(e) => format!("{e:#}"),
        Ok(_) => panic!("accepted"),
    }
}

fn expect(message: &str, words: &[&str]) {
    for word in words {
        assert!(message.contains(word), "no `{word}` in: {message}");
    }
}

fn zeros(shape: &[usize]) -> Tensor {
    Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap()
}

#[test]
fn every_known_librarys_names_become_timms() {
    let cases = cases();
    assert!(cases.len() >= 22);
    let mut wrong = Vec::new();
    for (title, case) in &cases {
        for prefix in ["", "module."] {
            match adapt(case.source(prefix), &case.shapes(), title) {
                Ok(found) => {
                    let found = case.differences(&found);
                    wrong.extend(found.iter().map(|w| format!("{title} {prefix}: {w}")));
                }
                Err(e) => wrong.push(format!("{title} {prefix}: {e}")),
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_networks_that_are_here_have_the_tensors_of_timm() {
    let mut seen = 0;
    for (title, case) in cases() {
        if let Some(name) = &case.architecture {
            let ours = Architecture::from_name(name).unwrap().shapes(3).unwrap();
            assert_eq!(ours, case.shapes(), "{title}");
            seen += 1;
        }
    }
    assert_eq!(seen, 6);
}

#[test]
fn timms_own_files_load_with_any_number_of_classes() {
    let case = &cases()["torchvision resnet18"];
    for classes in [2, 1000] {
        let mut tensors = case.source("");
        tensors.insert("fc.weight".into(), zeros(&[classes, 512]));
        tensors.insert("fc.bias".into(), zeros(&[classes]));
        tensors.insert("bn1.num_batches_tracked".into(), zeros(&[]));
        let found = adapt(tensors, &case.shapes(), "timm").unwrap();
        assert_eq!(case.differences(&found), Vec::<String>::new());
    }
}

#[test]
fn a_file_with_other_names_is_loaded_by_path_and_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let case = &cases()["torchvision mobilenet_v2"];
    let path = folder.path().join("mobilenet_v2.safetensors");
    // A counter of integers beside them, as torchvision's and timm's files have.
    let mut tensors = case.source("");
    let counter = Tensor::new(7i64, &Device::Cpu).unwrap();
    tensors.insert("features.0.1.num_batches_tracked".into(), counter);
    std::fs::write(&path, to_bytes(&tensors, None).unwrap()).unwrap();
    let architecture = Architecture::from_name("mobilenetv2_100").unwrap();
    let folders = [PathBuf::from("none"), folder.path().into()];
    for source in [path.to_str().unwrap(), "mobilenet_v2.safetensors"] {
        let found = load(source, &folders, architecture).unwrap();
        let bare = |(name, t): (String, Tensor)| (name["backbone.".len()..].to_string(), t);
        let found: Tensors = found.into_iter().map(bare).collect();
        assert_eq!(case.differences(&found), Vec::<String>::new());
    }
    let message = words(load("nowhere.pth", &folders, architecture));
    expect(
        &message,
        &[
            "nowhere.pth",
            "mobilenet_v2.safetensors",
            "none or",
            "hf://",
        ],
    );
}

#[test]
fn of_a_mean_and_the_last_steps_weights_the_mean_is_taken() {
    let shapes = Shapes::from([("conv.weight".into(), vec![2]), ("bn.bias".into(), vec![2])]);
    let prefixed = |prefixes: &[(&str, f64)]| -> Tensors {
        let of = |(prefix, value): &(&str, f64)| {
            let t = (zeros(&[2]) + *value).unwrap();
            ["conv.weight", "bn.bias"].map(|n| (format!("{prefix}{n}"), t.clone()))
        };
        prefixes.iter().flat_map(of).collect()
    };
    for prefixes in [
        vec![("", 1.0)],
        vec![("module.", 1.0)],
        vec![("model.", 1.0)],
        vec![("state_dict.module.", 1.0)],
        vec![("module._orig_mod.model.", 1.0)],
        vec![("backbone.", 1.0)],
        vec![("model.", 0.0), ("ema.", 1.0)],
        vec![("ema.module.", 1.0)],
        vec![("model.", 0.0), ("model_ema.module.", 1.0)],
    ] {
        let found = adapt(prefixed(&prefixes), &shapes, "a file").unwrap();
        for (name, tensor) in found {
            assert_eq!(flat(&tensor), [1.0, 1.0], "{prefixes:?} {name}");
        }
    }
    // A prefix that few have stays, and is said.
    let mut tensors = prefixed(&[("", 1.0)]);
    tensors.insert("module.scale".into(), zeros(&[1]));
    expect(
        &words(adapt(tensors, &shapes, "a file")),
        &["a file", "1 unexpected", "module.scale"],
    );
}

#[test]
fn what_does_not_fit_is_listed_by_block_with_the_nearest_names() {
    let case = &cases()["efficientnet_pytorch lite0"];
    let shapes = case.shapes();
    let whole = || adapt(case.source(""), &shapes, "lite0").unwrap();
    let mut tensors = whole();
    tensors.retain(|name, _| !name.starts_with("blocks.3."));
    let stem = tensors.remove("conv_stem.weight").unwrap();
    tensors.insert("conv_stemm.weight".into(), stem);
    tensors.insert("bn1.weight".into(), zeros(&[7]));
    let message = words(adapt(tensors, &shapes, "lite0"));
    expect(
        &message,
        &[
            "lite0, read with timm names",
            "missing tensors",
            "blocks.3.*: 45 tensors",
            "conv_stem.weight; the nearest in the file is conv_stemm.weight",
            "1 unexpected",
            "conv_stemm.weight; the nearest of the missing ones is conv_stem.weight",
            "1 tensors of another shape",
            "bn1.weight is [7], expected [32]",
        ],
    );
    // Of another network entirely.
    let others = cases()["torchvision vit"].source("");
    expect(
        &words(adapt(others, &shapes, "a transformer")),
        &["245 missing", "encoder.layers", "more like these"],
    );
}

/// timm 1.0: `adapt_input_conv(channels, weight)`.
#[test]
fn a_first_convolution_is_adapted_to_other_channels_as_timm_does() {
    let weight = Tensor::new(&[[[[1f32]], [[2.0]], [[6.0]]]], &Device::Cpu).unwrap();
    for (channels, expected) in [
        (1, vec![9.0]),
        (2, vec![1.5, 3.0]),
        (3, vec![1.0, 2.0, 6.0]),
        (4, vec![0.75, 1.5, 4.5, 0.75]),
        (
            7,
            [1.0, 2.0, 6.0, 1.0, 2.0, 6.0, 1.0]
                .map(|v| v * 3.0 / 7.0)
                .to_vec(),
        ),
    ] {
        let found = adapt_input_conv(&weight, channels).unwrap();
        assert_eq!(found.dims(), [1, channels, 1, 1]);
        for (a, b) in flat(&found).iter().zip(&expected) {
            assert!((a - b).abs() < 1e-6, "{channels}: {a} {b}");
        }
        // And where a network is made for so many channels.
        let shapes = Shapes::from([("conv1.weight".into(), vec![1, channels, 1, 1])]);
        let tensors = Tensors::from([("conv1.weight".to_string(), weight.clone())]);
        let adapted = adapt(tensors, &shapes, "rgb").unwrap();
        assert_eq!(flat(&adapted["conv1.weight"]), flat(&found));
    }
    assert!(adapt_input_conv(&weight, 0).is_err());
    assert!(adapt_input_conv(&zeros(&[2, 4, 3, 3]), 1).is_err());
    assert!(adapt_input_conv(&zeros(&[2, 3]), 1).is_err());
}

#[test]
fn position_embeddings_of_another_image_size_are_resampled() {
    let case = &cases()["torchvision vit"];
    let mut shapes = case.shapes();
    shapes.insert("pos_embed".into(), vec![1, 10, 32]);
    let found = adapt(case.source(""), &shapes, "vit").unwrap();
    let given = numbers("encoder.pos_embedding", &[1, 5, 32]);
    let expected = hydranet::tape::resample_pos_embed(&given, 1, (2, 2), (3, 3)).unwrap();
    assert_eq!(flat(&found["pos_embed"]), flat(&expected));
    // A width is never adapted.
    shapes.insert("pos_embed".into(), vec![1, 10, 31]);
    expect(
        &words(adapt(case.source(""), &shapes, "vit")),
        &["pos_embed is [1, 5, 32], expected [1, 10, 31]"],
    );
}

fn pickle(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

/// Whether the tensors are those that the script counts up from `start`.
fn assert_counted(name: &str, tensors: &Tensors, prefix: &str, start: f64) {
    let count = |n: usize| (0..n).map(|i| start + i as f64).collect::<Vec<_>>();
    let exchanged: Vec<f64> = (0..12)
        .map(|i| start + f64::from(i % 3 * 4 + i / 3))
        .collect();
    let expected = [
        ("conv.weight", vec![2, 3, 3, 3], count(54)),
        ("conv.bias", vec![2], vec![start + 5.0, start + 6.0]),
        ("fc.weight", vec![4, 3], exchanged),
        ("bn.running_var", vec![2], vec![0.5, 1.5]),
        ("bn.bias", vec![2], vec![0.25, -3.0]),
        ("bn.weight", vec![2], vec![2.0, 4.0]),
    ];
    assert_eq!(tensors.len(), expected.len(), "{name}");
    for (key, shape, values) in expected {
        let tensor = &tensors[&format!("{prefix}{key}")];
        assert_eq!(tensor.dtype(), DType::F32);
        assert_eq!(tensor.dims(), shape, "{name} {key}");
        assert_eq!(flat(tensor), values, "{name} {key}");
    }
}

#[test]
fn pytorchs_files_are_read_whatever_stands_beside_the_weights() {
    for name in ["pickle_wrapped.pth", "pickle_legacy.pth"] {
        let tensors = read(&pickle(name)).unwrap();
        assert_counted(name, &tensors, "module.", 0.0);
    }
    let tensors = read(&pickle("pickle_ema.pth")).unwrap();
    assert_counted("pickle_ema.pth", &tensors, "module.", 100.0);
}

#[test]
fn a_call_in_a_pickle_is_never_made() {
    let tensors = read(&pickle("pickle_evil.pth")).unwrap();
    assert_counted("pickle_evil.pth", &tensors, "module.", 0.0);
    assert!(!Path::new("executed").exists());
}

#[test]
fn a_pytorch_file_cut_off_anywhere_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.pth");
    for name in ["pickle_wrapped.pth", "pickle_legacy.pth"] {
        let bytes = std::fs::read(pickle(name)).unwrap();
        for length in (0..bytes.len()).step_by(97) {
            std::fs::write(&path, &bytes[..length]).unwrap();
            match read(&path) {
                Err(e @ Error::Checkpoint { .. }) => {
                    expect(&format!("{e:#}"), &["cut.pth", "cut off"]);
                }
                other => panic!("{name}, {length} bytes: {other:?}"),
            }
        }
        // Bytes changed: an error or other numbers, never a panic.
        for place in (0..bytes.len()).step_by(13) {
            let mut changed = bytes.clone();
            changed[place] ^= 0x55;
            std::fs::write(&path, &changed).unwrap();
            let _ = read(&path);
        }
    }
}

#[test]
fn other_files_are_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.pth");
    for (bytes, expected) in [
        (
            std::fs::read(pickle("pickle_foreign.pkl")).unwrap(),
            "torch.save",
        ),
        (
            b"PK\x03\x04 is how a zip archive begins".to_vec(),
            "zip archive",
        ),
        (b"a text".to_vec(), "not a whole safetensors file"),
        (Vec::new(), "not a whole safetensors file"),
    ] {
        std::fs::write(&path, bytes).unwrap();
        expect(&words(read(&path)), &["a.pth", expected]);
    }
    let none = read(&folder.path().join("none.pth"));
    assert!(matches!(none, Err(Error::Io { action: "read", .. })));
}

/// Run by `tests/golden/check_mobilenetv2.py`, which says where its files are.
#[test]
#[ignore = "needs a file of 14 MB; see tests/golden/check_mobilenetv2.py"]
fn torchvisions_mobilenetv2_sees_what_it_sees_in_torchvision() {
    let [weights, golden] = ["HYDRANET_WEIGHTS", "HYDRANET_GOLDEN"]
        .map(|name| std::env::var(name).expect("run check_mobilenetv2.py"));
    let golden = candle_core::safetensors::load(golden, &Device::Cpu).unwrap();
    let architecture = Architecture::from_name("mobilenetv2_100").unwrap();
    let tensors = load(&weights, &[], architecture).unwrap();
    let tensors = tensors.into_iter().collect();
    let vb = VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu).pp("backbone");
    let network = architecture.build(vb, 0.0).unwrap();
    let features = network.features(&golden["images"], Mode::Eval).unwrap();
    let own = read(Path::new(&weights)).unwrap();
    let logits = (features
        .matmul(&own["classifier.1.weight"].t().unwrap())
        .unwrap())
    .broadcast_add(&own["classifier.1.bias"])
    .unwrap();
    for (photo, row) in flat(&logits).chunks(1000).enumerate() {
        let sum: f64 = row.iter().map(|l| l.exp()).sum();
        let mut order: Vec<usize> = (0..row.len()).collect();
        order.sort_by(|a, b| row[*b].total_cmp(&row[*a]));
        let top = order[..5]
            .iter()
            .map(|i| format!("{i} {:.4}", row[*i].exp() / sum));
        println!(
            "hydranet photo {photo}: {}",
            top.collect::<Vec<_>>().join(", ")
        );
    }
    for (what, ours) in [("features", &features), ("logits", &logits)] {
        let off = difference(ours, &golden[what]);
        println!("{what}: off by {off:.1e} of the greatest");
        assert!(off < 1e-5, "{what}");
    }
}

#[test]
fn where_weights_are_not_shipped_it_is_said_how_to_get_them() {
    let network = Architecture::from_name("tf_efficientnet_lite1").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let folders = [folder.path().to_path_buf()];
    let name = "tf_efficientnet_lite1.in1k.safetensors";
    let message = format!("{:#}", load(name, &folders, network).unwrap_err());
    let hub = format!("such as hf://{}", network.hub_name().unwrap());
    assert!(message.contains(&hub), "{message}");
    let other = load("mine.safetensors", &folders, network).unwrap_err();
    assert!(!other.to_string().contains("such as"), "{other}");
}

#[test]
fn shipped_weights_are_found_anywhere_and_a_file_of_their_name_goes_before_them() {
    let network = Architecture::from_name("tf_efficientnet_lite0").unwrap();
    let name = "tf_efficientnet_lite0.in1k.safetensors";
    let carried = load(name, &[], network).unwrap();
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("weights")
        .join(name);
    let read = load(file.to_str().unwrap(), &[], network).unwrap();
    assert!(carried.len() > 200 && carried.keys().eq(read.keys()));
    for (name, tensor) in &carried {
        assert_eq!(flat(tensor), flat(&read[name]), "{name}");
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(name), "another file").unwrap();
    let own = load(name, &[folder.path().into()], network).unwrap_err();
    assert!(
        own.to_string().contains(folder.path().to_str().unwrap()),
        "{own}"
    );
}
