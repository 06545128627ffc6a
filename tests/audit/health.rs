//! The health of a data set: measures against other programs' values, searches against plain ones, and planted faults.

use crate::common::runs::{Bench, HEADS};
use hydranet::audit::health::copies::near_pairs;
use hydranet::audit::health::neighbours::Neighbour;
use hydranet::audit::health::{HealthConfig, HealthReport, Looker, Measures, health, nearest};
use hydranet::data::dataset::Dataset;
use hydranet::train::config::load_weights;
use hydranet::{ModelFile, Photo, Predictor};
use image::{DynamicImage, RgbImage};
use proptest::prelude::*;
use std::path::{Path, PathBuf};

#[test]
fn measures_are_those_of_imagehash_opencv_and_scikit_image() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let golden: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.join("health.json")).unwrap()).unwrap();
    let mut wrong = Vec::new();
    for (name, expected) in golden.as_object().unwrap() {
        let found = Measures::new(&Photo::open(folder.join(name)).unwrap()).unwrap();
        for (what, value) in [
            ("sharpness", found.sharpness),
            ("entropy", found.entropy),
            ("brightness", found.brightness),
        ] {
            let expected = expected[what].as_f64().unwrap();
            if (value - expected).abs() > 1e-9 * expected {
                wrong.push(format!("{name}: {what} {value}, not {expected}"));
            }
        }
        for (what, value) in [("phash", found.phash), ("dhash", found.dhash)] {
            let expected = u64::from_str_radix(expected[what].as_str().unwrap(), 16).unwrap();
            if value != expected {
                wrong.push(format!("{name}: {what} {value:016x}, not {expected:016x}"));
            }
        }
    }
    assert!(golden.as_object().unwrap().len() >= 5);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

proptest! {
    #[test]
    fn pairs_of_near_hashes_are_all_found_once(
        seeds in proptest::collection::vec((0..6u64, any::<u64>(), any::<u64>(), any::<u64>()), 0..60), distance in 0..16u32,
    ) {
        // Around few centres, with few bits changed, so that there are pairs at every distance.
        let hashes: Vec<u64> = seeds
            .iter()
            .map(|(c, a, b, d)| (c + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (a & b & d))
            .collect();
        let mut expected = Vec::new();
        for i in 0..hashes.len() {
            for j in i + 1..hashes.len() {
                let bits = (hashes[i] ^ hashes[j]).count_ones();
                if bits <= distance {
                    expected.push((i, j, bits));
                }
            }
        }
        prop_assert_eq!(near_pairs(&hashes, distance), expected);
    }
}

#[test]
fn the_nearest_rows_are_those_of_a_plain_search() {
    // More rows than a block, small whole numbers: sums are exact, and there are ties.
    let (n, width, k) = (700, 5, 4);
    let rows: Vec<f32> = (0..n * width)
        .map(|i| ((i * i + 3 * i) % 7) as f32 - 3.0)
        .collect();
    let allowed = |a: usize, b: usize| !(a + b).is_multiple_of(3);
    let of: Vec<usize> = (0..n).step_by(2).collect();
    let found = nearest(&rows, width, &of, k, &allowed);
    for (a, found) in of.iter().zip(&found) {
        let row = |i: usize| &rows[i * width..(i + 1) * width];
        let product = |b: usize| row(*a).iter().zip(row(b)).map(|(x, y)| x * y).sum::<f32>();
        let mut all: Vec<Neighbour> = (0..n)
            .filter(|b| b != a && allowed(*a, *b))
            .map(|row| Neighbour {
                row,
                cosine: product(row),
            })
            .collect();
        all.sort_by(|x, y| y.cosine.total_cmp(&x.cosine).then(x.row.cmp(&y.row)));
        assert_eq!(*found, all[..k]);
    }
    assert_eq!(nearest(&rows, width, &[1], 0, &allowed), [vec![]]);
}

/// Portraits with planted faults.
struct Planted {
    bench: Bench,
    list: PathBuf,
}

impl Planted {
    fn new() -> Self {
        let bench = Bench::new();
        let images = bench.data.with_file_name("images");
        let text = std::fs::read_to_string(&bench.data).unwrap();
        let rows: Vec<Vec<String>> = text
            .lines()
            .skip(1)
            .map(|l| l.split(',').map(String::from).collect())
            .collect();
        let first = |row: usize| bench.data.with_file_name(&rows[row][0]);
        // By our own decoder: another one may round the portraits' colours otherwise.
        let open = |row: usize| {
            let photo = hydranet::input::Photo::open(first(row)).unwrap();
            let (width, height) = (photo.width as u32, photo.height as u32);
            DynamicImage::from(RgbImage::from_raw(width, height, photo.rgb).unwrap())
        };
        let mut more = String::new();
        let mut add = |name: &str, person: &str, split: &str| {
            more += &format!("images/{name},{person},worn,male,40,{split}\n");
        };
        let save = |name: &str, picture: DynamicImage| picture.save(images.join(name)).unwrap();
        std::fs::copy(first(0), images.join("copy.png")).unwrap();
        add("copy.png", "copier", "valid");
        // The same pixels in another file: the portraits are JPEG.
        save("again.png", open(1));
        add("again.png", &rows[1][1], &rows[1][5]);
        save("blurred.png", open(2).blur(3.0));
        add("blurred.png", "b", "train");
        let shade = |add: i32, row: usize| open(row).brighten(add);
        save("dark.png", shade(-110, 3));
        add("dark.png", "d", "train");
        save("bright.png", shade(110, 4));
        add("bright.png", "l", "train");
        let grey = RgbImage::from_fn(48, 48, |_, _| image::Rgb([120; 3]));
        save("flat.png", grey.into());
        add("flat.png", "f", "train");
        let wide = open(5).resize_exact(400, 48, image::imageops::FilterType::Triangle);
        save("wide.png", wide);
        add("wide.png", "w", "train");
        std::fs::write(images.join("broken.png"), b"no photo").unwrap();
        add("broken.png", "x", "train");
        // One person under two ids, in another light.
        let person = &rows[10][1];
        for (i, row) in rows.iter().enumerate().filter(|(_, r)| r[1] == *person) {
            let name = format!("twin{i}.png");
            save(&name, shade(12, i));
            add(&name, "twin", &row[5]);
        }
        let list = bench.data.with_file_name("planted.csv");
        std::fs::write(&list, text + &more).unwrap();
        Self { bench, list }
    }

    fn report(&self, looker: Option<&Looker>, limits: &[&str]) -> (Dataset, HealthReport) {
        let spec = Bench::config(&[]).unwrap().model_spec().unwrap();
        let dataset = Dataset::open(std::slice::from_ref(&self.list), &spec.heads).unwrap();
        let limits: Vec<String> = limits.iter().map(ToString::to_string).collect();
        let limits = HealthConfig::with(&limits).unwrap();
        let taxonomy = spec.taxonomy().unwrap();
        let report = health(&dataset, &taxonomy, looker, &limits, &mut |_, _| ()).unwrap();
        (dataset, report)
    }
}

fn first<'a>(report: &'a HealthReport, kind: &str) -> &'a str {
    let found = report.findings.iter().find(|f| f.kind == kind);
    &found.unwrap_or_else(|| panic!("{kind}: {report}")).name
}

#[test]
fn planted_faults_are_found() {
    let planted = Planted::new();
    let config = Bench::config(&[]).unwrap();
    let weights = load_weights(&config, Path::new(HEADS)).unwrap();
    let looker = Looker::pretrained(&config, weights).unwrap();
    let (dataset, report) = planted.report(Some(&looker), &["blurred=2", "listed=500"]);
    assert_eq!(report.unreadable.len(), 1);
    assert!(
        report.unreadable[0].message.contains("broken.png"),
        "{report}"
    );
    for (kind, name) in [
        ("blurred", "images/flat.png"),
        ("dark", "images/dark.png"),
        ("bright", "images/bright.png"),
        ("low_information", "images/flat.png"),
        ("odd_size", "images/wide.png"),
        ("odd_aspect", "images/wide.png"),
    ] {
        assert_eq!(first(&report, kind), name, "{kind}");
    }
    let blurred = report.findings.iter().filter(|f| f.kind == "blurred");
    assert!(
        blurred.clone().any(|f| f.name == "images/blurred.png"),
        "{report}"
    );

    let copies = &report.copies;
    assert_eq!((copies.same_bytes, copies.same_pixels), (1, 2));
    let [copy, again] = ["images/copy.png", "images/again.png"].map(|name| {
        let pair = copies.pairs.iter().find(|p| p.names[1] == name).unwrap();
        (pair.same_bytes, pair.same_pixels, pair.same_person)
    });
    assert_eq!((copy, again), ((true, true, false), (false, true, true)));
    assert!(
        copies.pairs[..2].iter().all(|p| p.same_pixels),
        "these come first"
    );
    assert!(copies.across_sides >= 1 && copies.across_persons > copies.pairs.len() / 50);

    let alike = report.alike.as_ref().unwrap();
    let pair = &alike.pairs[..3];
    assert!(
        pair.iter().any(|p| p.persons.contains(&"twin".into())),
        "{report}"
    );
    let top = pair.iter().find(|p| p.persons[1] == "twin").unwrap();
    let twin = dataset.samples[top.photos[1]].person.as_deref();
    assert_eq!(twin, Some("twin"));
    let above = alike.pairs.iter().filter(|p| p.cosine >= 0.6).count();
    assert_eq!((alike.same_person, report.crop.is_none()), (above, true));
}

#[test]
fn the_report_is_the_same_for_any_number_of_threads_and_is_written() {
    let planted = Planted::new();
    let config = Bench::config(&[]).unwrap();
    let weights = load_weights(&config, Path::new(HEADS)).unwrap();
    let looker = Looker::pretrained(&config, weights).unwrap();
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        pool.unwrap()
            .install(|| planted.report(Some(&looker), &["listed=7"]).1)
    };
    let (one, three) = (with(1), with(3));
    assert_eq!(
        serde_json::to_string(&one).unwrap(),
        serde_json::to_string(&three).unwrap()
    );
    assert!(one.copies.pairs.len() <= 7);
    let out = planted.bench.out("health");
    one.write(&out).unwrap();
    let table = std::fs::read_to_string(out.join("health.csv")).unwrap();
    assert_eq!(
        table.lines().count(),
        1 + one.photos - 1,
        "one cannot be read"
    );
    let flat = table.lines().find(|l| l.contains("flat.png")).unwrap();
    assert!(flat.ends_with("blurred low_information"), "{flat}");
    let json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(out.join("health.json")).unwrap()).unwrap();
    assert_eq!(json["photos"], one.photos);
}

#[test]
fn what_a_crop_changes_is_what_the_model_says_with_it_and_without() {
    let planted = Planted::new();
    let config = Bench::config(&["train.epochs=1"]).unwrap();
    planted.bench.train(&config, "run", false, None).unwrap();
    let path = planted.bench.out("run").join("last.safetensors");
    let mut file = ModelFile::read(path).unwrap();
    let looker = Looker::trained(&file).unwrap();
    assert!(
        planted.report(Some(&looker), &[]).1.crop.is_none(),
        "no crop"
    );
    let (dataset, report) = planted.report(Some(&looker), &["crop=[24,20]", "listed=1000"]);
    let crop = report.crop.unwrap();
    let whole = Predictor::new(&file).unwrap();
    file.description.model.input.crop = Some([24, 20]);
    let cropped = Predictor::new(&file).unwrap();
    let mut other = 0;
    let mut right = [0.0; 2];
    for change in &crop.changes {
        let sample = &dataset.samples[change.photo];
        let [with, without] =
            [&cropped, &whole].map(|p| p.predict_file(sample.path()).unwrap().heads);
        let head = with.iter().position(|h| h.head == change.head).unwrap();
        let pairs = with[head].probs.iter().zip(&without[head].probs);
        let expected = pairs.map(|(a, b)| (a - b).abs()).sum::<f64>() / 2.0;
        assert!(
            (change.change - expected).abs() < 1e-5,
            "{change:?}, {expected}"
        );
        other += usize::from((0..3).any(|h| with[h].index != without[h].index));
        let truth = sample.values[0].as_ref().map(|v| match v {
            hydranet::data::dataset::Value::Label(l) => *l,
            _ => unreachable!(),
        });
        if !matches!(sample.split, Some(hydranet::data::dataset::Split::Train)) {
            right[0] += f64::from(u8::from(with[0].index == truth));
            right[1] += f64::from(u8::from(without[0].index == truth));
        }
    }
    assert_eq!(crop.changes.len(), dataset.samples.len() - 1);
    assert!(crop.changes.windows(2).all(|w| w[0].change >= w[1].change));
    assert_eq!(crop.other_label, other);
    let mask = &crop.heads[0];
    let share = |n: f64| n / mask.photos as f64;
    assert!(
        (mask.with - share(right[0])).abs() < 1e-9 && (mask.without - share(right[1])).abs() < 1e-9
    );
}

#[test]
fn limits_out_of_range_or_misspelt_are_errors() {
    for (limit, part) in [
        ("blured=3", "unknown field `blured`"),
        ("blurred", "expected NAME=NUMBER"),
        ("blurred=-1", "health, blurred: expected robust units"),
        ("dark=much", "expected NAME=NUMBER"),
        ("phash=16", "at most 15"),
        ("same_person=2", "a cosine"),
        ("crop=[0,4]", "at least 1 × 1"),
        ("crop=3", "the limit crop=3"),
    ] {
        let error = format!("{:#}", HealthConfig::with(&[limit.into()]).unwrap_err());
        assert!(error.contains(part), "{limit}: {error}");
    }
    let config = HealthConfig::with(&["dark=2".into(), "crop=[4,5]".into()]).unwrap();
    assert_eq!(
        (config.dark, config.crop, config.bright),
        (2.0, Some([4, 5]), 3.5)
    );
}

#[test]
fn a_limit_out_of_range_is_refused_by_its_name() {
    let limit = hydranet::audit::health::HealthConfig::with(&["blurred=-1".into()]);
    let message = format!("{:#}", limit.unwrap_err());
    assert!(message.contains("the limit blurred"), "{message}");
}

#[test]
fn shapes_that_many_photos_share_are_not_odd() {
    let folder = tempfile::tempdir().unwrap();
    let mut rows = String::from("path,mask\n");
    // As telephones turn: two thirds lie, a third stands, one pixel more or less, and one is a strip.
    for i in 0..61u32 {
        let more = i % 2;
        let (width, height) = match i {
            0 => (200, 20),
            i if i % 3 == 0 => (60, 80 + more),
            _ => (80 + more, 60),
        };
        let pixel = |x: u32, y: u32| image::Luma([(7 * x + 13 * y + i) as u8]);
        let picture = image::GrayImage::from_fn(width, height, pixel);
        picture
            .save(folder.path().join(format!("{i}.png")))
            .unwrap();
        rows += &format!("{i}.png,worn\n");
    }
    let list = folder.path().join("list.csv");
    std::fs::write(&list, rows).unwrap();
    let spec = Bench::config(&[]).unwrap().model_spec().unwrap();
    let dataset = Dataset::open(&[list], &spec.heads).unwrap();
    let taxonomy = spec.taxonomy().unwrap();
    let limits = HealthConfig::default();
    let report = health(&dataset, &taxonomy, None, &limits, &mut |_, _| ()).unwrap();
    let odd = report
        .findings
        .iter()
        .filter(|f| f.kind.starts_with("odd_aspect"));
    let names: Vec<&str> = odd.map(|f| f.name.as_str()).collect();
    assert_eq!(names, ["0.png"], "{report}");
}
