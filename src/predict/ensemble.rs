//! Several models, and several views of a photo, as one predictor.

use super::Predictor;
use super::manifest::{Manifest, Views};
use super::prediction::Prediction;
use super::scores::{Average, Scores};
use crate::error::{Error, Result};
use crate::head::LabelSpec;
use crate::taxonomy::Taxonomy;
use candle_core::Tensor;
use std::io::Read;
use std::path::Path;

/// Whether a file begins as text does. A safetensors file begins with a length in eight bytes, of which the last are 0.
fn is_text(path: &Path) -> Result<bool> {
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
pub struct Ensemble {
    members: Vec<Predictor>,
    average: Average,
    views: Views,
    /// Added to the pooled log-probabilities when the class is chosen: the mean of the members' own.
    offsets: Vec<f64>,
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
        Ok(Self {
            members,
            average,
            views,
            offsets,
        })
    }

    /// From a manifest, or from a model file, which becomes an ensemble of one.
    ///
    /// # Errors
    /// As [`Manifest::read`], [`Predictor::from_file`] and [`new`](Self::new).
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

    /// Labels and final classes, which are the same for all members.
    pub fn taxonomy(&self) -> &Taxonomy {
        self.members[0].taxonomy()
    }

    /// Below this probability of the final class a prediction abstains: the greatest of the members'.
    fn min_confidence(&self) -> f64 {
        let own = |m: &Predictor| m.description().decision.min_confidence;
        self.members.iter().map(own).fold(0.0, f64::max)
    }

    /// Predicts from normalised images, for members with the same input.
    ///
    /// # Shapes
    /// `images` `(batch, channels, H, W)`; one prediction an image.
    ///
    /// # Errors
    /// [`Error::Shape`] if it is not `(batch, channels, H, W)`; [`Error::Invalid`] if the members' inputs differ, or if crops are
    /// asked for, which need a photo.
    pub fn predict_tensor(&self, images: &Tensor) -> Result<Vec<Prediction>> {
        let input = self.members[0].input();
        if self.views.five_crops.is_some() || self.members.iter().any(|m| m.input() != input) {
            return Err(Error::Invalid {
                what: "an ensemble's tensor of images".into(),
                expected: "models with the same input, and no crops".into(),
                found: "models or views that need the photo itself".into(),
            });
        }
        let mut views = vec![images.clone()];
        if self.views.flip {
            let width = images.dims().last().copied().unwrap_or(0) as u32;
            let turned: Vec<u32> = (0..width).rev().collect();
            let turned = Tensor::new(turned, images.device())?;
            views.push(images.index_select(&turned, images.rank().saturating_sub(1))?);
        }
        let mut all = Vec::new();
        for member in &self.members {
            for view in &views {
                all.push(member.scores(view)?);
            }
        }
        let pooled = self.pooled(all).into_iter();
        pooled.map(|s| self.to_prediction(&s?)).collect()
    }

    /// Scores with the names that they belong to.
    pub(crate) fn to_prediction(&self, scores: &Scores) -> Result<Prediction> {
        scores.to_prediction(self.taxonomy(), self.min_confidence())
    }

    /// The pooled scores of each photo, of lists with an entry a photo; an error of any is one of the photo.
    fn pooled(&self, all: Vec<Vec<Result<Scores>>>) -> Vec<Result<Scores>> {
        let photos = all.first().map_or(0, Vec::len);
        let mut lists: Vec<_> = all.into_iter().map(Vec::into_iter).collect();
        let mut pool = || {
            // All are taken, so that the next photo's stand first.
            let of_photo: Vec<_> = lists.iter_mut().filter_map(Iterator::next).collect();
            let of_photo = of_photo.into_iter().collect::<Result<_>>()?;
            Ok(Scores::pooled(of_photo, self.average, &self.offsets))
        };
        (0..photos).map(|_| pool()).collect()
    }
}

#[cfg(feature = "image")]
mod photos {
    use super::super::photos::{BATCH, of_photo, opened, planes, stack};
    use super::{Ensemble, Path, Prediction, Result, Scores, Views};
    use crate::input::{InputSpec, Photo, Region};
    use rayon::prelude::*;

    impl Views {
        /// The planes of each view of a photo.
        fn of(&self, spec: &InputSpec, photo: &Photo) -> Result<Vec<Vec<f32>>> {
            let mut prepared = Vec::with_capacity(self.count());
            match self.five_crops {
                None => prepared.push(spec.prepare(photo)?),
                Some(share) => {
                    let photo = photo.with_channels(spec.channels);
                    let whole = spec.region(photo.height, photo.width);
                    for region in five(whole, share) {
                        prepared.push(photo.resize(region, spec.size, spec.interpolation)?);
                    }
                }
            }
            if self.flip {
                let row = spec.size[1] * spec.channels;
                for at in (0..prepared.len()).rev() {
                    let turned = prepared[at].chunks_exact(row).flat_map(|row| {
                        let pixels = row.chunks_exact(spec.channels).rev();
                        pixels.flatten().copied()
                    });
                    let turned = turned.collect();
                    prepared.insert(at + 1, turned);
                }
            }
            prepared.iter().map(|pixels| planes(spec, pixels)).collect()
        }
    }

    /// The middle and the four corners of a region.
    fn five(whole: Region, share: f64) -> [Region; 5] {
        let part = |side: usize| ((side as f64 * share).round() as usize).clamp(1, side);
        let (height, width) = (part(whole.height), part(whole.width));
        let (down, right) = (whole.height - height, whole.width - width);
        [
            (down / 2, right / 2),
            (0, 0),
            (0, right),
            (down, 0),
            (down, right),
        ]
        .map(|(top, left)| Region {
            top: whole.top + top,
            left: whole.left + left,
            height,
            width,
        })
    }

    impl Ensemble {
        /// Predicts one photo file (JPEG or PNG).
        ///
        /// # Errors
        /// [`Error::Image`](crate::Error::Image) or [`Error::Io`](crate::Error::Io) naming the photo.
        pub fn predict_file(&self, path: impl AsRef<Path>) -> Result<Prediction> {
            self.predict_files(&[path.as_ref()])?.remove(0)
        }

        /// Predicts photo files, in their order, as [`Predictor::predict_files`](crate::Predictor::predict_files) does.
        ///
        /// # Errors
        /// If a model itself fails.
        pub fn predict_files(
            &self,
            paths: &[impl AsRef<Path> + Sync],
        ) -> Result<Vec<Result<Prediction>>> {
            let mut all = Vec::with_capacity(paths.len());
            let scores = self.scores_of_files(paths)?.into_iter();
            all.extend(scores.map(|s| self.to_prediction(&s?)));
            Ok(all)
        }

        /// Predicts one decoded photo of any size.
        ///
        /// # Errors
        /// [`Error::Image`](crate::Error::Image) if it cannot be resized.
        pub fn predict_photo(&self, photo: &Photo) -> Result<Prediction> {
            let views = self.views_of(photo)?;
            self.to_prediction(&self.scores(vec![views])?.remove(0)?)
        }

        /// Scores of photo files, in their order.
        pub(crate) fn scores_of_files(
            &self,
            paths: &[impl AsRef<Path> + Sync],
        ) -> Result<Vec<Result<Scores>>> {
            // All views of a photo, by all members, are held at once.
            let views = self.views.count() * self.members.len();
            let at_once = |m: &crate::Predictor| m.input().at_once(BATCH * views) / views;
            let at_once = self.members.iter().map(at_once).min().unwrap_or(1).max(1);
            let mut all = Vec::with_capacity(paths.len());
            for paths in paths.chunks(at_once) {
                all.extend(self.scores_of_few(paths)?);
            }
            Ok(all)
        }

        fn scores_of_few(&self, paths: &[impl AsRef<Path> + Sync]) -> Result<Vec<Result<Scores>>> {
            // Members read all channels that any of them looks at.
            let channels = self.members.iter().map(|m| m.input().channels).max();
            let reader = InputSpec {
                channels: channels.unwrap_or(3),
                ..self.members[0].input().clone()
            };
            let (mut photos, mut outcomes) = (Vec::new(), Vec::new());
            for views in opened(&reader, paths, |photo| self.views_of(photo)) {
                outcomes.push(views.map(|views| photos.push(views)));
            }
            let mut scores = self.scores(photos)?.into_iter();
            let mut all = Vec::with_capacity(outcomes.len());
            for (outcome, path) in outcomes.into_iter().zip(paths) {
                match outcome {
                    Ok(()) => all.extend(scores.next().map(|s| of_photo(s, path.as_ref()))),
                    Err(e) => all.push(Err(e)),
                }
            }
            Ok(all)
        }

        /// Each member's views of a photo.
        fn views_of(&self, photo: &Photo) -> Result<Vec<Vec<Vec<f32>>>> {
            let of = |m: &crate::Predictor| self.views.of(m.input(), photo);
            self.members.par_iter().map(of).collect()
        }

        /// The scores of each photo, from each member's views of it.
        fn scores(&self, mut photos: Vec<Vec<Vec<Vec<f32>>>>) -> Result<Vec<Result<Scores>>> {
            if photos.is_empty() {
                return Ok(Vec::new());
            }
            let mut all = Vec::new();
            for (place, member) in self.members.iter().enumerate() {
                for view in 0..self.views.count() {
                    let take = |p: &mut Vec<Vec<Vec<f32>>>| std::mem::take(&mut p[place][view]);
                    let planes = photos.iter_mut().map(take).collect();
                    all.push(member.scores(&stack(member.input(), planes)?)?);
                }
            }
            Ok(self.pooled(all))
        }
    }
}
