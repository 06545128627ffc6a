//! Several models, and several views of a photo, as one predictor.

use super::Predictor;
use super::calls::{BATCH, Engine, Prepared, stack};
use super::manifest::{Manifest, Views};
use super::prediction::Prediction;
use super::scores::{Average, Scores};
use crate::error::{Error, Result};
use crate::head::{LabelSpec, NumberSpec};
use crate::input::{InputSpec, Photo};
use crate::model::combine::{Decision, DecisionRule};
use crate::taxonomy::Taxonomy;
use candle_core::Tensor;
use std::io::Read;
use std::path::Path;

/// Whether a file begins as text does. A safetensors file begins with a length in eight bytes, of which the last are 0.
pub(crate) fn is_text(path: &Path) -> Result<bool> {
    if !path.is_file() {
        return Ok(false);
    }
    let mut head = Vec::new();
    let (file, _) = crate::io::read::open(path)?;
    file.take(8)
        .read_to_end(&mut head)
        .map_err(|e| Error::io("read", path, e))?;
    Ok(!head.contains(&0))
}

/// Models with the same heads that predict together; of one model and the plain photo, exactly what its [`Predictor`] says.
///
/// Members may have other backbones and inputs. It can be shared between threads.
///
/// ```no_run
/// use hydranet::{Average, Ensemble, Predictor, Views};
/// let members = vec![Predictor::from_file("fold1.safetensors")?, Predictor::from_file("fold2.safetensors")?];
/// let views = Views { flip: true, ..Views::default() };
/// let ensemble = Ensemble::new(members, Average::Probability, views)?;
/// # let images = candle_core::Tensor::zeros((1, 3, 224, 224), candle_core::DType::F32, &candle_core::Device::Cpu)?;
/// println!("{}", ensemble.predict_tensor(&images)?[0].name);
/// # Ok::<(), hydranet::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Ensemble {
    pub(super) members: Vec<Predictor>,
    average: Average,
    pub(super) views: Views,
    /// How the class is chosen by pooled log-probabilities: by the members' rule and the mean of their offsets.
    decision: Decision,
}

impl Ensemble {
    /// Of models in memory.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there is none, if their heads, labels or final classes are not the same, or a view's share is out of
    /// range.
    pub fn new(members: Vec<Predictor>, average: Average, views: Views) -> Result<Self> {
        views.validate()?;
        let Some(first) = members.first() else {
            return Err(Error::Invalid {
                what: "the models of an ensemble".into(),
                expected: "at least one".into(),
                found: "none".into(),
            });
        };
        let classes = &first.description().classes;
        for (place, member) in members.iter().enumerate() {
            let same = member.taxonomy().heads() == first.taxonomy().heads()
                && member.description().classes == *classes;
            if !same {
                let described = |p: &Predictor| {
                    let heads = p.taxonomy().heads().join(", ");
                    format!("{heads} with {} final classes", p.taxonomy().num_classes())
                };
                let found = if described(member) == described(first) {
                    "other labels".into()
                } else {
                    described(member)
                };
                return Err(Error::Invalid {
                    what: format!("the heads of model {} of the ensemble", place + 1),
                    expected: format!("those of model 1, {}", described(first)),
                    found,
                });
            }
            let heads = |of: &Predictor| of.description().model.heads.clone();
            for (own, expected) in heads(member).iter().zip(&heads(first)) {
                // Labels are told from numbers by them.
                let (of_own, of_first) = (&own.labels, &expected.labels);
                if let Some((n, first)) = of_own.number.zip(of_first.number)
                    && (n.bins, n.range) != (first.bins, first.range)
                {
                    let words = |n: NumberSpec| format!("{} in {:?}", n.bins, n.range);
                    return Err(Error::Invalid {
                        what: format!("head `{}` of model {} of the ensemble", own.name, place + 1),
                        expected: format!("the bins of model 1, {}", words(first)),
                        found: words(n),
                    });
                }
                if of_own.groups != of_first.groups {
                    return Err(Error::Invalid {
                        what: format!("head `{}` of model {} of the ensemble", own.name, place + 1),
                        expected: format!("the groups of model 1, {:?}", of_first.groups),
                        found: format!("{:?}", of_own.groups),
                    });
                }
                let both = !of_own.thresholds.is_empty() && !of_first.thresholds.is_empty();
                if of_own.names != of_first.names
                    || both && of_own.thresholds != of_first.thresholds
                {
                    let described = |l: &LabelSpec| format!("{:?} by {:?}", l.names, l.thresholds);
                    return Err(Error::Invalid {
                        what: format!("head `{}` of model {} of the ensemble", own.name, place + 1),
                        expected: format!(
                            "labels and thresholds of model 1, {}",
                            described(of_first)
                        ),
                        found: described(of_own),
                    });
                }
            }
        }
        let mut offsets = Vec::new();
        for member in &members {
            let own = &member.description().decision.offsets;
            if !own.is_empty() {
                offsets.resize(own.len(), 0.0);
                let share = 1.0 / members.len() as f64;
                offsets
                    .iter_mut()
                    .zip(own)
                    .for_each(|(o, m)| *o += share * m);
            }
        }
        // All of one mind, or as the product.
        let rule = members[0].description().decision.rule;
        let alike = members
            .iter()
            .all(|m| m.description().decision.rule == rule);
        let rule = if alike { rule } else { DecisionRule::Product };
        Ok(Self {
            members,
            average,
            views,
            decision: Decision {
                rule,
                offsets,
                ..Decision::default()
            },
        })
    }

    /// From a manifest, or from a model file, which becomes an ensemble of one.
    ///
    /// # Errors
    /// If the file is none of an ensemble, and as [`Predictor::from_file`] and [`new`](Self::new).
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        if !is_text(path)? {
            let predictor = Predictor::from_file(path)?;
            return Self::new(vec![predictor], Average::default(), Views::default());
        }
        let manifest = Manifest::read(path)?;
        let beside = path.parent().unwrap_or(Path::new(""));
        let models = manifest.models.iter().map(|m| beside.join(m));
        let members = models.map(Predictor::from_file).collect::<Result<_>>()?;
        Self::new(members, manifest.average, manifest.views)
    }

    /// The same models with other views of each photo.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a view's share is out of range.
    pub fn with_views(mut self, views: Views) -> Result<Self> {
        views.validate()?;
        self.views = views;
        Ok(self)
    }

    /// The models.
    pub fn members(&self) -> &[Predictor] {
        &self.members
    }

    /// What of each photo they see.
    #[cfg(feature = "cli")]
    pub(crate) fn views(&self) -> Views {
        self.views
    }

    /// Whether predictions have a number of each head: where all members say one.
    #[cfg(feature = "cli")]
    pub(crate) fn numbers(&self) -> Vec<bool> {
        let is_number = |m: &Predictor, head: usize| {
            let head = &m.description().model.heads[head];
            head.labels.number.is_some()
        };
        let heads = 0..self.members[0].description().model.heads.len();
        heads
            .map(|head| self.members.iter().all(|m| is_number(m, head)))
            .collect()
    }

    /// Below this probability of the final class a prediction abstains: the greatest of the members'.
    fn min_confidence(&self) -> f64 {
        let own = |m: &Predictor| m.description().decision.min_confidence;
        self.members.iter().map(own).fold(0.0, f64::max)
    }

    /// Scores with the names that they belong to.
    pub(crate) fn to_prediction(&self, scores: &Scores) -> Result<Prediction> {
        scores.to_prediction(self.taxonomy(), self.min_confidence())
    }

    /// The scores of each photo, from each member's views of it.
    pub(super) fn scores(&self, mut photos: Vec<Prepared>) -> Result<Vec<Result<Scores>>> {
        let mut all = Vec::new();
        for (place, member) in self.members.iter().enumerate() {
            for view in 0..self.views.count() {
                let take = |p: &mut Prepared| std::mem::take(&mut p[place][view]);
                let pixels: Vec<_> = photos.iter_mut().map(take).collect();
                all.push(member.scores(&stack(member.input(), &pixels)?)?);
            }
        }
        Ok(self.pooled(all))
    }

    /// The pooled scores of each photo, of lists with an entry a photo; an error of any is one of the photo.
    pub(super) fn pooled(&self, all: Vec<Vec<Result<Scores>>>) -> Vec<Result<Scores>> {
        let photos = all.first().map_or(0, Vec::len);
        let mut lists: Vec<_> = all.into_iter().map(Vec::into_iter).collect();
        let mut pool = || {
            // All are taken, so that the next photo's stand first.
            let of_photo: Vec<_> = lists.iter_mut().filter_map(Iterator::next).collect();
            let of_photo = of_photo.into_iter().collect::<Result<_>>()?;
            Ok(Scores::pooled(
                of_photo,
                self.average,
                (self.taxonomy(), &self.decision),
            ))
        };
        (0..photos).map(|_| pool()).collect()
    }
}

impl Engine for Ensemble {
    fn labels(&self) -> &Taxonomy {
        self.members[0].taxonomy()
    }

    fn at_once(&self) -> usize {
        // All views of a photo, by all members, are held at once.
        let views = self.views.count() * self.members.len();
        let at_once = |m: &Predictor| m.input().at_once(BATCH * views) / views;
        self.members.iter().map(at_once).min().unwrap_or(1).max(1)
    }

    fn prepare(&self, photo: &Photo) -> Result<Prepared> {
        // Each member's views one after the other: a held photo is counted with the working memory of one.
        let of = |m: &Predictor| self.views.of(m.input(), photo);
        self.members.iter().map(of).collect()
    }

    fn inputs(&self) -> Vec<InputSpec> {
        // Of a part of a photo there would be too few pixels left.
        let parts = self.views.five_crops.is_some();
        let input = |m: &Predictor| InputSpec {
            reduce: m.input().reduce && !parts,
            ..m.input().clone()
        };
        self.members.iter().map(input).collect()
    }

    fn predict_prepared(&self, photos: Vec<Prepared>) -> Result<Vec<Result<Prediction>>> {
        let scores = self.scores(photos)?.into_iter();
        Ok(scores.map(|s| self.to_prediction(&s?)).collect())
    }

    fn predict_images(&self, images: &Tensor) -> Result<Vec<Result<Prediction>>> {
        let input = self.members[0].input();
        if self.views.five_crops.is_some() || self.members.iter().any(|m| m.input() != input) {
            return Err(Error::Invalid {
                what: "an ensemble's tensor of images".into(),
                expected: "models with the same input, and no crops".into(),
                found: "models or views that need the photo itself".into(),
            });
        }
        self.members[0].check(images)?;
        if images.dims()[0] == 0 {
            return Ok(Vec::new());
        }
        let mut views = vec![images.clone()];
        if self.views.flip {
            let turned: Vec<u32> = (0..input.size[1] as u32).rev().collect();
            let turned = Tensor::new(turned, images.device())?;
            views.push(images.index_select(&turned, 3)?);
        }
        let mut all = Vec::new();
        for member in &self.members {
            for view in &views {
                all.push(member.scores(view)?);
            }
        }
        let pooled = self.pooled(all).into_iter();
        Ok(pooled.map(|s| self.to_prediction(&s?)).collect())
    }
}
