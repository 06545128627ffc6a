//! From a configuration and weights to a model in training.

use super::config::Config;
use super::optim::Optimizer;
use super::optim::plan::Plan;
use super::optim::variables::Variables;
use crate::error::Result;
use crate::model::{ModelSpec, MultiTaskModel};
use crate::model_file::Tensors;

/// The model over these variables, as a step of training runs it.
pub(super) fn model(
    config: &Config,
    spec: &ModelSpec,
    variables: &Variables,
) -> Result<MultiTaskModel> {
    let drop_path = config.train.drop_path as f32;
    let mut model = MultiTaskModel::new(spec, drop_path, &variables.builder())?;
    model.set_activations(config.train.activations);
    Ok(model)
}

/// The model over `given`, with what `epoch` trains as variables, and their optimiser.
pub(super) fn build(
    config: &Config,
    spec: &ModelSpec,
    plan: &Plan,
    given: Tensors,
    epoch: usize,
    steps: usize,
) -> Result<(Variables, MultiTaskModel, Optimizer)> {
    let random_backbone = config.model.weights.is_none();
    let of_epoch = plan.clone();
    let variables = Variables::new(
        given,
        config.train.seed,
        move |name| of_epoch.is_trained(name, epoch),
        move |name| random_backbone || !name.starts_with("backbone."),
    )
    .with_lora(config.train.lora.clone());
    let model = model(config, spec, &variables)?;
    variables.verdict(
        config
            .model
            .weights
            .as_deref()
            .unwrap_or("the weights given"),
    )?;
    plan.check(&variables.names())?;
    let groups = variables.vars().into_iter().map(|(name, var)| {
        let group = plan.group(&name, var.rank(), epoch, steps);
        (name, (var, group))
    });
    let optimizer = Optimizer::new(config.train.optimizer, groups.collect());
    Ok((variables, model, optimizer))
}
