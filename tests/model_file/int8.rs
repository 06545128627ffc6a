//! Models that compute in eight bits, calibrated on photos.

use crate::common::differences::flat;
use crate::common::{drawn, tiny};
use candle_core::{DType, Device, Tensor};
use hydranet::backbone::eight_bits::{Names, named, names, plan};
use hydranet::heads::{self, HeadsFile, heads_only, merge};
use hydranet::model_file::activations::Activations;
use hydranet::model_file::folder;
use hydranet::tape::internal::{FusedConv, Path, Program, Scale, Step, by_row};
use hydranet::tape::{Activation, Tape};
use hydranet::{
    Architecture, Description, HeadSpec, InputSpec, Mode, ModelFile, ModelSpec, Predictor,
    WeightDType,
};
use safetensors::SafeTensors;
use std::collections::{BTreeMap, HashMap};

/// A model with drawn weights and statistics, for images of a size.
fn model(name: &str, size: [usize; 2], heads: Vec<HeadSpec>) -> ModelFile {
    let backbone = Architecture::from_name(name).unwrap();
    let input = InputSpec {
        size,
        ..backbone.input()
    };
    let spec = ModelSpec::new(backbone, heads, input);
    let description = Description::new(spec, serde_json::Value::Null).unwrap();
    let variables = hydranet::train::Variables::new(Default::default(), 1, |_| false, |_| true);
    hydranet::MultiTaskModel::new(&description.model, 0.0, &variables.builder()).unwrap();
    let tensors = variables.snapshot().unwrap();
    let redrawn = tensors
        .iter()
        .map(|(name, t)| (name.clone(), drawn::tensor(name, t.dims(), DType::F32)));
    ModelFile {
        description,
        tensors: redrawn.collect(),
    }
}

fn one_head() -> Vec<HeadSpec> {
    vec![HeadSpec::new("mask", ["worn", "not_worn"])]
}

/// Images whose values lie between those of black and of white.
fn images(file: &ModelFile, count: usize, seed: u64) -> Tensor {
    let input = &file.description.model.input;
    let [h, w] = input.size;
    let mut planes = vec![0f32; count * 3 * h * w];
    for (i, plane) in planes.chunks_mut(3 * h * w).enumerate() {
        let bytes = (0..3 * h * w).map(|place| {
            // Soft waves with noise over them.
            let (y, x) = ((place / 3 / w) as f64, (place / 3 % w) as f64);
            let turn = (seed + i as u64) as f64;
            let wave = (y * 0.21 + turn).sin() * (x * 0.17 + turn * 0.7).cos();
            let noise = (place as u64 * 2 + seed).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 59;
            (127.0 + 100.0 * wave + noise as f64 - 16.0) as u8
        });
        input
            .normalise_into(&bytes.collect::<Vec<u8>>(), plane)
            .unwrap();
    }
    Tensor::from_vec(planes, (count, 3, h, w), &Device::Cpu).unwrap()
}

fn calibrated(file: &ModelFile) -> ModelFile {
    let batches = [1, 2].map(|seed| Ok(images(file, 3, seed)));
    file.calibrated(batches).unwrap()
}

fn features(file: &ModelFile, images: &Tensor) -> Vec<f64> {
    flat(&file.build().unwrap().features(images, Mode::Eval).unwrap())
}

fn scales(file: &ModelFile) -> BTreeMap<String, Scale> {
    let values = |name: &str| file.tensors[name].to_vec1::<f32>().unwrap();
    let (scale, zero) = (values("activations.scale"), values("activations.zero"));
    let maps = &file.description.activations.as_ref().unwrap().maps;
    let of = |i: usize| Scale {
        scale: scale[i],
        zero: zero[i] as u8,
    };
    maps.iter()
        .enumerate()
        .map(|(i, name)| (name.clone(), of(i)))
        .collect()
}

/// A map of one image, channels last, and what its bytes mean.
struct Bytes {
    dims: [usize; 3],
    q: Vec<u8>,
    scale: Scale,
}

/// A convolution as the guide's chapter `file_format` says, sums in 64 bits.
fn convolve(
    x: &Bytes,
    conv: &FusedConv,
    scale: Scale,
    added: Option<&Bytes>,
    activation: Activation,
) -> Bytes {
    let [h, w, c] = x.dims;
    let &[o, per_group, kh, kw] = conv.weight.dims() else {
        panic!("a weight of four axes")
    };
    let weights: Vec<f32> = conv.weight.flatten_all().unwrap().to_vec1().unwrap();
    let (weights, of_weights) = by_row(&weights, per_group * kh * kw);
    let p = conv.params;
    let oh = (h + p.padding[0] + p.padding[1] - kh) / p.stride.0 + 1;
    let ow = (w + p.padding[2] + p.padding[3] - kw) / p.stride.1 + 1;
    let (gamma, beta) = conv.epilogue.affine(o).unwrap();
    let step = 1.0 / f64::from(scale.scale);
    let factor = added.map_or(0.0, |a| f64::from(a.scale.scale) * step);
    let edge = |v: f64| (v * step).round_ties_even() + f64::from(scale.zero);
    let (low, high) = activation.bounds::<f64>();
    let (low, high) = (edge(low).clamp(0.0, 255.0), edge(high).clamp(0.0, 255.0));
    let mut q = Vec::with_capacity(oh * ow * o);
    for place in 0..oh * ow {
        let (oy, ox) = (place / ow * p.stride.0, place % ow * p.stride.1);
        for (channel, of_weights) in of_weights.iter().enumerate() {
            let first = channel / (o / p.groups) * per_group;
            let mut sum = 0i64;
            for k in 0..kh * kw {
                let (y, xx) = (oy + k / kw, ox + k % kw);
                let (Some(y), Some(xx)) =
                    (y.checked_sub(p.padding[0]), xx.checked_sub(p.padding[2]))
                else {
                    continue;
                };
                if y < h && xx < w {
                    for i in 0..per_group {
                        let byte = i64::from(x.q[(y * w + xx) * c + first + i]);
                        let weight = weights[(channel * per_group + i) * kh * kw + k];
                        sum += (byte - i64::from(x.scale.zero)) * i64::from(weight);
                    }
                }
            }
            let of_sums = f64::from(*of_weights) * f64::from(x.scale.scale);
            let of_sums = of_sums * gamma.as_ref().map_or(1.0, |g| g[channel]) * step;
            let behind = added.map_or(0.0, |a| -f64::from(a.scale.zero) * factor);
            let shift = beta.as_ref().map_or(0.0, |b| b[channel]) * step;
            let shift = shift + behind + f64::from(scale.zero);
            let mut v = sum as f32 * of_sums as f32 + shift as f32;
            if let Some(added) = added {
                v += f32::from(added.q[q.len()]) * factor as f32;
            }
            let v = f64::from(v).max(low).min(high);
            q.push(v.round_ties_even() as u8);
        }
    }
    let dims = [oh, ow, o];
    Bytes { dims, q, scale }
}

/// The map of a convolution whose result another is added to: the place of the sum, that of the other, the activation behind.
fn sum_of(steps: &[Step], map: usize) -> (usize, usize, Activation) {
    let sums = steps.iter().enumerate().find_map(|(i, step)| match step {
        Step::Add { x, y, .. } if *x == map => Some((i + 1, *y)),
        Step::Add { x, y, .. } if *y == map => Some((i + 1, *x)),
        _ => None,
    });
    let (sum, other) = sums.unwrap();
    match steps.get(sum) {
        Some(Step::Activation { x, activation }) if *x == sum => (sum + 1, other, *activation),
        _ => (sum, other, Activation::Identity),
    }
}

/// The features of an image, computed as the guide says.
fn by_the_guide(file: &ModelFile, image: &Tensor) -> Vec<f32> {
    let scales = scales(file);
    let of_file = |(name, t): (&String, &Tensor)| (name.clone(), t.clone());
    let weights = file.tensors.iter().map(of_file);
    let plain = ModelFile {
        description: Description {
            activations: None,
            ..file.description.clone()
        },
        tensors: weights
            .filter(|(n, _)| !n.starts_with("activations."))
            .collect(),
    };
    let names: Names = names(plain.tensors.iter());
    let model = plain.build().unwrap();
    let [h, w] = file.description.model.input.size;
    let (mut tape, start) = Tape::recorded(3, (h, w)).unwrap();
    let features = model.parts().0.on_tape(&mut tape, &start).unwrap();
    let (record, result) = tape.into_record(&features).unwrap();
    let planes: Vec<f32> = image.flatten_all().unwrap().to_vec1().unwrap();
    let scale = scales["images"];
    let byte = |p: usize| {
        let v = planes[p % 3 * h * w + p / 3];
        let q = v * (1.0 / scale.scale) + f32::from(scale.zero);
        q.clamp(0.0, 255.0).round_ties_even() as u8
    };
    let images = Bytes {
        dims: [h, w, 3],
        q: (0..h * w * 3).map(byte).collect(),
        scale,
    };
    let mut maps: HashMap<usize, Bytes> = HashMap::from([(0, images)]);
    let mut rows: HashMap<usize, Vec<f32>> = HashMap::new();
    for (i, step) in record.steps.iter().enumerate() {
        let place = i + 1;
        match step {
            Step::Conv { x, conv } => {
                let name = &names[&conv.weight.id()];
                let own = conv.epilogue.activation;
                let map = match scales.get(name) {
                    Some(scale) => (place, convolve(&maps[x], conv, *scale, None, own)),
                    None => {
                        let (place, other, activation) = sum_of(&record.steps, place);
                        let (other, scale) = (Some(&maps[&other]), scales[&format!("{name}.sum")]);
                        (place, convolve(&maps[x], conv, scale, other, activation))
                    }
                };
                maps.insert(map.0, map.1);
            }
            Step::Add { .. } | Step::Activation { .. } => {}
            Step::MaxPool {
                x,
                kernel,
                stride,
                padding,
            } => {
                let Bytes { dims, q, scale } = &maps[x];
                let [h, w, c] = *dims;
                let out = |side: usize| (side + 2 * padding - kernel) / stride + 1;
                let dims = [out(h), out(w), c];
                let most = |at: usize| {
                    let (oy, ox) = (at / c / dims[1] * stride, at / c % dims[1] * stride);
                    let window = (0..kernel * kernel).map(|k| (oy + k / kernel, ox + k % kernel));
                    let inside = window.filter_map(|(y, x)| {
                        let (y, x) = (y.checked_sub(*padding)?, x.checked_sub(*padding)?);
                        (y < h && x < w).then(|| q[(y * w + x) * c + at % c])
                    });
                    inside.max().unwrap()
                };
                let q = (0..dims.iter().product::<usize>()).map(most).collect();
                let scale = *scale;
                maps.insert(place, Bytes { dims, q, scale });
            }
            Step::GlobalAvgPool { x } => {
                let Bytes { dims, q, scale } = &maps[x];
                let (count, c) = ((dims[0] * dims[1]) as f64, dims[2]);
                let mean = |channel| {
                    let all = q.iter().skip(channel).step_by(c);
                    let sum = all.map(|q| f64::from(*q)).sum::<f64>();
                    let above = sum - count * f64::from(scale.zero);
                    (above * f64::from(scale.scale) / count) as f32
                };
                rows.insert(place, (0..c).map(mean).collect());
            }
            Step::Row { maps: of } => {
                let mut row = Vec::new();
                for map in of {
                    if let Some(means) = rows.get(map) {
                        row.extend(means);
                        continue;
                    }
                    let Bytes { dims, q, scale } = &maps[map];
                    for channel in 0..dims[2] {
                        let all = q.iter().skip(channel).step_by(dims[2]);
                        row.extend(all.map(|q| scale.value(*q)));
                    }
                }
                rows.insert(place, row);
            }
            _ => panic!("a step that is not computed in eight bits"),
        }
    }
    rows.remove(&result).unwrap()
}

/// √ of the mean square of the difference of two rows, by that of the first about its mean.
fn apart(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let mean = a.iter().sum::<f64>() / a.len() as f64;
    let squares = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>();
    let off = squares(&mut a.iter().zip(b).map(|(a, b)| a - b));
    (off / squares(&mut a.iter().map(|a| a - mean))).sqrt()
}

#[test]
fn features_are_those_of_the_formulas_of_the_guide_and_near_those_of_f32() {
    let staged = || {
        let mut heads = one_head();
        heads[0].layers.pool = hydranet::PoolKind::Gem;
        heads[0].layers.from_stage = vec![3];
        heads
    };
    for (name, size, heads) in [
        ("tf_efficientnet_lite0", [61, 45], one_head()),
        ("mobilenetv2_100", [48, 64], one_head()),
        ("mobilenetv2_100", [48, 64], staged()),
        ("resnet18", [45, 61], one_head()),
    ] {
        let file = model(name, size, heads);
        let small = calibrated(&file);
        let images = images(&file, 1, 9);
        let found = features(&small, &images);
        let expected: Vec<f64> = by_the_guide(&small, &images)
            .into_iter()
            .map(f64::from)
            .collect();
        assert_eq!(found, expected, "{name}");
        let loss = apart(&features(&file, &images), &found);
        println!("{name}: {loss:.4} from f32");
        assert!(loss > 0.0 && loss < 0.1, "{name}: {loss}");
    }
}

#[test]
fn features_are_the_same_bytes_in_every_path_by_any_threads_and_in_any_batch() {
    for name in ["tf_efficientnet_lite0", "resnet18"] {
        let small = calibrated(&model(name, [61, 45], one_head()));
        let images = images(&small, 5, 4);
        let expected = features(&small, &images);
        let built = small.build().unwrap();
        for threads in [1, 2, 3, 8] {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            let all = pool.install(|| flat(&built.features(&images, Mode::Eval).unwrap()));
            assert_eq!(all, expected, "{name}, {threads} threads");
            for (i, expected) in expected.chunks(expected.len() / 5).enumerate() {
                let one = images.narrow(0, i, 1).unwrap();
                let one = pool.install(|| flat(&built.features(&one, Mode::Eval).unwrap()));
                assert_eq!(one, expected, "{name}, image {i} by {threads} threads");
            }
        }
        let plan = plan(built.parts().0, [3, 61, 45]).unwrap();
        let scales = scales(&small);
        let scales: Vec<Scale> = named(&plan, &names(small.tensors.iter()))
            .iter()
            .map(|(n, _)| scales[n])
            .collect();
        for path in Path::all() {
            let program = Program::new(&plan, path, &scales).unwrap();
            assert_eq!(
                flat(&program.run(&images).unwrap()),
                expected,
                "{name}, {}",
                path.name()
            );
        }
        assert!(Program::new(&plan, Path::Portable, &scales[1..]).is_err());
    }
}

#[test]
fn a_calibrated_file_is_read_back_whole_and_says_how_it_computes() {
    let file = tiny::model();
    let batches = || std::iter::once(Ok(tiny::images()));
    let small = file.calibrated(batches()).unwrap();
    let bytes = small.to_bytes().unwrap();
    let read = ModelFile::from_bytes(&bytes, "bytes").unwrap();
    assert_eq!(read.description, small.description);
    assert_eq!(read.to_bytes().unwrap(), bytes);
    assert_eq!(
        file.calibrated(batches()).unwrap().to_bytes().unwrap(),
        bytes
    );
    let activations = read.description.activations.as_ref().unwrap();
    assert_eq!(
        (activations.photos, activations.maps[0].as_str()),
        (2, "images")
    );
    assert!(
        activations.maps.iter().any(|m| m.ends_with("conv_pwl.sum")),
        "{:?}",
        activations.maps
    );
    let logits = |f: &ModelFile| Predictor::new(f).unwrap().logits(&tiny::images()).unwrap();
    assert_eq!(logits(&small), logits(&read));
    // The weights alone are what they were before; what is computed is not.
    let weights = file.with_dtype(WeightDType::Int8).unwrap();
    assert_ne!(logits(&small), logits(&weights));
    assert_eq!(
        small
            .with_dtype(WeightDType::Int8)
            .unwrap()
            .to_bytes()
            .unwrap(),
        bytes
    );
    let wide = small.with_dtype(WeightDType::F32).unwrap();
    assert_eq!(wide.tensors.len(), file.tensors.len());
    assert_eq!(logits(&wide), logits(&weights));
    // Other photos, other scales; no photos, none.
    let other = file
        .calibrated(std::iter::once(Ok((tiny::images() * 0.1).unwrap())))
        .unwrap();
    assert_ne!(
        other.tensors["activations.scale"].to_vec1::<f32>().unwrap(),
        small.tensors["activations.scale"].to_vec1::<f32>().unwrap()
    );
    let message = file.calibrated(std::iter::empty()).unwrap_err().to_string();
    assert!(message.contains("photos to calibrate on"), "{message}");
    let message = file.calibrated(std::iter::once(Ok((tiny::images() * f64::NAN).unwrap())));
    assert!(format!("{:#}", message.unwrap_err()).contains("not finite"));
}

#[test]
fn what_a_network_has_that_is_not_computed_in_eight_bits_stands_in_the_file() {
    for (name, size, word) in [
        ("mobilenetv3_small_100", 32, "HardSwish"),
        ("tf_efficientnet_b0", 32, "Silu"),
        ("convnext_atto", 32, "layer normalisation"),
        ("vit_tiny_patch16_224", 32, "tokens"),
    ] {
        let file = model(name, [size; 2], one_head());
        let small = calibrated(&file);
        let activations = small.description.activations.as_ref().unwrap();
        let why = activations.in_f32_because.as_ref().unwrap();
        assert!(
            why.contains(word) && activations.maps.is_empty(),
            "{name}: {why}"
        );
        let bytes = small.to_bytes().unwrap();
        let read = ModelFile::from_bytes(&bytes, "bytes").unwrap();
        let weights = file.with_dtype(WeightDType::Int8).unwrap();
        let images = images(&file, 1, 3);
        assert_eq!(
            features(&read, &images),
            features(&weights, &images),
            "{name}"
        );
    }
}

/// The bytes of a calibrated file with other tensors and another description.
fn broken(
    change: impl Fn(&mut BTreeMap<String, Tensor>),
    say: impl Fn(&mut serde_json::Value),
) -> String {
    let small = tiny::model()
        .calibrated(std::iter::once(Ok(tiny::images())))
        .unwrap();
    let mut tensors: BTreeMap<String, Tensor> = small.tensors.into_iter().collect();
    change(&mut tensors);
    let mut description = serde_json::to_value(&small.description).unwrap();
    say(&mut description);
    let bytes = ModelFile {
        description: small.description.clone(),
        tensors: tensors.into_iter().collect(),
    };
    let bytes = bytes.to_bytes().unwrap();
    let whole = SafeTensors::deserialize(&bytes).unwrap();
    let metadata = HashMap::from([("hydranet".to_string(), description.to_string())]);
    let bytes = safetensors::serialize(whole.iter(), Some(metadata)).unwrap();
    let error = ModelFile::from_bytes(&bytes, "small.safetensors").unwrap_err();
    format!("{error:#}")
}

#[test]
fn broken_scales_are_named() {
    let nothing = |_: &mut serde_json::Value| {};
    let with = |name: &'static str, place: usize, value: f32| {
        move |tensors: &mut BTreeMap<String, Tensor>| {
            let mut values = tensors[name].to_vec1::<f32>().unwrap();
            values[place] = value;
            tensors.insert(name.into(), Tensor::new(values, &Device::Cpu).unwrap());
        }
    };
    for value in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        let message = broken(with("activations.scale", 3, value), nothing);
        let mut words = vec!["small.safetensors", "activations.scale"];
        // What is no number is found before anybody knows of what.
        words.extend(value.is_finite().then_some("blocks.0.0.conv_pw"));
        for word in words {
            assert!(message.contains(word), "{value}: {word}: {message}");
        }
    }
    for value in [-1.0, 256.0, 0.5, f32::NAN] {
        let message = broken(with("activations.zero", 1, value), nothing);
        assert!(message.contains("activations.zero"), "{message}");
        assert!(value.is_nan() || message.contains("conv_stem"), "{message}");
    }
    // So small that nothing fits it.
    let message = broken(with("activations.scale", 2, 1e-44), nothing);
    assert!(
        message.contains("int8") && message.contains("go together"),
        "{message}"
    );
    let message = broken(|t| drop(t.remove("activations.zero")), nothing);
    assert!(
        message.contains("missing") && message.contains("activations.zero"),
        "{message}"
    );
    let short = Tensor::ones(3, DType::F32, &Device::Cpu).unwrap();
    let message = broken(
        |t| drop(t.insert("activations.scale".into(), short.clone())),
        nothing,
    );
    assert!(
        message.contains("activations.scale") && message.contains('3'),
        "{message}"
    );
    let message = broken(
        |t| drop(t.insert("activations.more".into(), short.clone())),
        nothing,
    );
    assert!(message.contains("activations.more"), "{message}");
    let none = |_: &mut BTreeMap<String, Tensor>| {};
    let message = broken(none, |d| {
        d["activations"]["maps"][4] = "blocks.9.9.conv".into()
    });
    for word in ["missing", "blocks.9.9.conv", "not of this network"] {
        assert!(message.contains(word), "{word}: {message}");
    }
    for (change, word) in [
        (
            &(|d: &mut serde_json::Value| d["activations"]["maps"][4] = "images".into())
                as &dyn Fn(&mut serde_json::Value),
            "each once",
        ),
        (
            &|d: &mut serde_json::Value| d["dtype"] = "f16".into(),
            "int8",
        ),
        (
            &|d: &mut serde_json::Value| d["activations"]["in_f32_because"] = "x".into(),
            "in_f32_because",
        ),
        (
            &|d: &mut serde_json::Value| d["activations"]["method"] = "x".into(),
            "method",
        ),
        (
            &|d: &mut serde_json::Value| drop(d.as_object_mut().unwrap().remove("activations")),
            "unexpected",
        ),
    ] {
        let message = broken(none, change);
        assert!(message.contains(word), "{word}: {message}");
    }
}

#[test]
fn heads_of_a_model_that_computes_in_eight_bits_are_changed_as_any() {
    let file = tiny::model();
    let small = file
        .calibrated(std::iter::once(Ok(tiny::images())))
        .unwrap();
    let logits = |f: &ModelFile| Predictor::new(f).unwrap().logits(&tiny::images()).unwrap();
    let reset = heads::reset(&small, "age", 5).unwrap();
    let read = ModelFile::from_bytes(&reset.to_bytes().unwrap(), "bytes").unwrap();
    for (before, after) in logits(&small).iter().zip(&logits(&read)) {
        assert_eq!(before.heads[..2], after.heads[..2]);
        assert_ne!(before.heads[2], after.heads[2]);
    }
    // Without the backbone nothing of it is left; with it all is.
    let alone = heads_only(&small).unwrap();
    assert_eq!(alone.description.activations, None);
    assert!(HeadsFile::from_bytes(&alone.to_bytes().unwrap(), "heads").is_ok());
    let folder = tempfile::tempdir().unwrap();
    folder::write(&small, folder.path(), None).unwrap();
    let back = ModelFile::read(folder.path()).unwrap();
    assert_eq!(back.to_bytes().unwrap(), small.to_bytes().unwrap());
    assert_eq!(logits(&back), logits(&small));
    // Heads of a model that computes in f32 would see other features.
    let weights = file.with_dtype(WeightDType::Int8).unwrap();
    let other = heads::rename(
        &heads::remove(&heads::remove(&weights, "age").unwrap(), "gender").unwrap(),
        "mask",
        "veil",
    )
    .unwrap();
    let message = format!("{:#}", merge(&[small.clone(), other.clone()]).unwrap_err());
    assert!(message.contains("activations."), "{message}");
    let same = heads::rename(
        &heads::remove(&heads::remove(&small, "age").unwrap(), "gender").unwrap(),
        "mask",
        "veil",
    )
    .unwrap();
    let merged = merge(&[small.clone(), same]).unwrap();
    assert_eq!(logits(&merged)[0].heads[..3], logits(&small)[0].heads[..]);
    // A head that reads a stage finds its scale there.
    let spec = HeadSpec::new("hat", ["yes", "no"]);
    let mut staged = spec.clone();
    staged.layers.from_stage = vec![3];
    let more = heads::add(&small, staged, None, heads::NewTensors::Fresh { seed: 1 }).unwrap();
    assert_eq!(logits(&more)[0].heads[..3], logits(&small)[0].heads[..]);
}

#[test]
fn what_learns_from_a_calibrated_file_takes_its_weights_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("small.safetensors");
    let small = tiny::model()
        .calibrated(std::iter::once(Ok(tiny::images())))
        .unwrap();
    small.write(&path).unwrap();
    let backbone = small.description.model.backbone;
    let loaded = hydranet::pretrained::load(path.to_str().unwrap(), &[], backbone).unwrap();
    assert!(loaded.keys().all(|name| !name.starts_with("activations.")));
    assert!(loaded.contains_key("backbone.conv_stem.weight"));
}

#[test]
fn a_description_of_activations_is_as_the_format_says() {
    let with = |activations: Activations| serde_json::to_value(activations).unwrap();
    let maps = Activations {
        photos: 7,
        maps: vec!["images".into()],
        in_f32_because: None,
    };
    assert_eq!(
        with(maps),
        serde_json::json!({"photos": 7, "maps": ["images"]})
    );
    let none = Activations {
        in_f32_because: Some("it has".into()),
        ..Activations::default()
    };
    assert_eq!(
        with(none),
        serde_json::json!({"photos": 0, "in_f32_because": "it has"})
    );
}
