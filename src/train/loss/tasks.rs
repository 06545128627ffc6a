//! What a run trains: every head, and the joint head beside them, each with its targets.

use crate::data::dataset::{Sample, Value};
use crate::data::soft_labels::SoftRows;
use crate::data::targets::{Targets, check_values, labels, row, target};
use crate::error::{Error, Result};
use crate::head::HeadSpec;
use crate::model::{JointSpec, ModelSpec};
use crate::taxonomy::Taxonomy;

/// What the heads of a model are trained towards by photos of these values, each one value a head; the joint head's targets come
/// last. This is how the trainer makes them.
///
/// ```
/// use hydranet::data::Value;
/// use hydranet::{Architecture, HeadSpec, ModelSpec, train};
///
/// let backbone = Architecture::from_name("tf_efficientnet_lite0")?;
/// let mut age = HeadSpec::new("age", ["young", "old"]).with_thresholds([30.0]);
/// age.labels.soft_width = 20.0;
/// let heads = vec![HeadSpec::new("mask", ["worn", "not_worn"]), age];
/// let spec = ModelSpec::new(backbone, heads, backbone.input());
/// let values = [[Some(Value::Label(1)), Some(Value::Number(35.0))], [None, None]];
/// let targets = train::targets(&spec, &values)?;
/// assert_eq!(targets[0].rows, [0.0, 1.0, 0.0, 0.0]);
/// assert_eq!(targets[1].rows, [0.25, 0.75, 0.0, 0.0]);
/// assert_eq!(targets[1].weights, [1.0, 0.0]);
/// # Ok::<(), hydranet::Error>(())
/// ```
///
/// # Errors
/// If the specification is not valid, and [`Error::Invalid`] if values are not those of its heads.
pub fn targets(spec: &ModelSpec, values: &[impl AsRef<[Option<Value>]>]) -> Result<Vec<Targets>> {
    spec.validate()?;
    for (i, values) in values.iter().enumerate() {
        check_values(&spec.heads, values.as_ref()).map_err(|found| Error::Invalid {
            what: format!("the values of photo {} (from 1)", i + 1),
            expected: found.0,
            found: found.1,
        })?;
    }
    let tasks = Tasks::new(spec)?;
    Ok(tasks.targets(values.iter().map(|v| (v.as_ref(), None))))
}

/// The labels that a photo may have of a head, where its group alone is known.
type Open<'a> = Option<&'a [usize]>;

/// The heads, and the joint head, if there is one, as one more.
pub(crate) struct Tasks {
    /// With the groups of labels.
    pub(crate) taxonomy: Taxonomy,
    heads: Vec<HeadSpec>,
    joint: Option<Joint>,
}

/// The joint head.
struct Joint {
    head: HeadSpec,
    /// The labels of each final class.
    leaves: Vec<Vec<Option<usize>>>,
}

impl Tasks {
    pub(crate) fn new(spec: &ModelSpec) -> Result<Self> {
        let taxonomy = spec.taxonomy()?;
        let joint = |joint: &JointSpec| Joint {
            head: joint.head(&taxonomy),
            leaves: taxonomy.leaves(),
        };
        Ok(Self {
            heads: spec.heads.clone(),
            joint: spec.joint.as_ref().map(joint),
            taxonomy,
        })
    }

    /// The heads in order, then the joint head: the order of all lists with one entry a head in training, and of
    /// [`Outputs::iter`](crate::Outputs::iter).
    pub(crate) fn heads(&self) -> impl Iterator<Item = &HeadSpec> {
        self.heads.iter().chain(self.joint.iter().map(|j| &j.head))
    }

    /// The label of each head where it is known and the head applies, and the final class for the joint head.
    pub(crate) fn labels(&self, sample: &Sample) -> Vec<Option<usize>> {
        let labels = labels(&self.heads, sample);
        let mut known = self.taxonomy.applying(&labels);
        known.extend(self.joint.iter().map(|_| self.taxonomy.class_of(&labels)));
        known
    }

    /// Whether the head at place `head` may apply to a photo.
    pub(crate) fn applies(&self, sample: &Sample, head: usize) -> bool {
        let known = labels(&self.heads, sample);
        self.taxonomy.applies(&known).get(head) != Some(&Some(false))
    }

    /// Each head's targets. A row counts as much as the targets of the heads before it say that the head applies, and where they
    /// are missing, fully. The joint head's target is the product of those of the heads that apply. What else is said of a photo,
    /// with its share, is mixed into its targets, and is all of those that are missing.
    pub(crate) fn targets<'a>(
        &self,
        photos: impl Iterator<Item = (&'a [Option<Value>], Option<(&'a SoftRows, f32)>)>,
    ) -> Vec<Targets> {
        let empty = |head: &HeadSpec| Targets {
            rows: Vec::new(),
            weights: Vec::new(),
            num_labels: head.num_targets(),
        };
        let mut all: Vec<Targets> = self.heads.iter().map(empty).collect();
        let mut of_joint = self.joint.as_ref().map(|joint| (joint, empty(&joint.head)));
        for (values, said) in photos {
            let known: Vec<Option<Vec<f32>>> = self
                .heads
                .iter()
                .zip(values)
                .enumerate()
                .map(|(i, (head, value))| {
                    let own = value.as_ref().and_then(|value| target(head, value));
                    match said.and_then(|(rows, share)| Some((rows[i].as_ref()?, share))) {
                        Some((said, share)) => {
                            // A teacher says nothing of groups for themselves.
                            let mut said = said.clone();
                            let groups = head.num_targets() - head.num_scores();
                            said.resize(said.len() + groups, 0.0);
                            Some(mixed(own, &said, share))
                        }
                        None => own,
                    }
                })
                .collect();
            // The labels that a photo may have of a head, where its group alone is known.
            let open = |head: usize| match values.get(head)? {
                Some(Value::Group(group)) => {
                    let groups = self.taxonomy.groups(head)?;
                    groups.labels().get(*group).map(Vec::as_slice)
                }
                _ => None,
            };
            let open: Vec<Option<&[usize]>> = (0..known.len()).map(open).collect();
            let mut reached: Vec<f32> = Vec::with_capacity(known.len());
            for (head, own) in known.iter().enumerate() {
                let reach = self.reach(head, (&known, &open), &reached);
                reached.push(reach);
                match (&self.heads[head].labels.number, &values[head]) {
                    (Some(_), Some(value)) if own.is_some() => {
                        all[head].push(Some(&row(&self.heads[head], value)), reach);
                    }
                    _ => all[head].push(own.as_deref(), reach),
                }
            }
            if let Some((joint, targets)) = &mut of_joint {
                targets.push(joint.target(&known, &open).as_deref(), 1.0);
            }
        }
        all.extend(of_joint.map(|(_, targets)| targets));
        all
    }

    /// How much a head applies, from 0 to 1; `reached` is that of the heads before it.
    fn reach(
        &self,
        head: usize,
        (known, open): (&[Option<Vec<f32>>], &[Open]),
        reached: &[f32],
    ) -> f32 {
        let mut all = 1f32;
        let mut below = 1f32;
        for (other, labels) in self.taxonomy.conditions(head) {
            if let Some(open) = open[*other] {
                // As far as the group tells: a label that may be one that is asked for is as one that is missing.
                if !open.iter().any(|label| labels.contains(label)) {
                    all = 0.0;
                }
            } else if let Some(target) = &known[*other] {
                all *= labels.iter().map(|l| target[*l]).sum::<f32>();
            }
            below = below.min(reached[*other]);
        }
        all * below
    }
}

/// A target of which a share is what another model says; all of it where there is none.
fn mixed(own: Option<Vec<f32>>, said: &[f32], share: f32) -> Vec<f32> {
    match own {
        Some(own) => {
            let pairs = own.iter().zip(said);
            pairs
                .map(|(own, said)| own + share * (said - own))
                .collect()
        }
        None => said.to_vec(),
    }
}

impl Joint {
    /// The target over the final classes; `None` if it rests on one that is missing.
    fn target(&self, known: &[Option<Vec<f32>>], open: &[Option<&[usize]>]) -> Option<Vec<f32>> {
        let of_leaf = |leaf: &Vec<Option<usize>>| {
            let mut share = Some(1f32);
            for ((label, target), open) in leaf.iter().zip(known).zip(open) {
                let Some(label) = label else { continue };
                // The label's share, if it is known: of a group alone only that it is none outside of it.
                let own = match (open, target) {
                    (Some(open), _) if !open.contains(label) => Some(0.0),
                    (Some([_]), _) => Some(1.0),
                    (Some(_), _) | (None, None) => None,
                    (None, Some(target)) => Some(target[*label]),
                };
                share = match (share, own) {
                    (Some(0.0), _) => Some(0.0),
                    (Some(s), Some(t)) => Some(s * t),
                    // A later head may still say that it is none of this class.
                    (None, Some(0.0)) => Some(0.0),
                    _ => None,
                };
            }
            share
        };
        let mut row: Vec<f32> = self.leaves.iter().map(of_leaf).collect::<Option<_>>()?;
        let sum: f32 = row.iter().sum();
        if sum <= 0.0 {
            return None;
        }
        row.iter_mut().for_each(|v| *v /= sum);
        Some(row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backbone::Architecture;

    fn tasks(impossible: bool) -> Tasks {
        let backbone = Architecture::from_name("tf_efficientnet_lite0").unwrap();
        let mut age = HeadSpec::new("age", ["young", "old"]).with_thresholds([30.0]);
        age.labels.soft_width = 20.0;
        let mut glasses = HeadSpec::new("glasses", ["none", "near", "far"]);
        glasses.labels.when = [("age".to_string(), vec!["old".to_string()])].into();
        let under = |label: &str| ("age".to_string(), vec![label.to_string()]);
        let mask = HeadSpec::new("mask", ["worn", "not_worn"]);
        let mut spec = ModelSpec::new(backbone, vec![age, glasses, mask], backbone.input());
        spec.joint = Some(JointSpec::default());
        if impossible {
            let not = [under("young"), ("mask".into(), vec!["worn".into()])];
            spec.impossible = vec![not.into()];
        }
        spec.validate().unwrap();
        Tasks::new(&spec).unwrap()
    }

    fn sample(age: Option<f64>, glasses: Option<usize>, mask: Option<usize>) -> Sample {
        let [glasses, mask] = [glasses, mask].map(|l| l.map(Value::Label));
        let values = vec![age.map(Value::Number), glasses, mask];
        Sample::new("a.jpg", Vec::new(), values)
    }

    #[test]
    fn a_head_that_does_not_apply_has_no_target_and_a_soft_border_lets_it_apply_in_part() {
        let tasks = tasks(false);
        // young: worn, not worn; old: none, near, far, each worn and not worn.
        assert_eq!(tasks.taxonomy.num_classes(), 8);
        let samples = [
            sample(Some(10.0), Some(1), Some(0)),
            sample(Some(60.0), Some(2), Some(1)),
            sample(Some(35.0), Some(1), Some(0)),
            sample(None, Some(1), Some(0)),
            sample(Some(60.0), None, Some(0)),
            sample(Some(10.0), None, Some(1)),
        ];
        let targets = tasks.targets(samples.iter().map(|s| (s.values.as_slice(), None)));
        assert_eq!(targets[0].weights, [1.0, 1.0, 1.0, 0.0, 1.0, 1.0]);
        assert_eq!(targets[1].weights, [0.0, 1.0, 0.75, 1.0, 0.0, 0.0]);
        assert_eq!(targets[2].weights, [1.0; 6]);
        assert_eq!(targets[3].weights, [1.0, 1.0, 1.0, 0.0, 0.0, 1.0]);
        let row = |i: usize| &targets[3].rows[i * 8..][..8];
        assert_eq!(row(0), [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(row(1), [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
        assert_eq!(row(2), [0.25, 0.0, 0.0, 0.0, 0.75, 0.0, 0.0, 0.0]);
        assert_eq!(row(5), [0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        let labels: Vec<_> = samples.iter().map(|s| tasks.labels(s)).collect();
        assert_eq!(labels[0], [Some(0), None, Some(0), Some(0)]);
        assert_eq!(labels[1], [Some(1), Some(2), Some(1), Some(7)]);
        assert_eq!(labels[3], [None, Some(1), Some(0), None]);
        assert_eq!(labels[4], [Some(1), None, Some(0), None]);
    }

    #[test]
    fn an_impossible_combination_has_no_share_of_a_target() {
        let tasks = tasks(true);
        assert_eq!(tasks.taxonomy.num_classes(), 7);
        let values = sample(Some(35.0), Some(1), Some(0)).values;
        let targets = tasks.targets([(values.as_slice(), None)].into_iter());
        assert_eq!(targets[3].weights, [1.0]);
        assert_eq!(targets[3].rows, [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]);
        assert_eq!(tasks.labels(&sample(Some(10.0), None, Some(0)))[3], None);
    }
}
