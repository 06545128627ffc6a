//! The gradients of one step: of the joint loss, and of each head's where they are asked for.

use super::Balancer;
use super::pc_grad::{orders, project};
use crate::error::Result;
use crate::train::loss::joint::Losses;
use crate::train::optim::Optimizer;
use crate::train::parts::Contribution;
use candle_core::Tensor;
use hydranet_tape::internal::with_values;
use rayon::prelude::*;

/// Gradients by variable, in the optimiser's order; `None` where there is no way to a variable.
type Found = Vec<Option<Tensor>>;

/// What the backward passes of one step find, added up over the parts of its batch.
pub(in crate::train) struct Gradients {
    /// Whether each head's gradient is found.
    by_head: bool,
    /// Each head's loss of the batch.
    pub(super) losses: Vec<Option<f64>>,
    /// The factors of the heads' losses, or with projected gradients of their gradients on the backbone.
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
            by_head: measured || balancer.projects(),
            losses: vec![None; heads],
            factors: vec![1.0; heads],
            at_features: vec![0.0; heads],
            products: None,
        }
    }

    /// Whether each head's gradient is found, by a backward pass of its own.
    pub(in crate::train) fn are_by_head(&self) -> bool {
        self.by_head
    }

    /// Runs backward from the losses of a part of the batch. The tensors are the gradients of the joint loss, unless they are
    /// projected, and then those of each head's where they are found; the numbers say of each head whether it takes part and its
    /// loss, and then the squares of its gradients at the features.
    ///
    /// # Errors
    /// If backward fails.
    pub(in crate::train) fn of_part(
        &self,
        losses: &Losses,
        balancer: &Balancer,
        optimizer: &Optimizer,
    ) -> Result<Contribution> {
        let values = losses.values()?;
        let factors = balancer.factors(&values);
        let mut tensors = Found::new();
        let known = values
            .iter()
            .map(|value| f64::from(u8::from(value.is_some())));
        let mut numbers: Vec<f64> = known.collect();
        numbers.extend(values.iter().map(|value| value.unwrap_or(0.0)));
        // The training step's own pass comes first: what is measured after it cannot change it.
        if !balancer.projects() {
            let joint = losses.backward(&losses.joint(&factors)?)?;
            tensors.extend(optimizer.find(&joint));
        }
        for head in &losses.heads {
            if self.by_head {
                let grads = losses.backward(&head.scaled(head.weight * head.share)?)?;
                tensors.extend(optimizer.find(&grads));
            }
            let mut at_features = 0.0;
            if let Some((_, copy)) = &losses.cut {
                let grads = head.scaled(head.share)?.backward()?;
                if let Some(gradient) = grads.get(copy) {
                    at_features = product(gradient, gradient)?;
                }
            }
            numbers.push(at_features);
        }
        Ok(Contribution { tensors, numbers })
    }

    /// The shapes of the tensors of [`of_part`](Self::of_part), in their order.
    pub(in crate::train) fn shapes(
        &self,
        balancer: &Balancer,
        optimizer: &Optimizer,
    ) -> Vec<Vec<usize>> {
        let of_vars: Vec<Vec<usize>> = optimizer
            .groups()
            .map(|(_, var, _)| var.dims().to_vec())
            .collect();
        let joint = usize::from(!balancer.projects());
        let heads = if self.by_head { self.losses.len() } else { 0 };
        std::iter::repeat_n(of_vars, joint + heads)
            .flatten()
            .collect()
    }

    /// How many numbers [`of_part`](Self::of_part) gives.
    pub(in crate::train) fn numbers(&self) -> usize {
        3 * self.losses.len()
    }

    /// The step's gradient of every variable, out of the sum of its parts; with projected gradients the heads' gradients on the backbone are put together so,
    /// in orders drawn for (seed, epoch, step), and each head's own variables keep theirs.
    ///
    /// # Errors
    /// [`Error::LostGradient`](crate::Error::LostGradient) naming every variable without one.
    pub(in crate::train) fn finish(
        &mut self,
        sum: Contribution,
        balancer: &Balancer,
        optimizer: &Optimizer,
        (seed, epoch, step): (u64, usize, usize),
    ) -> Result<Vec<Tensor>> {
        let shared: Vec<bool> = optimizer
            .groups()
            .map(|(name, ..)| name.starts_with("backbone."))
            .collect();
        let heads = self.losses.len();
        let (known, numbers) = sum.numbers.split_at(heads);
        let (losses, at_features) = numbers.split_at(heads);
        let known = known.iter().zip(losses);
        self.losses = known
            .map(|(known, loss)| (*known > 0.0).then_some(*loss))
            .collect();
        self.at_features = at_features[..heads].to_vec();
        self.factors = balancer.factors(&self.losses);
        let mut lists = sum.tensors.into_iter();
        let mut list = || -> Found { lists.by_ref().take(shared.len()).collect() };
        let mut joint = if balancer.projects() {
            Found::new()
        } else {
            list()
        };
        let of_heads = if self.by_head { heads } else { 0 };
        let of_heads: Vec<Found> = (0..of_heads).map(|_| list()).collect();
        if self.by_head {
            self.products = Some(products(&of_heads, &shared)?);
        }
        if let (true, Some(products)) = (balancer.projects(), &self.products) {
            self.factors = project(products, &orders(heads, seed, epoch, step));
            for (head, factor) in of_heads.into_iter().zip(&self.factors) {
                let each = head.into_iter().zip(&shared);
                let scaled = each.map(|(gradient, shared)| match gradient {
                    Some(gradient) if *shared && *factor != 1.0 => Ok(Some((gradient * *factor)?)),
                    other => Ok(other),
                });
                add(&mut joint, scaled.collect::<Result<_>>()?)?;
            }
        }
        optimizer.complete(joint)
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
