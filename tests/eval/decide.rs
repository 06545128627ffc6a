//! How the final class is decided: priors, offsets, a joint head and its consistency loss, and heads that do not always apply; by
//! their definitions and in training.

use crate::common::differences;
use crate::common::differences::{gradient_error, values};
use crate::common::runs;
use crate::common::runs::Bench;
use candle_core::{DType, Device, Tensor};
use hydranet::data::dataset::Split;
use hydranet::eval::decide::{class_offsets, label_offsets, log_prior, tuned, untuned};
use hydranet::eval::metrics::ConfusionMatrix;
use hydranet::train::loss::Consistency;
use hydranet::{Decision, DecisionRule, Labels, ModelFile, Outputs, Predictor, Taxonomy};
use proptest::prelude::*;

fn one(head: &str, label: &str) -> Labels {
    [(head.to_string(), vec![label.to_string()])].into()
}

fn plain(counts: &[usize]) -> Taxonomy {
    let labels = |n: usize| (0..n).map(|l| format!("l{l}")).collect::<Vec<_>>();
    let heads = counts.iter().enumerate();
    Taxonomy::new(heads.map(|(h, n)| (format!("h{h}"), labels(*n)))).unwrap()
}

/// Those of the heads, and the last those of the joint head.
fn outputs(logits: &[Tensor]) -> Outputs {
    let (joint, heads) = logits.split_last().unwrap();
    Outputs {
        heads: heads.to_vec(),
        joint: Some(joint.clone()),
        bins: Vec::new(),
    }
}

/// h1 applies only if h0 is its first label.
fn tree() -> Taxonomy {
    let when = [Labels::new(), one("h0", "l0"), Labels::new()];
    plain(&[2, 3, 2]).with_tree(&when, &[]).unwrap()
}

fn logits(taxonomy: &Taxonomy, batch: usize, seed: u64) -> Vec<Tensor> {
    let heads = 0..taxonomy.heads().len();
    let widths = heads
        .map(|h| taxonomy.labels(h).len())
        .chain([taxonomy.num_classes()]);
    let each = widths
        .zip(seed..)
        .map(|(w, s)| values(&[batch, w], s) * 2.0);
    each.collect::<Result<_, _>>().unwrap()
}

#[test]
fn the_consistency_loss_has_the_gradient_of_central_differences() {
    for taxonomy in [plain(&[3, 2, 3]), tree()] {
        let consistency = Consistency::new(&taxonomy).unwrap();
        let args = logits(&taxonomy, 3, 1);
        let loss = |args: &[Tensor]| {
            consistency
                .loss(&outputs(args))
                .map_err(|e| candle_core::Error::Msg(format!("{e:#}")))
        };
        let error = gradient_error(&args, &loss).unwrap();
        assert!(error < 1e-7, "{error}");
    }
}

#[test]
fn the_consistency_loss_is_half_of_jeffreys_divergence_and_nothing_where_all_agree() {
    let softmax = |row: &[f64]| {
        let exp: Vec<f64> = row.iter().map(|v| v.exp()).collect();
        let sum: f64 = exp.iter().sum();
        exp.into_iter().map(|e| e / sum).collect::<Vec<f64>>()
    };
    for taxonomy in [plain(&[3, 2, 3]), tree()] {
        let consistency = Consistency::new(&taxonomy).unwrap();
        let args = logits(&taxonomy, 1, 5);
        let rows: Vec<Vec<f64>> = args.iter().map(differences::flat).collect();
        let (joint, heads) = rows.split_last().unwrap();
        let q = softmax(joint);
        let mut expected = 0.0;
        for (head, row) in heads.iter().enumerate() {
            let p = softmax(row);
            let mut m = vec![0.0; p.len()];
            for (class, q) in q.iter().enumerate() {
                if let Some(label) = taxonomy.decode(class).unwrap()[head] {
                    m[label] += q;
                }
            }
            let sum: f64 = m.iter().sum();
            for (p, m) in p.iter().zip(m.iter().map(|m| m / sum)) {
                expected += 0.5 * (p * (p / m).ln() + m * (m / p).ln());
            }
        }
        let found = consistency
            .loss(&outputs(&args))
            .unwrap()
            .to_scalar::<f64>()
            .unwrap();
        assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        // The joint head says just what the heads say together.
        let log: Vec<Vec<f64>> = heads
            .iter()
            .map(|r| softmax(r).iter().map(|p| p.ln()).collect())
            .collect();
        let product = hydranet::model::combine::joint_log_probs(&taxonomy, &log).unwrap();
        let mut same = args.clone();
        let classes = product.len();
        *same.last_mut().unwrap() = Tensor::from_vec(product, (1, classes), &Device::Cpu).unwrap();
        let none = consistency
            .loss(&outputs(&same))
            .unwrap()
            .to_scalar::<f64>()
            .unwrap();
        assert!(none.abs() < 1e-12, "{none}");
        // In f32, and with logits so far apart that probabilities vanish.
        let far: Vec<Tensor> = args
            .iter()
            .map(|a| (a * 300.0).unwrap().to_dtype(DType::F32).unwrap())
            .collect();
        assert!(
            consistency
                .loss(&outputs(&far))
                .unwrap()
                .to_scalar::<f32>()
                .unwrap()
                .is_finite()
        );
    }
}

#[test]
fn a_prior_is_how_much_likelier_a_class_is_than_its_labels_alone_make_it() {
    let t = plain(&[2, 2]);
    let photos = |counts: [usize; 4]| -> Vec<Option<usize>> {
        let each = counts.iter().enumerate();
        each.flat_map(|(c, n)| std::iter::repeat_n(Some(c), *n))
            .chain([None])
            .collect()
    };
    // With one more each: 8, 4, 4, 2, independent labels.
    for value in log_prior(&t, &photos([7, 3, 3, 1])).unwrap() {
        assert!(value.abs() < 1e-12);
    }
    // 10, 1, 1, 4 of 16; labels 11 and 5 of 16 each.
    let found = log_prior(&t, &photos([9, 0, 0, 3])).unwrap();
    let expected = [
        10.0 / 16.0 / (11.0 / 16.0 * 11.0 / 16.0),
        1.0 / 16.0 / (11.0 / 16.0 * 5.0 / 16.0),
    ];
    for (class, expected) in [(0, expected[0]), (1, expected[1]), (2, expected[1])] {
        assert!(
            (found[class] - f64::ln(expected)).abs() < 1e-12,
            "{found:?}"
        );
    }
    // Under a tree, a label counts among the classes its head applies to.
    let found = log_prior(&tree(), &[]).unwrap();
    // 8 classes alike: 6 with l0 of h0, 2 with l1; h1 is 1/3 each where it applies; h2 1/2.
    let share = |h0: f64| f64::ln(1.0 / 8.0 / h0);
    assert!((found[0] - share(0.75 / 6.0)).abs() < 1e-12, "{found:?}");
    assert!((found[7] - share(0.25 / 2.0)).abs() < 1e-12, "{found:?}");
}

fn macro_f1(classes: usize, log_probs: &[Vec<f64>], truth: &[usize], offsets: &[f64]) -> f64 {
    let decision = Decision {
        offsets: offsets.to_vec(),
        ..Decision::default()
    };
    let names: Vec<String> = (0..classes).map(|c| c.to_string()).collect();
    let taxonomy = Taxonomy::new([("c", names)]).unwrap();
    let mut matrix = ConfusionMatrix::new(classes);
    for (row, truth) in log_probs.iter().zip(truth) {
        matrix.add(*truth, decision.decide(&taxonomy, row)).unwrap();
    }
    matrix.macro_f1()
}

/// As [`class_offsets`] and [`label_offsets`] by their definition: everything looked at and counted anew for each group.
fn offsets_by_definition(groups: &[Vec<bool>], rows: &[Vec<f64>], truth: &[usize]) -> Vec<f64> {
    let classes = groups[0].len();
    let mut offsets = vec![0.0; classes];
    for _ in 0..20 {
        let mut moved = false;
        for group in groups
            .iter()
            .filter(|g| g.contains(&true) && g.contains(&false))
        {
            let best = |row: &[f64], inside: bool| {
                let of = (0..classes).filter(|c| group[*c] == inside);
                let of = of.map(|c| (c, row[c] + offsets[c]));
                of.reduce(|a, b| if b.1 > a.1 { b } else { a }).unwrap()
            };
            let mut rivals: Vec<(f64, usize, usize, usize)> = Vec::new();
            for (row, truth) in rows.iter().zip(truth) {
                let (a, b) = (best(row, true), best(row, false));
                rivals.push((b.1 - a.1, a.0, b.0, *truth));
            }
            rivals.sort_by(|a, b| a.0.total_cmp(&b.0));
            let f1 = |inside: &dyn Fn(usize) -> bool| {
                let mut matrix = ConfusionMatrix::new(classes);
                for (i, r) in rivals.iter().enumerate() {
                    matrix.add(r.3, if inside(i) { r.1 } else { r.2 }).unwrap();
                }
                matrix.macro_f1()
            };
            let (mut most, mut step) = (f1(&|i| rivals[i].0 < 0.0), 0.0);
            for (i, pair) in rivals.windows(2).enumerate() {
                let middle: f64 = 0.5 * (pair[0].0 + pair[1].0);
                if middle <= pair[0].0 || middle >= pair[1].0 {
                    continue;
                }
                let f1 = f1(&|other| other <= i);
                let nearer = step != 0.0 && middle.abs() < f64::abs(step);
                if f1 > most + 1e-12 || (f1 > most - 1e-12 && nearer) {
                    (most, step) = (f1.max(most), middle);
                }
            }
            moved |= step != 0.0;
            let of_group = offsets.iter_mut().zip(group).filter(|(_, g)| **g);
            of_group.for_each(|(offset, _)| *offset += step);
        }
        if !moved {
            break;
        }
    }
    offsets
}

proptest! {
    #[test]
    fn offsets_are_those_of_the_definition(
        photos in prop::collection::vec((prop::collection::vec(-6i32..0, 6), 0usize..6), 1..40),
        halves in any::<bool>(),
    ) {
        // Coarse numbers, which tie.
        let scale = if halves { 0.5 } else { 0.1 };
        let row = |row: &Vec<i32>| row.iter().map(|v| f64::from(*v) * scale).collect();
        let rows: Vec<Vec<f64>> = photos.iter().map(|p| row(&p.0)).collect();
        let truth: Vec<usize> = photos.iter().map(|p| p.1).collect();
        let t = plain(&[2, 3]);
        let group = |of: &dyn Fn(usize) -> bool| (0..6).map(of).collect::<Vec<bool>>();
        let classes: Vec<_> = (0..6).map(|class| group(&|c| c == class)).collect();
        let expected = offsets_by_definition(&classes, &rows, &truth);
        prop_assert_eq!(class_offsets(&t, &rows, &truth), expected);
        let first = (0..2).map(|label| group(&|c| c / 3 == label));
        let labels: Vec<_> = first.chain((0..3).map(|label| group(&|c| c % 3 == label))).collect();
        let expected = offsets_by_definition(&labels, &rows, &truth);
        prop_assert_eq!(label_offsets(&t, &rows, &truth).unwrap(), expected);
    }

    #[test]
    fn offsets_never_make_the_macro_f1_they_were_tuned_for_worse(
        photos in prop::collection::vec((prop::collection::vec(-4f64..0.0, 6), 0usize..6), 1..40),
    ) {
        let t = plain(&[2, 3]);
        let (rows, truth): (Vec<Vec<f64>>, Vec<usize>) = photos.into_iter().unzip();
        let before = macro_f1(6, &rows, &truth, &[0.0; 6]);
        let of_classes = class_offsets(&t, &rows, &truth);
        let of_labels = label_offsets(&t, &rows, &truth).unwrap();
        for offsets in [&of_classes, &of_labels] {
            prop_assert!(macro_f1(6, &rows, &truth, offsets) >= before - 1e-12);
        }
        // Offsets of labels are sums of one a label.
        let second = of_labels[1] - of_labels[0];
        prop_assert!((of_labels[4] - of_labels[3] - second).abs() < 1e-9);
    }

    #[test]
    fn with_two_classes_the_best_of_all_thresholds_is_found(
        photos in prop::collection::vec((-4f64..4.0, 0usize..2), 2..30),
    ) {
        let t = plain(&[2]);
        let rows: Vec<Vec<f64>> = photos.iter().map(|p| vec![0.0, p.0]).collect();
        let truth: Vec<usize> = photos.iter().map(|p| p.1).collect();
        let found = macro_f1(2, &rows, &truth, &class_offsets(&t, &rows, &truth));
        let mut points: Vec<f64> = photos.iter().map(|p| -p.0).collect();
        points.sort_by(f64::total_cmp);
        let middles = points.windows(2).map(|w| 0.5 * (w[0] + w[1])).chain([0.0]);
        let best = middles.map(|b| macro_f1(2, &rows, &truth, &[0.0, b])).fold(0.0, f64::max);
        prop_assert!((found - best).abs() < 1e-12, "{} {}", found, best);
    }
}

#[test]
fn a_rule_is_made_of_what_the_model_has() {
    let t = plain(&[2, 2]);
    let classes = [Some(0), Some(3), None];
    let share = |rule, joint| untuned(rule, &t, joint, &classes).map(|d| d.joint_share);
    assert_eq!(share(DecisionRule::Product, Some(0.3)).unwrap(), 0.0);
    assert_eq!(share(DecisionRule::Fused, Some(0.3)).unwrap(), 0.3);
    assert_eq!(share(DecisionRule::Joint, Some(0.3)).unwrap(), 1.0);
    assert_eq!(share(DecisionRule::ClassOffsets, Some(0.3)).unwrap(), 0.3);
    assert_eq!(share(DecisionRule::LabelOffsets, None).unwrap(), 0.0);
    let e = format!("{:#}", share(DecisionRule::Fused, None).unwrap_err());
    assert!(e.contains("joint head"), "{e}");
    // Photos whose class is not known are no ground for offsets.
    let decision = untuned(DecisionRule::ClassOffsets, &t, None, &classes).unwrap();
    let logits = [vec![vec![0.0, 1.0], vec![0.0, 1.0]].into()];
    let found = tuned(decision, &t, &logits, &[None]).unwrap();
    assert_eq!(found.offsets, Vec::<f64>::new());
}

#[test]
fn a_joint_head_is_trained_saved_and_decides_and_a_stopped_run_goes_on_with_it() {
    let bench = Bench::new();
    let joint = [
        "model.joint={consistency=0.5,share=0.4,dropout=0.1}",
        "train.decision=fused",
        "train.fine_tune=frozen",
    ];
    let config = Bench::config(&joint).unwrap();
    bench.train(&config, "whole", false, None).unwrap();
    bench.train(&config, "parts", false, Some(3)).unwrap();
    bench.train(&config, "parts", true, None).unwrap();
    for file in ["best.safetensors", "scores.json", "metrics.csv"] {
        assert!(
            bench.bytes("whole", file) == bench.bytes("parts", file),
            "{file}"
        );
    }
    let file = ModelFile::read(bench.out("whole").join("best.safetensors")).unwrap();
    assert_eq!(file.description.decision.rule, DecisionRule::Fused);
    assert_eq!(file.description.decision.joint_share, 0.4);
    assert_eq!(file.tensors["joint.fc.weight"].dims(), [18, 1280]);
    // What it was drawn as at first, it is no more.
    let other = Bench::config(&[joint[0], joint[1], joint[2], "train.lr_heads=0"]).unwrap();
    bench.train(&other, "still", false, None).unwrap();
    let still = ModelFile::read(bench.out("still").join("best.safetensors")).unwrap();
    assert_ne!(
        differences::flat(&file.tensors["joint.fc.weight"]),
        differences::flat(&still.tensors["joint.fc.weight"])
    );
    // Taking a head out makes other classes: the joint head goes too.
    let less = hydranet::model_file::heads::remove(&file, "gender").unwrap();
    assert!(less.description.model.joint.is_none());
    assert_eq!(less.description.decision, Decision::default());
    let renamed = hydranet::model_file::heads::rename(&file, "gender", "sex").unwrap();
    assert_eq!(renamed.description.decision, file.description.decision);
    assert_eq!(renamed.tensors["joint.fc.bias"].dims(), [18]);
}

#[test]
fn offsets_are_tuned_when_training_has_ended_and_stand_in_the_file() {
    let bench = Bench::new();
    let settings = [
        "train.decision=class_offsets",
        "train.fine_tune=frozen",
        "train.mix_up=0",
    ];
    let config = Bench::config(&settings).unwrap();
    bench.train(&config, "run", false, None).unwrap();
    let path = bench.out("run").join("best.safetensors");
    let file = ModelFile::read(&path).unwrap();
    let decision = &file.description.decision;
    assert_eq!(decision.rule, DecisionRule::ClassOffsets);
    assert_eq!(decision.offsets.len(), 18);
    assert!(decision.offsets.iter().any(|o| *o != 0.0));
    // What was scored is what the file decides.
    let scores: serde_json::Value =
        serde_json::from_slice(&bench.bytes("run", "scores.json")).unwrap();
    let tuned = scores["class"]["macro_f1"].as_f64().unwrap();
    let record = String::from_utf8(bench.bytes("run", "metrics.csv")).unwrap();
    let titles = record.lines().next().unwrap().split(',');
    let column = titles.into_iter().position(|t| t == "macro_f1").unwrap();
    let cell = |line: &str| line.split(',').nth(column).unwrap().parse::<f64>().unwrap();
    let best = record.lines().skip(1).map(cell);
    assert!(tuned >= best.fold(0.0, f64::max) - 1e-6, "{tuned}");
    let text = String::from_utf8(bench.bytes("run", "valid_predictions.csv")).unwrap();
    let row: Vec<&str> = text.lines().nth(1).unwrap().split(',').collect();
    let photo = bench.data.with_file_name(row[0]);
    let prediction = Predictor::from_file(&path)
        .unwrap()
        .predict_file(photo)
        .unwrap();
    assert_eq!(prediction.class.to_string(), row[1]);
}

#[test]
fn a_head_that_applies_only_under_a_label_is_trained_and_scored_there_only() {
    let bench = Bench::new();
    let settings = [
        "heads.age.when={mask=['not_worn','incorrect']}",
        "train.fine_tune=frozen",
    ];
    let config = Bench::config(&settings).unwrap();
    let spec = config.model_spec().unwrap();
    let taxonomy = spec.taxonomy().unwrap();
    assert_eq!(taxonomy.num_classes(), 2 + 2 * 6);
    bench.train(&config, "run", false, None).unwrap();
    let mut dataset = bench.dataset(&config);
    hydranet::data::split::assign(&mut dataset, &config.train.split, 0).unwrap();
    let valid = dataset.indices(Split::Valid);
    let labels = |i: &usize| hydranet::data::targets::labels(&dataset.heads, &dataset.samples[*i]);
    let bare = valid.iter().filter(|i| labels(i)[0] != Some(0)).count();
    assert!(bare > 0 && bare < valid.len());
    let scores: serde_json::Value =
        serde_json::from_slice(&bench.bytes("run", "scores.json")).unwrap();
    assert_eq!(scores["heads"][2]["photos"], bare);
    assert_eq!(scores["heads"][0]["photos"], valid.len());
    assert_eq!(scores["class"]["photos"], valid.len());
    assert_eq!(scores["class"]["labels"].as_array().unwrap().len(), 14);
    // What is written on photos it does not apply to, is not learned from.
    let mut blind = dataset.clone();
    for i in 0..blind.samples.len() {
        if labels(&i)[0] == Some(0) {
            blind.samples[i].values[2] = None;
        }
    }
    let weights = || {
        hydranet::train::config::load_weights(&config, std::path::Path::new(runs::HEADS)).unwrap()
    };
    let stop = std::sync::atomic::AtomicBool::new(false);
    let train = |data, name: &str| {
        let out = bench.out(name);
        hydranet::train::trainer::Trainer::new(&config, weights(), data)
            .out(&out)
            .stop(&stop)
            .run()
            .unwrap();
        let file = ModelFile::read(out.join("last.safetensors")).unwrap();
        file.tensors
            .iter()
            .map(|(n, t)| (n.clone(), differences::flat(t)))
            .collect::<Vec<_>>()
    };
    assert!(train(&dataset, "seeing") == train(&blind, "blind"));
}
