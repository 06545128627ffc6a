//! Throughput side by side, on the same work, in one run: hydranet, PyTorch, ONNX Runtime (inference) and candle's own operators
//! (one network).
//!
//! `cargo bench --bench step -- [--networks tf_efficientnet_lite0,resnet18] [--modes train,infer] [--batch 16] [--size 224x224]
//! [--rounds 5] [--threads 2] [--python PYTHON] [--activations bf16] [--candle]`
//!
//! `cargo bench --bench step -- --table tests/golden/throughput.json` measures every architecture alone instead, features of
//! eight photos of its own size, and writes images a second for the guide's table; with `--networks`, those only, into the file
//! there is.
//!
//! `HYDRANET_ISA=avx2 cargo bench --bench step -- ...` compares with AVX2 alone on a processor that has more: PyTorch is limited
//! too, ONNX Runtime cannot be.
//!
//! Every contestant is a process of its own that stays alive: they take turns, round by round, each for a second or so, and its
//! peak memory is its own. A training step is forward, cross-entropy of three heads, backward and AdamW over all variables, batch
//! norm on the batch's statistics; inference is features and heads in eval mode. Images a second; a ratio is the median of the
//! rounds' ratios, beside its least and greatest.

mod candle;
mod training;

use candle_core::{Device, Tensor};
use hydranet::{Architecture, Mode, SavedActivations};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;
use training::{Training, constant};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failure = Box<dyn std::error::Error>;

/// Options by name.
struct Options(BTreeMap<String, String>);

impl Options {
    fn text<'a>(&'a self, name: &str, default: &'a str) -> &'a str {
        self.0.get(name).map_or(default, String::as_str)
    }

    fn number(&self, name: &str, default: usize) -> usize {
        self.text(name, "").parse().unwrap_or(default)
    }

    fn size(&self) -> std::result::Result<(usize, usize), Failure> {
        let size = self.text("--size", "224x224").split_once('x');
        let (h, w) = size.ok_or("--size is HEIGHTxWIDTH")?;
        Ok((h.parse()?, w.parse()?))
    }
}

fn main() -> std::result::Result<(), Failure> {
    let mut options = BTreeMap::new();
    let mut args = std::env::args().skip(1).filter(|a| a != "--bench");
    while let Some(arg) = args.next() {
        let value = match arg.as_str() {
            "--candle" => String::new(),
            _ => args.next().unwrap_or_default(),
        };
        options.insert(arg, value);
    }
    let options = Options(options);
    match (options.0.get("--contestant"), options.0.get("--table")) {
        (Some(name), _) => contest(name, &options),
        (None, Some(file)) => table(file, &options),
        (None, None) => compare(&options),
    }
}

/// Images a second of every architecture, as JSON.
fn table(file: &str, options: &Options) -> std::result::Result<(), Failure> {
    const BATCH: usize = 8;
    rayon::ThreadPoolBuilder::new()
        .num_threads(options.number("--threads", 2))
        .build_global()?;
    let named = options.text("--networks", "");
    let is_named = |a: &Architecture| named.is_empty() || named.split(',').any(|n| n == a.name());
    let mut rates: BTreeMap<String, f64> = if named.is_empty() {
        BTreeMap::new()
    } else {
        serde_json::from_slice(&std::fs::read(file)?)?
    };
    for architecture in Architecture::all().filter(is_named) {
        let [h, w] = architecture.input().size;
        let model = constant(architecture, (h, w))?;
        let images = Tensor::randn(0f32, 1.0, (BATCH, 3, h, w), &Device::Cpu)?;
        model.features(&images, Mode::Eval)?;
        let (start, mut passes) = (Instant::now(), 0);
        while passes < 2 || start.elapsed().as_secs_f64() < 2.0 {
            model.features(&images, Mode::Eval)?;
            passes += 1;
        }
        let rate = (passes * BATCH) as f64 / start.elapsed().as_secs_f64();
        println!("{architecture}: {rate:.1}");
        rates.insert(architecture.name().into(), (rate * 10.0).round() / 10.0);
        hydranet::tape::release_buffers();
    }
    std::fs::write(file, serde_json::to_string_pretty(&rates)? + "\n")?;
    Ok(())
}

/// A contestant: answers every line of its input with a measurement.
fn contest(name: &str, options: &Options) -> std::result::Result<(), Failure> {
    hydranet_kernels::keep_freed_memory();
    let threads = options.number("--threads", 2);
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build_global()?;
    let (batch, (h, w)) = (options.number("--batch", 16), options.size()?);
    // A step of candle's of sixteen images takes a minute.
    let batch = if name == "candle" {
        batch.min(2)
    } else {
        batch
    };
    let images = Tensor::randn(0f32, 1.0, (batch, 3, h, w), &Device::Cpu)?;
    let architecture = Architecture::from_name(options.text("--networks", ""))?;
    let mut work: Box<dyn FnMut() -> std::result::Result<(), Failure>> =
        match (name, options.text("--modes", "")) {
            ("candle", _) => {
                let mut theirs = candle::Theirs::new()?;
                Box::new(move || Ok(theirs.step(&images)?))
            }
            (_, "train") => {
                let mut ours = Training::new(architecture, (h, w))?;
                if options.text("--activations", "f32") == "bf16" {
                    ours.model.set_activations(SavedActivations::Bf16);
                }
                Box::new(move || Ok(ours.step(&images)?))
            }
            _ => {
                let model = constant(architecture, (h, w))?;
                Box::new(move || {
                    let features = model.features(&images, Mode::Eval)?;
                    model.logits(&features, Mode::Eval)?;
                    Ok(())
                })
            }
        };
    if name != "candle" {
        work()?;
    }
    let mut out = std::io::stdout();
    for line in std::io::stdin().lines() {
        let seconds: f64 = line?.parse()?;
        let (start, mut steps) = (Instant::now(), 0);
        while steps == 0 || start.elapsed().as_secs_f64() < seconds {
            work()?;
            steps += 1;
        }
        let rate = (steps * batch) as f64 / start.elapsed().as_secs_f64();
        writeln!(out, "{rate} {}", peak_mib())?;
        out.flush()?;
    }
    Ok(())
}

/// The most memory this process has held, in MiB; 0 where the system does not say.
fn peak_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    let kib = line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}

/// A contestant's process.
struct Player {
    name: String,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    rates: Vec<f64>,
    peak: f64,
}

impl Player {
    fn start(name: &str, command: &mut Command) -> std::result::Result<Self, Failure> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("no pipe to a contestant".into());
        };
        Ok(Self {
            name: name.into(),
            child,
            input,
            output: BufReader::new(output),
            rates: Vec::new(),
            peak: 0.0,
        })
    }

    fn play(&mut self, seconds: f64) -> std::result::Result<(), Failure> {
        writeln!(self.input, "{seconds}")?;
        self.input.flush()?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        let (rate, peak) = line
            .trim()
            .split_once(' ')
            .ok_or_else(|| format!("{} stopped", self.name))?;
        self.rates.push(rate.parse()?);
        self.peak = peak.parse()?;
        Ok(())
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The networks measured unless others are named.
const NETWORKS: [&str; 5] = [
    "tf_efficientnet_lite0",
    "mobilenetv2_100",
    "resnet18",
    "convnext_atto",
    "vit_tiny_patch16_224",
];

/// Multiplications and additions of one image forward, in units of 10⁹, at 224 × 224 (timm).
fn giga_macs(architecture: Architecture) -> f64 {
    match architecture.name() {
        "tf_efficientnet_lite0" => 0.39,
        "mobilenetv2_100" => 0.30,
        "resnet18" => 1.81,
        "convnext_atto" => 0.55,
        "vit_tiny_patch16_224" => 1.25,
        _ => f64::NAN,
    }
}

/// 2048³ in `f32`, all threads: operations a second, in units of 10⁹.
fn gemm_peak(threads: usize) -> f64 {
    let n = 2048;
    let (a, b, mut c) = (vec![0.5f32; n * n], vec![0.25f32; n * n], vec![0f32; n * n]);
    let mut best = 0f64;
    for _ in 0..4 {
        let start = Instant::now();
        let step = n as isize;
        // SAFETY: three matrices of n × n, row after row.
        unsafe {
            gemm::gemm(
                n,
                n,
                n,
                c.as_mut_ptr(),
                1,
                step,
                false,
                a.as_ptr(),
                1,
                step,
                b.as_ptr(),
                1,
                step,
                1.0,
                1.0,
                false,
                false,
                false,
                gemm::Parallelism::Rayon(threads),
            );
        }
        best = best.max(2.0 * (n as f64).powi(3) / start.elapsed().as_secs_f64() / 1e9);
    }
    best
}

fn compare(options: &Options) -> std::result::Result<(), Failure> {
    let (threads, rounds) = (
        options.number("--threads", 2),
        options.number("--rounds", 5),
    );
    let (batch, (h, w)) = (options.number("--batch", 16), options.size()?);
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build_global()?;
    let all = NETWORKS.join(",");
    let peak = gemm_peak(threads);
    println!(
        "batch {batch}, {h} × {w}, {threads} threads; matrix product 2048³: {peak:.0} GFLOP/s"
    );
    if limited() {
        let limits = LIMITS.map(|(name, value)| format!("{name}={value}"));
        println!(
            "HYDRANET_ISA=avx2: PyTorch runs with {}; nothing keeps ONNX Runtime to AVX2",
            limits.join(" ")
        );
    }
    for network in options.text("--networks", &all).split(',') {
        let architecture = Architecture::from_name(network)?;
        if architecture.name().starts_with("vit") && (h % 16 > 0 || w % 16 > 0) {
            println!("{network}: no whole patches at {h} × {w}");
            continue;
        }
        for mode in options.text("--modes", "train,infer").split(',') {
            let mut players = players(options, network, mode)?;
            for round in 0..=rounds {
                for player in &mut players {
                    player.play(if round == 0 { 0.2 } else { 1.5 })?;
                }
            }
            println!("\n{network} {mode}");
            for player in &mut players {
                // The first round warms up.
                player.rates.remove(0);
                println!(
                    "  {:22} {:8.2} img/s   peak {:6.0} MiB",
                    player.name,
                    median(&player.rates),
                    player.peak
                );
            }
            let passes = if mode == "train" { 3.0 } else { 1.0 };
            let scale = (h * w) as f64 / (224.0 * 224.0);
            let flops = median(&players[0].rates) * 2.0 * passes * scale * giga_macs(architecture);
            println!(
                "  hydranet runs at {:.0} % of the matrix product's rate",
                100.0 * flops / peak
            );
            for group in ["pytorch", "onnxruntime", "candle"] {
                let theirs: Vec<&Player> = players
                    .iter()
                    .filter(|p| p.name.starts_with(group))
                    .collect();
                if theirs.is_empty() {
                    continue;
                }
                // The best of a group's variants, round by round.
                let ratios: Vec<f64> = (0..rounds)
                    .map(|r| {
                        let best = theirs.iter().map(|p| p.rates[r]).fold(0.0, f64::max);
                        players[0].rates[r] / best
                    })
                    .collect();
                let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
                let most = ratios.iter().copied().fold(0.0, f64::max);
                println!(
                    "  hydranet / {group}: {:.2} (from {least:.2} to {most:.2})",
                    median(&ratios)
                );
            }
        }
    }
    Ok(())
}

/// What keeps PyTorch and the libraries in it to AVX2.
const LIMITS: [(&str, &str); 3] = [
    ("ATEN_CPU_CAPABILITY", "avx2"),
    ("ONEDNN_MAX_CPU_ISA", "AVX2"),
    ("MKL_ENABLE_INSTRUCTIONS", "AVX2"),
];

/// Whether hydranet computes with AVX2 where the processor has more.
fn limited() -> bool {
    std::env::var("HYDRANET_ISA").is_ok_and(|isa| isa == "avx2")
}

/// The contestants of one network and mode, hydranet first.
fn players(
    options: &Options,
    network: &str,
    mode: &str,
) -> std::result::Result<Vec<Player>, Failure> {
    let (h, w) = options.size()?;
    let (batch, threads) = (
        options.number("--batch", 16).to_string(),
        options.number("--threads", 2).to_string(),
    );
    let size = format!("{h}x{w}");
    let activations = options.text("--activations", "f32");
    let common = [
        "--networks",
        network,
        "--modes",
        mode,
        "--batch",
        &batch,
        "--size",
        &size,
        "--threads",
        &threads,
    ];
    let own = |name: &str| {
        Player::start(
            name,
            Command::new(std::env::current_exe()?)
                .args(["--contestant", name, "--activations", activations])
                .args(common),
        )
    };
    let mut players = vec![own("hydranet")?];
    if let Some(python) = options.0.get("--python") {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bench/peer.py");
        let mut peers = vec!["pytorch default", "pytorch channels_last"];
        if mode == "infer" {
            peers.push("onnxruntime");
        }
        for peer in peers {
            let mut command = Command::new(python);
            command
                .arg(script)
                .args(["--contestant", peer])
                .args(common);
            if limited() {
                command.envs(LIMITS);
            }
            players.push(Player::start(peer, &mut command)?);
        }
    }
    let lite0 = network == "tf_efficientnet_lite0";
    if options.0.contains_key("--candle") && lite0 && mode == "train" {
        players.push(own("candle")?);
    }
    Ok(players)
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
