//! Class weights as numbers: given, or from the training split.

use super::HeadLoss;
use super::tasks::Tasks;
use crate::data::dataset::{Dataset, Split, empty_split};
use crate::data::targets::Targets;
use crate::error::Result;
use crate::head::{ClassWeightRule, ClassWeights, HeadSpec};
use crate::taxonomy::Groups;

/// "balanced" class weights: photos / (labels · photos with the label), as scikit-learn; 0 for a label no photo has.
pub fn balanced_weights(counts: &[f64]) -> Vec<f64> {
    let total: f64 = counts.iter().sum();
    let share = total / counts.len().max(1) as f64;
    counts
        .iter()
        .map(|c| if *c == 0.0 { 0.0 } else { share / c })
        .collect()
}

/// Class weights by the effective number of photos (Cui et al. 2019, "Class-Balanced Loss Based on Effective Number of Samples"):
/// in proportion to (1 − β) / (1 − βⁿ), and together as many as there are labels; 0 for a label no photo has.
pub fn effective_number_weights(counts: &[f64], beta: f64) -> Vec<f64> {
    let each = counts.iter().map(|c| match (*c, beta) {
        (0.0, _) => 0.0,
        (_, 0.0) => 1.0,
        // 1 − βⁿ without loss of digits for a β near 1.
        (n, _) => (1.0 - beta) / -(n * beta.ln()).exp_m1(),
    });
    let each: Vec<f64> = each.collect();
    let sum: f64 = each.iter().sum();
    let factor = if sum > 0.0 {
        each.len() as f64 / sum
    } else {
        0.0
    };
    each.into_iter().map(|w| w * factor).collect()
}

/// The losses of all heads, from the training photos at these places.
pub(super) fn head_losses(
    tasks: &Tasks,
    dataset: &Dataset,
    train: &[usize],
) -> Result<Vec<HeadLoss>> {
    // By the given labels alone.
    let values = |i: &usize| (dataset.samples[*i].values.as_slice(), None);
    let targets = tasks.targets(train.iter().map(values));
    let pairs = tasks.heads().zip(&targets);
    pairs
        .map(|(head, targets)| head_loss(head, dataset, targets))
        .collect()
}

/// The loss of one head, its counts and class weights as numbers from the targets of the training photos: a photo counts for
/// each label by its target, and as much as it counts for the head. A number counts for the likeliest of its bins: by the
/// others, which the distribution it is taught as brushes, labels would have photos that none is of.
fn head_loss(head: &HeadSpec, dataset: &Dataset, targets: &Targets) -> Result<HeadLoss> {
    let labels = head.num_scores();
    let mut counts = vec![0.0; targets.num_labels];
    let rows = targets.rows.chunks_exact(targets.num_labels);
    for (row, weight) in rows.zip(&targets.weights) {
        if head.sums().is_some() {
            // The first of equals.
            let likeliest =
                (1..row.len()).fold(0, |best, bin| if row[bin] > row[best] { bin } else { best });
            counts[likeliest] += f64::from(*weight);
            continue;
        }
        for (count, t) in counts.iter_mut().zip(row) {
            *count += f64::from(t * weight);
        }
    }
    // Of several labels at once a photo may have none, and that is known.
    let is_unknown = if head.is_multi_label() {
        targets.weights.iter().all(|w| *w == 0.0)
    } else {
        counts.iter().all(|c| *c == 0.0)
    };
    if is_unknown {
        let reason = format!(
            "no photo of it has a label for head `{}` (column `{}`)",
            head.name,
            head.column()
        );
        return Err(empty_split(dataset, Split::Train, &reason));
    }
    let of_groups = counts.split_off(labels);
    let tree = if of_groups.is_empty() {
        None
    } else {
        head.labels.tree()?
    };
    let mut of_labels = match head.sums() {
        Some(sums) => sums.of_labels(&counts),
        None => counts.clone(),
    };
    // For the rules a photo of a group is in equal parts one of each of its labels.
    for (photos, inside) in of_groups.iter().zip(tree.iter().flat_map(Groups::labels)) {
        for label in inside {
            of_labels[*label] += photos / inside.len() as f64;
        }
    }
    let class_weights = match &head.loss.class_weights {
        ClassWeights::Equal => vec![1.0; of_labels.len()],
        ClassWeights::Given(w) => w.clone(),
        ClassWeights::Rule(ClassWeightRule::Balanced) => balanced_weights(&of_labels),
        ClassWeights::Rule(ClassWeightRule::EffectiveNumber { beta }) => {
            effective_number_weights(&of_labels, *beta)
        }
    };
    // A bin counts as its labels do.
    let class_weights = match head.sums() {
        Some(sums) => sums.of_bins(&class_weights),
        None => class_weights,
    };
    Ok(HeadLoss {
        kind: head.loss.kind.clone(),
        class_weights,
        reweight_after: head.loss.reweight_after,
        smoothing: head.loss.smoothing,
        counts,
        parents: tree.map_or_else(Vec::new, |tree| tree.parents().to_vec()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backbone::Architecture;
    use crate::data::dataset::{Sample, Value};
    use crate::head::{LossKind, NumberSpec};
    use crate::model::ModelSpec;
    use crate::train::loss::tasks::Tasks;

    #[test]
    fn photos_count_for_labels_by_their_targets_and_not_where_those_are_missing() {
        let mut head = HeadSpec::new("age", ["young", "middle", "old"])
            .with_thresholds([30.0, 60.0])
            .with_loss(LossKind::LogitAdjusted { tau: 1.0 });
        head.labels.soft_width = 20.0;
        head.labels.drop = vec![[90.0, 99.0]];
        head.loss.class_weights = ClassWeights::Rule(ClassWeightRule::Balanced);
        // The last is of another split.
        let ages = [
            Some(10.0),
            Some(30.0),
            Some(58.0),
            Some(95.0),
            None,
            Some(70.0),
            Some(10.0),
        ];
        let samples = ages
            .iter()
            .enumerate()
            .map(|(i, age)| Sample::new(format!("{i}"), Vec::new(), vec![age.map(Value::Number)]));
        let dataset = Dataset::new(vec![head.clone()], samples.collect()).unwrap();
        let backbone = Architecture::from_name("tf_efficientnet_lite0").unwrap();
        let spec = ModelSpec::new(backbone, vec![head.clone()], backbone.input());
        let tasks = Tasks::new(&spec).unwrap();
        let loss = |photos: &[usize]| {
            let values = photos
                .iter()
                .map(|i| (dataset.samples[*i].values.as_slice(), None));
            head_loss(&head, &dataset, &tasks.targets(values)[0])
        };
        let one = loss(&[0, 1, 2, 3, 4, 5]).unwrap();
        let close = |found: &[f64], expected: [f64; 3]| {
            let mut pairs = found.iter().zip(expected);
            assert!(pairs.all(|(f, e)| (f - e).abs() < 1e-6), "{found:?}");
        };
        close(&one.counts, [1.5, 1.1, 1.4]);
        close(&one.class_weights, [4.0 / 4.5, 4.0 / 3.3, 4.0 / 4.2]);
        assert!(loss(&[3, 4]).is_err());
    }

    #[test]
    fn photos_that_are_known_to_have_none_of_several_labels_are_known() {
        let head = HeadSpec::multi_label("tags", ["red", "long"]);
        let photo = |name: &str, labels: Option<Vec<usize>>| {
            Sample::new(name, Vec::new(), vec![labels.map(Value::Labels)])
        };
        let samples = vec![photo("a.jpg", Some(Vec::new())), photo("b.jpg", None)];
        let dataset = Dataset::new(vec![head.clone()], samples).unwrap();
        let backbone = Architecture::from_name("tf_efficientnet_lite0").unwrap();
        let spec = ModelSpec::new(backbone, vec![head.clone()], backbone.input());
        let tasks = Tasks::new(&spec).unwrap();
        let loss = |photo: usize| {
            let values = std::iter::once((dataset.samples[photo].values.as_slice(), None));
            head_loss(&head, &dataset, &tasks.targets(values)[0])
        };
        assert_eq!(loss(0).unwrap().counts, [0.0, 0.0]);
        assert!(loss(1).is_err());
    }

    #[test]
    fn a_number_counts_for_the_label_it_lies_in_and_for_no_other() {
        let number = NumberSpec::new([0.0, 100.0]);
        let mut head = HeadSpec::new("age", ["young", "middle", "old"]);
        head = head.with_number(number, [30.0, 60.0]);
        head.loss.class_weights = ClassWeights::Rule(ClassWeightRule::Balanced);
        let ages = [10.0, 29.0, 31.0, 50.0, 58.0].map(|age| vec![Some(Value::Number(age))]);
        let samples = ages.iter().enumerate();
        let samples = samples.map(|(i, age)| Sample::new(format!("{i}"), Vec::new(), age.clone()));
        let dataset = Dataset::new(vec![head.clone()], samples.collect()).unwrap();
        let backbone = Architecture::from_name("tf_efficientnet_lite0").unwrap();
        let spec = ModelSpec::new(backbone, vec![head.clone()], backbone.input());
        let tasks = Tasks::new(&spec).unwrap();
        let values = dataset.samples.iter().map(|s| (s.values.as_slice(), None));
        let loss = head_loss(&head, &dataset, &tasks.targets(values)[0]).unwrap();
        let sums = head.sums().unwrap();
        assert_eq!(sums.of_labels(&loss.counts), [2.0, 3.0, 0.0]);
        // Balanced: 5 / (3 · 2), 5 / (3 · 3), and nothing for a label that no photo has.
        let weights = [0, 40, 90].map(|bin| loss.class_weights[bin]);
        let expected = [5.0 / 6.0, 5.0 / 9.0, 0.0];
        assert!(
            weights
                .iter()
                .zip(expected)
                .all(|(w, e)| (w - e).abs() < 1e-9),
            "{weights:?}"
        );
    }
}
