//! What a crop cuts off: the same photos seen with it and without.

use crate::data::dataset::{Dataset, Split};
use crate::data::targets::labels;
use serde::Serialize;

/// One head with and without the crop.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HeadCrop {
    /// The head.
    pub head: String,
    /// Photos counted: those with a label that were not trained on, or all with a label if there are no others.
    pub photos: usize,
    /// Share of right labels with the crop.
    pub with: f64,
    /// Without.
    pub without: f64,
    /// Mean change of the probabilities over all photos: half the sum of the absolute differences, 0 to 1.
    pub change: f64,
}

/// A photo whose prediction the crop changes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CropChange {
    /// Index of the photo.
    pub photo: usize,
    /// Its name.
    pub name: String,
    /// The head that changes most.
    pub head: String,
    /// The label with the crop.
    pub with: String,
    /// The label without.
    pub without: String,
    /// Change of the probabilities, 0 to 1.
    pub change: f64,
}

/// What a crop does.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CropReport {
    /// The heads in order.
    pub heads: Vec<HeadCrop>,
    /// Photos of which some head says another label with the crop than without.
    pub other_label: usize,
    /// Photos whose prediction changes most.
    pub changes: Vec<CropChange>,
}

/// Probabilities of each photo and head, with the crop and without.
pub(super) struct Probs {
    pub(super) with: Vec<Vec<Vec<f64>>>,
    pub(super) without: Vec<Vec<Vec<f64>>>,
}

pub(super) fn compare(
    dataset: &Dataset,
    places: &[usize],
    probs: &Probs,
    listed: usize,
) -> Option<CropReport> {
    // Labels of which a photo may have several have no likeliest one that another could take the place of.
    let asked = dataset.heads.iter().enumerate();
    let asked = asked.filter(|(_, head)| !head.is_multi_label());
    if places.is_empty() || asked.clone().next().is_none() {
        return None;
    }
    let truth: Vec<Vec<Option<usize>>> = places
        .iter()
        .map(|i| labels(&dataset.heads, &dataset.samples[*i]))
        .collect();
    let unseen: Vec<bool> = places
        .iter()
        .map(|i| !matches!(dataset.samples[*i].split, None | Some(Split::Train)))
        .collect();
    let any = unseen.contains(&true);
    let mut heads = Vec::new();
    let mut most: Vec<(f64, usize)> = vec![(-1.0, 0); places.len()];
    let mut other = vec![false; places.len()];
    for (h, head) in asked {
        let (mut right, mut photos, mut sum) = ([0usize; 2], 0, 0.0);
        for row in 0..places.len() {
            let (with, without) = (&probs.with[row][h], &probs.without[row][h]);
            let change = distance(with, without);
            sum += change;
            if change > most[row].0 {
                most[row] = (change, h);
            }
            let said = [with, without].map(|p| crate::model::combine::argmax(p));
            other[row] |= said[0] != said[1];
            if let Some(truth) = truth[row][h].filter(|_| unseen[row] || !any) {
                photos += 1;
                for (right, said) in right.iter_mut().zip(said) {
                    *right += usize::from(said == truth);
                }
            }
        }
        let [with, without] = right.map(|n| n as f64 / photos.max(1) as f64);
        heads.push(HeadCrop {
            head: head.name.clone(),
            photos,
            with,
            without,
            change: sum / places.len() as f64,
        });
    }
    let mut order: Vec<usize> = (0..places.len()).collect();
    order.sort_by(|a, b| most[*b].0.total_cmp(&most[*a].0).then(a.cmp(b)));
    let names = dataset.unique_names();
    let changes = order.into_iter().take(listed).map(|row| {
        let (change, h) = most[row];
        let head = &dataset.heads[h];
        let label = |probs: &[f64]| head.labels.names[crate::model::combine::argmax(probs)].clone();
        CropChange {
            photo: places[row],
            name: names[places[row]].clone(),
            head: head.name.clone(),
            with: label(&probs.with[row][h]),
            without: label(&probs.without[row][h]),
            change,
        }
    });
    Some(CropReport {
        heads,
        other_label: other.iter().filter(|o| **o).count(),
        changes: changes.collect(),
    })
}

/// Total variation.
fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| (x - y).abs()).sum::<f64>() / 2.0
}
