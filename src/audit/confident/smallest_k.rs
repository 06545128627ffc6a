//! The least few of a stream, in memory that does not grow with the stream.

use std::cmp::Ordering;

/// Keeps the `keep` least values with their places; of equal values those that came first.
pub(super) struct SmallestK {
    keep: usize,
    held: Vec<(f64, usize)>,
    /// The greatest value that is among the least so far; one that comes later has to be below it.
    limit: f64,
}

impl SmallestK {
    pub(super) fn new(keep: usize) -> Self {
        Self {
            keep,
            held: Vec::new(),
            limit: if keep == 0 {
                f64::NEG_INFINITY
            } else {
                f64::INFINITY
            },
        }
    }

    /// Takes a value that is not NaN; places ascend from call to call.
    #[inline]
    pub(super) fn push(&mut self, value: f64, place: usize) {
        if value < self.limit {
            self.held.push((value, place));
            // Twice as many as needed: each is then moved a bounded number of times.
            if self.held.len() >= 2 * self.keep.max(32) {
                self.shrink();
            }
        }
    }

    fn shrink(&mut self) {
        if self.held.len() > self.keep {
            self.held.select_nth_unstable_by(self.keep - 1, by_value);
            self.held.truncate(self.keep);
            self.limit = self.held[self.keep - 1].0;
        }
    }

    /// What a value has to be below to be taken.
    #[inline]
    pub(super) fn limit(&self) -> f64 {
        self.limit
    }

    /// Takes over what another one holds, whose places come after these.
    pub(super) fn absorb(&mut self, later: Self) {
        self.held.extend(later.held);
        self.shrink();
    }

    /// The places of the least, in no order.
    pub(super) fn places(mut self) -> impl Iterator<Item = usize> {
        self.shrink();
        self.held.into_iter().map(|(_, place)| place)
    }
}

/// By value, then by place. Zeros of either sign are equal.
#[inline]
pub(super) fn by_value(a: &(f64, usize), b: &(f64, usize)) -> Ordering {
    a.0.partial_cmp(&b.0)
        .unwrap_or(Ordering::Equal)
        .then(a.1.cmp(&b.1))
}
