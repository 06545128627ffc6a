//! Mixing photos: against timm, against its definition, and in training. `tests/golden/make_mixing.py` made the golden values.

use hydranet::ModelFile;
use hydranet::data::sampling::Sampling;
use hydranet::data::targets::Targets;
use hydranet::train::config::Config;
use hydranet::train::mix::blend::{Mixing, Patch, mix_pairs, opposite, opposite_alike};
use hydranet::train::mix::{MixKind, MixRule, Partner};
use proptest::prelude::*;
use serde::Deserialize;

use crate::common::runs::Bench;

#[derive(Deserialize)]
struct Case {
    size: [usize; 2],
    cut: bool,
    lambda_drawn: f64,
    centre: Option<[usize; 2]>,
    #[serde(rename = "box")]
    patch: Option<[usize; 4]>,
    lambda: f64,
    before: Vec<f32>,
    after: Vec<f32>,
    labels: Vec<usize>,
    targets: Vec<f32>,
}

fn close(a: &[f32], b: &[f32], tolerance: f32) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= tolerance)
}

#[test]
fn mix_up_and_cut_mix_give_the_photos_and_targets_of_timm() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("../golden/mixing.json")).unwrap();
    assert_eq!(cases.len(), 10);
    for case in cases {
        let how = match case.centre {
            Some(centre) => {
                let patch = Patch::around(centre, case.lambda_drawn, case.size);
                let [top, bottom, left, right] = case.patch.unwrap();
                // timm may give an empty box of another place.
                if top < bottom && left < right {
                    assert_eq!((&patch.y, &patch.x), (&(top..bottom), &(left..right)));
                }
                Mixing::Paste(patch)
            }
            None => Mixing::Blend(case.lambda_drawn),
        };
        assert_eq!(case.cut, matches!(how, Mixing::Paste(_)));
        assert!((how.lambda() - case.lambda).abs() < 1e-15);
        let batch = case.labels.len();
        let mut images = case.before.clone();
        let one_hot = |l: usize| (0..3).map(move |c| f32::from(u8::from(c == l)));
        let mut heads = [Targets {
            rows: case.labels.iter().copied().flat_map(one_hot).collect(),
            weights: vec![1.0; batch],
            num_labels: 3,
        }];
        mix_pairs(&mut images, &mut heads, &opposite(batch), &how);
        assert!(close(&images, &case.after, 1e-4), "{:?}", case.size);
        assert!(
            close(&heads[0].rows, &case.targets, 1e-6),
            "{:?}",
            case.size
        );
    }
}

proptest! {
    #[test]
    fn a_rectangle_lies_in_the_photo_and_lambda_is_what_it_leaves(
        h in 1usize..40, w in 1usize..40, y in 0.0..1.0f64, x in 0.0..1.0f64, lambda in 0.0..=1.0f64
    ) {
        let centre = [(y * h as f64) as usize, (x * w as f64) as usize];
        let patch = Patch::around(centre, lambda, [h, w]);
        prop_assert!(patch.y.end <= h && patch.x.end <= w);
        // Never more than was drawn: a part may lie outside.
        prop_assert!(patch.share() <= 1.0 - lambda + 1e-12);
        let how = Mixing::Paste(patch);
        let (mut image, other) = (vec![0f32; 3 * h * w], vec![1f32; 3 * h * w]);
        how.mix_in(&mut image, &other);
        let kept = image.iter().filter(|v| **v == 0.0).count() as f64 / image.len() as f64;
        prop_assert!((kept - how.lambda()).abs() < 1e-12);
    }

    #[test]
    fn partners_alike_are_pairs_of_the_same_key(keys in prop::collection::vec(prop::option::of(0usize..4), 0..20)) {
        let partners = opposite_alike(&keys);
        for (i, j) in partners.iter().enumerate() {
            prop_assert_eq!(partners[*j], i);
            prop_assert_eq!(keys[*j], keys[i]);
            // At most the one in the middle of its group stays alone.
            let group = keys.iter().filter(|k| k.is_some() && **k == keys[i]).count();
            if keys[i].is_none() || group == 1 {
                prop_assert_eq!(*j, i);
            }
        }
        for key in 0..4 {
            let alone = partners.iter().enumerate().filter(|(i, j)| i == *j && keys[*i] == Some(key));
            prop_assert!(alone.count() <= 1);
        }
    }
}

#[test]
fn the_halves_of_a_photo_are_left_right_upper_and_lower() {
    for (which, expected) in [[1, 0, 1, 0], [0, 1, 0, 1], [1, 1, 0, 0], [0, 0, 1, 1]]
        .into_iter()
        .enumerate()
    {
        let mut image = [0f32; 4];
        Mixing::Paste(Patch::half(which, [2, 2])).mix_in(&mut image, &[1.0; 4]);
        assert_eq!(image, expected.map(|v| v as f32));
    }
    let share = |which| Patch::half(which, [5, 7]).share();
    assert_eq!(share(0) + share(1), 1.0);
    assert_eq!(share(2), 0.4);
}

#[test]
fn photos_without_a_partner_stay_and_pasting_exchanges_the_rectangle_between_pairs() {
    // Four photos of one row of two pixels; the first and the last are partners.
    let mut images = [0.0, 1.0, 10.0, 11.0, 20.0, 21.0, 30.0, 31.0];
    let how = Mixing::Paste(Patch::half(0, [1, 2]));
    let mut heads = [Targets {
        rows: vec![1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0],
        weights: vec![1.0, 1.0, 1.0, 0.0],
        num_labels: 2,
    }];
    mix_pairs(&mut images, &mut heads, &[3, 1, 2, 0], &how);
    assert_eq!(images, [30.0, 1.0, 10.0, 11.0, 20.0, 21.0, 0.0, 31.0]);
    assert_eq!(heads[0].rows, [1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0]);
    assert_eq!(heads[0].weights, [0.5, 1.0, 1.0, 0.5]);
}

#[test]
fn ways_of_mixing_are_written_in_toml_and_what_is_wrong_with_them_is_named() {
    let config = Bench::config(&[
        "train.mix=[{kind={mix_up={}},probability=0.25},{kind={cut_mix={alpha=0.5}},partner='same_class',probability=0.25},{kind='half_paste',partner={same_label='age'},probability=0.5}]",
        "train.mix_off=1",
        "train.sampling={by_head={head='mask',power=0.5}}",
    ])
    .unwrap();
    let rule = |kind, partner, probability| MixRule {
        kind,
        partner,
        probability,
    };
    assert_eq!(
        config.train.mixes(),
        [
            rule(MixKind::MixUp { alpha: 0.2 }, Partner::Any, 0.25),
            rule(MixKind::CutMix { alpha: 0.5 }, Partner::SameClass, 0.25),
            rule(MixKind::HalfPaste, Partner::SameLabel("age".into()), 0.5),
        ]
    );
    let head = "mask".into();
    assert_eq!(config.train.sampling, Sampling::ByHead { head, power: 0.5 });
    // Without any, `mix_up` is what it always was.
    let plain = Bench::config(&["train.mix_up=0.4"]).unwrap();
    let kind = MixKind::MixUp { alpha: 0.4 };
    assert_eq!(plain.train.mixes(), [rule(kind, Partner::Any, 1.0)]);
    assert_eq!(
        Bench::config(&["train.mix_up=0"]).unwrap().train.mixes(),
        []
    );
    for (setting, words) in [
        (
            "train.mix=[{kind='cutmix'}]",
            &["cutmix", "`half_paste`"][..],
        ),
        (
            "train.mix=[{kind={cut_mix={alpha=0}}}]",
            &["alpha", "from 0.001 to 1000"],
        ),
        (
            "train.mix=[{kind='half_paste',probability=0}]",
            &["probability", "above 0"],
        ),
        (
            "train.mix=[{kind='half_paste',probability=0.7},{kind={mix_up={}},probability=0.7}]",
            &["together at most 1", "1.4"],
        ),
        (
            "train.mix=[{kind='half_paste',partner={same_label='agee'}}]",
            &["agee", "age"],
        ),
        (
            "train.mix=[{kind='half_paste',partner={classes=['worn / femal / under_30']}}]",
            &[
                "worn / femal / under_30",
                "such as `worn / female / under_30`",
            ],
        ),
        (
            "train.mix=[{kind='half_paste',partner={classes=[]}}]",
            &["classes", "none"],
        ),
        (
            "train.mix=[{kind={feature_mix_up={}}}]",
            &["fine_tune=frozen", "features that are kept"],
        ),
        ("train.mix_off=3", &["mix_off", "at most 2"]),
        ("train.sampling={by_head={head='msk'}}", &["msk", "mask"]),
        ("train.sampling='every'", &["every", "`one_photo_a_person`"]),
    ] {
        let error = format!("{:#}", Bench::config(&[setting]).unwrap_err());
        for word in words {
            assert!(error.contains(word), "{setting}: no `{word}` in: {error}");
        }
    }
}

/// The tensors that a run ended with.
fn tensors(bench: &Bench, run: &str) -> Vec<f32> {
    let file = ModelFile::read(bench.out(run).join("last.safetensors")).unwrap();
    let values = file.tensors.values();
    values
        .flat_map(|t| t.flatten_all().unwrap().to_vec1::<f32>().unwrap())
        .collect()
}

#[test]
fn every_way_of_sampling_and_mixing_changes_training_and_a_stopped_run_goes_on_to_the_same_bytes() {
    let bench = Bench::new();
    let frozen = [
        "train.fine_tune=frozen",
        "train.mix_up=0",
        "train.augment.flip=0.5",
    ];
    let run = |name: &str, settings: &[&str], stops: bool| {
        let config = Bench::config(&[&frozen[..], settings].concat()).unwrap();
        if stops {
            assert!(bench.train(&config, name, false, Some(3)).unwrap().stopped);
        }
        let threads = if stops { 1 } else { 2 };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let outcome = pool
            .unwrap()
            .install(|| bench.train(&config, name, stops, None));
        assert!(!outcome.unwrap().stopped);
        let read = Config::read(&bench.out(name).join("config.toml")).unwrap();
        assert_eq!(read, config, "{name}");
        tensors(&bench, name)
    };
    let plain = run("plain", &[], false);
    for (name, setting) in [
        ("by_head", "train.sampling={by_head={head='mask'}}"),
        ("by_class", "train.sampling={by_class={power=0.5}}"),
        ("person", "train.sampling='one_photo_a_person'"),
        ("cut", "train.mix=[{kind={cut_mix={}}}]"),
        (
            "class",
            "train.mix=[{kind={mix_up={alpha=1.0}},partner='same_class'}]",
        ),
        (
            "label",
            "train.mix=[{kind={cut_mix={}},partner={same_label='gender'}}]",
        ),
        (
            "aimed",
            "train.mix=[{kind='half_paste',partner={classes=['worn / female / under_30','worn / male / under_30','worn / male / 30_to_59']},probability=0.6}]",
        ),
    ] {
        let whole = run(name, &[setting], false);
        assert!(whole != plain, "{name} changes nothing");
        let parts = format!("{name}-parts");
        assert!(run(&parts, &[setting], true) == whole, "{name}, resumed");
        for file in ["last.safetensors", "metrics.csv", "state.safetensors"] {
            assert!(
                bench.bytes(name, file) == bench.bytes(&parts, file),
                "{name} {file}"
            );
        }
    }
    // One spelling or the other, mix-up is the same; and where it is off it is not there.
    let old = run("old", &["train.mix_up=0.3"], false);
    let new = run("new", &["train.mix=[{kind={mix_up={alpha=0.3}}}]"], false);
    assert!(old == new && old != plain);
    assert!(run("off", &["train.mix_up=0.3", "train.mix_off=2"], false) == plain);
    assert!(run("late", &["train.mix_up=0.3", "train.mix_off=1"], false) != plain);
}

#[test]
fn kept_features_can_be_mixed_too() {
    let bench = Bench::new();
    let frozen = [
        "train.fine_tune=frozen",
        "train.mix_up=0",
        "train.augment.flip=0",
    ];
    let run = |name: &str, settings: &[&str]| {
        let config = Bench::config(&[&frozen[..], settings].concat()).unwrap();
        assert!(config.train.keeps_features());
        bench.train(&config, name, false, None).unwrap();
        tensors(&bench, name)
    };
    let plain = run("plain", &[]);
    let any = run("any", &["train.mix=[{kind={feature_mix_up={alpha=1.0}}}]"]);
    let alike = "train.mix=[{kind={feature_mix_up={alpha=1.0}},partner={same_label='mask'}}]";
    let alike = run("alike", &[alike]);
    let aimed = "train.mix=[{kind={feature_mix_up={alpha=1.0}},partner={classes=['worn / male / under_30','worn / female / under_30']}}]";
    let aimed = run("aimed", &[aimed]);
    for (i, a) in [&plain, &any, &alike, &aimed].iter().enumerate() {
        for b in [&plain, &any, &alike, &aimed].iter().skip(i + 1) {
            assert!(a != b);
        }
    }
}
