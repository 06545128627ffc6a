//! `hydranet label`.

use super::ConfigArgs;
use super::broken::take_out_broken;
use super::columns::ColumnArgs;
use super::output::{Progress, say, show_training, stop_on_ctrl_c};
use super::run_data::RunData;
use super::sides::SplitFiles;
use super::train::prepare;
use crate::Error;
use crate::audit::Event;
use crate::audit::label::{LabelConfig, label};
use crate::data::dataset::Split;
use crate::data::seen::check_held_out;
use crate::io::lock::OutputLock;
use crate::io::typed::check_form;
use crate::train::config::{Config, seen_by_weights};
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `hydranet label`.
#[derive(Args)]
#[command(
    after_help = "Train on them with --set train.teacher.model=labels.csv, and, of photos without labels, --unlabelled DIR. Start the same command again to go on after an interruption."
)]
pub(crate) struct Label {
    /// A CSV listing or a folder of photos; may be given several times.
    #[arg(long, required = true, value_name = "PATH")]
    data: Vec<PathBuf>,
    /// A folder of photos whose labels nobody knows, to be labelled as well; may be given several times.
    #[arg(long, value_name = "DIR")]
    unlabelled: Vec<PathBuf>,
    #[command(flatten)]
    columns: ColumnArgs,
    #[command(flatten)]
    split_files: SplitFiles,
    #[command(flatten)]
    config: ConfigArgs,
    /// The table of probabilities to write.
    #[arg(long, value_name = "FILE.csv")]
    out: PathBuf,
    /// Folds of persons: each photo is labelled by a model trained on the other folds.
    #[arg(long, default_value_t = 5, value_name = "N")]
    folds: usize,
    /// Trainings of each fold; from the second on photos without labels are learnt from, by what the one before said of them.
    #[arg(long, default_value_t = 1, value_name = "N", requires = "unlabelled")]
    rounds: usize,
    /// Photos without labels are learnt from where a label is at least this likely.
    #[arg(long, default_value_t = 0.0, value_name = "P", requires = "rounds")]
    threshold: f64,
    /// Name photos that cannot be read, and label the others.
    #[arg(long)]
    skip_broken: bool,
}

impl Label {
    pub(crate) fn run(&self) -> crate::Result<ExitCode> {
        let from = &self.config;
        let mut config = Config::load(&from.heads, from.config.as_deref(), &from.settings)?;
        check_form(&self.out, false)?;
        self.columns.apply(&mut config)?;
        let spec = config.model_spec()?;
        let _lock = OutputLock::take_all([&self.out])?;
        // The sides are those of a training: what is held out there teaches nobody here.
        let data = RunData {
            data: self.data.clone(),
            split_files: self.split_files.files().to_vec(),
            ..RunData::default()
        };
        let mut dataset = prepare(&config, &from.heads, &data)?;
        // While all are there: a photo that is held out is none without a label.
        dataset.add_unlabelled(&self.unlabelled)?;
        let all = dataset.samples.len();
        dataset.samples.retain(|s| s.split == Some(Split::Train));
        let held_out = all - dataset.samples.len();
        check_held_out(&dataset, seen_by_weights(&config, &from.heads)?)?;
        let stop = &stop_on_ctrl_c();
        let stopped = || {
            say("stopped; start the same command again to go on");
            Ok(ExitCode::from(130))
        };
        if !take_out_broken(&mut dataset, &spec.input, self.skip_broken, stop)? {
            return stopped();
        }
        let labelled = dataset
            .samples
            .iter()
            .filter(|s| s.source < self.data.len())
            .count();
        let options = LabelConfig {
            folds: self.folds,
            rounds: self.rounds,
            threshold: self.threshold,
        };
        let names: Vec<String> = spec.heads.iter().map(|h| h.name.clone()).collect();
        let mut progress = Progress::new("label");
        let runs = self.out.with_extension("runs");
        let found = label(
            &config,
            &from.heads,
            (&dataset, labelled),
            &options,
            &runs,
            stop,
            &mut |event| match event {
                Event::Begin { number, of, .. } => {
                    progress.line(&format!("model {number} of {of}"));
                }
                // Without a validation side an epoch has no figures.
                Event::Training(crate::train::trainer::Event::Epoch(_)) => {}
                Event::Training(event) => {
                    let all = (config.train.epochs, config.train.batch);
                    show_training(&mut progress, &names, all, event);
                }
            },
        );
        progress.end();
        let Some(found) = found? else {
            return stopped();
        };
        found.write(&self.out)?;
        std::fs::remove_dir_all(&runs).map_err(|e| Error::io("remove", &runs, e))?;
        say(format!(
            "{}: {labelled} photos by models that have not seen their persons, {} without labels; {held_out} of the validation and test sides were left out",
            self.out.display(),
            dataset.samples.len() - labelled
        ));
        Ok(ExitCode::SUCCESS)
    }
}
