//! `hydranet train`.

mod plain;
mod plan;
mod run;
mod search;

pub(super) use run::prepare;
pub(crate) use run::{How, run};

use super::ConfigArgs;
use super::columns::ColumnArgs;
use super::output::say;
use super::recipe::RecipeArgs;
use super::report::REPORT;
use super::run_data::RunData;
use super::sides::SplitFiles;
use super::terminal::{be_quiet, note};
use crate::data::dataset::{Dataset, Split};
use crate::data::sampling::Sampler;
use crate::train::config::Config;
use crate::train::ranks::Group;
use crate::train::run_folder::RunFolder;
use crate::train::trainer::Outcome;
use crate::weights::source::BEST;
use crate::{Error, Result};
use clap::Args;
use plain::PlainSettings;
use plan::show_plan;
use run::shared;
use search::search;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Arguments of `hydranet train`.
#[derive(Args)]
#[command(
    after_help = "model.weights is a file (safetensors, .pth, .bin), the name of one in the folder weights, or hf://organisation/name, with @revision or /file behind it, on the Hugging Face Hub: --set model.weights=hf://timm/resnet18.a1_in1k"
)]
pub(crate) struct Train {
    /// A listing in CSV or Parquet, a shard in tar, or a folder of photos; may be given several times. With --resume those that the run began with unless given.
    #[arg(long, required_unless_present = "resume", value_name = "PATH")]
    data: Vec<PathBuf>,
    /// A folder of photos whose labels nobody knows, to learn from what train.teacher says of them; may be given several times.
    #[arg(long, value_name = "DIR", requires = "data")]
    unlabelled: Vec<PathBuf>,
    #[command(flatten)]
    columns: ColumnArgs,
    #[command(flatten)]
    split_files: SplitFiles,
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    recipe: RecipeArgs,
    #[command(flatten)]
    plain: PlainSettings,
    /// The run folder.
    #[arg(long, value_name = "DIR", required_unless_present = "dry_run")]
    out: Option<PathBuf>,
    /// Go on with the run in --out, with its own configuration.
    #[arg(long, conflicts_with_all = ["config", "settings", "columns", "recipe", "epochs", "size", "frozen"])]
    resume: bool,
    /// Print what would be trained, with counts and learning rates, and write nothing.
    #[arg(long, conflicts_with = "resume")]
    dry_run: bool,
    /// Search for learning rates instead of training: at most a hundred steps at growing rates, written to lr.csv, lr.svg and lr.html
    /// in --out.
    #[arg(long, conflicts_with_all = ["resume", "dry_run"])]
    find_lr: bool,
    /// Write report.html after every epoch too; a browser that shows it loads it again by itself.
    #[arg(long, conflicts_with_all = ["dry_run", "find_lr"])]
    live: bool,
    /// Name photos that cannot be read, and train without them; with --resume a run goes on without photos that broke since.
    #[arg(long, conflicts_with = "dry_run")]
    skip_broken: bool,
}

impl Train {
    /// The configuration of a new run, for so many photos in an epoch; `--set` wins over the plain options, and these over the
    /// recipe.
    fn load(&self, photos: usize) -> Result<Config> {
        let from = &self.config;
        let settings = self.plain.settings().chain(from.settings.iter().cloned());
        let settings: Vec<String> = settings.collect();
        let mut config = self.recipe.load(from, &settings, photos)?;
        self.columns.apply(&mut config)?;
        Ok(config)
    }

    /// The same, and its data on their sides.
    fn load_with_data(&self) -> Result<(Config, Dataset)> {
        // Checked before photos are counted, by the most epochs that there may be.
        let config = self.load(0)?;
        let dataset = prepare(&config, &self.config.heads, &self.data())?;
        let train = dataset.indices(Split::Train);
        let sampling = &config.train.sampling;
        let sampler = Sampler::new(sampling, &config.model_spec()?, &dataset, &train);
        // What it cannot draw from is told where training begins.
        let photos = sampler.map_or(train.len(), |s| s.photos());
        Ok((self.load(photos)?, dataset))
    }

    /// What it is trained on, as given.
    fn data(&self) -> RunData {
        RunData {
            data: self.data.clone(),
            split_files: self.split_files.files().to_vec(),
            unlabelled: self.unlabelled.clone(),
        }
    }

    /// The configuration of a run that begins, with its data, or of one that goes on.
    fn begun(&self, out: &Path) -> Result<(Config, Option<Dataset>)> {
        if !self.resume {
            let (config, dataset) = self.load_with_data()?;
            return Ok((config, Some(dataset)));
        }
        if !RunFolder::holds_run(out) {
            return Err(Error::Invalid {
                what: format!("--resume with --out {}", out.display()),
                expected: "a folder that holds a run; leave --resume out to begin one".into(),
                found: "none".into(),
            });
        }
        Ok((Config::read(&out.join("config.toml"))?, None))
    }

    /// Trains, together with the other processes of the group if there are any.
    pub(crate) fn run(&self, group: &Group) -> Result<ExitCode> {
        if !group.is_first() {
            be_quiet();
        }
        self.run_in(group).map_err(|e| group.tell(e))
    }

    fn run_in(&self, group: &Group) -> Result<ExitCode> {
        let Some(out) = self.out.as_deref().filter(|_| !self.dry_run) else {
            let (config, dataset) = self.load_with_data()?;
            show_plan(&config, &self.config.heads, &dataset)?;
            group.any(Ok(false))?;
            return Ok(ExitCode::SUCCESS);
        };
        let (_, size) = group.place();
        if self.find_lr {
            if size > 1 {
                return Err(Error::Invalid {
                    what: "--find-lr".into(),
                    expected: "one process; leave mpirun out".into(),
                    found: format!("{size} of them"),
                });
            }
            let (config, dataset) = self.load_with_data()?;
            return search(&config, &self.config.heads, dataset, out, self.skip_broken);
        }
        let (config, dataset) = match self.begun(out) {
            Ok((config, dataset)) => (Ok(config), dataset),
            Err(error) => (Err(error), None),
        };
        let (mut config, data) = match size {
            1 => (config?, self.data().or_of(out)?),
            // The folder need not be in the others' reach.
            _ => shared(group, || Ok((config?, self.data().or_of(out)?)))?,
        };
        if size > 1 && config.train.parts == 1 && !self.resume {
            config.train.parts = size;
            note(format!("train.parts is {size}, one part a process"));
        }
        let outcome = run(
            &config,
            &self.config.heads,
            (dataset, &data),
            out,
            How {
                resume: self.resume,
                skip_broken: self.skip_broken,
                live: self.live,
            },
            group,
        )?;
        if !group.is_first() {
            return Ok(ended(&outcome));
        }
        say_outcome(&outcome, out);
        Ok(ended(&outcome))
    }
}

/// The code of the process.
fn ended(outcome: &Outcome) -> ExitCode {
    if outcome.stopped {
        ExitCode::from(130)
    } else {
        ExitCode::SUCCESS
    }
}

/// Says what came of a run, and where it is.
fn say_outcome(outcome: &Outcome, out: &Path) {
    if outcome.stopped && !RunFolder::holds_run(out) {
        return say("stopped before training began");
    }
    if outcome.stopped {
        return say(format!(
            "stopped; everything is saved in {}; go on with --resume",
            out.display()
        ));
    }
    if let Some(scores) = &outcome.scores {
        say(scores);
    }
    let chosen = outcome.progress.best.map(|(f1, epoch)| {
        let highest = outcome.progress.highest().filter(|(_, of)| *of != epoch);
        let highest = highest.map_or(String::new(), |(f1, of)| {
            format!("; epoch {of} has {f1:.4}, which is within chance")
        });
        format!(
            "the model is that of epoch {epoch}, macro F1 {f1:.4} on the validation split{highest}"
        )
    });
    say(chosen.unwrap_or_else(|| {
        "nothing was measured without a labelled validation split: the last epoch is the model"
            .into()
    }));
    say(format!("the model is {}", out.join(BEST).display()));
    say(format!("to look at  {}", out.join(REPORT).display()));
}
