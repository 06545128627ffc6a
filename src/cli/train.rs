//! `hydranet train`.

use super::ConfigArgs;
use super::output::{Progress, say, show_training, stop_on_ctrl_c};
use clap::Args;
use hydranet::train::config::{Config, load_weights};
use hydranet::train::dataset::Dataset;
use hydranet::train::split;
use hydranet::train::split_report::SplitReport;
use hydranet::train::trainer::{Outcome, train};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Arguments of `hydranet train`.
#[derive(Args)]
#[command(
    after_help = "model.weights is a file (safetensors, .pth, .bin), the name of one in the folder weights, or hf://organisation/name, with @revision or /file behind it, on the Hugging Face Hub: --set model.weights=hf://timm/resnet18.a1_in1k"
)]
pub(crate) struct Train {
    /// A CSV listing or a person folder; may be given several times.
    #[arg(long, required = true, value_name = "PATH")]
    data: Vec<PathBuf>,
    #[command(flatten)]
    config: ConfigArgs,
    /// The run folder.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Go on with the run in --out, with its own configuration.
    #[arg(long, conflicts_with_all = ["config", "settings"])]
    resume: bool,
}

impl Train {
    pub(crate) fn run(&self) -> hydranet::Result<ExitCode> {
        let config = match self.resume {
            true => Config::read(&self.out.join("config.toml"))?,
            false => self.config.load()?,
        };
        let outcome = run(
            &config,
            &self.config.heads,
            &self.data,
            &self.out,
            self.resume,
        )?;
        if outcome.stopped {
            say(format!(
                "stopped; everything is saved in {}; go on with --resume",
                self.out.display()
            ));
            return Ok(ExitCode::from(130));
        }
        if let Some(scores) = &outcome.scores {
            say(scores);
        }
        if let Some((f1, epoch)) = outcome.progress.best {
            say(format!(
                "best epoch {epoch}, macro F1 {f1:.4} on the validation split"
            ));
        }
        say(format!(
            "the model is {}",
            self.out.join("best.safetensors").display()
        ));
        Ok(ExitCode::SUCCESS)
    }
}

/// Reads the data, splits it, and trains.
pub(crate) fn run(
    config: &Config,
    heads: &Path,
    data: &[PathBuf],
    out: &Path,
    resume: bool,
) -> hydranet::Result<Outcome> {
    let spec = config.model_spec()?;
    let mut dataset = Dataset::open(data, &spec.heads)?;
    split::assign(&mut dataset, &config.train.split, config.train.seed)?;
    eprintln!("{}", SplitReport::new(&dataset)?);
    let weights = load_weights(config, heads)?;
    let names: Vec<String> = spec.heads.iter().map(|h| h.name.clone()).collect();
    let mut progress = Progress::new("train");
    let batch = config.train.batch;
    let outcome = train(
        config,
        weights,
        &dataset,
        out,
        resume,
        stop_on_ctrl_c(),
        &mut |event| {
            show_training(&mut progress, &names, batch, event);
        },
    );
    progress.end();
    outcome
}
