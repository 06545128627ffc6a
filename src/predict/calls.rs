//! The calls that a model and several models answer alike.

use super::prediction::Prediction;
use crate::error::{Error, Result};
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
    /// A photo's pixels.
    fn prepare(&self, photo: &Photo) -> Result<Prepared>;
    /// The same of a photo from anywhere, which errors call by a name.
    fn open(&self, source: &PhotoSource, name: &Path) -> Result<Prepared>;
    /// A prediction a photo, or an error in its place; of no photos none.
    fn predict_prepared(&self, photos: Vec<Prepared>) -> Result<Vec<Result<Prediction>>>;
    /// The same of normalised images.
    fn predict_images(&self, images: &Tensor) -> Result<Vec<Result<Prediction>>>;
}

/// What a [`Predictor`](crate::Predictor) and an [`Ensemble`](crate::Ensemble) both answer, for code that takes either. Both have
/// these as methods of their own too, so that the trait need not be imported for one of them.
///
/// ```no_run
/// use hydranet::{Ensemble, Photo, Predict, Predictor};
/// fn name(model: &dyn Predict, photo: &Photo) -> hydranet::Result<String> {
///     Ok(model.predict_photo(photo)?.name)
/// }
/// let photo = Photo { height: 480, width: 640, rgb: vec![127; 480 * 640 * 3] };
/// println!("{}", name(&Predictor::from_file("best.safetensors")?, &photo)?);
/// println!("{}", name(&Ensemble::from_file("all.json")?, &photo)?);
/// # Ok::<(), hydranet::Error>(())
/// ```
pub trait Predict: Engine {
    /// Labels and final classes.
    fn taxonomy(&self) -> &Taxonomy {
        self.labels()
    }

    /// Predicts from normalised images; an ensemble for members with the same input and without crops.
    ///
    /// # Shapes
    /// `images` `(batch, channels, H, W)`, height and width those of the model's input; one prediction an image, none of none.
    ///
    /// # Errors
    /// [`Error::Shape`] if the images are of another shape; [`Error::Invalid`], naming the image, if what the model says is not
    /// finite, or if an ensemble needs the photo itself.
    fn predict_tensor(&self, images: &Tensor) -> Result<Vec<Prediction>> {
        all(self.predict_images(images)?, "image")
    }

    /// Predicts pixels of any size, which are cropped and resized as the model's input says.
    ///
    /// # Errors
    /// As [`Photo::validate`]: [`Error::Shape`] if height and width are not those of the bytes.
    fn predict_photo(&self, photo: &Photo) -> Result<Prediction> {
        one(self.predict_prepared(vec![self.prepare(photo)?])?)
    }

    /// Predicts pixels of many photos, in their order.
    ///
    /// # Errors
    /// As [`predict_photo`](Self::predict_photo); the first photo that fails is named by its place. One failure an answer is
    /// given by [`predict_iter`](Self::predict_iter).
    fn predict_photos(&self, photos: &[Photo]) -> Result<Vec<Prediction>> {
        let mut answers = Vec::with_capacity(photos.len());
        for photos in photos.chunks(self.at_once()) {
            let prepared = photos.par_iter().map(|p| self.prepare(p)).collect();
            let (prepared, failed) = apart(prepared);
            let found = merged(self.predict_prepared(prepared)?, failed);
            answers.extend(found);
        }
        all(answers, "photo")
    }

    /// Predicts a photo's file in memory, for instance an upload. Its errors call it "photo 1".
    ///
    /// # Errors
    /// [`Error::Image`] if it cannot be read.
    #[cfg(feature = "image")]
    fn predict_bytes(&self, bytes: &[u8]) -> Result<Prediction> {
        one(predict_all(self, &[PhotoSource::Encoded(bytes.into())], 1)?)
    }

    /// Predicts one photo file.
    ///
    /// # Errors
    /// [`Error::Image`] or [`Error::Io`] naming the photo.
    #[cfg(feature = "image")]
    fn predict_file(&self, path: &Path) -> Result<Prediction> {
        one(predict_all(self, &[path.into()], 1)?)
    }

    /// Predicts photos one after the other as they are taken from an iterator: files, encoded ones, pixels. At most 32 are held
    /// at once, and prepared on all threads; answers come in the photos' order. A photo that fails is an error in its place that
    /// names it, by its path or as "photo 17", the seventeenth of the iterator, and the rest goes on.
    ///
    /// ```no_run
    /// let predictor = hydranet::Predictor::from_file("best.safetensors")?;
    /// let frames = (0..5_000).map(|_| hydranet::Photo { height: 2, width: 1, rgb: vec![0; 6] });
    /// for prediction in predictor.predict_iter(frames) {
    ///     match prediction {
    ///         Ok(prediction) => println!("{}", prediction.name),
    ///         Err(error) => eprintln!("{error:#}"),
    ///     }
    /// }
    /// # Ok::<(), hydranet::Error>(())
    /// ```
    fn predict_iter<I>(&self, photos: I) -> impl Iterator<Item = Result<Prediction>>
    where
        Self: Sized,
        I: IntoIterator<Item: Into<PhotoSource>>,
    {
        let mut photos = photos.into_iter().map(Into::into).fuse();
        let (mut ready, mut first) = (VecDeque::new(), 1);
        std::iter::from_fn(move || {
            if ready.is_empty() {
                let batch: Vec<PhotoSource> = photos.by_ref().take(self.at_once()).collect();
                ready.extend(match predict_all(self, &batch, first) {
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
}

/// Predicts photos that are all at hand, the first of which has the place `first`; one that fails is an error in its place that
/// names it.
///
/// # Errors
/// If the model itself fails.
pub(super) fn predict_all(
    engine: &(impl Engine + ?Sized),
    photos: &[PhotoSource],
    first: usize,
) -> Result<Vec<Result<Prediction>>> {
    let mut answers = Vec::with_capacity(photos.len());
    let photos: Vec<_> = photos
        .iter()
        .zip(first..)
        .map(|(p, i)| (p, name(p, i)))
        .collect();
    for photos in photos.chunks(engine.at_once()) {
        let opened = photos
            .par_iter()
            .map(|(photo, name)| engine.open(photo, name));
        let (prepared, failed) = apart(opened.collect());
        let found = merged(engine.predict_prepared(prepared)?, failed);
        let answered = found.into_iter().zip(photos);
        answers.extend(answered.map(|(answer, (_, name))| answer.map_err(|e| named(e, name))));
    }
    Ok(answers)
}

/// What errors call a photo.
fn name(photo: &PhotoSource, place: usize) -> PathBuf {
    match photo {
        #[cfg(feature = "image")]
        PhotoSource::File(path) => path.clone(),
        _ => place.to_string().into(),
    }
}

const UNPREDICTED: &str = "it cannot be predicted";

/// An error with the name of the photo that it is about.
pub(super) fn named(error: Error, name: &Path) -> Error {
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
pub(super) fn apart(prepared: Vec<Result<Prepared>>) -> (Vec<Prepared>, Vec<Option<Error>>) {
    let mut photos = Vec::with_capacity(prepared.len());
    let outcomes = prepared
        .into_iter()
        .map(|p| p.map(|photo| photos.push(photo)).err());
    let failed = outcomes.collect();
    (photos, failed)
}

/// Answers and errors in the places of the photos.
pub(super) fn merged<T>(answers: Vec<Result<T>>, failed: Vec<Option<Error>>) -> Vec<Result<T>> {
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
fn one<T>(mut answers: Vec<Result<T>>) -> Result<T> {
    answers.pop().unwrap_or_else(|| {
        Err(Error::Invalid {
            what: "the answers of a model".into(),
            expected: "one a photo".into(),
            found: "none".into(),
        })
    })
}

/// All answers, or the first error, with its place.
fn all<T>(answers: Vec<Result<T>>, of: &str) -> Result<Vec<T>> {
    let count = answers.len();
    let placed = |(i, answer): (usize, Result<T>)| {
        let place = |what| format!("{what} ({of} {} of {count})", i + 1);
        answer.map_err(|e| match e {
            Error::Invalid {
                what,
                expected,
                found,
            } => Error::Invalid {
                what: place(what),
                expected,
                found,
            },
            Error::Shape {
                what,
                expected,
                found,
            } => Error::Shape {
                what: place(what),
                expected,
                found,
            },
            other => other,
        })
    };
    answers.into_iter().enumerate().map(placed).collect()
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

/// Gives a type the calls as methods of its own.
macro_rules! calls {
    ($type:ty) => {
        impl Predict for $type {}

        impl $type {
            /// Labels and final classes.
            pub fn taxonomy(&self) -> &Taxonomy {
                self.labels()
            }

            /// Predicts from normalised images, see [`Predict::predict_tensor`].
            ///
            /// # Shapes
            /// `images` `(batch, channels, H, W)`, height and width those of the model's input; one prediction an image.
            ///
            /// # Errors
            /// As [`Predict::predict_tensor`].
            pub fn predict_tensor(&self, images: &Tensor) -> Result<Vec<Prediction>> {
                Predict::predict_tensor(self, images)
            }

            /// Predicts pixels of any size, see [`Predict::predict_photo`].
            ///
            /// # Errors
            /// As [`Predict::predict_photo`].
            pub fn predict_photo(&self, photo: &Photo) -> Result<Prediction> {
                Predict::predict_photo(self, photo)
            }

            /// Predicts pixels of many photos, see [`Predict::predict_photos`].
            ///
            /// # Errors
            /// As [`Predict::predict_photos`].
            pub fn predict_photos(&self, photos: &[Photo]) -> Result<Vec<Prediction>> {
                Predict::predict_photos(self, photos)
            }

            /// Predicts photos as they come, an answer or an error each, see [`Predict::predict_iter`].
            pub fn predict_iter<I>(&self, photos: I) -> impl Iterator<Item = Result<Prediction>>
            where
                I: IntoIterator<Item: Into<PhotoSource>>,
            {
                Predict::predict_iter(self, photos)
            }

            /// Predicts a photo's file in memory, see [`Predict::predict_bytes`].
            ///
            /// # Errors
            /// As [`Predict::predict_bytes`].
            #[cfg(feature = "image")]
            pub fn predict_bytes(&self, bytes: &[u8]) -> Result<Prediction> {
                Predict::predict_bytes(self, bytes)
            }

            /// Predicts one photo file, see [`Predict::predict_file`].
            ///
            /// # Errors
            /// As [`Predict::predict_file`].
            #[cfg(feature = "image")]
            pub fn predict_file(&self, path: impl AsRef<std::path::Path>) -> Result<Prediction> {
                Predict::predict_file(self, path.as_ref())
            }

            /// Predicts photo files, in their order; one that cannot be read is an error in its place.
            ///
            /// # Errors
            /// If the model itself fails.
            #[cfg(feature = "image")]
            pub fn predict_files(
                &self,
                paths: &[impl AsRef<std::path::Path>],
            ) -> Result<Vec<Result<Prediction>>> {
                let photos: Vec<PhotoSource> = paths.iter().map(|p| p.as_ref().into()).collect();
                calls::predict_all(self, &photos, 1)
            }

            /// Predicts a picture of the crate [`image`], as it is: without regard to any orientation its file may have named.
            ///
            /// # Errors
            /// As [`Predict::predict_photo`].
            #[cfg(feature = "image")]
            pub fn predict_image(&self, image: &image::DynamicImage) -> Result<Prediction> {
                self.predict_photo(&Photo::from_image(image, self.channels()))
            }
        }
    };
}
pub(super) use calls;
