//! What a run would train, without training.

use super::config::Config;
use super::network::Network;
use super::optim::variables::is_buffer;
use crate::error::Result;
use crate::model::JOINT;
use crate::model_file::Tensors;

/// A stage of the backbone, or a head, and how it is trained.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// The prefixes of the stage's tensors, or `heads.<name>`.
    pub name: String,
    /// Numbers in its tensors, statistics of norms left out.
    pub parameters: usize,
    /// Numbers that are trained in the end: of these, or of low-rank factors beside them.
    pub trained: usize,
    /// The peak learning rate.
    pub lr: f64,
    /// The first epoch, from 1, in which any of it is trained.
    pub from: Option<usize>,
}

/// What a run with this configuration would train, from input to output; `weights` as for [`Trainer`](super::Trainer).
///
/// # Errors
/// If the configuration is not valid or the weights do not fit the model.
pub fn dry_run(config: &Config, weights: Tensors) -> Result<Vec<Part>> {
    config.validate()?;
    let spec = config.model_spec()?;
    let last = config.train.epochs - 1;
    let network = Network::new(config, spec.clone(), weights, last, 1)?;
    let (groups, variables) = (&network.groups, &network.variables);
    let heads = spec.heads.iter().map(|h| format!("heads.{}", h.name));
    let heads = heads.chain(spec.joint.iter().map(|_| JOINT.to_string()));
    let mut parts: Vec<Part> = groups
        .stages
        .iter()
        .map(|prefixes| prefixes.join(" "))
        .chain(heads)
        .map(|name| Part {
            name,
            parameters: 0,
            trained: 0,
            lr: 0.0,
            from: None,
        })
        .collect();
    let mut add = |name: &str, of: &mut dyn FnMut(&mut Part)| {
        let part = match name.strip_prefix("backbone.") {
            Some(name) => parts.get_mut(groups.stage(name)),
            None => parts
                .iter_mut()
                .find(|p| name.starts_with(&format!("{}.", p.name))),
        };
        if let Some(part) = part {
            of(part);
        }
    };
    for (name, tensor) in variables.snapshot()? {
        if !is_buffer(&name) {
            add(&name, &mut |part| part.parameters += tensor.elem_count());
        }
    }
    for (name, var) in variables.vars() {
        add(&name, &mut |part| {
            part.trained += var.elem_count();
            part.lr = groups.group(&name, var.rank(), last, 1).lr;
            let from = (0..=last).find(|e| groups.is_trained(&name, *e));
            let from = Some(from.unwrap_or(0) + 1);
            part.from = [part.from, from].into_iter().flatten().min();
        });
    }
    Ok(parts)
}
