//! Time and peak memory of finding wrong labels, beside the package cleanlab on the same labels and probabilities.
//!
//! `cargo bench --bench noise -- [--photos 1000000] [--classes 18] [--rounds 3] [--threads 2] [--python PYTHON]`
//!
//! Both are processes of their own that read the same files and take turns, rule by rule; a time is the least of the rounds, from
//! labels and probabilities in memory to the ranked places. cleanlab's processes are as many as our threads, or one if that is
//! faster; its memory is that of its main process.

use hydranet::audit::{Given, Quality, Rule};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failure = Box<dyn std::error::Error>;
type Outcome<T> = Result<T, Failure>;

fn main() -> Outcome<()> {
    let mut args = std::env::args().skip(1).filter(|a| a != "--bench");
    let mut options = BTreeMap::new();
    while let Some(name) = args.next() {
        options.insert(name, args.next().unwrap_or_default());
    }
    let number = |name: &str, default: usize| match options.get(name) {
        Some(text) => text.parse(),
        None => Ok(default),
    };
    let (classes, threads) = (number("--classes", 18)?, number("--threads", 2)?);
    if options.contains_key("--contestant") {
        return contest(threads);
    }
    let photos = number("--photos", 1_000_000)?;
    let folder = std::env::temp_dir().join(format!("hydranet-noise-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let python = options.get("--python").map(String::as_str);
    let result = make(&folder, photos, classes)
        .and_then(|()| compare(&folder, classes, threads, number("--rounds", 3)?, python));
    std::fs::remove_dir_all(&folder)?;
    result
}

/// Writes labels, a tenth of them wrong, and probabilities that favour the true ones.
fn make(folder: &Path, photos: usize, classes: usize) -> Outcome<()> {
    let mut state = 1u64;
    let mut draw = || {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (state >> 33) as usize
    };
    let (mut labels, mut probs) = (Vec::new(), Vec::new());
    for _ in 0..photos {
        let truth = draw() % classes;
        let right = draw() % 10 != 0;
        let label = if right { truth } else { draw() % classes };
        labels.extend((label as i64).to_le_bytes());
        let mut parts: Vec<usize> = (0..classes).map(|_| 1 + draw() % 1_000_000).collect();
        parts[truth] += draw() % (1_000_000 * classes);
        let sum: usize = parts.iter().sum();
        probs.extend(
            parts
                .iter()
                .flat_map(|p| (*p as f64 / sum as f64).to_le_bytes()),
        );
    }
    std::fs::write(folder.join("labels"), labels)?;
    Ok(std::fs::write(folder.join("probs"), probs)?)
}

/// One process of the comparison.
struct Contestant {
    process: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Contestant {
    fn start(command: &mut Command, first: &str) -> Outcome<Self> {
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = BufReader::new(process.stdout.take().ok_or("no output")?);
        let mut input = process.stdin.take().ok_or("no input")?;
        writeln!(input, "{first}")?;
        Ok(Self {
            process,
            input: Some(input),
            output,
        })
    }

    /// Seconds, MiB, and the rest of the answer: issues and the fold of their order.
    fn work(&mut self, rule: Rule) -> Outcome<(f64, f64, String)> {
        let input = self.input.as_mut().ok_or("the contestant has ended")?;
        writeln!(input, "{rule}")?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        let mut words = line.trim().splitn(3, ' ');
        let mut next = || words.next().ok_or("the contestant gave no answer");
        Ok((next()?.parse()?, next()?.parse()?, next()?.to_string()))
    }
}

impl Drop for Contestant {
    fn drop(&mut self) {
        self.input = None;
        let _ = self.process.wait();
    }
}

fn compare(
    folder: &Path,
    classes: usize,
    threads: usize,
    rounds: usize,
    python: Option<&str>,
) -> Outcome<()> {
    let place = folder.display();
    let mut ours = Command::new(std::env::current_exe()?);
    ours.args([
        "--contestant",
        "hydranet",
        "--threads",
        &threads.to_string(),
    ]);
    let mut contestants = vec![Contestant::start(&mut ours, &format!("{place} {classes}"))?];
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bench/noise_peer.py");
    for jobs in [1, threads].iter().filter(|_| python.is_some()) {
        let mut peer = Command::new(python.unwrap_or_default());
        peer.args(["-W", "ignore"]).arg(&script);
        contestants.push(Contestant::start(
            &mut peer,
            &format!("{place} {classes} {jobs}"),
        )?);
    }
    println!(
        "{:24} {:>9} {:>9} {:>7}  {:>8} {:>8}  issues",
        "rule", "hydranet", "cleanlab", "ratio", "MiB", "MiB"
    );
    let rules = [
        "prune_by_class",
        "prune_by_noise_rate",
        "both",
        "confident_learning",
        "low_normalized_margin",
        "low_self_confidence",
    ];
    for rule in rules.map(str::parse::<Rule>) {
        let rule = rule?;
        let (mut seconds, mut peaks) = ([f64::INFINITY; 2], [0.0; 2]);
        let mut answers = Vec::new();
        for _ in 0..rounds {
            for (i, contestant) in contestants.iter_mut().enumerate() {
                let (time, peak, answer) = contestant.work(rule)?;
                let side = i.min(1);
                seconds[side] = time.min(seconds[side]);
                // The lesser of cleanlab's two.
                peaks[side] = if i < 2 { peak } else { peak.min(peaks[side]) };
                answers.push(answer);
            }
        }
        let same = match answers.iter().all(|a| *a == answers[0]) {
            true if python.is_some() => ", the same in the same order",
            true => "",
            false => ", DIFFERENT",
        };
        let issues = answers[0].split(' ').next().unwrap_or_default();
        println!(
            "{rule:24} {:>9.3} {:>9.3} {:>7.1}  {:>8.0} {:>8.0}  {issues}{same}",
            seconds[0],
            seconds[1],
            seconds[1] / seconds[0],
            peaks[0],
            peaks[1]
        );
    }
    Ok(())
}

fn contest(threads: usize) -> Outcome<()> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build_global()?;
    let mut lines = std::io::stdin().lines();
    let first = lines.next().ok_or("no files")??;
    let (folder, classes) = first.rsplit_once(' ').ok_or("no classes")?;
    let (folder, classes): (PathBuf, usize) = (folder.into(), classes.parse()?);
    let labels: Vec<usize> = std::fs::read(folder.join("labels"))?
        .as_chunks()
        .0
        .iter()
        .map(|b| i64::from_le_bytes(*b) as usize)
        .collect();
    let probs = read_probs(&folder.join("probs"))?;
    for rule in lines {
        let rule: Rule = rule?.parse()?;
        let start = Instant::now();
        let given = Given::new(&labels, &probs, classes)?;
        let issues = given.issues(&given.confident_joint(), rule, 1)?;
        let ranked = given.ranked(&issues, Quality::SelfConfidence)?;
        let seconds = start.elapsed().as_secs_f64();
        let step = |h: u128, place: &usize| (h * 1_000_003 + *place as u128 + 1) % ((1 << 61) - 1);
        let fold = ranked.iter().fold(0, step);
        println!("{seconds} {} {} {fold}", peak_mib(), ranked.len());
    }
    Ok(())
}

/// Block by block, so that the peak is that of the work.
fn read_probs(path: &Path) -> Outcome<Vec<f64>> {
    let mut file = BufReader::new(std::fs::File::open(path)?);
    let mut probs = Vec::with_capacity(file.get_ref().metadata()?.len() as usize / 8);
    loop {
        let block = file.fill_buf()?;
        let (values, _) = block.as_chunks();
        if values.is_empty() {
            return Ok(probs);
        }
        probs.extend(values.iter().map(|b| f64::from_le_bytes(*b)));
        let taken = values.len() * 8;
        file.consume(taken);
    }
}

fn peak_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmHWM"));
    let kib = line.and_then(|l| l.split_whitespace().nth(1)?.parse::<f64>().ok());
    kib.map_or(f64::NAN, |kib| kib / 1024.0)
}
