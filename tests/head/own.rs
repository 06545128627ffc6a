//! What a head has of its own: how it pools, the stages it reads, the heads it sees.

use crate::common::differences::{difference, gradient_error, gradient_error_of, values};
use crate::head::{Pool, PoolKind};
use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::VarBuilder;
use hydranet::{
    Architecture, BatchNormMode, Error, HeadSpec, InputSpec, LossKind, Mode, ModelSpec,
    MultiTaskModel, NumberSpec, Tensors,
};
use proptest::prelude::*;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

fn golden() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/pooling.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn tensor(values: &Value, shape: &[usize]) -> Tensor {
    let values = values.as_array().unwrap().iter();
    let values: Vec<f64> = values.map(|v| v.as_f64().unwrap()).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// A pooling of one map over a tensor given.
fn pool(kind: PoolKind, channels: usize, parameter: &Tensor) -> Pool {
    let name = ["p", "query"][usize::from(kind == PoolKind::Attention)];
    let tensors = HashMap::from([(name.to_string(), parameter.clone())]);
    let vb = VarBuilder::from_tensors(tensors, parameter.dtype(), &Device::Cpu);
    Pool::new(kind, &[channels], &vb).unwrap()
}

#[test]
fn pooling_and_its_gradients_are_those_of_the_formulas_in_pytorch() {
    let golden = golden();
    let dims: Vec<usize> = serde_json::from_value(golden["shape"].clone()).unwrap();
    let shape = [dims[0], dims[1], dims[2]];
    let gem = golden["gem"].as_array().unwrap().iter();
    let gem = gem.chain([&golden["gem_of_large_values"]]);
    let gem = gem.map(|case| (PoolKind::Gem, vec![1], case));
    let attention = golden["attention"].as_array().unwrap().iter();
    let attention = attention.map(|case| (PoolKind::Attention, vec![1, shape[1]], case));
    for (kind, of, case) in gem.chain(attention) {
        let y = tensor(&case["y"], &shape[..2]);
        let weights = tensor(&case["weights"], &shape[..2]);
        for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 1e-5)] {
            let var = |values, shape: &[usize]| {
                Var::from_tensor(&tensor(values, shape).to_dtype(dtype).unwrap()).unwrap()
            };
            let (x, parameter) = (var(&case["x"], &shape), var(&case["parameter"], &of));
            let found = pool(kind, shape[1], parameter.as_tensor());
            let found = found.forward(x.as_tensor(), 0, 0).unwrap();
            let wide = |t: &Tensor| t.to_dtype(DType::F64).unwrap();
            assert!(
                difference(&wide(&found), &y) < tolerance,
                "{kind:?} {dtype:?}"
            );
            let loss = (&found * weights.to_dtype(dtype).unwrap()).unwrap();
            let gradients = loss.sum_all().unwrap().backward().unwrap();
            for (var, expected, shape) in [
                (&x, &case["dx"], shape.as_slice()),
                (&parameter, &case["dparameter"], &of),
            ] {
                let gradient = wide(gradients.get(var).unwrap());
                let off = difference(&gradient, &tensor(expected, shape));
                assert!(off < 20.0 * tolerance, "{kind:?} {dtype:?}: {off}");
            }
        }
    }
}

#[test]
fn pooling_has_the_gradient_of_central_differences() {
    let cases = [
        (PoolKind::Gem, values(&[1], 3).affine(1.0, 3.0).unwrap()),
        (PoolKind::Attention, (values(&[1, 4], 5) * 3.0).unwrap()),
    ];
    for (kind, parameter) in cases {
        let x = (values(&[2, 4, 6], 7) + 0.01).unwrap();
        let f = |a: &[Tensor]| pool(kind, 4, &a[1]).forward(&a[0], 0, 0);
        let error = gradient_error(&[x, parameter], &f).unwrap();
        assert!(error < 1e-6, "{kind:?}: {error}");
    }
}

#[test]
fn an_exponent_beyond_its_bounds_counts_as_the_bound_and_can_come_back() {
    let x = (values(&[2, 3, 5], 1).abs().unwrap() + 0.1).unwrap();
    for (beyond, bound) in [(-4.0, 1.0), (0.5, 1.0), (1e6, 100.0)] {
        let of = |p: f64| {
            let p = Var::new(&[p], &Device::Cpu).unwrap();
            let y = pool(PoolKind::Gem, 3, p.as_tensor()).forward(&x, 0, 0);
            let y = y.unwrap();
            let gradients = y.sum_all().unwrap().backward().unwrap();
            let gradient = gradients.get(&p).unwrap().to_vec1::<f64>().unwrap()[0];
            (y, gradient)
        };
        let ((y, gradient), (at_bound, _)) = (of(beyond), of(bound));
        assert!(difference(&y, &at_bound) < 1e-9, "{beyond}");
        assert!(gradient > 0.0, "{beyond}: {gradient}");
    }
}

#[test]
fn stages_are_those_that_timm_counts() {
    let golden = golden();
    for (name, stages) in golden["stages"].as_object().unwrap() {
        let expected: Vec<(usize, usize)> = serde_json::from_value(stages.clone()).unwrap();
        let expected: BTreeMap<usize, usize> = expected.into_iter().collect();
        let backbone = Architecture::from_name(name).unwrap();
        let maps = backbone.shown_maps([64, 96]).unwrap();
        let found = maps.iter().filter_map(|m| Some((m.stage?, m.channels)));
        let found: BTreeMap<usize, usize> = found.collect();
        // A ResNet's half-size map is before its max-pooling and is not shown.
        let shown = |(stage, _): &(usize, usize)| *stage > 1 || !name.starts_with("resnet");
        assert_eq!(
            found,
            expected.into_iter().filter(shown).collect(),
            "{name}"
        );
        for map in &maps {
            let stage = map.stage.unwrap_or(5);
            assert_eq!(
                map.positions,
                (64 >> stage) * (96 >> stage),
                "{name} {map:?}"
            );
        }
    }
    let vit = Architecture::from_name("vit_small_patch14_reg4_dinov2").unwrap();
    let maps = vit.shown_maps([28, 42]).unwrap();
    let stages: Vec<Option<usize>> = maps.iter().map(|m| m.stage).collect();
    let expected: Vec<Option<usize>> = (1..=12).map(Some).chain([None]).collect();
    assert_eq!(stages, expected);
    assert!(maps.iter().all(|m| (m.positions, m.channels) == (6, 384)));
    for backbone in Architecture::all() {
        assert!(
            backbone.shown_maps([224, 224]).unwrap().len() >= 5,
            "{backbone}"
        );
    }
}

/// Heads that read and see everything there is, on photos of 64 × 64.
fn spec(backbone: &str) -> ModelSpec {
    let backbone = Architecture::from_name(backbone).unwrap();
    let number = NumberSpec::with_bins([0.0, 100.0], 5);
    let mut heads = vec![
        HeadSpec::new("shade", ["light", "dark"]),
        HeadSpec::new("mask", ["worn", "incorrect", "not_worn"]),
        HeadSpec::new("age", ["young", "middle", "old"]).with_number(number, [30.0, 60.0]),
        HeadSpec::new("size", ["s", "m", "l"])
            .with_loss(LossKind::Coral)
            .with_hidden(4),
        HeadSpec::new("plain", ["yes", "no"]),
    ];
    heads[0].layers.after = vec!["mask".into(), "size".into(), "age".into()];
    heads[0].layers.pool = PoolKind::Attention;
    heads[1].layers.pool = PoolKind::Gem;
    heads[2].layers.from_stage = vec![4, 3];
    heads[3].layers.from_stage = vec![5, 4];
    heads[3].layers.pool = PoolKind::Gem;
    let input = InputSpec {
        size: [64, 64],
        ..backbone.input()
    };
    ModelSpec::new(backbone, heads, input)
}

/// The tensors of a model, drawn by their names, in `f64`.
fn tensors(spec: &ModelSpec) -> Tensors {
    let variables = hydranet::train::Variables::new(Tensors::new(), 1, |_| false, |_| true);
    MultiTaskModel::new(spec, 0.0, &variables.builder()).unwrap();
    let all = variables.snapshot().unwrap().into_iter();
    let wide = |(name, t): (String, Tensor)| (name, t.to_dtype(DType::F64).unwrap());
    all.map(wide).collect()
}

fn built(spec: &ModelSpec, tensors: &Tensors) -> MultiTaskModel {
    let tensors: HashMap<String, Tensor> = tensors.clone().into_iter().collect();
    let vb = VarBuilder::from_tensors(tensors, DType::F64, &Device::Cpu);
    MultiTaskModel::new(spec, 0.0, &vb).unwrap()
}

#[test]
fn the_gradients_of_a_whole_model_are_those_of_central_differences() {
    let train = Mode::Train {
        batch_norm: BatchNormMode::Frozen,
        key: 1,
    };
    for (backbone, weights, mode) in [
        ("resnet18", ["conv1.weight", "layer3.0.conv1.weight"], train),
        (
            "convnext_atto",
            ["stages.1.blocks.0.mlp.fc1.weight", "head.norm.weight"],
            Mode::Eval,
        ),
        (
            "deit3_small_patch16_224",
            ["blocks.2.mlp.fc1.weight", "norm.weight"],
            Mode::Eval,
        ),
    ] {
        let mut spec = spec(backbone);
        // What a head sees of others is a constant to the gradient, and not to a difference.
        spec.heads[0].layers.after.clear();
        let mut all = tensors(&spec);
        let query = all["heads.shade.pool.query"].dims().to_vec();
        all.insert("heads.shade.pool.query".into(), values(&query, 3));
        let own = [
            "mask.pool.p",
            "size.pool.p",
            "shade.pool.query",
            "age.fc.weight",
        ];
        let names = weights.map(|name| format!("backbone.{name}")).into_iter();
        let names: Vec<String> = names.chain(own.map(|n| format!("heads.{n}"))).collect();
        let args: Vec<Tensor> = names.iter().map(|n| all[n].clone()).collect();
        let images = values(&[2, 3, 64, 64], 9);
        let f = |args: &[Tensor]| -> Result<Tensor> {
            let mut all = all.clone();
            all.extend(names.iter().cloned().zip(args.iter().cloned()));
            let model = built(&spec, &all);
            let rows = model
                .features(&images, mode)
                .map_err(candle_core::Error::wrap)?;
            let outputs = model
                .outputs(&rows, mode)
                .map_err(candle_core::Error::wrap)?;
            Tensor::cat(&outputs.heads, 1)
        };
        let error = gradient_error_of(&args, 4, &f).unwrap();
        assert!(error < 1e-5, "{backbone}: {error}");
    }
}

#[test]
fn a_head_sees_the_probabilities_of_those_before_it_and_teaches_them_nothing() {
    let spec = spec("resnet18");
    let mut all = tensors(&spec);
    let width = 512 + 3 + 3 + 3;
    assert_eq!(all["heads.shade.fc.weight"].dims(), [2, width]);
    let images = values(&[2, 3, 64, 64], 9);
    let model = built(&spec, &all);
    let rows = model.features(&images, Mode::Eval).unwrap();
    let before = model.logits(&rows, Mode::Eval).unwrap();
    let own = all["heads.shade.fc.weight"].narrow(1, 512, 9).unwrap();
    let probs: Vec<Tensor> = [1, 3, 2]
        .map(|i| candle_nn::ops::softmax(&before.heads[i], 1).unwrap())
        .iter()
        .map(|p| p.to_dtype(DType::F64).unwrap())
        .collect();
    let seen = Tensor::cat(&probs, 1)
        .unwrap()
        .matmul(&own.t().unwrap())
        .unwrap();
    // Without what it sees.
    let zeros = own.zeros_like().unwrap();
    let features = all["heads.shade.fc.weight"].narrow(1, 0, 512).unwrap();
    let blind = Tensor::cat(&[&features, &zeros], 1).unwrap();
    let weight = all.insert("heads.shade.fc.weight".into(), blind).unwrap();
    let blind = built(&spec, &all).logits(&rows, Mode::Eval).unwrap();
    let expected = (&blind.heads[0] + seen).unwrap();
    assert!(difference(&before.heads[0], &expected) < 1e-6);
    for i in 1..5 {
        assert_eq!(difference(&before.heads[i], &blind.heads[i]), 0.0);
    }

    let taught = Var::from_tensor(&all["heads.mask.fc.weight"]).unwrap();
    let own = Var::from_tensor(&weight).unwrap();
    all.insert("heads.mask.fc.weight".into(), taught.as_tensor().clone());
    all.insert("heads.shade.fc.weight".into(), own.as_tensor().clone());
    let outputs = built(&spec, &all).outputs(&rows, Mode::Eval).unwrap();
    let gradients = outputs.heads[0].sum_all().unwrap().backward().unwrap();
    assert!(gradients.get(&own).is_some() && gradients.get(&taught).is_none());
}

#[test]
fn the_rows_of_composed_networks_are_those_of_the_kernels() {
    for name in [
        "tf_efficientnet_lite0",
        "vit_tiny_patch16_224",
        "swin_tiny_patch4_window7_224",
    ] {
        let (mut spec, mut plain) = (spec(name), spec(name));
        plain.heads.truncate(1);
        plain.heads[0].layers = Default::default();
        spec.heads[0].layers.after.clear();
        let all = tensors(&spec);
        let rows = |spec: &ModelSpec| {
            let images = values(&[2, 3, 64, 64], 9);
            built(spec, &all).features(&images, Mode::Eval).unwrap()
        };
        let (row, features) = (rows(&spec), rows(&plain));
        let width = features.dim(1).unwrap();
        // What comes first is what a model without such heads has, to the last bit.
        assert_eq!(
            difference(&row.narrow(1, 0, width).unwrap(), &features),
            0.0
        );
        // The maps of stages are those that the network shows, and the means of them are theirs.
        let vb = |prefix: &str| {
            let own = all
                .iter()
                .filter_map(|(n, t)| Some((n.strip_prefix(prefix)?.into(), t.clone())));
            VarBuilder::from_tensors(own.collect(), DType::F64, &Device::Cpu)
        };
        let network = spec.backbone.build(vb("backbone."), 0.0).unwrap();
        let shown = network
            .feature_maps(&values(&[2, 3, 64, 64], 9), Mode::Eval)
            .unwrap();
        let maps = spec.backbone.shown_maps([64, 64]).unwrap();
        let place = maps.iter().find(|m| m.stage == Some(4)).unwrap();
        let map = shown[place.place].flatten_from(2).unwrap();
        let tokens = map.dim(2).unwrap();
        let map = map
            .narrow(2, tokens - place.positions, place.positions)
            .unwrap();
        let means = map.mean(2).unwrap();
        // Of `age`, behind the two whole maps of the heads before it: that is the last map once.
        let last = maps.last().unwrap();
        let start = width + last.channels * last.positions;
        let found = row.narrow(1, start, place.channels).unwrap();
        assert!(difference(&found, &means) < 1e-12, "{name}");
    }
}

fn read(text: &str) -> std::result::Result<HeadSpec, String> {
    let text = format!("name = 'mask'\nlabels = ['worn', 'not_worn']\n{text}");
    let spec: HeadSpec = toml::from_str(&text).map_err(|e| e.to_string())?;
    spec.validate().map_err(|e| e.to_string())?;
    Ok(spec)
}

#[test]
fn the_keys_are_read_and_written_and_say_nothing_where_they_are_not_given() {
    let plain = read("").unwrap();
    assert_eq!(read("pool = 'average'\nafter = []").unwrap(), plain);
    let json = serde_json::to_string(&plain).unwrap();
    for key in ["pool", "from_stage", "after"] {
        assert!(!json.contains(key), "{json}");
    }
    for (text, written) in [
        ("pool = 'gem'", r#""pool":"gem""#),
        ("pool = 'attention'", r#""pool":"attention""#),
        ("from_stage = 3", r#""from_stage":3"#),
        ("from_stage = [3]", r#""from_stage":3"#),
        ("from_stage = [4, 2]", r#""from_stage":[4,2]"#),
        ("after = ['age', 'size']", r#""after":["age","size"]"#),
    ] {
        let spec = read(text).unwrap();
        let json = serde_json::to_string(&spec).unwrap();
        assert!(json.contains(written), "{json}");
        assert_eq!(serde_json::from_str::<HeadSpec>(&json).unwrap(), spec);
        let toml = toml::to_string(&spec).unwrap();
        assert_eq!(toml::from_str::<HeadSpec>(&toml).unwrap(), spec);
    }
}

#[test]
fn keys_that_make_no_sense_are_named() {
    #[rustfmt::skip]
    let cases: &[(&str, &[&str])] = &[
        ("pool = 'median'", &["median", "`average`", "`gem`", "`attention`"]),
        ("pool = 3", &["pool"]),
        ("from_stage = []", &["from_stage", "a list of such numbers", "0"]),
        ("from_stage = 0", &["head `mask`, from_stage", "from 1 on", "found 0"]),
        ("from_stage = -1", &["from_stage", "from 1", "-1"]),
        ("from_stage = 1.5", &["from_stage", "the number of a stage"]),
        ("from_stage = 'last'", &["from_stage", "the number of a stage"]),
        ("from_stage = [2, 2]", &["head `mask`, from_stage", "each stage once", "2 twice"]),
        ("after = ['mask']", &["head `mask`, after", "than itself"]),
        ("after = ['age', 'age']", &["head `mask`, after", "each head once", "`age` twice"]),
        ("after = 'age'", &["after", "sequence"]),
        ("own_stage = 1", &["unknown field `own_stage`", "`from_stage`"]),
        ("cropped = [1, 2]", &["unknown field `cropped`"]),
    ];
    for (text, words) in cases {
        let error = read(text).unwrap_err();
        for word in *words {
            assert!(error.contains(word), "{text}: no `{word}` in: {error}");
        }
    }
}

/// A model whose heads are changed.
fn changed(backbone: &str, change: impl FnOnce(&mut [HeadSpec])) -> String {
    let mut spec = spec(backbone);
    change(&mut spec.heads);
    let error = spec.validate().unwrap_err();
    assert!(matches!(error, Error::Invalid { .. }), "{error:?}");
    error.to_string()
}

#[test]
fn a_model_refuses_stages_that_are_not_there_and_heads_that_wait_for_each_other() {
    let after = |name: &str| vec![name.to_string()];
    let plugged = hydranet::adapter::entries()[0].name;
    #[rustfmt::skip]
    let cases: Vec<(String, &[&str])> = vec![
        (changed("resnet18", |h| h[1].layers.from_stage = vec![99]), &["head `mask`, from_stage", "2, 3, 4, 5 of resnet18", "found 99"]),
        (changed("resnet18", |h| h[1].layers.from_stage = vec![2, 1]), &["head `mask`, from_stage", "2, 3, 4, 5", "found 1"]),
        (changed("vit_tiny_patch16_224", |h| h[2].layers.from_stage = vec![13]), &["head `age`", "12 of vit", "found 13"]),
        (changed("resnet18", |h| h[4].layers.after = after("hat")), &["head `plain`, after", "`shade`, `mask`", "found `hat`"]),
        (changed("resnet18", |h| h[1].layers.after = after("shade")), &["after", "circle among `shade`, `mask`"]),
    ];
    for (error, words) in cases {
        for word in words {
            assert!(error.contains(word), "no `{word}` in: {error}");
        }
    }
    // A network that gives a vector only.
    for change in [
        |h: &mut HeadSpec| h.layers.pool = PoolKind::Gem,
        |h: &mut HeadSpec| h.layers.from_stage = vec![3],
    ] {
        let mut head = HeadSpec::new("mask", ["worn", "not_worn"]);
        change(&mut head);
        let backbone = Architecture::from_name(plugged).unwrap();
        let error = ModelSpec::new(backbone, vec![head], backbone.input()).validate();
        let error = error.unwrap_err().to_string();
        for word in ["head `mask`", plugged, "gives a vector only"] {
            assert!(error.contains(word), "no `{word}` in: {error}");
        }
    }
    // A head of one's own program is over features alone.
    let mut head = HeadSpec::new("mask", ["worn", "not_worn"]);
    head.layers.pool = PoolKind::Gem;
    let vb = VarBuilder::zeros(DType::F32, &Device::Cpu);
    let error = hydranet::Head::new(&head, 8, 0, vb)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("head `mask`") && error.contains("a model's heads"),
        "{error}"
    );
}

#[test]
fn whole_maps_are_of_images_of_the_models_size() {
    let spec = spec("resnet18");
    let model = built(&spec, &tensors(&spec));
    let error = model.features(&values(&[1, 3, 64, 96], 1), Mode::Eval);
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("(batch, 3, 64, 64)") && error.contains("whole maps"),
        "{error}"
    );
}

fn layers() -> impl Strategy<Value = (PoolKind, Vec<usize>, Vec<String>)> {
    let pool = prop::sample::select(vec![PoolKind::Average, PoolKind::Gem, PoolKind::Attention]);
    let stages = prop::collection::vec(prop_oneof![0usize..7, Just(usize::MAX)], 0..4);
    let names = prop::sample::select(vec!["a", "b", "c", "d", ""]);
    let after = prop::collection::vec(names.prop_map(String::from), 0..3);
    (pool, stages, after)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_three_heads_are_a_model_or_an_error_that_names_one(all in prop::array::uniform3(layers())) {
        let backbone = Architecture::from_name("mobilenetv3_small_100").unwrap();
        let heads = all.iter().zip(["a", "b", "c"]).map(|((pool, stages, after), name)| {
            let mut head = HeadSpec::new(name, ["x", "y"]);
            head.layers.pool = *pool;
            head.layers.from_stage = stages.clone();
            head.layers.after = after.clone();
            head
        });
        let input = InputSpec { size: [32, 32], ..backbone.input() };
        let spec = ModelSpec::new(backbone, heads.collect(), input);
        match spec.validate() {
            Ok(()) => {
                let vb = VarBuilder::zeros(DType::F32, &Device::Cpu);
                MultiTaskModel::new(&spec, 0.0, &vb).unwrap();
            }
            Err(e) => prop_assert!(e.to_string().contains("head `"), "{}", e),
        }
    }
}
