//! The wall: no architecture goes in that does not learn, and no source file uses an operator of candle that is known not to.

use crate::common::{golden, recorded};
use candle_core::{Device, Tensor};
use hydranet::model_file::Tensors;
use hydranet::train::loss::HeadLoss;
use hydranet::train::optim::variables::{Variables, is_buffer};
use hydranet::train::optim::{Group, Optimizer, OptimizerKind};
use hydranet::{Architecture, BatchNormMode, HeadSpec, InputSpec, Mode, ModelSpec, MultiTaskModel};
use std::path::{Path, PathBuf};

/// Parameters up to which an architecture takes its step here; and so do those that stand for their structure. All others are the
/// same code with other numbers, whose tensors `architectures.rs` checks.
const SMALL: usize = 8_000_000;

/// Height and width of the images: whole patches of 16, or of 14 where those of the pretrained weights are.
fn side(architecture: Architecture) -> usize {
    match architecture.input().size[0] % 16 {
        6 => 56,
        _ => 64,
    }
}

fn noise(shape: &[usize]) -> Tensor {
    let n = shape.iter().product::<usize>() as u64;
    let values: Vec<f32> = (1..=n)
        .map(|i| (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as f32 / (1u64 << 23) as f32 - 1.0)
        .collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn flat(t: &Tensor) -> Vec<f32> {
    t.flatten_all().unwrap().to_vec1().unwrap()
}

/// One step of training with two heads; gives what did not learn.
fn problems(architecture: Architecture) -> hydranet::Result<Vec<String>> {
    let hidden = HeadSpec::new("age", ["young", "middle", "old"]).with_hidden(8);
    let size = side(architecture);
    let input = InputSpec {
        size: [size; 2],
        ..architecture.input()
    };
    let heads = vec![HeadSpec::new("mask", ["worn", "not_worn"]), hidden];
    let spec = ModelSpec::new(architecture, heads, input);
    let variables = Variables::new(Tensors::new(), 1, |_| true, |_| true);
    let model = MultiTaskModel::new(&spec, 0.0, &variables.builder())?;
    let before = variables.snapshot()?;
    let mode = Mode::Train {
        batch_norm: BatchNormMode::Train,
        key: 1,
    };
    let features = model.features(&noise(&[2, 3, size, size]), mode)?;
    let mut joint = Tensor::zeros((), features.dtype(), &Device::Cpu)?;
    for (head, logits) in spec.heads.iter().zip(model.logits(&features, mode)?.heads) {
        let n = head.num_labels();
        let loss = HeadLoss::new(head.loss.kind.clone(), n);
        // The two images have the first and the last label.
        let rows = (0..2 * n).map(|i| f32::from(u8::from(i == 0 || i == 2 * n - 1)));
        let targets = Tensor::from_vec(rows.collect(), (2, n), &Device::Cpu)?;
        let weights = Tensor::new(&[1f32, 1.0], &Device::Cpu)?;
        let loss = loss.loss(&logits, &targets, &weights)?;
        joint = (joint + loss.expect("both images have a label"))?;
    }
    let grads = joint.backward()?;
    let vars = variables.vars();
    let mut problems = Vec::new();
    for (name, var) in &vars {
        match grads.get(var.as_tensor()) {
            None => problems.push(format!("{name} has no gradient")),
            Some(g) if g.dims() != var.dims() => {
                problems.push(format!("{name} has a gradient of shape {:?}", g.dims()));
            }
            Some(g) if flat(g).iter().any(|v| !v.is_finite()) => {
                problems.push(format!("{name} has a gradient that is no number"));
            }
            Some(g) if flat(g).iter().all(|v| *v == 0.0) => {
                problems.push(format!("{name} has a gradient that is all zero"));
            }
            Some(_) => {}
        }
    }
    if !problems.is_empty() {
        return Ok(problems);
    }
    let groups = vars.iter().map(|(name, var)| {
        let group = Group {
            lr: 1e-2,
            weight_decay: 0.0,
            since: 0,
        };
        (name.clone(), (var.clone(), group))
    });
    let mut optimizer = Optimizer::new(OptimizerKind::AdamW, groups.collect());
    let collected = optimizer.collect(&grads)?;
    optimizer.step(&collected, 1.0, 1.0)?;
    for (name, after) in variables.snapshot()? {
        let still = flat(&after) == flat(&before[&name]);
        if !vars.contains_key(&name) && !is_buffer(&name) {
            problems.push(format!("{name} is neither variable nor buffer"));
        }
        if still {
            problems.push(format!("{name} did not move"));
        }
    }
    // What moved must be what the model computes with: weights that were copied when it was built would not be.
    let moved = model.features(&noise(&[2, 3, size, size]), Mode::Eval)?;
    // Variables too: of constants RepVGG merges its branches, and rounds differently.
    let rebuilt = Variables::new(variables.snapshot()?, 1, |_| true, |_| false);
    let rebuilt = MultiTaskModel::new(&spec, 0.0, &rebuilt.builder())?;
    let expected = rebuilt.features(&noise(&[2, 3, size, size]), Mode::Eval)?;
    if flat(&moved) != flat(&expected) {
        problems.push("the model does not compute with its variables".into());
    }
    Ok(problems)
}

/// Whether an architecture takes its step.
fn is_tried(architecture: Architecture) -> bool {
    golden::networks().contains_key(architecture.name())
        || recorded::parameters(&recorded::shapes(architecture)) < SMALL
}

#[test]
fn one_step_of_training_reaches_every_variable_of_every_small_architecture() {
    let mut failed = Vec::new();
    let mut tried = 0;
    for architecture in Architecture::all().filter(|a| is_tried(*a)) {
        tried += 1;
        match problems(architecture) {
            Ok(problems) => failed.extend(problems.iter().map(|p| format!("{architecture}: {p}"))),
            Err(e) => failed.push(format!("{architecture}: {e}")),
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
    println!("{tried} of {}", Architecture::all().count());
    assert!(tried > 20, "{tried}");
}

/// What of candle-nn may be named, because it has no gradient or a right one.
const ALLOWED: &[&str] = &[
    "Init",
    // A trait, which our optimisers implement.
    "Optimizer",
    "VarBuilder",
    "VarMap",
    // A closure as a module, and a setting of `Init`.
    "func",
    "init::NormalOrUniform",
    "ops::log_softmax",
    "ops::softmax",
    "var_builder::SimpleBackend",
];

/// Methods of candle's tensors whose gradient is cut, wrong, or in error.
const SEVERED_OR_WRONG: &[&str] = &[
    "avg_pool2d",
    "avg_pool2d_with_stride",
    "conv1d",
    "conv1d_with_algo",
    "conv2d",
    "conv2d_with_algo",
    "conv_transpose1d",
    "conv_transpose2d",
    "interpolate1d",
    "interpolate2d",
    "max_pool2d",
    "max_pool2d_with_stride",
    "relu",
    "softmax_last_dim",
    "upsample_bilinear2d",
    "upsample_bilinear2d_with_scale",
    "upsample_nearest1d",
    "upsample_nearest2d",
];

/// What a source text names of candle that it should not.
fn forbidden(source: &str) -> Vec<String> {
    let code: String = source
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n");
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let word = |s: &str| -> String { s.chars().take_while(|c| is_word(*c)).collect() };
    let mut found = Vec::new();
    let calls = code.match_indices('.').map(|(at, _)| at + 1);
    let paths = code.match_indices("Tensor::").map(|(at, p)| at + p.len());
    for start in calls.chain(paths) {
        // Two dots are a range; a method may stand on the line after its dot.
        if !code[..start].ends_with("..") {
            let name = word(code[start..].trim_start());
            if SEVERED_OR_WRONG.contains(&name.as_str()) {
                found.push(name);
            }
        }
    }
    for (at, crate_name) in code.match_indices("candle_nn") {
        let rest = &code[at + crate_name.len()..];
        let Some(path) = rest.strip_prefix("::") else {
            // The whole crate under a name of its own hides what is used of it.
            found.push(format!(
                "candle_nn{}",
                rest.lines().next().unwrap_or_default()
            ));
            continue;
        };
        let end = path
            .find(|c: char| !is_word(c) && c != ':')
            .unwrap_or(path.len());
        let prefix = &path[..end];
        let names: Vec<String> = match path[end..]
            .strip_prefix('{')
            .and_then(|r| r.split_once('}'))
        {
            Some((inner, _)) => inner
                .split(',')
                .map(str::trim)
                .filter(|name| !name.is_empty())
                .map(|name| format!("{prefix}{name}"))
                .collect(),
            None => vec![prefix.to_string()],
        };
        found.extend(
            names
                .into_iter()
                // An associated function of an allowed type is allowed.
                .filter(|name| {
                    !ALLOWED
                        .iter()
                        .any(|a| name == a || name.starts_with(&format!("{a}::")))
                })
                .map(|name| format!("candle_nn::{name}")),
        );
    }
    found
}

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
}

#[test]
fn no_source_uses_an_operator_of_candle_that_loses_gradients() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    assert!(files.len() > 40, "{} source files", files.len());
    let mut failed = Vec::new();
    for path in files {
        let source = std::fs::read_to_string(&path).unwrap();
        for name in forbidden(&source) {
            failed.push(format!(
                "{}: {name}",
                path.strip_prefix(&root).unwrap().display()
            ));
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn the_scan_finds_what_it_is_for() {
    for bad in [
        "let y = x.conv2d(&w, 1, 1, 1, 1)?;",
        "x\n    .max_pool2d(2)?",
        "x.max_pool2d_with_stride((3, 3), (2, 2))?",
        "x.upsample_nearest2d(4, 4)?",
        "Tensor::avg_pool2d(&x, 2)?",
        "let y = x.relu()?;",
        "candle_nn::ops::softmax_last_dim(&x)?",
        "candle_nn::ops::layer_norm(&x, &a, &b, 1e-5)?",
        "use candle_nn::{LayerNorm, VarBuilder};",
        "use candle_nn::ops;",
        "use candle_nn::ops::{log_softmax, rms_norm};",
        "use candle_nn::{VarBuilder,\n    BatchNorm};",
        "use candle_nn as nn;",
        "use candle_nn::*;",
        "candle_nn::loss::cross_entropy(&x, &t)?",
    ] {
        assert!(!forbidden(bad).is_empty(), "{bad}");
    }
    for good in [
        "use candle_nn::{Init, VarBuilder};",
        "use candle_nn::ops::{log_softmax, softmax};",
        "VarBuilder::from_tensors(t)",
        "candle_nn::VarBuilder::from_tensors(t)",
        "ops::conv2d(&x, &w, None, p, a)?",
        "max_pool2d(&x, p)? // not x.max_pool2d(2)",
        "pub fn relu(x: &Tensor) {}",
        "[1.0, 2.5, 0..conv2d]",
    ] {
        assert_eq!(forbidden(good), Vec::<String>::new(), "{good}");
    }
}
