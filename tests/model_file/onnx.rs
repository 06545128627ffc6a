//! Export to ONNX. What ONNX Runtime makes of the files is checked by `tests/golden/onnx_check.py`; `tests/golden/onnx.json`
//! holds the digests of the graphs it checked, so that no other graph goes unnoticed.

use super::onnx_cases::{Case, case, cases};
use super::onnx_cases::{adapted, model, outputs, photos};
use super::onnx_file::{Model, read};
use super::own::learnt;
use candle_core::{DType, Device, Tensor};
use hydranet::heads::{NewTensors, add};
use hydranet::onnx::to_bytes;
use hydranet::{
    Architecture, DecisionRule, Description, Error, HeadSpec, InputSpec, ModelFile, ModelSpec,
    NumberSpec,
};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

const LITE0: &str = "tf_efficientnet_lite0";

fn lite0() -> ModelFile {
    model(&case(LITE0))
}

fn repvgg() -> ModelFile {
    model(&case("repvgg_a0"))
}

/// The first with a head that predicts a number, and borders inside of bins.
fn numbers() -> ModelFile {
    let number = NumberSpec {
        range: [0.0, 100.0],
        bins: 20,
        spread: 5.0,
    };
    let years = HeadSpec::new("years", ["young", "middle", "old"]);
    let years = years.with_number(number, [31.0, 58.0]);
    let mut file = add(&lite0(), years, None, NewTensors::Fresh { seed: 1 }).unwrap();
    for part in ["weight", "bias"] {
        let name = format!("heads.years.fc.{part}");
        let drawn = crate::common::drawn::tensor(&name, file.tensors[&name].dims(), DType::F32);
        // Less sure than the other heads: what a random network rounds, twenty bins would add up.
        file.tensors.insert(name, (drawn * 0.5).unwrap());
    }
    file
}

/// The first with a head of several labels at once between those of final classes.
fn several() -> ModelFile {
    let tags = HeadSpec::multi_label("tags", ["red", "striped", "long", "torn"]).with_hidden(6);
    let mut file = add(&lite0(), tags, Some(1), NewTensors::Fresh { seed: 1 }).unwrap();
    for (part, factor) in [("hidden", 1.0), ("fc", 2.0)] {
        for what in ["weight", "bias"] {
            let name = format!("heads.tags.{part}.{what}");
            let drawn = crate::common::drawn::tensor(&name, file.tensors[&name].dims(), DType::F32);
            file.tensors.insert(name, (drawn * factor).unwrap());
        }
    }
    file
}

/// The first with a head whose labels are in groups, and in groups of groups, that decides by the distance in their tree.
fn grouped() -> ModelFile {
    let groups = [
        ("citrus", vec!["orange", "lemon"]),
        ("pome", vec!["apple"]),
        ("root", vec!["carrot"]),
        ("sweet", vec!["citrus", "pome"]),
    ];
    let fruit = HeadSpec::new("fruit", ["orange", "carrot", "lemon", "apple"]).with_groups(groups);
    let mut file = add(&lite0(), fruit, Some(1), NewTensors::Fresh { seed: 1 }).unwrap();
    for what in ["weight", "bias"] {
        let name = format!("heads.fruit.fc.{what}");
        let drawn = crate::common::drawn::tensor(&name, file.tensors[&name].dims(), DType::F32);
        file.tensors.insert(name, (drawn * 2.0).unwrap());
    }
    file.description.decision.rule = DecisionRule::LeastDistance;
    file
}

/// A head with stages of its own, and one that sees a part of the image.
fn private() -> ModelFile {
    let mut near = HeadSpec::new("near", ["yes", "no"]);
    near.layers.own_stages = 2;
    near.layers.pool = hydranet::PoolKind::Gem;
    let mut part = HeadSpec::new("part", ["a", "b", "c"]);
    part.layers.crop = Some([0.1, 0.3, 0.9, 0.8]);
    let mut file = add(&lite0(), near, None, NewTensors::Fresh { seed: 1 }).unwrap();
    file = add(&file, part, None, NewTensors::Fresh { seed: 1 }).unwrap();
    let own = |name: &&String| {
        let last = name.starts_with("heads.near.stages.conv_head") || name.ends_with("fc.weight");
        last && (name.starts_with("heads.near.") || name.starts_with("heads.part."))
    };
    let names: Vec<String> = file.tensors.keys().filter(own).cloned().collect();
    for name in names {
        let drawn = crate::common::drawn::tensor(&name, file.tensors[&name].dims(), DType::F32);
        file.tensors.insert(name, (drawn * 2.0).unwrap());
    }
    file
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Whether a constant is of the model's tensors.
fn is_weight(name: &str) -> bool {
    ["backbone.", "heads.", "joint.", "step"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

/// SHA-256 of everything but the metadata and the values of weights, which may differ in their last bits between instruction
/// sets.
fn digest(bytes: &[u8]) -> String {
    let model = read(bytes);
    let mut hash = Sha256::new();
    for node in &model.nodes {
        hash.update(&node.bytes);
    }
    for (name, constant) in &model.constants {
        hash.update(format!("{name} {:?} {}", constant.shape, constant.is_float));
        if !is_weight(name) {
            hash.update(&constant.bytes);
        }
    }
    hash.update(format!("{:?} {:?}", model.inputs, model.outputs));
    hexadecimal(&hash.finalize())
}

/// What is wrong with a graph, whatever the model.
pub fn faults(model: &Model) -> Vec<String> {
    let mut faults = Vec::new();
    let mut known: BTreeSet<&str> = model.inputs.iter().map(|(n, _)| n.as_str()).collect();
    for (name, constant) in &model.constants {
        let size = if constant.is_float { 4 } else { 8 };
        if constant.bytes.len() != size * constant.shape.iter().product::<usize>() {
            faults.push(format!("{name}: {:?} has not its bytes", constant.shape));
        }
        if !known.insert(name) {
            faults.push(format!("{name} twice"));
        }
        if is_weight(name) && !constant.floats().iter().all(|v| v.is_finite()) {
            faults.push(format!("{name} is not finite"));
        }
    }
    let mut read = BTreeSet::new();
    for node in &model.nodes {
        for input in &node.inputs {
            if !known.contains(input.as_str()) {
                faults.push(format!(
                    "{} reads `{input}`, which is not there yet",
                    node.op
                ));
            }
            read.insert(input.as_str());
        }
        for output in &node.outputs {
            if output.is_empty() || !known.insert(output) {
                faults.push(format!("{} gives `{output}`, which there is", node.op));
            }
        }
    }
    for (name, _) in &model.outputs {
        if !known.contains(name.as_str()) {
            faults.push(format!("no node gives {name}"));
        }
        read.insert(name);
    }
    let unread = known.iter().filter(|name| !read.contains(*name));
    faults.extend(unread.map(|name| format!("nothing reads {name}")));
    faults
}

#[test]
fn every_kind_of_network_is_a_graph_with_all_its_weights() {
    let mut failed = Vec::new();
    let mut ops = BTreeSet::new();
    for case in &cases() {
        let file = model(case);
        let bytes = to_bytes(&file).unwrap();
        let onnx = read(&bytes);
        let name = format!("{case:?}");
        failed.extend(faults(&onnx).iter().map(|f| format!("{name}: {f}")));
        ops.extend(onnx.nodes.iter().map(|n| n.op.clone()));
        assert_eq!((onnx.ir_version, &onnx.opset), (8, &(String::new(), 17)));

        let shape = |sides: &[usize]| {
            let sides = sides.iter().map(ToString::to_string);
            ["batch".to_string()].into_iter().chain(sides).collect()
        };
        let &(_, h, w, c) = case;
        assert_eq!(onnx.inputs, [("images".into(), shape(&[c, h, w]))]);
        let classes = file.description.classes.len();
        let widths = [3, 2, 4, 3, 2, classes].map(|width| shape(&[width]));
        let names = ["mask", "gender", "age", "light", "size", "joint"].map(String::from);
        let mut expected: Vec<(String, Vec<String>)> = names.into_iter().zip(widths).collect();
        expected.push(("final_class".into(), shape(&[])));
        assert_eq!(onnx.outputs, expected);

        // Weights of branches side by side are one, and tables of biases are spread out.
        let branches = [
            "conv_kxk",
            "conv_1x1",
            "conv_scale",
            "large_conv",
            "small_conv",
            "identity",
        ];
        let merged = case.0.starts_with("repvgg");
        let own = |name: &str| !branches.iter().any(|b| name.contains(b));
        let weights = file.tensors.iter();
        for (tensor, t) in weights.filter(|(n, _)| n.ends_with("weight") && own(n)) {
            // Those of a norm are in the convolution's.
            if t.rank() == 1 && !onnx.constants.contains_key(tensor) {
                continue;
            }
            match onnx.constants.get(tensor) {
                Some(c) if c.shape.iter().product::<usize>() == t.elem_count() => {}
                Some(c) => failed.push(format!("{name}: {tensor} has shape {:?}", c.shape)),
                None => failed.push(format!("{name}: no {tensor}")),
            }
        }
        if merged {
            let convolutions = onnx.nodes.iter().filter(|n| n.op == "Conv").count();
            assert_eq!(convolutions, 22, "one a block");
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
    for op in ["AveragePool", "Clip", "Conv", "Erf", "HardSwish", "Pad"] {
        assert!(ops.contains(op), "{op} is in none of {ops:?}");
    }
}

#[test]
fn the_graphs_are_those_that_onnx_runtime_was_asked_about() {
    let checked: BTreeMap<String, serde_json::Value> =
        serde_json::from_str(&std::fs::read_to_string(golden().join("onnx.json")).unwrap())
            .unwrap();
    assert_eq!(checked.len(), cases().len() + 6, "{:?}", checked.keys());
    let mut changed = Vec::new();
    for case in &cases() {
        let now = digest(&to_bytes(&model(case)).unwrap());
        if checked[&label(case)]["sha256"] != now.as_str() {
            changed.push(label(case));
        }
        assert!(checked[&label(case)]["difference"].as_f64().unwrap() < 1e-4);
    }
    for (name, file) in [
        ("numbers", numbers()),
        ("several", several()),
        ("groups", grouped()),
        ("private", private()),
    ] {
        let now = digest(&to_bytes(&file).unwrap());
        if checked[name]["sha256"] != now.as_str() {
            changed.push(name.into());
        }
        assert!(checked[name]["difference"].as_f64().unwrap() < 1e-4);
    }
    let now = digest(&to_bytes(&learnt()).unwrap());
    if checked["own"]["sha256"] != now.as_str() {
        changed.push("own".into());
    }
    assert!(checked["own"]["difference"].as_f64().unwrap() < 1e-4);
    // Of one every byte.
    let now = hexadecimal(&Sha256::digest(to_bytes(&lite0()).unwrap()));
    if checked["bytes"]["sha256"] != now.as_str() {
        changed.push("the bytes of one".into());
    }
    assert!(
        changed.is_empty(),
        "run tests/golden/onnx_check.py: other graphs than it checked of {changed:?}"
    );
}

#[test]
fn weights_are_those_of_the_file_or_folded_with_what_follows() {
    let file = lite0();
    let onnx = read(&to_bytes(&file).unwrap());
    let values = |name: &str| -> Vec<f64> {
        let t = file.tensors[name].to_dtype(DType::F64).unwrap();
        t.flatten_all().unwrap().to_vec1().unwrap()
    };
    let [gamma, beta, mean, var] = ["weight", "bias", "running_mean", "running_var"]
        .map(|n| values(&format!("backbone.bn1.{n}")));
    let weight = values("backbone.conv_stem.weight");
    let folded = &onnx.constants["backbone.conv_stem.weight"];
    assert_eq!(folded.shape, [32, 3, 3, 3]);
    for (i, v) in folded.floats().into_iter().enumerate() {
        let o = i / 27;
        let expected = weight[i] * gamma[o] / (var[o] + 1e-3).sqrt();
        assert!((f64::from(v) - expected).abs() <= 1e-7 * expected.abs());
    }
    let bias = onnx.constants["backbone.conv_stem.bias"].floats();
    for (o, v) in bias.into_iter().enumerate() {
        let expected = beta[o] - mean[o] * gamma[o] / (var[o] + 1e-3).sqrt();
        assert!((f64::from(v) - expected).abs() <= 1e-7, "{v} {expected}");
    }
    // Inputs first, and not another bit.
    let weight = file.tensors["heads.mask.fc.weight"].t().unwrap();
    let exported = &onnx.constants["heads.mask.fc.weight"];
    assert_eq!(exported.shape, weight.dims());
    let weight: Vec<f32> = weight.flatten_all().unwrap().to_vec1().unwrap();
    assert_eq!(exported.floats(), weight);
}

#[test]
fn a_number_has_its_mean_and_its_bins_beside_its_labels() {
    let file = numbers();
    let onnx = read(&to_bytes(&file).unwrap());
    assert_eq!(faults(&onnx), Vec::<String>::new());
    let outputs: Vec<(String, usize)> = onnx
        .outputs
        .iter()
        .map(|(name, shape)| (name.clone(), shape.len()))
        .collect();
    let expected = [
        ("years", 2),
        ("years_mean", 1),
        ("years_bins", 2),
        ("joint", 2),
    ];
    let expected = expected.map(|(name, rank)| (name.to_string(), rank));
    assert_eq!(outputs[5..9], expected);
    // Bins are 5 wide: a fifth of the seventh is below 31, three fifths of the twelfth below 58.
    let shares = onnx.constants.values().find(|c| c.shape == [20, 3]);
    let shares = shares.unwrap().floats();
    for (bin, row) in [
        (5, [1.0, 0.0, 0.0]),
        (6, [0.2, 0.8, 0.0]),
        (11, [0.0, 0.6, 0.4]),
        (12, [0.0, 0.0, 1.0]),
    ] {
        let found = &shares[3 * bin..][..3];
        let apart = found.iter().zip(row).map(|(f, e)| (f - e).abs());
        assert!(apart.fold(0.0, f32::max) < 1e-6, "{bin}: {found:?}");
    }
}

#[test]
fn classes_are_the_labels_that_the_taxonomy_says() {
    // The plain space, and a tree in which heads do not always apply and combinations are impossible.
    for file in [lite0(), repvgg()] {
        let onnx = read(&to_bytes(&file).unwrap());
        let taxonomy = file.description.model.taxonomy().unwrap();
        let classes = taxonomy.num_classes();
        let table = onnx.constants.values().find(|c| c.shape == [5, classes]);
        let places = table.unwrap().ints();
        let first = [0, 3, 5, 9, 12];
        for class in 0..classes {
            let labels: Vec<Option<usize>> = (0..5)
                .map(|head| places[head * classes + class] as usize)
                .enumerate()
                .map(|(head, place)| (place < 14).then(|| place - first[head]))
                .collect();
            assert_eq!(taxonomy.class_of(&labels), Some(class), "{labels:?}");
            assert_eq!(taxonomy.decode(class).unwrap(), labels);
        }
    }
    assert!(
        repvgg()
            .description
            .model
            .taxonomy()
            .unwrap()
            .tree_leaves()
            .is_some()
    );
}

#[test]
fn the_file_says_what_the_model_is() {
    let file = lite0();
    let bytes = to_bytes(&file).unwrap();
    let onnx = read(&bytes);
    assert_eq!(onnx.metadata.len(), 2);
    let said: Description = serde_json::from_str(&onnx.metadata["hydranet"]).unwrap();
    assert_eq!(said, file.description);
    let classes: Vec<String> = serde_json::from_str(&onnx.metadata["classes"]).unwrap();
    assert_eq!(classes, file.description.classes);
    assert!(bytes == to_bytes(&lite0()).unwrap());
    let mut other = file;
    other.description.training = "other".into();
    assert!(bytes != to_bytes(&other).unwrap());
}

fn refused(file: &ModelFile, words: &[&str]) {
    let message = match to_bytes(file) {
        Err(e @ Error::Invalid { .. }) => format!("{e:#}"),
        other => panic!("{:?}", other.map(|b| b.len())),
    };
    for word in words {
        assert!(message.contains(word), "no `{word}` in: {message}");
    }
}

#[test]
fn what_cannot_be_exported_is_refused_in_words() {
    for taken in ["images", "joint", "final_class"] {
        let mut file = lite0();
        file.description.model.heads[0].name = taken.into();
        refused(&file, &[&format!("`{taken}`"), "name of a head", "ONNX"]);
    }
    let entry = hydranet::adapter::entries()[0];
    let spec = ModelSpec::new(
        Architecture::from_name(entry.name).unwrap(),
        vec![HeadSpec::new("mask", ["worn", "not_worn"])],
        InputSpec::default(),
    );
    let plugged = ModelFile {
        description: Description::new(spec, serde_json::Value::Null).unwrap(),
        tensors: Default::default(),
    };
    refused(&plugged, &[entry.name, "plugged in", "ONNX"]);

    let mut broken = lite0();
    broken.tensors.remove("backbone.conv_stem.weight");
    let error = to_bytes(&broken).unwrap_err();
    assert!(matches!(error, Error::Checkpoint { .. }), "{error}");
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn label((backbone, h, w, c): &Case) -> String {
    format!("{backbone}.{c}x{h}x{w}")
}

/// Photos 0 to 255 and what hydranet says of them, beside the model.
fn write_case(folder: &Path, name: &str, file: &ModelFile, photos: &Tensor) {
    std::fs::write(folder.join(format!("{name}.onnx")), to_bytes(file).unwrap()).unwrap();
    let mut tensors: HashMap<String, Tensor> = outputs(file, photos).into_iter().collect();
    tensors.insert("images".into(), photos.clone());
    let path = folder.join(format!("{name}.safetensors"));
    candle_core::safetensors::save(&tensors, path).unwrap();
}

/// Run by `tests/golden/onnx_check.py`, which says where the files go.
#[test]
#[ignore = "writes files for tests/golden/onnx_check.py"]
fn models_are_written_for_the_script() {
    let folder = PathBuf::from(std::env::var("HYDRANET_ONNX").expect("run onnx_check.py"));
    let mut digests = BTreeMap::new();
    for case in &cases() {
        let &(_, h, w, c) = case;
        let photos = photos(5, h, w, c);
        let file = model(case);
        let plain = to_bytes(&file).unwrap();
        let file = adapted(file, &photos);
        // Other heads, the same graph.
        assert_eq!(digest(&to_bytes(&file).unwrap()), digest(&plain));
        digests.insert(label(case), digest(&plain));
        if case.0 == LITE0 {
            digests.insert("bytes".into(), hexadecimal(&Sha256::digest(&plain)));
        }
        write_case(&folder, &label(case), &file, &photos);
    }
    for (name, file) in [
        ("numbers", numbers()),
        ("several", several()),
        ("groups", grouped()),
    ] {
        let [h, w] = file.description.model.input.size;
        let photos = photos(5, h, w, file.description.model.input.channels);
        digests.insert(name.into(), digest(&to_bytes(&file).unwrap()));
        write_case(&folder, name, &adapted(file, &photos), &photos);
    }
    // Its heads do not read the row of features that others are adapted to.
    let file = private();
    let [h, w] = file.description.model.input.size;
    digests.insert("private".into(), digest(&to_bytes(&file).unwrap()));
    write_case(&folder, "private", &file, &self::photos(5, h, w, 3));
    let file = learnt();
    digests.insert("own".into(), digest(&to_bytes(&file).unwrap()));
    write_case(&folder, "own", &file, &self::photos(5, 32, 32, 3));
    let digests = serde_json::to_vec(&digests).unwrap();
    std::fs::write(folder.join("digests.json"), digests).unwrap();

    let (Ok(path), Ok(images)) = (
        std::env::var("HYDRANET_MODEL"),
        std::env::var("HYDRANET_PHOTOS"),
    ) else {
        return;
    };
    let file = ModelFile::read(path).unwrap();
    let input = &file.description.model.input;
    let paths = std::fs::read_dir(images)
        .unwrap()
        .map(|e| e.unwrap().path());
    let mut paths: Vec<PathBuf> = paths.collect();
    paths.sort();
    let [h, w] = input.size;
    let rows: Vec<Tensor> = paths
        .iter()
        .step_by((paths.len() / 100).max(1))
        .take(100)
        .map(|path| {
            let pixels = input.prepare(&input.open(path).unwrap()).unwrap();
            let pixels: Vec<f32> = pixels.into_iter().map(f32::from).collect();
            let rows = Tensor::from_vec(pixels, (1, h, w, input.channels), &Device::Cpu);
            rows.unwrap().permute((0, 3, 1, 2)).unwrap()
        })
        .collect();
    let photos = Tensor::cat(&rows, 0).unwrap();
    write_case(&folder, "photos", &file, &photos);
}
