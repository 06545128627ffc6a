//! `hydranet decide`.

use super::output::{Progress, say, say_json};
use super::sides::DataArgs;
use crate::data::dataset::Split;
use crate::data::seen::record_valid;
use crate::data::targets::classes;
use crate::eval::decide::{DRAWS, Decided, RuleScore, compare, tuned, untuned, with_thresholds};
use crate::eval::evaluate::{logits, score};
use crate::io::lock::OutputLock;
use crate::model::Logits;
use crate::train::finished::{cache_beside, features_of_file};
use crate::{Decision, DecisionRule, Error, HeadSpec, ModelFile};
use clap::{ArgGroup, Args};
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `hydranet decide`.
#[derive(Args)]
#[command(
    group = ArgGroup::new("change").args(["rule", "thresholds"]).multiple(true),
    after_help = "The prior is that of the training photos, offsets are tuned on the validation photos, and all rules are scored on the test photos, on the sides where they stood when the model was trained: give the data it was trained on."
)]
pub(crate) struct Decide {
    /// The model file.
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    #[command(flatten)]
    data: DataArgs,
    /// The rule to write into --out: product, prior, joint, fused, class_offsets,
    /// label_offsets or, of heads with groups of labels, least_distance.
    #[arg(long, requires = "out", value_name = "NAME")]
    rule: Option<String>,
    /// Tune the probability from which on each label is said, of heads of several labels at once, for the greatest F1 of the
    /// label on the validation photos, and write them into --out.
    #[arg(long, requires = "out")]
    thresholds: bool,
    /// The model file to write; --model is not changed.
    #[arg(long, requires = "change", value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Decide {
    pub(crate) fn run(&self) -> crate::Result<ExitCode> {
        let wanted: Option<DecisionRule> = self.rule.as_deref().map(str::parse).transpose()?;
        let _lock = self.out.as_deref().map(OutputLock::take).transpose()?;
        let mut file = ModelFile::read(&self.model)?;
        let spec = file.description.model.clone();
        let (dataset, _) = self.data.open(&[&file.description])?;
        let taxonomy = spec.taxonomy()?;
        let [train, valid, test] = Split::ALL.map(|side| dataset.indices(side));
        let train = classes(&taxonomy, &dataset, &train);
        let share = spec.joint.as_ref().map(|j| j.share);
        let model = file.build()?;
        let cache = cache_beside(&self.model);
        let mut progress = Progress::new("decide");
        let of = valid.len() + test.len();
        let mut run = |indices: &[usize], before: usize| -> crate::Result<Vec<Logits>> {
            if indices.is_empty() {
                return Ok(Vec::new());
            }
            let mut tell = |done| progress.show(before + done, of);
            let of_file = (&file, &model);
            let data = (&dataset, indices);
            let kept = features_of_file(of_file, data, cache.as_deref(), &mut tell)?;
            logits(&model, &kept)
        };
        let of_valid = run(&valid, 0)?;
        let of_test = match self.out {
            Some(_) => Vec::new(),
            None => run(&test, valid.len())?,
        };
        progress.end();
        let truth = classes(&taxonomy, &dataset, &valid);
        let make = |rule: DecisionRule| -> crate::Result<Decision> {
            if rule.is_tuned() && truth.iter().all(Option::is_none) {
                return Err(Error::EmptySplit {
                    split: "valid".into(),
                    origin: self.data.list(),
                    reason: format!(
                        "the final class of no photo on it is known, which `{}` is tuned on",
                        rule.name()
                    ),
                });
            }
            let untuned = untuned(rule, &taxonomy, share, &train)?;
            tuned(untuned, &taxonomy, &of_valid, &truth)
        };
        if let Some(out) = &self.out {
            if let Some(rule) = wanted {
                file.description.decision = make(rule)?;
            }
            if self.thresholds {
                let (spec, valid) = (&file.description.model, &valid);
                file.description.model = with_thresholds(spec, &dataset, valid, &of_valid)?;
            }
            if self.thresholds || wanted.is_some_and(DecisionRule::is_tuned) {
                record_valid(&mut file.description, &dataset, &valid)?;
            }
            file.write(out)?;
            say(format!(
                "{}: decides by {}",
                out.display(),
                file.description.decision.rule.name()
            ));
            if self.thresholds {
                file.description.model.heads.iter().for_each(say_thresholds);
            }
            return Ok(ExitCode::SUCCESS);
        }
        let mut decided = Vec::new();
        // Without groups it is the class with the fewest wrong heads to be expected, which nobody asked for.
        let grouped = spec.heads.iter().any(|h| !h.labels.groups.is_empty());
        for rule in DecisionRule::ALL {
            let no_valid = truth.iter().all(Option::is_none);
            let far = rule != DecisionRule::LeastDistance || grouped;
            if !far || (rule.needs_joint() && share.is_none()) || (rule.is_tuned() && no_valid) {
                continue;
            }
            let decision = make(rule)?;
            let valid_macro_f1 = if no_valid {
                None
            } else {
                let (_, report) = score(&taxonomy, &decision, &dataset, &valid, &of_valid)?;
                Some(report.class.macro_f1)
            };
            decided.push(Decided {
                decision,
                valid_macro_f1,
            });
        }
        let scores = compare(&taxonomy, &decided, &dataset, &test, &of_test, 0)?;
        if self.json {
            say_json(&scores)?
        } else {
            table(&scores)
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// From which probability on a head of several labels at once says each.
fn say_thresholds(head: &HeadSpec) {
    if let Some(several) = &head.labels.multi_label {
        let least = several.thresholds(head.num_labels());
        let pairs = head.labels.names.iter().zip(least);
        let pairs: Vec<String> = pairs.map(|(l, t)| format!("{l} {t:.4}")).collect();
        say(format!("{}: said from {} on", head.name, pairs.join(", ")));
    }
}

fn table(scores: &[RuleScore]) {
    say(format!(
        "{:<15}{:>12}{:>12}{:>11}   difference, 95 % interval",
        "decision", "valid F1", "test F1", "accuracy"
    ));
    for (place, s) in scores.iter().enumerate() {
        let valid = s.valid_macro_f1.map(|f| format!("{f:.4}"));
        let [low, high] = s.interval;
        let difference = match (place, s.distinguishable) {
            (0, _) => String::new(),
            (_, true) => format!("{:+.4} ({low:+.4} to {high:+.4})", s.difference),
            (_, false) => format!(
                "{:+.4} ({low:+.4} to {high:+.4}), not distinguishable",
                s.difference
            ),
        };
        say(format!(
            "{:<15}{:>12}{:>12.4}{:>11.4}   {difference}",
            s.rule,
            valid.unwrap_or("-".into()),
            s.macro_f1,
            s.accuracy
        ));
    }
    say(format!(
        "macro F1 of the final class; intervals over {DRAWS} bootstrap draws of persons; a tuned rule flatters itself on valid"
    ));
}
