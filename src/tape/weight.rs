//! Weights of convolutions, and what is kept of them between passes.

use crate::values::{Value, with_values};
use candle_core::{Result, Tensor, TensorId};
use hydranet_kernels::activation::Activation;
use hydranet_kernels::conv::Packs;
use hydranet_kernels::geometry::Geometry;
use std::any::Any;
use std::sync::{Arc, OnceLock};

/// The weight of a convolution: a tensor, or a [`Weight`], which prepares a constant once and not at every pass.
pub trait ConvWeight {
    /// The values.
    fn tensor(&self) -> &Tensor;

    /// Where the prepared form of a constant is kept.
    #[doc(hidden)]
    fn kept(&self) -> Option<&Kept> {
        None
    }
}

impl ConvWeight for Tensor {
    fn tensor(&self) -> &Tensor {
        self
    }
}

/// A value of some type.
type Anything = Arc<dyn Any + Send + Sync>;

/// The prepared forms of a constant weight and of the constants that follow it; copies share them.
#[doc(hidden)]
#[derive(Clone, Debug, Default)]
pub struct Kept(Arc<Prepared>);

#[derive(Debug, Default)]
struct Prepared {
    weight: OnceLock<Anything>,
    epilogue: OnceLock<(Key, Anything)>,
}

/// Which constants a prepared form is of.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Key {
    pub tensors: Vec<TensorId>,
    pub eps: Option<f64>,
    pub activation: Activation,
}

impl Kept {
    /// What was prepared of the constants that follow, or what `prepare` makes of them now.
    pub(crate) fn epilogue<V: Send + Sync + 'static>(
        &self,
        key: Key,
        prepare: impl FnOnce() -> Result<Arc<V>>,
    ) -> Result<Arc<V>> {
        if let Some((of, found)) = self.0.epilogue.get()
            && *of == key
            && let Ok(found) = found.clone().downcast::<V>()
        {
            return Ok(found);
        }
        let made = prepare()?;
        // Someone else may have been first, or the constants may be others than at the first pass.
        let _ = self.0.epilogue.set((key, made.clone()));
        Ok(made)
    }
}

/// A weight whose prepared form is kept, if it is a constant: for one convolution, whose settings stay the same.
#[derive(Clone, Debug)]
pub struct Weight {
    tensor: Tensor,
    kept: Kept,
}

impl Weight {
    /// Of a tensor.
    pub fn new(tensor: Tensor) -> Self {
        Self {
            tensor,
            kept: Kept::default(),
        }
    }
}

impl ConvWeight for Weight {
    fn tensor(&self) -> &Tensor {
        &self.tensor
    }

    fn kept(&self) -> Option<&Kept> {
        // A variable changes with every step.
        (!self.tensor.is_variable() && !self.tensor.track_op()).then_some(&self.kept)
    }
}

/// The prepared form of a weight: the one kept, or a new one. One kept for images of another size is not taken where the method
/// differs: a result must not depend on what was computed before.
pub(crate) fn packs<T: Value>(
    weight: &Tensor,
    kept: Option<&Kept>,
    g: &Geometry,
) -> Result<Arc<Packs<T>>> {
    if let Some(kept) = kept
        && let Some(found) = kept.0.weight.get()
        && let Ok(packs) = found.clone().downcast::<Packs<T>>()
        && packs.suits(g)
    {
        return Ok(packs);
    }
    let packs = Arc::new(with_values(weight, |w: &[T]| Ok(Packs::new(g, w)))?);
    if let Some(kept) = kept {
        // Someone else may have been first, with the same.
        let _ = kept.0.weight.set(packs.clone());
    }
    Ok(packs)
}
