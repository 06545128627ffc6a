//! Photos a second of the whole input path (read, decode, resize, normalise), beside torchvision with Pillow, Pillow's draft mode
//! and libjpeg-turbo, with as many worker processes as we have threads.
//!
//! `cargo bench --bench input -- [--python PYTHON] [--workers 2] [--rounds 5] [--only small|large]`
//!
//! The photos are drawn: waves, discs and a sensor's noise, of 144 × 192 pixels for an input of 144 × 112 and of 12 megapixels
//! for 224 × 176. With `--python`, Pillow stores them as cameras do (quality 90, 4:2:0); without, the crate `image` does (4:4:4).
//! The contestants take turns, round by round; rates are medians, a ratio is the median of the rounds' ratios, beside its
//! least and greatest. The peers' pixels are compared with ours too, in grey levels.

use hydranet::{InputSpec, Photo};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failure = Box<dyn std::error::Error>;
type Outcome<T> = Result<T, Failure>;

const PEER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bench/peer_input.py");
const PEERS: [&str; 3] = ["torchvision", "draft", "turbojpeg"];

/// Photos of one size, and how they are prepared.
struct Work {
    photo: [usize; 2],
    input: [usize; 2],
    files: usize,
    /// How often each is loaded in a round.
    times: usize,
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
    };
    let large = Work {
        photo: [4000, 3000],
        input: [224, 176],
        files: 2,
        times: 10,
    };
    let only = options.get("--only").map(String::as_str);
    for (name, work) in [("small", small), ("large", large)] {
        if only.is_none_or(|only| only == name) {
            compare(&work, workers, rounds, python)?;
        }
    }
    Ok(())
}

fn compare(work: &Work, workers: usize, rounds: usize, python: Option<&str>) -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let files: Vec<PathBuf> = (0..work.files)
        .map(|i| folder.path().join(format!("{i:03}.jpg")))
        .collect();
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
    let mut peers = Vec::new();
    if let Some(python) = python {
        let stored = Command::new(python)
            .args([PEER, "store"])
            .args(&files)
            .status()?;
        if !stored.success() {
            return Err("the photos were not stored".into());
        }
        for name in PEERS {
            peers.push(Peer::start(python, name, work, workers, folder.path())?);
        }
    }
    let [height, width] = work.photo;
    let spec = InputSpec {
        size: work.input,
        ..InputSpec::default()
    };
    println!(
        "photos of {height} × {width} to {:?}, {} KiB each, {workers} workers:",
        work.input,
        std::fs::metadata(&files[0])?.len() >> 10
    );
    // The first round warms the system's file cache and is not counted.
    let mut rates: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for round in 0..=rounds {
        let mut add = |name, seconds: f64| {
            if round > 0 {
                let photos = (work.files * work.times) as f64;
                rates.entry(name).or_default().push(photos / seconds);
            }
        };
        add("hydranet", ours(&files, &spec, work.times, workers)?);
        for peer in &mut peers {
            add(peer.name, peer.round()?);
        }
    }
    let prepared = spec.prepare(&Photo::open(&files[0])?)?;
    for (name, theirs) in &rates {
        let ratios: Vec<f64> = rates["hydranet"]
            .iter()
            .zip(theirs)
            .map(|(ours, theirs)| ours / theirs)
            .collect();
        let (least, greatest) = ends(&ratios);
        let apart = match peers.iter_mut().find(|peer| peer.name == *name) {
            Some(peer) => apart(&prepared, &peer.pixels(&files[0])?)?,
            None => String::new(),
        };
        println!(
            "  {name:<11} {:>8.1} photos/s; ours is {:.2} times that ({least:.2}-{greatest:.2}){apart}",
            median(theirs.clone()),
            median(ratios),
        );
    }
    Ok(())
}

/// Seconds in which all photos are loaded, each so many times: what the loader does, without any queue.
fn ours(files: &[PathBuf], spec: &InputSpec, times: usize, workers: usize) -> Outcome<f64> {
    let start = Instant::now();
    std::thread::scope(|scope| {
        let work = |first: usize| -> hydranet::Result<()> {
            let mut planes = vec![0.0; 3 * spec.size[0] * spec.size[1]];
            for i in (first..files.len() * times).step_by(workers) {
                let photo = spec.open(&files[i % files.len()])?;
                spec.normalise_into(&spec.prepare(&photo)?, &mut planes)?;
                std::hint::black_box(&planes);
            }
            Ok(())
        };
        let mut threads = Vec::new();
        for first in 0..workers {
            threads.push(scope.spawn(move || work(first)));
        }
        for thread in threads {
            thread.join().map_err(|_| "a worker panicked")??;
        }
        Ok(start.elapsed().as_secs_f64())
    })
}

/// A Python program that loads the photos when it is asked to.
struct Peer {
    name: &'static str,
    process: Child,
    /// Closed, they end the program and its workers.
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Peer {
    fn start(
        python: &str,
        name: &'static str,
        work: &Work,
        workers: usize,
        folder: &Path,
    ) -> Outcome<Self> {
        let [height, width] = work.input;
        let numbers = [work.times, workers, height, width].map(|n| n.to_string());
        let mut process = Command::new(python)
            .args([PEER, name])
            .args(numbers)
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let questions = process.stdin.take();
        let answers = BufReader::new(process.stdout.take().ok_or("no output")?);
        Ok(Self {
            name,
            process,
            questions,
            answers,
        })
    }

    fn ask(&mut self, what: &str) -> Outcome<String> {
        writeln!(self.questions.as_mut().ok_or("no input")?, "{what}")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        Ok(answer)
    }

    /// Seconds in which it loads all photos.
    fn round(&mut self) -> Outcome<f64> {
        Ok(self.ask("round")?.trim().parse()?)
    }

    /// What it makes of a photo, `(H, W, 3)`.
    fn pixels(&mut self, file: &Path) -> Outcome<Vec<u8>> {
        let values = self.ask(&file.display().to_string())?;
        Ok(values
            .split_whitespace()
            .map(str::parse)
            .collect::<Result<_, _>>()?)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.questions.take());
        // How it ended changes nothing.
        let _ = self.process.wait();
    }
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

/// A photo of waves of all lengths, discs and noise, red, green and blue.
fn drawn([height, width]: [usize; 2], seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut draw = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u32 << 24) as f32
    };
    let side = height.max(width) as f32;
    // Length and direction as steps a pixel, height and phase; the shorter, the lower.
    let waves: Vec<[f32; 4]> = (0..10)
        .map(|i| {
            let (turn, step) = (6.3 * draw(), 6.3 * 1.9f32.powi(i) / side);
            [
                step * turn.cos(),
                step * turn.sin(),
                45.0 * 0.7f32.powi(i),
                6.3 * draw(),
            ]
        })
        .collect();
    let discs: Vec<[f32; 4]> = (0..12)
        .map(|_| {
            let (y, x) = (draw() * height as f32, draw() * width as f32);
            [y, x, (0.02 + 0.12 * draw()) * side, 120.0 * draw() - 60.0]
        })
        .collect();
    let mut pixels = Vec::with_capacity(3 * height * width);
    for y in 0..height {
        for x in 0..width {
            let (y, x) = (y as f32, x as f32);
            let mut level = 128.0;
            for [down, across, high, phase] in &waves {
                level += high * (down * y + across * x + phase).sin();
            }
            let mut tint = 0.0;
            for [top, left, radius, colour] in &discs {
                if (y - top).powi(2) + (x - left).powi(2) < radius * radius {
                    tint += colour;
                }
            }
            for share in [1.0, 0.2, -0.8] {
                let noise = 5.0 * (draw() + draw() - 1.0);
                pixels.push((level + share * tint + noise).clamp(0.0, 255.0) as u8);
            }
        }
    }
    pixels
}
