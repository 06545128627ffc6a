//! How a batch is cut.

use hydranet_kernels::tasks::parts;
use std::ops::Range;

/// The parts of a batch, and those of them that this process computes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::train) struct Cut {
    /// The rows of each part.
    pub parts: Vec<Range<usize>>,
    /// The places of the parts that are computed here.
    pub own: Range<usize>,
}

impl Cut {
    /// So many photos in `wanted` parts of at least two photos each, of which the process `rank` of `size` takes its share. The
    /// cut follows from the number of photos alone.
    pub(in crate::train) fn new(
        photos: usize,
        wanted: usize,
        (rank, size): (usize, usize),
    ) -> Self {
        let parts = parts(photos, wanted.min(photos / 2));
        let place = |rank: usize| rank * parts.len() / size;
        Self {
            own: place(rank)..place(rank + 1),
            parts,
        }
    }

    /// The rows of the batch that are computed here.
    pub(in crate::train) fn rows(&self) -> Range<usize> {
        match &self.parts[self.own.clone()] {
            [first, .., last] => first.start..last.end,
            [only] => only.clone(),
            [] => 0..0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_row_is_computed_once_by_whatever_processes(
            photos in 2usize..200,
            wanted in 1usize..20,
            size in 1usize..9,
        ) {
            let alone = Cut::new(photos, wanted, (0, 1));
            prop_assert_eq!(alone.rows(), 0..photos);
            prop_assert!(alone.parts.iter().all(|rows| rows.len() >= 2));
            let mut rows = Vec::new();
            for rank in 0..size {
                let cut = Cut::new(photos, wanted, (rank, size));
                prop_assert_eq!(&cut.parts, &alone.parts);
                rows.extend(cut.rows());
            }
            prop_assert_eq!(rows, Vec::from_iter(0..photos));
        }
    }
}
