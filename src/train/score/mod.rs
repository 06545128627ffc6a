//! Scores of a model on a set of photos: per head, for the final class, and which head the final class's errors come from.

mod table;

use crate::error::{Error, Result};
use crate::taxonomy::Taxonomy;
use crate::train::metrics::{ClassMetrics, ConfusionMatrix};
use serde::Serialize;
use std::collections::BTreeMap;

/// Above this many classes a report leaves the confusion matrix out.
pub const MAX_CONFUSION: usize = 1_000;

/// One photo's truth and prediction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scored {
    /// The true label of each head; `None` where it is not known.
    pub truth: Vec<Option<usize>>,
    /// The predicted label of each head.
    pub predicted: Vec<usize>,
    /// The predicted final class. Given apart, because a decision rule may choose another one than the heads' labels make.
    pub class: usize,
}

/// What a model scores on a set of photos.
///
/// ```
/// use hydranet::Taxonomy;
/// use hydranet::train::score::{ScoreReport, Scored};
/// let t = Taxonomy::new([("mask", vec!["on", "off"]), ("age", vec!["young", "old"])])?;
/// let photo = |truth: [usize; 2], predicted: [usize; 2], class| Scored {
///     truth: truth.map(Some).to_vec(),
///     predicted: predicted.to_vec(),
///     class,
/// };
/// let report = ScoreReport::new(&t, &[photo([0, 1], [0, 1], 1), photo([1, 1], [1, 0], 2)])?;
/// assert_eq!(report.class.accuracy, 0.5);
/// assert_eq!(report.errors.heads[1].alone, 1);
/// assert_eq!(report.errors.heads[1].accuracy_if_right, 1.0);
/// # Ok::<(), hydranet::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ScoreReport {
    /// Photos given.
    pub photos: u64,
    /// Each head's scores on the photos that have its label, in the taxonomy's order.
    pub heads: Vec<NamedScore>,
    /// The final class's scores on the photos that have every head's label.
    pub class: NamedScore,
    /// Where the final class's errors come from.
    pub errors: ErrorSources,
}

/// The scores of one head, or of the final class.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NamedScore {
    /// The head's name, or "class".
    pub name: String,
    /// Photos scored: those whose truth is known.
    pub photos: u64,
    /// Share predicted right; 0 without photos.
    pub accuracy: f64,
    /// Mean F1 over all declared labels, a missing one counting as 0.
    pub macro_f1: f64,
    /// One row a label, in order.
    pub labels: Vec<LabelScore>,
    /// Counts, row = truth, column = prediction. Not serialised above [`MAX_CONFUSION`] labels.
    #[serde(skip_serializing_if = "is_large")]
    pub confusion: ConfusionMatrix,
}

/// The scores of one label.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LabelScore {
    /// The label's or the class's name.
    pub label: String,
    /// Precision, recall, F1 and counts.
    #[serde(flatten)]
    pub metrics: ClassMetrics,
}

/// Which heads the wrong final classes differ from the truth in. The *final class's* labels are compared, after the decision rule.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ErrorSources {
    /// Photos whose final class is wrong.
    pub wrong: u64,
    /// Wrong photos by the exact set of wrong heads, commonest first.
    pub by_heads: Vec<WrongHeads>,
    /// One entry a head, in the taxonomy's order.
    pub heads: Vec<HeadErrors>,
}

/// Photos in which exactly these heads are wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WrongHeads {
    /// The heads, in the taxonomy's order.
    pub heads: Vec<String>,
    /// The photos.
    pub photos: u64,
}

/// What one head costs the final class.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HeadErrors {
    /// The head.
    pub head: String,
    /// Wrong photos in which this head is the only wrong one.
    pub alone: u64,
    /// Wrong photos in which this head is wrong, alone or with others.
    pub at_all: u64,
    /// The final class's accuracy if this head were always right and the others as they are.
    pub accuracy_if_right: f64,
    /// The final class's macro F1 likewise.
    pub macro_f1_if_right: f64,
}

impl ScoreReport {
    /// Scores `photos`. Photos without some head's label count for the other heads, but not for the final class.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a photo has not one truth and one prediction a head, [`Error::OutOfRange`] if a label or class is
    /// not one of the taxonomy's; both name the photo by its place in `photos`.
    pub fn new(taxonomy: &Taxonomy, photos: &[Scored]) -> Result<Self> {
        let names = taxonomy.heads();
        let mut heads: Vec<ConfusionMatrix> = (0..names.len())
            .map(|h| ConfusionMatrix::new(taxonomy.labels(h).len()))
            .collect();
        let mut class = ConfusionMatrix::new(taxonomy.num_classes());
        let mut if_right = vec![class.clone(); names.len()];
        let mut sets: BTreeMap<Vec<usize>, u64> = BTreeMap::new();

        for (place, photo) in photos.iter().enumerate() {
            check(taxonomy, photo, place)?;
            for (head, matrix) in heads.iter_mut().enumerate() {
                if let Some(truth) = photo.truth[head] {
                    matrix.add(truth, photo.predicted[head])?;
                }
            }
            let Some(truth) = photo.truth.iter().copied().collect::<Option<Vec<_>>>() else {
                continue;
            };
            let true_class = taxonomy.encode(&truth)?;
            let mut labels = taxonomy.decode(photo.class)?;
            class.add(true_class, photo.class)?;
            let wrong: Vec<usize> = (0..truth.len())
                .filter(|h| truth[*h] != labels[*h])
                .collect();
            for (head, matrix) in if_right.iter_mut().enumerate() {
                let as_is = std::mem::replace(&mut labels[head], truth[head]);
                matrix.add(true_class, taxonomy.encode(&labels)?)?;
                labels[head] = as_is;
            }
            if !wrong.is_empty() {
                *sets.entry(wrong).or_default() += 1;
            }
        }

        let errors = ErrorSources::new(names, &sets, &if_right);
        let heads = heads.into_iter().zip(names).enumerate();
        Ok(Self {
            photos: photos.len() as u64,
            heads: heads
                .map(|(h, (matrix, name))| NamedScore::new(name, taxonomy.labels(h), matrix))
                .collect(),
            class: NamedScore::new("class", &taxonomy.class_names(), class),
            errors,
        })
    }
}

impl NamedScore {
    fn new(name: &str, labels: &[String], confusion: ConfusionMatrix) -> Self {
        let rows = labels.iter().zip(confusion.classes());
        Self {
            name: name.into(),
            photos: confusion.total(),
            accuracy: confusion.accuracy(),
            macro_f1: confusion.macro_f1(),
            labels: rows
                .map(|(label, metrics)| LabelScore {
                    label: label.clone(),
                    metrics,
                })
                .collect(),
            confusion,
        }
    }
}

impl ErrorSources {
    fn new(
        names: &[String],
        sets: &BTreeMap<Vec<usize>, u64>,
        if_right: &[ConfusionMatrix],
    ) -> Self {
        let count = |keep: &dyn Fn(&[usize]) -> bool| {
            let kept = sets.iter().filter(|(set, _)| keep(set));
            kept.map(|(_, photos)| photos).sum::<u64>()
        };
        let mut by_heads: Vec<WrongHeads> = sets
            .iter()
            .map(|(set, photos)| WrongHeads {
                heads: set.iter().map(|h| names[*h].clone()).collect(),
                photos: *photos,
            })
            .collect();
        // The sort is stable: equal counts stay in the order of the heads.
        by_heads.sort_by_key(|w| std::cmp::Reverse(w.photos));
        let heads = names.iter().zip(if_right).enumerate();
        Self {
            wrong: count(&|_| true),
            by_heads,
            heads: heads
                .map(|(h, (name, matrix))| HeadErrors {
                    head: name.clone(),
                    alone: count(&|set| set == [h]),
                    at_all: count(&|set| set.contains(&h)),
                    accuracy_if_right: matrix.accuracy(),
                    macro_f1_if_right: matrix.macro_f1(),
                })
                .collect(),
        }
    }
}

fn check(taxonomy: &Taxonomy, photo: &Scored, place: usize) -> Result<()> {
    let names = taxonomy.heads();
    for (what, found) in [
        ("true labels", photo.truth.len()),
        ("predicted labels", photo.predicted.len()),
    ] {
        if found != names.len() {
            return Err(Error::Invalid {
                what: format!("{what} of photo {place}"),
                expected: format!("one for each of {} heads", names.len()),
                found: found.to_string(),
            });
        }
    }
    let out_of_range = |what: String, limit: usize, found: usize| {
        Err(Error::OutOfRange {
            what: format!("{what} of photo {place}"),
            limit,
            found,
        })
    };
    for (head, name) in names.iter().enumerate() {
        let limit = taxonomy.labels(head).len();
        for found in photo.truth[head].into_iter().chain([photo.predicted[head]]) {
            if found >= limit {
                return out_of_range(format!("label of head `{name}`"), limit, found);
            }
        }
    }
    if photo.class >= taxonomy.num_classes() {
        return out_of_range("class".into(), taxonomy.num_classes(), photo.class);
    }
    Ok(())
}

fn is_large(matrix: &ConfusionMatrix) -> bool {
    matrix.num_classes() > MAX_CONFUSION
}
