//! Networks of candle's as backbones: their tensors and features beside timm's and transformers', what of them can be trained,
//! and runs with them. `tests/golden/make_adapters.py` made the golden values.

use crate::common::differences::difference;
use crate::common::drawn;
use crate::common::drawn::Vars;
use crate::common::golden;
use crate::common::recorded;
use crate::common::runs::Bench;
use candle_core::{DType, Tensor, Var};
use candle_transformers::models::clip::text_model::Activation;
use candle_transformers::models::clip::vision_model::ClipVisionConfig;
use candle_transformers::models::{convnext, mobilenetv4, mobileone, siglip};
use hydranet::backbone::Backbone;
use hydranet::backbone::adapter::{Entry, Module, Sizes, Training, entries, models, register};
use hydranet::model_file::Tensors;
use hydranet::train::optim::variables::Variables;
use hydranet::{Architecture, BatchNormMode, Error, Mode, ModelFile, MultiTaskModel, Predictor};
use std::collections::BTreeSet;
use std::sync::OnceLock;

/// A small network and the shipped ones of its family.
struct Small {
    name: &'static str,
    architecture: Architecture,
    family: &'static [&'static str],
}

impl Small {
    /// Over drawn variables.
    fn build(&self, dtype: DType) -> (Box<dyn Backbone>, Vars) {
        let (vb, vars) = drawn::builder(dtype);
        let net = self.architecture.build(vb, 0.0).unwrap();
        let vars = vars.lock().unwrap().clone();
        (net, vars)
    }

    fn images(&self, batch: usize, dtype: DType) -> Tensor {
        let [h, w] = self.architecture.input().size;
        drawn::tensor("images", &[batch, 3, h, w], dtype)
    }

    fn entry(&self) -> &'static Entry {
        self.architecture.entry().unwrap()
    }
}

fn shipped(name: &str) -> Entry {
    let found = entries().into_iter().find(|e| e.name == name);
    found.unwrap_or_else(|| panic!("{name}")).clone()
}

fn clip_config() -> ClipVisionConfig {
    ClipVisionConfig {
        embed_dim: 24,
        activation: Activation::QuickGelu,
        intermediate_size: 48,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        projection_dim: 8,
        num_channels: 3,
        image_size: 32,
        patch_size: 16,
    }
}

fn siglip_config() -> siglip::VisionConfig {
    siglip::VisionConfig {
        hidden_size: 24,
        intermediate_size: 48,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        num_channels: 3,
        image_size: 32,
        patch_size: 16,
        hidden_act: candle_nn::Activation::GeluPytorchTanh,
        layer_norm_eps: 1e-6,
    }
}

/// What MobileNetV4's small variant does without.
fn small_lacks(name: &str) -> bool {
    let no_start = ["2.1", "2.2", "2.3", "2.4", "3.2", "3.3", "3.4", "3.5"];
    name.contains("layer_scale.")
        || name.contains("blocks.2.5.dw_mid.")
        || no_start
            .iter()
            .any(|b| name.contains(&format!("blocks.{b}.dw_start.")))
}

type Build = fn(candle_nn::VarBuilder) -> candle_core::Result<Module>;

/// One of each family, small where candle takes a configuration.
fn small() -> &'static [Small] {
    static SMALL: OnceLock<Vec<Small>> = OnceLock::new();
    SMALL.get_or_init(|| {
        let of = |name, num_features, side, build: Build, family: &'static [&'static str]| {
            let entry = shipped(family[0]);
            (
                family,
                Entry {
                    name,
                    num_features,
                    side,
                    build: Entry::new(name, num_features, side, build).build,
                    ..entry
                },
            )
        };
        let mut mobilenet = of(
            "small_mobilenetv4",
            1280,
            64,
            |vb| models::mobilenetv4(&mobilenetv4::Config::small(), vb),
            &["mobilenetv4_conv_large"],
        );
        mobilenet.1.absent = small_lacks;
        [
            of(
                "small_clip",
                24,
                32,
                |vb| models::clip(&clip_config(), vb),
                &["vit_base_patch32_clip_224", "vit_large_patch14_clip_336"],
            ),
            of(
                "small_siglip",
                24,
                32,
                |vb| models::siglip(&siglip_config(), vb),
                &["vit_base_patch16_siglip_224"],
            ),
            of(
                "small_eva02",
                64,
                448,
                |vb| models::eva02([2, 64, 1], vb),
                &["eva02_base_patch14_448", "eva02_large_patch14_448"],
            ),
            of(
                "small_dinov2",
                24,
                518,
                |vb| models::dinov2([2, 12, 2], vb),
                &["dinov2_vits14"],
            ),
            of(
                "small_dinov2_registers",
                12,
                518,
                |vb| models::dinov2_registers([2, 12, 2], vb),
                &["dinov2_vits14_reg4", "dinov2_vitb14_reg4"],
            ),
            of(
                "small_mobileone",
                1280,
                64,
                |vb| models::mobileone(&mobileone::Config::s1(), vb),
                &["mobileone_s1", "mobileone_s2", "mobileone_s3"],
            ),
            of(
                "small_convnext",
                320,
                64,
                |vb| models::convnext(&convnext::Config::atto(), 320, vb),
                &["convnext_large", "convnext_xlarge"],
            ),
            mobilenet,
        ]
        .into_iter()
        .map(|(family, entry)| Small {
            name: entry.name,
            architecture: register(entry).unwrap(),
            family,
        })
        .collect()
    })
}

fn small_one(name: &str) -> &'static Small {
    small().iter().find(|s| s.name == name).unwrap()
}

/// Σ features · fixed numbers.
fn loss(net: &dyn Backbone, images: &Tensor) -> Tensor {
    let features = net.features(images, Mode::Eval).unwrap();
    let weights = drawn::tensor("loss", features.dims(), features.dtype());
    (features * weights).unwrap().sum_all().unwrap()
}

#[test]
fn every_shipped_one_is_built_of_the_tensors_of_timm_or_transformers() {
    let known = golden::json("adapters.json");
    let known = known.as_object().unwrap();
    let shipped: Vec<_> = small().iter().flat_map(|s| s.family).copied().collect();
    let mut failed = Vec::new();
    for name in &shipped {
        let shapes = recorded::shapes(Architecture::from_name(name).unwrap());
        let lines = shapes.iter().map(|(name, shape)| {
            let sizes = shape.iter().map(|d| format!(" {d}"));
            format!("{name}{}\n", sizes.collect::<String>())
        });
        let text: String = lines.collect();
        let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        });
        let ours = serde_json::json!([shapes.len(), format!("{hash:016x}")]);
        if known.get(*name) != Some(&ours) {
            failed.push(format!("{name}: {ours}, expected {:?}", known.get(*name)));
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
    assert_eq!(known.len(), shipped.len());
}

#[test]
fn no_name_is_taken_twice_and_every_shipped_one_has_a_small_one_beside_it() {
    let tried: BTreeSet<&str> = small().iter().flat_map(|s| s.family).copied().collect();
    let small: BTreeSet<&str> = small().iter().map(|s| s.name).collect();
    let own: BTreeSet<&str> = Architecture::all().map(Architecture::name).collect();
    let mut seen = BTreeSet::new();
    for entry in entries() {
        assert!(seen.insert(entry.name), "{}", entry.name);
        assert!(!own.contains(entry.name), "{}", entry.name);
        let of_these_tests = small.contains(entry.name) || entry.name.starts_with("test_");
        assert!(
            tried.contains(entry.name) || of_these_tests,
            "{}",
            entry.name
        );
    }
}

#[test]
fn features_are_those_of_timm_and_transformers() {
    let golden = golden::tensors("adapters.safetensors");
    for (name, theirs) in [
        ("small_clip", "clip"),
        ("small_siglip", "siglip"),
        ("small_eva02", "eva02"),
        ("small_dinov2", "dinov2"),
        ("small_dinov2_registers", "dinov2_registers"),
        ("small_mobileone", "mobileone_s1"),
    ] {
        let small = small_one(name);
        let (net, _) = small.build(DType::F32);
        let images = small.images(2, DType::F32);
        let features = net.features(&images, Mode::Eval).unwrap();
        let off = difference(&features, &golden[theirs]);
        println!("{name}: {off:.1e}");
        assert!(off < 2e-4, "{name}: {off:.1e}");
    }
}

/// Our own networks were compared with timm's, gradients too.
#[test]
fn trainable_ones_have_the_features_and_gradients_of_our_own_networks() {
    for (name, own) in [
        ("small_convnext", "convnext_atto"),
        ("small_mobilenetv4", "mobilenetv4_conv_small"),
    ] {
        let small = small_one(name);
        let images = small.images(2, DType::F64);
        let own = Small {
            name,
            architecture: Architecture::from_name(own).unwrap(),
            family: &[],
        };
        let ((theirs, their_vars), (ours, our_vars)) =
            (small.build(DType::F64), own.build(DType::F64));
        let of = |net: &dyn Backbone| net.features(&images, Mode::Eval).unwrap();
        let off = difference(&of(&*theirs), &of(&*ours));
        assert!(off < 1e-10, "{name}: {off:.1e}");
        let (theirs, ours) = (loss(&*theirs, &images), loss(&*ours, &images));
        let (theirs, ours) = (theirs.backward().unwrap(), ours.backward().unwrap());
        assert_eq!(
            their_vars.keys().collect::<Vec<_>>(),
            our_vars.keys().collect::<Vec<_>>()
        );
        let mut worst = 0f64;
        for (var, our_var) in their_vars.values().zip(our_vars.values()) {
            let off = difference(theirs.get(var).unwrap(), ours.get(our_var).unwrap());
            worst = worst.max(off);
        }
        println!("{name}: gradients to {worst:.1e}");
        // candle's derivative of GELU has a constant of seven digits.
        assert!(worst < 1e-6, "{name}: {worst:.1e}");
    }
}

/// The names of the variables that one backward pass gives no gradient, sorted.
fn severed(small: &Small) -> (Vec<String>, usize) {
    let (net, vars) = small.build(DType::F32);
    let grads = loss(&*net, &small.images(2, DType::F32))
        .backward()
        .unwrap();
    let lost = vars.iter().filter(|(_, v)| grads.get(v).is_none());
    (lost.map(|(name, _)| name.clone()).collect(), vars.len())
}

#[test]
fn what_each_says_about_its_gradients_is_so() {
    let mut failed = Vec::new();
    for small in small() {
        let (lost, of) = severed(small);
        println!(
            "{}: {} of {of} without, {:?}",
            small.name,
            lost.len(),
            lost.first()
        );
        let found = lost.first().map(String::as_str);
        let declared = match small.entry().training {
            Training::NoGradient(first) => Some(first),
            Training::Full | Training::FoldedWeights => None,
        };
        if found != declared {
            failed.push(format!("{}: {found:?}, declared {declared:?}", small.name));
        }
        for name in small.family {
            let architecture = Architecture::from_name(name).unwrap();
            assert_eq!(
                architecture.entry().unwrap().training,
                small.entry().training
            );
            if let Some(first) = declared {
                let shapes = recorded::shapes(architecture);
                assert!(shapes.contains_key(first), "{name} has no {first}");
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

/// Changes every variable a little.
fn step(vars: &Vars) {
    for var in vars.values() {
        var.set(&(var.as_tensor() * 1.01).unwrap()).unwrap();
    }
}

#[test]
fn a_step_changes_what_a_network_computes_unless_its_weights_are_folded() {
    for small in small() {
        let (net, vars) = small.build(DType::F32);
        let images = small.images(1, DType::F32);
        let before = net.features(&images, Mode::Eval).unwrap();
        step(&vars);
        let after = net.features(&images, Mode::Eval).unwrap();
        let moved = difference(&after, &before) > 0.0;
        let folded = small.entry().training == Training::FoldedWeights;
        assert_eq!(moved, !folded, "{}", small.name);
    }
}

/// How far backward's d loss along a random direction in one variable is from central differences. Of three distances: a long one
/// meets the kinks of ReLU, a short one is lost in rounding, and a wrong gradient is wrong at each.
fn slope_error(net: &dyn Backbone, images: &Tensor, name: &str, var: &Var, grad: &Tensor) -> f64 {
    let along = drawn::tensor(&format!("along {name}"), var.dims(), DType::F64);
    let start = var.as_tensor().copy().unwrap();
    let at = |t: f64| {
        var.set(&(&start + (&along * t).unwrap()).unwrap()).unwrap();
        loss(net, images).to_scalar::<f64>().unwrap()
    };
    let exact = (grad * &along).unwrap().sum_all().unwrap();
    let exact = exact.to_scalar::<f64>().unwrap();
    let mut off = f64::INFINITY;
    for eps in [1e-6, 1e-7, 1e-8] {
        if off > CLOSE {
            let numeric = (at(eps) - at(-eps)) / (2.0 * eps);
            off = off.min((numeric - exact).abs() / numeric.abs().max(1e-3));
        }
    }
    var.set(&start).unwrap();
    off
}

const CLOSE: f64 = 1e-5;

#[test]
fn gradients_of_trainable_ones_are_central_differences() {
    for name in ["small_convnext", "small_mobilenetv4"] {
        let small = small_one(name);
        let (net, vars) = small.build(DType::F64);
        let images = small.images(1, DType::F64);
        let grads = loss(&*net, &images).backward().unwrap();
        // The first of each kind of variable.
        let mut seen = BTreeSet::new();
        let kind =
            |name: &str| -> String { name.chars().filter(|c| !c.is_ascii_digit()).collect() };
        let mut worst = (0.0, "");
        for (variable, var) in vars.iter().filter(|(n, _)| seen.insert(kind(n))) {
            let off = slope_error(&*net, &images, variable, var, grads.get(var).unwrap());
            if off > worst.0 {
                worst = (off, variable.as_str());
            }
        }
        println!("{name}: {worst:?}");
        assert!(worst.0 < CLOSE, "{name}: {worst:?}");
    }
}

#[test]
fn images_of_a_size_that_does_not_fit_are_an_error_and_not_a_panic() {
    for small in small().iter().filter(|s| s.entry().sizes != Sizes::Any) {
        let (net, _) = small.build(DType::F32);
        let side = small.entry().side;
        let images = drawn::tensor("images", &[1, 3, side + 1, side], DType::F32);
        let error = net.features(&images, Mode::Eval).unwrap_err().to_string();
        assert!(error.contains("input.size"), "{}: {error}", small.name);
        let grey = drawn::tensor("images", &[1, 1, side, side], DType::F32);
        assert!(net.features(&grey, Mode::Eval).is_err());
        assert!(small.architecture.check_size([side; 2]).is_ok());
        assert!(small.architecture.check_size([side + 1; 2]).is_err());
    }
}

/// Settings of a short run with the small CLIP.
const CLIP: [&str; 6] = [
    "model.backbone=small_clip",
    "model.weights=",
    "model.input.crop=",
    "train.fine_tune=frozen",
    "train.mix_up=0",
    "train.augment.flip=0",
];

fn with<'a>(settings: &[&'a str]) -> Vec<&'a str> {
    small();
    [&CLIP[..], settings].concat()
}

#[test]
fn fine_tuning_a_severed_one_is_refused_at_start_with_its_first_variable() {
    let Training::NoGradient(first) = small_one("small_clip").entry().training else {
        panic!("CLIP is severed")
    };
    for (setting, found) in [
        ("train.fine_tune=full", "`full`"),
        ("train.fine_tune={last_stages=1}", "last_stages = 1"),
        ("train.fine_tune={matching=[\"*post*\"]}", "*post*"),
        ("train.unfreeze_every=1", "unfreeze_every=1"),
        ("train.lora={rank=2,alpha=2.0,weights=[\"*\"]}", "lora"),
    ] {
        let error = Bench::config(&with(&[setting])).unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }), "{error}");
        let error = error.to_string();
        for word in ["train.fine_tune", "`frozen`", "small_clip", first, found] {
            assert!(error.contains(word), "{word}: {error}");
        }
    }
    let error = Bench::config(&with(&["train.drop_path=0.1"])).unwrap_err();
    assert!(error.to_string().contains("drop_path"), "{error}");
    let error = Bench::config(&with(&["model.input.size=[48,48]"])).unwrap_err();
    assert!(error.to_string().contains("[32, 32]"), "{error}");
    Bench::config(&with(&[])).unwrap();
}

#[test]
fn fine_tuning_a_folded_one_is_refused_and_a_trainable_one_needs_its_batch_norm_frozen() {
    small();
    let of = |name: &str, more: &[&str]| {
        let name = format!("model.backbone={name}");
        let size = "model.input.size=[64,64]";
        let all = [&[&*name, "model.weights=", size][..], more].concat();
        Bench::config(&all).map_err(|e| e.to_string())
    };
    let error = of("small_mobileone", &[]).unwrap_err();
    assert!(
        error.contains("fine_tune") && error.contains("folded"),
        "{error}"
    );
    let error = of("small_mobilenetv4", &[]).unwrap_err();
    assert!(error.contains("train.batch_norm"), "{error}");
    let frozen = of("small_mobilenetv4", &["train.batch_norm=frozen"]).unwrap();
    assert_eq!(frozen.train.batch_norm, BatchNormMode::Frozen);
    let error = of("small_mobilenetv4", &["train.batch_norm=sync"]).unwrap_err();
    assert!(error.contains("`sync`"), "{error}");
    of("small_convnext", &[]).unwrap();
    let error = of("small_convnext", &["train.activations=bf16"]).unwrap_err();
    assert!(error.contains("train.activations"), "{error}");
}

#[test]
fn a_frozen_one_trains_heads_with_and_without_kept_features_to_the_same_bytes() {
    let bench = Bench::new();
    let cache = format!("train.feature_cache={}", bench.out("kept").display());
    let (plain, kept) = (
        Bench::config(&with(&[])).unwrap(),
        Bench::config(&with(&[&cache])).unwrap(),
    );
    // Photos that are new in every epoch go through the network at every step.
    let flipped = Bench::config(&with(&["train.augment.flip=0.5", "train.epochs=1"])).unwrap();
    bench.train(&flipped, "flipped", false, None).unwrap();
    for (config, run) in [(&plain, "plain"), (&kept, "first"), (&kept, "second")] {
        bench.train(config, run, false, None).unwrap();
    }
    for run in ["first", "second"] {
        for file in ["best.safetensors", "metrics.csv"] {
            assert_eq!(
                bench.bytes("plain", file),
                bench.bytes(run, file),
                "{run} {file}"
            );
        }
    }
    let path = bench.out("plain").join("best.safetensors");
    let file = ModelFile::read(&path).unwrap();
    assert_eq!(file.description.model.backbone.name(), "small_clip");
    let name = "backbone.vision_model.embeddings.class_embedding";
    assert!(file.tensors.contains_key(name));
    let photo = std::fs::read_dir(bench.data.parent().unwrap().join("images"));
    let photo = photo.unwrap().next().unwrap().unwrap().path();
    Predictor::from_file(&path)
        .unwrap()
        .predict_file(photo)
        .unwrap();
}

#[test]
fn a_trainable_one_is_fine_tuned_in_every_variable() {
    small();
    let bench = Bench::new();
    let config = Bench::config(&[
        "model.backbone=small_convnext",
        "model.weights=",
        "model.input.size=[64,64]",
        "train.epochs=1",
        "train.batch=32",
    ])
    .unwrap();
    bench.train(&config, "run", false, None).unwrap();
    let spec = config.model_spec().unwrap();
    let first = Variables::new(Tensors::new(), config.train.seed, |_| false, |_| true);
    MultiTaskModel::new(&spec, 0.0, &first.builder()).unwrap();
    let path = bench.out("run").join("last.safetensors");
    let last = ModelFile::read(path).unwrap().tensors;
    for (name, before) in first.snapshot().unwrap() {
        let moved = difference(&last[&name], &before);
        assert!(moved > 0.0, "{name} has not moved");
    }
}

#[test]
fn weights_of_images_and_texts_together_are_read_without_the_texts() {
    let small = small_one("small_clip");
    let mut tensors: hydranet::model_file::Tensors = recorded::shapes(small.architecture)
        .into_iter()
        .map(|(name, shape)| (name.clone(), drawn::tensor(&name, &shape, DType::F32)))
        .collect();
    let only = tensors.len();
    for name in [
        "text_model.final_layer_norm.weight",
        "visual_projection.weight",
    ] {
        tensors.insert(name.into(), drawn::tensor(name, &[4], DType::F32));
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("clip.safetensors");
    std::fs::write(
        &path,
        hydranet::model_file::to_bytes(&tensors, None).unwrap(),
    )
    .unwrap();
    let source = path.display().to_string();
    let read = hydranet::model_file::pretrained::load(&source, &[], small.architecture).unwrap();
    assert_eq!(read.len(), only);
    assert!(read.keys().all(|n| n.starts_with("backbone.vision_model.")));
}

#[test]
fn a_name_that_is_taken_cannot_be_registered() {
    for name in ["resnet18", "vit_base_patch32_clip_224", ""] {
        let entry = Entry {
            name,
            ..shipped("mobileone_s1")
        };
        let error = register(entry).unwrap_err().to_string();
        assert!(error.contains(&format!("`{name}`")), "{error}");
    }
    let entry = Entry {
        name: "test_side",
        side: 33,
        ..shipped("convnext_large")
    };
    assert!(register(entry).is_err(), "33 is no multiple of 32");
}

/// One image through every shipped network at its own size, and back. Takes minutes and gigabytes: `--ignored` runs it.
#[test]
#[ignore = "minutes and gigabytes"]
fn every_shipped_one_at_full_size_does_what_it_says() {
    for name in small().iter().flat_map(|s| s.family) {
        let small = Small {
            name,
            architecture: Architecture::from_name(name).unwrap(),
            family: &[],
        };
        let start = std::time::Instant::now();
        let (net, vars) = small.build(DType::F32);
        let value = loss(&*net, &small.images(1, DType::F32));
        let forward = start.elapsed();
        let grads = value.backward().unwrap();
        let lost = vars.iter().find(|(_, v)| grads.get(v).is_none());
        let lost = lost.map(|(name, _)| name.as_str());
        println!("{name}: {forward:?}, {:?}, {lost:?}", start.elapsed());
        match small.entry().training {
            Training::NoGradient(first) => assert_eq!(lost, Some(first), "{name}"),
            Training::Full | Training::FoldedWeights => assert_eq!(lost, None, "{name}"),
        }
    }
}
