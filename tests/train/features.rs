//! Features of a frozen backbone, kept in a file from run to run.

use candle_core::{Device, Tensor};
use hydranet::cli::portraits::{PortraitConfig, write_portraits};
use hydranet::data::dataset::Dataset;
use hydranet::model_file::Tensors;
use hydranet::model_file::heads::{NewTensors, replace};
use hydranet::random::rng::{Purpose, keyed};
use hydranet::train::config::{Config, load_weights};
use hydranet::train::optim::variables::Variables;
use hydranet::train::trainer::{Event, Outcome, Trainer};
use hydranet::{Architecture, HeadSpec, Mode, ModelFile, Photo, Result};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

const HEADS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/heads");

/// Portraits of 20 people at 32 × 32 and heads that are trained on them for two epochs.
struct Bench {
    dir: tempfile::TempDir,
}

/// What a run told about features: found, needed, computed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Told {
    found: usize,
    of: usize,
    computed: usize,
}

impl Bench {
    fn new() -> Self {
        let bench = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        bench.draw("faces", 1);
        bench
    }

    /// Draws portraits an hour ago.
    fn draw(&self, folder: &str, seed: u64) {
        let config = PortraitConfig {
            people: 20,
            seed,
            size: (48, 48),
        };
        write_portraits(&self.path(folder), &config).unwrap();
        for photo in std::fs::read_dir(self.path(folder).join("images")).unwrap() {
            set_age(&photo.unwrap().path(), 3600);
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Heads only, features kept in folder `cache` if one is named.
    fn config(&self, cache: Option<&str>, settings: &[&str]) -> Config {
        let mut all = vec![
            "model.input.size=[32,32]".to_string(),
            "train.epochs=2".into(),
            "train.batch=8".into(),
            "train.mix_up=0".into(),
            "train.augment.flip=0".into(),
            "train.fine_tune=frozen".into(),
        ];
        if let Some(cache) = cache {
            all.push(format!(
                "train.feature_cache={}",
                self.path(cache).display()
            ));
        }
        all.extend(settings.iter().map(ToString::to_string));
        Config::load(Path::new(HEADS), None, &all).unwrap()
    }

    fn dataset(&self, config: &Config) -> Dataset {
        let data = self.path("faces/portraits.csv");
        Dataset::open(&[data], &config.model_spec().unwrap().heads).unwrap()
    }

    fn train(&self, config: &Config, run: &str) -> Result<Told> {
        self.train_on(config, &self.dataset(config), run)
    }

    fn train_on(&self, config: &Config, dataset: &Dataset, run: &str) -> Result<Told> {
        let (outcome, told) = self.start(config, dataset, run, false, usize::MAX)?;
        assert!(!outcome.stopped);
        Ok(told)
    }

    /// Trains, and stops once so many features are computed.
    fn start(
        &self,
        config: &Config,
        dataset: &Dataset,
        run: &str,
        resume: bool,
        stop_after: usize,
    ) -> Result<(Outcome, Told)> {
        let stop = AtomicBool::new(false);
        let mut told = Told::default();
        let weights = load_weights(config, Path::new(HEADS))?;
        let mut tell = |event: &Event| match event {
            Event::Found { found, of, .. } => (told.found, told.of) = (*found, *of),
            Event::Features { done, .. } => {
                told.computed = *done;
                stop.store(*done >= stop_after, Ordering::Relaxed);
            }
            _ => {}
        };
        let out = self.path(run);
        let outcome = Trainer::new(config, weights, dataset)
            .out(&out)
            .resume(resume)
            .stop(&stop)
            .on_event(&mut tell)
            .run()?;
        Ok((outcome, told))
    }

    fn assert_same(&self, a: &str, b: &str) {
        for file in [
            "best.safetensors",
            "last.safetensors",
            "metrics.csv",
            "valid_predictions.csv",
            "scores.json",
        ] {
            let read = |run: &str| std::fs::read(self.path(run).join(file)).unwrap();
            assert!(read(a) == read(b), "{a} and {b}: {file}");
        }
    }

    /// The only file of a cache.
    fn file(&self, cache: &str) -> PathBuf {
        let mut files = self.files(cache);
        assert_eq!(files.len(), 1, "{files:?}");
        files.remove(0)
    }

    fn files(&self, cache: &str) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.path(cache)).unwrap();
        entries.map(|e| e.unwrap().path()).collect()
    }
}

fn set_age(path: &Path, seconds: u64) {
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(seconds))
        .unwrap();
}

#[test]
fn with_a_file_and_without_one_and_with_any_number_of_threads_a_run_ends_with_the_same_bytes() {
    let bench = Bench::new();
    bench.train(&bench.config(None, &[]), "memory").unwrap();
    for threads in [1, 2, 8] {
        let (cache, run) = (format!("cache-{threads}"), format!("run-{threads}"));
        let config = bench.config(Some(&cache), &[]);
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        let told = pool.install(|| bench.train(&config, &run)).unwrap();
        assert_eq!((told.found, told.computed), (0, told.of));
        bench.assert_same("memory", &run);
        let read = |cache: &str| std::fs::read(bench.file(cache)).unwrap();
        assert!(read(&cache) == read("cache-1"), "{threads} threads");
        let again = format!("again-{threads}");
        let told = pool.install(|| bench.train(&config, &again)).unwrap();
        assert_eq!((told.found, told.computed), (told.of, 0));
        bench.assert_same("memory", &again);
    }
}

#[test]
fn a_second_run_reads_no_photo() {
    let bench = Bench::new();
    let config = bench.config(Some("cache"), &[]);
    bench.train(&config, "first").unwrap();
    // Photos that are no photos any more, but as large and as old as before.
    for photo in bench.files("faces/images") {
        let about = std::fs::metadata(&photo).unwrap();
        std::fs::write(&photo, vec![0; about.len() as usize]).unwrap();
        let file = std::fs::File::options().write(true).open(&photo).unwrap();
        file.set_modified(about.modified().unwrap()).unwrap();
    }
    bench.train(&config, "blank").unwrap();
    bench.assert_same("first", "blank");
    std::fs::remove_dir_all(bench.path("faces/images")).unwrap();
    bench.train(&config, "gone").unwrap();
    bench.assert_same("first", "gone");
    let error = bench.train(&bench.config(None, &[]), "memory").unwrap_err();
    assert!(format!("{error:#}").contains(".jpg"), "{error}");
}

#[test]
fn a_renamed_photo_is_found_and_a_changed_one_is_computed_again() {
    let bench = Bench::new();
    let config = bench.config(Some("cache"), &[]);
    let first = bench.train(&config, "first").unwrap();
    let mut dataset = bench.dataset(&config);
    let photo = dataset.samples[0].path().to_path_buf();
    let renamed = bench.path("faces/images/renamed.jpg");
    std::fs::rename(&photo, &renamed).unwrap();
    dataset.samples[0].photo = renamed.clone().into();
    let told = bench.train_on(&config, &dataset, "renamed").unwrap();
    assert_eq!((told.found, told.computed), (first.of, 0));
    bench.draw("others", 2);
    std::fs::copy(bench.path("others/images/0000-0.jpg"), &renamed).unwrap();
    let told = bench.train_on(&config, &dataset, "changed").unwrap();
    assert_eq!((told.found, told.computed), (first.of - 1, 1));
    bench
        .train_on(&bench.config(None, &[]), &dataset, "memory")
        .unwrap();
    bench.assert_same("memory", "changed");
    // The old features are still there, should the old photo come back.
    std::fs::copy(bench.path("faces/images/0001-0.jpg"), &renamed).unwrap();
    let told = bench.train_on(&config, &dataset, "back").unwrap();
    assert_eq!((told.found, told.computed), (first.of, 0));
}

#[test]
fn a_photo_too_new_for_its_time_to_tell_a_change_is_read_again() {
    let bench = Bench::new();
    let config = bench.config(Some("cache"), &[]);
    let dataset = bench.dataset(&config);
    let photo = dataset.samples[0].path();
    // Twice the same size and the same time, which is not yet past.
    let soon = SystemTime::now() + Duration::from_secs(600);
    let write = |last: u8| {
        let mut content = std::fs::read(photo).unwrap();
        content.extend([0, last]);
        std::fs::write(photo, &content).unwrap();
        let file = std::fs::File::options().write(true).open(photo).unwrap();
        file.set_modified(soon).unwrap();
    };
    write(0);
    bench.train_on(&config, &dataset, "first").unwrap();
    let file = std::fs::File::options().write(true).open(photo).unwrap();
    let size = file.metadata().unwrap().len();
    file.set_len(size - 2).unwrap();
    drop(file);
    write(1);
    let told = bench.train_on(&config, &dataset, "second").unwrap();
    assert_eq!(std::fs::metadata(photo).unwrap().len(), size);
    assert_eq!(told.computed, 1);
}

#[test]
fn photos_added_later_are_computed_and_the_others_found() {
    let bench = Bench::new();
    let config = bench.config(Some("cache"), &[]);
    let mut half = bench.dataset(&config);
    let mut odd = false;
    half.samples.retain(|_| {
        odd = !odd;
        odd
    });
    let first = bench.train_on(&config, &half, "half").unwrap();
    let told = bench.train(&config, "all").unwrap();
    assert_eq!(told.found, first.of);
    assert_eq!(told.computed, told.of - first.of);
    bench.train(&bench.config(None, &[]), "memory").unwrap();
    bench.assert_same("memory", "all");
    // Photos that are not asked for stay in the file.
    let told = bench.train_on(&config, &half, "half-again").unwrap();
    assert_eq!((told.found, told.computed), (first.of, 0));
    let told = bench.train(&config, "all-again").unwrap();
    assert_eq!((told.found, told.computed), (told.of, 0));
}

#[test]
fn a_run_stopped_while_it_computes_keeps_what_it_has_and_goes_on() {
    let bench = Bench::new();
    let config = bench.config(Some("cache"), &[]);
    let dataset = bench.dataset(&config);
    let (outcome, told) = bench.start(&config, &dataset, "run", false, 1).unwrap();
    assert!(outcome.stopped);
    let stopped_at = told.computed;
    assert!(0 < stopped_at && stopped_at < told.of, "{told:?}");
    let read = Config::read(&bench.path("run/config.toml")).unwrap();
    assert_eq!(read, config);
    let (outcome, told) = bench
        .start(&read, &dataset, "run", true, usize::MAX)
        .unwrap();
    assert!(!outcome.stopped);
    assert_eq!(
        (told.found, told.computed),
        (stopped_at, told.of - stopped_at)
    );
    bench.train(&bench.config(None, &[]), "memory").unwrap();
    bench.assert_same("memory", "run");
}

#[test]
fn a_broken_photo_is_an_error_that_names_it_and_what_was_computed_before_is_kept() {
    let bench = Bench::new();
    let config = bench.config(Some("cache"), &[]);
    let mut dataset = bench.dataset(&config);
    let split = Some(hydranet::data::dataset::Split::Valid);
    let last = dataset
        .samples
        .iter()
        .rposition(|s| s.split == split)
        .unwrap();
    let photo = dataset.samples[last].path().to_path_buf();
    std::fs::write(&photo, "no photo").unwrap();
    let error = bench.train_on(&config, &dataset, "broken").unwrap_err();
    let name = photo.file_name().unwrap().to_str().unwrap();
    assert!(format!("{error:#}").contains(name), "{error}");
    dataset.samples.remove(last);
    let told = bench.train_on(&config, &dataset, "whole").unwrap();
    // Whole batches of 32.
    assert_eq!(told.found, told.of / 32 * 32, "{told:?}");
    assert!(told.found > 0);
}

#[test]
fn other_weights_another_input_and_another_backbone_have_files_of_their_own() {
    let bench = Bench::new();
    for (count, settings) in [
        (1, vec![]),
        (2, vec!["model.input.size=[32,48]"]),
        (3, vec!["model.input.interpolation=bicubic"]),
        (4, vec!["model.weights="]),
        (5, vec!["model.weights=", "train.seed=1"]),
        (6, vec!["model.weights=", "model.backbone=resnet18"]),
    ] {
        let config = bench.config(Some("cache"), &settings);
        let told = bench.train(&config, &format!("run-{count}")).unwrap();
        assert_eq!((told.found, told.computed), (0, told.of), "{settings:?}");
        assert_eq!(bench.files("cache").len(), count);
    }
    // What concerns the heads alone does not.
    let config = bench.config(Some("cache"), &["train.seed=1", "heads.age.hidden=8"]);
    let told = bench.train(&config, "heads").unwrap();
    assert_eq!((told.found, told.computed), (told.of, 0));
    assert_eq!(bench.files("cache").len(), 6);
}

#[test]
fn a_damaged_or_foreign_file_is_an_error_that_says_to_delete_it() {
    let bench = Bench::new();
    let config = bench.config(Some("cache"), &[]);
    bench.train(&config, "first").unwrap();
    bench
        .train(
            &bench.config(Some("other"), &["model.weights="]),
            "other-run",
        )
        .unwrap();
    let file = bench.file("cache");
    let whole = std::fs::read(&file).unwrap();
    let header = u64::from_le_bytes(whole[8..16].try_into().unwrap()) as usize;
    let with = |at: usize, bytes: &[u8]| {
        let mut changed = whole.clone();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        changed
    };
    let find = |text: &str| {
        let bytes = text.as_bytes();
        whole.windows(bytes.len()).position(|w| w == bytes).unwrap()
    };
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("empty", Vec::new(), "no file of kept features"),
        ("a stub", whole[..12].to_vec(), "no file of kept features"),
        ("cut in the header", whole[..100].to_vec(), "cut off"),
        (
            "cut in the rows",
            whole[..whole.len() / 2].to_vec(),
            "cut off",
        ),
        ("a byte short", whole[..whole.len() - 1].to_vec(), "cut off"),
        ("a byte long", [&whole[..], &[0]].concat(), "cut off"),
        ("an endless header", with(8, &[255; 8]), "cut off"),
        ("a header of nothing", with(8, &[0; 8]), "header is damaged"),
        ("no JSON", with(16, b"["), "header is damaged"),
        (
            "a wrong key",
            with(find("extractor"), b"Extractor"),
            "header is damaged",
        ),
        (
            "another version",
            with(find("\"format\":1"), b"\"format\":9"),
            "format 9",
        ),
        (
            "a changed name",
            with(find("0000-0.jpg"), b"0000-9.jpg"),
            "checksum",
        ),
        (
            "a changed value",
            with(16 + header + 1234, &[77; 4]),
            "checksum",
        ),
        (
            "a changed checksum",
            with(whole.len() - 1, &[!whole[whole.len() - 1]]),
            "checksum",
        ),
        (
            "other weights",
            std::fs::read(bench.file("other")).unwrap(),
            "other weights",
        ),
        (
            "a model",
            std::fs::read(bench.path("first/best.safetensors")).unwrap(),
            "no file of kept features",
        ),
    ];
    for (place, (what, bytes, expected)) in cases.into_iter().enumerate() {
        std::fs::write(&file, bytes).unwrap();
        let error = bench
            .train(&config, &format!("bad-{place}"))
            .unwrap_err()
            .to_string();
        for part in [expected, "delete it", &*file.to_string_lossy()] {
            assert!(error.contains(part), "{what}: {error}");
        }
    }
    std::fs::remove_file(&file).unwrap();
    let told = bench.train(&config, "again").unwrap();
    assert_eq!((told.found, told.computed), (0, told.of));
    bench.assert_same("first", "again");
}

#[test]
fn two_runs_at_once_leave_a_whole_file() {
    let bench = Bench::new();
    let config = bench.config(Some("cache"), &[]);
    std::thread::scope(|scope| {
        for run in ["one", "two"] {
            scope.spawn(|| bench.train(&config, run).unwrap());
        }
    });
    bench.assert_same("one", "two");
    bench.file("cache");
    let told = bench.train(&config, "three").unwrap();
    assert_eq!((told.found, told.computed), (told.of, 0));
    bench.assert_same("one", "three");
}

#[test]
fn fixed_views_take_turns_and_are_the_same_with_a_file_and_without() {
    let bench = Bench::new();
    let views = [
        "train.feature_views=3",
        "train.augment.rotation=20",
        "train.epochs=3",
    ];
    let config = bench.config(Some("cache"), &views);
    let told = bench.train(&config, "file").unwrap();
    let dataset = bench.dataset(&config);
    let side = |name: &str| {
        let split = Some(name.parse().unwrap());
        dataset.samples.iter().filter(|s| s.split == split).count()
    };
    assert_eq!(told.of, 3 * side("train") + side("valid"));
    bench.train(&bench.config(None, &views), "memory").unwrap();
    bench.assert_same("memory", "file");
    // The photos themselves are the first view, so runs without views find them.
    let plain = bench.config(Some("cache"), &["train.epochs=1"]);
    let told = bench.train(&plain, "plain").unwrap();
    assert_eq!((told.found, told.computed), (told.of, 0));
    // One epoch sees the first view only, three see others too.
    let head = |run: &str| {
        let file = ModelFile::read(bench.path(run).join("last.safetensors")).unwrap();
        let head = file.tensors["heads.mask.fc.weight"].flatten_all().unwrap();
        head.to_vec1::<f32>().unwrap()
    };
    let one = [&views[..2], &["train.epochs=1"]].concat();
    bench
        .train(&bench.config(Some("cache"), &one), "one")
        .unwrap();
    assert_eq!(head("one"), head("plain"));
    let three = bench.config(Some("cache"), &["train.epochs=3"]);
    bench.train(&three, "plain-three").unwrap();
    assert_ne!(head("file"), head("plain-three"));
    // Other draws are other views.
    let other = bench.config(Some("cache"), &[&views[..], &["train.seed=1"]].concat());
    let told = bench.train(&other, "seed").unwrap();
    assert_eq!(told.computed, 2 * side("train"));
}

#[test]
fn the_file_is_laid_out_as_documented_and_its_rows_are_the_backbones_features() {
    let bench = Bench::new();
    let config = bench.config(
        Some("cache"),
        &[
            "train.feature_views=2",
            "train.augment.rotation=20",
            "train.seed=5",
        ],
    );
    bench.train(&config, "run").unwrap();
    let bytes = std::fs::read(bench.file("cache")).unwrap();
    assert_eq!(&bytes[..8], b"hydrfeat");
    let length = u64::from_le_bytes(bytes[8..16].try_into().unwrap()) as usize;
    let header: serde_json::Value = serde_json::from_slice(&bytes[16..16 + length]).unwrap();
    assert_eq!(header["format"], 1);
    assert_eq!(header["num_features"], 1280);
    assert_eq!(header["extractor"]["backbone"], "tf_efficientnet_lite0");
    assert_eq!(header["views"][0], "plain");
    assert_eq!(header["views"][1]["augmented"]["seed"], 5);
    assert_eq!(header["views"][1]["augmented"]["number"], 1);
    let rows = header["rows"].as_array().unwrap();
    let end = 16 + length + rows.len() * 1280 * 4;
    assert_eq!(bytes.len(), end + 32);
    assert_eq!(Sha256::digest(&bytes[..end])[..], bytes[end..]);
    let model = ModelFile::read(bench.path("run/last.safetensors"))
        .unwrap()
        .build()
        .unwrap();
    let input = &config.model.input;
    let photos = header["photos"].as_object().unwrap();
    for at in [0, 7, rows.len() / 2, rows.len() - 1] {
        let (sha256, view) = (rows[at][0].as_str().unwrap(), rows[at][1].as_u64().unwrap());
        let (path, about) = photos.iter().find(|(_, p)| p["sha256"] == sha256).unwrap();
        let content = std::fs::read(path).unwrap();
        assert_eq!(about["bytes"], content.len());
        let digest = Sha256::digest(&content);
        let hex: String = digest.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, sha256);
        let photo = Photo::open(path).unwrap();
        let rgb = if view == 0 {
            input.prepare(&photo).unwrap()
        } else {
            let number = u64::from_le_bytes(digest[..8].try_into().unwrap());
            let mut rng = keyed(5, Purpose::View, view, number);
            config
                .train
                .augment
                .augment(&photo, input, &mut rng)
                .unwrap()
        };
        let mut pixels = vec![0.0; 3 * 32 * 32];
        input.normalise_into(&rgb, &mut pixels).unwrap();
        let image = Tensor::from_vec(pixels, (1, 3, 32, 32), &Device::Cpu).unwrap();
        let expected = model.features(&image, Mode::Eval).unwrap();
        let start = 16 + length + at * 1280 * 4;
        let found: Vec<f32> = bytes[start..start + 1280 * 4]
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
            .collect();
        assert_eq!(expected.to_vec2::<f32>().unwrap()[0], found, "row {at}");
    }
}

#[test]
fn a_replaced_head_trains_from_the_same_file() {
    let bench = Bench::new();
    bench
        .train(&bench.config(Some("cache"), &[]), "first")
        .unwrap();
    let model = ModelFile::read(bench.path("first/best.safetensors")).unwrap();
    let spec = HeadSpec::new("age", ["young", "old"]).with_thresholds([45.0]);
    let swapped = replace(&model, "age", spec, NewTensors::Fresh { seed: 3 }).unwrap();
    swapped.write(bench.path("swapped.safetensors")).unwrap();
    let weights = format!(
        "model.weights={}",
        bench.path("swapped.safetensors").display()
    );
    let settings = [
        &*weights,
        "heads.age.thresholds=[45]",
        "heads.age.labels=[\"young\",\"old\"]",
    ];
    let told = bench
        .train(&bench.config(Some("cache"), &settings), "second")
        .unwrap();
    assert_eq!((told.found, told.computed), (told.of, 0));
    let file = ModelFile::read(bench.path("second/best.safetensors")).unwrap();
    assert_eq!(file.description.classes.len(), 12);
}

#[test]
fn settings_that_would_keep_no_features_are_errors_that_say_what_to_set() {
    let load = |settings: &[&str]| {
        let settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
        Config::load(Path::new(HEADS), None, &settings)
    };
    let frozen = [
        "train.fine_tune=frozen",
        "train.mix_up=0",
        "train.augment.flip=0",
    ];
    let cache = "train.feature_cache=features";
    for (settings, expected) in [
        (vec![cache], "train.fine_tune=frozen"),
        (vec![cache, frozen[0], "train.mix_up=0.2"], "train.mix_up=0"),
        (
            vec![cache, frozen[0], "train.unfreeze_every=2"],
            "neither unfreeze_every nor lora",
        ),
        (
            vec![cache, frozen[0], "train.augment.rotation=5"],
            "train.augment.flip=0",
        ),
        (vec!["train.feature_views=2"], "train.fine_tune=frozen"),
        (
            vec![frozen[0], frozen[1], frozen[2], "train.feature_views=2"],
            "0 or 1",
        ),
    ] {
        let error = format!("{:#}", load(&settings).unwrap_err());
        assert!(error.contains(expected), "{settings:?}: {error}");
    }
    assert!(load(&[&frozen[..], &[cache]].concat()).is_ok());
    assert!(load(&[&frozen[..2], &[cache, "train.feature_views=2"]].concat()).is_ok());
}

#[test]
fn what_is_not_said_of_a_frozen_backbone_suits_kept_features_and_what_is_said_stays() {
    let load = |settings: &[&str]| {
        let settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
        let config = Config::load(Path::new(HEADS), None, &settings)
            .unwrap()
            .train;
        let keeps = config.keeps_features();
        let (views, flip) = (config.feature_views, config.augment.flip);
        (config.epochs, views, flip, config.mix_up, keeps)
    };
    let frozen = "train.fine_tune=frozen";
    assert_eq!(load(&[frozen]), (30, 2, 1.0, 0.0, true));
    assert_eq!(load(&[frozen, "train.epochs=5"]).0, 5);
    assert_eq!(
        load(&[frozen, "train.mix_up=0.2"]),
        (30, 1, 0.5, 0.2, false)
    );
    assert_eq!(
        load(&[frozen, "train.augment.flip=0"]),
        (30, 1, 0.0, 0.0, true)
    );
    assert_eq!(
        load(&[frozen, "train.feature_views=3"]),
        (30, 3, 0.5, 0.0, true)
    );
    let thaws = load(&[frozen, "train.unfreeze_every=2"]);
    assert_eq!(thaws, load(&["train.fine_tune=full"]));
}

#[test]
fn a_photos_features_do_not_depend_on_the_photos_beside_it() {
    for (name, count, side) in [
        ("tf_efficientnet_lite0", 40, 32),
        ("mobilenetv2_100", 40, 32),
        ("resnet18", 40, 32),
        ("convnext_atto", 40, 32),
        ("mobilenetv3_small_100", 40, 32),
        ("repvgg_a0", 8, 32),
        ("vit_tiny_patch16_224", 5, 224),
    ] {
        let variables = Variables::new(Tensors::new(), 1, |_| false, |_| true);
        let architecture = Architecture::from_name(name).unwrap();
        let backbone = architecture.build(variables.builder(), 0.0).unwrap();
        let values: Vec<f32> = (0..count as u64 * 3 * side * side)
            .map(|i| (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as f32 / (1u64 << 23) as f32)
            .collect();
        let shape = (count, 3, side as usize, side as usize);
        let images = Tensor::from_vec(values, shape, &Device::Cpu).unwrap();
        let features = |from: usize, to: usize| -> Vec<Vec<f32>> {
            let part = images.narrow(0, from, to - from).unwrap();
            let part = part.contiguous().unwrap();
            let features = backbone.features(&part, Mode::Eval).unwrap();
            features.to_vec2().unwrap()
        };
        let all = features(0, count);
        for (from, to) in [(0, 1), (3, 5), (1, count), (0, count - 1), (2, count - 2)] {
            assert!(
                features(from, to) == all[from..to],
                "{name}: {from} to {to}"
            );
        }
    }
}
