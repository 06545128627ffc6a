//! One training step: batch in, joint loss, backward, optimiser.

use super::balancing::{Balancer, Gradients};
use super::batches::Batch;
use super::loss::joint::Losses;
use super::loss::objective::Objective;
use super::network::Network;
use super::parts::{Contribution, Tree};
use super::ranks::Group;
use super::statistics::Statistics;
use super::together::{Service, Turns};
use crate::error::{Error, Result};
use crate::layers::Mode;
use crate::tape::scale;
use candle_core::{Tensor, Var};
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
    let batch_norm = config.batch_norm;
    let statistics = Statistics::new(network, cut.parts.len(), group)?;
    let shares = statistics.are_shared();
    let mode = |part: usize| Mode::Train {
        batch_norm,
        key: key.wrapping_add((part as u64) << 48),
    };
    let features = |network: &Network, rows: &Range<usize>, part: usize| -> Result<Tensor> {
        let own = rows.start - first..rows.end - first;
        network.features(&inputs.rows(&own)?, mode(part))
    };
    let losses =
        |network: &Network, features: Tensor, rows: &Range<usize>, part: usize| -> Result<Losses> {
            let cut = if cuts {
                Some(Var::from_tensor(&features.detach())?)
            } else {
                None
            };
            let seen = cut.as_ref().map_or(&features, Var::as_tensor);
            let outputs = network.model.outputs(seen, mode(part))?;
            let mut losses = objective.losses(&outputs, &targets, rows, photos)?;
            if shares {
                // A loss of one's own may have no gradient in a part, whose way back the other parts wait for.
                let way_back = scale(&seen.sum_all()?, vec![0.0])?;
                for head in &mut losses.heads {
                    head.loss = (&head.loss + &way_back)?;
                }
            }
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
    // Gradients of single heads come by many backward passes, and go out after them.
    let known = network.order.as_ref();
    let tells = group.place().1 > 1
        && !gradients.are_by_head()
        && known.is_none_or(|order| order.len() > 0);
    let variables = network.optimizer.groups();
    let variables = variables.map(|(_, var, _)| (var.as_tensor().id(), var.dims().to_vec()));
    let mut service = Service::new(group, &cut, variables.collect(), (shares, tells), known);
    let mut turns = (shares || tells).then(|| Turns::new(cut.own.len(), shares, tells));
    service.keep(&mut shapes);
    let gradient_tensors = shapes.len();
    shapes.extend(statistics.shapes());
    network
        .model
        .set_watch(turns.as_ref().map(|turns| turns.watch()));
    let mut own = |network: &Network| -> Result<Tree<Contribution>> {
        let mut tree = Tree::new(cut.parts.len());
        for set in service.sets() {
            statistics.reset()?;
            let features = |part: usize| features(network, &cut.parts[part], part);
            let features = match &mut turns {
                Some(turns) if shares => service.run(turns, set.clone(), features)?,
                _ => set.clone().map(features).collect::<Result<_>>()?,
            };
            let of_parts = features.into_iter().zip(set.clone());
            let of_parts = of_parts.map(|(of, part)| losses(network, of, &cut.parts[part], part));
            let losses: Vec<Losses> = of_parts.collect::<Result<_>>()?;
            let backward = |part: usize| {
                gradients.of_part(&losses[part - set.start], balancer, &network.optimizer)
            };
            let found = match &mut turns {
                Some(turns) => service.run(turns, set.clone(), backward)?,
                None => set.clone().map(backward).collect::<Result<_>>()?,
            };
            for ((part, losses), mut found) in set.zip(&losses).zip(found) {
                service.take(part, &mut found)?;
                found
                    .numbers
                    .push(f64::from(losses.joint(&ones)?.to_scalar::<f32>()?));
                let share = cut.parts[part].len() as f64 / photos as f64;
                found.tensors.extend(statistics.moved(part, share)?);
                tree.push(part..part + 1, found, Contribution::plus)?;
            }
        }
        service.end()?;
        Ok(tree)
    };
    let own = own(network);
    network.model.set_watch(None);
    let numbers = gradients.numbers() + 1;
    let mut sum = group.sum(cut.parts.len(), own, &shapes, numbers)?;
    statistics.set(&sum.tensors.split_off(gradient_tensors))?;
    let order;
    (sum.tensors, order) = service.finish(sum.tensors)?;
    network.order = order.or(network.order.take());
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
        let features = features(network, &(0..photos), 0)?;
        after = Some(losses(network, features, &(0..photos), 0)?.values()?);
        network.model.set_momentum(None);
    }
    balancer.take(&gradients, after.as_deref(), at.lr * config.lr_heads);
    Ok(value)
}
