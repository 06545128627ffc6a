//! Slices out of candle tensors, and one output written by several threads at disjoint places.

use super::simd::Real;
use candle_core::{CpuStorage, Layout, Result, Storage, Tensor, bail};
use rayon::prelude::*;
use std::mem::MaybeUninit;
use std::sync::Mutex;

/// The contiguous values of one argument of a custom operator.
pub(crate) fn values<'a, T: Real>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [T]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&T::cpu_storage_as_slice(storage)?[start..end]),
        None => bail!(
            "hydranet's kernels take contiguous tensors, found strides {:?}",
            layout.stride()
        ),
    }
}

/// Calls `f` with the values of a CPU tensor, which is made contiguous first if need be.
pub fn with_values<T: Real, R>(tensor: &Tensor, f: impl FnOnce(&[T]) -> Result<R>) -> Result<R> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => f(values(storage, layout)?),
        _ => bail!(
            "hydranet's kernels run on the CPU, found a tensor on {:?}",
            tensor.device()
        ),
    }
}

/// The storage of a custom operator's result: `$body`, a vector of `$T`s, `$T` being the element type of the argument.
macro_rules! typed_storage {
    ($what:literal, $storage:expr, $T:ident => $body:expr) => {
        match $storage {
            candle_core::CpuStorage::F32(_) => {
                type $T = f32;
                candle_core::CpuStorage::F32($body)
            }
            candle_core::CpuStorage::F64(_) => {
                type $T = f64;
                candle_core::CpuStorage::F64($body)
            }
            _ => candle_core::bail!("{}: expected values of type f32 or f64", $what),
        }
    };
}
pub(crate) use typed_storage;

/// `$body` with `$T` the element type of a tensor.
macro_rules! typed {
    ($what:literal, $tensor:expr, $T:ident => $body:expr) => {
        match $tensor.dtype() {
            candle_core::DType::F32 => {
                type $T = f32;
                $body
            }
            candle_core::DType::F64 => {
                type $T = f64;
                $body
            }
            other => candle_core::bail!(
                "{}: expected values of type f32 or f64, found {other:?}",
                $what
            ),
        }
    };
}
pub(crate) use typed;

/// A vector of `len` values, of which `write(i, piece)` writes the `i`-th `piece` values, on any thread. Saves clearing a buffer
/// that is written over at once.
///
/// # Safety
/// `write` must write every value of the piece it is given.
pub(crate) unsafe fn build<T: Real>(
    len: usize,
    piece: usize,
    write: impl Fn(usize, &mut [MaybeUninit<T>]) + Sync,
) -> Vec<T> {
    let mut buffer = Vec::with_capacity(len);
    buffer.spare_capacity_mut()[..len]
        .par_chunks_mut(piece.max(1))
        .enumerate()
        .for_each(|(i, out)| write(i, out));
    // SAFETY: the pieces cover all `len` values, and each was written whole by the caller's promise.
    unsafe { buffer.set_len(len) }
    buffer
}

/// Vectors of `lens` values that `write` fills through pointers; for results that several tasks write in stripes.
///
/// # Safety
/// `write` must write every value of every buffer.
pub(crate) unsafe fn fill<T: Real, const N: usize>(
    lens: [usize; N],
    write: impl FnOnce([SharedMut<T>; N]),
) -> [Vec<T>; N] {
    let mut buffers = lens.map(Vec::with_capacity);
    let mut shared = buffers.iter_mut().zip(lens).map(|(buffer, len)| SharedMut {
        start: buffer.as_mut_ptr(),
        len,
    });
    // There are N of them: `from_fn` asks for no more.
    write(std::array::from_fn(|_| shared.next().expect("N buffers")));
    for (buffer, len) in buffers.iter_mut().zip(lens) {
        // SAFETY: the caller has written all `len` values.
        unsafe { buffer.set_len(len) }
    }
    buffers
}

/// Σ over the parts of `len` values, in order.
pub(crate) fn add_in_order<T: Real>(parts: &[T], len: usize) -> Vec<T> {
    let mut total = vec![T::ZERO; len];
    for part in parts.chunks_exact(len) {
        total.iter_mut().zip(part).for_each(|(t, p)| *t += *p);
    }
    total
}

/// A tensor owning `data`, on the CPU and without history.
pub(crate) fn tensor<T: Real>(data: Vec<T>, shape: &[usize]) -> Result<Tensor> {
    Tensor::from_vec(data, shape, &candle_core::Device::Cpu)
}

/// Runs a chain of parallel loops inside the thread pool: a caller from outside is put to sleep and woken up at every one of them,
/// which takes as long as a small loop.
pub fn in_pool<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    rayon::scope(|_| f())
}

/// What an operator keeps for backward.
pub(crate) fn lock<T>(m: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // A poisoned cell holds whole values all the same: they are only ever replaced.
    m.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Values to be written over by a kernel that expects room for new ones.
///
/// # Safety
/// Nothing but whole values may be written to it.
pub(crate) unsafe fn as_uninit<T: Real>(values: &mut [T]) -> &mut [MaybeUninit<T>] {
    // SAFETY: the same layout; the caller answers for what is written.
    unsafe { &mut *(std::ptr::from_mut(values) as *mut [MaybeUninit<T>]) }
}

/// A buffer that tasks write at disjoint places.
#[derive(Clone, Copy)]
pub(crate) struct SharedMut<T> {
    start: *mut T,
    len: usize,
}

// SAFETY: a `SharedMut` is only a pointer; `range` and `pointer` put the duty of disjointness on their callers.
unsafe impl<T: Send> Send for SharedMut<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for SharedMut<T> {}

impl<T> SharedMut<T> {
    pub(crate) fn new(buffer: &mut [T]) -> Self {
        Self {
            start: buffer.as_mut_ptr(),
            len: buffer.len(),
        }
    }

    /// Where the values `at..at + len` begin.
    ///
    /// # Safety
    /// The buffer must be alive while the pointer is used.
    pub(crate) unsafe fn pointer(&self, at: usize, len: usize) -> *mut T {
        assert!(at + len <= self.len, "range {at}+{len} beyond {}", self.len);
        // SAFETY: in bounds by the assertion.
        unsafe { self.start.add(at) }
    }

    /// The values `at..at + len`.
    ///
    /// # Safety
    /// The buffer must be alive, and no other task may touch this range while the slice lives.
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn range(&self, at: usize, len: usize) -> &mut [T] {
        assert!(at + len <= self.len, "range {at}+{len} beyond {}", self.len);
        // SAFETY: in bounds by the assertion, alive and exclusive by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(at), len) }
    }
    /// The places `at..at + len`, to be written before they are read.
    ///
    /// # Safety
    /// As [`range`](Self::range).
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn uninit(&self, at: usize, len: usize) -> &mut [MaybeUninit<T>] {
        assert!(at + len <= self.len, "range {at}+{len} beyond {}", self.len);
        // SAFETY: in bounds by the assertion, alive and exclusive by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(at).cast(), len) }
    }

    /// Where a matrix of `rows` × `cols` values begins whose rows are `stride` apart.
    ///
    /// # Safety
    /// The buffer must be alive, and no other task may touch these values while the pointer is used.
    pub(crate) unsafe fn matrix(
        &self,
        at: usize,
        (rows, cols): (usize, usize),
        stride: usize,
    ) -> *mut T {
        let end = at + rows.saturating_sub(1) * stride + cols;
        assert!(end <= self.len, "values up to {end} beyond {}", self.len);
        // SAFETY: in bounds by the assertion.
        unsafe { self.start.add(at) }
    }
}
