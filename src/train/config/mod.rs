//! The configuration of a run, as written in TOML: `[train]`, `[model]` and one `[heads.<name>]` each.
//!
//! It is put together from, later ones winning: the defaults, the heads folder, a file of settings, settings one by one.

use super::optim::lora::Lora;
use crate::backbone::{Architecture, SavedActivations};
use crate::data::augment::AugmentConfig;
use crate::data::columns::check_names;
use crate::data::loader::QUEUE_MIB;
use crate::data::sampling::Sampling;
use crate::data::split::SplitConfig;
use crate::error::{Error, Result};
use crate::head::HeadSpec;
use crate::input::InputSpec;
use crate::layers::BatchNormMode;
use crate::model::combine::DecisionRule;
use crate::model::{JointSpec, ModelSpec};
use crate::taxonomy::Labels;
use crate::train::balancing::Balancing;
use crate::train::mix::MixRule;
use crate::train::optim::OptimizerKind;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

mod blame;
mod features;
mod files;
mod fit_heads;
mod lines;
mod mixing;
mod parse;
mod plugged;
mod shared;
mod teacher;
mod validate;
mod weights;

pub(crate) use files::Defaults;
pub use files::read_head;
use files::read_table;
use parse::parse;
pub(super) use shared::SHARED;
pub use teacher::TeacherConfig;
pub use weights::{load_weights, seen_by_weights};

/// How much of the backbone is trained. The heads always are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum FineTune {
    /// All of it.
    #[default]
    Full,
    /// None of it: a fixed feature extractor.
    Frozen,
    /// Its last stages.
    LastStages(usize),
    /// The tensors whose names match one of these patterns, in which `*` stands for any characters.
    Matching(Vec<String>),
}

/// How to train: `[train]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// Every random draw follows from it.
    pub seed: u64,
    /// Passes over the training split.
    pub epochs: usize,
    /// Photos a step.
    pub batch: usize,
    /// How much of the backbone is trained.
    pub fine_tune: FineTune,
    /// Low-rank adaptation of the backbone's linear layers and 1 × 1 convolutions; merged into the weights that are saved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lora: Option<Lora>,
    /// Patterns of names of the backbone's tensors that are never trained, `*` standing for any characters.
    pub freeze: Vec<String>,
    /// Epochs after which one more stage is trained, again and again, from the last to the first; 0: never.
    pub unfreeze_every: usize,
    /// Statistics of batch normalisation in the trained part.
    pub batch_norm: BatchNormMode,
    /// Drop-path rate of the last block.
    pub drop_path: f64,
    /// The optimiser.
    #[serde(deserialize_with = "crate::names::word_or_table")]
    pub optimizer: OptimizerKind,
    /// Peak learning rate of the backbone.
    pub lr_backbone: f64,
    /// Factor of the backbone's learning rate from each stage to the one before it, nearer to the photo.
    pub lr_decay: f64,
    /// Peak learning rate of the heads.
    pub lr_heads: f64,
    /// Decoupled weight decay; not applied to biases, norms, tokens and position embeddings.
    pub weight_decay: f64,
    /// Share of all steps in which the learning rate rises.
    pub warm_up: f64,
    /// Share of the peak learning rate left at the end.
    pub final_lr: f64,
    /// Greatest norm of the whole gradient; longer ones are shortened to it. 0: no limit.
    pub clip: f64,
    /// How the heads are balanced in the joint loss.
    #[serde(skip_serializing_if = "Balancing::is_fixed")]
    #[serde(deserialize_with = "crate::names::word_or_table")]
    pub balancing: Balancing,
    /// Steps an epoch, spread evenly over it, in which the heads' gradients on the backbone are measured, each by one more
    /// backward pass a head; 0: none, or all with `balancing = "pc_grad"`.
    #[serde(skip_serializing_if = "is_zero")]
    pub report_gradients: usize,
    /// Whether figures, pictures and settings are also written for TensorBoard, to the folder `tensorboard` of the run.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub tensorboard: bool,
    /// Parts a batch is cut into, each computed by itself, their gradients added up in a fixed order: less memory, the same step,
    /// and what the processes of a run share. Called `accumulate` before.
    #[serde(alias = "accumulate")]
    pub parts: usize,
    /// How the backbone keeps what backward needs.
    pub activations: SavedActivations,
    /// Rate of an exponential moving average of the weights, which is what is scored and saved; 0: none.
    pub ema: f64,
    /// Epochs at the end whose weights are averaged (stochastic weight averaging); 0: none.
    pub average_last: usize,
    /// Share of the input's sides that photos of the first epoch have; they grow evenly over the first two thirds of the epochs
    /// (progressive resizing). 1: all are whole.
    #[serde(skip_serializing_if = "is_one")]
    pub first_size: f64,
    /// α of mix-up in every step; 0: none. `mix`, where given, takes its place.
    pub mix_up: f64,
    /// Ways of mixing photos, one of which is drawn for each step.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mix: Vec<MixRule>,
    /// Epochs at the end in which nothing is mixed.
    pub mix_off: usize,
    /// Which photos an epoch takes.
    #[serde(deserialize_with = "crate::names::word_or_table")]
    pub sampling: Sampling,
    /// How the final class is decided. Offsets are tuned on the validation split when training has ended.
    #[serde(skip_serializing_if = "is_product")]
    pub decision: DecisionRule,
    /// Stop after so many epochs without a better final-class macro F1 on the validation split. 0: never.
    pub patience: usize,
    /// Memory for photos decoded ahead, in MiB.
    pub queue_mib: usize,
    /// Folder in which a frozen backbone's features are kept from run to run; none: they are computed for each run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub feature_cache: Option<PathBuf>,
    /// Fixed views of each training photo of which a frozen backbone's features are kept: the photo itself, then augmented ones;
    /// each epoch takes the next. 0 or 1: the photo only.
    pub feature_views: usize,
    /// Changes to the photos.
    pub augment: AugmentConfig,
    /// Shares of the persons whose photos come without a split.
    pub split: SplitConfig,
    /// Another model whose probabilities are targets too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub teacher: Option<TeacherConfig>,
    /// Files of corrections applied to the data, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub corrections: Vec<PathBuf>,
}

fn is_product(rule: &DecisionRule) -> bool {
    *rule == DecisionRule::Product
}

fn is_one(share: &f64) -> bool {
    *share == 1.0
}

fn is_zero(steps: &usize) -> bool {
    *steps == 0
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            epochs: 8,
            batch: 32,
            fine_tune: FineTune::Full,
            lora: None,
            freeze: Vec::new(),
            unfreeze_every: 0,
            batch_norm: BatchNormMode::Train,
            drop_path: 0.0,
            optimizer: OptimizerKind::AdamW,
            lr_backbone: 5e-4,
            lr_decay: 1.0,
            lr_heads: 2e-3,
            weight_decay: 0.01,
            warm_up: 0.3,
            final_lr: 0.0,
            clip: 0.0,
            balancing: Balancing::Fixed,
            report_gradients: 0,
            tensorboard: false,
            parts: 1,
            activations: SavedActivations::F32,
            ema: 0.0,
            average_last: 0,
            first_size: 1.0,
            mix_up: 0.2,
            mix: Vec::new(),
            mix_off: 0,
            sampling: Sampling::EveryPhoto,
            decision: DecisionRule::Product,
            patience: 0,
            queue_mib: QUEUE_MIB,
            feature_cache: None,
            feature_views: 1,
            augment: AugmentConfig::default(),
            split: SplitConfig::default(),
            teacher: None,
            corrections: Vec::new(),
        }
    }
}

/// Backbone, weights, heads and input: `[model]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// The backbone.
    pub backbone: Architecture,
    /// Its pretrained weights: a file, the name of one in the weights folder, or `hf://organisation/name` on the Hugging Face
    /// Hub; none: random. See [`crate::weights`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<String>,
    /// Names of the heads, in order.
    pub heads: Vec<String>,
    /// Combinations of labels that do not occur, by the heads' names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub impossible: Vec<Labels>,
    /// A head of all final classes beside the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joint: Option<JointSpec>,
    /// What columns are called in listings: under `path`, `person` or `group`, `split` or the name of a head the name of the
    /// column that holds it; `path` may be a template, as `images/{image}.jpg`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub columns: BTreeMap<String, String>,
    /// From photo to tensor; what is left out is as the backbone's pretrained weights were made for.
    #[serde(default)]
    pub input: InputSpec,
}

/// Everything a run is made of.
///
/// ```
/// use hydranet::train::{Config, FineTune};
/// use hydranet::{Architecture, HeadSpec, ModelSpec};
///
/// let backbone = Architecture::from_name("resnet18")?;
/// let mask = HeadSpec::new("mask", ["worn", "not_worn"]);
/// let mut config = Config::new(ModelSpec::new(backbone, vec![mask], backbone.input()));
/// config.train.epochs = 5;
/// config.train.fine_tune = FineTune::LastStages(2);
/// config.validate()?;
/// assert!(config.to_toml()?.contains("last_stages = 2"));
/// config.train.batch = 0;
/// let error = config.validate().unwrap_err();
/// assert!(error.to_string().starts_with("train.batch"));
/// # Ok::<(), hydranet::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How to train.
    #[serde(default)]
    pub train: TrainConfig,
    /// The model.
    pub model: ModelConfig,
    /// The heads by name.
    pub heads: BTreeMap<String, HeadSpec>,
}

impl Config {
    /// The configuration of a model, trained from random weights by the defaults of [`TrainConfig`]; fields say the rest.
    ///
    /// ```
    /// use hydranet::train::{Config, FineTune};
    /// use hydranet::{Architecture, HeadSpec, ModelSpec};
    ///
    /// let backbone = Architecture::from_name("resnet18")?;
    /// let mask = HeadSpec::new("mask", ["worn", "not_worn"]);
    /// let mut config = Config::new(ModelSpec::new(backbone, vec![mask], backbone.input()));
    /// config.train.epochs = 3;
    /// config.train.fine_tune = FineTune::LastStages(1);
    /// config.validate()?;
    /// config.train.batch = 0;
    /// assert!(config.validate().unwrap_err().to_string().starts_with("train.batch"));
    /// # Ok::<(), hydranet::Error>(())
    /// ```
    pub fn new(model: ModelSpec) -> Self {
        Self {
            train: TrainConfig::default(),
            model: ModelConfig {
                backbone: model.backbone,
                weights: None,
                heads: model.heads.iter().map(|h| h.name.clone()).collect(),
                impossible: model.impossible,
                joint: model.joint,
                columns: BTreeMap::new(),
                input: model.input,
            },
            heads: model
                .heads
                .into_iter()
                .map(|h| (h.name.clone(), h))
                .collect(),
        }
    }

    /// A configuration from one TOML text that holds everything, as a run folder's `config.toml`.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn read(path: &Path) -> Result<Self> {
        let config: Self = parse(
            &read_table::<toml::Table>(path)?,
            &path.display().to_string(),
        )?;
        config.validate().map_err(|e| blame::of_file(path, e))?;
        Ok(config)
    }

    /// As TOML.
    ///
    /// # Errors
    /// [`Error::Config`] if a value cannot be written.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(|e| Error::Config {
            origin: "the configuration".into(),
            message: "cannot be written as TOML".into(),
            source: Some(e.into()),
        })
    }

    /// The model's specification: the named heads in order.
    ///
    /// # Errors
    /// [`Error::UnknownName`] if `model.heads` names a head that is not there.
    pub fn model_spec(&self) -> Result<ModelSpec> {
        let head = |name: &String| {
            self.heads
                .get(name)
                .cloned()
                .ok_or_else(|| Error::UnknownName {
                    what: "head",
                    found: name.clone(),
                    known: self.heads.keys().cloned().collect(),
                })
        };
        Ok(ModelSpec {
            backbone: self.model.backbone,
            heads: self.model.heads.iter().map(head).collect::<Result<_>>()?,
            impossible: self.model.impossible.clone(),
            joint: self.model.joint.clone(),
            input: self.model.input.clone(),
        })
    }

    /// Whether everything is in range and fits together; [`Trainer::run`](super::Trainer::run) asks it first.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming what does not.
    pub fn validate(&self) -> Result<()> {
        for (key, head) in &self.heads {
            if *key != head.name {
                return Err(Error::Invalid {
                    what: format!("heads.{key}.name (file {key}.toml)"),
                    expected: format!("`{key}`, as its file or table is called"),
                    found: format!("`{}`", head.name),
                });
            }
        }
        let spec = self.model_spec()?;
        spec.validate()?;
        check_names(&self.model.columns, &spec.heads)?;
        if self.train.decision.needs_joint() && spec.joint.is_none() {
            return Err(Error::Invalid {
                what: "train.decision".into(),
                expected: "a joint head beside it, such as model.joint={}".into(),
                found: format!("`{}` and none", self.train.decision.name()),
            });
        }
        let consistent = spec.joint.as_ref().is_some_and(|j| j.consistency > 0.0);
        if consistent && self.train.balancing == Balancing::PcGrad {
            return Err(Error::Invalid {
                what: "train.balancing=pc_grad".into(),
                expected: "losses that are each one head's".into(),
                found: "model.joint, consistency".into(),
            });
        }
        self.train.sampling.validate(&spec)?;
        self.train.validate(self.model.backbone)?;
        self.train.validate_own_stages(&spec)?;
        self.train.validate_progressive(&spec)?;
        self.train.validate_mixes(&spec)
    }
}
