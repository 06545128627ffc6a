//! One training step: batch in, joint loss, backward, optimiser.

use super::balancing::{Balancer, Gradients};
use super::batches::Batch;
use super::loss::joint::Losses;
use super::loss::objective::Objective;
use super::network::Network;
use super::parts::{Contribution, Tree};
use super::ranks::Group;
use super::statistics::Statistics;
use crate::error::{Error, Result};
use crate::layers::Mode;
use candle_core::Var;
use std::ops::Range;

/// Where in a run a step stands.
#[derive(Clone, Copy)]
pub(super) struct At {
    /// Epoch, from 0.
    pub epoch: usize,
    /// Step, from 0.
    pub step: usize,
    /// Factor of the learning rates.
    pub lr: f64,
}

impl At {
    fn not_finite(self, what: String, value: f64) -> Error {
        Error::NotFinite {
            what,
            value,
            epoch: self.epoch + 1,
            step: self.step + 1,
        }
    }
}

/// One step; gives the joint loss, as the heads' weights alone make it. Each process of the group computes its parts of the batch,
/// and all take the same step.
///
/// # Errors
/// [`Error::NotFinite`] and [`Error::LostGradient`] among them.
pub(super) fn step(
    network: &mut Network,
    objective: &Objective,
    balancer: &mut Balancer,
    batch: Batch,
    at: At,
    group: &Group,
) -> Result<f64> {
    let config = &network.config.train;
    let Batch {
        inputs,
        targets,
        photos,
        cut,
    } = batch;
    let targets = objective.head_targets(targets, at.epoch, config.epochs);
    let key = config.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15)
        ^ ((at.epoch as u64) << 32 | at.step as u64);
    let cuts = balancer.cuts_at_features();
    let first = cut.rows().start;
    let losses = |network: &Network, rows: &Range<usize>, part: usize| -> Result<Losses> {
        let mode = Mode::Train {
            batch_norm: config.batch_norm,
            key: key.wrapping_add((part as u64) << 48),
        };
        let own = rows.start - first..rows.end - first;
        let features = network.features(&inputs.rows(&own)?, mode)?;
        let cut = if cuts {
            Some(Var::from_tensor(&features.detach())?)
        } else {
            None
        };
        let seen = cut.as_ref().map_or(&features, Var::as_tensor);
        let outputs = network.model.outputs(seen, mode)?;
        let mut losses = objective.losses(&outputs, &targets, rows, photos)?;
        losses.cut = cut.map(|copy| (features, copy));
        for (head, part) in objective.tasks.heads().zip(&losses.heads) {
            let value = f64::from(part.loss.to_scalar::<f32>()?);
            if part.share > 0.0 && !value.is_finite() {
                return Err(at.not_finite(format!("the loss of head `{}`", head.name), value));
            }
        }
        Ok(losses)
    };
    let measured = config.measures(at.step, network.steps);
    let mut gradients = Gradients::new(balancer, targets.len(), measured);
    let ones = vec![1.0; targets.len()];
    let mut shapes = gradients.shapes(balancer, &network.optimizer);
    let gradient_tensors = shapes.len();
    let statistics = Statistics::new(network, cut.parts.len(), group)?;
    shapes.extend(statistics.shapes());
    let own = || -> Result<Tree<Contribution>> {
        let mut tree = Tree::new(cut.parts.len());
        for part in cut.own.clone() {
            let rows = &cut.parts[part];
            statistics.reset()?;
            let losses = losses(network, rows, part)?;
            let mut found = gradients.of_part(&losses, balancer, &network.optimizer)?;
            found
                .numbers
                .push(f64::from(losses.joint(&ones)?.to_scalar::<f32>()?));
            let share = rows.len() as f64 / photos as f64;
            found.tensors.extend(statistics.moved(share)?);
            tree.push(part..part + 1, found, Contribution::plus)?;
        }
        Ok(tree)
    };
    let numbers = gradients.numbers() + 1;
    let mut sum = group.sum(cut.parts.len(), own(), &shapes, numbers)?;
    statistics.set(&sum.tensors.split_off(gradient_tensors))?;
    let value = sum.numbers.pop().unwrap_or_default();
    let draw = (config.seed, at.epoch, at.step);
    let grads = gradients.finish(sum, balancer, &network.optimizer, draw)?;
    if !value.is_finite() {
        return Err(at.not_finite("the joint loss".into(), value));
    }
    let norms = network.optimizer.norms(&grads)?;
    if let Some((name, norm)) = norms.iter().find(|(_, n)| !n.is_finite()) {
        return Err(at.not_finite(format!("the gradient of `{name}`"), *norm));
    }
    let norm = norms.iter().map(|(_, n)| n * n).sum::<f64>().sqrt();
    let shorten = if config.clip > 0.0 && norm > config.clip {
        config.clip / norm
    } else {
        1.0
    };
    network.update(&grads, at.lr, shorten)?;
    let mut after = None;
    if balancer.looks_back() {
        // The same draws; running statistics stay.
        network.model.set_momentum(Some(0.0));
        after = Some(losses(network, &(0..photos), 0)?.values()?);
        network.model.set_momentum(None);
    }
    balancer.take(&gradients, after.as_deref(), at.lr * config.lr_heads);
    Ok(value)
}
