//! A batch of one head as a loss sees it.

/// A batch of one head, as numbers.
pub(super) struct Batch<'a> {
    /// Row after row.
    pub logits: &'a [f64],
    /// Smoothed, row after row.
    pub targets: &'a [f64],
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

    /// Σ s Σ t w.
    pub(super) fn total(&self) -> f64 {
        self.rows().map(|(_, s, t)| s * self.weight(t)).sum()
    }

    /// Σ t w of a photo.
    pub(super) fn weight(&self, targets: &[f64]) -> f64 {
        let terms = targets.iter().zip(self.class_weights);
        terms.map(|(t, w)| t * w).sum()
    }

    /// The photos of a label; one of which there is none counts as one with one.
    pub(super) fn photos(&self) -> impl Iterator<Item = f64> {
        self.counts.iter().map(|n| n.max(1.0))
    }
}
