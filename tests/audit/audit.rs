//! Audits of a few synthetic portraits.

use crate::common::runs::HEADS;
use hydranet::audit::confident::{Given, Quality, Rule};
use hydranet::audit::persons::Agreement;
use hydranet::audit::retrain::Retrained;
use hydranet::audit::{Audit, AuditConfig, Event, Flip, Injection, Unit, load_config, run};
use hydranet::cli::portraits::{PortraitConfig, write_portraits};
use hydranet::data::dataset::{Dataset, Value};
use hydranet::train::config::{Config, FineTune};
use hydranet::train::trainer;
use hydranet::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

struct Bench {
    dir: tempfile::TempDir,
    config: Config,
    dataset: Dataset,
}

impl Bench {
    fn new(people: usize, epochs: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = PortraitConfig {
            people,
            seed: 3,
            size: (64, 64),
        };
        let data = write_portraits(&dir.path().join("faces"), &config).unwrap();
        let cache = dir.path().join("features");
        let settings = [
            "model.input.size=[64,64]".to_string(),
            format!("train.epochs={epochs}"),
            "train.batch=16".into(),
            format!("train.feature_cache={:?}", cache.display().to_string()),
        ];
        let config = load_config(Path::new(HEADS), None, &settings).unwrap();
        let dataset = Dataset::open(&[data], &config.model_spec().unwrap().heads).unwrap();
        Self {
            dir,
            config,
            dataset,
        }
    }

    fn out(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// An audit, stopped at a step of training if asked to.
    fn audit(
        &self,
        name: &str,
        options: &AuditConfig,
        stop_at: Option<usize>,
    ) -> Result<Option<Audit>> {
        let stop = AtomicBool::new(false);
        let mut steps = 0;
        let (config, heads) = (&self.config, Path::new(HEADS));
        run(
            config,
            heads,
            &self.dataset,
            options,
            &self.out(name),
            &stop,
            &mut |event| {
                if let Event::Training(trainer::Event::Step { .. }) = event {
                    steps += 1;
                    stop.fetch_or(Some(steps) == stop_at, Ordering::Relaxed);
                }
            },
        )
        .map(|done| done.map(|audited| audited.audit))
    }

    fn rows(&self, name: &str, file: &str) -> Vec<BTreeMap<String, String>> {
        let mut reader = csv::Reader::from_path(self.out(name).join(file)).unwrap();
        reader.deserialize().map(|row| row.unwrap()).collect()
    }
}

#[test]
fn labels_made_wrong_are_found_far_above_chance() {
    let bench = Bench::new(60, 6);
    let options = AuditConfig {
        folds: 4,
        inject: Some(Injection {
            share: 0.1,
            flip: Flip::Uniform,
            unit: Unit::Person,
        }),
        ..AuditConfig::default()
    };
    let audit = bench.audit("audit", &options, None).unwrap().unwrap();
    let agreeing: Vec<bool> = audit.agreements.iter().map(|a| a.agrees).collect();
    assert_eq!(agreeing, [false, true, true]);
    let measured = audit.measured.as_ref().unwrap();
    assert_eq!(measured.injected[1].units, 6);
    assert!(measured.injected[1].photos >= 6);
    for head in &measured.heads {
        let share = head.injected as f64 / head.photos as f64;
        let by: Vec<&str> = head.rankings.iter().map(|r| r.by.as_str()).collect();
        let names = [
            "self_confidence",
            "normalized_margin",
            "confidence_weighted_entropy",
            "person",
            "training_loss",
        ];
        assert_eq!(by, names);
        for ranking in &head.rankings[..4] {
            let found = ranking.average_precision.unwrap();
            // Ages are drawn too small here to be told well.
            let wanted = match head.head.as_str() {
                "mask" => 5.0,
                "gender" => 2.0,
                _ => 1.2,
            };
            assert!(
                found > wanted * share,
                "{} by {}: {found} of {share}",
                head.head,
                ranking.by
            );
        }
        let found = &head.rules[&Rule::ConfidentLearning];
        assert!(
            found.precision > share && found.recall > 0.2,
            "{}: {found:?}",
            head.head
        );
    }
    let persons = measured.heads[1].persons.as_ref().unwrap();
    assert!(persons.precision > 0.1 && persons.recall > 0.2);
    assert!(measured.heads[0].persons.is_none());
    let text = audit.to_string();
    assert!(
        text.contains("gender agrees over a person's photos"),
        "{text}"
    );
}

#[test]
fn folds_are_trained_again_on_corrected_labels_and_compared_in_pairs() {
    let bench = Bench::new(18, 2);
    let mut options = AuditConfig {
        folds: 3,
        inject: Some(Injection {
            share: 0.1,
            flip: Flip::Uniform,
            unit: Unit::Person,
        }),
        retrain: true,
        ..AuditConfig::default()
    };
    let retrained = |name: &str, options: &AuditConfig| {
        let audit = bench.audit(name, options, None).unwrap().unwrap();
        audit.retrained.unwrap()
    };
    let noisy = retrained("noisy", &options);
    let arms = |r: &Retrained| -> Vec<String> { r.arms.iter().map(|a| a.name.clone()).collect() };
    assert_eq!(arms(&noisy), ["given", "dropped", "relabelled", "true"]);
    assert!(noisy.corrected["mask"] > 0.0);
    let heads: Vec<&str> = noisy.arms[0]
        .scores
        .iter()
        .map(|s| s.head.as_str())
        .collect();
    assert_eq!(heads, ["mask", "gender", "age", "class"]);
    for (head, given) in noisy.arms[0].scores.iter().enumerate() {
        assert!(given.macro_f1_difference.is_none());
        for arm in &noisy.arms[1..] {
            let score = &arm.scores[head];
            let difference = score.macro_f1_difference.unwrap();
            assert_eq!(difference.pairs, 3);
            let [before, after] = [given, score].map(|s| s.macro_f1.unwrap());
            assert!((before + difference.mean - after).abs() < 1e-12);
            assert!(
                difference.low <= Some(difference.mean) && Some(difference.mean) <= difference.high
            );
        }
    }
    options.inject = None;
    let plain = retrained("plain", &options);
    assert_eq!(arms(&plain), ["given", "dropped", "relabelled"]);
    assert_eq!(plain.scored_against, "the given labels");
}

#[test]
fn files_hold_what_another_program_needs_to_find_the_same() {
    let mut bench = Bench::new(24, 2);
    bench.dataset.samples[5].values[0] = None;
    let options = AuditConfig {
        folds: 3,
        ..AuditConfig::default()
    };
    let audit = bench.audit("audit", &options, None).unwrap().unwrap();
    assert!(audit.measured.is_none() && audit.retrained.is_none());
    assert!(!bench.out("audit/runs").exists());
    let photos = bench.dataset.samples.len();
    let counts: Vec<usize> = audit.heads.iter().map(|h| h.photos).collect();
    assert_eq!(counts, [photos - 1, photos, photos, photos - 1]);

    // Nobody stands in two folds.
    let rows = bench.rows("audit", "out_of_fold.csv");
    assert_eq!(rows.len(), photos);
    let sides: BTreeSet<(&str, &str)> = rows
        .iter()
        .map(|r| (r["person"].as_str(), r["fold"].as_str()))
        .collect();
    assert_eq!(sides.len(), 24);

    // Confident learning on the file gives the suspects of the audit, in their order.
    let suspects = bench.rows("audit", "suspects.csv");
    assert_eq!(suspects.len(), audit.suspects.len());
    for head in &audit.heads {
        let class = head.head == "class";
        let column = |label: usize| {
            if class {
                format!("class_{label}")
            } else {
                format!("{}_{}", head.head, head.labels[label])
            }
        };
        let known: Vec<_> = rows
            .iter()
            .filter(|r| !r[&format!("{}_given", head.head)].is_empty())
            .collect();
        let (mut labels, mut probs) = (Vec::new(), Vec::new());
        for row in &known {
            let given = &row[&format!("{}_given", head.head)];
            let name = if class {
                given.parse().ok()
            } else {
                head.labels.iter().position(|l| l == given)
            };
            labels.push(name.unwrap());
            let own: Vec<f64> = (0..head.labels.len())
                .map(|l| row[&column(l)].parse().unwrap())
                .collect();
            assert!((own.iter().sum::<f64>() - 1.0).abs() < 1e-9);
            probs.extend(own);
        }
        let given = Given::new(&labels, &probs, head.labels.len()).unwrap();
        let joint = given.confident_joint();
        assert_eq!(joint.calibrated, head.confident.calibrated);
        let issues = given.issues(&joint, Rule::PruneByNoiseRate, 1).unwrap();
        let ours: Vec<&str> = given
            .ranked(&issues, Quality::SelfConfidence)
            .unwrap()
            .into_iter()
            .map(|i| known[i]["path"].as_str())
            .collect();
        let of_head = suspects.iter().filter(|s| s["head"] == head.head);
        let listed: Vec<&str> = of_head.map(|s| s["path"].as_str()).collect();
        assert_eq!(ours, listed, "{}", head.head);
    }

    // A row a person and head that agrees.
    let persons = bench.rows("audit", "persons.csv");
    assert_eq!(persons.len(), 24 * 2);
    assert!(persons.iter().all(|p| p["disagreeing"].is_empty()));
    let json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(bench.out("audit/audit.json")).unwrap()).unwrap();
    assert_eq!(json["heads"][0]["head"], "mask");
    assert_eq!(json["suspects"].as_array().unwrap().len(), suspects.len());
    assert!(json.get("measured").is_none());
}

#[test]
fn a_label_that_stands_alone_among_a_persons_is_seen() {
    let mut bench = Bench::new(12, 2);
    // One photo of one person gets the other gender.
    let person = bench.dataset.samples[0].person.clone().unwrap();
    let Some(Value::Label(gender)) = bench.dataset.samples[0].values[1] else {
        panic!("a gender");
    };
    bench.dataset.samples[0].values[1] = Some(Value::Label(1 - gender));
    let name = bench.dataset.samples[0].name.clone();
    let options = AuditConfig {
        folds: 2,
        ..AuditConfig::default()
    };
    let audit = bench.audit("audit", &options, None).unwrap().unwrap();
    let found = audit.persons.iter().find(|p| p.person == person).unwrap();
    let gender = found.heads.iter().find(|h| h.head == "gender").unwrap();
    assert_eq!(gender.disagreeing, [name]);
    let others = audit.persons.iter().filter(|p| p.person != person);
    assert!(
        others
            .flat_map(|p| &p.heads)
            .all(|h| h.disagreeing.is_empty())
    );
    let agreement = &audit.agreements[1];
    assert_eq!((agreement.persons, agreement.of_one_label), (12, 11));
    assert!(agreement.agrees);
}

#[test]
fn stopped_and_started_again_it_ends_with_the_same_bytes() {
    let bench = Bench::new(12, 2);
    let options = AuditConfig {
        folds: 2,
        inject: Some(Injection {
            share: 0.2,
            flip: Flip::Confusable,
            unit: Unit::Photo,
        }),
        ..AuditConfig::default()
    };
    let whole = bench.audit("whole", &options, None).unwrap().unwrap();
    assert!(bench.audit("parts", &options, Some(7)).unwrap().is_none());
    assert!(bench.audit("parts", &options, Some(3)).unwrap().is_none());
    let parts = bench.audit("parts", &options, None).unwrap().unwrap();
    assert_eq!(whole, parts);
    for file in [
        "audit.json",
        "suspects.csv",
        "persons.csv",
        "out_of_fold.csv",
    ] {
        let bytes = |name: &str| std::fs::read(bench.out(name).join(file)).unwrap();
        assert!(bytes("whole") == bytes("parts"), "{file}");
    }
}

#[test]
fn what_was_begun_on_rows_in_another_order_begins_again() {
    let mut bench = Bench::new(12, 2);
    let options = AuditConfig {
        folds: 2,
        ..AuditConfig::default()
    };
    assert!(bench.audit("out", &options, Some(3)).unwrap().is_none());
    bench.dataset.samples.reverse();
    assert!(bench.audit("out", &options, None).unwrap().is_some());
}

#[test]
fn the_backbone_is_frozen_unless_the_configuration_says_otherwise() {
    let load = |settings: &[&str]| {
        let settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
        load_config(Path::new(HEADS), None, &settings)
            .unwrap()
            .train
    };
    let plain = load(&[]);
    assert_eq!(plain.fine_tune, FineTune::Frozen);
    assert!(plain.keeps_features());
    let full = load(&["train.fine_tune=full"]);
    assert_eq!((full.fine_tune, full.mix_up), (FineTune::Full, 0.2));
}

#[test]
fn what_cannot_be_audited_is_refused_in_words() {
    let bench = Bench::new(6, 1);
    let refused = |options: AuditConfig| bench.audit("refused", &options, None).unwrap_err();
    let folds = |folds| AuditConfig {
        folds,
        ..AuditConfig::default()
    };
    for wrong in [1, 7] {
        let text = refused(folds(wrong)).to_string();
        let expected = format!("folds: expected from 2 to 6, the number of persons, found {wrong}");
        assert_eq!(text, expected);
    }
    let error = refused(AuditConfig {
        agreeing: Some(vec!["hat".into()]),
        ..folds(2)
    });
    assert!(matches!(error, Error::UnknownName { what: "head", .. }));
    for share in [0.0, 0.5, f64::NAN] {
        let text = refused(AuditConfig {
            inject: Some(Injection {
                share,
                flip: Flip::Uniform,
                unit: Unit::Photo,
            }),
            ..folds(2)
        })
        .to_string();
        assert!(
            text.starts_with("the share of labels to make wrong"),
            "{text}"
        );
    }
    assert!("sideways".parse::<Flip>().is_err() && "family".parse::<Unit>().is_err());
    let taxonomy = bench.config.model_spec().unwrap().taxonomy().unwrap();
    let none = Agreement::of_heads(&bench.dataset, &taxonomy, Some(&[])).unwrap();
    assert!(none.iter().all(|a| !a.agrees));
}
