//! What of a model is trained in an epoch, and how: learning rate and weight decay of every variable.

use super::Group;
use super::variables::is_buffer;
use crate::error::{Error, Result};
use crate::model_file::Tensors;
use crate::train::build::build;
use crate::train::config::{Config, FineTune};

/// Matrices that are not decayed, as in timm: tokens and positions are not weights of a sum.
const NOT_DECAYED: [&str; 5] = [
    "pos_embed",
    "cls_token",
    "dist_token",
    "reg_token",
    "relative_position_bias_table",
];

/// The plan of a run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The backbone's stages, each the prefixes of its tensors.
    stages: Vec<Vec<String>>,
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

/// What a run with this configuration would train, from input to output; `weights` as for
/// [`train`](crate::train::trainer::train).
///
/// # Errors
/// If the weights do not fit the model.
pub fn dry_run(config: &Config, weights: Tensors) -> Result<Vec<Part>> {
    let plan = Plan::new(config);
    let spec = config.model_spec()?;
    let last = config.train.epochs - 1;
    let (variables, _, _) = build(config, &spec, &plan, weights, last, 1)?;
    let heads = spec.heads.iter().map(|h| format!("heads.{}", h.name));
    let heads = heads.chain(spec.joint.iter().map(|_| "joint".to_string()));
    let mut parts: Vec<Part> = plan
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
            Some(name) => parts.get_mut(plan.stage(name)),
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
            part.lr = plan.group(&name, var.rank(), last, 1).lr;
            let from = (0..=last).find(|e| plan.is_trained(&name, *e));
            let from = Some(from.unwrap_or(0) + 1);
            part.from = [part.from, from].into_iter().flatten().min();
        });
    }
    Ok(parts)
}

/// Whether a name matches a pattern, in which `*` stands for any characters. Takes at most the product of their lengths.
pub fn matches(pattern: &str, name: &str) -> bool {
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut name) = name.strip_prefix(first) else {
        return false;
    };
    let Some(last) = pieces.next_back() else {
        return name.is_empty();
    };
    // Between two stars the first place that fits leaves the most to what follows.
    for piece in pieces {
        match name.find(piece) {
            Some(at) => name = &name[at + piece.len()..],
            None => return false,
        }
    }
    name.ends_with(last)
}

impl Plan {
    /// The plan a configuration asks for.
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
            let misses = |p: &&String| !names.iter().any(|name| matches(p, name));
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
    fn stage(&self, name: &str) -> usize {
        let of = |stage: &Vec<String>| stage.iter().any(|p| name.starts_with(p.as_str()));
        self.stages.iter().position(of).unwrap_or(0)
    }

    /// Whether a tensor, `backbone.…` or `heads.…`, is trained in `epoch`, counted from 0.
    pub fn is_trained(&self, name: &str, epoch: usize) -> bool {
        let Some(name) = name.strip_prefix("backbone.") else {
            return true;
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
        let lr = match name.strip_prefix("backbone.") {
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
