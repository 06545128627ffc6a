//! Offsets that raise the macro F1 of the final class.

use crate::error::Result;
use crate::taxonomy::Taxonomy;

/// An offset for each final class, so that the class of the greatest log-probability plus offset has the greatest macro F1 that
/// going from class to class finds: for one class after the other, with the others as they are, the best offset is found exactly,
/// by passing all the points where a photo's decision changes; until a whole round brings nothing, or after twenty. Of equally
/// good offsets the one that changes least is taken.
///
/// # Shapes
/// `log_probs` one list of all classes a photo; `truth` one class a photo.
pub fn class_offsets(taxonomy: &Taxonomy, log_probs: &[Vec<f64>], truth: &[usize]) -> Vec<f64> {
    let classes = taxonomy.num_classes();
    let groups: Vec<Vec<bool>> = (0..classes)
        .map(|group| (0..classes).map(|class| class == group).collect())
        .collect();
    climb(classes, &groups, log_probs, truth)
}

/// The same with an offset for each label of each head, which all final classes with the label share.
///
/// # Errors
/// None that a valid taxonomy gives.
pub fn label_offsets(
    taxonomy: &Taxonomy,
    log_probs: &[Vec<f64>],
    truth: &[usize],
) -> Result<Vec<f64>> {
    let classes = taxonomy.num_classes();
    let leaves: Vec<Vec<Option<usize>>> = (0..classes)
        .map(|class| taxonomy.decode(class))
        .collect::<Result<_>>()?;
    let mut groups = Vec::new();
    for head in 0..taxonomy.heads().len() {
        for label in 0..taxonomy.labels(head).len() {
            groups.push(leaves.iter().map(|l| l[head] == Some(label)).collect());
        }
    }
    Ok(climb(classes, &groups, log_probs, truth))
}

/// Rounds over the groups at most.
const ROUNDS: usize = 20;

fn climb(
    classes: usize,
    groups: &[Vec<bool>],
    log_probs: &[Vec<f64>],
    truth: &[usize],
) -> Vec<f64> {
    let mut offsets = vec![0.0; classes];
    for _ in 0..ROUNDS {
        let mut moved = false;
        for group in groups {
            let step = best_step(group, &offsets, log_probs, truth);
            if step != 0.0 {
                moved = true;
                let of_group = offsets.iter_mut().zip(group).filter(|(_, g)| **g);
                of_group.for_each(|(offset, _)| *offset += step);
            }
        }
        if !moved {
            break;
        }
    }
    offsets
}

/// A photo's best class of a group and outside of it, and what the group has to be raised by for the first to win.
struct Rival {
    inside: usize,
    outside: usize,
    point: f64,
    truth: usize,
}

/// What to add to a group's offsets; 0 if nothing is better than that.
fn best_step(group: &[bool], offsets: &[f64], log_probs: &[Vec<f64>], truth: &[usize]) -> f64 {
    let best = |row: &[f64], inside: bool| {
        let of = (0..row.len()).filter(|c| group[*c] == inside);
        // Of equal ones the first.
        of.map(|c| (c, row[c] + offsets[c]))
            .reduce(|a, b| if b.1 > a.1 { b } else { a })
    };
    let mut rivals: Vec<Rival> = Vec::with_capacity(truth.len());
    for (row, truth) in log_probs.iter().zip(truth) {
        let (Some(a), Some(b)) = (best(row, true), best(row, false)) else {
            return 0.0;
        };
        rivals.push(Rival {
            inside: a.0,
            outside: b.0,
            point: b.1 - a.1,
            truth: *truth,
        });
    }
    rivals.sort_by(|a, b| a.point.total_cmp(&b.point));
    let mut counts = Counts::new(offsets.len());
    rivals
        .iter()
        .for_each(|r| counts.add(r.truth, r.outside, 1.0));
    // As it is: those below 0 are the group's.
    let mut now = counts.clone();
    for r in rivals.iter().filter(|r| r.point < 0.0) {
        now.add(r.truth, r.outside, -1.0);
        now.add(r.truth, r.inside, 1.0);
    }
    let (mut best, mut step) = (now.macro_f1(), 0.0);
    for (i, r) in rivals.iter().enumerate() {
        counts.add(r.truth, r.outside, -1.0);
        counts.add(r.truth, r.inside, 1.0);
        let Some(next) = rivals.get(i + 1).map(|n| n.point) else {
            break;
        };
        let middle = 0.5 * (r.point + next);
        // Not between photos that change together, or closer than numbers can tell.
        if !(middle > r.point && middle < next && middle.is_finite()) {
            continue;
        }
        let f1 = counts.macro_f1();
        let better = f1 > best + 1e-12;
        if better || (f1 > best - 1e-12 && step != 0.0 && middle.abs() < f64::abs(step)) {
            (best, step) = (f1.max(best), middle);
        }
    }
    step
}

/// True positives, photos and predictions of each class.
#[derive(Clone)]
pub(crate) struct Counts {
    right: Vec<f64>,
    /// Photos of the class, and photos predicted to be of it.
    both: Vec<f64>,
}

impl Counts {
    pub(crate) fn new(classes: usize) -> Self {
        Self {
            right: vec![0.0; classes],
            both: vec![0.0; classes],
        }
    }

    /// Counts a photo, or with a weight of −1 takes one away.
    pub(crate) fn add(&mut self, truth: usize, predicted: usize, weight: f64) {
        self.both[truth] += weight;
        self.both[predicted] += weight;
        if truth == predicted {
            self.right[truth] += weight;
        }
    }

    /// Mean F1 over all classes; one that neither occurs nor is predicted counts as 0.
    pub(crate) fn macro_f1(&self) -> f64 {
        let each = self.right.iter().zip(&self.both);
        let sum: f64 = each
            .filter(|(_, both)| **both > 0.0)
            .map(|(right, both)| 2.0 * right / both)
            .sum();
        sum / self.right.len() as f64
    }
}
