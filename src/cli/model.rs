//! `hydranet evaluate` and `inspect`: what is done with a finished model.

use super::export::computing;
use super::output::{Progress, say, say_json};
use super::sides::DataArgs;
use super::views::ViewArgs;
use crate::data::dataset::Dataset;
use crate::data::seen::Sides;
use crate::eval::evaluate::{logits, score, score_ensemble};
use crate::eval::predictions::write_predictions;
use crate::eval::score::{AllMetrics, Coverage, CoverageTable, ScoreReport};
use crate::model_file::{Description, Seen, SeenSides};
use crate::train::finished::{cache_beside, features_of_file};
use crate::{Ensemble, LayerSpec, ModelFile, PoolKind, Prediction, WeightDType};
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

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
        let Evaluation {
            ensemble,
            dataset,
            indices,
            sides,
            predictions,
            report,
        } = Evaluation::new(&self.model, &self.views, &self.data, &self.split)?;
        let taxonomy = ensemble.taxonomy();
        let coverage = if self.coverage {
            Coverage::of_predictions(taxonomy, &dataset, &indices, &predictions)
        } else {
            Vec::new()
        };
        if let Some(out) = &self.out {
            write_predictions(out, taxonomy, &dataset, &indices, &predictions)?;
        }
        if self.json {
            say_json(&Evaluated {
                report,
                coverage,
                sides,
            })?;
            return Ok(ExitCode::SUCCESS);
        }
        if self.all {
            say(AllMetrics(&report))
        } else {
            say(&report)
        }
        if self.coverage {
            say(CoverageTable(&coverage));
        }
        Ok(ExitCode::SUCCESS)
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
        let ensemble = views.open(model)?;
        let models: Vec<_> = ensemble.members().iter().map(|m| m.description()).collect();
        let (dataset, indices, sides) = data.select(&models, split)?;
        let mut progress = Progress::new("evaluate");
        let mut tell = |done| progress.show(done, indices.len());
        let taxonomy = ensemble.taxonomy();
        let (predictions, report) = match with_kept_features(model, views, &models) {
            Some((file, cache)) => {
                let model = file.build()?;
                let data = (&dataset, &indices[..]);
                let kept = features_of_file((&file, &model), data, Some(&cache), &mut tell)?;
                let logits = logits(&model, &kept)?;
                let decision = &file.description.decision;
                score(taxonomy, decision, &dataset, &indices, &logits)?
            }
            None => score_ensemble(&ensemble, &dataset, &indices, &mut tell)?,
        };
        progress.end();
        Ok(Self {
            ensemble,
            dataset,
            indices,
            sides,
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

/// Arguments of `hydranet inspect`.
#[derive(Args)]
pub(crate) struct Inspect {
    /// The model file.
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Inspect {
    pub(crate) fn run(&self) -> crate::Result<ExitCode> {
        let file = ModelFile::read(&self.model)?;
        let d = &file.description;
        if self.json {
            say_json(d)?;
            return Ok(ExitCode::SUCCESS);
        }
        let count = |prefix: &str| -> usize {
            let of_prefix = file.tensors.iter().filter(|(n, _)| n.starts_with(prefix));
            of_prefix.map(|(_, t)| t.elem_count()).sum()
        };
        say(format!(
            "backbone  {}, {} features, {} values",
            d.model.backbone,
            d.model.backbone.num_features(),
            count("backbone.")
        ));
        say(format!("input     {}", d.model.input.words()));
        for head in &d.model.heads {
            let values = count(&format!("heads.{}.", head.name));
            say(format!(
                "head      {}: {}; {values} values, weight {}",
                head.name,
                head.labels.names.join(", "),
                head.loss.weight
            ));
            if let Some(several) = &head.labels.multi_label {
                let least = several.thresholds(head.num_labels());
                let least = least.iter().map(|t| format!("{t:.4}"));
                say(format!(
                    "          several at once, said from the probabilities {} on",
                    least.collect::<Vec<_>>().join(", ")
                ));
            }
            if let Some(number) = &head.labels.number {
                let borders = head.labels.thresholds.iter().map(f64::to_string);
                say(format!(
                    "          a number from {} to {} in {} bins, borders {}",
                    number.range[0],
                    number.range[1],
                    number.bins,
                    borders.collect::<Vec<_>>().join(", ")
                ));
            }
            for (group, inside) in &head.labels.groups {
                say(format!("          group {group}: {}", inside.join(", ")));
            }
            if let Some(words) = own_design(&head.layers) {
                say(format!("          {words}"));
            }
            for (other, labels) in &head.labels.when {
                say(format!(
                    "          only if {other} is {}",
                    labels.join(" or ")
                ));
            }
        }
        if let Some(joint) = &d.model.joint {
            let (values, share) = (count("joint."), joint.share);
            say(format!(
                "joint     a head of the final classes; {values} values, share {share}"
            ));
        }
        say(format!("decision  {}", d.decision.rule.name()));
        if d.decision.temperature != 1.0 {
            say(format!(
                "          temperature {:.4}",
                d.decision.temperature
            ));
        }
        if d.decision.min_confidence > 0.0 {
            say(format!(
                "          abstains below {:.4}",
                d.decision.min_confidence
            ));
        }
        if let Some(novelty) = &d.novelty {
            say(format!(
                "novelty   by {} directions of the features",
                novelty.directions
            ));
        }
        if d.dtype != WeightDType::F32 {
            say(format!(
                "weights   of the backbone kept in {}",
                d.dtype.name()
            ));
        }
        if d.dtype == WeightDType::Int8 {
            say(format!("computes  {}", computing(d)));
        }
        for (i, name) in d.classes.iter().enumerate() {
            say(format!("class {i:3} {name}"));
        }
        for seen in &d.seen {
            say(format!("seen      {}", of_record(seen)));
        }
        if !d.training.is_null() {
            say("training");
            say_json(&d.training)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What a head has of its own, in words.
fn own_design(layers: &LayerSpec) -> Option<String> {
    let pool = match layers.pool {
        PoolKind::Average => None,
        PoolKind::Gem => Some("pools by a generalised mean".into()),
        PoolKind::Attention => Some("pools by attention".into()),
    };
    let stages: Vec<String> = layers.from_stage.iter().map(usize::to_string).collect();
    let stages = (!stages.is_empty()).then(|| format!("reads stage {}", stages.join(" and ")));
    let after = &layers.after;
    let after = (!after.is_empty()).then(|| format!("sees {}", after.join(" and ")));
    let own =
        (layers.own_stages > 0).then(|| format!("has its own last {} stages", layers.own_stages));
    let crop = layers.crop.map(|crop| format!("sees the part {crop:?}"));
    let all = [pool, stages, after, own, crop];
    let words: Vec<String> = all.into_iter().flatten().collect();
    (!words.is_empty()).then(|| words.join(", "))
}

/// A record in words.
fn of_record(seen: &Seen) -> String {
    let words = |of: &SeenSides| {
        format!(
            "{} in training, {} in validation, {} held out",
            of.train.count, of.valid.count, of.test.count
        )
    };
    if seen.incomplete {
        "by the weights it was trained from: not recorded".into()
    } else {
        format!(
            "photos {}; persons {}",
            words(&seen.photos),
            words(&seen.persons)
        )
    }
}
