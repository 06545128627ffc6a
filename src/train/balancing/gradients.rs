//! The gradients of one step: of the joint loss, and of each head's where they are asked for.

use super::Balancer;
use super::pc_grad::{orders, surgery};
use crate::error::Result;
use crate::train::optim::Optimizer;
use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Tensor, Var};
use hydranet_tape::internal::with_values;
use hydranet_tape::scale;
use rayon::prelude::*;

/// One head's loss of some rows of a batch.
pub(in crate::train) struct HeadPart {
    /// The loss; where no row has the head's label, a number that depends on the head's variables.
    pub loss: Tensor,
    /// The share of these rows in the loss of the batch; 0 where none has the label.
    pub share: f64,
    /// The head's weight.
    pub weight: f64,
}

/// The heads' losses of some rows of a batch.
pub(in crate::train) struct Losses {
    /// One a head.
    pub heads: Vec<HeadPart>,
    /// A loss that is no head's, and its factor, if there is one.
    pub beside: Option<(Tensor, f64)>,
    /// Where the graph is cut at the features: them, and the copy that the heads were given.
    pub cut: Option<(Tensor, Var)>,
}

impl Losses {
    /// Each head's share of its loss of the batch; `None` for a head that takes no part.
    ///
    /// # Errors
    /// If a loss cannot be read.
    pub(in crate::train) fn values(&self) -> Result<Vec<Option<f64>>> {
        let value = |head: &HeadPart| -> Result<Option<f64>> {
            if head.share * head.weight > 0.0 {
                Ok(Some(head.share * f64::from(head.loss.to_scalar::<f32>()?)))
            } else {
                Ok(None)
            }
        };
        self.heads.iter().map(value).collect()
    }

    /// Σ weight · factor · loss, and what is beside.
    ///
    /// # Shapes
    /// Result a scalar.
    ///
    /// # Errors
    /// If a head has no factor.
    pub(in crate::train) fn joint(&self, factors: &[f64]) -> Result<Tensor> {
        let mut joint = Tensor::zeros((), DType::F32, &Device::Cpu)?;
        for (head, factor) in self.heads.iter().zip(factors) {
            joint = (joint + head.scaled(head.weight * head.share * factor)?)?;
        }
        if let Some((loss, factor)) = &self.beside {
            joint = (joint + scale(loss, vec![*factor as f32])?)?;
        }
        Ok(joint)
    }

    /// The gradients of a function of the losses, through the cut if there is one. Backward can be run again and again.
    fn backward(&self, of: &Tensor) -> Result<GradStore> {
        let mut grads = of.backward()?;
        if let Some((features, copy)) = &self.cut
            && let Some(gradient) = grads.remove(copy)
        {
            grads.extend((features * gradient)?.sum_all()?.backward()?)?;
        }
        Ok(grads)
    }
}

impl HeadPart {
    /// Not `loss * factor`: candle drops the gradient of a multiplication by 0 instead of making it 0.
    fn scaled(&self, factor: f64) -> Result<Tensor> {
        Ok(scale(&self.loss, vec![factor as f32])?)
    }
}

/// Gradients by variable, in the optimiser's order; `None` where there is no way to a variable.
type Found = Vec<Option<Tensor>>;

/// What the backward passes of one step find, added up over the parts of its batch.
pub(in crate::train) struct Gradients {
    /// Whether each head's gradient is found.
    by_head: bool,
    joint: Found,
    heads: Vec<Found>,
    /// Each head's loss of the batch.
    pub(super) losses: Vec<Option<f64>>,
    /// The factors of the heads' losses, or with gradient surgery of their gradients on the backbone.
    pub(super) factors: Vec<f64>,
    /// Squared norm of the gradient of each head's loss at the features, where the graph is cut there.
    pub(super) at_features: Vec<f64>,
    /// Products of the heads' gradients on the backbone, a row a head, where they were found.
    pub(super) products: Option<Vec<Vec<f64>>>,
}

impl Gradients {
    /// None yet, for so many heads. `measured`: each head's gradient is found, though the step may not need it.
    pub(in crate::train) fn new(balancer: &Balancer, heads: usize, measured: bool) -> Self {
        Self {
            by_head: measured || balancer.operates(),
            joint: Vec::new(),
            heads: vec![Vec::new(); heads],
            losses: vec![None; heads],
            factors: vec![1.0; heads],
            at_features: vec![0.0; heads],
            products: None,
        }
    }

    /// Runs backward from the losses of a part of the batch.
    ///
    /// # Errors
    /// If backward fails.
    pub(in crate::train) fn add(
        &mut self,
        losses: &Losses,
        balancer: &Balancer,
        optimizer: &Optimizer,
    ) -> Result<()> {
        let values = losses.values()?;
        self.factors = balancer.factors(&values);
        for (sum, value) in self.losses.iter_mut().zip(values) {
            *sum = match (*sum, value) {
                (Some(sum), Some(value)) => Some(sum + value),
                (sum, value) => sum.or(value),
            };
        }
        // The training step's own pass comes first: what is measured after it cannot change it.
        if !balancer.operates() {
            let joint = losses.backward(&losses.joint(&self.factors)?)?;
            add(&mut self.joint, optimizer.find(&joint))?;
        }
        for (i, head) in losses.heads.iter().enumerate() {
            if self.by_head {
                let grads = losses.backward(&head.scaled(head.weight * head.share)?)?;
                add(&mut self.heads[i], optimizer.find(&grads))?;
            }
            if let Some((_, copy)) = &losses.cut {
                let grads = head.scaled(head.share)?.backward()?;
                if let Some(gradient) = grads.get(copy) {
                    self.at_features[i] += product(gradient, gradient)?;
                }
            }
        }
        Ok(())
    }

    /// The step's gradient of every variable; with gradient surgery the heads' gradients on the backbone are put together so, in
    /// orders drawn for (seed, epoch, step), and each head's own variables keep theirs.
    ///
    /// # Errors
    /// [`Error::LostGradient`](crate::Error::LostGradient) naming every variable without one.
    pub(in crate::train) fn finish(
        &mut self,
        balancer: &Balancer,
        optimizer: &Optimizer,
        (seed, epoch, step): (u64, usize, usize),
    ) -> Result<Vec<Tensor>> {
        let shared: Vec<bool> = optimizer
            .groups()
            .map(|(name, ..)| name.starts_with("backbone."))
            .collect();
        if self.by_head {
            self.products = Some(products(&self.heads, &shared)?);
        }
        if let (true, Some(products)) = (balancer.operates(), &self.products) {
            self.factors = surgery(products, &orders(self.heads.len(), seed, epoch, step));
            for (head, factor) in std::mem::take(&mut self.heads)
                .into_iter()
                .zip(&self.factors)
            {
                let each = head.into_iter().zip(&shared);
                let scaled = each.map(|(gradient, shared)| match gradient {
                    Some(gradient) if *shared && *factor != 1.0 => Ok(Some((gradient * *factor)?)),
                    other => Ok(other),
                });
                add(&mut self.joint, scaled.collect::<Result<_>>()?)?;
            }
        }
        optimizer.complete(std::mem::take(&mut self.joint))
    }
}

/// sum += more.
fn add(sum: &mut Found, more: Found) -> Result<()> {
    if sum.is_empty() {
        *sum = more;
        return Ok(());
    }
    for (sum, more) in sum.iter_mut().zip(more) {
        *sum = match (sum.take(), more) {
            (Some(sum), Some(more)) => Some((sum + more)?),
            (sum, more) => sum.or(more),
        };
    }
    Ok(())
}

/// The products of the heads' gradients over the shared variables.
fn products(heads: &[Found], shared: &[bool]) -> Result<Vec<Vec<f64>>> {
    let mut products = vec![vec![0.0; heads.len()]; heads.len()];
    for a in 0..heads.len() {
        for b in a..heads.len() {
            let mut sum = 0.0;
            for ((x, y), shared) in heads[a].iter().zip(&heads[b]).zip(shared) {
                if let (true, Some(x), Some(y)) = (shared, x, y) {
                    sum += product(x, y)?;
                }
            }
            (products[a][b], products[b][a]) = (sum, sum);
        }
    }
    Ok(products)
}

/// Values a task multiplies: by a fixed number, so that the sum is the same for any number of threads.
const BLOCK: usize = 1 << 14;

/// Σ x·y, in `f64`.
fn product(x: &Tensor, y: &Tensor) -> Result<f64> {
    let sum = with_values(x, |x: &[f32]| {
        with_values(y, |y: &[f32]| {
            let blocks = x.par_chunks(BLOCK).zip(y.par_chunks(BLOCK));
            let sums: Vec<f64> = blocks
                .map(|(x, y)| {
                    x.iter()
                        .zip(y)
                        .map(|(x, y)| f64::from(*x) * f64::from(*y))
                        .sum()
                })
                .collect();
            Ok(sums.iter().sum())
        })
    })?;
    Ok(sum)
}
