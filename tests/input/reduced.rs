//! Large JPEGs decoded at a fraction of their size.

use crate::common::tiny;
use hydranet::data::loader::{Job, Loader, LoaderConfig};
use hydranet::data::{Dataset, named_photo::NamedPhoto};
use hydranet::input::{Photo, PhotoSource};
use hydranet::{Average, Ensemble, InputSpec, ModelFile, Predictor, Views};
use std::path::{Path, PathBuf};

/// Slopes, waves and a disc, without a middle: every part differs from every other.
fn drawn(height: usize, width: usize) -> Vec<u8> {
    let mut rgb = Vec::with_capacity(3 * height * width);
    for y in 0..height {
        for x in 0..width {
            let wave = 30.0 * ((x as f64 / 31.0).sin() + (y as f64 / 47.0).cos());
            let disc = (x as f64 - 0.3 * width as f64).hypot(y as f64 - 0.6 * height as f64);
            let level = if disc < 0.2 * width as f64 {
                60.0
            } else {
                100.0
            };
            rgb.push((level + wave + 80.0 * x as f64 / width as f64) as u8);
            rgb.push((level + wave + 80.0 * y as f64 / height as f64) as u8);
            rgb.push((level - wave) as u8);
        }
    }
    rgb
}

/// A JPEG of that, as it is stored, with EXIF's orientation.
fn jpeg(height: usize, width: usize, orientation: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 92)
        .encode(
            &drawn(height, width),
            width as u32,
            height as u32,
            image::ExtendedColorType::Rgb8,
        )
        .unwrap();
    let mut exif =
        b"\xFF\xE1\0\x22Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    bytes.splice(2..2, exif);
    bytes
}

fn written(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn spec(size: [usize; 2]) -> InputSpec {
    InputSpec {
        size,
        reduce: true,
        ..InputSpec::default()
    }
}

fn whole(spec: &InputSpec) -> InputSpec {
    InputSpec {
        reduce: false,
        ..spec.clone()
    }
}

/// Mean and greatest distance.
fn apart(a: &[u8], b: &[u8]) -> (f64, u8) {
    assert_eq!(a.len(), b.len());
    let levels = a.iter().zip(b).map(|(a, b)| a.abs_diff(*b));
    let mean = levels.clone().map(f64::from).sum::<f64>() / a.len() as f64;
    (mean, levels.max().unwrap())
}

fn prepared(spec: &InputSpec, bytes: &[u8]) -> Vec<u8> {
    let photo = spec.decode(bytes, Path::new("a.jpg")).unwrap();
    spec.prepare(&photo).unwrap()
}

#[test]
fn a_photo_is_as_small_as_leaves_twice_the_input_and_whole_without_the_setting() {
    let bytes = jpeg(601, 450, 1);
    let sides = |spec: &InputSpec| {
        let photo = spec.decode(&bytes, Path::new("a.jpg")).unwrap();
        photo.validate().unwrap();
        [photo.height, photo.width]
    };
    for (size, expected) in [
        ([37, 28], [76, 57]),
        ([38, 28], [151, 113]),
        ([100, 112], [301, 225]),
        ([100, 113], [601, 450]),
    ] {
        assert_eq!(sides(&spec(size)), expected);
        assert_eq!(sides(&whole(&spec(size))), [601, 450]);
    }
    assert_eq!(
        Photo::decode(&bytes, Path::new("a.jpg")).unwrap().height,
        601
    );
    // The file, its bytes and its path give the same photo.
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path(), "a.jpg", &bytes);
    let small = spec([37, 28]);
    let decoded = small.decode(&bytes, Path::new("a.jpg")).unwrap();
    assert_eq!(small.open(path).unwrap(), decoded);
}

/// How far what the network sees of a reduced photo is from what it sees of the whole one.
fn changed(spec: &InputSpec, bytes: &[u8]) -> (f64, u8) {
    apart(&prepared(spec, bytes), &prepared(&whole(spec), bytes))
}

#[test]
fn what_the_network_sees_changes_by_a_level_or_two_whichever_way_the_photo_is_turned() {
    // Where no side is a multiple of eight, the last pixels stand for fewer than the others, as in Pillow.
    for (height, width, least) in [(800, 600, 0.7), (803, 597, 2.0)] {
        for orientation in 1..=8 {
            let bytes = jpeg(height, width, orientation);
            for crop_pct in [None, Some(0.9)] {
                let spec = InputSpec {
                    crop_pct,
                    ..spec([32, 32])
                };
                let (mean, most) = changed(&spec, &bytes);
                assert!(
                    mean < least && most < 14,
                    "{orientation} {height}: {mean} {most}"
                );
            }
        }
    }
}

#[test]
fn a_crop_in_pixels_is_the_same_part_of_the_photo() {
    // Its edges lie between pixels of the smaller photo, or not.
    for (height, width, crop, by, least) in [
        (800, 600, [512, 400], 4, 0.7),
        (800, 800, [512, 512], 8, 0.7),
        (800, 600, [500, 396], 4, 1.6),
        (803, 597, [257, 263], 4, 1.6),
        (803, 597, [640, 3000], 8, 1.6),
        (803, 597, [128, 500], 2, 1.6),
    ] {
        for orientation in 1..=8 {
            let bytes = jpeg(height, width, orientation);
            let spec = InputSpec {
                crop: Some(crop),
                ..spec([32, 32])
            };
            let photo = spec.decode(&bytes, Path::new("a.jpg")).unwrap();
            let upright = match orientation {
                1..=4 => [height, width],
                _ => [width, height],
            };
            for i in 0..2 {
                let exact = crop[i].min(upright[i]) as f64 / f64::from(by);
                let found = [photo.height, photo.width][i] as f64;
                assert!(
                    (found - exact).abs() <= 1.0,
                    "{crop:?} {orientation}: {found} {exact}"
                );
            }
            let (mean, most) = changed(&spec, &bytes);
            assert!(
                mean < least && most < 16,
                "{crop:?} {orientation}: {mean} {most}"
            );
        }
    }
}

#[test]
fn grey_alpha_and_other_kinds_of_files_are_as_without_it() {
    let bytes = jpeg(512, 512, 6);
    for channels in [1, 4] {
        let spec = InputSpec {
            channels,
            ..spec([32, 32])
        };
        let photo = spec.decode(&bytes, Path::new("a.jpg")).unwrap();
        assert_eq!((photo.height, photo.channels()), (64, channels));
        let (mean, most) = changed(&spec, &bytes);
        assert!(mean < 0.7 && most < 10, "{channels}: {mean} {most}");
    }
    let mut png = Vec::new();
    let picture = image::RgbImage::from_raw(300, 200, drawn(200, 300)).unwrap();
    let to = &mut std::io::Cursor::new(&mut png);
    picture.write_to(to, image::ImageFormat::Png).unwrap();
    let spec = spec([16, 16]);
    assert_eq!(
        spec.decode(&png, Path::new("a.png")).unwrap().rgb,
        drawn(200, 300)
    );
}

#[test]
fn training_and_prediction_see_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = jpeg(403, 301, 3);
    let path = written(folder.path(), "a.jpg", &bytes);
    for crop in [None, Some([200, 300])] {
        let spec = InputSpec {
            crop,
            ..spec([32, 32])
        };
        let mut planes = vec![0.0; 3 * 32 * 32];
        spec.normalise_into(&prepared(&spec, &bytes), &mut planes)
            .unwrap();
        let job = Job {
            index: 0,
            again: 0,
            photo: path.as_path().into(),
        };
        let mut loader = Loader::start(vec![job], &spec, None, 0, 0, LoaderConfig::new(8)).unwrap();
        assert_eq!(loader.next().unwrap().unwrap().pixels, planes);
        // A model that was made so predicts so, from a file, from its bytes and from what `open` gives.
        let mut model = tiny::model();
        model.description.model.input = spec.clone();
        let predictor = Predictor::new(&model).unwrap();
        assert!(predictor.input().reduce);
        let of_file = predictor.predict_file(&path).unwrap();
        let opened = predictor.predict_photo(&spec.open(&path).unwrap()).unwrap();
        assert_eq!(format!("{opened:?}"), format!("{of_file:?}"));
        let of_bytes = predictor.predict_bytes(&bytes).unwrap();
        assert_eq!(format!("{of_bytes:?}"), format!("{of_file:?}"));
        let pixels = Photo::decode(&bytes, &path).unwrap();
        let of_pixels = predictor.predict_photo(&pixels).unwrap();
        assert_ne!(format!("{of_pixels:?}"), format!("{of_file:?}"));
    }
}

#[test]
fn several_models_see_a_photo_as_large_as_one_of_them_needs_it() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = jpeg(512, 512, 1);
    let path = written(folder.path(), "a.jpg", &bytes);
    let source = PhotoSource::File(path.clone());
    let side = |inputs: &[InputSpec]| source.hold(&path, 3, inputs).unwrap().height;
    let (small, large) = (spec([32, 32]), spec([64, 64]));
    assert_eq!(side(std::slice::from_ref(&small)), 64);
    assert_eq!(side(&[small.clone(), large.clone()]), 128);
    assert_eq!(side(&[small.clone(), whole(&large)]), 512);
    let cropped = |side| InputSpec {
        crop: Some([side; 2]),
        ..small.clone()
    };
    assert_eq!(side(&[cropped(400), cropped(256)]), 512);
    assert_eq!(side(&[cropped(256), cropped(256)]), 64);
    // An ensemble of two such models answers for files.
    let mut models = [tiny::build(1), tiny::build(2)];
    for (model, input) in models.iter_mut().zip([small, large]) {
        model.description.model.input = input;
    }
    let members = models.iter().map(|m| Predictor::new(m).unwrap()).collect();
    let ensemble = Ensemble::new(members, Average::Vote, Views::default()).unwrap();
    ensemble.predict_file(&path).unwrap();
}

#[test]
fn a_held_photo_is_counted_as_small_as_it_is_and_says_how_large_it_was() {
    let bytes: PhotoSource = jpeg(1600, 1200, 6).into();
    let name = Path::new("a.jpg");
    let hold = |spec: &InputSpec| bytes.hold(name, 3, std::slice::from_ref(spec)).unwrap();
    let (small, large) = (hold(&spec([32, 32])), hold(&whole(&spec([32, 32]))));
    assert_eq!((small.height, small.width), (150, 200));
    assert_eq!((small.sides(), large.sides()), ([1200, 1600], [1200, 1600]));
    assert!(small.counted() * 50 < large.counted());
}

#[test]
fn check_names_the_sizes_of_whole_photos() {
    let folder = tempfile::tempdir().unwrap();
    written(folder.path(), "a.jpg", &jpeg(512, 400, 6));
    let listing = written(folder.path(), "a.csv", b"path,mask\na.jpg,worn\n");
    let heads = [hydranet::HeadSpec::new("mask", ["worn", "not_worn"])];
    let (dataset, _) = Dataset::read(&[listing], &heads).unwrap();
    let crop = Some([400, 500]);
    let spec = InputSpec {
        crop,
        ..spec([32, 32])
    };
    let opened = hydranet::data::check::open(&dataset.samples[0], &spec).unwrap();
    assert_eq!(opened.0, [400, 512]);
    let (photo, _) = NamedPhoto::from(&dataset.samples[0])
        .read(3, std::slice::from_ref(&spec))
        .unwrap();
    assert_eq!([photo.height, photo.width], [100, 125]);
}

#[test]
fn a_model_file_keeps_the_setting_and_files_without_it_are_unchanged() {
    let mut model = tiny::model();
    let before = model.to_bytes().unwrap();
    assert!(!String::from_utf8_lossy(&before).contains("reduce"));
    model.description.model.input.reduce = true;
    let bytes = model.to_bytes().unwrap();
    let again = ModelFile::from_bytes(&bytes, "bytes").unwrap();
    assert!(again.description.model.input.reduce);
    assert_eq!(again.to_bytes().unwrap(), bytes);
    assert!(
        again
            .description
            .model
            .input
            .words()
            .contains("Pillow's draft mode")
    );
    // A reader that does not know a setting says so.
    let text = r#"{"size":[32,32],"reduces":true}"#;
    let unknown = serde_json::from_str::<InputSpec>(text).unwrap_err();
    assert!(unknown.to_string().contains("unknown field `reduces`"));
    let text = r#"{"size":[32,32],"reduce":4}"#;
    assert!(serde_json::from_str::<InputSpec>(text).is_err());
}

#[test]
fn kept_features_of_the_one_are_not_those_of_the_other() {
    let mut model = tiny::model();
    let name = |model: &ModelFile| {
        let spec = &model.description.model;
        let extractor = hydranet::data::features::Extractor::new(spec, &model.tensors).unwrap();
        serde_json::to_string(&extractor).unwrap()
    };
    let before = name(&model);
    assert!(!before.contains("reduce"));
    model.description.model.input.reduce = true;
    assert_ne!(name(&model), before);
}
