//! Rules for the final class: made from the training photos, tuned on a validation split, compared on photos apart from both.

mod compare;
mod offsets;
mod thresholds;

pub use compare::{DRAWS, Decided, RuleScore, compare};
pub use offsets::{class_offsets, label_offsets};
pub use thresholds::with_thresholds;

use crate::error::{Error, Result};
use crate::model::Logits;
use crate::model::combine::{Decision, DecisionRule, label_log_probs};
use crate::taxonomy::Taxonomy;

/// For each final class log P(class) − Σ log P(label of each head that applies), how much likelier it is than if its labels were
/// independent: with it the product of heads becomes P(class) · Π P(label | photo) / P(label), the naive Bayes rule for parts
/// that are independent given the class. Photos are counted with one more for every class (Laplace), labels by the classes they
/// are in.
pub fn log_prior(taxonomy: &Taxonomy, classes: &[Option<usize>]) -> Result<Vec<f64>> {
    let mut counts = vec![1f64; taxonomy.num_classes()];
    for class in classes.iter().flatten() {
        counts[*class] += 1.0;
    }
    let all: f64 = counts.iter().sum();
    let leaves = taxonomy.leaves();
    let mut of_labels: Vec<Vec<f64>> = (0..taxonomy.heads().len())
        .map(|head| vec![0.0; taxonomy.labels(head).len()])
        .collect();
    for (leaf, count) in leaves.iter().zip(&counts) {
        for (label, sums) in leaf.iter().zip(&mut of_labels) {
            if let Some(label) = label {
                sums[*label] += count;
            }
        }
    }
    let log_label = |head: usize, label: usize| {
        let sums = &of_labels[head];
        (sums[label] / sums.iter().sum::<f64>()).ln()
    };
    let of_class = |(leaf, count): (&Vec<Option<usize>>, &f64)| {
        let labels = leaf.iter().enumerate();
        let independent: f64 = labels.filter_map(|(h, l)| Some(log_label(h, (*l)?))).sum();
        (count / all).ln() - independent
    };
    Ok(leaves.iter().zip(&counts).map(of_class).collect())
}

/// What a rule is before anything is tuned: `joint_share` is that of the joint head, where there is one, `train` the final
/// classes of the training photos. Offsets are tuned on top of the joint head's share, or of the product without one.
///
/// # Errors
/// [`Error::Invalid`] if the rule needs a joint head and there is none.
pub fn untuned(
    rule: DecisionRule,
    taxonomy: &Taxonomy,
    joint_share: Option<f64>,
    train: &[Option<usize>],
) -> Result<Decision> {
    let plain = Decision {
        rule,
        ..Decision::default()
    };
    let share = match (rule, joint_share) {
        (DecisionRule::Product | DecisionRule::Prior, _) => 0.0,
        (DecisionRule::Joint, Some(_)) => 1.0,
        (_, Some(share)) => share,
        (_, None) if rule.needs_joint() => {
            return Err(Error::Invalid {
                what: format!("the decision `{}`", rule.name()),
                expected: "a model with a joint head (model.joint)".into(),
                found: "none".into(),
            });
        }
        (_, None) => 0.0,
    };
    Ok(Decision {
        joint_share: share,
        log_prior: match rule {
            DecisionRule::Prior => log_prior(taxonomy, train)?,
            _ => Vec::new(),
        },
        ..plain
    })
}

/// A decision with offsets tuned for the greatest macro F1 of the final class on photos with these logits and classes, if its
/// rule is one that is tuned; as it is otherwise, or if no photo's class is known.
///
/// # Errors
/// As [`joint_log_probs`](crate::model::combine::joint_log_probs).
pub fn tuned(
    mut decision: Decision,
    taxonomy: &Taxonomy,
    logits: &[Logits],
    classes: &[Option<usize>],
) -> Result<Decision> {
    let (mut log_probs, mut truth) = (Vec::new(), Vec::new());
    for (logits, class) in logits.iter().zip(classes) {
        if let Some(class) = class {
            log_probs.push(all_log_probs(&decision, taxonomy, logits)?);
            truth.push(*class);
        }
    }
    if !truth.is_empty() {
        decision.offsets = match decision.rule {
            DecisionRule::ClassOffsets => class_offsets(taxonomy, &log_probs, &truth),
            DecisionRule::LabelOffsets => label_offsets(taxonomy, &log_probs, &truth)?,
            _ => Vec::new(),
        };
    }
    Ok(decision)
}

/// The log-probability of every final class, from the logits of one photo.
pub(crate) fn all_log_probs(
    decision: &Decision,
    taxonomy: &Taxonomy,
    logits: &Logits,
) -> Result<Vec<f64>> {
    decision.log_probs(taxonomy, &label_log_probs(taxonomy, logits))
}
