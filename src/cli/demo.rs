//! `hydranet demo`: the whole job on synthetic portraits.

use super::ConfigArgs;
use super::output::say;
use super::portraits::{PortraitConfig, write_portraits};
use super::recipe::RecipeArgs;
use super::report::REPORT;
use super::run_data::RunData;
use super::train::How;
use crate::Predictor;
use crate::data::dataset::{Dataset, Split};
use crate::data::loader::{LoaderConfig, QUEUE_MIB};
use crate::eval::evaluate::{features, logits, score};
use crate::train::ranks::Group;
use crate::weights::source::BEST;
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// Arguments of `hydranet demo`.
#[derive(Args)]
pub(crate) struct Demo {
    /// Folder for portraits, model and figures.
    #[arg(long, default_value = "hydranet-demo", value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    config: ConfigArgs,
}

/// The recipe of the demo.
const RECIPE: &str = "quick";

/// Its settings beside the recipe; `--set` wins over them.
const SETTINGS: [&str; 2] = ["train.mix_up=0.0", "model.input.size=[112,88]"];

/// The heads that the demo's portraits are labelled for, as in the folder `heads`.
const HEADS: [(&str, &str); 4] = [
    ("model.toml", include_str!("../../heads/model.toml")),
    ("mask.toml", include_str!("../../heads/mask.toml")),
    ("gender.toml", include_str!("../../heads/gender.toml")),
    ("age.toml", include_str!("../../heads/age.toml")),
];

impl Demo {
    /// The folder of heads: the one given, or where there is none one of the demo's own.
    fn heads(&self) -> crate::Result<PathBuf> {
        let given = &self.config.heads;
        if given.exists() || given != Path::new(super::HEADS) {
            return Ok(given.clone());
        }
        let own = self.out.join(super::HEADS);
        std::fs::create_dir_all(&own).map_err(|e| crate::Error::io("create", &own, e))?;
        for (name, text) in HEADS {
            crate::io::write_atomically(&own.join(name), text.as_bytes())?;
        }
        Ok(own)
    }

    pub(crate) fn run(&self) -> crate::Result<ExitCode> {
        let start = Instant::now();
        let settings: Vec<String> = SETTINGS
            .iter()
            .map(ToString::to_string)
            .chain(self.config.settings.iter().cloned())
            .collect();
        let _lock = crate::io::lock::FolderLock::take(&self.out)?;
        let heads = self.heads()?;
        // What is wrong with the settings is said before anything is drawn.
        let from = (heads.as_path(), self.config.config.as_deref());
        // So few portraits get the most epochs of the recipe.
        let config = RecipeArgs::default().load_or(RECIPE, from, &settings, 0)?;
        let data = write_portraits(&self.out, &PortraitConfig::default())?;
        say(format!("drew portraits: {}", data.display()));
        let run = self.out.join("run");
        // The demo is there to be repeated.
        match std::fs::remove_dir_all(&run) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(crate::Error::io("remove", &run, e));
            }
            _ => {}
        }
        let of_run = RunData {
            data: vec![data.clone()],
            ..RunData::default()
        };
        let outcome = super::train::run(
            &config,
            &heads,
            (None, &of_run),
            &run,
            How::default(),
            &Group::alone(),
        )?;
        if outcome.stopped {
            return Ok(ExitCode::from(130));
        }
        let model = run.join(BEST);
        let predictor = Predictor::from_file(&model)?;
        let spec = &predictor.description().model;
        let dataset = Dataset::open(&[data], &spec.heads)?;
        let test = dataset.indices(Split::Test);
        let kept = features(
            predictor.model(),
            &spec.input,
            &dataset,
            &test,
            LoaderConfig::new(QUEUE_MIB),
            &mut |_| (),
        )?;
        let (predictions, report) = score(
            predictor.taxonomy(),
            &predictor.description().decision,
            &dataset,
            &test,
            &logits(predictor.model(), &kept)?,
        )?;
        say("scores on people the model has never seen:");
        say(&report);
        say("some of them:");
        for (i, p) in test
            .iter()
            .zip(&predictions)
            .step_by(test.len().div_ceil(6).max(1))
        {
            say(format!(
                "  {}  class {} ({}), probability {:.2}",
                dataset.samples[*i].path().display(),
                p.class,
                p.name,
                p.prob
            ));
        }
        say(format!(
            "macro F1 {:.3}, accuracy {:.3} over {} classes; {:.0} s in all",
            report.class.macro_f1,
            report.class.accuracy,
            predictor.taxonomy().num_classes(),
            start.elapsed().as_secs_f64()
        ));
        say(format!("model    {}", model.display()));
        say(format!("to look at  {}", run.join(REPORT).display()));
        say(format!("figures  {}", run.join("metrics.csv").display()));
        say(format!("portraits {}", self.out.join("images").display()));
        Ok(ExitCode::SUCCESS)
    }
}
