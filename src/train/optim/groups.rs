//! What of a model is trained in an epoch, and how: learning rate and weight decay of every variable.

use super::Group;
use super::pattern::matches;
use super::variables::{Variables, is_buffer};
use crate::error::{Error, Result};
use crate::model::OWN_STAGES;
use crate::train::config::{Config, FineTune, SHARED, TrainConfig};

/// Matrices that are not decayed, as in timm: tokens and positions are not weights of a sum.
const NOT_DECAYED: [&str; 5] = [
    "pos_embed",
    "cls_token",
    "dist_token",
    "reg_token",
    "relative_position_bias_table",
];

/// The variables of a run by how they are trained.
#[derive(Clone, Debug)]
pub struct ParamGroups {
    /// The backbone's stages, each the prefixes of its tensors.
    pub(in crate::train) stages: Vec<Vec<String>>,
    fine_tune: FineTune,
    freeze: Vec<String>,
    unfreeze_every: usize,
    lr_backbone: f64,
    lr_heads: f64,
    lr_decay: f64,
    weight_decay: f64,
    /// Patterns of weights that are adapted by low-rank factors.
    lora: Vec<String>,
}

impl ParamGroups {
    /// As a configuration asks for.
    pub fn new(config: &Config) -> Self {
        let t = &config.train;
        Self {
            stages: config.model.backbone.stages(),
            fine_tune: t.fine_tune.clone(),
            freeze: t.freeze.clone(),
            unfreeze_every: t.unfreeze_every,
            lr_backbone: t.lr_backbone,
            lr_heads: t.lr_heads,
            lr_decay: t.lr_decay,
            weight_decay: t.weight_decay,
            lora: t.lora.iter().flat_map(|l| l.weights.clone()).collect(),
        }
    }

    /// Refuses patterns that match none of a model's tensors, `backbone.…` and `heads.…`: a misspelt one would train or freeze
    /// something else than was meant, in silence.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the setting, the pattern, and how names start.
    pub(crate) fn check(&self, names: &[String]) -> Result<()> {
        let own = names.iter().filter(|n| own_stage(n).is_some());
        let own: Vec<&str> = own.map(String::as_str).collect();
        let names = names.iter().filter_map(|n| n.strip_prefix("backbone."));
        let names: Vec<&str> = names.collect();
        let matching = match &self.fine_tune {
            FineTune::Matching(patterns) => patterns.as_slice(),
            _ => &[],
        };
        for (what, patterns) in [
            ("train.fine_tune.matching", matching),
            ("train.freeze", &self.freeze),
            ("train.lora.weights", &self.lora),
        ] {
            // A stage of a head's own may be frozen by its whole name.
            let beside: &[&str] = if what == "train.freeze" {
                own.as_slice()
            } else {
                &[]
            };
            let misses = |p: &&String| !names.iter().chain(beside).any(|name| matches(p, name));
            if let Some(pattern) = patterns.iter().find(misses) {
                return Err(Error::Invalid {
                    what: what.into(),
                    expected: format!(
                        "patterns that match tensors of the backbone, whose names start with {}",
                        self.stages.concat().join(", ")
                    ),
                    found: format!("`{pattern}`, which matches none"),
                });
            }
        }
        Ok(())
    }

    /// Refuses settings that need the heads' gradients on the backbone where none of its tensors is ever trained.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the setting.
    pub(in crate::train) fn check_shared(
        &self,
        config: &TrainConfig,
        variables: &Variables,
    ) -> Result<()> {
        let Some(what) = config.needs_shared() else {
            return Ok(());
        };
        let of_backbone = |name: &String| name.starts_with("backbone.") && !is_buffer(name);
        let last = config.epochs - 1;
        let trained = |name: &String| of_backbone(name) && self.is_trained(name, last);
        // Low-rank factors are variables from the start.
        if variables.vars().keys().any(of_backbone) || variables.names().iter().any(trained) {
            return Ok(());
        }
        Err(Error::Invalid {
            what: format!("train.{what}"),
            expected: SHARED.into(),
            found: "settings by which none of its tensors is ever trained".into(),
        })
    }

    /// The number of stages trained in `epoch` (from 0), counted from the last.
    fn stages_trained(&self, epoch: usize) -> usize {
        let more = epoch.checked_div(self.unfreeze_every).unwrap_or(0);
        let first = match self.fine_tune {
            FineTune::Full | FineTune::Matching(_) => self.stages.len(),
            FineTune::Frozen => 0,
            FineTune::LastStages(n) => n,
        };
        (first + more).min(self.stages.len())
    }

    /// The stage, from 0, of a tensor of the backbone; that of one no stage names is the first.
    pub(in crate::train) fn stage(&self, name: &str) -> usize {
        let of = |stage: &Vec<String>| stage.iter().any(|p| name.starts_with(p.as_str()));
        self.stages.iter().position(of).unwrap_or(0)
    }

    /// Whether a tensor, `backbone.…` or `heads.…`, is trained in `epoch`, counted from 0.
    pub fn is_trained(&self, name: &str, epoch: usize) -> bool {
        let Some(name) = name.strip_prefix("backbone.") else {
            let frozen = |p: &String| matches(p, name);
            return own_stage(name).is_none() || !self.freeze.iter().any(frozen);
        };
        if self.freeze.iter().any(|p| matches(p, name)) {
            return false;
        }
        if let FineTune::Matching(patterns) = &self.fine_tune {
            return patterns.iter().any(|p| matches(p, name));
        }
        self.stage(name) + self.stages_trained(epoch) >= self.stages.len()
    }

    /// Whether `epoch` trains other tensors than the one before it.
    pub fn changes(&self, epoch: usize) -> bool {
        epoch > 0 && self.stages_trained(epoch) != self.stages_trained(epoch - 1)
    }

    /// Learning rate and weight decay of a variable of `rank` axes trained in `epoch`, of epochs of `steps` steps.
    pub fn group(&self, name: &str, rank: usize, epoch: usize, steps: usize) -> Group {
        let first = (0..=epoch).find(|e| self.is_trained(name, *e));
        let of_network = name.strip_prefix("backbone.").or(own_stage(name));
        let lr = match of_network {
            Some(name) => {
                let below = self.stages.len() - 1 - self.stage(name);
                self.lr_backbone * self.lr_decay.powi(below as i32)
            }
            None => self.lr_heads,
        };
        // Biases, and scales and shifts of norms, are vectors.
        let decayed = rank > 1 && !NOT_DECAYED.iter().any(|n| name.ends_with(n));
        Group {
            lr,
            weight_decay: if decayed { self.weight_decay } else { 0.0 },
            // Low-rank factors are trained from the start, whatever of the weights is.
            since: (first.unwrap_or(0) * steps) as u64,
        }
    }
}

/// The backbone's name of a tensor of a stage that a head has for itself.
fn own_stage(name: &str) -> Option<&str> {
    let (_, of_head) = name.strip_prefix("heads.")?.split_once('.')?;
    of_head.strip_prefix(OWN_STAGES)?.strip_prefix('.')
}
