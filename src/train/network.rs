//! What is trained: a model, the variables under it, and their optimiser.

use super::batches::Inputs;
use super::config::Config;
use super::optim::Optimizer;
use super::optim::groups::ParamGroups;
use super::optim::variables::Variables;
use super::together::Order;
use crate::error::Result;
use crate::layers::{BatchNormMode, Mode};
use crate::model::{ModelSpec, MultiTaskModel, copy_own_stages};
use crate::model_file::Tensors;
use candle_core::Tensor;

/// A model in training.
pub(super) struct Network<'a> {
    pub(super) config: &'a Config,
    pub(super) spec: ModelSpec,
    pub(super) groups: ParamGroups,
    pub(super) variables: Variables,
    pub(super) model: MultiTaskModel,
    pub(super) optimizer: Optimizer,
    /// Steps an epoch has.
    pub(super) steps: usize,
    /// In which order backward finds gradients, once a step has told.
    pub(super) order: Option<Order>,
}

impl<'a> Network<'a> {
    /// The model over `given`, with what `epoch` trains as variables.
    ///
    /// # Errors
    /// If the tensors given do not fit the model, or settings name none of them.
    pub(super) fn new(
        config: &'a Config,
        spec: ModelSpec,
        given: Tensors,
        epoch: usize,
        steps: usize,
    ) -> Result<Self> {
        let mut given = given;
        copy_own_stages(&spec, &mut given)?;
        let groups = ParamGroups::new(config);
        let of_backbone = |name: &String| name.starts_with("backbone.");
        let random_backbone = config.model.weights.is_none() && !given.keys().any(of_backbone);
        let of_epoch = groups.clone();
        let variables = Variables::new(
            given,
            config.train.seed,
            move |name| of_epoch.is_trained(name, epoch),
            move |name| random_backbone || !name.starts_with("backbone."),
        )
        .with_lora(config.train.lora.clone());
        let model = model(config, &spec, &variables, config.train.drop_path)?;
        let origin = config.model.weights.as_deref();
        variables.check(origin.unwrap_or("the weights given"))?;
        groups.check(&variables.names())?;
        let of_vars = variables.vars().into_iter().map(|(name, var)| {
            let group = groups.group(&name, var.rank(), epoch, steps);
            (name, (var, group))
        });
        let optimizer = Optimizer::new(config.train.optimizer, of_vars.collect());
        Ok(Self {
            config,
            spec,
            groups,
            variables,
            model,
            optimizer,
            steps,
            order: None,
        })
    }

    /// Trains what `epoch` adds, too, if it adds anything.
    ///
    /// # Errors
    /// If tensors cannot be copied.
    pub(super) fn enter(&mut self, epoch: usize) -> Result<()> {
        if !self.groups.changes(epoch) {
            return Ok(());
        }
        let given = self.variables.snapshot()?;
        let mut before = Self::new(self.config, self.spec.clone(), given, epoch, self.steps)?;
        std::mem::swap(self, &mut before);
        self.optimizer.take_over(before.optimizer);
        Ok(())
    }

    /// Whether its batch norms take the statistics of the whole batch, in whatever parts that is computed.
    ///
    /// # Errors
    /// As [`Variables::buffers`].
    pub(super) fn shares_statistics(&self) -> Result<bool> {
        let sync = self.config.train.batch_norm == BatchNormMode::Sync;
        Ok(sync && !self.variables.buffers()?.is_empty())
    }

    /// # Shapes
    /// Result `(batch, num_features)`.
    pub(super) fn features(&self, inputs: &Inputs, mode: Mode) -> Result<Tensor> {
        // Other networks than ours do not know which of their layers are trained, nor which statistics a mode asks for.
        let train = &self.config.train;
        let constant = train.stays_frozen() || train.batch_norm == BatchNormMode::Frozen;
        let plugged = self.spec.backbone.entry().is_some();
        let mode = if plugged && constant {
            Mode::Eval
        } else {
            mode
        };
        match inputs {
            Inputs::Photos(photos) => Ok(self.model.features(photos, mode)?),
            Inputs::Features(features) => Ok(features.clone()),
        }
    }

    /// A step of the optimiser: `lr` times the learning rates, gradients times `factor`.
    ///
    /// # Errors
    /// If a gradient is not of its variable's shape.
    pub(super) fn update(&mut self, gradients: &[Tensor], lr: f64, factor: f64) -> Result<()> {
        self.optimizer.step(gradients, lr, factor)?;
        if self.variables.are_adapted() {
            let drop_path = self.config.train.drop_path;
            self.model = model(self.config, &self.spec, &self.variables, drop_path)?;
        }
        Ok(())
    }
}

/// The model over these variables.
pub(super) fn model(
    config: &Config,
    spec: &ModelSpec,
    variables: &Variables,
    drop_path: f64,
) -> Result<MultiTaskModel> {
    let vb = variables.builder();
    let mut model = MultiTaskModel::built(spec, drop_path as f32, vb.pp("backbone"), &vb)?;
    model.set_activations(config.train.activations);
    Ok(model)
}
