//! Photos decoded ahead on worker threads, in a fixed order and within a budget of memory.

use super::augment::AugmentConfig;
use super::dataset::Dataset;
use super::named_photo::NamedPhoto;
use crate::error::{Error, Result};
use crate::input::InputSpec;
use crate::random::rng::{Purpose, keyed};
use candle_core::{Device, Tensor};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

/// Photos that a finished model is run on at once; has no effect on the results.
pub(crate) const EVAL_BATCH: usize = 32;

/// MiB of photos decoded ahead where nothing else is said.
pub(crate) const QUEUE_MIB: usize = 64;

/// Worker threads that decode, and bytes they may decode ahead.
#[derive(Clone, Copy, Debug)]
pub struct LoaderConfig {
    /// Threads, at least one.
    pub workers: usize,
    /// Bytes of normalised photos held at once, or one photo if that is more.
    pub bytes: usize,
}

impl LoaderConfig {
    /// One worker for each of the threads there are, and a budget in MiB.
    pub fn new(mib: usize) -> Self {
        Self {
            workers: rayon::current_num_threads(),
            bytes: mib << 20,
        }
    }
}

/// A photo to load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// The sample, which also keys its augmentation.
    pub index: usize,
    /// How often it came before in the epoch: each time it is augmented anew.
    pub again: u32,
    /// The photo.
    pub photo: NamedPhoto,
}

/// A loaded photo.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// Normalised planes, `(3, H, W)`.
    pub pixels: Vec<f32>,
}

/// The jobs that load these samples.
pub fn jobs(dataset: &Dataset, indices: &[usize]) -> Vec<Job> {
    indices
        .iter()
        .map(|i| Job {
            index: *i,
            again: 0,
            photo: (&dataset.samples[*i]).into(),
        })
        .collect()
}

/// A batch tensor from loaded photos.
///
/// # Shapes
/// Result `(batch, channels, H, W)`.
///
/// # Errors
/// If the photos are not of the input's size.
pub fn stack(photos: &[Decoded], input: &InputSpec) -> Result<Tensor> {
    let [h, w] = input.size;
    let mut pixels = Vec::with_capacity(photos.len() * input.channels * h * w);
    photos
        .iter()
        .for_each(|p| pixels.extend_from_slice(&p.pixels));
    Ok(Tensor::from_vec(
        pixels,
        (photos.len(), input.channels, h, w),
        &Device::Cpu,
    )?)
}

/// Yields the photos of its jobs in their order, whatever the number of workers, and the same bytes too. A photo that cannot be
/// loaded is an error in its place. Dropping the loader stops the workers after the photo each is at.
///
/// Of n workers each loads every n-th photo and sends it through a channel of its own, from which they are taken in turn.
pub struct Loader {
    channels: Vec<Receiver<Result<Decoded>>>,
    workers: Vec<JoinHandle<()>>,
    jobs: usize,
    /// The next job to be yielded.
    next: usize,
}

impl Loader {
    /// Starts the threads; each of them holds one decoded file beside the photos. With `augment` none, every photo is prepared as
    /// for prediction; else it is changed by draws keyed by seed, epoch, sample and how often it came before.
    ///
    /// # Errors
    /// [`Error::Invalid`] if `spec` or `augment` is not valid, [`Error::Io`] if no thread can be started.
    pub fn start(
        jobs: Vec<Job>,
        spec: &InputSpec,
        augment: Option<AugmentConfig>,
        seed: u64,
        epoch: usize,
        config: LoaderConfig,
    ) -> Result<Self> {
        augment.iter().try_for_each(AugmentConfig::validate)?;
        let input = spec.clone();
        let rgb = move |job: &Job| {
            let photo = job.photo.hold(&input)?;
            match &augment {
                Some(augment) => {
                    let key = job.index as u64 | u64::from(job.again) << 32;
                    let mut rng = keyed(seed, Purpose::Augment, epoch as u64, key);
                    augment.augment(&photo, &input, &mut rng)
                }
                None => input.prepare(&photo),
            }
        };
        Self::with(jobs, spec, rgb, config)
    }

    /// As [`start`](Self::start), with the prepared pixels of a job from `rgb`.
    pub(crate) fn with(
        jobs: Vec<Job>,
        spec: &InputSpec,
        rgb: impl Fn(&Job) -> Result<Vec<u8>> + Send + Sync + 'static,
        config: LoaderConfig,
    ) -> Result<Self> {
        spec.validate()?;
        let spec = spec.clone();
        let values = spec.channels * spec.size[0] * spec.size[1];
        let load = move |job: &Job| {
            let mut pixels = vec![0.0; values];
            spec.normalise_into(&rgb(job)?, &mut pixels)?;
            Ok(pixels)
        };
        Self::run(jobs, load, values * size_of::<f32>(), config)
    }

    fn run(
        jobs: Vec<Job>,
        load: impl Fn(&Job) -> Result<Vec<f32>> + Send + Sync + 'static,
        photo_bytes: usize,
        config: LoaderConfig,
    ) -> Result<Self> {
        // Photos in all: one that each worker is at, and those in its channel.
        let held = (config.bytes / photo_bytes).min(jobs.len()).max(1);
        let workers = config.workers.clamp(1, held);
        let mut loader = Self {
            channels: Vec::new(),
            workers: Vec::new(),
            jobs: jobs.len(),
            next: 0,
        };
        let shared = Arc::new((jobs, load));
        for first in 0..workers {
            let (sender, receiver) = sync_channel(held / workers - 1);
            let shared = Arc::clone(&shared);
            let work = move || {
                let (jobs, load) = &*shared;
                for job in jobs.iter().skip(first).step_by(workers) {
                    // Nobody takes it where the loader was dropped.
                    let decoded = load(job).map(|pixels| Decoded { pixels });
                    if sender.send(decoded).is_err() {
                        return;
                    }
                }
            };
            let worker = std::thread::Builder::new()
                .name(format!("loader {first}"))
                .spawn(work)
                .map_err(|e| Error::io("start", format!("loader thread {first}"), e))?;
            loader.channels.push(receiver);
            loader.workers.push(worker);
        }
        Ok(loader)
    }
}

impl Iterator for Loader {
    type Item = Result<Decoded>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next == self.jobs {
            return None;
        }
        let channel = &self.channels[self.next % self.channels.len()];
        self.next += 1;
        Some(channel.recv().unwrap_or_else(|_| {
            Err(Error::Invalid {
                what: "a thread that loads photos".into(),
                expected: "one that goes on to its last photo".into(),
                found: "its panic".into(),
            })
        }))
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.channels.clear();
        for worker in self.workers.drain(..) {
            // A worker that panicked was an error where its photo was taken.
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
                photo: std::path::Path::new(&format!("{index}.jpg")).into(),
            })
            .collect()
    }

    /// Loads one value a photo; earlier photos of a group of four take longer, so workers finish out of order.
    fn slow(job: &Job) -> Result<Vec<f32>> {
        std::thread::sleep(Duration::from_millis(4 - (job.index % 4) as u64));
        Ok(vec![job.index as f32])
    }

    fn config(workers: usize, bytes: usize) -> LoaderConfig {
        LoaderConfig { workers, bytes }
    }

    #[test]
    fn photos_come_in_order_and_within_the_budget() {
        for (workers, bytes) in [(1, 12), (4, 12), (4, 1000), (8, 0)] {
            let begun = Arc::new(AtomicUsize::new(0));
            let counter = Arc::clone(&begun);
            let load = move |job: &Job| {
                counter.fetch_add(1, Ordering::SeqCst);
                slow(job)
            };
            let mut loader = Loader::run(jobs(40), load, 4, config(workers, bytes)).unwrap();
            for place in 0..40 {
                let decoded = loader.next().unwrap().unwrap();
                assert_eq!(decoded.pixels, [place as f32]);
                std::thread::sleep(Duration::from_micros(500));
                let held = begun.load(Ordering::SeqCst) - (place + 1);
                assert!(held <= (bytes / 4).max(1), "{workers} {bytes}: {held}");
            }
            assert!(loader.next().is_none());
        }
    }

    #[test]
    fn a_panicking_worker_is_an_error_and_no_end() {
        let load = |job: &Job| match job.index {
            2 => panic!("as a broken decoder would"),
            _ => slow(job),
        };
        let loader = Loader::run(jobs(6), load, 4, config(2, 8)).unwrap();
        // Of two workers the first goes no further.
        let failed: Vec<bool> = loader.map(|photo| photo.is_err()).collect();
        assert_eq!(failed, [false, false, true, false, true, false]);
    }

    #[test]
    fn a_dropped_loader_stops_its_workers() {
        let loaded = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&loaded);
        let load = move |job: &Job| {
            counter.fetch_add(1, Ordering::SeqCst);
            slow(job)
        };
        let mut loader = Loader::run(jobs(100_000), load, 4, config(4, 40)).unwrap();
        assert!(loader.next().unwrap().is_ok());
        drop(loader);
        // The workers have ended: the counter and everything else they held is let go of.
        assert_eq!(Arc::strong_count(&loaded), 1);
        assert!(loaded.load(Ordering::SeqCst) <= 12);
    }
}
