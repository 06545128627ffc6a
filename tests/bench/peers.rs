//! The Python programs that the input path is measured beside.

use super::{Outcome, Work};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

pub const PEER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bench/peer_input.py");
pub const PEERS: [&str; 4] = ["torchvision", "draft", "turbojpeg", "turbojpeg-small"];

/// A Python program that loads the photos when it is asked to.
pub struct Peer {
    pub name: &'static str,
    process: Child,
    /// Closed, they end the program and its workers.
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Peer {
    pub fn start(
        python: &str,
        name: &'static str,
        work: &Work,
        workers: usize,
        folder: &Path,
        augmented: bool,
    ) -> Outcome<Self> {
        let [height, width] = work.input;
        let numbers = [
            work.times,
            workers,
            work.batch,
            augmented.into(),
            height,
            width,
        ]
        .map(|n| n.to_string());
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
    pub fn round(&mut self) -> Outcome<f64> {
        Ok(self.ask("round")?.trim().parse()?)
    }

    /// What it makes of a photo, `(H, W, 3)`.
    pub fn pixels(&mut self, file: &Path) -> Outcome<Vec<u8>> {
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
