//! `hydranet heads`.

use super::output::say;
use super::terminal::note;
use crate::io::lock::OutputLock;
use crate::model_file::heads;
use crate::model_file::heads::{Graft, HeadsFile, NewTensors, Place};
use crate::model_file::pretrained::{load_for, seen};
use crate::train::config::read_head;
use crate::{ModelFile, Result};
use clap::{Args, Subcommand};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Arguments of `hydranet heads`.
#[derive(Args)]
pub(crate) struct Heads {
    #[command(subcommand)]
    action: Action,
}

/// The files every action takes.
#[derive(Args)]
struct Files {
    /// The model file to start from; it is not changed.
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// The model file to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Subcommand)]
enum Action {
    /// Put an untrained head from a TOML file in the place of another.
    Replace {
        #[command(flatten)]
        files: Files,
        /// The head to take out.
        name: String,
        /// TOML file of the new head.
        #[arg(long, value_name = "FILE")]
        spec: PathBuf,
        /// Seed of its first values.
        #[arg(long, default_value_t = 0)]
        seed: u64,
    },
    /// Add an untrained head from a TOML file.
    Add {
        #[command(flatten)]
        files: Files,
        /// TOML file of the new head.
        #[arg(long, value_name = "FILE")]
        spec: PathBuf,
        /// Its place among the heads, from 0 [default: last].
        #[arg(long, value_name = "N")]
        at: Option<usize>,
        /// Seed of its first values.
        #[arg(long, default_value_t = 0)]
        seed: u64,
    },
    /// Take a head out.
    Remove {
        #[command(flatten)]
        files: Files,
        /// The head.
        name: String,
    },
    /// Give a head another name.
    Rename {
        #[command(flatten)]
        files: Files,
        /// Its name.
        name: String,
        /// Its new name.
        to: String,
    },
    /// Move the borders between the labels of a head that predicts a number, or the probabilities from which on a head of several
    /// labels at once says each, without training it again.
    Thresholds {
        #[command(flatten)]
        files: Files,
        /// The head.
        name: String,
        /// The new borders in order, as many as before; or the probabilities, one a label.
        #[arg(required = true, allow_negative_numbers = true, value_name = "NUMBER")]
        thresholds: Vec<f64>,
    },
    /// Make a head untrained again.
    Reset {
        #[command(flatten)]
        files: Files,
        /// The head.
        name: String,
        /// Seed of its first values.
        #[arg(long, default_value_t = 0)]
        seed: u64,
    },
    /// Take a trained head over from another model file with the same backbone.
    Graft {
        #[command(flatten)]
        files: Files,
        /// The head, by its name in --from.
        name: String,
        /// The model file it is taken from.
        #[arg(long, value_name = "FILE")]
        from: PathBuf,
        /// Its name in the new model [default: the same].
        #[arg(long, value_name = "NAME")]
        rename: Option<String>,
        /// The head whose place it takes [default: none, it comes last].
        #[arg(long, value_name = "NAME")]
        replacing: Option<String>,
        /// Take it even if the backbones differ: it then predicts nonsense until it is trained again.
        #[arg(long)]
        allow_other_backbone: bool,
    },
    /// Write the heads of a model file without its backbone: a few kB that say which backbone they belong to.
    Extract {
        #[command(flatten)]
        files: Files,
    },
    /// Put heads that were extracted on their backbone again, those of several files side by side.
    Attach {
        /// The backbone: a model file, or anything `model.weights` takes.
        #[arg(long, value_name = "FILE|hf://…")]
        backbone: String,
        /// The folder of weights that a name is looked for in.
        #[arg(long, default_value = "weights", value_name = "DIR")]
        weights: PathBuf,
        /// Files of heads.
        #[arg(required = true, value_name = "HEADS")]
        heads: Vec<PathBuf>,
        /// The model file to write.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// One model with the heads of several that were trained on the same frozen backbone.
    Merge {
        /// Model files.
        #[arg(required = true, num_args = 2.., value_name = "FILE")]
        models: Vec<PathBuf>,
        /// The model file to write.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

impl Action {
    /// The file that is written.
    fn out(&self) -> &Path {
        match self {
            Self::Attach { out, .. } | Self::Merge { out, .. } => out,
            Self::Extract { files }
            | Self::Replace { files, .. }
            | Self::Add { files, .. }
            | Self::Remove { files, .. }
            | Self::Rename { files, .. }
            | Self::Thresholds { files, .. }
            | Self::Reset { files, .. }
            | Self::Graft { files, .. } => &files.out,
        }
    }
}

impl Action {
    /// Names the heads that see a head which is another now.
    fn warn(&self, model: &ModelFile) {
        let (Self::Replace { name, .. }
        | Self::Reset { name, .. }
        | Self::Graft {
            replacing: Some(name),
            ..
        }) = self
        else {
            return;
        };
        for head in &model.description.model.heads {
            if head.layers.after.contains(name) {
                note(format!(
                    "warning: head `{}` comes after `{name}`, which says something else now: train it again",
                    head.name
                ));
            }
        }
    }
}

impl Heads {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let _lock = OutputLock::take(self.action.out())?;
        let fresh = |seed: &u64| NewTensors::Fresh { seed: *seed };
        let (files, model) = match &self.action {
            Action::Extract { files } => {
                let heads = heads::heads_only(&ModelFile::read(&files.model)?)?;
                heads.write(&files.out)?;
                say(format!(
                    "{}: {} bytes, for the backbone {}",
                    files.out.display(),
                    heads.to_bytes()?.len(),
                    heads.description.backbone_sha256.unwrap_or_default()
                ));
                return Ok(ExitCode::SUCCESS);
            }
            Action::Attach {
                backbone,
                weights,
                heads,
                out,
            } => return attach(backbone, weights, heads, out),
            Action::Merge { models, out } => {
                let models: Vec<_> = models.iter().map(ModelFile::read).collect::<Result<_>>()?;
                return finish(&heads::merge(&models)?, out);
            }
            Action::Replace {
                files,
                name,
                spec,
                seed,
            } => (
                files,
                heads::replace(
                    &ModelFile::read(&files.model)?,
                    name,
                    read_head(spec)?,
                    fresh(seed),
                )?,
            ),
            Action::Add {
                files,
                spec,
                at,
                seed,
            } => (
                files,
                heads::add(
                    &ModelFile::read(&files.model)?,
                    read_head(spec)?,
                    *at,
                    fresh(seed),
                )?,
            ),
            Action::Remove { files, name } => {
                (files, heads::remove(&ModelFile::read(&files.model)?, name)?)
            }
            Action::Rename { files, name, to } => (
                files,
                heads::rename(&ModelFile::read(&files.model)?, name, to)?,
            ),
            Action::Thresholds {
                files,
                name,
                thresholds,
            } => (
                files,
                heads::set_thresholds(&ModelFile::read(&files.model)?, name, thresholds)?,
            ),
            Action::Reset { files, name, seed } => (
                files,
                heads::reset(&ModelFile::read(&files.model)?, name, *seed)?,
            ),
            Action::Graft {
                files,
                name,
                from,
                rename,
                replacing,
                allow_other_backbone,
            } => {
                let place = replacing.clone().map_or(Place::Last, Place::Replacing);
                let how = Graft {
                    rename: rename.clone(),
                    place,
                    allow_other_backbone: *allow_other_backbone,
                };
                (
                    files,
                    heads::graft(
                        &ModelFile::read(&files.model)?,
                        &ModelFile::read(from)?,
                        name,
                        &how,
                    )?,
                )
            }
        };
        self.action.warn(&model);
        finish(&model, &files.out)
    }
}

/// Files of heads on their backbone.
fn attach(backbone: &str, weights: &Path, heads: &[PathBuf], out: &Path) -> Result<ExitCode> {
    let heads: Vec<_> = heads.iter().map(HeadsFile::read).collect::<Result<_>>()?;
    let spec = &heads[0].description.model;
    let folders = [weights.to_path_buf()];
    let tensors = load_for(spec.input.channels, backbone, &folders, spec.backbone)?;
    let models = heads.iter().map(|h| h.attach(&tensors));
    let mut model = heads::merge(&models.collect::<Result<Vec<_>>>()?)?;
    // The backbone may have learnt elsewhere since the heads were taken from it, or before.
    model.description.see(&seen(backbone, &folders)?);
    finish(&model, out)
}

/// Writes a model and says what it is.
fn finish(model: &ModelFile, out: &Path) -> Result<ExitCode> {
    model.write(out)?;
    let heads = &model.description.model.heads;
    let heads: Vec<&str> = heads.iter().map(|h| h.name.as_str()).collect();
    say(format!(
        "{}: heads {}, {} final classes",
        out.display(),
        heads.join(", "),
        model.description.classes.len()
    ));
    Ok(ExitCode::SUCCESS)
}
