//! From a value to what a head is trained towards: a row of weights over its labels.

use super::dataset::{Dataset, Sample, Value};
use crate::error::{Error, Result};
use crate::head::HeadSpec;
use crate::taxonomy::Taxonomy;
use candle_core::{Device, Tensor};

/// The label of a value, `None` of a head of several labels at once and where only a group is known: label i is
/// `thresholds[i-1] <= number < thresholds[i]`. Soft borders and dropped bands play no part, so measurements stay comparable
/// whatever was trained.
pub(crate) fn label(head: &HeadSpec, value: &Value) -> Option<usize> {
    match value {
        Value::Label(label) => Some(*label),
        Value::Number(number) => Some(head.labels.thresholds.partition_point(|t| t <= number)),
        Value::Labels(_) | Value::Group(_) => None,
    }
}

/// The name of a group of a head, if there is one in this place.
pub(crate) fn group_name(head: &HeadSpec, group: usize) -> Option<&str> {
    head.labels.groups.keys().nth(group).map(String::as_str)
}

/// The labels that a value says a photo has: one, or of a head of several at once any number.
pub(crate) fn labels_of(head: &HeadSpec, value: &Value) -> Vec<usize> {
    match value {
        Value::Labels(labels) => labels.clone(),
        _ => label(head, value).into_iter().collect(),
    }
}

/// The label of each head, `None` where it is not known (or none of the head's) and of heads of several labels at once.
pub(crate) fn labels(heads: &[HeadSpec], sample: &Sample) -> Vec<Option<usize>> {
    heads
        .iter()
        .zip(&sample.values)
        .map(|(head, value)| {
            let label = value.as_ref().and_then(|v| label(head, v));
            label.filter(|l| *l < head.num_labels())
        })
        .collect()
}

/// The same of the data set's `index`-th sample, without labels of heads that do not apply to it.
pub(crate) fn labels_that_apply(
    taxonomy: &Taxonomy,
    dataset: &Dataset,
    index: usize,
) -> Vec<Option<usize>> {
    taxonomy.applying(&labels(&dataset.heads, &dataset.samples[index]))
}

/// Refuses values that are not those of these heads: what is needed, and what was found.
pub(crate) fn check_values(
    heads: &[HeadSpec],
    values: &[Option<Value>],
) -> std::result::Result<(), (String, String)> {
    if values.len() != heads.len() {
        let needed = format!("{} values, one a head", heads.len());
        return Err((needed, values.len().to_string()));
    }
    for (head, value) in heads.iter().zip(values) {
        let (name, labels) = (&head.name, head.num_labels());
        match value {
            Some(Value::Labels(of_photo)) if head.is_multi_label() => {
                let ascends = of_photo.windows(2).all(|w| w[0] < w[1]);
                if !ascends || of_photo.last().is_some_and(|l| *l >= labels) {
                    let needed = format!(
                        "labels of head `{name}`, from 0 to {} and ascending",
                        labels - 1
                    );
                    return Err((needed, format!("labels {of_photo:?}")));
                }
            }
            Some(Value::Labels(of_photo)) => {
                let needed = format!("one label of head `{name}`, of which a photo has one");
                return Err((needed, format!("the labels {of_photo:?}")));
            }
            Some(value) if head.is_multi_label() => {
                let needed = format!("labels of head `{name}`, of which a photo may have several");
                return Err((needed, format!("{value:?}")));
            }
            Some(Value::Group(group)) if *group >= head.labels.groups.len() => {
                let needed = match head.labels.groups.len() {
                    0 => format!("a label of head `{name}`, which has no groups"),
                    groups => format!("a group of head `{name}`, from 0 to {}", groups - 1),
                };
                return Err((needed, format!("group {group}")));
            }
            Some(Value::Label(label)) if *label >= labels => {
                let needed = format!("a label of head `{name}`, from 0 to {}", labels - 1);
                return Err((needed, format!("label {label}")));
            }
            Some(Value::Number(number)) if head.labels.thresholds.is_empty() => {
                let needed = format!("a label of head `{name}`, which has no thresholds");
                return Err((needed, format!("the number {number}")));
            }
            Some(Value::Number(number)) if !number.is_finite() => {
                return Err((format!("a number for head `{name}`"), number.to_string()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The final class of each of these samples, where the label of every head that applies is known.
pub(crate) fn classes(
    taxonomy: &Taxonomy,
    dataset: &Dataset,
    indices: &[usize],
) -> Vec<Option<usize>> {
    let class = |i: &usize| taxonomy.class_of(&labels(&dataset.heads, &dataset.samples[*i]));
    indices.iter().map(class).collect()
}

/// One head's targets of a batch: soft rows, and the weight of each row (0: the label is missing).
#[derive(Clone, Debug, PartialEq)]
pub struct Targets {
    /// `(batch, num_labels)`, row after row, of a head that predicts a number `(batch, bins)`, of one with groups that learns
    /// from them `(batch, num_labels + groups)`; each row sums to 1, or is 0 where the label is missing. Of a head of several
    /// labels at once each value is from 0 to 1, whatever the others are.
    pub rows: Vec<f32>,
    /// `(batch)`.
    pub weights: Vec<f32>,
    /// Labels a row, and groups behind them; of a number its bins, see [`HeadSpec::num_targets`].
    pub num_labels: usize,
}

impl Targets {
    /// Rows and weights as a loss takes them.
    ///
    /// # Shapes
    /// `(batch, num_labels)` and `(batch)`.
    ///
    /// # Errors
    /// [`Error::Shape`] if there are not as many rows as weights, [`Error::Candle`] if the device has no memory for them.
    pub fn tensors(&self, device: &Device) -> Result<(Tensor, Tensor)> {
        let batch = self.weights.len();
        if batch.checked_mul(self.num_labels) != Some(self.rows.len()) {
            return Err(Error::Shape {
                what: "the rows of targets".into(),
                expected: format!("({batch}, {})", self.num_labels),
                found: vec![self.rows.len()],
            });
        }
        let rows = Tensor::from_slice(&self.rows, (batch, self.num_labels), device)?;
        Ok((rows, Tensor::from_slice(&self.weights, batch, device)?))
    }

    /// Adds a row; a missing one weighs nothing.
    pub(crate) fn push(&mut self, row: Option<&[f32]>, weight: f32) {
        match row {
            Some(row) if weight > 0.0 => {
                self.rows.extend_from_slice(row);
                self.weights.push(weight);
            }
            _ => {
                self.rows.extend(std::iter::repeat_n(0.0, self.num_labels));
                self.weights.push(0.0);
            }
        }
    }
}

/// The training target over the labels: one weight a label, together 1, or of a head of several labels at once 1 for each that
/// the photo has; behind them one a group where the head learns from groups. `None` if the number lies in a dropped band of the
/// head, both ends included, the label is none of the head's, or only a group is known to a head that does not learn from it.
///
/// Across the `soft_width` around a threshold the weight moves linearly from one label to the next, half and half at the
/// threshold itself. Smoothing is the loss's business. A head that predicts a number is taught by rows over its bins in place of
/// this; what hangs on its labels goes by this.
pub(crate) fn target(head: &HeadSpec, value: &Value) -> Option<Vec<f32>> {
    let groups = head.num_targets() - head.num_scores();
    match value {
        Value::Label(label) => {
            let mut weights = vec![0.0; head.num_labels()];
            *weights.get_mut(*label)? = 1.0;
            weights.resize(weights.len() + groups, 0.0);
            Some(weights)
        }
        Value::Group(group) => {
            let mut weights = vec![0.0; head.num_labels() + groups];
            *weights.get_mut(head.num_labels() + group)? = 1.0;
            Some(weights)
        }
        Value::Labels(labels) => {
            let mut weights = vec![0.0; head.num_labels()];
            for label in labels {
                *weights.get_mut(*label)? = 1.0;
            }
            Some(weights)
        }
        Value::Number(number) => {
            let dropped = |[from, to]: &[f64; 2]| (*from..=*to).contains(number);
            if head.labels.drop.iter().any(dropped) {
                return None;
            }
            // The part of the weight that lies beyond each threshold; differences of neighbours then add up to 1.
            let mut weights = Vec::with_capacity(head.num_labels());
            let mut above = 1.0;
            for threshold in &head.labels.thresholds {
                let beyond = match head.labels.soft_width {
                    w if w > 0.0 => ((number - threshold) / w + 0.5).clamp(0.0, 1.0),
                    _ => f64::from(u8::from(number >= threshold)),
                };
                weights.push((above - beyond) as f32);
                above = beyond;
            }
            weights.push(above as f32);
            Some(weights)
        }
    }
}

/// What a measurement holds a head's outputs against, and a number is taught by: all weight on the label; of a number the row
/// over its bins, where only its label is known the bins of that alike; of several labels at once all weight on each; behind the
/// labels one value a group where the head learns from groups.
pub(crate) fn row(head: &HeadSpec, value: &Value) -> Vec<f32> {
    if let (Some(number), Value::Number(value)) = (&head.labels.number, value) {
        return number.row(*value);
    }
    let last = head.num_labels() - 1;
    let labels = labels_of(head, value).into_iter().map(|l| l.min(last));
    if let Some(sums) = head.sums() {
        return sums.row_of_label(labels.max().unwrap_or(0));
    }
    let mut row = vec![0.0; head.num_targets()];
    if let Value::Group(group) = value {
        // A head that does not learn from groups has no place for it.
        row.iter_mut()
            .skip(last + 1 + group)
            .take(1)
            .for_each(|v| *v = 1.0);
        return row;
    }
    labels.for_each(|label| row[label] = 1.0);
    row
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn age(thresholds: &[f64]) -> HeadSpec {
        HeadSpec::new("age", ["young", "middle", "old"]).with_thresholds(thresholds)
    }

    fn close(found: Option<Vec<f32>>, expected: [f32; 3]) {
        let found = found.unwrap();
        assert!(
            found
                .iter()
                .zip(expected)
                .all(|(f, e)| (f - e).abs() < 1e-6),
            "{found:?}, not {expected:?}"
        );
    }

    #[test]
    fn a_number_belongs_to_the_label_whose_lower_border_it_reaches() {
        let head = age(&[30.0, 60.0]);
        for (number, expected) in [
            (-5.0, 0),
            (29.9, 0),
            (30.0, 1),
            (59.9, 1),
            (60.0, 2),
            (200.0, 2),
        ] {
            assert_eq!(
                label(&head, &Value::Number(number)),
                Some(expected),
                "{number}"
            );
            let mut row = [0.0; 3];
            row[expected] = 1.0;
            close(target(&head, &Value::Number(number)), row);
        }
    }

    #[test]
    fn a_border_can_be_moved_to_58() {
        let head = age(&[30.0, 58.0]);
        assert_eq!(label(&head, &Value::Number(57.9)), Some(1));
        assert_eq!(label(&head, &Value::Number(58.0)), Some(2));
    }

    #[test]
    fn a_dropped_band_has_no_target_but_keeps_its_label() {
        let mut head = age(&[30.0, 60.0]);
        head.labels.drop = vec![[57.0, 59.0]];
        for number in [57.0, 58.0, 59.0] {
            assert_eq!(target(&head, &Value::Number(number)), None);
            assert_eq!(label(&head, &Value::Number(number)), Some(1));
        }
        assert!(target(&head, &Value::Number(56.9)).is_some());
        assert!(target(&head, &Value::Number(59.1)).is_some());
    }

    #[test]
    fn a_soft_border_moves_linearly_from_one_label_to_the_next() {
        let mut head = age(&[30.0, 60.0]);
        head.labels.soft_width = 20.0;
        close(target(&head, &Value::Number(58.0)), [0.0, 0.6, 0.4]);
        close(target(&head, &Value::Number(60.0)), [0.0, 0.5, 0.5]);
        close(target(&head, &Value::Number(30.0)), [0.5, 0.5, 0.0]);
        close(target(&head, &Value::Number(50.0)), [0.0, 1.0, 0.0]);
        close(target(&head, &Value::Number(70.0)), [0.0, 0.0, 1.0]);
    }

    #[test]
    fn a_name_is_one_hot() {
        let head = HeadSpec::new("mask", ["worn", "incorrect", "not_worn"]);
        close(target(&head, &Value::Label(1)), [0.0, 1.0, 0.0]);
        assert_eq!(label(&head, &Value::Label(1)), Some(1));
    }

    #[test]
    fn several_labels_at_once_have_a_weight_of_one_each() {
        let head = HeadSpec::multi_label("tags", ["red", "striped", "long"]);
        close(target(&head, &Value::Labels(vec![0, 2])), [1.0, 0.0, 1.0]);
        close(target(&head, &Value::Labels(Vec::new())), [0.0; 3]);
        assert_eq!(target(&head, &Value::Labels(vec![3])), None);
        assert_eq!(row(&head, &Value::Labels(vec![1])), [0.0, 1.0, 0.0]);
        assert_eq!(label(&head, &Value::Labels(vec![1])), None);
    }

    #[test]
    fn values_are_refused_that_are_not_of_their_heads_kind() {
        let heads = [
            HeadSpec::multi_label("tags", ["red", "striped"]),
            HeadSpec::new("mask", ["worn", "not_worn"]),
        ];
        let check = |tags: Value, mask: Value| check_values(&heads, &[Some(tags), Some(mask)]);
        let both = || Value::Labels(vec![0, 1]);
        assert_eq!(check(both(), Value::Label(0)), Ok(()));
        assert_eq!(check(Value::Labels(Vec::new()), Value::Label(0)), Ok(()));
        for wrong in [vec![2], vec![1, 0], vec![0, 0], vec![usize::MAX]] {
            assert!(check(Value::Labels(wrong), Value::Label(0)).is_err());
        }
        for wrong in [Value::Label(0), Value::Number(1.0)] {
            assert!(check(wrong, Value::Label(0)).is_err());
        }
        assert!(check(both(), both()).is_err());
    }

    proptest! {
        #[test]
        fn every_target_is_a_distribution_that_favours_the_label(
            number in -100.0..200.0f64, first in 0.0..50.0f64, gap in 1.0..50.0f64, width in 0.0..1.0f64,
        ) {
            let mut head = age(&[first, first + gap]);
            head.labels.soft_width = width * gap;
            head.validate().unwrap();
            let value = Value::Number(number);
            let row = target(&head, &value).unwrap();
            prop_assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6);
            prop_assert!(row.iter().all(|w| (0.0..=1.0).contains(w)));
            prop_assert!(row[label(&head, &value).unwrap()] >= 0.5 - 1e-6);
        }
    }
}
