//! What is asked of a photo: one head's label, or the final class; and what is given and predicted.

use super::confident::Given;
use super::folds::OutOfFold;
use crate::data::dataset::Dataset;
use crate::data::targets::labels_that_apply;
use crate::error::Result;
use crate::taxonomy::Taxonomy;

/// The photos that have a label of one head, or a final class, with the probabilities of each.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// The head's name, or "class".
    pub name: String,
    /// The names of its labels, or of the final classes.
    pub labels: Vec<String>,
    /// The places of the photos in the data, ascending.
    pub places: Vec<usize>,
    /// Each one's given label.
    pub given: Vec<usize>,
    /// Their probabilities, photo after photo.
    pub probs: Vec<f64>,
}

impl Question {
    /// A question for each head, then one for the final class (left out where its probabilities are). Photos without the label,
    /// or to which the head does not apply, are no part of it; nor is a question without photos.
    pub fn all(dataset: &Dataset, taxonomy: &Taxonomy, found: &OutOfFold) -> Vec<Self> {
        let known = known(dataset, taxonomy);
        let heads = taxonomy.heads().iter().enumerate().map(|(head, name)| {
            let given = known.iter().map(|k| k[head]);
            let labels = taxonomy.labels(head).to_vec();
            Self::new(name, labels, given, &found.heads[head])
        });
        let class = (!found.classes.is_empty()).then(|| {
            let given = known.iter().map(|k| taxonomy.class_of(k));
            Self::new("class", taxonomy.class_names(), given, &found.classes)
        });
        heads
            .chain(class)
            .filter(|q| !q.places.is_empty())
            .collect()
    }

    fn new(
        name: &str,
        labels: Vec<String>,
        given: impl Iterator<Item = Option<usize>>,
        probs: &[f64],
    ) -> Self {
        let width = labels.len();
        let mut question = Self {
            name: name.into(),
            labels,
            places: Vec::new(),
            given: Vec::new(),
            probs: Vec::new(),
        };
        for (place, given) in given.enumerate() {
            if let Some(label) = given {
                question.places.push(place);
                question.given.push(label);
                let row = &probs[place * width..(place + 1) * width];
                question.probs.extend_from_slice(row);
            }
        }
        question
    }

    /// For confident learning.
    ///
    /// # Errors
    /// As [`Given::new`].
    pub fn confident(&self) -> Result<Given<'_, f64>> {
        Given::new(&self.given, &self.probs, self.labels.len())
    }

    /// The probabilities of one of its photos.
    pub(crate) fn row(&self, i: usize) -> &[f64] {
        &self.probs[i * self.labels.len()..(i + 1) * self.labels.len()]
    }

    /// Whether the given label of a photo is the likeliest.
    pub(crate) fn says_given(&self, i: usize) -> bool {
        let (row, given) = (self.row(i), self.given[i]);
        row.iter().all(|p| *p <= row[given])
    }

    /// The likeliest label of a photo that is not the given one.
    pub(crate) fn suggested(&self, i: usize) -> usize {
        likeliest_but(self.row(i), self.given[i])
    }
}

/// The place of the greatest value but one, the first of equals.
pub(super) fn likeliest_but(row: &[f64], but: usize) -> usize {
    let others = row.iter().enumerate().filter(|(label, _)| *label != but);
    let better = |best: Option<(usize, f64)>, (label, p): (usize, &f64)| match best {
        Some((_, most)) if most >= *p => best,
        _ => Some((label, *p)),
    };
    others.fold(None, better).map_or(but, |(label, _)| label)
}

/// Each photo's label of each head, `None` where it is not known or the head does not apply.
pub(super) fn known(dataset: &Dataset, taxonomy: &Taxonomy) -> Vec<Vec<Option<usize>>> {
    let places = 0..dataset.samples.len();
    places
        .map(|place| labels_that_apply(taxonomy, dataset, place))
        .collect()
}
