//! The server as a process, and a folder with what it serves.

use super::client::{Answer, ask};
use crate::common::tiny;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long anything may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(90);

/// A running server; it is killed when dropped.
pub struct Server {
    child: Child,
    pub address: String,
    log: Arc<Mutex<Vec<String>>>,
}

/// A folder with the models `a.safetensors` and `b.safetensors` and the photos `0.png` … `5.png`.
pub fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, seed) in [("a", 1), ("b", 2)] {
        let file = dir.path().join(format!("{name}.safetensors"));
        tiny::build(seed).write(file).unwrap();
    }
    for i in 0..6 {
        photo(i).save(dir.path().join(format!("{i}.png"))).unwrap();
    }
    dir
}

/// A photo that is like no other.
pub fn photo(i: u32) -> image::RgbImage {
    image::RgbImage::from_fn(40 + i, 36, |x, y| {
        let mixed = (x * 31 + y * 17 + i * 101).wrapping_mul(2_654_435_761);
        image::Rgb([(mixed >> 24) as u8, (x * 6) as u8, (y * 7 + i * 20) as u8])
    })
}

pub fn read(folder: &Path, name: &str) -> Vec<u8> {
    std::fs::read(folder.join(name)).unwrap()
}

impl Server {
    /// Starts it in a folder, on any free port, and waits until it listens.
    pub fn start(folder: &Path, args: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hydranet"));
        let mut child = command
            .current_dir(folder)
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(args)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let to = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                to.lock().unwrap().push(line);
            }
        });
        let mut server = Self {
            child,
            address: String::new(),
            log,
        };
        let line = server.says("listening on http://");
        server.address = line.rsplit('/').next().unwrap().to_string();
        server
    }

    /// The first line of its log with these words, once there is one.
    pub fn says(&self, words: &str) -> String {
        let start = Instant::now();
        loop {
            let log = self.log.lock().unwrap();
            if let Some(line) = log.iter().find(|l| l.contains(words)) {
                return line.clone();
            }
            assert!(start.elapsed() < PATIENCE, "no `{words}` in {log:#?}");
            drop(log);
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// A connection that asks nothing: while it is open there is somebody to wait for.
    pub fn idle(&self) -> std::net::TcpStream {
        std::net::TcpStream::connect(&self.address).unwrap()
    }

    pub fn get(&self, path: &str) -> Answer {
        ask(&self.address, "GET", path, &[], &[])
    }

    pub fn post(&self, path: &str, kind: &str, body: &[u8]) -> Answer {
        ask(&self.address, "POST", path, &[("Content-Type", kind)], body)
    }

    /// The value of a line of `/metrics`, 0 if there is no such line.
    pub fn metric(&self, line: &str) -> f64 {
        let text = self.get("/metrics");
        let mut values = text
            .text()
            .lines()
            .filter_map(|l| l.strip_prefix(line)?.strip_prefix(' '));
        values.next().map_or(0.0, |v| v.parse().unwrap())
    }

    /// Waits until a line of `/metrics` has a value.
    pub fn waits_for(&self, line: &str, value: f64) {
        self.waits_until(line, |v| v == value);
    }

    /// Waits until a line of `/metrics` has a value that will do.
    pub fn waits_until(&self, line: &str, does: impl Fn(f64) -> bool) {
        let start = Instant::now();
        while !does(self.metric(line)) {
            assert!(
                start.elapsed() < PATIENCE,
                "{}",
                self.get("/metrics").text()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([name, &id])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Sends a signal again and again until the log has these words: one that comes close behind another may be one with it.
    pub fn signal_until(&self, name: &str, words: &str) {
        let id = self.child.id().to_string();
        let start = Instant::now();
        let said = || self.log.lock().unwrap().iter().any(|l| l.contains(words));
        while !said() && start.elapsed() < PATIENCE / 4 {
            let _ = Command::new("kill").args([name, &id]).status();
            std::thread::sleep(Duration::from_millis(100));
        }
        self.says(words);
    }

    /// How it ended.
    pub fn ended(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
