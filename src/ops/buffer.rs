//! Buffers that are used again: a fresh one costs a page fault for every four kilobytes, more than many kernels do.

use super::micro::SLACK;
use super::simd::Real;
use std::any::Any;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Buffers nobody uses, by length.
static FREE: Mutex<Option<Free>> = Mutex::new(None);

#[derive(Default)]
struct Free {
    f32: BTreeMap<usize, Vec<Vec<f32>>>,
    f64: BTreeMap<usize, Vec<Vec<f64>>>,
}

fn free() -> MutexGuard<'static, Option<Free>> {
    // A poisoned list holds whole buffers all the same.
    FREE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives the memory of all buffers nobody uses back to the allocator. Training and prediction keep theirs between steps.
pub fn release_buffers() {
    *free() = None;
}

/// Values with a panel's slack behind them, that kernels may read and ignore.
pub(crate) struct Buffer<T: Real> {
    values: Vec<T>,
    len: usize,
}

/// The lists of one type.
fn list<T: Real>(free: &mut Free) -> Option<&mut BTreeMap<usize, Vec<Vec<T>>>> {
    let Free { f32, f64 } = free;
    let f32: &mut dyn Any = f32;
    let f64: &mut dyn Any = f64;
    if f32.is::<BTreeMap<usize, Vec<Vec<T>>>>() {
        f32.downcast_mut()
    } else {
        f64.downcast_mut()
    }
}

/// Lengths are rounded up to eight steps a doubling, so that buffers of like size serve each other.
fn class(len: usize) -> usize {
    let step = (len.next_power_of_two() / 16).max(64);
    len.next_multiple_of(step)
}

impl<T: Real> Buffer<T> {
    /// `len` values of no meaning, and zeros or old values behind them.
    pub(crate) fn new(len: usize) -> Self {
        let capacity = class(len + SLACK);
        let found = free()
            .as_mut()
            .and_then(list::<T>)
            .and_then(|l| l.get_mut(&capacity)?.pop());
        Self {
            values: found.unwrap_or_else(|| vec![T::ZERO; capacity]),
            len,
        }
    }

    /// The values with the slack behind them.
    pub(crate) fn with_slack(&self) -> &[T] {
        &self.values
    }
}

impl<T: Real> Drop for Buffer<T> {
    fn drop(&mut self) {
        let values = std::mem::take(&mut self.values);
        if let Some(list) = list::<T>(free().get_or_insert_default()) {
            list.entry(values.len()).or_default().push(values);
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
