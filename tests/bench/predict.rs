//! Whole programs side by side: `hydranet predict`, a Python program with PyTorch and one with ONNX Runtime, from start to end,
//! on one photo and on a folder of photos, decoding included.
//!
//! `cargo bench --bench predict -- [--python PYTHON] [--model FILE] [--photos DIR] [--rounds 5] [--threads 2]`
//!
//! Without `--model`, the shipped backbone with untrained heads; without `--photos`, a thousand drawn portraits. The programs
//! take turns, round by round; seconds are medians, a ratio is the median of the rounds' ratios, beside its least and greatest.
//! Their answers are compared too.

use hydranet::cli::portraits::{PortraitConfig, write_portraits};
use hydranet::heads;
use hydranet::heads::NewTensors;
use hydranet::{Architecture, Description, HeadSpec, InputSpec, ModelFile, ModelSpec};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let mut options = BTreeMap::new();
    let mut args = std::env::args().skip(1).filter(|a| a != "--bench");
    while let Some(arg) = args.next() {
        options.insert(arg, args.next().unwrap_or_default());
    }
    let number = |name: &str, default: usize| {
        let given = options.get(name).and_then(|v| v.parse().ok());
        given.unwrap_or(default)
    };
    let (rounds, threads) = (number("--rounds", 5), number("--threads", 2).to_string());
    let folder = tempfile::tempdir()?;
    let model = match options.get("--model") {
        Some(model) => PathBuf::from(model),
        None => untrained(folder.path())?,
    };
    let photos = match options.get("--photos") {
        Some(photos) => PathBuf::from(photos),
        None => {
            let config = PortraitConfig {
                people: 300,
                size: (480, 360),
                ..PortraitConfig::default()
            };
            write_portraits(folder.path(), &config)?;
            folder.path().join("images")
        }
    };
    let mut all = Vec::new();
    for entry in std::fs::read_dir(&photos)? {
        all.push(entry?.path());
    }
    all.sort();
    let one = all.first().ok_or("there is no photo")?.clone();
    let onnx = folder.path().join("model.onnx");
    let ours = env!("CARGO_BIN_EXE_hydranet");
    let export = [path(&model), "--onnx".into(), path(&onnx)];
    run(Command::new(ours).args(["export", "--model"]).args(export))?;
    let peer = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bench/peer_predict.py");
    let mut programs = vec!["hydranet"];
    if options.contains_key("--python") {
        programs.extend(["torch", "onnx"]);
    }
    let command = |program: &str, photos: &Path| {
        let mut command = match program {
            "hydranet" => {
                let mut c = Command::new(ours);
                c.args(["--threads", &threads, "predict", "--model", &path(&model)]);
                c
            }
            _ => {
                let file = if program == "onnx" { &onnx } else { &model };
                let mut c = Command::new(&options["--python"]);
                c.args([peer, program, &path(file), &threads]);
                c
            }
        };
        command.arg(photos);
        command
    };
    for (what, photos, count) in [("one photo", &one, 1), ("the folder", &photos, all.len())] {
        let mut seconds: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        let mut answers: BTreeMap<&str, Vec<(String, f64)>> = BTreeMap::new();
        // The first round warms the system's file cache and is not counted. A short run is timed right after another one: a
        // system that takes cold pages away would else be measured reading the program from disk.
        for round in 0..=rounds {
            for program in &programs {
                if count == 1 {
                    run(&mut command(program, photos))?;
                }
                let start = Instant::now();
                let said = run(&mut command(program, photos))?;
                let taken = start.elapsed().as_secs_f64();
                if round > 0 {
                    seconds.entry(program).or_default().push(taken);
                }
                answers.insert(program, parsed(&said, *program == "hydranet")?);
            }
        }
        println!("{what}: {count} photos");
        for program in &programs {
            let median = median(seconds[program].clone());
            let rate = count as f64 / median;
            let ratios: Vec<f64> = seconds[program]
                .iter()
                .zip(&seconds["hydranet"])
                .map(|(theirs, ours)| theirs / ours)
                .collect();
            let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
            let greatest = ratios.iter().copied().fold(0.0, f64::max);
            let (theirs, ours) = (&answers[program], &answers["hydranet"]);
            let pairs = || theirs.iter().zip(ours);
            let same = pairs().filter(|(a, b)| a.0 == b.0).count();
            let apart = pairs().filter(|(a, b)| a.0 == b.0);
            let apart = apart.map(|(a, b)| (a.1 - b.1).abs()).fold(0.0, f64::max);
            println!(
                "  {program:<9} {median:>8.3} s, {rate:>7.1} photos/s, {:.2} times ours ({least:.2}-{greatest:.2}); {same} of {} classes alike, probabilities within {apart:.4}",
                self::median(ratios),
                ours.len()
            );
        }
    }
    Ok(())
}

fn path(path: &Path) -> String {
    path.display().to_string()
}

/// What a program says that ends well.
fn run(command: &mut Command) -> Result<String, Failure> {
    let output = command.stderr(Stdio::inherit()).output()?;
    if output.status.success() {
        Ok(String::from_utf8(output.stdout)?)
    } else {
        Err(format!("{command:?} failed").into())
    }
}

/// Class and probability of each line.
fn parsed(said: &str, is_ours: bool) -> Result<Vec<(String, f64)>, Failure> {
    let rows = said.lines().skip(usize::from(is_ours));
    rows.map(|row| {
        let cells: Vec<&str> = row.split(',').collect();
        let prob = cells.get(if is_ours { 3 } else { 2 });
        let prob: f64 = prob.ok_or("a line without a probability")?.parse()?;
        Ok((cells[1].to_string(), prob))
    })
    .collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The shipped backbone under three heads with first values.
fn untrained(folder: &Path) -> Result<PathBuf, Failure> {
    let weights = "tf_efficientnet_lite0.in1k.safetensors";
    let folders = [Path::new(env!("CARGO_MANIFEST_DIR")).join("weights")];
    let backbone = Architecture::from_name("tf_efficientnet_lite0")?;
    let mut tensors = hydranet::pretrained::load(weights, &folders, backbone)?;
    let head = HeadSpec::new("mask", ["worn", "incorrect", "not_worn"]);
    let input = InputSpec {
        size: [144, 112],
        ..InputSpec::default()
    };
    let spec = ModelSpec::new(backbone, vec![head.clone()], input);
    // Replaced at once by one with first values.
    for (part, shape) in [("weight", vec![3, 1280]), ("bias", vec![3])] {
        let zeros =
            candle_core::Tensor::zeros(shape, candle_core::DType::F32, &candle_core::Device::Cpu)?;
        tensors.insert(format!("heads.mask.fc.{part}"), zeros);
    }
    let mut file = ModelFile {
        description: Description::new(spec, serde_json::Value::Null)?,
        tensors,
    };
    let fresh = |seed| NewTensors::Fresh { seed };
    file = heads::replace(&file, "mask", head, fresh(0))?;
    for head in [
        HeadSpec::new("gender", ["male", "female"]),
        HeadSpec::new("age", ["young", "middle", "old"]),
    ] {
        file = heads::add(&file, head, None, fresh(0))?;
    }
    let path = folder.join("model.safetensors");
    file.write(&path)?;
    Ok(path)
}
