//! What abstaining buys: the accuracy on the photos a model is surest of.

use crate::data::dataset::Dataset;
use crate::data::targets::labels_that_apply;
use crate::model::combine::argmax;
use crate::predict::Prediction;
use crate::taxonomy::Taxonomy;
use serde::Serialize;
use std::fmt;

/// Shares of the photos that are looked at.
const COVERAGES: [f64; 5] = [1.0, 0.9, 0.8, 0.7, 0.5];

/// Accuracy by the share of photos that are predicted at all, the surest first.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Coverage {
    /// The head, or "class".
    pub name: String,
    /// Photos whose truth is known.
    pub photos: usize,
    /// From all photos to half of them.
    pub points: Vec<CoveragePoint>,
    /// The area under the curve of risk (the share predicted wrong) over coverage (Geifman and El-Yaniv 2017): the mean of the
    /// risks at every number of photos; less is better. `None` without photos.
    pub risk_area: Option<f64>,
}

/// One point of the curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CoveragePoint {
    /// The share of photos.
    pub coverage: f64,
    /// The least probability among them: the `min_confidence` that gives this coverage.
    pub min_confidence: f64,
    /// The share of them predicted right.
    pub accuracy: f64,
}

impl Coverage {
    /// Of each head of which a photo has one label and of the final class, from what is [`sure`] of photos.
    pub(crate) fn of_photos(taxonomy: &Taxonomy, sure: &[Sure]) -> Vec<Self> {
        let names = taxonomy.heads().iter().map(String::as_str).chain(["class"]);
        // Several labels at once are not right or wrong as one.
        let all = names
            .enumerate()
            .filter(|(head, _)| !taxonomy.is_multi_label(*head));
        all.map(|(head, name)| {
            let of_photos = sure.iter().filter_map(|of_photo| of_photo[head]);
            Self::new(name, of_photos.collect())
        })
        .collect()
    }

    /// From the probability of each photo's prediction, and whether it was right.
    pub fn new(name: impl Into<String>, mut photos: Vec<(f64, bool)>) -> Self {
        let accuracy = accuracies(&mut photos);
        let count = photos.len();
        let point = |coverage: f64| {
            let last = ((coverage * count as f64).round() as usize).clamp(1, count) - 1;
            CoveragePoint {
                coverage: (last + 1) as f64 / count as f64,
                min_confidence: photos[last].0,
                accuracy: accuracy[last],
            }
        };
        let known = count > 0;
        Self {
            name: name.into(),
            photos: count,
            points: if known {
                COVERAGES.into_iter().map(point).collect()
            } else {
                Vec::new()
            },
            risk_area: known.then(|| accuracy.iter().map(|a| 1.0 - a).sum::<f64>() / count as f64),
        }
    }
}

/// Of each head, and last of the final class, the probability of what is predicted of a photo and whether that is right; `None`
/// where the truth is not known.
pub(crate) type Sure = Vec<Option<(f64, bool)>>;

/// How sure predictions of these samples are.
pub(crate) fn sure(
    taxonomy: &Taxonomy,
    dataset: &Dataset,
    indices: &[usize],
    predictions: &[Prediction],
) -> Vec<Sure> {
    let of_photo = |(i, p): (&usize, &Prediction)| {
        let known = labels_that_apply(taxonomy, dataset, *i);
        let of_head = |(head, truth): (usize, &Option<usize>)| {
            let probs = &p.heads[head].probs;
            let best = argmax(probs);
            truth.map(|truth| (probs[best], best == truth))
        };
        let heads = known.iter().enumerate().map(of_head);
        let class = taxonomy.class_of(&known);
        heads
            .chain([class.map(|class| (p.prob, p.class == class))])
            .collect()
    };
    indices.iter().zip(predictions).map(of_photo).collect()
}

/// Sorts photos by the probability of their prediction, the surest first, and gives the accuracy of the first of them, of the first
/// two, and so on.
pub(crate) fn accuracies(photos: &mut [(f64, bool)]) -> Vec<f64> {
    photos.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut right = 0usize;
    let accuracy = photos.iter().enumerate().map(|(i, (_, is_right))| {
        right += usize::from(*is_right);
        right as f64 / (i + 1) as f64
    });
    accuracy.collect()
}

/// A line a head, a column a share of the photos.
pub struct CoverageTable<'a>(pub &'a [Coverage]);

impl fmt::Display for CoverageTable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{:<12}", "of the photos")?;
        for share in COVERAGES {
            write!(f, "{:>17}", format!("{:.0} %", 100.0 * share))?;
        }
        write!(f, "{:>12}", "risk area")?;
        for c in self.0 {
            write!(f, "\n{:<13}", c.name)?;
            for p in &c.points {
                let cell = format!("{:.4} (≥ {:.3})", p.accuracy, p.min_confidence);
                write!(f, "{cell:>17}")?;
            }
            match c.risk_area {
                Some(area) => write!(f, "{area:>12.4}")?,
                None => write!(f, "  no photo is labelled")?,
            }
        }
        write!(
            f,
            "\naccuracy on the photos the model is surest of, and the least probability among them"
        )
    }
}
