//! Augmentation and the loader, on synthetic photos.

use hydranet::data::augment::{AugmentConfig, AugmentPolicy, ColorJitter, ResizedCrop};
use hydranet::data::loader::{Job, Loader, LoaderConfig};
use hydranet::input::Photo;
use hydranet::random::rng::{Purpose, keyed};
use hydranet::{Error, InputSpec};
use proptest::prelude::*;

/// A photo in which every pixel tells where it stands.
fn photo(height: usize, width: usize) -> Photo {
    let mut rgb = Vec::new();
    for y in 0..height {
        for x in 0..width {
            rgb.extend([(y * 255 / height) as u8, (x * 255 / width) as u8, 90]);
        }
    }
    Photo { height, width, rgb }
}

fn spec(height: usize, width: usize) -> InputSpec {
    InputSpec {
        size: [height, width],
        ..InputSpec::default()
    }
}

fn augment(config: &AugmentConfig, photo: &Photo, spec: &InputSpec, sample: u64) -> Vec<u8> {
    let mut rng = keyed(7, Purpose::Augment, 1, sample);
    config.augment(photo, spec, &mut rng).unwrap()
}

/// Every setting on by itself.
fn each_alone() -> Vec<(&'static str, AugmentConfig)> {
    let off = AugmentConfig::off();
    let jitter = |brightness, contrast, saturation| AugmentConfig {
        color_jitter: ColorJitter {
            brightness,
            contrast,
            saturation,
        },
        ..off
    };
    let policy = |policy| AugmentConfig {
        policy: Some(policy),
        ..off
    };
    let strong = AugmentPolicy::RandAugment {
        operations: 3,
        magnitude: 20,
    };
    vec![
        ("flip", AugmentConfig { flip: 1.0, ..off }),
        ("rand_augment", policy(strong)),
        ("aug_mix", policy(AugmentPolicy::AugMix { severity: 9 })),
        (
            "perspective",
            AugmentConfig {
                perspective: 1.0,
                ..off
            },
        ),
        ("grey", AugmentConfig { grey: 1.0, ..off }),
        ("blur", AugmentConfig { blur: 1.0, ..off }),
        ("jpeg", AugmentConfig { jpeg: 1.0, ..off }),
        (
            "rotation",
            AugmentConfig {
                rotation: 20.0,
                ..off
            },
        ),
        (
            "random_resized_crop",
            AugmentConfig {
                random_resized_crop: Some(ResizedCrop::default()),
                ..off
            },
        ),
        ("brightness", jitter(0.5, 0.0, 0.0)),
        ("contrast", jitter(0.0, 0.5, 0.0)),
        ("saturation", jitter(0.0, 0.0, 0.5)),
        (
            "erasing",
            AugmentConfig {
                erasing: 1.0,
                ..off
            },
        ),
    ]
}

fn loading(workers: usize, bytes: usize) -> LoaderConfig {
    LoaderConfig { workers, bytes }
}

#[test]
fn with_everything_off_the_photo_is_prepared_as_for_prediction() {
    let mut spec = spec(32, 24);
    spec.crop = Some([50, 41]);
    let photo = photo(61, 47);
    let found = augment(&AugmentConfig::off(), &photo, &spec, 0);
    assert_eq!(found, spec.prepare(&photo).unwrap());
}

#[test]
fn every_setting_changes_the_pixels_and_the_same_draw_changes_them_alike() {
    let (photo, spec) = (photo(61, 47), spec(32, 24));
    let plain = spec.prepare(&photo).unwrap();
    for (name, config) in each_alone() {
        config.validate().unwrap();
        let found = augment(&config, &photo, &spec, 3);
        assert_eq!(found.len(), plain.len(), "{name}");
        assert_ne!(found, plain, "{name}");
        assert_eq!(found, augment(&config, &photo, &spec, 3), "{name}");
        if !["flip", "grey"].contains(&name) {
            assert_ne!(found, augment(&config, &photo, &spec, 4), "{name}");
        }
    }
}

#[test]
fn a_flip_mirrors_left_and_right_and_happens_half_the_time() {
    let (photo, spec) = (photo(20, 17), spec(20, 17));
    let config = AugmentConfig::default();
    assert_eq!(config.flip, 0.5);
    let mirrored: Vec<u8> = photo
        .rgb
        .chunks(17 * 3)
        .flat_map(|row| row.chunks(3).rev().flatten().copied().collect::<Vec<u8>>())
        .collect();
    let mut flips = 0;
    for sample in 0..1000 {
        let found = augment(&config, &photo, &spec, sample);
        if found == mirrored {
            flips += 1;
        } else {
            assert_eq!(found, photo.rgb);
        }
    }
    // Half of 1,000, give or take four standard deviations.
    assert!((437..=563).contains(&flips), "{flips}");
}

#[test]
fn erasing_paints_a_rectangle_of_the_mean_and_nothing_else() {
    let (photo, spec) = (photo(40, 40), spec(40, 40));
    let config = AugmentConfig {
        erasing: 1.0,
        ..AugmentConfig::off()
    };
    for sample in 0..50 {
        let found = augment(&config, &photo, &spec, sample);
        let erased: Vec<(usize, usize)> = (0..1600)
            .filter(|i| found[i * 3..i * 3 + 3] == [127; 3])
            .map(|i| (i / 40, i % 40))
            .collect();
        let rows = erased.iter().map(|e| e.0);
        let columns = erased.iter().map(|e| e.1);
        let height = rows.clone().max().unwrap() - rows.min().unwrap() + 1;
        let width = columns.clone().max().unwrap() - columns.min().unwrap() + 1;
        assert_eq!(erased.len(), height * width, "a full rectangle");
        let area = erased.len() as f64 / 1600.0;
        assert!((0.01..0.36).contains(&area), "{area}");
        for i in (0..1600).filter(|i| !erased.contains(&(i / 40, i % 40))) {
            assert_eq!(found[i * 3..i * 3 + 3], photo.rgb[i * 3..i * 3 + 3]);
        }
        let mut planes = vec![0.0; 4800];
        spec.normalise_into(&found, &mut planes).unwrap();
        let (y, x) = erased[0];
        assert_eq!(planes[y * 40 + x], 0.0);
    }
}

#[test]
fn brightness_scales_and_a_grey_photo_has_no_saturation_to_change() {
    let grey = Photo {
        height: 20,
        width: 20,
        rgb: vec![100; 1200],
    };
    for (name, config) in each_alone() {
        let found = augment(&config, &grey, &spec(20, 20), 5);
        if ["erasing", "rand_augment", "aug_mix", "perspective"].contains(&name) {
            continue;
        }
        assert!(found.iter().all(|v| *v == found[0]), "{name}");
        // The weights of torchvision's grey add up to 0.9999.
        let scaled = (50..=150).contains(&found[0]) && found[0] != 100;
        assert_eq!(
            scaled && name == "brightness",
            found[0].abs_diff(100) > 1,
            "{name}"
        );
    }
}

#[test]
fn a_random_part_lies_within_the_centre_crop() {
    // White inside the crop, black outside.
    let mut photo = photo(60, 60);
    for (i, pixel) in photo.rgb.chunks_mut(3).enumerate() {
        let inside = (10..50).contains(&(i / 60)) && (10..50).contains(&(i % 60));
        pixel.fill(if inside { 255 } else { 0 });
    }
    let mut spec = spec(16, 16);
    spec.crop = Some([40, 40]);
    let config = AugmentConfig {
        random_resized_crop: Some(ResizedCrop::default()),
        ..AugmentConfig::off()
    };
    for sample in 0..100 {
        let found = augment(&config, &photo, &spec, sample);
        assert!(found.iter().all(|v| *v == 255));
    }
}

#[test]
fn a_shape_that_never_fits_falls_back_to_the_largest_centred_part() {
    let config = AugmentConfig {
        random_resized_crop: Some(ResizedCrop {
            scale: [1.0, 1.0],
            ratio: [4.0, 4.0],
        }),
        ..AugmentConfig::off()
    };
    // 40 × 40: the largest part four times as wide as high has 10 rows, from row 15 on.
    let source = photo(40, 40);
    let found = augment(&config, &source, &spec(16, 40), 0);
    let expected = hydranet::input::Region {
        top: 15,
        left: 0,
        height: 10,
        width: 40,
    };
    let expected = source.resize(expected, [16, 40], Default::default());
    assert_eq!(found, expected.unwrap());
}

#[test]
fn settings_out_of_range_are_refused_by_name() {
    let off = AugmentConfig::off();
    let crop = |scale, ratio| AugmentConfig {
        random_resized_crop: Some(ResizedCrop { scale, ratio }),
        ..off
    };
    let jitter = ColorJitter {
        contrast: -0.1,
        ..ColorJitter::default()
    };
    for (config, name) in [
        (AugmentConfig { flip: 1.1, ..off }, "augment.flip"),
        (
            AugmentConfig {
                erasing: f64::NAN,
                ..off
            },
            "augment.erasing",
        ),
        (
            AugmentConfig {
                rotation: 181.0,
                ..off
            },
            "augment.rotation",
        ),
        (
            crop([0.0, 1.0], [1.0, 1.0]),
            "augment.random_resized_crop.scale",
        ),
        (
            crop([0.5, 1.0], [2.0, 1.0]),
            "augment.random_resized_crop.ratio",
        ),
        (
            AugmentConfig {
                color_jitter: jitter,
                ..off
            },
            "augment.color_jitter.contrast",
        ),
        (AugmentConfig { blur: 1.5, ..off }, "augment.blur"),
        (
            AugmentConfig {
                policy: Some(AugmentPolicy::RandAugment {
                    operations: 2,
                    magnitude: 31,
                }),
                ..off
            },
            "augment.policy.rand_augment.magnitude",
        ),
        (
            AugmentConfig {
                policy: Some(AugmentPolicy::AugMix { severity: 0 }),
                ..off
            },
            "augment.policy.aug_mix.severity",
        ),
    ] {
        match config.validate() {
            Err(Error::Invalid { what, .. }) => assert_eq!(what, name),
            other => panic!("{name}: {other:?}"),
        }
    }
    assert!(toml::from_str::<AugmentConfig>("flips = 0.5").is_err());
    let read: AugmentConfig =
        toml::from_str("policy = { rand_augment = { magnitude = 5 } }").unwrap();
    let expected = AugmentPolicy::RandAugment {
        operations: 2,
        magnitude: 5,
    };
    assert_eq!(read.policy, Some(expected));
    let read: AugmentConfig = toml::from_str("rotation = 10.0").unwrap();
    assert_eq!((read.flip, read.rotation), (0.5, 10.0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn everything_at_once_works_on_photos_of_any_size(
        height in 8..90usize, width in 8..90usize, crop in proptest::option::of((1..90usize, 1..90usize)), sample in 0..1000u64,
    ) {
        let config = AugmentConfig {
            flip: 0.5,
            rotation: 180.0,
            random_resized_crop: Some(ResizedCrop::default()),
            color_jitter: ColorJitter { brightness: 2.0, contrast: 2.0, saturation: 2.0 },
            policy: Some([
                AugmentPolicy::RandAugment { operations: 5, magnitude: 30 },
                AugmentPolicy::TrivialAugment,
                AugmentPolicy::AugMix { severity: 10 },
            ][sample as usize % 3]),
            perspective: 0.5,
            grey: 0.5,
            blur: 0.5,
            jpeg: 0.5,
            erasing: 0.5,
        };
        let mut spec = spec(24, 16);
        spec.crop = crop.map(|(h, w)| [h, w]);
        prop_assert_eq!(augment(&config, &photo(height, width), &spec, sample).len(), 24 * 16 * 3);
    }
}

/// Twelve photos on disk, one of them broken.
fn photos_on_disk() -> (tempfile::TempDir, Vec<Job>) {
    let folder = tempfile::tempdir().unwrap();
    let mut jobs = Vec::new();
    for index in 0..12 {
        let path = folder.path().join(format!("{index}.png"));
        let picture = photo(40 + index, 50);
        match index {
            5 => std::fs::write(&path, "no photo").unwrap(),
            _ => image::save_buffer(
                &path,
                &picture.rgb,
                50,
                40 + index as u32,
                image::ColorType::Rgb8,
            )
            .unwrap(),
        }
        jobs.push(Job {
            index,
            again: 0,
            photo: path.as_path().into(),
        });
    }
    (folder, jobs)
}

#[test]
fn any_number_of_workers_yields_the_same_photos_in_the_same_order() {
    let (_folder, mut jobs) = photos_on_disk();
    jobs.reverse();
    let config = AugmentConfig {
        rotation: 20.0,
        erasing: 0.5,
        ..AugmentConfig::default()
    };
    let load = |epoch, workers, budget| {
        let spec = spec(16, 16);
        let loader = Loader::start(
            jobs.clone(),
            &spec,
            Some(config),
            1,
            epoch,
            loading(workers, budget),
        );
        let found = loader.unwrap().map(|decoded| match decoded {
            Ok(decoded) => Some(decoded.pixels),
            Err(Error::Image { path, .. }) => {
                assert!(path.ends_with("5.png"));
                None
            }
            Err(other) => panic!("{other}"),
        });
        found.collect::<Vec<_>>()
    };
    let one = load(1, 1, usize::MAX);
    let read: Vec<bool> = one.iter().map(Option::is_some).collect();
    let expected: Vec<bool> = (0..12).rev().map(|i| i != 5).collect();
    assert_eq!(read, expected, "the broken photo is an error in its place");
    assert_eq!(one, load(1, 4, usize::MAX));
    assert_eq!(one, load(1, 3, 1));
    assert_ne!(one, load(2, 1, usize::MAX), "each epoch draws anew");
}

#[test]
fn without_augmentation_the_loader_gives_what_prediction_sees() {
    let (_folder, jobs) = photos_on_disk();
    let spec = spec(20, 16);
    let loader = Loader::start(jobs[..5].to_vec(), &spec, None, 1, 1, loading(2, 1 << 20)).unwrap();
    for (decoded, job) in loader.zip(&jobs) {
        let prepared = spec
            .prepare(&Photo::open(job.photo.path()).unwrap())
            .unwrap();
        let mut expected = vec![0.0; 3 * 20 * 16];
        spec.normalise_into(&prepared, &mut expected).unwrap();
        assert_eq!(decoded.unwrap().pixels, expected);
    }
}

#[test]
fn a_loader_without_photos_ends_at_once_and_a_wrong_setting_does_not_start() {
    let start =
        |spec: &InputSpec, augment| Loader::start(Vec::new(), spec, augment, 1, 1, loading(2, 1));
    assert!(start(&spec(16, 16), None).unwrap().next().is_none());
    let wrong = AugmentConfig {
        flip: 2.0,
        ..AugmentConfig::off()
    };
    assert!(start(&spec(16, 16), Some(wrong)).is_err());
    assert!(start(&spec(1, 16), None).is_err());
}

#[test]
fn a_photo_that_comes_again_in_an_epoch_is_augmented_anew() {
    let (_folder, jobs) = photos_on_disk();
    let config = AugmentConfig {
        rotation: 20.0,
        ..AugmentConfig::default()
    };
    let spec = spec(16, 16);
    let load = |agains: &[u32]| -> Vec<Vec<f32>> {
        let jobs = agains.iter().map(|again| Job {
            again: *again,
            ..jobs[0].clone()
        });
        let loader = Loader::start(
            jobs.collect(),
            &spec,
            Some(config),
            1,
            0,
            loading(2, 1 << 20),
        );
        loader.unwrap().map(|d| d.unwrap().pixels).collect()
    };
    let found = load(&[0, 1, 2]);
    assert!(found[0] != found[1] && found[1] != found[2] && found[0] != found[2]);
    assert_eq!(load(&[2, 0])[0], found[2]);
}
