//! `hydranet inspect`: what a model file says about itself.

use super::export::computing;
use super::output::{say, say_json};
use crate::model_file::{Seen, SeenSides};
use crate::{LayerSpec, ModelFile, PoolKind, WeightDType};
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

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
