//! The calls that a model and several models answer alike.

use super::prediction::Prediction;
use crate::error::{Error, Result};
#[cfg(feature = "image")]
use crate::input::PhotoFile;
use crate::input::{InputSpec, Photo, PhotoSource};
use crate::taxonomy::Taxonomy;
use candle_core::{Device, Tensor};
use rayon::prelude::*;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Photos a pass through the network at most; has no effect on the results.
pub(super) const BATCH: usize = 32;

/// A photo's pixels as each model sees them in each view.
pub type Prepared = Vec<Vec<Vec<u8>>>;

/// What the calls are made of; nobody else's types have it.
pub trait Engine: Send + Sync {
    /// Labels and final classes.
    fn labels(&self) -> &Taxonomy;
    /// How many photos are held at once.
    fn at_once(&self) -> usize;
    /// What is made of a photo, one after the other.
    fn inputs(&self) -> Vec<InputSpec>;
    /// A photo's pixels.
    fn prepare(&self, photo: &Photo) -> Result<Prepared>;
    /// A prediction a photo, or an error in its place; of no photos none.
    fn predict_prepared(&self, photos: Vec<Prepared>) -> Result<Vec<Result<Prediction>>>;
    /// The same of normalised images.
    fn predict_images(&self, images: &Tensor) -> Result<Vec<Result<Prediction>>>;
}

/// A [`Predictor`](crate::Predictor) or an [`Ensemble`](crate::Ensemble), for code that takes either. What else they answer are
/// methods of their own, by the same names in both.
///
/// ```no_run
/// use hydranet::{Ensemble, Photo, Predict, Predictor};
/// fn names(model: &dyn Predict, photo: Photo) -> hydranet::Result<()> {
///     for prediction in model.predict_all(&[photo.into()])? {
///         println!("{}", prediction?.name);
///     }
///     Ok(())
/// }
/// let photo = Photo { height: 480, width: 640, rgb: vec![127; 480 * 640 * 3] };
/// names(&Predictor::from_file("best.safetensors")?, photo.clone())?;
/// names(&Ensemble::from_file("all.json")?, photo)?;
/// # Ok::<(), hydranet::Error>(())
/// ```
pub trait Predict: Engine {
    /// Labels and final classes.
    fn taxonomy(&self) -> &Taxonomy {
        self.labels()
    }

    /// Predicts photos that are all at hand, in their order: files, encoded ones, pixels. One that fails is an error in its place
    /// that names it, by its path or as "photo 17".
    ///
    /// # Errors
    /// If the model itself fails.
    fn predict_all(&self, photos: &[PhotoSource]) -> Result<Vec<Result<Prediction>>> {
        predict_from(self, photos, 1)
    }
}

/// The answers for photos, as many at a time as are held at once, as they are asked for: prepared on all threads, an error in the
/// place of one that fails.
fn in_batches<P: Sync, T>(
    photos: &[P],
    at_once: usize,
    prepare: impl Fn(&P) -> Result<Prepared> + Sync,
    answer: impl Fn(Vec<Prepared>) -> Result<Vec<Result<T>>>,
) -> impl Iterator<Item = Result<Vec<Result<T>>>> {
    photos.chunks(at_once).map(move |photos| {
        let prepared = photos.par_iter().map(&prepare).collect();
        let (prepared, failed) = apart(prepared);
        Ok(merged(answer(prepared)?, failed))
    })
}

/// What `answer` makes of photos by what errors call them; one that fails is an error in its place that names it.
///
/// # Errors
/// If the model itself fails.
pub(super) fn of_named<N: AsRef<Path> + Sync, T>(
    engine: &(impl Engine + ?Sized),
    photos: &[(&PhotoSource, N)],
    answer: impl Fn(Vec<Prepared>) -> Result<Vec<Result<T>>>,
) -> Result<Vec<Result<T>>> {
    let open = |(photo, name): &(&PhotoSource, N)| open(engine, photo, name.as_ref());
    let mut answers = Vec::with_capacity(photos.len());
    for found in in_batches(photos, engine.at_once(), open, answer) {
        answers.extend(found?);
    }
    let answered = answers.into_iter().zip(photos);
    Ok(answered
        .map(|(answer, (_, name))| answer.map_err(|e| named(e, name.as_ref())))
        .collect())
}

/// A photo's pixels, wherever it comes from.
fn open(engine: &(impl Engine + ?Sized), source: &PhotoSource, name: &Path) -> Result<Prepared> {
    match source {
        PhotoSource::Decoded(photo) => engine.prepare(photo).map_err(|e| named(e, name)),
        #[cfg(feature = "image")]
        encoded => {
            let inputs = engine.inputs();
            engine.prepare(&*encoded.hold(name, channels(&inputs), &inputs)?)
        }
    }
}

/// The most that any input has of each pixel.
pub(super) fn channels(inputs: &[InputSpec]) -> usize {
    inputs.iter().map(|i| i.channels).max().unwrap_or(3)
}

/// As [`Predict::predict_all`], of photos the first of which has the place `first`.
pub(super) fn predict_from(
    engine: &(impl Engine + ?Sized),
    photos: &[PhotoSource],
    first: usize,
) -> Result<Vec<Result<Prediction>>> {
    answers_from(engine, photos, first, |prepared| {
        engine.predict_prepared(prepared)
    })
}

/// The same of any answer.
fn answers_from<T>(
    engine: &(impl Engine + ?Sized),
    photos: &[PhotoSource],
    first: usize,
    answer: impl Fn(Vec<Prepared>) -> Result<Vec<Result<T>>>,
) -> Result<Vec<Result<T>>> {
    let photos: Vec<_> = photos
        .iter()
        .zip(first..)
        .map(|(p, i)| (p, name(p, i)))
        .collect();
    of_named(engine, &photos, answer)
}

/// The pixels of many photos, in their order; the first one that fails ends it, and is named by its place.
pub(super) fn predict_photos(
    engine: &(impl Engine + ?Sized),
    photos: &[Photo],
) -> Result<Vec<Prediction>> {
    let prepare = |photo: &Photo| engine.prepare(photo);
    let answer = |prepared| engine.predict_prepared(prepared);
    let mut answers = Vec::with_capacity(photos.len());
    for found in in_batches(photos, engine.at_once(), prepare, answer) {
        for answer in found? {
            let place = answers.len() + 1;
            answers.push(answer.map_err(|e| placed(e, "photo", place, photos.len()))?);
        }
    }
    Ok(answers)
}

/// A photo's file in memory.
#[cfg(feature = "image")]
pub(super) fn predict_bytes(engine: &(impl Engine + ?Sized), bytes: &[u8]) -> Result<Prediction> {
    let name = Path::new("1");
    let answer = || {
        let inputs = engine.inputs();
        let photo = PhotoFile::given(name, bytes)?.photo(channels(&inputs), &inputs)?;
        one(engine.predict_prepared(vec![engine.prepare(&photo)?])?)
    };
    answer().map_err(|e| named(e, name))
}

/// Photos as they come, a prediction or an error each.
pub(super) fn predict_iter(
    engine: &impl Engine,
    photos: impl Iterator<Item = PhotoSource>,
) -> impl Iterator<Item = Result<Prediction>> {
    answers(engine, photos, |prepared| engine.predict_prepared(prepared))
}

/// Photos as they come, what `answer` makes of each or an error.
pub(super) fn answers<T>(
    engine: &impl Engine,
    photos: impl Iterator<Item = PhotoSource>,
    answer: impl Fn(Vec<Prepared>) -> Result<Vec<Result<T>>>,
) -> impl Iterator<Item = Result<T>> {
    let mut photos = photos.fuse();
    let (mut ready, mut first) = (VecDeque::new(), 1);
    std::iter::from_fn(move || {
        if ready.is_empty() {
            let batch: Vec<PhotoSource> = photos.by_ref().take(engine.at_once()).collect();
            ready.extend(match answers_from(engine, &batch, first, &answer) {
                Ok(answers) => answers,
                // The model's, so that each photo of the batch has it.
                Err(error) => {
                    let error = Arc::new(error);
                    let of_photo = |(photo, place)| {
                        Err(Error::Image {
                            path: name(photo, place),
                            reason: UNPREDICTED.into(),
                            source: Some(Arc::clone(&error).into()),
                        })
                    };
                    batch.iter().zip(first..).map(of_photo).collect()
                }
            });
            first += batch.len();
        }
        ready.pop_front()
    })
}

/// What errors call a photo.
fn name(photo: &PhotoSource, place: usize) -> PathBuf {
    match photo {
        #[cfg(feature = "image")]
        PhotoSource::File(path) => path.clone(),
        #[cfg(feature = "image")]
        PhotoSource::Stored(stored) => stored.place(),
        _ => place.to_string().into(),
    }
}

const UNPREDICTED: &str = "it cannot be predicted";

/// An error with the name of the photo that it is about.
fn named(error: Error, name: &Path) -> Error {
    match error {
        Error::Image { .. } | Error::Io { .. } => error,
        other => Error::Image {
            path: name.into(),
            reason: UNPREDICTED.into(),
            source: Some(other.into()),
        },
    }
}

/// Those there are, and in the places of the others why they are not.
fn apart(prepared: Vec<Result<Prepared>>) -> (Vec<Prepared>, Vec<Option<Error>>) {
    let mut photos = Vec::with_capacity(prepared.len());
    let outcomes = prepared
        .into_iter()
        .map(|p| p.map(|photo| photos.push(photo)).err());
    let failed = outcomes.collect();
    (photos, failed)
}

/// Answers and errors in the places of the photos.
fn merged<T>(answers: Vec<Result<T>>, failed: Vec<Option<Error>>) -> Vec<Result<T>> {
    let mut answers = answers.into_iter();
    failed
        .into_iter()
        .filter_map(|failed| match failed {
            Some(error) => Some(Err(error)),
            None => answers.next(),
        })
        .collect()
}

/// The only answer.
pub(super) fn one<T>(mut answers: Vec<Result<T>>) -> Result<T> {
    answers.pop().unwrap_or_else(|| {
        Err(Error::Invalid {
            what: "the answers of a model".into(),
            expected: "one a photo".into(),
            found: "none".into(),
        })
    })
}

/// All answers about images, or the first error, with its place.
pub(super) fn all<T>(answers: Vec<Result<T>>) -> Result<Vec<T>> {
    let count = answers.len();
    let answers = answers.into_iter().zip(1..);
    answers
        .map(|(answer, place)| answer.map_err(|e| placed(e, "image", place, count)))
        .collect()
}

/// An error with the place of what it is about.
fn placed(error: Error, of: &str, place: usize, count: usize) -> Error {
    error.about(|what| format!("{what} ({of} {place} of {count})"))
}

/// `(batch, channels, H, W)` from photos' pixels, each `(H, W, channels)`.
pub(super) fn stack(spec: &InputSpec, photos: &[Vec<u8>]) -> Result<Tensor> {
    let [h, w] = spec.size;
    let shape = (photos.len(), spec.channels, h, w);
    let mut planes = vec![0f32; photos.len() * spec.channels * h * w];
    let of_photos = planes.par_chunks_exact_mut(spec.channels * h * w);
    let pairs = of_photos.zip(photos);
    pairs.try_for_each(|(planes, pixels)| spec.normalise_into(pixels, planes))?;
    Ok(Tensor::from_vec(planes, shape, &Device::Cpu)?)
}
