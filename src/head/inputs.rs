//! What a head reads: parts of a row of features, and what heads before it say.

use candle_core::{Result, Tensor};

/// A map, or features, in a row of features: `(channels, positions)` from `start` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub start: usize,
    pub channels: usize,
    pub positions: usize,
}

/// What a head reads of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Inputs {
    /// Values of a row of features.
    pub row: usize,
    /// What it reads of the row.
    pub segments: Vec<Segment>,
    /// The heads whose probabilities it sees behind that: their places in the model, and their labels.
    pub after: Vec<(usize, usize)>,
}

impl Inputs {
    /// The first values of a row, the backbone's own features.
    pub(crate) fn features(num_features: usize, row: usize) -> Self {
        let segment = Segment {
            start: 0,
            channels: num_features,
            positions: 1,
        };
        Self {
            row,
            segments: vec![segment],
            after: Vec::new(),
        }
    }

    /// Whether it reads the whole row as it is.
    pub(crate) fn is_row(&self) -> bool {
        let all = |s: &Segment| (s.start, s.channels, s.positions) == (0, self.row, 1);
        matches!(self.segments.as_slice(), [one] if all(one))
    }

    /// The channels of each segment.
    pub(crate) fn channels(&self) -> Vec<usize> {
        self.segments.iter().map(|s| s.channels).collect()
    }

    /// Values that the head's first layer sees.
    pub(crate) fn width(&self) -> usize {
        let labels = self.after.iter().map(|(_, labels)| labels);
        self.channels().iter().chain(labels).sum()
    }
}

impl Segment {
    /// This part of rows `(batch, row)`, as `(batch, channels, positions)`.
    pub(super) fn of(&self, rows: &Tensor) -> Result<Tensor> {
        let (batch, _) = rows.dims2()?;
        let part = rows.narrow(1, self.start, self.channels * self.positions)?;
        part.reshape((batch, self.channels, self.positions))
    }
}
