//! Where a model's tensors come from in training: what is trained is decided here, by name, and nowhere else.

use crate::account::Account;
use crate::checkpoint::Tensors;
use crate::draws::first_values;
use crate::error::Result;
use candle_core::{DType, Device, Shape, Tensor, Var};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The tensors of a model in training. Three kinds: variables (optimised), buffers (batch-norm statistics: they move, but have no
/// gradient), constants (everything frozen).
#[derive(Clone)]
pub struct Variables(Arc<Mutex<Inner>>);

struct Inner {
    given: Tensors,
    trainable: Box<dyn Fn(&str) -> bool + Send + Sync>,
    may_be_new: Box<dyn Fn(&str) -> bool + Send + Sync>,
    seed: u64,
    vars: BTreeMap<String, Var>,
    /// Every tensor the model asked for, whatever its kind; variables and buffers share their storage with the model.
    all: Tensors,
    /// What was missing or of another shape when it was asked for.
    account: Account,
}

/// Whether a tensor is a buffer: saved, never optimised.
pub fn is_buffer(name: &str) -> bool {
    name.ends_with(".running_mean") || name.ends_with(".running_var")
}

impl Variables {
    /// `given` holds the values there are; a name for which `may_be_new` holds is drawn afresh from `seed` and its name if it is
    /// not among them; one for which `trainable` holds becomes a variable, unless it is a buffer.
    pub fn new(
        given: Tensors,
        seed: u64,
        trainable: impl Fn(&str) -> bool + Send + Sync + 'static,
        may_be_new: impl Fn(&str) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            given,
            trainable: Box::new(trainable),
            may_be_new: Box::new(may_be_new),
            seed,
            vars: BTreeMap::new(),
            all: Tensors::new(),
            account: Account::default(),
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A `VarBuilder` over these tensors.
    pub fn builder(&self) -> VarBuilder<'static> {
        VarBuilder::from_backend(Box::new(self.clone()), DType::F32, Device::Cpu)
    }

    /// After the model is built: an error if something was missing, of another shape, or never asked for.
    ///
    /// # Errors
    /// [`Error::Checkpoint`](crate::Error::Checkpoint) with the list.
    pub fn verdict(&self, origin: &str) -> Result<()> {
        let inner = self.lock();
        let unexpected = inner.given.keys().filter(|k| !inner.all.contains_key(*k));
        Account {
            unexpected: unexpected.cloned().collect(),
            ..inner.account.clone()
        }
        .verdict(origin)
    }

    /// The variables in order of name.
    pub fn vars(&self) -> BTreeMap<String, Var> {
        self.lock().vars.clone()
    }

    /// Copies of all tensors as they are now, in order of name.
    ///
    /// # Errors
    /// If a tensor cannot be copied.
    pub fn snapshot(&self) -> Result<Tensors> {
        self.lock()
            .all
            .iter()
            .map(|(name, t)| Ok((name.clone(), t.detach().copy()?)))
            .collect()
    }
}

impl SimpleBackend for Variables {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        init: Init,
        _: DType,
        _: &Device,
    ) -> candle_core::Result<Tensor> {
        let mut inner = self.lock();
        let value = match inner.given.get(name) {
            // A copy: training must not move the tensors the caller holds.
            Some(t) if *t.shape() == shape => t.copy()?.detach(),
            Some(t) => {
                let problem = (name.into(), t.dims().to_vec(), shape.dims().to_vec());
                inner.account.misshaped.push(problem);
                Tensor::zeros(shape.clone(), DType::F32, &Device::Cpu)?
            }
            None if (inner.may_be_new)(name) => first_values(inner.seed, name, &shape, init)?,
            None => {
                inner.account.missing.push(name.into());
                Tensor::zeros(shape.clone(), DType::F32, &Device::Cpu)?
            }
        };
        let tensor = if !is_buffer(name) && (inner.trainable)(name) {
            let var = Var::from_tensor(&value)?;
            inner.vars.insert(name.into(), var.clone());
            var.as_tensor().clone()
        } else {
            value
        };
        inner.all.insert(name.into(), tensor.clone());
        Ok(tensor)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> candle_core::Result<Tensor> {
        candle_core::bail!("{name}: hydranet's layers always give a shape")
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.lock().given.contains_key(name)
    }
}
