//! Operations of augmentation against torchvision v2 (`tests/golden/make_augment.py`).

use crate::common::golden;
use candle_core::{DType, Tensor};
use hydranet::data::augment::image::Image;
use hydranet::data::augment::operation::Operation;
use hydranet::data::augment::policy::AugmentPolicy;

fn bytes(tensor: &Tensor) -> Vec<u8> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn operation(name: &str) -> Option<fn(f64) -> Operation> {
    use Operation as O;
    Some(match name {
        "Identity" => |_| O::Identity,
        "ShearX" => O::ShearX,
        "ShearY" => O::ShearY,
        "TranslateX" => O::TranslateX,
        "TranslateY" => O::TranslateY,
        "Rotate" => O::Rotate,
        "Brightness" => O::Brightness,
        "Color" => O::Color,
        "Contrast" => O::Contrast,
        "Sharpness" => O::Sharpness,
        "Posterize" => O::Posterize,
        "Solarize" => O::Solarize,
        "AutoContrast" => |_| O::AutoContrast,
        "Equalize" => |_| O::Equalize,
        _ => return None,
    })
}

#[test]
fn operations_are_those_of_torchvision() {
    let golden = golden::tensors("augment.safetensors");
    let input = &golden["input"];
    let (height, width, channels) = input.dims3().unwrap();
    let (mut cases, mut off) = (0, Vec::new());
    for (name, expected) in &golden {
        let words: Vec<&str> = name.split(' ').collect();
        if matches!(words[0], "input" | "space" | "large" | "jpeg") {
            continue;
        }
        let number = |i: usize| words[i].parse::<f64>().unwrap();
        let mut image = Image {
            size: [height, width],
            channels,
            bytes: bytes(input),
        };
        match operation(words[0]) {
            Some(operation) => operation(number(1)).apply(&mut image, words[2] == "mixed"),
            None if words[0] == "grey" => image.grey(),
            None if words[0] == "blur" => image.blur(number(1) as usize, number(2)),
            None => image.perspective([[3.0, 4.0], [15.0, 0.0], [12.0, 19.0], [1.0, 21.0]]),
        }
        cases += 1;
        // A number on the border between two bytes, or a place between two pixels, may fall to either side.
        let expected = bytes(expected);
        let differ: Vec<u8> = image
            .bytes
            .iter()
            .zip(&expected)
            .map(|(a, b)| a.abs_diff(*b))
            .collect();
        let changed = differ.iter().filter(|d| **d > 0).count();
        let most = differ.iter().max().copied().unwrap_or(0);
        if changed * 50 > differ.len() || most > 1 {
            off.push(format!(
                "{name}: {changed} of {} differ, by {most} at most",
                differ.len()
            ));
        }
    }
    assert!(cases > 50, "{cases} cases");
    assert!(off.is_empty(), "{off:#?}");
}

#[test]
fn what_a_jpeg_keeps_is_what_libjpeg_keeps() {
    let golden = golden::tensors("augment.safetensors");
    let large = &golden["large"];
    let (mut cases, mut off) = (0, Vec::new());
    for (name, expected) in &golden {
        let words: Vec<&str> = name.split(' ').collect();
        let ["jpeg", size, channels, quality] = words[..] else {
            continue;
        };
        let (height, width) = size.split_once('x').unwrap();
        let [height, width, channels] = [height, width, channels].map(|n| n.parse().unwrap());
        let part = large
            .narrow(0, 0, height)
            .unwrap()
            .narrow(1, 0, width)
            .unwrap();
        let mut image = Image {
            size: [height, width],
            channels,
            bytes: bytes(&part.narrow(2, 0, channels).unwrap()),
        };
        image.jpeg(quality.parse().unwrap()).unwrap();
        let expected = bytes(expected);
        let differ = image
            .bytes
            .iter()
            .zip(&expected)
            .filter(|(a, b)| a != b)
            .count();
        if differ > 0 {
            off.push(format!("{name}: {differ} of {} differ", expected.len()));
        }
        cases += 1;
    }
    assert!(off.is_empty(), "{off:#?}");
    assert_eq!(cases, 84);
}

#[test]
fn policies_choose_from_torchvision_s_tables() {
    let golden = golden::tensors("augment.safetensors");
    let [height, width] = [22, 17];
    for (name, policy) in [
        (
            "rand_augment",
            AugmentPolicy::RandAugment {
                operations: 2,
                magnitude: 9,
            },
        ),
        ("trivial_augment", AugmentPolicy::TrivialAugment),
        ("aug_mix", AugmentPolicy::AugMix { severity: 3 }),
    ] {
        let choices = policy.choices([height, width]);
        let mut met = 0;
        for (case, strengths) in &golden {
            let words: Vec<&str> = case.split(' ').collect();
            if words[0] != "space" || words[1] != name {
                continue;
            }
            met += 1;
            let (wanted, signed) = (operation(words[2]).unwrap(), words[3] == "1");
            let strengths: Vec<f64> = strengths.to_dtype(DType::F64).unwrap().to_vec1().unwrap();
            let steps = strengths.len();
            let of = |(make, [first, last], sign): &(fn(f64) -> Operation, [f64; 2], bool),
                      step: usize| {
                (
                    make(first + (last - first) * step as f64 / (steps - 1) as f64),
                    *sign,
                )
            };
            let near = |a: Operation, b: Operation| match (format!("{a:?}"), format!("{b:?}")) {
                (a, b) if a == b => true,
                (a, b) => {
                    let parts = |s: &str| {
                        let (name, rest) = s.split_once('(').unwrap_or((s, "0)"));
                        (
                            name.to_string(),
                            rest.trim_end_matches(')').parse::<f64>().unwrap(),
                        )
                    };
                    let ((a, x), (b, y)) = (parts(&a), parts(&b));
                    a == b && (x - y).abs() < 1e-4
                }
            };
            let found = choices.iter().find(|choice| {
                (0..steps).all(|step| {
                    let (made, sign) = of(choice, step);
                    sign == signed && near(made, wanted(strengths[step]))
                })
            });
            assert!(found.is_some(), "{case}: {strengths:?}");
        }
        assert_eq!(met, choices.len(), "{name}");
    }
}
