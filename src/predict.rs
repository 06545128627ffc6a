//! Prediction: where another Rust application stops reading.

use crate::checkpoint::{Description, ModelFile};
use crate::combine::{Decision, log_softmax};
use crate::error::{Error, Result};
use crate::input::InputSpec;
use crate::layers::Mode;
use crate::model::MultiTaskModel;
use crate::taxonomy::Taxonomy;
use candle_core::{Device, Tensor};
use serde::Serialize;
use std::path::Path;

/// One head's part of a prediction.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HeadPrediction {
    /// The head.
    pub head: String,
    /// Index of the label the final class has for this head; `None` if the head does not apply to it.
    pub index: Option<usize>,
    /// Its name.
    pub label: Option<String>,
    /// The probability of each label of the head, in order; where the head does not always apply, given that it does.
    pub probs: Vec<f64>,
}

/// What a model says of one photo.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Prediction {
    /// The final class.
    pub class: usize,
    /// Its name.
    pub name: String,
    /// Its joint probability.
    pub prob: f64,
    /// Each head's label and probabilities, in the order of the heads.
    pub heads: Vec<HeadPrediction>,
}

impl Prediction {
    /// The label of the head named `head`, if there is one and it applies.
    pub fn label(&self, head: &str) -> Option<&str> {
        let head = self.heads.iter().find(|h| h.head == head)?;
        head.label.as_deref()
    }

    /// The final class of one photo, from each head's logits, and the joint head's behind them if there is one.
    ///
    /// # Errors
    /// As [`joint_log_probs`](crate::combine::joint_log_probs).
    pub fn from_logits(
        taxonomy: &Taxonomy,
        decision: &Decision,
        logits: &[Vec<f32>],
    ) -> Result<Self> {
        Ok(Self::with_classes(taxonomy, decision, logits)?.0)
    }

    /// The same, with the log-probabilities of all final classes.
    pub(crate) fn with_classes(
        taxonomy: &Taxonomy,
        decision: &Decision,
        logits: &[Vec<f32>],
    ) -> Result<(Self, Vec<f64>)> {
        let mut log_probs: Vec<Vec<f64>> = logits.iter().map(|l| log_softmax(l)).collect();
        let joint = match log_probs.len() > taxonomy.heads().len() {
            true => log_probs.pop(),
            false => None,
        };
        let classes = decision.log_probs(taxonomy, &log_probs, joint.as_deref())?;
        let class = decision.decide(&classes);
        let labels = taxonomy.decode(class)?;
        let heads = labels
            .into_iter()
            .enumerate()
            .map(|(i, index)| HeadPrediction {
                head: taxonomy.heads()[i].clone(),
                index,
                label: index.map(|label| taxonomy.labels(i)[label].clone()),
                probs: log_probs[i].iter().map(|p| p.exp()).collect(),
            })
            .collect();
        let prediction = Self {
            class,
            name: taxonomy.class_name(class)?,
            prob: classes[class].exp(),
            heads,
        };
        Ok((prediction, classes))
    }
}

/// A trained model, ready to predict; can be shared between threads.
pub struct Predictor {
    description: Description,
    taxonomy: Taxonomy,
    model: MultiTaskModel,
}

impl Predictor {
    /// Loads a model file.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Checkpoint`] if it is not a whole hydranet model.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        Self::new(&ModelFile::read(path)?)
    }

    /// Loads a model from memory, for instance from `include_bytes!`.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if it is not a whole hydranet model.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        Self::new(&ModelFile::from_bytes(bytes, "bytes")?)
    }

    /// A predictor over a model file in memory.
    ///
    /// # Errors
    /// As [`ModelFile::build`].
    pub fn new(file: &ModelFile) -> Result<Self> {
        let description = file.description.clone();
        Ok(Self {
            taxonomy: description.model.taxonomy()?,
            model: file.build()?,
            description,
        })
    }

    /// What the file says about the model.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// Labels and final classes.
    pub fn taxonomy(&self) -> &Taxonomy {
        &self.taxonomy
    }

    /// The path from photo to tensor.
    pub fn input(&self) -> &InputSpec {
        &self.description.model.input
    }

    /// The underlying model.
    pub fn model(&self) -> &MultiTaskModel {
        &self.model
    }

    /// Predicts from normalised images.
    ///
    /// # Shapes
    /// `images` `(batch, channels, H, W)`; one prediction an image.
    ///
    /// # Errors
    /// [`Error::Shape`] if it is not `(batch, channels, H, W)`.
    pub fn predict_tensor(&self, images: &Tensor) -> Result<Vec<Prediction>> {
        let channels = self.input().channels;
        if images.rank() != 4 || images.dims()[1] != channels {
            return Err(Error::Shape {
                what: "images".into(),
                expected: format!("(batch, {channels}, H, W)"),
                found: images.dims().to_vec(),
            });
        }
        let logits = self.logits(images)?;
        (0..images.dims()[0])
            .map(|i| {
                let photo: Vec<Vec<f32>> = logits.iter().map(|head| head[i].clone()).collect();
                Prediction::from_logits(&self.taxonomy, &self.description.decision, &photo)
            })
            .collect()
    }

    /// Each head's logits, one row an image, the joint head's last if there is one; of a head of ordered labels (`coral`, `corn`) the
    /// labels' log-probabilities.
    ///
    /// # Shapes
    /// `images` `(batch, channels, H, W)`, normalised.
    ///
    /// # Errors
    /// If the shape does not fit.
    pub fn logits(&self, images: &Tensor) -> Result<Vec<Vec<Vec<f32>>>> {
        let features = self.model.features(images, Mode::Eval)?;
        self.model
            .logits(&features, Mode::Eval)?
            .iter()
            .map(|l| Ok(l.to_vec2::<f32>()?))
            .collect()
    }

    /// Predicts one image of the model's input size from its pixels.
    ///
    /// `rgb` holds `height · width · 3` bytes (· [`channels`](InputSpec::channels), if they are not 3), rows from the top, red first, already cropped and resized to
    /// [`input`](Self::input)`().size`. With the feature `image`, `predict_photo` does that for photos of any size.
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

#[cfg(feature = "image")]
mod photos {
    use super::{Error, Path, Prediction, Predictor, Result};
    use crate::input::Photo;

    impl Predictor {
        /// Predicts one photo file (JPEG or PNG).
        ///
        /// # Errors
        /// [`Error::Image`] or [`Error::Io`] naming the photo.
        pub fn predict_file(&self, path: impl AsRef<Path>) -> Result<Prediction> {
            self.predict_photo(&self.input().open(path)?)
        }

        /// Predicts one decoded photo of any size.
        ///
        /// # Errors
        /// [`Error::Image`] if it cannot be resized.
        pub fn predict_photo(&self, photo: &Photo) -> Result<Prediction> {
            self.predict_rgb(&self.input().prepare(photo)?)
        }
    }

    // Only to say in one place that a predictor may be shared between threads.
    const fn shared<T: Send + Sync>() {}
    const _: () = shared::<Predictor>();
    const _: () = shared::<Error>();
}
