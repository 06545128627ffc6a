//! Buffers that are used again: a fresh one costs a page fault for every four kilobytes, more than many kernels do.

use crate::micro::SLACK;
use crate::real::Real;
use std::any::Any;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Buffers nobody uses, of `f32`. Those of `f64`, which serve tests, are not kept.
static POOL: Mutex<Pool> = Mutex::new(Pool::new());

/// Free buffers hold at most so many times the values that ever were in use at once. A network whose maps are of many sizes has
/// about twice as many in its buffers as it uses at once.
const MOST: usize = 3;

/// Free buffers by length, and how many values are in them and in those in use.
struct Pool {
    lists: BTreeMap<usize, List>,
    free: usize,
    used: usize,
    most_used: usize,
    requests: u64,
}

/// Free buffers of one length.
#[derive(Default)]
struct List {
    buffers: Vec<Vec<f32>>,
    /// The number of the last request for one.
    asked: u64,
}

impl Pool {
    const fn new() -> Self {
        Self {
            lists: BTreeMap::new(),
            free: 0,
            used: 0,
            most_used: 0,
            requests: 0,
        }
    }

    /// A free buffer of `len` values, if there is one; it, or the one that is made instead, is in use from now on.
    fn take(&mut self, len: usize) -> Option<Vec<f32>> {
        self.requests += 1;
        self.used += len;
        self.most_used = self.most_used.max(self.used);
        let list = self.lists.entry(len).or_default();
        list.asked = self.requests;
        let found = list.buffers.pop()?;
        self.free -= len;
        Some(found)
    }

    /// Takes a buffer back. If there are too many then, those of the lengths that nobody has asked for for longest go.
    fn give(&mut self, values: Vec<f32>) {
        let len = values.len();
        self.used = self.used.saturating_sub(len);
        self.free += len;
        self.lists.entry(len).or_default().buffers.push(values);
        while self.free > MOST * self.most_used
            && let Some(oldest) = self.lists.iter().min_by_key(|(_, l)| l.asked)
        {
            let len = *oldest.0;
            let gone = self.lists.remove(&len).unwrap_or_default();
            self.free -= len * gone.buffers.len();
        }
    }
}

fn pool() -> MutexGuard<'static, Pool> {
    // A poisoned pool holds whole buffers all the same.
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives the memory of all buffers nobody uses back to the allocator. Training and prediction keep theirs between steps.
pub fn release_buffers() {
    let mut pool = pool();
    *pool = Pool {
        used: pool.used,
        most_used: pool.used,
        ..Pool::new()
    };
}

/// Values with a panel's slack behind them, that kernels may read and ignore.
pub struct Buffer<T: Real> {
    values: Vec<T>,
    len: usize,
}

/// Lengths are rounded up to eight steps a doubling, so that buffers of like size serve each other.
fn class(len: usize) -> usize {
    let step = (len.next_power_of_two() / 16).max(64);
    len.next_multiple_of(step)
}

impl<T: Real> Buffer<T> {
    /// `len` values of no meaning, and zeros or old values behind them.
    pub fn new(len: usize) -> Self {
        let capacity = class(len + SLACK);
        let mut values: Vec<T> = Vec::new();
        if let Some(values) = (&mut values as &mut dyn Any).downcast_mut::<Vec<f32>>() {
            *values = pool().take(capacity).unwrap_or_default();
        }
        if values.is_empty() {
            values = vec![T::ZERO; capacity];
        }
        Self { values, len }
    }

    /// The values with the slack behind them.
    pub(crate) fn with_slack(&self) -> &[T] {
        &self.values
    }

    /// Makes sure that it holds `len` values, which then may be others.
    pub(crate) fn reserve(&mut self, len: usize) {
        if self.len < len {
            *self = Self::new(len);
        }
    }
}

impl<T: Real> Drop for Buffer<T> {
    fn drop(&mut self) {
        if let Some(values) = (&mut self.values as &mut dyn Any).downcast_mut::<Vec<f32>>() {
            pool().give(std::mem::take(values));
        }
    }
}

impl<T: Real> std::ops::Deref for Buffer<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.values[..self.len]
    }
}

impl<T: Real> std::ops::DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.values[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_serve_again_and_those_nobody_asks_for_any_more_go() {
        let mut pool = Pool::new();
        let mut use_two = |len: usize| {
            let both = [(); 2].map(|()| pool.take(len).unwrap_or_else(|| vec![0.0; len]));
            let places = both.each_ref().map(|b| b.as_ptr());
            both.into_iter().for_each(|values| pool.give(values));
            assert!(pool.free <= MOST * pool.most_used);
            assert_eq!(pool.used, 0);
            let free = pool.lists.iter().map(|(len, l)| len * l.buffers.len());
            assert_eq!(pool.free, free.sum());
            places
        };
        let first = use_two(100);
        assert_eq!(first[0], use_two(100)[1]);
        for len in 101..200 {
            use_two(len);
        }
        assert!(!pool.lists.contains_key(&100) && pool.lists.contains_key(&199));
    }
}
