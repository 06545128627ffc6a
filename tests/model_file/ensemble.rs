//! Several models, and several views of a photo, as one.

use crate::common::tiny;
use candle_core::{Device, Tensor};
use hydranet::predict::Manifest;
use hydranet::{
    Average, Decision, DecisionRule, Ensemble, HeadSpec, ModelFile, Photo, PhotoSource, Predict,
    Prediction, Predictor, Views,
};
use std::path::{Path, PathBuf};

fn predictor(seed: u64) -> Predictor {
    Predictor::new(&tiny::build(seed)).unwrap()
}

fn photo(height: usize, width: usize) -> Photo {
    let pixel = |i: usize| (i.wrapping_mul(2_654_435_761) >> 7) as u8;
    Photo {
        height,
        width,
        rgb: (0..height * width * 3).map(pixel).collect(),
    }
}

fn mirrored(photo: &Photo) -> Photo {
    let rows = photo.rgb.chunks_exact(photo.width * 3);
    let rgb = rows.flat_map(|r| r.chunks_exact(3).rev().flatten().copied());
    Photo {
        rgb: rgb.collect(),
        ..photo.clone()
    }
}

/// Probabilities of one model's joint classes.
fn joint(p: &Prediction) -> Vec<f64> {
    let [a, b, c] = [0, 1, 2].map(|h| p.heads[h].probs.clone());
    let pairs = a.iter().flat_map(|a| b.iter().map(move |b| a * b));
    pairs
        .flat_map(|ab| c.iter().map(move |c| ab * c).collect::<Vec<_>>())
        .collect()
}

fn close(a: &[f64], b: &[f64]) {
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        assert!((a - b).abs() < 1e-12, "{a} {b}");
    }
}

#[test]
fn an_ensemble_of_one_says_exactly_what_its_model_says() {
    let images = tiny::images();
    for average in Average::ALL {
        let one = Ensemble::new(vec![predictor(1)], average, Views::default()).unwrap();
        let alone = predictor(1);
        assert_eq!(
            one.predict_tensor(&images).unwrap(),
            alone.predict_tensor(&images).unwrap()
        );
        let photo = photo(50, 41);
        assert_eq!(
            one.predict_photo(&photo).unwrap(),
            alone.predict_photo(&photo).unwrap()
        );
    }
}

#[test]
fn opinions_are_pooled_as_defined() {
    let images = tiny::images();
    let alone: Vec<Vec<Prediction>> = (1..=3)
        .map(|seed| predictor(seed).predict_tensor(&images).unwrap())
        .collect();
    for average in Average::ALL {
        let members = (1..=3).map(predictor).collect();
        let all = Ensemble::new(members, average, Views::default()).unwrap();
        for (i, found) in all.predict_tensor(&images).unwrap().iter().enumerate() {
            let of: Vec<&Prediction> = alone.iter().map(|m| &m[i]).collect();
            let pool = |rows: Vec<Vec<f64>>, choices: Vec<usize>| -> Vec<f64> {
                let n = rows[0].len();
                let third = |f: &dyn Fn(&Vec<f64>) -> f64| rows.iter().map(f).sum::<f64>() / 3.0;
                let pooled: Vec<f64> = (0..n)
                    .map(|c| match average {
                        Average::Probability => third(&|r| r[c]),
                        Average::Logit => third(&|r| r[c].ln()).exp(),
                        _ => choices.iter().filter(|v| **v == c).count() as f64 / 3.0,
                    })
                    .collect();
                let sum: f64 = pooled.iter().sum();
                pooled.iter().map(|p| p / sum).collect()
            };
            let best = |p: &[f64]| (0..p.len()).fold(0, |b, c| if p[c] > p[b] { c } else { b });
            for h in 0..3 {
                let rows: Vec<_> = of.iter().map(|p| p.heads[h].probs.clone()).collect();
                let choices = rows.iter().map(|r| best(r)).collect();
                close(&found.heads[h].probs, &pool(rows, choices));
            }
            let rows: Vec<_> = of.iter().map(|p| joint(p)).collect();
            let choices: Vec<usize> = of.iter().map(|p| p.class).collect();
            let classes = pool(rows.clone(), choices.clone());
            close(&[found.prob], &[classes[found.class]]);
            assert_eq!(classes[found.class], classes[best(&classes)]);
            if average == Average::Vote && choices.iter().all(|c| classes[*c] < 0.5) {
                // Three different votes: the mean decides.
                let mean = |c: usize| rows.iter().map(|r| r[c]).sum::<f64>();
                assert!(choices.iter().all(|c| mean(found.class) >= mean(*c)));
            }
        }
    }
}

#[test]
fn flipped_views_make_a_photo_and_its_mirror_image_the_same() {
    let views = Views {
        flip: true,
        five_crops: None,
    };
    let photo = photo(32, 32);
    let alone = predictor(1);
    let of = |views| Ensemble::new(vec![predictor(1)], Average::Probability, views).unwrap();
    let [a, b] = [&photo, &mirrored(&photo)].map(|p| of(views).predict_photo(p).unwrap());
    assert_eq!(a, b);
    let [x, y] = [&photo, &mirrored(&photo)].map(|p| alone.predict_photo(p).unwrap());
    assert_ne!(x, y);
    for h in 0..3 {
        let pairs = x.heads[h].probs.iter().zip(&y.heads[h].probs);
        let mean: Vec<f64> = pairs.map(|(x, y)| (x + y) / 2.0).collect();
        close(&a.heads[h].probs, &mean);
    }
    // The same from a tensor, since nothing has to be resized here.
    let mut planes = vec![0f32; 3 * 32 * 32];
    alone
        .input()
        .normalise_into(&photo.rgb, &mut planes)
        .unwrap();
    let images = Tensor::from_vec(planes, (1, 3, 32, 32), &Device::Cpu).unwrap();
    assert_eq!(of(views).predict_tensor(&images).unwrap()[0], a);
}

#[test]
fn crops_are_the_middle_and_the_corners() {
    let views = |share| Views {
        flip: false,
        five_crops: Some(share),
    };
    let photo = photo(64, 64);
    let of = |views| Ensemble::new(vec![predictor(1)], Average::Probability, views).unwrap();
    let found = of(views(0.5)).predict_photo(&photo).unwrap();
    let alone = predictor(1);
    let part = |top: usize, left: usize| {
        let rows = photo.rgb.chunks_exact(64 * 3).skip(top).take(32);
        let part = rows.flat_map(|r| r[left * 3..(left + 32) * 3].to_vec());
        let (height, width) = (32, 32);
        let rgb = part.collect();
        let photo = Photo { height, width, rgb };
        alone.predict_photo(&photo).unwrap()
    };
    let parts = [
        part(16, 16),
        part(0, 0),
        part(0, 32),
        part(32, 0),
        part(32, 32),
    ];
    for h in 0..3 {
        let labels = 0..found.heads[h].probs.len();
        let mean = labels.map(|l| parts.iter().map(|p| p.heads[h].probs[l]).sum::<f64>() / 5.0);
        close(&found.heads[h].probs, &mean.collect::<Vec<_>>());
    }
    // The whole photo five times is the photo.
    let whole = of(views(1.0)).predict_photo(&photo).unwrap();
    let plain = alone.predict_photo(&photo).unwrap();
    close(&whole.heads[0].probs, &plain.heads[0].probs);
    assert_eq!(
        Views {
            flip: true,
            ..views(0.5)
        }
        .count(),
        10
    );
    let members = vec![predictor(1)];
    let wrong = Ensemble::new(members, Average::Vote, views(1.5)).err();
    assert!(wrong.unwrap().to_string().contains("five_crops"));
    let error = of(views(0.5)).predict_tensor(&tiny::images()).unwrap_err();
    assert!(format!("{error:#}").contains("crops"), "{error}");
}

#[test]
fn members_may_have_inputs_of_their_own() {
    let mut small = tiny::build(2);
    small.description.model.input.size = [48, 40];
    let small = Predictor::new(&small).unwrap();
    let photo = photo(60, 50);
    let expected = [&predictor(1), &small].map(|p| p.predict_photo(&photo).unwrap());
    let both = Ensemble::new(
        vec![predictor(1), small],
        Average::Probability,
        Views::default(),
    )
    .unwrap();
    let found = both.predict_photo(&photo).unwrap();
    let pairs = expected[0].heads[2]
        .probs
        .iter()
        .zip(&expected[1].heads[2].probs);
    let mean: Vec<f64> = pairs.map(|(a, b)| (a + b) / 2.0).collect();
    close(&found.heads[2].probs, &mean);
    let error = both
        .predict_tensor(&tiny::images())
        .unwrap_err()
        .to_string();
    assert!(error.contains("same input"), "{error}");
}

#[test]
fn offsets_and_the_least_confidence_of_members_count() {
    let with = |offsets: Vec<f64>, min_confidence| {
        let mut file = tiny::model();
        file.description.decision = Decision {
            rule: DecisionRule::ClassOffsets,
            offsets,
            min_confidence,
            ..Decision::default()
        };
        Predictor::new(&file).unwrap()
    };
    let mut offsets = vec![0.0; 18];
    offsets[7] = 100.0;
    let members = vec![with(offsets, 0.25), with(Vec::new(), 0.0), predictor(3)];
    let all = Ensemble::new(members, Average::Logit, Views::default()).unwrap();
    for p in all.predict_tensor(&tiny::images()).unwrap() {
        assert_eq!(p.class, 7);
        assert_eq!(p.abstains, p.prob < 0.25);
    }
}

#[test]
fn a_manifest_is_written_and_read_with_its_models_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::create_dir(path("runs")).unwrap();
    for seed in [1, 2] {
        let file = path(&format!("runs/{seed}.safetensors"));
        tiny::build(seed).write(file).unwrap();
    }
    let models = ["runs/1.safetensors", "runs/2.safetensors"].map(PathBuf::from);
    let views = Views {
        flip: true,
        five_crops: Some(0.9),
    };
    let manifest = Manifest::new(models.to_vec(), Average::Vote, views);
    manifest.write(path("all.json")).unwrap();
    assert_eq!(Manifest::read(path("all.json")).unwrap(), manifest);
    let read = Ensemble::from_file(path("all.json")).unwrap();
    let members = vec![predictor(1), predictor(2)];
    let in_memory = Ensemble::new(members, Average::Vote, views).unwrap();
    let photo = photo(70, 60);
    assert_eq!(
        read.predict_photo(&photo).unwrap(),
        in_memory.predict_photo(&photo).unwrap()
    );
    // A model file is an ensemble of one.
    let one = Ensemble::from_file(path("runs/1.safetensors")).unwrap();
    assert_eq!(
        one.predict_photo(&photo).unwrap(),
        predictor(1).predict_photo(&photo).unwrap()
    );
}

#[test]
fn a_photo_is_counted_with_what_the_largest_input_of_the_members_takes() {
    let counted = |sides: &[usize]| {
        let member = |side: &usize| {
            let mut file = tiny::model();
            file.description.model.input.size = [*side; 2];
            Predictor::new(&file).unwrap()
        };
        let members = sides.iter().map(member).collect();
        let all = Ensemble::new(members, Average::Vote, Views::default()).unwrap();
        let path = Path::new("tests/golden/exif_1.jpg");
        let inputs: Vec<_> = all.members().iter().map(|m| m.input().clone()).collect();
        let photo: PhotoSource = path.into();
        photo.hold(path, 3, &inputs).unwrap().counted()
    };
    assert_eq!(counted(&[32, 1024]), counted(&[1024]));
    assert!(counted(&[32]) < counted(&[1024]));
}

#[test]
fn files_are_predicted_in_order_and_a_broken_one_in_its_place() {
    let one = predictor(1);
    let paths = [
        "tests/golden/exif_1.jpg",
        "none.jpg",
        "tests/golden/palette.png",
    ];
    let all = Ensemble::new(vec![predictor(1)], Average::Vote, Views::default()).unwrap();
    let files = paths.map(|p| Path::new(p).into());
    let found = one.predict_all(&files).unwrap();
    assert_eq!(found.len(), 3);
    for (place, path) in [(0, paths[0]), (2, paths[2])] {
        let alone = one.predict_file(path).unwrap();
        assert_eq!(*found[place].as_ref().unwrap(), alone);
        assert_eq!(all.predict_file(path).unwrap(), alone);
        let decoded = Photo::open(path).unwrap();
        assert_eq!(
            one.predict_photos(std::slice::from_ref(&decoded)).unwrap()[0],
            alone
        );
        let (w, h) = (decoded.width as u32, decoded.height as u32);
        let image = image::RgbImage::from_raw(w, h, decoded.rgb).unwrap();
        assert_eq!(one.predict_image(&image.into()).unwrap(), alone);
    }
    let error = format!("{:#}", found[1].as_ref().unwrap_err());
    assert!(error.contains("none.jpg"), "{error}");
    let found = all.predict_all(&files).unwrap();
    assert!(found[0].is_ok() && found[1].is_err() && found[2].is_ok());
}

#[test]
fn what_is_no_ensemble_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("all.json");
    let problem = |text: &str| {
        std::fs::write(&path, text).unwrap();
        format!("{:#}", Ensemble::from_file(&path).err().unwrap())
    };
    for (text, words) in [
        (
            "{\"kind\": \"ensemble\", \"format\": 1, \"models\": []}",
            vec!["at least one model"],
        ),
        (
            "{\"kind\": \"ensemble\", \"format\": 2, \"models\": [\"a\"]}",
            vec!["format", "2"],
        ),
        (
            "{\"kind\": \"ensemble\", \"format\": 1, \"models\": [\"a\"], \"modles\": 1}",
            vec!["modles"],
        ),
        (
            "{\"kind\": \"ensemble\", \"format\": 1, \"average\": \"mean\", \"models\": [\"a\"]}",
            vec!["mean", "logit"],
        ),
        (
            "{\"kind\": \"ensemble\", \"format\": 1, \"views\": {\"five_crops\": 0.0}, \"models\": [\"a\"]}",
            vec!["five_crops"],
        ),
        (
            "{\"kind\": \"ensemble\", \"format\": 1, \"models\": [\"gone.safetensors\"]}",
            vec!["gone.safetensors"],
        ),
        ("these are words", vec!["manifest", "line 1"]),
    ] {
        let message = problem(text);
        for word in words {
            assert!(message.contains(word), "{text}: no `{word}` in {message}");
        }
    }
    let none = Ensemble::new(Vec::new(), Average::Vote, Views::default()).err();
    assert!(none.unwrap().to_string().contains("at least one"));
    let other = |change: fn(&mut ModelFile)| {
        let mut file = tiny::build(2);
        change(&mut file);
        let members = vec![predictor(1), Predictor::new(&file).unwrap()];
        Ensemble::new(members, Average::Vote, Views::default())
            .err()
            .unwrap()
            .to_string()
    };
    let message = other(|f| {
        *f = hydranet::heads::remove(f, "age").unwrap();
    });
    assert!(
        message.contains("model 2") && message.contains("6 final"),
        "{message}"
    );
    let message = other(|f| {
        let spec = HeadSpec::new("gender", ["female", "male"]);
        let fresh = hydranet::heads::NewTensors::Fresh { seed: 0 };
        *f = hydranet::heads::replace(f, "gender", spec, fresh).unwrap();
    });
    assert!(message.contains("other labels"), "{message}");
}
