//! Prediction: where another Rust application stops reading.

use crate::error::{Error, Result};
use crate::input::InputSpec;
use crate::layers::Mode;
use crate::model::novelty::Novelty;
use crate::model::{Logits, MultiTaskModel};
use crate::model_file::{Description, ModelFile, Parts};
use crate::taxonomy::Taxonomy;
use candle_core::{Device, Tensor};
use std::path::Path;
use std::sync::Arc;

mod ensemble;
mod manifest;
#[cfg(feature = "image")]
mod photos;
mod prediction;
mod scores;
#[cfg(feature = "image")]
mod views;

pub use ensemble::Ensemble;
pub use manifest::{Manifest, Views};
pub use prediction::{HeadPrediction, Prediction};
pub use scores::Average;
pub(crate) use scores::Scores;

/// A trained model, ready to predict; can be shared between threads, which call it at once without a lock.
///
/// ```no_run
/// use std::sync::Arc;
/// let predictor = Arc::new(hydranet::Predictor::from_file("best.safetensors")?);
/// let threads: Vec<_> = (0..4)
///     .map(|_| {
///         let predictor = predictor.clone();
///         std::thread::spawn(move || {
///             let [height, width] = predictor.input().size;
///             predictor.predict_rgb(&vec![127; height * width * 3])
///         })
///     })
///     .collect();
/// for thread in threads {
///     println!("{}", thread.join().unwrap()?.name);
/// }
/// # Ok::<(), hydranet::Error>(())
/// ```
#[derive(Clone)]
pub struct Predictor {
    shared: Arc<Shared>,
}

struct Shared {
    description: Description,
    taxonomy: Taxonomy,
    model: MultiTaskModel,
    novelty: Option<Novelty>,
}

impl std::fmt::Debug for Predictor {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_struct("Predictor")
            .field("description", &self.shared.description)
            .finish_non_exhaustive()
    }
}

impl Predictor {
    /// Loads a model file, or a folder that `hydranet export --hugging-face` wrote.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Checkpoint`] if it is not a whole hydranet model.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        Self::of(ModelFile::open(path.as_ref(), false)?)
    }

    /// Loads a model file that nobody writes in place meanwhile, without a second copy of it in memory, see
    /// [`ModelFile::read_mapped`].
    ///
    /// # Errors
    /// As [`from_file`](Self::from_file).
    pub fn from_mapped(path: impl AsRef<Path>) -> Result<Self> {
        Self::of(ModelFile::open(path.as_ref(), true)?)
    }

    /// Loads a model from memory, for instance from `include_bytes!`.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if it is not a whole hydranet model.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        Self::of(ModelFile::built(bytes, "bytes")?)
    }

    /// A predictor over a model file in memory.
    ///
    /// # Errors
    /// As [`ModelFile::build`].
    pub fn new(file: &ModelFile) -> Result<Self> {
        Self::with(file.description.clone(), file.parts("the model")?)
    }

    fn of((file, parts): (ModelFile, Parts)) -> Result<Self> {
        Self::with(file.description, parts)
    }

    fn with(description: Description, (model, novelty): Parts) -> Result<Self> {
        let shared = Shared {
            taxonomy: description.model.taxonomy()?,
            model,
            novelty,
            description,
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// What the file says about the model.
    pub fn description(&self) -> &Description {
        &self.shared.description
    }

    /// Labels and final classes.
    pub fn taxonomy(&self) -> &Taxonomy {
        &self.shared.taxonomy
    }

    /// The path from photo to tensor.
    pub fn input(&self) -> &InputSpec {
        &self.shared.description.model.input
    }

    /// The underlying model.
    pub fn model(&self) -> &MultiTaskModel {
        &self.shared.model
    }

    /// Predicts from normalised images.
    ///
    /// # Shapes
    /// `images` `(batch, channels, H, W)`; one prediction an image.
    ///
    /// # Errors
    /// [`Error::Shape`] if it is not `(batch, channels, H, W)`; [`Error::Invalid`] if what the model says is not finite.
    pub fn predict_tensor(&self, images: &Tensor) -> Result<Vec<Prediction>> {
        self.predictions(images)?.into_iter().collect()
    }

    /// One prediction an image, or an error in its place.
    fn predictions(&self, images: &Tensor) -> Result<Vec<Result<Prediction>>> {
        let decision = &self.shared.description.decision;
        let to_prediction =
            |s: Result<Scores>| s?.to_prediction(&self.shared.taxonomy, decision.min_confidence);
        Ok(self
            .scores(images)?
            .into_iter()
            .map(to_prediction)
            .collect())
    }

    /// The scores of each image, or an error in their place.
    pub(crate) fn scores(&self, images: &Tensor) -> Result<Vec<Result<Scores>>> {
        let channels = self.input().channels;
        if images.rank() != 4 || images.dims()[1] != channels {
            return Err(Error::Shape {
                what: "images".into(),
                expected: format!("(batch, {channels}, H, W)"),
                found: images.dims().to_vec(),
            });
        }
        let features = self.shared.model.features(images, Mode::Eval)?;
        let logits = self.shared.model.logits(&features, Mode::Eval)?.rows()?;
        let distances = match &self.shared.novelty {
            Some(novelty) => novelty.distances(&features)?,
            None => Vec::new(),
        };
        let decision = &self.shared.description.decision;
        let scores = logits
            .iter()
            .enumerate()
            .map(|(i, photo)| {
                let mut scores = Scores::from_logits(&self.shared.taxonomy, decision, photo)?;
                let novelty = self.shared.novelty.as_ref().zip(distances.get(i));
                scores.novelty = novelty.map(|(n, distance)| n.share(*distance));
                Ok(scores)
            })
            .collect();
        Ok(scores)
    }

    /// The logits of each image; of a head of ordered labels (`coral`, `corn`) the labels' log-probabilities.
    ///
    /// # Shapes
    /// - `images` `(batch, channels, H, W)`, normalised
    /// - result one an image
    ///
    /// # Errors
    /// If the shape does not fit.
    pub fn logits(&self, images: &Tensor) -> Result<Vec<Logits>> {
        let features = self.shared.model.features(images, Mode::Eval)?;
        self.shared.model.logits(&features, Mode::Eval)?.rows()
    }

    /// Predicts one image of the model's input size from its pixels.
    ///
    /// `rgb` holds `height · width · channels` bytes ([`channels`](InputSpec::channels) is 3 unless the model says otherwise), rows from the top, red
    /// first, already cropped and resized to [`input`](Self::input)`().size`. With the feature `image`, `predict_photo` does that
    /// for photos of any size.
    ///
    /// # Errors
    /// [`Error::Shape`] if the number of bytes is another.
    pub fn predict_rgb(&self, rgb: &[u8]) -> Result<Prediction> {
        let InputSpec { size, channels, .. } = *self.input();
        let [h, w] = size;
        let mut values = vec![0f32; channels * h * w];
        self.input().normalise_into(rgb, &mut values)?;
        let images = Tensor::from_vec(values, (1, channels, h, w), &Device::Cpu)?;
        Ok(self.predict_tensor(&images)?.remove(0))
    }
}

// Only to say in one place that they may be shared between threads.
const fn shared<T: Send + Sync>() {}
const _: () = shared::<Predictor>();
const _: () = shared::<Ensemble>();
const _: () = shared::<Error>();
