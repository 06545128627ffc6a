//! `hydranet evaluate`.

use super::output::{Progress, say, say_json};
use super::shards::{model_fingerprint, work};
use super::sides::DataArgs;
use super::terminal::note;
use super::views::ViewArgs;
use crate::data::dataset::Dataset;
use crate::data::seen::Sides;
use crate::eval::evaluate::{Judged, judge, judge_by, logits, report};
use crate::eval::predictions::{columns, write_predictions};
use crate::eval::score::{AllMetrics, Coverage, CoverageTable, ScoreReport, Sure, sure};
use crate::eval::shards::{Kept, rows};
use crate::io::lock::OutputLock;
use crate::io::typed::check_form;
use crate::model_file::Description;
use crate::shard::{self, Shard};
use crate::taxonomy::Taxonomy;
use crate::train::finished::{cache_beside, features_of_file};
use crate::{Ensemble, Error, ModelFile, Prediction};
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What its shards are merged as.
pub(super) const COMMAND: &str = "evaluate";

/// Arguments of `hydranet evaluate`.
#[derive(Args)]
pub(crate) struct Evaluate {
    /// The model file, or the manifest of an ensemble.
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    #[command(flatten)]
    views: ViewArgs,
    #[command(flatten)]
    data: DataArgs,
    /// The side to score: train, valid, test or all. Photos stand where they stood when the model, or any of an ensemble, was
    /// trained; those that no model has seen belong to the test.
    #[arg(long, default_value = "test", value_name = "NAME")]
    split: String,
    /// Also write every prediction as CSV.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    shown: Shown,
    /// Predict the I-th of N parts of the photos only, and write a file beside --out from which `merge` puts all together and
    /// scores them.
    #[arg(long, value_name = "I/N", requires = "out")]
    shard: Option<Shard>,
}

/// What is printed.
#[derive(Args, Clone, Serialize, Deserialize)]
pub(super) struct Shown {
    /// Print every metric of every head and of the final class, instead of accuracy, macro F1 and the tables of labels.
    #[arg(long, conflicts_with = "json")]
    all: bool,
    /// Print the accuracy on the photos the model is surest of too: what abstaining would buy.
    #[arg(long)]
    coverage: bool,
    /// Print JSON: everything there is.
    #[arg(long)]
    json: bool,
}

impl Evaluate {
    pub(crate) fn run(&self) -> crate::Result<ExitCode> {
        if let Some(out) = &self.out {
            check_form(out, true)?;
        }
        if let (Some(shard), Some(out)) = (self.shard, &self.out) {
            return self.shard(shard, out);
        }
        let Evaluation {
            ensemble,
            dataset,
            indices,
            sides,
            predictions,
            report,
        } = Evaluation::new(&self.model, &self.views, &self.data, &self.split)?;
        let taxonomy = ensemble.taxonomy();
        let sure = if self.shown.coverage {
            sure(taxonomy, &dataset, &indices, &predictions)
        } else {
            Vec::new()
        };
        if let Some(out) = &self.out {
            write_predictions(out, taxonomy, &dataset, &indices, &predictions)?;
        }
        self.shown.print(taxonomy, report, &sure, sides)?;
        Ok(ExitCode::SUCCESS)
    }

    /// Writes a shard of what will be `out`.
    fn shard(&self, shard: Shard, out: &Path) -> crate::Result<ExitCode> {
        let path = shard::path_of(out, shard);
        let _lock = OutputLock::take(&path)?;
        let asked = Asked::new(&self.model, &self.views, &self.data, &self.split)?;
        let (dataset, indices) = (&asked.dataset, &asked.indices);
        let names = indices.iter().map(|i| {
            let sample = &dataset.samples[*i];
            format!(
                "{} {:?} {:?}",
                sample.source,
                sample.whole_path(),
                sample.values
            )
        });
        let taxonomy = asked.ensemble.taxonomy();
        let numbers = asked.ensemble.numbers();
        let options = json!({
            "columns": columns(taxonomy, dataset, &|head| numbers[head]),
            "split": self.split,
            "sides": asked.sides,
            "shown": self.shown,
            "spec": asked.ensemble.members()[0].description().model,
        });
        let model = model_fingerprint(&self.model, self.views.views())?;
        let work = work(COMMAND, model, names, options);
        let mine = &indices[shard.range(indices.len())];
        let judged = asked.judge(&self.model, &self.views, mine)?;
        shard::write(&path, shard, &work, |put| {
            let rows = rows(taxonomy, dataset, mine, judged)?;
            rows.iter().try_for_each(put)?;
            Ok(0)
        })?;
        note(format!(
            "shard {shard} of {}: {}",
            out.display(),
            path.display()
        ));
        Ok(ExitCode::SUCCESS)
    }
}

impl Shown {
    /// Prints what was asked for.
    fn print(
        &self,
        taxonomy: &Taxonomy,
        report: ScoreReport,
        sure: &[Sure],
        sides: Sides,
    ) -> crate::Result<()> {
        let coverage = if self.coverage {
            Coverage::of_photos(taxonomy, sure)
        } else {
            Vec::new()
        };
        if self.json {
            return say_json(&Evaluated {
                report,
                coverage,
                sides,
            });
        }
        if self.all {
            say(AllMetrics(&report))
        } else {
            say(&report)
        }
        if self.coverage {
            say(CoverageTable(&coverage));
        }
        Ok(())
    }
}

/// Prints the scores of shards that were put together.
pub(super) fn print_merged(options: &serde_json::Value, kept: &Kept) -> crate::Result<()> {
    #[derive(Deserialize)]
    struct Options {
        sides: Sides,
        shown: Shown,
        spec: crate::ModelSpec,
    }
    let options = Options::deserialize(options).map_err(|e| Error::Config {
        origin: "the options of the shards".into(),
        message: "not those of evaluate".into(),
        source: Some(e.into()),
    })?;
    let taxonomy = options.spec.taxonomy()?;
    let report = report(&taxonomy, &options.spec.heads, &kept.scored)?;
    options
        .shown
        .print(&taxonomy, report, &kept.sure, options.sides)
}

/// Which photos a model is asked about.
struct Asked {
    ensemble: Ensemble,
    dataset: Dataset,
    /// The photos that are scored.
    indices: Vec<usize>,
    sides: Sides,
}

impl Asked {
    /// Those on one side, or `all`.
    fn new(model: &Path, views: &ViewArgs, data: &DataArgs, split: &str) -> crate::Result<Self> {
        let ensemble = views.open(model)?;
        let models: Vec<_> = ensemble.members().iter().map(|m| m.description()).collect();
        let (dataset, indices, sides) = data.select(&models, split)?;
        Ok(Self {
            ensemble,
            dataset,
            indices,
            sides,
        })
    }

    /// What is said of some of them.
    fn judge(&self, model: &Path, views: &ViewArgs, indices: &[usize]) -> crate::Result<Judged> {
        let members = self.ensemble.members().iter();
        let models: Vec<_> = members.map(|m| m.description()).collect();
        let mut progress = Progress::new("evaluate");
        let mut tell = |done| progress.show(done, indices.len());
        let kept = with_kept_features(model, views, &models).filter(|_| !indices.is_empty());
        let judged = match kept {
            Some((file, cache)) => {
                let model = file.build()?;
                let data = (&self.dataset, indices);
                let kept = features_of_file((&file, &model), data, Some(&cache), &mut tell)?;
                let logits = logits(&model, &kept)?;
                let decision = &file.description.decision;
                let taxonomy = self.ensemble.taxonomy();
                judge(taxonomy, decision, &self.dataset, indices, &logits)?
            }
            None => judge_by(&self.ensemble, &self.dataset, indices, &mut tell)?,
        };
        progress.end();
        Ok(judged)
    }
}

/// What a model, or several together, say of labelled photos.
pub(super) struct Evaluation {
    pub(super) ensemble: Ensemble,
    pub(super) dataset: Dataset,
    /// The photos that are scored.
    pub(super) indices: Vec<usize>,
    sides: Sides,
    pub(super) predictions: Vec<Prediction>,
    pub(super) report: ScoreReport,
}

impl Evaluation {
    /// Of the photos on one side, or `all`.
    pub(super) fn new(
        model: &Path,
        views: &ViewArgs,
        data: &DataArgs,
        split: &str,
    ) -> crate::Result<Self> {
        let asked = Asked::new(model, views, data, split)?;
        let (predictions, scored) = asked.judge(model, views, &asked.indices)?;
        let report = report(asked.ensemble.taxonomy(), &asked.dataset.heads, &scored)?;
        Ok(Self {
            ensemble: asked.ensemble,
            dataset: asked.dataset,
            indices: asked.indices,
            sides: asked.sides,
            predictions,
            report,
        })
    }
}

/// The model's file and the folder of kept features, if it is one model that looks at whole photos, in a run that kept some.
fn with_kept_features(
    model: &Path,
    views: &ViewArgs,
    models: &[&Description],
) -> Option<(ModelFile, PathBuf)> {
    if models.len() > 1 || views.views().is_some() {
        return None;
    }
    let cache = cache_beside(model)?;
    // The manifest of an ensemble of one may ask for views, and is no model's file.
    Some((ModelFile::read(model).ok()?, cache))
}

#[derive(serde::Serialize)]
struct Evaluated {
    #[serde(flatten)]
    report: ScoreReport,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    coverage: Vec<Coverage>,
    sides: Sides,
}
