//! Prediction: where another Rust application stops reading.

use crate::error::{Error, Result};
use crate::input::{InputSpec, Photo, PhotoSource};
use crate::layers::Mode;
use crate::model::novelty::Novelty;
use crate::model::{Logits, MultiTaskModel};
use crate::model_file::{Description, ModelFile, Parts};
use crate::taxonomy::Taxonomy;
use candle_core::Tensor;
use std::path::Path;
use std::sync::Arc;

mod calls;
mod ensemble;
pub(crate) mod explain;
mod manifest;
mod methods;
mod prediction;
mod scores;
mod views;

pub use calls::Predict;
use calls::{BATCH, Engine, Prepared, stack};
pub use ensemble::Ensemble;
#[cfg(feature = "cli")]
pub(crate) use ensemble::is_text;
pub use explain::{ExplainMethod, Explanation};
pub(crate) use manifest::Manifest;
pub use manifest::Views;
use methods::methods_of;
pub use prediction::{GroupPrediction, HeadPrediction, NumberPrediction, Prediction};
pub use scores::Average;
pub(crate) use scores::Scores;

/// A trained model, ready to predict; can be shared between threads, which call it at once without a lock. A clone is the same
/// model, not a second copy of it.
///
/// ```no_run
/// let predictor = hydranet::Predictor::from_file("best.safetensors")?;
/// let threads: Vec<_> = (0..4)
///     .map(|_| {
///         let predictor = predictor.clone();
///         std::thread::spawn(move || {
///             let photo = hydranet::Photo { height: 480, width: 640, rgb: vec![127; 480 * 640 * 3] };
///             predictor.predict_photo(&photo)
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

    /// The path from photo to tensor.
    pub fn input(&self) -> &InputSpec {
        &self.shared.description.model.input
    }

    /// The underlying model.
    pub fn model(&self) -> &MultiTaskModel {
        &self.shared.model
    }

    /// The scores of each image, or an error in their place.
    pub(crate) fn scores(&self, images: &Tensor) -> Result<Vec<Result<Scores>>> {
        self.check(images)?;
        if images.dims()[0] == 0 {
            return Ok(Vec::new());
        }
        self.scores_of(&self.shared.model.features(images, Mode::Eval)?)
    }

    /// The predictions of photos by their features, `(photos, num_features)`; of none none.
    #[cfg(feature = "cli")]
    pub(crate) fn predict_features(&self, features: &Tensor) -> Result<Vec<Result<Prediction>>> {
        if features.dims()[0] == 0 {
            return Ok(Vec::new());
        }
        Ok(self.predictions(self.scores_of(features)?))
    }

    fn predictions(&self, scores: Vec<Result<Scores>>) -> Vec<Result<Prediction>> {
        let least = self.description().decision.min_confidence;
        let to_prediction = |s: Result<Scores>| s?.to_prediction(self.labels(), least);
        scores.into_iter().map(to_prediction).collect()
    }

    fn scores_of(&self, features: &Tensor) -> Result<Vec<Result<Scores>>> {
        let logits = self.shared.model.logits(features, Mode::Eval)?.rows()?;
        let distances = match &self.shared.novelty {
            Some(novelty) => novelty.distances(features)?,
            None => Vec::new(),
        };
        let decision = &self.shared.description.decision;
        let heads = &self.shared.description.model.heads;
        let scores = logits
            .iter()
            .enumerate()
            .map(|(i, photo)| {
                let mut scores =
                    Scores::from_logits(&self.shared.taxonomy, decision, heads, photo)?;
                let novelty = self.shared.novelty.as_ref().zip(distances.get(i));
                scores.novelty = novelty.map(|(n, distance)| n.share(*distance));
                Ok(scores)
            })
            .collect();
        Ok(scores)
    }

    /// Refuses images of another shape than the model's input.
    fn check(&self, images: &Tensor) -> Result<()> {
        let InputSpec { size, channels, .. } = *self.input();
        let [height, width] = size;
        let fits = matches!(*images.dims(), [_, c, h, w] if [c, h, w] == [channels, height, width]);
        if fits {
            return Ok(());
        }
        Err(Error::Shape {
            what: "images".into(),
            expected: format!("(batch, {channels}, {height}, {width})"),
            found: images.dims().to_vec(),
        })
    }

    /// What the backbone makes of photos, one after the other as they are taken from an iterator: its `num_features` numbers, to
    /// compare or to sort photos by. Memory, order and errors are those of [`predict_iter`](Self::predict_iter).
    pub fn features_iter<I>(&self, photos: I) -> impl Iterator<Item = Result<Vec<f32>>>
    where
        I: IntoIterator<Item: Into<PhotoSource>>,
    {
        let width = self.shared.description.model.backbone.num_features();
        let rows = move |prepared: Vec<Prepared>| {
            if prepared.is_empty() {
                return Ok(Vec::new());
            }
            let pixels: Vec<Vec<u8>> = prepared.into_iter().flatten().flatten().collect();
            let images = stack(self.input(), &pixels)?;
            // What some heads read beside the features stands behind them.
            let features = self.shared.model.features(&images, Mode::Eval)?;
            let rows: Vec<Vec<f32>> = features.narrow(1, 0, width)?.to_vec2()?;
            Ok(rows.into_iter().map(Ok).collect())
        };
        calls::answers(self, photos.into_iter().map(Into::into), rows)
    }

    /// The logits of each image; of a head of ordered labels (`coral`, `corn`) and of one that predicts a number the labels'
    /// log-probabilities.
    ///
    /// # Shapes
    /// - `images` `(batch, channels, H, W)`, normalised, of the height and width of the model's input
    /// - result one an image
    ///
    /// # Errors
    /// [`Error::Shape`] if height, width or channels are not those of the model's input.
    pub fn logits(&self, images: &Tensor) -> Result<Vec<Logits>> {
        self.check(images)?;
        if images.dims()[0] == 0 {
            return Ok(Vec::new());
        }
        let features = self.shared.model.features(images, Mode::Eval)?;
        self.shared.model.logits(&features, Mode::Eval)?.rows()
    }
}

impl Engine for Predictor {
    fn labels(&self) -> &Taxonomy {
        &self.shared.taxonomy
    }

    fn at_once(&self) -> usize {
        self.input().at_once(BATCH)
    }

    fn prepare(&self, photo: &Photo) -> Result<Prepared> {
        Ok(vec![vec![self.input().prepare(photo)?]])
    }

    fn inputs(&self) -> Vec<InputSpec> {
        vec![self.input().clone()]
    }

    fn predict_prepared(&self, photos: Vec<Prepared>) -> Result<Vec<Result<Prediction>>> {
        let pixels: Vec<Vec<u8>> = photos.into_iter().flatten().flatten().collect();
        self.predict_images(&stack(self.input(), &pixels)?)
    }

    fn predict_images(&self, images: &Tensor) -> Result<Vec<Result<Prediction>>> {
        Ok(self.predictions(self.scores(images)?))
    }
}

methods_of!(Predictor);
methods_of!(Ensemble);
