//! What is counted, and the text of `/metrics` (Prometheus' text format, version 0.0.4).

use super::State;
use super::failure::Kind;
use super::histogram::Histogram;
use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Seconds.
const LATENCY: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];
/// Photos.
const BATCH: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// All counts since the start.
#[derive(Default)]
pub(super) struct Metrics {
    counts: Mutex<Counts>,
    pub connections: AtomicUsize,
}

#[derive(Default)]
struct Counts {
    /// By path, method and status.
    requests: BTreeMap<(String, u16), u64>,
    latency: BTreeMap<String, Histogram>,
    errors: BTreeMap<Kind, u64>,
    batches: BTreeMap<String, Histogram>,
    /// By model, and whether it was loaded.
    reloads: BTreeMap<(String, bool), u64>,
}

impl Metrics {
    /// Nothing panics while it holds the lock.
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request that was answered. `path` is that of a route, so that there are few of them.
    pub(super) fn request(&self, path: &str, code: u16, took: Duration, error: Option<Kind>) {
        let mut counts = self.lock();
        *counts.requests.entry((path.into(), code)).or_default() += 1;
        let latency = counts.latency.entry(path.into());
        let latency = latency.or_insert_with(|| Histogram::new(LATENCY));
        latency.add(took.as_secs_f64());
        if let Some(kind) = error {
            *counts.errors.entry(kind).or_default() += 1;
        }
    }

    pub(super) fn batch(&self, model: &str, photos: usize) {
        let mut counts = self.lock();
        let sizes = counts.batches.entry(model.into());
        let sizes = sizes.or_insert_with(|| Histogram::new(BATCH));
        sizes.add(photos as f64);
    }

    pub(super) fn reload(&self, model: &str, loaded: bool) {
        let mut counts = self.lock();
        *counts.reloads.entry((model.into(), loaded)).or_default() += 1;
    }
}

/// The text of `/metrics`.
pub(super) fn text(state: &State) -> String {
    let mut text = String::new();
    // Writing into a string does not fail.
    let _ = write(&mut text, state);
    text
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) -> fmt::Result {
    writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}")
}

fn write(text: &mut String, state: &State) -> fmt::Result {
    let counts = state.metrics.lock();
    let name = "hydranet_requests_total";
    head(
        text,
        name,
        "counter",
        "Requests answered, by path and status code.",
    )?;
    for ((path, code), count) in &counts.requests {
        writeln!(text, "{name}{{path=\"{path}\",code=\"{code}\"}} {count}")?;
    }
    let name = "hydranet_request_duration_seconds";
    let help = "Time from a request's head to its answer.";
    head(text, name, "histogram", help)?;
    for (path, latency) in &counts.latency {
        latency.write(text, name, &format!("path=\"{path}\""))?;
    }
    let name = "hydranet_errors_total";
    head(text, name, "counter", "Requests refused, by kind.")?;
    for (kind, count) in &counts.errors {
        writeln!(text, "{name}{{kind=\"{}\"}} {count}", kind.name())?;
    }
    let name = "hydranet_queue_depth";
    head(text, name, "gauge", "Photos that wait for a model.")?;
    for (model, served) in &state.models {
        let photos = served.queue.photos();
        writeln!(text, "{name}{{model=\"{model}\"}} {photos}")?;
    }
    let name = "hydranet_batch_size";
    head(
        text,
        name,
        "histogram",
        "Photos that were predicted at once.",
    )?;
    for (model, sizes) in &counts.batches {
        sizes.write(text, name, &format!("model=\"{model}\""))?;
    }
    let name = "hydranet_reloads_total";
    let help = "Changed files of models, by whether they were loaded or refused.";
    head(text, name, "counter", help)?;
    for ((model, loaded), count) in &counts.reloads {
        let outcome = if *loaded { "loaded" } else { "refused" };
        writeln!(
            text,
            "{name}{{model=\"{model}\",outcome=\"{outcome}\"}} {count}"
        )?;
    }
    let name = "hydranet_connections";
    head(text, name, "gauge", "Open connections.")?;
    let open = state.metrics.connections.load(Ordering::Relaxed);
    writeln!(text, "{name} {open}")
}
