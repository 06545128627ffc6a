//! The configuration of a run, as written in TOML: `[train]`, `[model]` and one `[heads.<name>]` each.
//!
//! It is put together from, later ones winning: the defaults, the heads folder, a `--config` file, `--set key=value`.

use super::augment::AugmentConfig;
use super::optim::OptimizerKind;
use super::split::SplitConfig;
use crate::backbone::Architecture;
use crate::error::{Error, Result};
use crate::head::HeadSpec;
use crate::input::InputSpec;
use crate::layers::BatchNormMode;
use crate::model::ModelSpec;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// How much of the backbone is trained. The heads always are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum FineTune {
    /// All of it.
    #[default]
    Full,
    /// None of it: a fixed feature extractor.
    Frozen,
    /// Its last stages.
    LastStages(usize),
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
    /// Statistics of batch normalisation in the trained part.
    pub batch_norm: BatchNormMode,
    /// Drop-path rate of the last block.
    pub drop_path: f64,
    /// The optimiser.
    pub optimizer: OptimizerKind,
    /// Peak learning rate of the backbone.
    pub lr_backbone: f64,
    /// Peak learning rate of the heads.
    pub lr_heads: f64,
    /// Decoupled weight decay; not applied to biases and norms.
    pub weight_decay: f64,
    /// Share of all steps in which the learning rate rises.
    pub warm_up: f64,
    /// Share of the peak learning rate left at the end.
    pub final_lr: f64,
    /// Greatest norm of the whole gradient; longer ones are shortened to it. 0: no limit.
    pub clip: f64,
    /// α of mix-up; 0: none.
    pub mix_up: f64,
    /// Stop after so many epochs without a better final-class macro F1 on the validation split. 0: never.
    pub patience: usize,
    /// Memory for photos decoded ahead, in MiB.
    pub queue_mib: usize,
    /// Changes to the photos.
    pub augment: AugmentConfig,
    /// Shares of the persons whose photos come without a split.
    pub split: SplitConfig,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            epochs: 8,
            batch: 32,
            fine_tune: FineTune::Full,
            batch_norm: BatchNormMode::Train,
            drop_path: 0.0,
            optimizer: OptimizerKind::AdamW,
            lr_backbone: 5e-4,
            lr_heads: 2e-3,
            weight_decay: 0.01,
            warm_up: 0.3,
            final_lr: 0.0,
            clip: 0.0,
            mix_up: 0.2,
            patience: 0,
            queue_mib: 64,
            augment: AugmentConfig::default(),
            split: SplitConfig::default(),
        }
    }
}

/// Backbone, weights, heads and input: `[model]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// The backbone.
    pub backbone: Architecture,
    /// Its pretrained weights: a file, or the name of one in the weights folder; none: random.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<String>,
    /// Names of the heads, in order.
    pub heads: Vec<String>,
    /// From photo to tensor.
    #[serde(default)]
    pub input: InputSpec,
}

/// Everything a run is made of.
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
    /// Puts a configuration together.
    ///
    /// `heads` is a folder with `model.toml` and one `<name>.toml` a head; `file` a TOML file with any of the tables `train`,
    /// `model`, `heads.<name>`; `settings` are `dotted.key=value`, the value in TOML, or else taken as text.
    ///
    /// # Errors
    /// [`Error::Config`] naming the file or setting, the key and what is expected; [`Error::Invalid`] for values out of range.
    pub fn load(heads: &Path, file: Option<&Path>, settings: &[String]) -> Result<Self> {
        let mut table = toml::Table::new();
        let model_path = heads.join("model.toml");
        let model = read_table::<ModelConfig>(&model_path)?;
        // The heads of the folder: those `model.toml` names; overriding files and settings may name others.
        let mut head_tables = toml::Table::new();
        for entry in std::fs::read_dir(heads).map_err(|e| Error::io("read", heads, e))? {
            let path = entry.map_err(|e| Error::io("read", heads, e))?.path();
            let stem = path
                .file_stem()
                .and_then(|s| s.to_str())
                .unwrap_or_default()
                .to_string();
            if path.extension().is_some_and(|e| e == "toml") && stem != "model" {
                head_tables.insert(stem, toml::Value::Table(read_table::<HeadSpec>(&path)?));
            }
        }
        table.insert("model".into(), toml::Value::Table(model));
        table.insert("heads".into(), toml::Value::Table(head_tables));
        let mut origin = heads.display().to_string();
        if let Some(path) = file {
            let overlay = read_table::<toml::Table>(path)?;
            merge(&mut table, overlay);
            origin = path.display().to_string();
            // Checked here as well, so that an error names this file and not a later setting.
            parse(&table, &origin)?;
        }
        for setting in settings {
            apply(&mut table, setting)?;
            origin = format!("--set {setting}");
            parse(&table, &origin)?;
        }
        let config = parse(&table, &origin)?;
        config.validate()?;
        Ok(config)
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
        config.validate()?;
        Ok(config)
    }

    /// As TOML.
    ///
    /// # Errors
    /// [`Error::Config`] if a value cannot be written.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(|e| Error::Config {
            origin: "the configuration".into(),
            message: e.to_string(),
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
            input: self.model.input.clone(),
        })
    }

    fn validate(&self) -> Result<()> {
        for (key, head) in &self.heads {
            if *key != head.name {
                return Err(Error::Invalid {
                    what: format!("heads.{key}.name (file {key}.toml)"),
                    expected: format!("`{key}`, as its file or table is called"),
                    found: format!("`{}`", head.name),
                });
            }
        }
        self.model_spec()?.validate()?;
        self.train.validate(self.model.backbone)
    }
}

impl TrainConfig {
    fn validate(&self, backbone: Architecture) -> Result<()> {
        let fail = |what: &str, expected: &str, found: String| {
            Err(Error::Invalid {
                what: format!("train.{what}"),
                expected: expected.into(),
                found,
            })
        };
        if self.epochs == 0 || self.epochs > 100_000 {
            return fail("epochs", "from 1 to 100000", self.epochs.to_string());
        }
        if self.batch < 2 || self.batch > 65_536 {
            return fail("batch", "from 2 to 65536 photos", self.batch.to_string());
        }
        if self.queue_mib == 0 {
            return fail("queue_mib", "at least 1 MiB", "0".into());
        }
        let stages = backbone.stages().len();
        if let FineTune::LastStages(n) = self.fine_tune
            && !(1..=stages).contains(&n)
        {
            return fail(
                "fine_tune.last_stages",
                &format!("from 1 to {stages}, the stages of {backbone}"),
                n.to_string(),
            );
        }
        if let OptimizerKind::Sgd { momentum } = self.optimizer
            && !(0.0..1.0).contains(&momentum)
        {
            return fail(
                "optimizer.sgd.momentum",
                "a number from 0 to below 1",
                momentum.to_string(),
            );
        }
        for (what, v) in [
            ("drop_path", self.drop_path),
            ("warm_up", self.warm_up),
            ("final_lr", self.final_lr),
        ] {
            if !(0.0..1.0).contains(&v) {
                return fail(what, "a number from 0 to below 1", v.to_string());
            }
        }
        for (what, v) in [
            ("lr_backbone", self.lr_backbone),
            ("lr_heads", self.lr_heads),
            ("weight_decay", self.weight_decay),
            ("clip", self.clip),
            ("mix_up", self.mix_up),
        ] {
            if !(v >= 0.0 && v.is_finite()) {
                return fail(what, "a number of at least 0", v.to_string());
            }
        }
        self.augment.validate()?;
        self.split.validate()
    }
}

/// Reads a TOML file and checks that it is a `T`, so that an error has the file's line; gives the table.
fn read_table<T: serde::de::DeserializeOwned>(path: &Path) -> Result<toml::Table> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::io("read", path, e))?;
    let fail = |e: toml::de::Error| Error::Config {
        origin: path.display().to_string(),
        message: e.to_string(),
    };
    toml::from_str::<T>(&text).map_err(fail)?;
    toml::from_str(&text).map_err(fail)
}

fn parse(table: &toml::Table, origin: &str) -> Result<Config> {
    Config::deserialize(table.clone()).map_err(|e| Error::Config {
        origin: origin.into(),
        message: e.to_string().trim().to_string(),
    })
}

/// Lays `over` on `base`: tables are merged, everything else is replaced.
fn merge(base: &mut toml::Table, over: toml::Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(toml::Value::Table(base)), toml::Value::Table(over)) => merge(base, over),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

/// Sets one `dotted.key=value`.
fn apply(table: &mut toml::Table, setting: &str) -> Result<()> {
    let fail = |message: &str| Error::Config {
        origin: format!("--set {setting}"),
        message: message.into(),
    };
    let (key, value) = setting
        .split_once('=')
        .ok_or_else(|| fail("expected key=value, as in train.epochs=5"))?;
    let value = toml::from_str::<toml::Table>(&format!("v = {value}"))
        .ok()
        .and_then(|mut t| t.remove("v"))
        .unwrap_or_else(|| toml::Value::String(value.into()));
    let mut over = value;
    for part in key.trim().rsplit('.') {
        over = toml::Value::Table(toml::Table::from_iter([(part.to_string(), over)]));
    }
    if let toml::Value::Table(over) = over {
        merge(table, over);
    }
    Ok(())
}

/// Reads one head's TOML file.
///
/// # Errors
/// [`Error::Io`], [`Error::Config`] with the line, or [`Error::Invalid`].
pub fn read_head(path: &Path) -> Result<HeadSpec> {
    let table = read_table::<HeadSpec>(path)?;
    let head = HeadSpec::deserialize(table).map_err(|e| Error::Config {
        origin: path.display().to_string(),
        message: e.to_string(),
    })?;
    head.validate()?;
    Ok(head)
}

/// The pretrained tensors a configuration names, as `backbone.…`; empty if it names none.
///
/// `model.weights` is a file, or the name of one in the folder `weights` beside the heads folder or in the working folder. It may
/// be a backbone's weights with timm's names (a classifier is left out) or a hydranet model, whose backbone is taken, and those of
/// its heads whose names are among the configuration's.
///
/// # Errors
/// [`Error::UnknownName`] listing the files there are; [`Error::Checkpoint`] if it cannot be read.
pub fn load_weights(config: &Config, heads: &Path) -> Result<crate::checkpoint::Tensors> {
    let Some(name) = &config.model.weights else {
        return Ok(Default::default());
    };
    let beside = heads
        .parent()
        .map(|p| p.join("weights"))
        .unwrap_or_else(|| "weights".into());
    let folders = [beside, "weights".into()];
    let candidates =
        std::iter::once(std::path::PathBuf::from(name)).chain(folders.iter().map(|f| f.join(name)));
    let Some(path) = candidates.into_iter().find(|p| p.is_file()) else {
        let mut known: Vec<String> = folders
            .iter()
            .filter_map(|f| std::fs::read_dir(f).ok())
            .flatten()
            .flatten()
            .map(|e| e.file_name().to_string_lossy().into_owned())
            .filter(|n| n.ends_with(".safetensors"))
            .collect();
        known.sort();
        known.dedup();
        return Err(Error::UnknownName {
            what: "weights file",
            found: name.clone(),
            known,
        });
    };
    let bytes = std::fs::read(&path).map_err(|e| Error::io("read", &path, e))?;
    let (_, tensors) = crate::checkpoint::read_tensors(&bytes, &path.display().to_string())?;
    let of_model = tensors.keys().any(|k| k.starts_with("backbone."));
    let keep = |name: String| match of_model {
        true => {
            let head = name
                .strip_prefix("heads.")
                .and_then(|n| n.split('.').next());
            head.is_none_or(|h| config.model.heads.iter().any(|n| n == h))
                .then_some(name)
        }
        false => (!name.starts_with("classifier.")).then(|| format!("backbone.{name}")),
    };
    Ok(tensors
        .into_iter()
        .filter_map(|(name, t)| Some((keep(name)?, t)))
        .collect())
}
