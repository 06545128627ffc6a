//! Between candle's tensors and the kernels' slices.

use candle_core::{CpuStorage, Device, Error, Layout, Result, Storage, Tensor, bail};
use hydranet_kernels::real::Real;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// An element type of candle's that there are kernels for.
pub trait Value: Real {
    /// The values of a tensor's memory.
    ///
    /// # Errors
    /// If they are of another type.
    fn slice(storage: &CpuStorage) -> Result<&[Self]>;
    /// A tensor's memory.
    fn storage(values: Vec<Self>) -> CpuStorage;
    /// A tensor on the CPU, without history.
    ///
    /// # Errors
    /// If the shape is not that of the values.
    fn tensor(values: Vec<Self>, shape: &[usize]) -> Result<Tensor>;
}

macro_rules! value {
    ($t:ty, $storage:path) => {
        impl Value for $t {
            fn slice(storage: &CpuStorage) -> Result<&[Self]> {
                storage.as_slice::<$t>()
            }
            fn storage(values: Vec<Self>) -> CpuStorage {
                $storage(values)
            }
            fn tensor(values: Vec<Self>, shape: &[usize]) -> Result<Tensor> {
                Tensor::from_vec(values, shape, &Device::Cpu)
            }
        }
    };
}
value!(f32, CpuStorage::F32);
value!(f64, CpuStorage::F64);

/// The contiguous values of one argument of a custom operator.
pub(crate) fn values<'a, T: Value>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [T]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&T::slice(storage)?[start..end]),
        None => bail!(
            "hydranet's kernels take contiguous tensors, found strides {:?}",
            layout.stride()
        ),
    }
}

/// Calls `f` with the values of a CPU tensor, which is made contiguous first if need be.
///
/// # Errors
/// If the tensor is on another device or of another type, or as `f`.
pub fn with_values<T: Value, R>(tensor: &Tensor, f: impl FnOnce(&[T]) -> Result<R>) -> Result<R> {
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

/// The kernels' error as candle's.
pub(crate) fn fits<T>(result: hydranet_kernels::Result<T>) -> Result<T> {
    result.map_err(Error::msg)
}

/// What an operator keeps for backward.
pub(crate) fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    // A poisoned cell holds whole values all the same: they are only ever replaced.
    m.lock().unwrap_or_else(PoisonError::into_inner)
}
