//! A batch of one head as a loss sees it.

/// A batch of one head, as numbers.
pub(super) struct Batch<'a> {
    /// Row after row.
    pub logits: &'a [f64],
    /// Of the labels, smoothed, row after row.
    pub targets: &'a [f64],
    /// Of the groups, row after row; nothing without groups.
    pub group_targets: &'a [f64],
    /// Of each label, and behind them of each group, the group it stands in; nothing without groups.
    pub parents: &'a [Option<usize>],
    /// One a photo.
    pub weights: &'a [f64],
    /// One a label.
    pub class_weights: &'a [f64],
    /// Training photos of each label.
    pub counts: &'a [f64],
}

/// A value, and its gradient by all logits.
pub(super) type Valued = (f64, Vec<f64>);

impl Batch<'_> {
    pub(super) fn labels(&self) -> usize {
        self.class_weights.len()
    }

    /// Each photo that has the label: its place, its weight, its targets.
    pub(super) fn rows(&self) -> impl Iterator<Item = (usize, f64, &[f64])> {
        let targets = self.targets.chunks_exact(self.labels());
        let rows = self.weights.iter().zip(targets).enumerate();
        rows.map(|(i, (s, t))| (i, *s, t))
            .filter(|(_, s, _)| *s > 0.0)
    }

    /// The targets of the groups of a photo.
    pub(super) fn groups_of(&self, photo: usize) -> &[f64] {
        let groups = self.parents.len().saturating_sub(self.labels());
        &self.group_targets[photo * groups..][..groups]
    }

    /// Σ s Σ t w, over labels and groups.
    pub(super) fn total(&self) -> f64 {
        let groups = group_weights(self.class_weights, self.parents);
        let of_groups = |i: usize| -> f64 {
            let terms = self.groups_of(i).iter().zip(&groups);
            terms.map(|(t, w)| t * w).sum()
        };
        let rows = self.rows();
        rows.map(|(i, s, t)| s * (self.weight(t) + of_groups(i)))
            .sum()
    }

    /// Σ t w of a photo, over its labels.
    pub(super) fn weight(&self, targets: &[f64]) -> f64 {
        let terms = targets.iter().zip(self.class_weights);
        terms.map(|(t, w)| t * w).sum()
    }

    /// The factors of the labels, and behind them of the groups.
    pub(super) fn node_weights(&self) -> Vec<f64> {
        let groups = group_weights(self.class_weights, self.parents);
        [self.class_weights, &groups].concat()
    }

    /// The photos of a label; one of which there is none counts as one with one.
    pub(super) fn photos(&self) -> impl Iterator<Item = f64> {
        self.counts.iter().map(|n| n.max(1.0))
    }
}

/// The factor of each group: the mean of its labels'.
pub(super) fn group_weights(class_weights: &[f64], parents: &[Option<usize>]) -> Vec<f64> {
    let labels = class_weights.len();
    let mut sums = vec![(0.0, 0.0); parents.len().saturating_sub(labels)];
    for (label, weight) in class_weights.iter().enumerate() {
        let mut at = parents.get(label).copied().flatten();
        while let Some(group) = at {
            sums[group].0 += weight;
            sums[group].1 += 1.0;
            at = parents[labels + group];
        }
    }
    sums.into_iter().map(|(sum, n)| sum / n).collect()
}
