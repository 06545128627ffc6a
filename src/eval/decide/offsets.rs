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
    let groups: Vec<Vec<usize>> = (0..classes).map(|class| vec![class]).collect();
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
    let leaves = taxonomy.leaves();
    let mut groups = Vec::new();
    for head in 0..taxonomy.heads().len() {
        for label in 0..taxonomy.labels(head).len() {
            let has = |c: &usize| leaves[*c][head] == Some(label);
            groups.push((0..leaves.len()).filter(has).collect());
        }
    }
    Ok(climb(leaves.len(), &groups, log_probs, truth))
}

/// Rounds over the groups at most.
const ROUNDS: usize = 20;

/// `groups` list their classes in order.
fn climb(
    classes: usize,
    groups: &[Vec<usize>],
    log_probs: &[Vec<f64>],
    truth: &[usize],
) -> Vec<f64> {
    let mut offsets = vec![0.0; classes];
    let photos = log_probs.iter().zip(truth);
    let tops = photos.map(|(row, _)| best(row, &offsets, 0..classes).0);
    let mut tops: Vec<usize> = tops.collect();
    let mut tally = Tally::new(classes, truth);
    for _ in 0..ROUNDS {
        let mut moved = false;
        for group in groups {
            if group.is_empty() || group.len() == classes {
                continue;
            }
            let mut rivals: Vec<Rival> = (0..tops.len())
                .map(|photo| Rival::new(photo, tops[photo], &log_probs[photo], &offsets, group))
                .collect();
            rivals.sort_by(|a, b| a.point.total_cmp(&b.point));
            let step = best_step(&rivals, &mut tally);
            if step == 0.0 {
                continue;
            }
            moved = true;
            group.iter().for_each(|class| offsets[*class] += step);
            for r in rivals {
                let row = &log_probs[r.photo];
                let inside = best(row, &offsets, group.iter().copied());
                let outside = (r.outside, row[r.outside] + offsets[r.outside]);
                let first = inside.1 == outside.1 && inside.0 < outside.0;
                let wins = inside.1 > outside.1 || first;
                tops[r.photo] = if wins { inside.0 } else { outside.0 };
            }
        }
        if !moved {
            break;
        }
    }
    offsets
}

/// Of some classes that with the greatest log-probability plus offset, and what that is; of equal ones the first.
fn best(row: &[f64], offsets: &[f64], of: impl Iterator<Item = usize>) -> (usize, f64) {
    of.map(|c| (c, row[c] + offsets[c]))
        .reduce(|a, b| if b.1 > a.1 { b } else { a })
        .unwrap_or((0, f64::NEG_INFINITY))
}

/// A photo's best class of a group and outside of it, and what the group has to be raised by for the first to win.
struct Rival {
    photo: usize,
    inside: usize,
    outside: usize,
    point: f64,
}

impl Rival {
    /// `top` is the best class of all: only on its own side of the group is nothing to be looked for.
    fn new(photo: usize, top: usize, row: &[f64], offsets: &[f64], group: &[usize]) -> Self {
        let has = |class: &usize| group.binary_search(class).is_ok();
        let best_of_all = (top, row[top] + offsets[top]);
        let (inside, outside) = if has(&top) {
            let rest = (0..row.len()).filter(|c| !has(c));
            (best_of_all, best(row, offsets, rest))
        } else {
            (best(row, offsets, group.iter().copied()), best_of_all)
        };
        Self {
            photo,
            inside: inside.0,
            outside: outside.0,
            point: outside.1 - inside.1,
        }
    }
}

/// What to add to a group's offsets, from its rivals in the order of their points; 0 if nothing is better than that.
fn best_step(rivals: &[Rival], tally: &mut Tally) -> f64 {
    // As it is: those below 0 are the group's.
    for r in rivals {
        let is_inside = r.point < 0.0;
        tally.decide(r.photo, if is_inside { r.inside } else { r.outside });
    }
    let (mut best, mut step) = (tally.macro_f1(), 0.0);
    for r in rivals.iter().filter(|r| r.point < 0.0) {
        tally.decide(r.photo, r.outside);
    }
    for (i, r) in rivals.iter().enumerate() {
        tally.decide(r.photo, r.inside);
        let Some(next) = rivals.get(i + 1).map(|n| n.point) else {
            break;
        };
        let middle = 0.5 * (r.point + next);
        // Not between photos that change together, or closer than numbers can tell.
        if !(middle > r.point && middle < next && middle.is_finite()) {
            continue;
        }
        let f1 = tally.macro_f1();
        let better = f1 > best + 1e-12;
        if better || (f1 > best - 1e-12 && step != 0.0 && middle.abs() < f64::abs(step)) {
            (best, step) = (f1.max(best), middle);
        }
    }
    step
}

/// What 1 is in [`Tally`]'s sum.
const ONE: f64 = (1u64 << 60) as f64;

/// What is decided of each photo, and the sum of the classes' F1, in integers: it stays exact however often it is changed.
struct Tally<'a> {
    truth: &'a [usize],
    decided: Vec<Option<usize>>,
    counts: Counts,
    sum: i128,
}

impl<'a> Tally<'a> {
    fn new(classes: usize, truth: &'a [usize]) -> Self {
        Self {
            truth,
            decided: vec![None; truth.len()],
            counts: Counts::new(classes),
            sum: 0,
        }
    }

    fn decide(&mut self, photo: usize, class: usize) {
        if self.decided[photo] == Some(class) {
            return;
        }
        if let Some(before) = self.decided[photo].replace(class) {
            self.add(self.truth[photo], before, -1.0);
        }
        self.add(self.truth[photo], class, 1.0);
    }

    fn add(&mut self, truth: usize, predicted: usize, weight: f64) {
        let touched = |counts: &Counts| {
            let of = |class| (counts.f1(class) * ONE) as i128;
            of(truth) + if predicted == truth { 0 } else { of(predicted) }
        };
        self.sum -= touched(&self.counts);
        self.counts.add(truth, predicted, weight);
        self.sum += touched(&self.counts);
    }

    fn macro_f1(&self) -> f64 {
        self.sum as f64 / ONE / self.counts.both.len() as f64
    }
}

/// True positives, photos and predictions of each class.
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

    fn f1(&self, class: usize) -> f64 {
        match self.both[class] {
            both if both > 0.0 => 2.0 * self.right[class] / both,
            _ => 0.0,
        }
    }

    /// Mean F1 over all classes; one that neither occurs nor is predicted counts as 0.
    pub(crate) fn macro_f1(&self) -> f64 {
        let sum: f64 = (0..self.both.len()).map(|class| self.f1(class)).sum();
        sum / self.both.len() as f64
    }
}
