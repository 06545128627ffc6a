//! A small model of every kind of network, with weights that follow from their names, and photos for it.

use candle_core::{DType, Device, Tensor};
use hydranet::Tensors;
use hydranet::train::Variables;
use hydranet::{
    Architecture, BatchNormMode, Description, HeadSpec, InputSpec, JointSpec, Labels, LossKind,
    Mode, ModelFile, ModelSpec, MultiTaskModel, Predictor,
};
use std::collections::BTreeMap;

/// Backbone, height, width, channels.
pub type Case = (String, usize, usize, usize);

/// Every case. Among them are maps of odd sizes, windows that a map does not fill, and other grids of patches than the weights
/// are for.
pub fn cases() -> Vec<Case> {
    let networks = crate::common::golden::networks().into_iter();
    let cases = networks.flat_map(|(name, network)| {
        let sizes = network.onnx.into_iter();
        sizes.map(move |[channels, height, width]| (name.clone(), height, width, channels))
    });
    cases.collect()
}

/// The first case of a backbone.
pub fn case(name: &str) -> Case {
    cases().into_iter().find(|(n, ..)| n == name).unwrap()
}

/// Heads of each kind: labels without order, and with one in two ways; with a hidden layer and without.
fn heads() -> Vec<HeadSpec> {
    vec![
        HeadSpec::new("mask", ["worn", "incorrect", "not_worn"]),
        HeadSpec::new("gender", ["male", "female"]).with_hidden(8),
        HeadSpec::new("age", ["young", "middle", "old", "very_old"]).with_loss(LossKind::Coral),
        HeadSpec::new("light", ["dark", "dim", "bright"])
            .with_loss(LossKind::Corn)
            .with_hidden(5),
        HeadSpec::new("size", ["small", "large"]).with_loss(LossKind::Coral),
    ]
}

/// What a case's labels make of it: some networks have a tree of classes, a joint head, and rules of each kind.
fn described(backbone: Architecture, input: InputSpec) -> Description {
    let mut spec = ModelSpec::new(backbone, heads(), input);
    let labels = |head: &str, labels: &[&str]| {
        let labels = labels.iter().map(ToString::to_string).collect();
        Labels::from([(head.to_string(), labels)])
    };
    let name = backbone.name();
    if ["repvgg_a0", "mobilenetv4_conv_small"].contains(&name) {
        spec.heads[3].labels.when = labels("mask", &["worn", "incorrect"]);
        spec.heads[4].labels.when = labels("light", &["bright"]);
    }
    if ["repvgg_a0", "mobilenetv2_050"].contains(&name) {
        let mut pair = labels("mask", &["incorrect"]);
        pair.extend(labels("age", &["young", "very_old"]));
        spec.impossible = vec![pair];
    }
    let share = match name {
        "repvgg_a0" => 0.25,
        "resnet18" => 1.0,
        _ => 0.0,
    };
    if share > 0.0 {
        spec.joint = Some(JointSpec {
            hidden: 16,
            ..JointSpec::default()
        });
    }
    let classes = spec.taxonomy().unwrap().num_classes();
    let each = |name: &str| {
        let values = crate::common::drawn::tensor(name, &[classes], DType::F64);
        (values * 4.0).unwrap().to_vec1().unwrap()
    };
    let mut description = Description::new(spec, serde_json::Value::Null).unwrap();
    description.decision.joint_share = share;
    if name == "repvgg_a0" || name == "resnet18d" {
        description.decision.log_prior = each("prior");
    }
    if name == "repvgg_a0" || name == "convnext_atto" {
        description.decision.offsets = each("offsets");
    }
    description
}

/// Two photos: colours that change from corner to corner, and noise.
pub fn photos(count: usize, height: usize, width: usize, channels: usize) -> Tensor {
    let mut values = Vec::new();
    for photo in 0..count {
        for channel in 0..channels {
            let names = ["a", "b", "c"].map(|part| format!("{part}{photo}{channel}"));
            let corner = |name| crate::common::drawn::tensor(name, &[1], DType::F64);
            let [first, down, right] = names
                .each_ref()
                .map(|n| corner(n).to_vec1::<f64>().unwrap()[0]);
            let noise = crate::common::drawn::tensor(&names[0], &[height, width], DType::F64);
            for (y, row) in noise.to_vec2::<f64>().unwrap().into_iter().enumerate() {
                for (x, noise) in row.into_iter().enumerate() {
                    let (y, x) = (y as f64 / height as f64, x as f64 / width as f64);
                    let v = 4.0 * first + 2.0 * noise + 4.0 * down * y + 4.0 * right * x;
                    values.push((128.0 + 80.0 * v).round().clamp(0.0, 255.0) as f32);
                }
            }
        }
    }
    Tensor::from_vec(values, (count, channels, height, width), &Device::Cpu).unwrap()
}

/// The photos as the backbone takes them.
fn normalised(photos: &Tensor, input: &InputSpec) -> Tensor {
    let [h, w] = input.size;
    let count = photos.dim(0).unwrap();
    let rows = photos.permute((0, 2, 3, 1)).unwrap();
    let pixels: Vec<f32> = rows.flatten_all().unwrap().to_vec1().unwrap();
    let pixels: Vec<u8> = pixels.into_iter().map(|v| v as u8).collect();
    let len = input.channels * h * w;
    let mut planes = vec![0.0; count * len];
    for (pixels, planes) in pixels.chunks_exact(len).zip(planes.chunks_exact_mut(len)) {
        input.normalise_into(pixels, planes).unwrap();
    }
    Tensor::from_vec(planes, (count, input.channels, h, w), &Device::Cpu).unwrap()
}

/// The model of a case.
pub fn model((backbone, height, width, channels): &Case) -> ModelFile {
    let backbone = Architecture::from_name(backbone).unwrap();
    let input = InputSpec {
        size: [*height, *width],
        channels: *channels,
        ..backbone.input()
    };
    let description = described(backbone, input);
    let spec = &description.model;
    let variables = Variables::new(Tensors::new(), 1, |_| false, |_| true);
    MultiTaskModel::new(spec, 0.0, &variables.builder()).unwrap();
    let tensors = variables.snapshot().unwrap();
    let drawn = |(name, t): (String, Tensor)| {
        let tensor = crate::common::drawn::tensor(&name, t.dims(), DType::F32);
        (name, tensor)
    };
    let mut tensors: Tensors = tensors.into_iter().map(drawn).collect();
    // The second border before the first one: 0.5, 1.5 and −1.5 with where they count from.
    let borders = Tensor::new(&[-1.5f32, 1.5, 0.5], &Device::Cpu).unwrap();
    tensors.insert("heads.age.fc.bias".into(), borders);
    ModelFile {
        description,
        tensors,
    }
}

/// The model with the photos' own statistics in norms, and first layers of heads that see what is different between photos: of
/// random networks' features that is little.
pub fn adapted(mut file: ModelFile, photos: &Tensor) -> ModelFile {
    let spec = file.description.model.clone();
    let images = normalised(photos, &spec.input);
    let variables = Variables::new(file.tensors, 1, |_| true, |_| false);
    let mut trained = MultiTaskModel::new(&spec, 0.0, &variables.builder()).unwrap();
    trained.set_momentum(Some(1.0));
    let mode = Mode::Train {
        batch_norm: BatchNormMode::Train,
        key: 0,
    };
    trained.features(&images, mode).unwrap();
    file.tensors = variables.snapshot().unwrap();

    let built = file.build().unwrap();
    let features = built.features(&images, Mode::Eval).unwrap();
    let mean = features.mean_keepdim(0).unwrap();
    let apart = features.broadcast_sub(&mean).unwrap();
    let spread = apart.sqr().unwrap().mean_all().unwrap().sqrt().unwrap();
    let own = spec.heads.iter();
    let own = own.map(|h| (format!("heads.{}", h.name), h.layers.hidden));
    let joint = spec.joint.iter().map(|j| ("joint".into(), j.hidden));
    for (head, hidden) in own.chain(joint) {
        let layer = if hidden > 0 { "hidden" } else { "fc" };
        let names = ["weight", "bias"].map(|what| format!("{head}.{layer}.{what}"));
        let weight = file.tensors[&names[0]].broadcast_div(&spread).unwrap();
        let shift = mean.matmul(&weight.t().unwrap()).unwrap();
        let shift = shift.broadcast_as((1, file.tensors[&names[1]].elem_count()));
        let bias = (&file.tensors[&names[1]] - shift.unwrap().squeeze(0).unwrap()).unwrap();
        file.tensors.insert(names[0].clone(), weight);
        file.tensors.insert(names[1].clone(), bias);
    }
    file
}

/// What hydranet says of photos: the probabilities of each head, `joint`, and `final_class`; of a number its mean and the
/// probabilities of its bins.
pub fn outputs(file: &ModelFile, photos: &Tensor) -> BTreeMap<String, Tensor> {
    let predictor = Predictor::new(file).unwrap();
    let images = normalised(photos, predictor.input());
    let logits = predictor.logits(&images).unwrap();
    let count = images.dim(0).unwrap();
    let (taxonomy, decision) = (predictor.taxonomy(), &file.description.decision);
    let heads = taxonomy.heads();
    let mut rows: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for photo in &logits {
        let mut log_probs = photo.map(|l| log_softmax(l));
        let named = file.description.model.heads.iter().zip(&photo.heads);
        for ((head, logits), log_probs) in named.zip(&mut log_probs.heads) {
            if head.labels.multi_label.is_some() {
                let each = logits.iter().map(|z| -(-f64::from(*z)).exp().ln_1p());
                *log_probs = each.collect();
            }
        }
        let classes = decision.log_probs(taxonomy, &log_probs).unwrap();
        let class = decision.decide(taxonomy, &classes) as f64;
        let names = heads.iter().map(String::as_str).chain(["joint"]);
        for (name, log_probs) in names.zip(log_probs.heads.iter().chain([&classes])) {
            let row = rows.entry(name.into()).or_default();
            row.extend(log_probs.iter().map(|p| p.exp()));
        }
        rows.entry("final_class".into()).or_default().push(class);
        for (head, spec) in file.description.model.heads.iter().enumerate() {
            let Some(groups) = taxonomy.groups(head) else {
                continue;
            };
            let row = rows.entry(hydranet::onnx::groups_output(spec)).or_default();
            for labels in groups.labels() {
                row.push(labels.iter().map(|l| log_probs.heads[head][*l].exp()).sum());
            }
        }
        for (head, bins) in file.description.model.heads.iter().zip(&log_probs.bins) {
            let Some((number, bins)) = head.labels.number.as_ref().zip(bins.as_ref()) else {
                continue;
            };
            let probs: Vec<f64> = bins.iter().map(|p| p.exp()).collect();
            let mean = number.centres().zip(&probs).map(|(c, p)| c * p).sum();
            let [of_mean, of_bins] = hydranet::onnx::number_outputs(head);
            rows.entry(of_mean).or_default().push(mean);
            rows.entry(of_bins).or_default().extend(probs);
        }
    }
    let tensor = |values: Vec<f64>| {
        let width = values.len() / count;
        Tensor::from_vec(values, (count, width), &Device::Cpu).unwrap()
    };
    rows.into_iter().map(|(n, v)| (n, tensor(v))).collect()
}

fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let logits: Vec<f64> = logits.iter().map(|v| f64::from(*v)).collect();
    let greatest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logits.iter().map(|v| (v - greatest).exp()).sum();
    logits.iter().map(|v| v - greatest - sum.ln()).collect()
}
