//! Where a model's tensors come from in training: what is trained is decided here, by name, and nowhere else.

use super::lora::{LORA, Lora};
use crate::error::Result;
use crate::model_file::Tensors;
use crate::random::init::init_tensor;
use crate::tensors::TensorMismatch;
use candle_core::{DType, Device, Shape, Tensor, Var};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The tensors of a model in training. Three kinds: variables (optimised), buffers (batch-norm statistics: they move, but have no
/// gradient), constants (everything frozen).
#[derive(Clone)]
pub struct Variables(Arc<Mutex<Inner>>);

struct Inner {
    /// What nothing has asked for yet.
    given: Tensors,
    trainable: Box<dyn Fn(&str) -> bool + Send + Sync>,
    may_be_new: Box<dyn Fn(&str) -> bool + Send + Sync>,
    seed: u64,
    vars: BTreeMap<String, Var>,
    /// Every tensor the model asked for, whatever its kind; variables and buffers share their storage with the model.
    all: Tensors,
    /// What was missing or of another shape when it was asked for.
    mismatch: TensorMismatch,
    /// Low-rank adaptation, if any.
    lora: Option<Lora>,
    /// The constants it adds to, by the weight's name.
    bases: Tensors,
}

/// Whether a tensor is a buffer: saved, never optimised.
pub fn is_buffer(name: &str) -> bool {
    name.ends_with(".running_mean") || name.ends_with(".running_var")
}

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Variables").finish_non_exhaustive()
    }
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
            mismatch: TensorMismatch::default(),
            lora: None,
            bases: Tensors::new(),
        })))
    }

    /// Adapts weights by `lora`, if given, instead of training them.
    pub(crate) fn with_lora(self, lora: Option<Lora>) -> Self {
        self.lock().lora = lora;
        self
    }

    /// Whether weights are adapted: then the model has to be built anew from [`builder`](Self::builder) after every step.
    pub(crate) fn are_adapted(&self) -> bool {
        !self.lock().bases.is_empty()
    }

    /// What a run needs to go on, sharing memory with the model: all tensors, adapted weights as they were, and what adapts them.
    pub(crate) fn state(&self) -> Tensors {
        let inner = self.lock();
        let vars = inner.vars.iter().map(|(name, var)| (name, var.as_tensor()));
        let all = inner.all.iter().chain(vars);
        all.map(|(name, t)| (name.clone(), t.detach())).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A `VarBuilder` over these tensors.
    pub fn builder(&self) -> VarBuilder<'static> {
        VarBuilder::from_backend(Box::new(Source(self.clone())), DType::F32, Device::Cpu)
    }

    /// After the model is built: an error if something was missing, of another shape, or never asked for.
    ///
    /// # Errors
    /// [`Error::Checkpoint`](crate::Error::Checkpoint) with the list.
    pub(crate) fn check(&self, origin: &str) -> Result<()> {
        let inner = self.lock();
        TensorMismatch {
            unexpected: inner.given.keys().cloned().collect(),
            ..inner.mismatch.clone()
        }
        .check(origin)
    }

    /// The variables in order of name.
    pub fn vars(&self) -> BTreeMap<String, Var> {
        self.lock().vars.clone()
    }

    /// What training moves, sharing memory with the model: variables, and the statistics of norms.
    pub(crate) fn moving(&self) -> Tensors {
        let inner = self.lock();
        let moves = |name: &str| inner.vars.contains_key(name) || is_buffer(name);
        inner
            .all
            .iter()
            .filter(|(name, _)| moves(name))
            .map(|(name, t)| (name.clone(), t.clone()))
            .collect()
    }

    /// The statistics of norms in order of name, sharing memory with the model.
    ///
    /// # Errors
    /// If a tensor cannot be taken as a variable.
    pub(crate) fn buffers(&self) -> Result<Vec<Var>> {
        let inner = self.lock();
        let buffers = inner.all.iter().filter(|(name, _)| is_buffer(name));
        let var = |(_, tensor): (&String, &Tensor)| Ok(Var::from_tensor(tensor)?);
        buffers.map(var).collect()
    }

    /// The names of all tensors, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        self.lock().all.keys().cloned().collect()
    }

    /// Copies of all tensors as they are now, in order of name.
    ///
    /// # Errors
    /// If a tensor cannot be copied.
    pub fn snapshot(&self) -> Result<Tensors> {
        let inner = self.lock();
        inner
            .all
            .iter()
            .map(|(name, t)| match inner.bases.get(name) {
                Some(base) => Ok((name.clone(), inner.adapted(name, base)?.detach())),
                None => Ok((name.clone(), t.detach().copy()?)),
            })
            .collect()
    }
}

impl Inner {
    /// An adapted weight, a function of its factors.
    fn adapted(&self, name: &str, base: &Tensor) -> candle_core::Result<Tensor> {
        let [a, b] = LORA.map(|part| self.vars.get(&format!("{name}{part}")));
        let (Some(lora), Some(a), Some(b)) = (&self.lora, a, b) else {
            candle_core::bail!("{name}: its low-rank factors are missing")
        };
        let change = b.matmul(a)?.affine(lora.alpha / lora.rank as f64, 0.0)?;
        base + change.reshape(base.shape())?
    }
}

/// Variables as what a `VarBuilder` takes its tensors from.
struct Source(Variables);

impl SimpleBackend for Source {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        init: Init,
        _: DType,
        _: &Device,
    ) -> candle_core::Result<Tensor> {
        let mut inner = self.0.lock();
        // Asked again: the model is built anew over the same tensors.
        if let Some(base) = inner.bases.get(name) {
            return inner.adapted(name, base);
        }
        if let Some(tensor) = inner.all.get(name) {
            return Ok(tensor.clone());
        }
        // Not held any longer than it takes to copy them.
        let value = match inner.given.remove(name) {
            // A copy: training must not move the tensors the caller holds.
            Some(t) if *t.shape() == shape => t.copy()?.detach(),
            Some(t) => {
                let problem = (name.into(), t.dims().to_vec(), shape.dims().to_vec());
                inner.mismatch.misshaped.push(problem);
                Tensor::zeros(shape.clone(), DType::F32, &Device::Cpu)?
            }
            None if (inner.may_be_new)(name) => init_tensor(inner.seed, name, &shape, init)?,
            None => {
                inner.mismatch.missing.push(name.into());
                Tensor::zeros(shape.clone(), DType::F32, &Device::Cpu)?
            }
        };
        let lora = inner.lora.clone();
        if let Some(lora) = lora.filter(|l| l.adapts(name, shape.dims())) {
            let (o, i) = (shape.dims()[0], shape.dims()[1]);
            let bound = 1.0 / (i as f64).sqrt();
            let small = Init::Uniform {
                lo: -bound,
                up: bound,
            };
            for (part, shape, init) in [
                (LORA[0], Shape::from((lora.rank, i)), small),
                (LORA[1], Shape::from((o, lora.rank)), Init::Const(0.0)),
            ] {
                let part = format!("{name}{part}");
                let first = match inner.given.remove(&part) {
                    Some(t) if *t.shape() == shape => t.copy()?.detach(),
                    _ => init_tensor(inner.seed, &part, &shape, init)?,
                };
                inner.vars.insert(part, Var::from_tensor(&first)?);
            }
            inner.all.insert(name.into(), value.clone());
            inner.bases.insert(name.into(), value);
            return inner.adapted(name, &inner.bases[name]);
        }
        let tensor = if is_buffer(name) {
            // candle's batch norm moves a variable, and a copy of what is none.
            Var::from_tensor(&value)?.as_tensor().clone()
        } else if (inner.trainable)(name) {
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
        let inner = self.0.lock();
        inner.given.contains_key(name) || inner.all.contains_key(name)
    }
}
