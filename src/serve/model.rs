//! A model that is served: its file, what was read of it, the queue before it, and the thread that predicts.

use super::body::Held;
use super::failure::{Failure, Kind};
use super::metrics::Metrics;
use super::queue::{Photos, Queue, Refused};
use super::{Log, Settings};
use crate::error::{Error, Result};
use crate::input::{Photo, PhotoFile, PhotoSource};
use crate::predict::{Ensemble, Predict as _, Prediction, Views};
use rayon::prelude::*;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;

/// What is said of each photo of a request, or why nothing is.
pub(super) type Outcome = std::result::Result<Prediction, Failure>;

/// A request's photos, by what errors call them.
pub(super) struct Job {
    photos: Vec<(PhotoSource, PathBuf)>,
    answer: oneshot::Sender<Vec<Outcome>>,
    /// The memory of its body, until it is answered.
    _held: Arc<Held>,
}

impl Photos for Job {
    fn photos(&self) -> usize {
        self.photos.len()
    }
}

/// A model that is served.
pub(super) struct Model {
    pub name: String,
    pub path: PathBuf,
    views: Option<Views>,
    current: RwLock<Arc<Ensemble>>,
    pub queue: Queue<Job>,
    metrics: Arc<Metrics>,
    max_batch_size: usize,
    max_queue_delay: Duration,
    max_queue_size: usize,
    max_pixels: u64,
    log: Log,
}

impl Model {
    /// # Errors
    /// As [`Ensemble::from_file`]; the model's own if it does not predict.
    pub(super) fn load(
        name: &str,
        path: &Path,
        views: Option<Views>,
        settings: &Settings,
        metrics: &Arc<Metrics>,
    ) -> Result<Self> {
        Ok(Self {
            name: name.into(),
            path: path.into(),
            views,
            current: RwLock::new(Arc::new(read(path, views)?)),
            queue: Queue::new(settings.max_queue_size),
            metrics: Arc::clone(metrics),
            max_batch_size: settings.max_batch_size,
            max_queue_delay: settings.max_queue_delay,
            max_queue_size: settings.max_queue_size,
            max_pixels: settings.max_pixels,
            log: settings.log,
        })
    }

    /// What answers now.
    pub(super) fn current(&self) -> Arc<Ensemble> {
        let current = self.current.read();
        Arc::clone(&current.unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the file again: what is under way is answered by the old model, what comes after it by the new one. One that cannot
    /// be read or does not predict is refused, and the old one stays.
    pub(super) fn reload(&self) {
        let read = catch_unwind(|| read(&self.path, self.views));
        let refusal = match read {
            Ok(Ok(new)) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
                None
            }
            Ok(Err(error)) => Some(format!("{error:#}")),
            Err(_) => Some("reading it panicked".into()),
        };
        self.metrics.reload(&self.name, refusal.is_none());
        (self.log)(match refusal {
            None => format!(
                "model {}: loaded anew from {}",
                self.name,
                self.path.display()
            ),
            Some(why) => format!(
                "error: model {}: the new file is refused and the old model kept: {why}",
                self.name
            ),
        });
    }

    /// What is said of photos, with what errors call them, in their order.
    pub(super) async fn predict(
        &self,
        photos: Vec<(PhotoSource, PathBuf)>,
        held: Arc<Held>,
    ) -> std::result::Result<Vec<Outcome>, Failure> {
        if photos.len() > self.max_queue_size {
            return Err(Failure::new(
                Kind::Large,
                format!(
                    "{} photos in a request; at most {} are taken",
                    photos.len(),
                    self.max_queue_size
                ),
            ));
        }
        let (answer, answered) = oneshot::channel();
        let job = Job {
            photos,
            answer,
            _held: held,
        };
        self.queue.push(job).map_err(|refused| match refused {
            Refused::Full(waiting) => Failure::new(
                Kind::Full,
                format!(
                    "{waiting} photos wait for model {}, at most {} may; try again later",
                    self.name, self.max_queue_size
                ),
            ),
            Refused::Closed => Failure::new(Kind::Ending, "the server is ending"),
        })?;
        answered.await.map_err(|_| {
            let words = format!("model {} panicked", self.name);
            Failure::new(Kind::Model, words)
        })
    }

    /// Predicts what waits until nothing more comes.
    fn work(&self) {
        // Whoever has no connection asks nothing.
        let clients = || self.metrics.connections.load(Ordering::Relaxed);
        let next = || {
            let queue = &self.queue;
            queue.take(self.max_batch_size, self.max_queue_delay, clients)
        };
        while let Some(jobs) = next() {
            // Nobody waits for the answer to a connection that was closed.
            let jobs: Vec<Job> = jobs.into_iter().filter(|j| !j.answer.is_closed()).collect();
            let ensemble = self.current();
            let answer = || self.answer(&ensemble, jobs);
            if catch_unwind(AssertUnwindSafe(answer)).is_err() {
                // Whoever waited is told: the sender is gone.
                (self.log)(format!("error: model {} panicked", self.name));
            }
        }
    }

    fn answer(&self, ensemble: &Ensemble, jobs: Vec<Job>) {
        let photos: Vec<_> = jobs.iter().flat_map(|j| &j.photos).collect();
        if photos.is_empty() {
            return;
        }
        self.metrics.batch(&self.name, photos.len());
        let mut outcomes = self.outcomes(ensemble, &photos).into_iter();
        for job in jobs {
            let of_job = outcomes.by_ref().take(job.photos.len()).collect();
            // Whoever has gone meanwhile needs none.
            let _ = job.answer.send(of_job);
        }
    }

    fn outcomes(&self, ensemble: &Ensemble, photos: &[&(PhotoSource, PathBuf)]) -> Vec<Outcome> {
        let too_large: Vec<Option<Failure>> = photos
            .par_iter()
            .map(|(photo, name)| match photo {
                PhotoSource::Encoded(bytes) => too_large(bytes, name, self.max_pixels),
                PhotoSource::Decoded(photo) => {
                    refused(Ok([photo.height, photo.width]), name, self.max_pixels)
                }
                PhotoSource::File(_) | PhotoSource::Stored(_) => None,
            })
            .collect();
        let fit = photos.iter().zip(&too_large).filter(|(_, no)| no.is_none());
        let fit: Vec<_> = fit
            .map(|((photo, name), _)| (photo, name.as_path()))
            .collect();
        let mut predicted = match ensemble.scores_of(&fit) {
            Ok(scores) => {
                let said = scores.into_iter().map(|s| ensemble.to_prediction(&s?));
                said.map(|p| p.map_err(|e| Failure::of(&e))).collect()
            }
            Err(error) => vec![Err(Failure::new(Kind::Model, format!("{error:#}"))); fit.len()],
        }
        .into_iter();
        let missing = || Err(Failure::new(Kind::Model, "the model gave no answer"));
        let outcome = |no: Option<Failure>| match no {
            Some(failure) => Err(failure),
            None => predicted.next().unwrap_or_else(missing),
        };
        too_large.into_iter().map(outcome).collect()
    }
}

/// What refuses a photo of more pixels, by its header.
pub(super) fn too_large(photo: &[u8], name: &Path, most: u64) -> Option<Failure> {
    let sides = PhotoFile::given(name, photo).and_then(|f| f.sides());
    refused(sides, name, most)
}

fn refused(sides: Result<[usize; 2]>, name: &Path, most: u64) -> Option<Failure> {
    match sides {
        Ok([height, width]) if height as u64 * width as u64 > most => Some(Failure::new(
            Kind::Photo,
            format!(
                "photo {}: {height}×{width} pixels (height × width); at most {most} pixels are taken",
                crate::escape::one_line(&name.display().to_string())
            ),
        )),
        Ok(_) => None,
        Err(error) => Some(Failure::of(&error)),
    }
}

/// The models of a file, which have predicted once: what they are short of then shows before they are asked.
fn read(path: &Path, views: Option<Views>) -> Result<Ensemble> {
    let mut ensemble = Ensemble::from_file(path)?;
    if let Some(views) = views {
        ensemble = ensemble.with_views(views)?;
    }
    let side = 32;
    let grey = Photo {
        height: side,
        width: side,
        rgb: vec![127; side * side * 3],
    };
    match ensemble.predict_all(&[grey.into()])?.pop() {
        Some(Err(error)) => Err(Error::Checkpoint {
            origin: path.display().to_string(),
            problem: "it does not predict a grey photo".into(),
            source: Some(error.into()),
        }),
        _ => Ok(ensemble),
    }
}

/// The thread on which a model predicts.
pub(super) fn work(model: &Arc<Model>) -> JoinHandle<()> {
    let model = Arc::clone(model);
    std::thread::spawn(move || model.work())
}
