//! The pretrained tensors a run starts from.

use super::Config;
use super::fit_heads::fit;
use crate::error::Result;
use crate::model_file::{Seen, Tensors, pretrained};
use std::path::{Path, PathBuf};

/// The folders that the name of a weights file is looked for in.
fn folders(heads: &Path) -> [PathBuf; 2] {
    let beside = heads
        .parent()
        .map_or_else(|| PathBuf::from("weights"), |p| p.join("weights"));
    [beside, "weights".into()]
}

/// Whom the weights have seen that a configuration names, if they are a model of hydranet's, see [`pretrained::seen`], and whom
/// the teacher.
///
/// # Errors
/// As [`pretrained::seen`], or if the teacher cannot be read.
pub fn seen_by_weights(config: &Config, heads: &Path) -> Result<Vec<Seen>> {
    let mut seen = match &config.model.weights {
        None => Vec::new(),
        Some(source) => pretrained::seen(source, &folders(heads))?,
    };
    if let Some(teacher) = &config.train.teacher {
        seen.extend(teacher.seen()?);
    }
    Ok(seen)
}

/// The pretrained tensors a configuration names, as `backbone.…`; empty if it names none.
///
/// `model.weights` is a file, the name of one in the folder `weights` beside the heads folder or in the working folder, or
/// `hf://…`; see [`pretrained::load`]. It may be a backbone's weights or a hydranet model, whose backbone is taken, and those of
/// its heads whose names are among the configuration's, the joint head too if there is to be one. A label is its name: where the
/// file has a head's labels in another order, its outputs are put into the configuration's.
///
/// # Errors
/// As [`pretrained::load`]; [`Error::Refused`](crate::Error::Refused) naming the head, the file and both lists if a head taken
/// has other labels, other thresholds or outputs that mean something else, [`Error::Invalid`](crate::Error::Invalid) if the joint
/// head is of other final classes.
pub fn load_weights(config: &Config, heads: &Path) -> Result<Tensors> {
    let Some(source) = &config.model.weights else {
        return Ok(Tensors::new());
    };
    let folders = folders(heads);
    let (channels, backbone) = (config.model.input.channels, config.model.backbone);
    let (mut tensors, given) = pretrained::load_described(channels, source, &folders, backbone)?;
    tensors.retain(|name, _| {
        if name.starts_with("joint.") {
            return config.model.joint.is_some();
        }
        let head = name
            .strip_prefix("heads.")
            .and_then(|n| n.split('.').next());
        head.is_none_or(|h| config.model.heads.iter().any(|n| n == h))
    });
    if let Some(given) = given {
        fit(&mut tensors, &given, &config.model_spec()?, source)?;
    }
    Ok(tensors)
}
