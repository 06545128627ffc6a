//! Where in a photo a head's decision lies.

mod cam;
mod occlusion;
mod rollout;
mod scale;

use super::Predictor;
use super::calls::{Engine, stack};
use crate::error::{Error, Result};
use crate::input::Photo;
use crate::layers::Mode;
use crate::model::Logits;
use crate::names::named;
use candle_core::{D, Tensor, Var};
use std::collections::BTreeMap;

/// How an explanation is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExplainMethod {
    /// Grad-CAM (Selvaraju et al. 2017): the last map, its channels weighed by the mean of their gradients.
    #[default]
    GradCam,
    /// Grad-CAM++ (Chattopadhay et al. 2018): weighed by their positive gradients, more where few positions speak for the label.
    GradCamPlusPlus,
    /// Attention rollout weighed by gradients (Chefer, Gur, Wolf 2021): of vision transformers with a class token.
    AttentionRollout,
    /// Occlusion (Zeiler, Fergus 2014): how far the label's probability falls where the photo is covered in the mean colour. It
    /// asks the model alone, whatever it is made of.
    Occlusion,
    /// Integrated gradients (Sundararajan, Taly, Yan 2017) from a photo of the mean colour, in 32 steps.
    IntegratedGradients,
}

named!(ExplainMethod, "way of explaining", {
    GradCam => "grad_cam",
    GradCamPlusPlus => "grad_cam_plus_plus",
    AttentionRollout => "attention_rollout",
    Occlusion => "occlusion",
    IntegratedGradients => "integrated_gradients",
});

/// What in a photo speaks for a label of a head.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Explanation {
    /// The head's name.
    pub head: String,
    /// The label, and its probability.
    pub label: String,
    /// From 0 to 1.
    pub prob: f64,
    /// Height and width of the heat: those of the model's input.
    pub size: [usize; 2],
    /// `(H, W)`, row by row, from 0 to 1, the greatest 1 unless nothing speaks for the label.
    pub heat: Vec<f32>,
}

/// Steps from the mean colour to the photo.
const STEPS: usize = 32;

impl Predictor {
    /// Explains each head's likeliest label, or another where `labels` names one by the head's name, in a photo as the model sees
    /// it: cropped and resized to its input.
    ///
    /// ```no_run
    /// use hydranet::{ExplainMethod, Photo, Predictor};
    /// let predictor = Predictor::from_file("best.safetensors")?;
    /// let photo = Photo::open("photo.jpg")?;
    /// for e in predictor.explain(&photo, ExplainMethod::GradCam, &Default::default())? {
    ///     println!("{}: {} ({:.2}), {:?}", e.head, e.label, e.prob, e.size);
    /// }
    /// # Ok::<(), hydranet::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`predict_photo`](Self::predict_photo); [`Error::UnknownName`] for a head or a label that is none; [`Error::Invalid`] if
    /// the way needs maps, and the backbone shows none.
    pub fn explain(
        &self,
        photo: &Photo,
        method: ExplainMethod,
        labels: &BTreeMap<String, String>,
    ) -> Result<Vec<Explanation>> {
        let pixels = Engine::prepare(self, photo)?;
        let pixels: Vec<Vec<u8>> = pixels.into_iter().flatten().collect();
        self.explain_image(&stack(self.input(), &pixels)?, method, labels)
    }

    /// The same of a normalised image `(1, channels, H, W)`.
    pub(crate) fn explain_image(
        &self,
        image: &Tensor,
        method: ExplainMethod,
        labels: &BTreeMap<String, String>,
    ) -> Result<Vec<Explanation>> {
        let probs = self.head_probs(image)?.swap_remove(0);
        let wanted = self.wanted(&probs, labels)?;
        let size = self.input().size;
        let heats = match method {
            ExplainMethod::GradCam | ExplainMethod::GradCamPlusPlus => {
                let maps = cam::Maps::of(self, image)?;
                let heat = |(head, label): (usize, &usize)| {
                    let heat = maps.heat(self, head, *label, method)?;
                    Ok(scale::resized(&heat, maps.grid, size))
                };
                let heats = wanted.iter().enumerate().map(heat);
                heats.collect::<Result<Vec<_>>>()?
            }
            ExplainMethod::AttentionRollout => {
                let attentions = rollout::Attentions::of(self, image)?;
                let heat = |(head, label): (usize, &usize)| {
                    let heat = attentions.heat(head, *label)?;
                    Ok(scale::resized(&heat, attentions.grid, size))
                };
                let heats = wanted.iter().enumerate().map(heat);
                heats.collect::<Result<Vec<_>>>()?
            }
            ExplainMethod::Occlusion => occlusion::heats(self, image, &wanted)?,
            ExplainMethod::IntegratedGradients => {
                let mut attributions = self.attributions(image, &wanted)?;
                for v in attributions.iter_mut().flatten() {
                    *v = v.max(0.0);
                }
                attributions
            }
        };
        let taxonomy = self.labels();
        let explained = heats.into_iter().zip(wanted).enumerate();
        let explained = explained.map(|(head, (heat, label))| Explanation {
            head: taxonomy.heads()[head].clone(),
            label: taxonomy.labels(head)[label].clone(),
            prob: probs[head][label],
            size,
            heat: scale::unit(heat),
        });
        Ok(explained.collect())
    }

    /// The place of the label of each head that is explained.
    fn wanted(&self, probs: &[Vec<f64>], labels: &BTreeMap<String, String>) -> Result<Vec<usize>> {
        let taxonomy = self.labels();
        if let Some(name) = labels.keys().find(|name| !taxonomy.heads().contains(name)) {
            return Err(Error::UnknownName {
                what: "head",
                found: name.clone(),
                known: taxonomy.heads().to_vec(),
            });
        }
        let of_head = |(head, probs): (usize, &Vec<f64>)| {
            let Some(label) = labels.get(&taxonomy.heads()[head]) else {
                return Ok(crate::model::combine::argmax(probs));
            };
            let known = taxonomy.labels(head);
            let place = known.iter().position(|l| l == label);
            place.ok_or_else(|| Error::UnknownLabel {
                head: taxonomy.heads()[head].clone(),
                found: label.clone(),
                expected: known.to_vec(),
            })
        };
        probs.iter().enumerate().map(of_head).collect()
    }

    /// The probabilities of each head's labels, for each image.
    pub(crate) fn head_probs(&self, images: &Tensor) -> Result<Vec<Vec<Vec<f64>>>> {
        let logits = self.logits(images)?;
        let taxonomy = self.labels();
        let probs = |logits: &Logits| -> Vec<Vec<f64>> {
            let heads = logits.heads.iter().enumerate();
            let of_head = |(head, logits): (usize, &Vec<f32>)| {
                if taxonomy.is_multi_label(head) {
                    let sigmoid = |z: &f32| 1.0 / (1.0 + (-f64::from(*z)).exp());
                    logits.iter().map(sigmoid).collect()
                } else {
                    let greatest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                    let raised = logits.iter().map(|z| f64::from(z - greatest).exp());
                    let sum: f64 = raised.clone().sum();
                    raised.map(|v| v / sum).collect()
                }
            };
            heads.map(of_head).collect()
        };
        Ok(logits.iter().map(probs).collect())
    }

    /// The mean gradient of a label's logit on the way from the mean colour, times the way, summed over the channels: positive where
    /// a pixel speaks for the label. All pixels together are what the way changes.
    pub(crate) fn attributions(&self, image: &Tensor, wanted: &[usize]) -> Result<Vec<Vec<f32>>> {
        let mut sums: Vec<Option<Tensor>> = vec![None; wanted.len()];
        for step in 0..STEPS {
            // The middle of each step.
            let share = (step as f64 + 0.5) / STEPS as f64;
            let at = Var::from_tensor(&(image * share)?)?;
            let features = self.model().features(at.as_tensor(), Mode::Eval)?;
            let logits = self.model().logits(&features, Mode::Eval)?;
            for ((logits, label), sum) in logits.heads.iter().zip(wanted).zip(&mut sums) {
                let gradients = logits.narrow(1, *label, 1)?.sum_all()?.backward()?;
                let Some(gradient) = gradients.get(at.as_tensor()) else {
                    return Err(unexplained("a backbone whose gradients reach the image"));
                };
                *sum = Some(match sum.take() {
                    Some(sum) => (sum + gradient)?,
                    None => gradient.clone(),
                });
            }
        }
        let of_head = |sum: Option<Tensor>| -> Result<Vec<f32>> {
            let Some(sum) = sum else {
                return Ok(Vec::new());
            };
            let way = (sum * (1.0 / STEPS as f64))?.mul(image)?;
            Ok(way.sum(1)?.flatten_all()?.to_vec1()?)
        };
        sums.into_iter().map(of_head).collect()
    }
}

fn unexplained(expected: &str) -> Error {
    Error::Invalid {
        what: "what is to be explained".into(),
        expected: format!("{expected}; `occlusion` explains every model"),
        found: "another".into(),
    }
}

/// Of a tensor `(1, …, positions)` the last axis as numbers.
fn numbers(tensor: &Tensor) -> candle_core::Result<Vec<f32>> {
    let positions = tensor.dim(D::Minus1)?;
    tensor.reshape(positions)?.to_vec1()
}
