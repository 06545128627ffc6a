//! Stages and parts of the image that a head has for itself.

use crate::common::differences::flat;
use crate::model::{copy_own_stages, sampled};
use candle_core::{DType, Device, Tensor, Var};
use hydranet::train::Variables;
use hydranet::{
    Architecture, BatchNormMode, Error, HeadSpec, InputSpec, Mode, ModelSpec, MultiTaskModel,
    PoolKind, Tensors,
};

fn spec(backbone: &str, side: usize, change: impl Fn(&mut HeadSpec)) -> ModelSpec {
    let backbone = Architecture::from_name(backbone).unwrap();
    let mut own = HeadSpec::new("own", ["a", "b", "c"]);
    change(&mut own);
    let heads = vec![HeadSpec::new("mask", ["worn", "not_worn"]), own];
    let input = InputSpec {
        size: [side; 2],
        ..backbone.input()
    };
    ModelSpec::new(backbone, heads, input)
}

/// The tensors of a model, drawn; those of own stages are the backbone's.
fn drawn(spec: &ModelSpec) -> Tensors {
    let variables = Variables::new(Tensors::new(), 1, |_| false, |_| true);
    MultiTaskModel::new(spec, 0.0, &variables.builder()).unwrap();
    let mut tensors = variables.snapshot().unwrap();
    tensors.retain(|name, _| !name.starts_with("heads.own.stages."));
    copy_own_stages(spec, &mut tensors).unwrap();
    tensors
}

fn built(spec: &ModelSpec, tensors: &Tensors, trained: bool) -> (Variables, MultiTaskModel) {
    let variables = Variables::new(tensors.clone(), 1, move |_| trained, |_| false);
    let model = MultiTaskModel::new(spec, 0.0, &variables.builder()).unwrap();
    variables.check("the tensors").unwrap();
    (variables, model)
}

fn images(count: usize, side: usize) -> Tensor {
    crate::common::drawn::tensor("images", &[count, 3, side, side], DType::F32)
}

#[test]
fn a_copy_makes_what_the_backbone_makes_in_every_network() {
    for architecture in Architecture::all() {
        let stages = architecture.stages().len();
        let spec = |own: usize, pool| {
            spec(architecture.name(), 64, |head| {
                head.layers.own_stages = own;
                head.layers.pool = pool;
            })
        };
        // Great networks of a family differ in numbers alone.
        if ![
            "resnet50d",
            "resnet18d",
            "tf_efficientnet_lite0",
            "mobilenetv2_050",
            "mobilenetv3_small_100",
            "mobilenetv4_conv_small",
            "repvgg_a0",
            "fastvit_t8",
            "convnext_atto",
        ]
        .contains(&architecture.name())
        {
            continue;
        }
        for own in [1, 2, stages - 1] {
            let spec = spec(own, PoolKind::Average);
            let (_, model) = built(&spec, &drawn(&spec), false);
            let row = model.features(&images(2, 64), Mode::Eval).unwrap();
            let features = architecture.num_features();
            assert_eq!(row.dims(), [2, 2 * features]);
            let of = |start| flat(&row.narrow(1, start, features).unwrap());
            assert!(of(0) == of(features), "{architecture}, {own}");
        }
        // A map of its own, pooled in its own way, is that of the backbone.
        let with = |own| {
            let spec = spec(own, PoolKind::Gem);
            let tensors = drawn(&spec);
            let (_, model) = built(&spec, &tensors, false);
            let row = model.features(&images(2, 64), Mode::Eval).unwrap();
            flat(
                &row.narrow(
                    1,
                    architecture.num_features(),
                    row.dim(1).unwrap() - architecture.num_features(),
                )
                .unwrap(),
            )
        };
        assert!(with(1) == with(0), "{architecture}");
    }
    // Transformers, of sides they take.
    for (name, side) in [
        ("vit_tiny_patch16_224", 224),
        ("swin_tiny_patch4_window7_224", 224),
    ] {
        let Ok(architecture) = Architecture::from_name(name) else {
            continue;
        };
        let spec = spec(name, side, |head| head.layers.own_stages = 2);
        let (_, model) = built(&spec, &drawn(&spec), false);
        let row = model.features(&images(1, side), Mode::Eval).unwrap();
        let features = architecture.num_features();
        let of = |start| flat(&row.narrow(1, start, features).unwrap());
        assert!(of(0) == of(features), "{name}");
    }
}

#[test]
fn gradients_of_the_head_reach_its_own_stages_and_no_others_copies() {
    let spec = spec("resnet18", 32, |head| head.layers.own_stages = 1);
    let (variables, model) = built(&spec, &drawn(&spec), true);
    let mode = Mode::Train {
        batch_norm: BatchNormMode::Train,
        key: 1,
    };
    let features = model.features(&images(3, 32), mode).unwrap();
    let outputs = model.outputs(&features, mode).unwrap();
    let reached = |head: usize| -> Vec<String> {
        let grads = outputs.heads[head]
            .sqr()
            .unwrap()
            .sum_all()
            .unwrap()
            .backward()
            .unwrap();
        let moves = |var: &Var| {
            grads
                .get(var)
                .is_some_and(|g| flat(g).iter().any(|v| *v != 0.0))
        };
        let vars = variables.vars().into_iter();
        vars.filter(|(_, var)| moves(var))
            .map(|(name, _)| name)
            .collect()
    };
    let (of_mask, of_own) = (reached(0), reached(1));
    let has = |names: &[String], prefix: &str| names.iter().any(|n| n.starts_with(prefix));
    assert!(has(&of_mask, "backbone.layer4") && !has(&of_mask, "heads.own."));
    assert!(has(&of_own, "heads.own.stages.layer4.1.conv2") && !has(&of_own, "backbone.layer4"));
    // The stages before are everybody's.
    assert!(has(&of_own, "backbone.layer3") && has(&of_own, "backbone.conv1"));

    // By central differences, in a weight of its own and in one of all.
    let loss = |tensors: &Tensors| -> f64 {
        let (_, model) = built(&spec, tensors, false);
        let features = model.features(&images(3, 32), Mode::Eval).unwrap();
        let outputs = model.outputs(&features, Mode::Eval).unwrap();
        let sum = outputs.heads[1].sqr().unwrap().sum_all().unwrap();
        f64::from(sum.to_scalar::<f32>().unwrap())
    };
    let tensors = drawn(&spec);
    let (variables, model) = built(&spec, &tensors, true);
    let features = model.features(&images(3, 32), Mode::Eval).unwrap();
    let outputs = model.outputs(&features, Mode::Eval).unwrap();
    let grads = outputs.heads[1]
        .sqr()
        .unwrap()
        .sum_all()
        .unwrap()
        .backward()
        .unwrap();
    for name in [
        "heads.own.stages.layer4.1.conv2.weight",
        "backbone.layer3.1.conv2.weight",
    ] {
        let gradient = grads.get(&variables.vars()[name]).unwrap().clone();
        let norm = gradient.sqr().unwrap().sum_all().unwrap().sqrt().unwrap();
        let norm = norm.to_scalar::<f32>().unwrap();
        let step = 0.01 / f64::from(norm);
        let moved = |by: f64| {
            let mut moved = tensors.clone();
            let change = (&gradient * (by * step)).unwrap();
            moved.insert(name.into(), (&tensors[name] + change).unwrap());
            loss(&moved)
        };
        let found = (moved(1.0) - moved(-1.0)) / (2.0 * step);
        let expected = f64::from(norm * norm);
        assert!(
            (found / expected - 1.0).abs() < 0.02,
            "{name}: {found} {expected}"
        );
    }
}

#[test]
fn a_part_of_an_image_is_sampled_between_the_centres_of_pixels() {
    // Linear interpolation keeps a ramp, but at the border, whose values go on.
    let size = 8;
    let [from, to] = [0.25, 0.75];
    let rows = sampled(size, [from, to]);
    for (i, row) in rows.chunks_exact(size).enumerate() {
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        let found: f32 = row
            .iter()
            .enumerate()
            .map(|(j, v)| (j as f32 + 0.5) * v)
            .sum();
        let expected = size as f64 * (from + (to - from) * (i as f64 + 0.5) / size as f64);
        assert!(
            (f64::from(found) - expected).abs() < 1e-5,
            "{i}: {found} {expected}"
        );
    }
    let whole = sampled(size, [0.0, 1.0]);
    let diagonal = |i: usize| if i.is_multiple_of(size + 1) { 1.0 } else { 0.0 };
    assert!((0..size * size).all(|i| (whole[i] - diagonal(i)).abs() < 1e-6));
    let edge = sampled(size, [0.0, 0.5]);
    assert_eq!(edge[..2], [1.0, 0.0]);
    assert_eq!(sampled(1, [0.2, 0.8]), [1.0]);
}

#[test]
fn a_head_with_a_part_of_the_image_sees_that_part_through_the_same_backbone() {
    let crop = [0.0, 0.5, 0.5, 1.0];
    let spec = spec("resnet18", 32, |head| head.layers.crop = Some(crop));
    let tensors = drawn(&spec);
    assert!(!tensors.keys().any(|name| name.contains("stages")));
    let (_, model) = built(&spec, &tensors, false);
    // A photo whose upper right quarter is of one colour, and a photo of that colour.
    let colour = Tensor::ones((1, 3, 32, 32), DType::F32, &Device::Cpu).unwrap();
    let rest = images(1, 32);
    let quarter: Vec<f32> = (0..32 * 32)
        .map(|i| {
            if i / 32 < 17 && i % 32 >= 15 {
                1.0
            } else {
                0.0
            }
        })
        .collect();
    let mask = Tensor::from_vec(quarter, (1, 1, 32, 32), &Device::Cpu).unwrap();
    let mask = mask.broadcast_as((1, 3, 32, 32)).unwrap();
    let photo = (&rest * (1.0 - &mask).unwrap()).unwrap();
    let photo = (photo + &mask).unwrap();
    let row = |photo: &Tensor| model.features(photo, Mode::Eval).unwrap();
    let (photo, colour) = (row(&photo), row(&colour));
    assert_eq!(photo.dims(), [1, 1024]);
    let of = |row: &Tensor, start: usize| flat(&row.narrow(1, start, 512).unwrap());
    let apart = |a: &[f64], b: &[f64]| {
        a.iter()
            .zip(b)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f64::max)
    };
    assert!(apart(&of(&photo, 512), &of(&colour, 0)) < 1e-4);
    assert!(apart(&of(&photo, 0), &of(&colour, 0)) > 1e-2);
    // Only the head whose part it is reads it.
    let logits = |row: &Tensor| model.logits(row, Mode::Eval).unwrap().heads;
    let (a, b) = (logits(&photo), logits(&colour));
    assert!(apart(&flat(&a[1]), &flat(&b[1])) < 1e-4);
    assert!(apart(&flat(&a[0]), &flat(&b[0])) > 1e-4);
}

#[test]
fn what_a_head_cannot_have_for_itself_is_refused_by_name() {
    let refused = |change: &dyn Fn(&mut HeadSpec), words: &str| {
        let error = spec("resnet18", 32, change).validate().unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }));
        let text = error.to_string();
        assert!(
            text.contains("head `own`") && text.contains(words),
            "{text}"
        );
    };
    refused(&|h| h.layers.own_stages = 5, "at most 4 stages");
    refused(
        &|h| {
            h.layers.own_stages = 1;
            h.layers.from_stage = vec![4];
        },
        "from_stage",
    );
    refused(
        &|h| {
            h.layers.own_stages = 1;
            h.layers.crop = Some([0.0, 0.0, 0.5, 0.5]);
        },
        "crop",
    );
    for crop in [
        [0.0, 0.0, 0.0, 1.0],
        [0.5, 0.0, 0.2, 1.0],
        [0.0, -0.1, 1.0, 1.0],
        [0.0, 0.0, 1.0, f64::NAN],
        [0.0, 0.0, 1.0, 1.1],
    ] {
        refused(&|h| h.layers.crop = Some(crop), "crop");
    }
    let read = |text: &str| toml::from_str::<HeadSpec>(text);
    let text = "name = 'own'\nlabels = ['a', 'b']\nown_stages = 2\n";
    assert_eq!(read(text).unwrap().layers.own_stages, 2);
    let head = read("name = 'own'\nlabels = ['a', 'b']\ncrop = [0, 0, 0.5, 1]\n").unwrap();
    assert_eq!(head.layers.crop, Some([0.0, 0.0, 0.5, 1.0]));
    assert_eq!(read(&toml::to_string(&head).unwrap()).unwrap(), head);
    assert!(read("name = 'own'\nlabels = ['a', 'b']\ncrop = [0, 0, 0.5]\n").is_err());
}
