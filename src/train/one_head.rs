//! One head of a model trained alone, on the features of its frozen backbone.

use super::config::{Config, FineTune};
use super::trainer::Trainer;
use crate::data::augment::AugmentConfig;
use crate::data::dataset::Dataset;
use crate::error::{Error, Result};
use crate::head::HeadSpec;
use crate::model::ModelSpec;
use crate::model_file::ModelFile;
use crate::model_file::heads::{Graft, NewTensors, Place, add, graft, replace};
use crate::taxonomy::Labels;
use crate::weights::source::BEST;
use std::path::Path;

impl Config {
    /// The configuration that trains one head, afresh and alone, on the backbone of `model`, which is frozen and whose
    /// features are computed once: photos are neither mixed nor changed. For [`train_head`]; the settings of training may be
    /// changed. A head that applies under labels of others (`when`) is taught by every photo that has a label of it.
    pub fn for_head(model: &ModelFile, head: HeadSpec) -> Self {
        let spec = &model.description.model;
        let alone = ModelSpec::new(spec.backbone, vec![head], spec.input.clone());
        let mut config = Self::new(alone);
        config.train.fine_tune = FineTune::Frozen;
        config.train.mix_up = 0.0;
        config.train.augment = AugmentConfig::off();
        config
    }
}

/// Trains the one head of a configuration, as [`Config::for_head`] makes it, on the backbone of `model`, and gives the model with
/// it: in the place of its head of that name, or after the others. All other tensors stay bit for bit what they were. The data
/// has labels of this head alone, and the run is in the folder `out`.
///
/// These are two steps, a [`Trainer`] on the backbone's tensors and a [`graft`] of what it wrote: with events, a stop or other
/// losses, take them by themselves.
///
/// ```no_run
/// use hydranet::ModelFile;
/// use hydranet::data::Dataset;
/// use hydranet::train::{Config, read_head, train_head};
///
/// let model = ModelFile::read("model.safetensors")?;
/// let mask = read_head("heads/mask.toml".as_ref())?;
/// let mut dataset = Dataset::open(&["photos.csv".into()], &[mask.clone()])?;
/// dataset.follow(&model.description)?;
/// let config = Config::for_head(&model, mask);
/// dataset.put_on_sides(&config.train.split, config.train.seed, &[])?;
/// train_head(&config, &model, &dataset, "runs/mask")?.write("new.safetensors")?;
/// # Ok::<(), hydranet::Error>(())
/// ```
///
/// # Errors
/// [`Error::Invalid`] if the configuration has not one head, trains the backbone or has another input, or if the head comes after
/// others; as [`Trainer::run`] and
/// [`graft`].
pub fn train_head(
    config: &Config,
    model: &ModelFile,
    dataset: &Dataset,
    out: impl AsRef<Path>,
) -> Result<ModelFile> {
    let [name] = config.model.heads.as_slice() else {
        return Err(Error::Invalid {
            what: "model.heads of a head that is trained alone".into(),
            expected: "one head".into(),
            found: format!("{:?}", config.model.heads),
        });
    };
    if !config.train.stays_frozen() {
        return Err(Error::Invalid {
            what: "train.fine_tune of a head that is trained alone".into(),
            expected: "`frozen`, and neither unfreeze_every nor lora".into(),
            found: "a backbone that is trained".into(),
        });
    }
    let (spec, mut alone) = (&model.description.model, config.clone());
    if config.model.input != spec.input {
        return Err(Error::Invalid {
            what: "model.input of a head that is trained alone".into(),
            expected: "the model's".into(),
            found: "another".into(),
        });
    }
    let mut how = Graft::default();
    let mut when = Labels::new();
    if let Some(head) = alone.heads.get_mut(name) {
        if let Some(before) = head.layers.after.first() {
            return Err(Error::Invalid {
                what: format!("head `{name}`, which is trained alone"),
                expected:
                    "one that comes after no other head; such a head is trained with those it sees"
                        .into(),
                found: format!("after `{before}`"),
            });
        }
        if head.layers.own_stages > 0 {
            return Err(Error::Invalid {
                what: format!("head `{name}`, which is trained alone"),
                expected: "one without stages of its own (`own_stages`); such a head is trained with its model".into(),
                found: format!("own_stages = {}", head.layers.own_stages),
            });
        }
        // Whether the model can have it is seen before it is trained.
        let fresh = NewTensors::Fresh { seed: 0 };
        if spec.heads.iter().any(|h| h.name == *name) {
            replace(model, name, head.clone(), fresh)?;
            how.place = Place::Replacing(name.clone());
        } else {
            add(model, head.clone(), None, fresh)?;
        }
        // The data it is trained on has no labels of other heads.
        when = std::mem::take(&mut head.labels.when);
    }
    let mut backbone = model.tensors.clone();
    backbone.retain(|name, _| name.starts_with("backbone."));
    let mut dataset = dataset.clone();
    if dataset.seen.is_empty() {
        dataset.seen = model.description.records();
    }
    let out = out.as_ref();
    Trainer::new(&alone, backbone, &dataset).out(out).run()?;
    let mut trained = ModelFile::read(out.join(BEST))?;
    trained.description.model.heads[0].labels.when = when;
    graft(model, &trained, name, &how)
}
