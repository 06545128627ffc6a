//! Photos a second of the whole input path (read, decode, resize, normalise, stacked into batches through the loader's queue),
//! for prediction and augmented as in training, beside torchvision v2 with Pillow, Pillow's draft mode and libjpeg-turbo, with as
//! many worker processes as we have threads.
//!
//! `cargo bench --bench input -- [--python PYTHON] [--workers 2] [--rounds 5] [--only small|large]
//! [--step tf_efficientnet_lite0]`
//!
//! The photos are drawn: waves, discs and a sensor's noise, of 144 × 192 pixels for an input of 144 × 112 and of 12 megapixels
//! for 224 × 176. With `--python`, Pillow stores them as cameras do (quality 90, 4:2:0); without, the crate `image` does (4:4:4).
//! The contestants take turns, round by round; rates are medians, a ratio is the median of the rounds' ratios, beside its
//! least and greatest. The peers' pixels are compared with ours too, in grey levels.
//!
//! `--step` measures instead training steps of a network, batch 16, on images in memory and on photos that the loader loads
//! meanwhile, and how long they wait for it.

mod drawn;
mod peers;
mod training;

use drawn::drawn;
use hydranet::cli::load::batches;
use hydranet::data::{AugmentConfig, ColorJitter, ResizedCrop};
use hydranet::{Architecture, InputSpec};
use peers::{PEER, PEERS, Peer};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;
use training::Training;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failure = Box<dyn std::error::Error>;
type Outcome<T> = Result<T, Failure>;

/// Photos of one size, and how they are prepared.
struct Work {
    photo: [usize; 2],
    input: [usize; 2],
    files: usize,
    /// How often each is loaded in a round.
    times: usize,
    batch: usize,
}

impl Work {
    /// The input, whose large photos are reduced or not.
    fn spec(&self, reduce: bool) -> InputSpec {
        InputSpec {
            size: self.input,
            reduce,
            ..InputSpec::default()
        }
    }
}

/// The changes that `peer_input.py` makes too.
fn augmented() -> AugmentConfig {
    AugmentConfig {
        flip: 0.5,
        random_resized_crop: Some(ResizedCrop {
            scale: [0.35, 1.0],
            ..ResizedCrop::default()
        }),
        color_jitter: ColorJitter {
            brightness: 0.2,
            contrast: 0.2,
            saturation: 0.2,
        },
        erasing: 0.25,
        ..AugmentConfig::default()
    }
}

fn main() -> Outcome<()> {
    let mut options = BTreeMap::new();
    let mut args = std::env::args().skip(1).filter(|a| a != "--bench");
    while let Some(arg) = args.next() {
        options.insert(arg, args.next().unwrap_or_default());
    }
    let number = |name: &str, default: usize| match options.get(name) {
        Some(text) => text.parse(),
        None => Ok(default),
    };
    let (workers, rounds) = (
        number("--workers", 2)?.max(1),
        number("--rounds", 5)?.max(1),
    );
    let python = options.get("--python").map(String::as_str);
    let small = Work {
        photo: [192, 144],
        input: [144, 112],
        files: 100,
        times: 10,
        batch: 20,
    };
    let large = Work {
        photo: [4000, 3000],
        input: [224, 176],
        files: 2,
        times: 12,
        batch: 4,
    };
    let only = options.get("--only").map(String::as_str);
    for (name, work) in [("small", small), ("large", large)] {
        if only.is_some_and(|only| only != name) {
            continue;
        }
        let folder = tempfile::tempdir()?;
        let files = stored(&work, folder.path(), python)?;
        println!(
            "photos of {} × {} to {:?}, {} KiB each, {workers} workers:",
            work.photo[0],
            work.photo[1],
            work.input,
            std::fs::metadata(&files[0])?.len() >> 10
        );
        match options.get("--step") {
            Some(network) => steps(&work, &files, workers, rounds, network)?,
            None => {
                for changes in [None, Some(augmented())] {
                    compare(&work, &files, workers, rounds, python, changes)?;
                }
            }
        }
    }
    Ok(())
}

/// Draws the photos and stores them.
fn stored(work: &Work, folder: &Path, python: Option<&str>) -> Outcome<Vec<PathBuf>> {
    let names = (0..work.files).map(|i| folder.join(format!("{i:03}.jpg")));
    let files: Vec<PathBuf> = names.collect();
    for (i, file) in files.iter().enumerate() {
        let [height, width] = work.photo;
        let to = std::io::BufWriter::new(std::fs::File::create(file)?);
        image::codecs::jpeg::JpegEncoder::new_with_quality(to, 95).encode(
            &drawn(work.photo, i as u64),
            width as u32,
            height as u32,
            image::ExtendedColorType::Rgb8,
        )?;
    }
    if let Some(python) = python {
        let stored = Command::new(python)
            .args([PEER, "store"])
            .args(&files)
            .status()?;
        if !stored.success() {
            return Err("the photos were not stored".into());
        }
    }
    Ok(files)
}

fn compare(
    work: &Work,
    files: &[PathBuf],
    workers: usize,
    rounds: usize,
    python: Option<&str>,
    changes: Option<AugmentConfig>,
) -> Outcome<()> {
    let folder = files[0].parent().ok_or("a folder")?;
    let mut peers = Vec::new();
    for name in PEERS.into_iter().filter(|_| python.is_some()) {
        let python = python.unwrap_or_default();
        peers.push(Peer::start(
            python,
            name,
            work,
            workers,
            folder,
            changes.is_some(),
        )?);
    }
    let reduced = ["hydranet", "hydranet, reduce"];
    let all: Vec<_> = std::iter::repeat_n(files, work.times)
        .flatten()
        .cloned()
        .collect();
    // The first round warms the system's file cache and is not counted.
    let mut rates: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for round in 0..=rounds {
        let mut add = |name, seconds: f64| {
            if round > 0 {
                rates
                    .entry(name)
                    .or_default()
                    .push(all.len() as f64 / seconds);
            }
        };
        for (i, name) in reduced.iter().enumerate() {
            let (start, input) = (Instant::now(), work.spec(i == 1));
            for batch in batches(&all, &input, changes, workers, work.batch)? {
                std::hint::black_box(batch?);
            }
            add(name, start.elapsed().as_secs_f64());
        }
        for peer in &mut peers {
            add(peer.name, peer.round()?);
        }
    }
    println!(
        "  {}",
        if changes.is_some() {
            "augmented"
        } else {
            "as for prediction"
        }
    );
    for (name, theirs) in &rates {
        let [whole, small] = reduced.map(|ours| {
            let pairs = rates[ours].iter().zip(theirs);
            let ratios: Vec<f64> = pairs.map(|(ours, theirs)| ours / theirs).collect();
            let (least, greatest) = ends(&ratios);
            format!("{:.2} ({least:.2}-{greatest:.2})", median(ratios))
        });
        let apart = match peers.iter_mut().find(|peer| peer.name == *name) {
            Some(peer) if changes.is_none() => {
                let spec = work.spec(matches!(*name, "draft" | "turbojpeg-small"));
                let ours = spec.prepare(&spec.open(&files[0])?)?;
                apart(&ours, &peer.pixels(&files[0])?)?
            }
            _ => String::new(),
        };
        println!(
            "    {name:<16} {:>8.1} photos/s; ours is {whole} times that, with reduce {small}{apart}",
            median(theirs.clone()),
        );
    }
    Ok(())
}

/// Training steps on images in memory, and on those that the loader loads meanwhile.
fn steps(
    work: &Work,
    files: &[PathBuf],
    workers: usize,
    rounds: usize,
    network: &str,
) -> Outcome<()> {
    const BATCH: usize = 16;
    const STEPS: usize = 12;
    let architecture = Architecture::from_name(network)?;
    let mut training = Training::new(architecture, (work.input[0], work.input[1]))?;
    let all: Vec<PathBuf> = files.iter().cycle().take(STEPS * BATCH).cloned().collect();
    for round in 0..=rounds {
        for loading in ["in memory", "loaded", "loaded, reduce"] {
            let input = work.spec(loading.ends_with("reduce"));
            let mut loaded = batches(&all, &input, Some(augmented()), workers, BATCH)?;
            let mut batch = loaded.next().ok_or("no batch")??;
            // Dropped, it loads no more.
            let mut loaded = (loading != "in memory").then_some(loaded);
            let (start, mut waited) = (Instant::now(), 0.0);
            for step in 1..=STEPS {
                training.step(&batch)?;
                let asked = Instant::now();
                if let Some(loaded) = loaded.as_mut().filter(|_| step < STEPS) {
                    batch = loaded.next().ok_or("a batch less")??;
                }
                waited += asked.elapsed().as_secs_f64();
            }
            let seconds = start.elapsed().as_secs_f64();
            if round > 0 {
                println!(
                    "  {loading:<16} {:>6.1} photos/s, waited {:.1} % of the time",
                    (BATCH * STEPS) as f64 / seconds,
                    100.0 * waited / seconds
                );
            }
        }
    }
    Ok(())
}

/// How far apart two pictures are, in words.
fn apart(ours: &[u8], theirs: &[u8]) -> Outcome<String> {
    if ours.len() != theirs.len() {
        return Err(format!("{} values, {} expected", theirs.len(), ours.len()).into());
    }
    let levels = ours.iter().zip(theirs).map(|(a, b)| a.abs_diff(*b));
    let most = levels.clone().max().unwrap_or(0);
    let mean = levels.map(f64::from).sum::<f64>() / ours.len() as f64;
    Ok(format!("; pixels {mean:.3} levels apart, at most {most}"))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn ends(values: &[f64]) -> (f64, f64) {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    (least, values.iter().copied().fold(0.0, f64::max))
}
