//! Photos decoded ahead on worker threads, in a fixed order and within a budget of memory.

use super::augment::AugmentConfig;
use crate::error::{Error, Result};
use crate::input::InputSpec;
use crate::random::rng::{Purpose, keyed};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// A photo to load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// The sample, which also keys its augmentation.
    pub index: usize,
    /// How often it came before in the epoch: each time it is augmented anew.
    pub again: u32,
    /// Its file.
    pub path: PathBuf,
}

/// A loaded photo.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// The sample.
    pub index: usize,
    /// Normalised planes, `(3, H, W)`.
    pub pixels: Vec<f32>,
}

/// Yields the photos of its jobs in their order, whatever the number of workers, and the same bytes too. A photo that cannot be
/// loaded is an error in its place. Dropping the loader stops the workers after the photo each is at.
pub struct Loader {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

type Load = dyn Fn(&Job) -> Result<Vec<f32>> + Send + Sync;

struct Shared {
    jobs: Vec<Job>,
    load: Box<Load>,
    item_bytes: usize,
    budget_bytes: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The next job to be taken by a worker.
    next_job: usize,
    /// The next job to be yielded.
    next_out: usize,
    ready: BTreeMap<usize, Result<Decoded>>,
    bytes: usize,
    peak_bytes: usize,
    stopped: bool,
}

impl Shared {
    /// A worker's panic is caught before it could poison the lock; if it ever were, the state is still whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        while let Some(position) = self.take() {
            let job = &self.jobs[position];
            let loaded = catch_unwind(AssertUnwindSafe(|| (self.load)(job))).unwrap_or_else(|_| {
                Err(Error::Image {
                    path: job.path.clone(),
                    reason: "the decoder panicked; the file is probably broken".into(),
                })
            });
            let decoded = loaded.map(|pixels| Decoded {
                index: job.index,
                pixels,
            });
            self.lock().ready.insert(position, decoded);
            self.changed.notify_all();
        }
    }

    /// The next job, once there is room for its pixels. The one that is waited for is taken at once: nothing that is ready could
    /// make room for it.
    fn take(&self) -> Option<usize> {
        let mut state = self.lock();
        loop {
            if state.stopped || state.next_job == self.jobs.len() {
                return None;
            }
            let full = state.bytes + self.item_bytes > self.budget_bytes;
            if !full || state.next_job == state.next_out {
                let position = state.next_job;
                state.next_job += 1;
                state.bytes += self.item_bytes;
                state.peak_bytes = state.peak_bytes.max(state.bytes);
                return Some(position);
            }
            state = self.wait(state);
        }
    }
}

impl Loader {
    /// Starts `workers` threads (at least one). Their finished photos take up to `budget_bytes`, or one photo if that is more;
    /// each worker holds one decoded file besides. With `augment` none, every photo is prepared as for prediction; else it is
    /// changed by draws keyed by seed, epoch, sample and how often it came before.
    ///
    /// # Errors
    /// [`Error::Invalid`] if `spec` or `augment` is not valid, [`Error::Io`] if no thread can be started.
    pub fn start(
        jobs: Vec<Job>,
        spec: &InputSpec,
        augment: Option<AugmentConfig>,
        seed: u64,
        epoch: usize,
        workers: usize,
        budget_bytes: usize,
    ) -> Result<Self> {
        augment.iter().try_for_each(AugmentConfig::validate)?;
        let input = spec.clone();
        let rgb = move |job: &Job| {
            let photo = input.hold(&job.path)?;
            match &augment {
                Some(augment) => {
                    let key = job.index as u64 | u64::from(job.again) << 32;
                    let mut rng = keyed(seed, Purpose::Augment, epoch as u64, key);
                    augment.augment(&photo, &input, &mut rng)
                }
                None => input.prepare(&photo),
            }
        };
        Self::with(jobs, spec, rgb, workers, budget_bytes)
    }

    /// As [`start`](Self::start), with the prepared pixels of a job from `rgb`.
    pub(crate) fn with(
        jobs: Vec<Job>,
        spec: &InputSpec,
        rgb: impl Fn(&Job) -> Result<Vec<u8>> + Send + Sync + 'static,
        workers: usize,
        budget_bytes: usize,
    ) -> Result<Self> {
        spec.validate()?;
        let spec = spec.clone();
        let values = spec.channels * spec.size[0] * spec.size[1];
        let load = move |job: &Job| {
            let mut pixels = vec![0.0; values];
            spec.normalise_into(&rgb(job)?, &mut pixels)?;
            Ok(pixels)
        };
        let item_bytes = values * size_of::<f32>();
        Self::run(jobs, Box::new(load), item_bytes, workers, budget_bytes)
    }

    fn run(
        jobs: Vec<Job>,
        load: Box<Load>,
        item_bytes: usize,
        workers: usize,
        budget_bytes: usize,
    ) -> Result<Self> {
        let mut loader = Self {
            shared: Arc::new(Shared {
                jobs,
                load,
                item_bytes,
                budget_bytes,
                state: Mutex::default(),
                changed: Condvar::new(),
            }),
            workers: Vec::new(),
        };
        for i in 0..workers.max(1) {
            let shared = Arc::clone(&loader.shared);
            let worker = std::thread::Builder::new()
                .name(format!("loader {i}"))
                .spawn(move || shared.work())
                .map_err(|e| Error::io("start", format!("loader thread {i}"), e))?;
            loader.workers.push(worker);
        }
        Ok(loader)
    }

    /// The most bytes of photos that were in flight at once so far: being loaded, or finished and not yet yielded.
    pub fn peak_bytes(&self) -> usize {
        self.shared.lock().peak_bytes
    }
}

impl Iterator for Loader {
    type Item = Result<Decoded>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut state = self.shared.lock();
        let position = state.next_out;
        if position == self.shared.jobs.len() {
            return None;
        }
        let decoded = loop {
            match state.ready.remove(&position) {
                Some(decoded) => break decoded,
                None => state = self.shared.wait(state),
            }
        };
        state.next_out += 1;
        state.bytes -= self.shared.item_bytes;
        drop(state);
        self.shared.changed.notify_all();
        Some(decoded)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.shared.jobs.len() - self.shared.lock().next_out;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Loader {}

impl Drop for Loader {
    fn drop(&mut self) {
        self.shared.lock().stopped = true;
        self.shared.changed.notify_all();
        for worker in self.workers.drain(..) {
            // A worker catches its panics, so there is nothing to learn from the result.
            let _ = worker.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    fn jobs(n: usize) -> Vec<Job> {
        (0..n)
            .map(|index| Job {
                index,
                again: 0,
                path: format!("{index}.jpg").into(),
            })
            .collect()
    }

    /// Loads one value a photo; earlier photos of a group of four take longer, so workers finish out of order.
    fn slow(job: &Job) -> Result<Vec<f32>> {
        std::thread::sleep(Duration::from_millis(4 - (job.index % 4) as u64));
        Ok(vec![job.index as f32])
    }

    #[test]
    fn photos_come_in_order_and_within_the_budget() {
        for (workers, budget) in [(1, 12), (4, 12), (4, 1000), (8, 0)] {
            let mut loader = Loader::run(jobs(40), Box::new(slow), 4, workers, budget).unwrap();
            assert_eq!(loader.len(), 40);
            let mut found = Vec::new();
            for decoded in loader.by_ref() {
                let decoded = decoded.unwrap();
                assert_eq!(decoded.pixels, [decoded.index as f32]);
                found.push(decoded.index);
                std::thread::sleep(Duration::from_micros(500));
            }
            assert!(found.into_iter().eq(0..40));
            assert!(loader.peak_bytes() <= budget.max(4), "{workers} {budget}");
            assert!(loader.next().is_none());
        }
    }

    #[test]
    fn a_panicking_worker_is_an_error_in_its_place() {
        let load = |job: &Job| match job.index {
            2 => panic!("as a broken decoder would"),
            _ => slow(job),
        };
        let loader = Loader::run(jobs(6), Box::new(load), 4, 2, 8).unwrap();
        let found: Vec<Result<Decoded>> = loader.collect();
        assert_eq!(found.len(), 6);
        for (i, decoded) in found.iter().enumerate() {
            assert_eq!(decoded.is_err(), i == 2, "{i}");
        }
        let message = found[2].as_ref().unwrap_err().to_string();
        assert!(
            message.contains("2.jpg") && message.contains("panicked"),
            "{message}"
        );
    }

    #[test]
    fn a_dropped_loader_stops_its_workers() {
        let loaded = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&loaded);
        let load = move |job: &Job| {
            counter.fetch_add(1, Ordering::SeqCst);
            slow(job)
        };
        let mut loader = Loader::run(jobs(100_000), Box::new(load), 4, 4, 40).unwrap();
        assert!(loader.next().unwrap().is_ok());
        drop(loader);
        // The workers have ended: the counter and everything else they held is let go of.
        assert_eq!(Arc::strong_count(&loaded), 1);
        assert!(loaded.load(Ordering::SeqCst) <= 12);
    }
}
