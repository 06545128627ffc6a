//! `hydranet ensemble`: several models as one.

use super::output::say;
use super::views::ViewArgs;
use crate::io::lock::OutputLock;
use crate::io::partial::folder_of;
use crate::predict::Manifest;
use crate::{Average, Ensemble, Error, Predictor, Result};
use clap::Args;
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;

/// Arguments of `hydranet ensemble`.
#[derive(Args)]
pub(crate) struct EnsembleArgs {
    /// Model files with the same heads: those of folds, of runs, of other backbones.
    #[arg(required = true, value_name = "FILE")]
    models: Vec<PathBuf>,
    /// How their predictions become one: probability, logit or vote.
    #[arg(long, default_value = "probability", value_name = "NAME")]
    average: String,
    #[command(flatten)]
    views: ViewArgs,
    /// The manifest to write; it names the models by their places relative to its own.
    #[arg(long, value_name = "OUT.json")]
    out: PathBuf,
}

impl EnsembleArgs {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let _lock = OutputLock::take(&self.out)?;
        let average: Average = self.average.parse()?;
        let views = self.views.views().unwrap_or_default();
        // Nothing is written that could not be read back.
        let members = self.models.iter().map(Predictor::from_file);
        let ensemble = Ensemble::new(members.collect::<Result<_>>()?, average, views)?;
        let beside = absolute(folder_of(&self.out))?;
        let models = self.models.iter();
        let models = models.map(|m| Ok(relative(&absolute(m)?, &beside)));
        Manifest::new(models.collect::<Result<_>>()?, average, views).write(&self.out)?;
        say(format!(
            "{}: {} models by {}, {} views of each photo; heads {}, {} final classes",
            self.out.display(),
            self.models.len(),
            average.name(),
            views.count(),
            ensemble.taxonomy().heads().join(", "),
            ensemble.taxonomy().num_classes()
        ));
        Ok(ExitCode::SUCCESS)
    }
}

fn absolute(path: &Path) -> Result<PathBuf> {
    path.canonicalize().map_err(|e| Error::io("find", path, e))
}

/// The way from one folder to a file.
fn relative(file: &Path, folder: &Path) -> PathBuf {
    let common = file
        .components()
        .zip(folder.components())
        .take_while(|(a, b)| a == b)
        .count();
    let up = folder
        .components()
        .skip(common)
        .map(|_| Component::ParentDir);
    up.chain(file.components().skip(common)).collect()
}
