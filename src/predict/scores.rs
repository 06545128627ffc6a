//! What a model says of one photo, and what several say together.

use super::prediction::{GroupPrediction, HeadPrediction, NumberPrediction, Prediction};
use crate::error::{Error, Result};
use crate::head::{Distribution, HeadSpec, log_sigmoid};
use crate::model::Logits;
use crate::model::combine::{Decision, argmax, label_log_probs, normalise};
use crate::names::named;
use crate::taxonomy::{Groups, Taxonomy};
use serde::{Deserialize, Serialize};

/// How the scores that several models give one photo become one. Each head's labels and the final classes are pooled each for
/// themselves, so that a final class's probability is that of the members' final classes, not a product of pooled heads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Average {
    /// The mean of the probabilities: a linear opinion pool.
    #[default]
    Probability,
    /// The mean of the logits, which is the geometric mean of the probabilities, made to sum to 1: a logarithmic opinion pool.
    Logit,
    /// Each member votes for its label and its final class; a probability is a share of the votes. Ties go to the greater mean
    /// probability.
    Vote,
}

named!(Average, "average", {
    Probability => "probability",
    Logit => "logit",
    Vote => "vote",
});

impl Average {
    fn pool(self, members: &[&[f64]], choices: &[usize]) -> Vec<f64> {
        let count = members.len() as f64;
        let columns = 0..members[0].len();
        let column = |i: usize| members.iter().map(move |m| m[i]);
        match self {
            Self::Probability => columns
                .map(|i| (column(i).map(f64::exp).sum::<f64>() / count).ln())
                .collect(),
            Self::Logit => {
                let mut pooled: Vec<f64> =
                    columns.map(|i| column(i).sum::<f64>() / count).collect();
                normalise(&mut pooled);
                pooled
            }
            Self::Vote => columns
                .map(|i| (choices.iter().filter(|c| **c == i).count() as f64 / count).ln())
                .collect(),
        }
    }
}

impl Average {
    /// Distributions over the same bins as one. They have no votes: then it is their mean.
    fn pool_numbers(self, members: &[&Distribution]) -> Distribution {
        let how = match self {
            Self::Vote => Self::Probability,
            other => other,
        };
        let logs = |d: &&Distribution| d.probs.iter().map(|p| p.ln()).collect();
        let logs: Vec<Vec<f64>> = members.iter().map(logs).collect();
        let logs: Vec<&[f64]> = logs.iter().map(Vec::as_slice).collect();
        let pooled = how.pool(&logs, &[]);
        Distribution {
            number: members[0].number,
            probs: pooled.into_iter().map(f64::exp).collect(),
        }
    }
}

impl Average {
    /// Log-probabilities of labels of which a photo may have several, each for itself: the mean of the probabilities or of the
    /// logits, or the share of the members that say the label.
    fn pool_sets(self, members: &[&[f64]], thresholds: &[&[f64]]) -> Vec<f64> {
        let count = members.len() as f64;
        let of_label = |label: usize| {
            let column = || members.iter().map(|m| m[label]);
            match self {
                Self::Probability => (column().map(f64::exp).sum::<f64>() / count).ln(),
                Self::Logit => {
                    // log p − log(1 − p), which is finite for a p that is 1 but for rounding.
                    let logit = |log: f64| log - (-log.exp_m1()).max(f64::MIN_POSITIVE).ln();
                    log_sigmoid(column().map(logit).sum::<f64>() / count)
                }
                Self::Vote => {
                    let least = thresholds.iter().map(|t| t[label]);
                    let votes = column().zip(least).filter(|(log, t)| log.exp() >= *t);
                    (votes.count() as f64 / count).ln()
                }
            }
        };
        (0..members[0].len()).map(of_label).collect()
    }

    /// The thresholds for what is pooled: the mean of the members', of votes the half.
    fn pool_thresholds(self, members: &[&[f64]]) -> Vec<f64> {
        let count = members.len() as f64;
        let mean = |label: usize| match self {
            Self::Vote => 0.5,
            _ => members.iter().map(|m| m[label]).sum::<f64>() / count,
        };
        (0..members[0].len()).map(mean).collect()
    }
}

/// Log-probabilities of one photo, and the final class that follows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scores {
    /// Of each head's labels.
    pub heads: Vec<Vec<f64>>,
    /// Of the final classes.
    pub classes: Vec<f64>,
    /// The final class.
    pub class: usize,
    /// How unlike the training photos it is, from 0 to 1, where that is known.
    pub novelty: Option<f64>,
    /// Of each head that predicts a number; no list where no head does, or it is not known which.
    pub numbers: Vec<Option<Distribution>>,
    /// Of each head of several labels at once the probability from which on each is said; no list where there is no such head,
    /// or it is not known.
    pub thresholds: Vec<Option<Vec<f64>>>,
}

impl Scores {
    /// From the logits of the photo; `heads` are the model's.
    pub fn from_logits(
        taxonomy: &Taxonomy,
        decision: &Decision,
        heads: &[HeadSpec],
        logits: &Logits,
    ) -> Result<Self> {
        let log_probs = label_log_probs(taxonomy, logits);
        // An impossible label's logarithm may be infinite; what is no number is nothing.
        let wrong = log_probs.iter().flatten().filter(|v| v.is_nan()).count();
        // Of several labels at once each output is a probability, and an infinite one would be a sure one.
        let sets = logits.heads.iter().enumerate();
        let sets = sets.filter(|(head, _)| taxonomy.is_multi_label(*head));
        let infinite = sets.flat_map(|(_, l)| l).filter(|z| z.is_infinite());
        let wrong = wrong + infinite.count();
        let several = heads.iter().any(HeadSpec::is_multi_label);
        let thresholds = heads.iter().filter(|_| several).map(|head| {
            let of_head = head.labels.multi_label.as_ref()?;
            Some(of_head.thresholds(head.num_labels()))
        });
        let thresholds = thresholds.collect();
        let numbers = heads.iter().zip(&log_probs.bins).map(|(head, log_probs)| {
            let (number, log_probs) = (head.labels.number?, log_probs.as_ref()?);
            let probs = log_probs.iter().map(|p| p.exp()).collect();
            Some(Distribution { number, probs })
        });
        let numbers = numbers.collect();
        if wrong > 0 {
            return Err(Error::Invalid {
                what: "what the model says of the photo".into(),
                expected: "finite numbers".into(),
                found: format!(
                    "{wrong} that are not; the model's weights or the image's values are too great, or no numbers"
                ),
            });
        }
        let classes = decision.log_probs(taxonomy, &log_probs)?;
        Ok(Self {
            class: decision.decide(taxonomy, &classes),
            classes,
            heads: log_probs.heads,
            novelty: None,
            numbers,
            thresholds,
        })
    }

    /// The scores of several models as one's, decided by rule and offsets of `decision`; there is at least one.
    pub fn pooled(
        members: Vec<Self>,
        how: Average,
        (taxonomy, decision): (&Taxonomy, &Decision),
    ) -> Self {
        let Some((first, rest)) = members.split_first() else {
            unreachable!("an ensemble has members");
        };
        if rest.is_empty() {
            return first.clone();
        }
        // Of each head of several labels at once those of all members.
        let all_thresholds = |head: usize| -> Option<Vec<&[f64]>> {
            let own = members.iter().map(|m| m.thresholds.get(head)?.as_deref());
            own.collect()
        };
        let heads = (0..first.heads.len())
            .map(|head| {
                let of_head: Vec<&[f64]> =
                    members.iter().map(|m| m.heads[head].as_slice()).collect();
                if let Some(thresholds) = all_thresholds(head) {
                    return how.pool_sets(&of_head, &thresholds);
                }
                let choices: Vec<usize> = of_head.iter().map(|p| argmax(p)).collect();
                how.pool(&of_head, &choices)
            })
            .collect();
        let of_classes: Vec<&[f64]> = members.iter().map(|m| m.classes.as_slice()).collect();
        let choices: Vec<usize> = members.iter().map(|m| m.class).collect();
        let classes = how.pool(&of_classes, &choices);
        let class = match how {
            Average::Vote => {
                let mean = Average::Probability.pool(&of_classes, &choices);
                let votes = |c: usize| choices.iter().filter(|v| **v == c).count();
                let better = |best: usize, c: usize| {
                    let more = votes(c) > votes(best);
                    let tie = votes(c) == votes(best) && mean[c] > mean[best];
                    if more || tie { c } else { best }
                };
                (0..classes.len()).fold(0, better)
            }
            _ => decision.decide(taxonomy, &classes),
        };
        let numbers = (0..first.numbers.len()).map(|head| {
            let all: Vec<&Distribution> = members
                .iter()
                .map(|m| m.numbers.get(head)?.as_ref())
                .collect::<Option<_>>()?;
            Some(how.pool_numbers(&all))
        });
        let numbers = numbers.collect();
        let thresholds = (0..first.thresholds.len())
            .map(|head| Some(how.pool_thresholds(&all_thresholds(head)?)))
            .collect();
        let known: Vec<f64> = members.iter().filter_map(|m| m.novelty).collect();
        Self {
            heads,
            classes,
            class,
            numbers,
            thresholds,
            novelty: if known.len() == members.len() {
                Some(known.iter().sum::<f64>() / known.len() as f64)
            } else {
                None
            },
        }
    }

    /// Which labels of a head of several at once are said.
    pub fn said(&self, head: usize, thresholds: &[f64]) -> Vec<bool> {
        let pairs = self.heads[head].iter().zip(thresholds);
        pairs.map(|(log, least)| log.exp() >= *least).collect()
    }

    /// With names; abstains where the final class is less likely than `min_confidence`.
    pub fn to_prediction(&self, taxonomy: &Taxonomy, min_confidence: f64) -> Result<Prediction> {
        let heads = taxonomy.decode(self.class)?;
        let applies = taxonomy.applies(&heads);
        let sets = |head: usize| {
            let thresholds = self.thresholds.get(head)?.as_ref()?;
            let said = self.said(head, thresholds).into_iter();
            let said = said.zip(taxonomy.labels(head)).filter(|(said, _)| *said);
            (applies[head] != Some(false)).then(|| said.map(|(_, label)| label.clone()).collect())
        };
        let groups = |head: usize| {
            let probs: Vec<f64> = self.heads[head].iter().map(|p| p.exp()).collect();
            let levels = taxonomy.groups(head).into_iter().flat_map(Groups::levels);
            let likeliest = levels.map(|level| {
                let sums = level.sums(&probs);
                let best = argmax(&sums);
                GroupPrediction {
                    group: level.names[best].clone(),
                    prob: sums[best],
                }
            });
            likeliest.collect()
        };
        let heads = heads.into_iter().enumerate().map(|(i, index)| {
            let best = argmax(&self.heads[i]);
            HeadPrediction {
                head: taxonomy.heads()[i].clone(),
                index,
                label: index.map(|label| taxonomy.labels(i)[label].clone()),
                best,
                best_label: taxonomy.labels(i)[best].clone(),
                probs: self.heads[i].iter().map(|p| p.exp()).collect(),
                number: self.numbers.get(i).and_then(Option::as_ref).map(|d| {
                    let [low, high] = NumberPrediction::INTERVAL.map(|share| d.quantile(share));
                    let mean = d.mean();
                    NumberPrediction { mean, low, high }
                }),
                labels: sets(i),
                groups: groups(i),
            }
        });
        let prob = self.classes[self.class].exp();
        Ok(Prediction {
            class: self.class,
            name: taxonomy.class_name(self.class)?,
            prob,
            class_probs: self.classes.iter().map(|p| p.exp()).collect(),
            heads: heads.collect(),
            abstains: prob < min_confidence,
            novelty: self.novelty,
        })
    }
}

impl Prediction {
    /// The final class of one photo, from its logits. Numbers ([`HeadPrediction::number`]) and the labels of heads of several at
    /// once ([`HeadPrediction::labels`]) are left out: logits do not say what bins stand for, nor from which probability on a
    /// label is said.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there is not one list a head with one value a label, the decision is not for these final classes, or
    /// a logit is not a number; [`Error::Shape`] if the joint head's are not one a final class.
    pub fn from_logits(taxonomy: &Taxonomy, decision: &Decision, logits: &Logits) -> Result<Self> {
        decision.validate(taxonomy, logits.joint.is_some())?;
        if let Some(joint) = &logits.joint
            && joint.len() != taxonomy.num_classes()
        {
            return Err(Error::Shape {
                what: "logits of the joint head".into(),
                expected: format!("({})", taxonomy.num_classes()),
                found: vec![joint.len()],
            });
        }
        let scores = Scores::from_logits(taxonomy, decision, &[], logits)?;
        scores.to_prediction(taxonomy, decision.min_confidence)
    }
}
