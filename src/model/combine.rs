//! From the heads' logits to the final class: the joint probability, and the decision by it.

use super::distance::least_distance;
use super::outputs::{Logits, Outputs};
use crate::error::{Error, Result};
use crate::head::log_sigmoid;
use crate::names::named;
use crate::taxonomy::Taxonomy;
use serde::{Deserialize, Serialize};

/// How the final class is decided: the class of the greatest
///
/// (1 − s) · Σ log p(label of each head that applies) + s · log p(class by the joint head) + prior + offset;
///
/// ties go to the lower class. With everything at its default that is the product of the heads, taken as independent given the
/// photo.
///
/// In a file the plain product is its name alone, everything else a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The rule it was made by.
    pub rule: DecisionRule,
    /// s, the share of the joint head, from 0 to 1; counts only where there is a joint head.
    pub joint_share: f64,
    /// For each final class, log P(class) − Σ log P(label): how much likelier it is than if its labels were independent. Changes
    /// the probabilities. Empty: nothing.
    pub log_prior: Vec<f64>,
    /// For each final class what is added when the greatest is looked for, found on a validation split. Leaves the probabilities
    /// as they are. Empty: nothing.
    pub offsets: Vec<f64>,
    /// What the final classes' log-probabilities, the prior included, are divided by before they are made to sum to 1
    /// (temperature scaling, Guo et al. 2017); found on a validation split. 1: nothing.
    pub temperature: f64,
    /// Below this probability of the final class a prediction abstains, from 0 to 1.
    pub min_confidence: f64,
}

impl Default for Decision {
    fn default() -> Self {
        Self {
            rule: DecisionRule::Product,
            joint_share: 0.0,
            log_prior: Vec::new(),
            offsets: Vec::new(),
            temperature: 1.0,
            min_confidence: 0.0,
        }
    }
}

/// The rules a decision can be made by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DecisionRule {
    /// The product of the heads' probabilities.
    #[default]
    Product,
    /// The product, times how much likelier the class is among the training photos than if its labels were independent.
    Prior,
    /// The joint head alone.
    Joint,
    /// The product and the joint head, their log-probabilities averaged.
    Fused,
    /// An offset for each final class, found on the validation split for the greatest macro F1 of the final class.
    ClassOffsets,
    /// An offset for each label of each head, found in the same way.
    LabelOffsets,
    /// Not the likeliest class but the one that is expected to be least far from the right one, head by head in the tree of its
    /// groups of labels (Karthik et al. 2021); the probabilities stay those of the product, or with a joint head of both.
    LeastDistance,
}

named!(DecisionRule, "decision", {
    Product => "product",
    Prior => "prior",
    Joint => "joint",
    Fused => "fused",
    ClassOffsets => "class_offsets",
    LabelOffsets => "label_offsets",
    LeastDistance => "least_distance",
});

impl DecisionRule {
    /// Whether it needs a joint head.
    pub(crate) fn needs_joint(self) -> bool {
        matches!(self, Self::Joint | Self::Fused)
    }

    /// Whether it is found on a validation split.
    pub(crate) fn is_tuned(self) -> bool {
        matches!(self, Self::ClassOffsets | Self::LabelOffsets)
    }
}

/// A decision in a file, but for the plain product.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Decision", deny_unknown_fields)]
struct Table {
    rule: DecisionRule,
    #[serde(default, skip_serializing_if = "is_zero")]
    joint_share: f64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    log_prior: Vec<f64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    offsets: Vec<f64>,
    #[serde(default = "one", skip_serializing_if = "is_one")]
    temperature: f64,
    #[serde(default, skip_serializing_if = "is_zero")]
    min_confidence: f64,
}

fn is_zero(v: &f64) -> bool {
    *v == 0.0
}

fn one() -> f64 {
    1.0
}

fn is_one(v: &f64) -> bool {
    *v == 1.0
}

impl Serialize for Decision {
    fn serialize<S: serde::Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        if *self == Self::default() {
            self.rule.serialize(to)
        } else {
            Table::serialize(self, to)
        }
    }
}

impl<'de> Deserialize<'de> for Decision {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        from.deserialize_any(NameOrTable)
    }
}

struct NameOrTable;

impl<'de> serde::de::Visitor<'de> for NameOrTable {
    type Value = Decision;

    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("the decision \"product\" or a table with `rule`")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> std::result::Result<Decision, E> {
        match name.parse().map_err(E::custom)? {
            DecisionRule::Product => Ok(Decision::default()),
            _ => Err(E::custom(format!(
                "the decision `{name}` needs a table, only `product` can be a name alone"
            ))),
        }
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(
        self,
        map: A,
    ) -> std::result::Result<Decision, A::Error> {
        Table::deserialize(serde::de::value::MapAccessDeserializer::new(map))
    }
}

impl Decision {
    /// Checks it against the classes there are.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the part that does not fit.
    pub(crate) fn validate(&self, taxonomy: &Taxonomy, has_joint: bool) -> Result<()> {
        let fail = |what: &str, expected: String, found: String| {
            Err(Error::Invalid {
                what: format!("the decision, {what}"),
                expected,
                found,
            })
        };
        for (what, share) in [
            ("joint_share", self.joint_share),
            ("min_confidence", self.min_confidence),
        ] {
            if !(0.0..=1.0).contains(&share) {
                let expected = "a number from 0 to 1".into();
                return fail(what, expected, share.to_string());
            }
        }
        if !(1e-3..=1e3).contains(&self.temperature) {
            let expected = "a number from 0.001 to 1000".into();
            return fail("temperature", expected, self.temperature.to_string());
        }
        if self.joint_share > 0.0 && !has_joint {
            let expected = "0 without a joint head".into();
            return fail("joint_share", expected, self.joint_share.to_string());
        }
        let classes = taxonomy.num_classes();
        for (what, values) in [("log_prior", &self.log_prior), ("offsets", &self.offsets)] {
            if !values.is_empty() && values.len() != classes {
                let expected = format!("{classes} numbers, one a final class");
                return fail(what, expected, values.len().to_string());
            }
            if let Some(wrong) = values.iter().find(|v| !v.is_finite()) {
                return fail(what, "finite numbers".into(), wrong.to_string());
            }
        }
        Ok(())
    }

    /// The log-probability of every final class, from the log-probabilities of each head's labels and, by the joint head, of the
    /// classes.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there is not one list a head with one value a label.
    pub(crate) fn log_probs(
        &self,
        taxonomy: &Taxonomy,
        log_probs: &Outputs<Vec<f64>>,
    ) -> Result<Vec<f64>> {
        let mut all = joint_log_probs(taxonomy, &log_probs.heads)?;
        let joint = log_probs.joint.as_ref();
        let share = joint.map_or(0.0, |_| self.joint_share);
        if let Some(joint) = joint.filter(|_| share > 0.0) {
            for (a, j) in all.iter_mut().zip(joint) {
                // Not 0 · −∞, which is no number.
                let product = if share < 1.0 { (1.0 - share) * *a } else { 0.0 };
                *a = product + share * j;
            }
        }
        for (a, p) in all.iter_mut().zip(&self.log_prior) {
            *a += p;
        }
        if self.temperature != 1.0 {
            all.iter_mut().for_each(|a| *a /= self.temperature);
        }
        if share > 0.0 || !self.log_prior.is_empty() || self.temperature != 1.0 {
            normalise(&mut all);
        }
        Ok(all)
    }

    /// The final class, from the log-probabilities of all.
    pub(crate) fn decide(&self, taxonomy: &Taxonomy, log_probs: &[f64]) -> usize {
        if self.rule == DecisionRule::LeastDistance {
            return least_distance(taxonomy, log_probs);
        }
        if self.offsets.is_empty() {
            return argmax(log_probs);
        }
        let moved = log_probs.iter().zip(&self.offsets).map(|(p, o)| p + o);
        argmax(&moved.collect::<Vec<_>>())
    }
}

/// log p of each label, from the logits of one photo and one head: logit − log Σ exp, shifted by the maximum.
pub fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let mut all: Vec<f64> = logits.iter().map(|l| f64::from(*l)).collect();
    normalise(&mut all);
    all
}

/// log p of each label and class, from the logits of one photo: by [`log_softmax`], of a head of several labels at once log σ of
/// each.
pub(crate) fn label_log_probs(taxonomy: &Taxonomy, logits: &Logits) -> Outputs<Vec<f64>> {
    let mut all = logits.map(|l| log_softmax(l));
    for (head, (log_probs, logits)) in all.heads.iter_mut().zip(&logits.heads).enumerate() {
        if taxonomy.is_multi_label(head) {
            let each = logits.iter().map(|z| log_sigmoid(f64::from(*z)));
            *log_probs = each.collect();
        }
    }
    all
}

/// x − log Σ exp x, shifted by the maximum; as it is where all are −∞.
pub(crate) fn normalise(values: &mut [f64]) {
    let max = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if max == f64::NEG_INFINITY {
        return;
    }
    let sum: f64 = values.iter().map(|v| (v - max).exp()).sum();
    let log = sum.ln();
    values.iter_mut().for_each(|v| *v = *v - max - log);
}

/// The joint log-probability of every final class, from one log-probability a label of each head: Σ over the heads that apply to
/// the class. Where combinations are impossible, what they would have had is shared among the others in proportion.
///
/// # Errors
/// [`Error::Invalid`] if there is not one list a head with one value a label.
pub fn joint_log_probs(taxonomy: &Taxonomy, heads: &[Vec<f64>]) -> Result<Vec<f64>> {
    let fits = heads.len() == taxonomy.heads().len()
        && heads
            .iter()
            .enumerate()
            .all(|(i, h)| h.len() == taxonomy.labels(i).len());
    if !fits {
        return Err(Error::Invalid {
            what: "log-probabilities".into(),
            expected: "one list a head, one value a label".into(),
            found: format!("{:?}", heads.iter().map(Vec::len).collect::<Vec<_>>()),
        });
    }
    let Some(leaves) = taxonomy.tree_leaves() else {
        // Mixed radix: each head refines every class made of the heads before it.
        return Ok(heads.iter().fold(vec![0.0], |joint, head| {
            let with = |j: &f64| head.iter().map(|h| *j + h).collect::<Vec<_>>();
            joint.iter().flat_map(with).collect()
        }));
    };
    let of_leaf = |leaf: &Vec<Option<usize>>| {
        let labels = leaf.iter().zip(heads);
        labels.filter_map(|(l, head)| Some(head[(*l)?])).sum()
    };
    let mut joint: Vec<f64> = leaves.iter().map(of_leaf).collect();
    if taxonomy.has_impossible() {
        normalise(&mut joint);
    }
    Ok(joint)
}

/// The index of the greatest value; the first of equal ones. 0 for an empty list.
pub fn argmax(values: &[f64]) -> usize {
    values
        .iter()
        .enumerate()
        .fold((0, f64::NEG_INFINITY), |best, (i, v)| {
            if *v > best.1 { (i, *v) } else { best }
        })
        .0
}
