//! `hydranet soup`: the weights of several runs as one model.

use super::output::say;
use super::run_data::RunData;
use super::sides::SplitFiles;
use super::terminal::note;
use super::train::prepare;
use crate::io::lock::OutputLock;
use crate::io::write_atomically;
use crate::train::config::Config;
use crate::train::soup::soup;
use crate::weights::source::BEST;
use crate::{Error, ModelFile, Result};
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Arguments of `hydranet soup`.
#[derive(Args)]
#[command(
    after_help = "The runs are of one backbone, input and heads, begun from the same weights: with other seeds, settings or data. Settings and data are those of the first run."
)]
pub(crate) struct SoupArgs {
    /// Run folders, whose best models are taken, or model files in them.
    #[arg(required = true, num_args = 2.., value_name = "RUN|FILE")]
    runs: Vec<PathBuf>,
    /// The data to choose by, unless it is what the first run was trained on; may be given several times.
    #[arg(long, value_name = "PATH")]
    data: Vec<PathBuf>,
    #[command(flatten)]
    split_files: SplitFiles,
    /// The folder of heads, beside which names of weights are looked for.
    #[arg(long, default_value = "heads", value_name = "DIR")]
    heads: PathBuf,
    /// Take all of them, and not only those that make the average no worse.
    #[arg(long)]
    uniform: bool,
    /// The model file to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

impl SoupArgs {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let _lock = OutputLock::take(&self.out)?;
        let files = self.runs.iter().map(|run| {
            if run.is_dir() {
                run.join(BEST)
            } else {
                run.clone()
            }
        });
        let files: Vec<PathBuf> = files.collect();
        let models = files.iter().map(ModelFile::read);
        let models = models.collect::<Result<Vec<_>>>()?;
        let folder = files[0].parent().unwrap_or(Path::new(""));
        let settings = folder.join("config.toml");
        if !settings.is_file() {
            return Err(Error::Invalid {
                what: files[0].display().to_string(),
                expected: "a model in the folder of its run".into(),
                found: format!("no file {}", settings.display()),
            });
        }
        let config = Config::read(&settings)?;
        let given = RunData {
            data: self.data.clone(),
            split_files: self.split_files.files().to_vec(),
            ..RunData::default()
        };
        let dataset = prepare(&config, &self.heads, &given.or_of(folder)?)?;
        let made = soup(&config, &models, &dataset, !self.uniform, &mut |text| {
            note(text)
        })?;
        write_atomically(&self.out, &made.file.to_bytes()?)?;
        let best = made.alone.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        say(format!(
            "{}: {} of {} models, macro F1 {:.4} on the validation side (the best alone {best:.4})",
            self.out.display(),
            made.used.len(),
            models.len(),
            made.together
        ));
        Ok(ExitCode::SUCCESS)
    }
}
