//! The bench of experiments on a few synthetic portraits.

use hydranet::data::dataset::{Dataset, Split};
use hydranet::experiment::record::RunRecord;
use hydranet::experiment::{Event, ExperimentFile, Outcome, Plan, State, run};
use hydranet::train::trainer;
use hydranet::{Error, Result};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::common::runs::{Bench, HEADS};

const SMALL: &str = r#"
folds = 2
set = ["model.input.size=[32,32]", "train.epochs=2", "train.batch=8", "train.mix_up=0"]
"#;

const MIXED: &str = "[[variants]]\nset = [\"train.mix_up=0.2\"]\n";
const FROZEN: &str = "[[variants]]\nset = [\"train.fine_tune=frozen\", \"train.augment.flip=0\"]\n";

fn file(bench: &Bench, toml: &str) -> Result<ExperimentFile> {
    let mut file = ExperimentFile::from_toml(toml, "experiment.toml")?;
    file.heads = HEADS.into();
    file.data = vec![bench.data.clone()];
    Ok(file)
}

fn planned(file: &ExperimentFile, origin: &str) -> Result<Plan> {
    let plan = Plan::of_readable(file, origin, &mut |_, _| Ok(true))?;
    Ok(plan.expect("nothing stops it"))
}

fn plan(bench: &Bench, toml: &str) -> Result<Plan> {
    planned(&file(bench, toml)?, "experiment.toml")
}

/// Runs, stopping at a training step if asked to; gives the outcome and, of each run begun, its place and whether it was resumed.
fn go(plan: &Plan, out: &Path, stop_at: Option<usize>) -> (Outcome, Vec<(usize, bool)>) {
    let stop = AtomicBool::new(false);
    let (mut begun, mut steps) = (Vec::new(), 0);
    let outcome = run(plan, out, &stop, &mut |event| match event {
        Event::Begin { place, resumed, .. } => begun.push((*place, *resumed)),
        Event::Training(trainer::Event::Step { .. }) => {
            steps += 1;
            if Some(steps) == stop_at {
                stop.store(true, Ordering::Relaxed);
            }
        }
        _ => {}
    });
    (outcome.unwrap(), begun)
}

fn states(outcome: &Outcome) -> Vec<State> {
    outcome.runs.iter().map(|r| r.state).collect()
}

fn record(out: &Path, outcome: &Outcome, place: usize) -> RunRecord {
    let folder = out.join(&outcome.runs[place].folder);
    RunRecord::read(&folder).unwrap().unwrap()
}

#[test]
fn stopped_resumed_and_added_to_it_runs_nothing_twice_and_ends_with_the_same_results() {
    let bench = Bench::new();
    let small = plan(&bench, &format!("{SMALL}{MIXED}")).unwrap();
    let (whole, parts) = (bench.out("whole"), bench.out("parts"));
    let (outcome, begun) = go(&small, &whole, None);
    assert_eq!(begun, [(1, false), (2, false), (3, false), (4, false)]);
    assert_eq!(states(&outcome), [State::Done; 4]);
    assert!(!outcome.stopped);

    // The first run's two epochs, and a bit of the second run.
    let record_of_first = record(&whole, &outcome, 0);
    let split = std::fs::read_to_string(whole.join(&outcome.runs[0].folder).join("split.csv"));
    let trained = split.unwrap().matches(",train").count();
    let steps = trained / 8 + usize::from(trained % 8 > 1);
    let (stopped, begun) = go(&small, &parts, Some(2 * steps + 3));
    assert_eq!(begun, [(1, false), (2, false)]);
    assert!(stopped.stopped);
    let here = [State::Done, State::Stopped, State::ToDo, State::ToDo];
    assert_eq!(states(&stopped), here);
    assert!(!record(&parts, &stopped, 1).finished);
    assert_eq!(record(&parts, &stopped, 0).scores, record_of_first.scores);

    let (resumed, begun) = go(&small, &parts, None);
    assert_eq!(begun, [(2, true), (3, false), (4, false)]);
    let bytes = |out: &Path, name: &Path| std::fs::read(out.join(name)).unwrap();
    for (place, run) in resumed.runs.iter().enumerate() {
        let (a, b) = (
            record(&whole, &outcome, place),
            record(&parts, &resumed, place),
        );
        assert_eq!(a.scores, b.scores);
        assert!(!a.scores.is_empty() && a.finished && a.epochs == 2);
        for file in [
            "best.safetensors",
            "test_scores.json",
            "test_predictions.csv",
        ] {
            let name = run.folder.join(file);
            assert!(bytes(&whole, &name) == bytes(&parts, &name), "{name:?}");
        }
    }
    let results = Path::new("results.csv");
    assert_eq!(bytes(&whole, results), bytes(&parts, results));

    // Nothing is left to do.
    assert_eq!(go(&small, &parts, None).1, []);
    // A variant that is added costs its own runs, whose features are kept in one place.
    let larger = plan(&bench, &format!("{SMALL}{FROZEN}{MIXED}")).unwrap();
    let (added, begun) = go(&larger, &parts, None);
    assert_eq!(begun, [(2, false), (5, false)]);
    assert_eq!(states(&added), [State::Done; 6]);
    assert_eq!(
        std::fs::read_dir(parts.join("features")).unwrap().count(),
        1
    );
    let comparison = added.comparison.unwrap();
    let titles: Vec<&str> = comparison
        .variants
        .iter()
        .map(|v| v.title.as_str())
        .collect();
    let frozen = "train.augment.flip=0.0, train.fine_tune=frozen";
    assert_eq!(titles, ["baseline", frozen, "train.mix_up=0.2"]);
    assert!(comparison.figures[0].rows.iter().all(|r| r.runs == 2));
    assert_eq!(comparison.figures[0].rows[2].difference.unwrap().pairs, 2);
}

#[test]
fn the_same_rows_in_another_order_are_other_runs() {
    let bench = Bench::new();
    let runs = || {
        let runs = plan(&bench, SMALL).unwrap().runs.into_iter();
        runs.map(|r| (r.fingerprint, r.data))
            .unzip::<_, _, Vec<_>, Vec<_>>()
    };
    let (then, data) = runs();
    let listing = std::fs::read_to_string(&bench.data).unwrap();
    let (header, rows) = listing.split_once('\n').unwrap();
    let rows: Vec<&str> = rows.lines().rev().collect();
    std::fs::write(&bench.data, format!("{header}\n{}\n", rows.join("\n"))).unwrap();
    let (now, same) = runs();
    assert_eq!(data, same, "photos and sides are the same");
    assert!(then.iter().zip(&now).all(|(then, now)| then != now));
}

#[test]
fn every_photo_is_held_out_once_and_its_person_is_never_trained_on() {
    let bench = Bench::new();
    let toml = SMALL
        .replace("folds = 2", "folds = 3\nseeds = [4]")
        .replace("epochs=2", "epochs=1");
    let plan = plan(&bench, &toml).unwrap();
    let (outcome, _) = go(&plan, &bench.out("out"), None);
    let mut held_out = Vec::new();
    for run in &outcome.runs {
        let folder = bench.out("out").join(&run.folder);
        let split = std::fs::read_to_string(folder.join("split.csv")).unwrap();
        let rows: Vec<Vec<&str>> = split
            .lines()
            .skip(1)
            .map(|l| l.split(',').collect())
            .collect();
        let persons = |side: &str| -> BTreeSet<&str> {
            let of_side = rows.iter().filter(|r| r[2] == side);
            of_side.map(|r| r[1]).collect()
        };
        let sides = ["train", "valid", "test"].map(persons);
        assert!(sides.iter().all(|s| !s.is_empty()));
        assert!(sides[0].is_disjoint(&sides[2]) && sides[1].is_disjoint(&sides[2]));
        assert!(sides[0].is_disjoint(&sides[1]));
        let predicted = std::fs::read_to_string(folder.join("test_predictions.csv")).unwrap();
        let names = predicted
            .lines()
            .skip(1)
            .map(|l| l.split(',').next().unwrap().to_string());
        held_out.extend(names);
    }
    let photos = Dataset::open(std::slice::from_ref(&bench.data), &plan_heads())
        .unwrap()
        .samples
        .len();
    let different: BTreeSet<&String> = held_out.iter().collect();
    assert_eq!((held_out.len(), different.len()), (photos, photos));
    // It is what `evaluate` gives for the best model on that side.
    let folder = bench.out("out").join(&outcome.runs[0].folder);
    let scores: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.join("test_scores.json")).unwrap()).unwrap();
    let record = record(&bench.out("out"), &outcome, 0);
    assert_eq!(
        scores["class"]["macro_f1"].as_f64(),
        record.scores.get("macro_f1").copied()
    );
    assert_eq!(
        scores["heads"][2]["brier"].as_f64(),
        record.scores.get("age.brier").copied()
    );
    let test = std::fs::read_to_string(folder.join("split.csv")).unwrap();
    assert_eq!(
        scores["photos"],
        test.matches(&format!(",{}", Split::Test)).count()
    );
}

fn plan_heads() -> Vec<hydranet::HeadSpec> {
    Bench::config(&[]).unwrap().model_spec().unwrap().heads
}

#[test]
fn variants_with_other_labels_hold_out_the_same_photos() {
    let bench = Bench::new();
    let toml = format!(
        "{SMALL}[[variants]]\nset = [\"heads.age.thresholds=[40,70]\"]\n[[variants]]\nset = [\"model.heads=[\\\"mask\\\"]\"]\n"
    );
    let plan = plan(&bench, &toml.replace("epochs=2", "epochs=1")).unwrap();
    let (outcome, _) = go(&plan, &bench.out("out"), None);
    let split = |place: usize| {
        let folder = bench.out("out").join(&outcome.runs[place].folder);
        std::fs::read(folder.join("split.csv")).unwrap()
    };
    assert!(split(0) == split(1) && split(0) == split(2) && split(0) != split(3));
    let comparison = outcome.comparison.unwrap();
    assert_eq!(comparison.variants[2].title, "model.heads=[mask]");
    // A head that a variant lacks has no figure there.
    let age = comparison
        .figures
        .iter()
        .find(|f| f.figure.to_string() == "age.macro_f1")
        .unwrap();
    assert_eq!((age.rows[2].runs, age.rows[2].mean), (0, None));
    assert_eq!(age.rows[1].difference.unwrap().pairs, 2);
}

#[test]
fn a_run_that_would_not_end_in_time_is_not_begun_and_the_file_says_so() {
    let bench = Bench::new();
    let out = bench.out("out");
    let mut plan = plan(&bench, &SMALL.replace("epochs=2", "epochs=1")).unwrap();
    plan.minutes = Some(1e-9);
    let (outcome, begun) = go(&plan, &out, None);
    assert_eq!((begun.len(), states(&outcome)), (0, vec![State::NoTime; 2]));
    assert!(outcome.comparison.is_none() && !outcome.stopped);
    let index = std::fs::read_to_string(out.join("experiment.json")).unwrap();
    assert_eq!(index.matches("no_time").count(), 2);
    // With time for one, by what the first one is said to have taken.
    plan.minutes = None;
    let (done, _) = go(&plan, &out, Some(1));
    assert_eq!(states(&done), [State::Stopped, State::ToDo]);
    let (done, _) = go(&plan, &out, None);
    assert_eq!(states(&done), [State::Done; 2]);
    let mut record = record(&out, &done, 0);
    record.seconds = 1e6;
    let path = out.join(&done.runs[0].folder).join("run.json");
    std::fs::write(&path, serde_json::to_vec(&record).unwrap()).unwrap();
    std::fs::remove_dir_all(out.join(&done.runs[1].folder)).unwrap();
    plan.minutes = Some(60.0);
    let (outcome, begun) = go(&plan, &out, None);
    assert_eq!(
        (begun.len(), states(&outcome)),
        (0, vec![State::Done, State::NoTime])
    );
    record.seconds = 1.0;
    std::fs::write(&path, serde_json::to_vec(&record).unwrap()).unwrap();
    assert_eq!(states(&go(&plan, &out, None).0), [State::Done; 2]);
}

#[test]
fn a_variant_without_hope_is_given_up_and_one_that_diverges_does_not_end_the_others() {
    let bench = Bench::new();
    let toml = SMALL
        .replace("folds = 2", "folds = 3\nconfidence = 0.1")
        .replace("epochs=2", "epochs=1");
    let diverges = "[[variants]]\nset = [\"train.lr_backbone=1e30\", \"train.lr_heads=1e30\", \"train.warm_up=0.0\"]\n";
    // Nothing gains a whole point of F1.
    let rule = "[give_up]\nmargin = 1.0\n";
    let plan = plan(&bench, &format!("{toml}{rule}{MIXED}{diverges}")).unwrap();
    let (outcome, _) = go(&plan, &bench.out("out"), None);
    let (d, g, f) = (State::Done, State::GivenUp, State::Failed);
    assert_eq!(states(&outcome), [d, d, f, d, d, f, d, g, f]);
    let failed = record(&bench.out("out"), &outcome, 2);
    assert!(failed.failed.unwrap().contains("learning rate"));
    let (again, begun) = go(&plan, &bench.out("out"), None);
    assert_eq!((states(&again), begun.len()), (states(&outcome), 0));
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_run() {
    let bench = Bench::new();
    let variant = |set: &str| format!("{SMALL}[[variants]]\nset = [{set}]\n");
    for (toml, words) in [
        (format!("{SMALL}variant = 3"), "unknown field `variant`"),
        (
            SMALL.replace("folds = 2", "folds = 1"),
            "folds: expected at least 2",
        ),
        (
            SMALL.replace("folds = 2", "folds = 500"),
            "the number of persons",
        ),
        (format!("seeds = [1, 1]\n{SMALL}"), "different numbers"),
        (
            format!("minutes = 0\n{SMALL}"),
            "minutes: expected a number above 0",
        ),
        (format!("confidence = 95.0\n{SMALL}"), "between 0 and 1"),
        (
            format!("{SMALL}[give_up]\nafter = 1\n"),
            "one difference has no interval",
        ),
        (
            format!("metrics = [\"f1\"]\n{SMALL}"),
            "no metric named `f1`",
        ),
        (
            format!("metrics = [\"glasses.macro_f1\"]\n{SMALL}"),
            "no head named `glasses`",
        ),
        (
            format!("metrics = [\"mask.quadratic_kappa\"]\n{SMALL}"),
            "labels have an order",
        ),
        (
            variant("\"train.epochz=3\""),
            "variant 1: the setting train.epochz=3",
        ),
        (
            variant("\"train.epochs=0\""),
            "variant 1: the setting train.epochs=0",
        ),
        (variant("\"train.mix_up=0.0\""), "the baseline again"),
        (
            format!("{}{MIXED}", variant("\"train.mix_up=0.2\"")),
            "variant 1 again",
        ),
        (variant("\"train.seed=3\""), "no `train.seed`"),
        (variant("\"train.split.valid=0.3\""), "no `train.split`"),
        (
            variant(
                "'heads.hat={name=\"hat\", labels=[\"no\",\"yes\"]}', 'model.heads=[\"mask\",\"hat\"]'",
            ),
            "column `hat` of the data",
        ),
        (
            variant("'heads.hat={name=\"hat\", labels=[\"no\",\"yes\"]}', 'model.heads=[\"hat\"]'"),
            "variant 1, reads it",
        ),
    ] {
        let message = match plan(&bench, &toml) {
            Err(e) => format!("{e:#}"),
            Ok(_) => panic!("accepted: {toml}"),
        };
        assert!(message.contains(words), "{message}\nlacks {words}");
    }
    let mut nothing = file(&bench, SMALL).unwrap();
    nothing.data.clear();
    let e = planned(&nothing, "experiment.toml").unwrap_err();
    assert!(
        matches!(e, Error::Invalid { .. }) && format!("{e:#}").contains("given beside the file"),
        "{e}"
    );
}

#[test]
fn the_shipped_experiments_can_be_planned() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/experiments");
    let dir = tempfile::tempdir().unwrap();
    let listing = dir.path().join("faces.csv");
    let mut text = String::from("path,person,mask,gender,age,split,class\n");
    for i in 0..180usize {
        let mask = ["worn", "incorrect", "not_worn"][i % 3];
        let gender = ["male", "female"][i / 3 % 2];
        let (person, age, class) = (i / 3, 20 + i / 6 % 3 * 25, i % 18);
        text += &format!("{i}.jpg,p{person},{mask},{gender},{age},train,{class}\n");
    }
    std::fs::write(&listing, text).unwrap();
    for (name, variants, folds) in [
        ("portraits.toml", 4, 3),
        ("faces.toml", 14, 5),
        ("faces_features.toml", 30, 5),
    ] {
        let path = folder.join(name);
        let mut file = ExperimentFile::read(&path).unwrap();
        assert!(file.heads.join("model.toml").is_file());
        assert!(file.data.iter().all(|d: &PathBuf| d.starts_with(&folder)));
        file.data = vec![listing.clone()];
        let plan = planned(&file, name).unwrap();
        assert_eq!(plan.variants.len(), variants, "{name}");
        assert_eq!(plan.runs.len(), folds * variants, "{name}");
        let different: BTreeSet<&str> = plan.runs.iter().map(|r| r.fingerprint.as_str()).collect();
        assert_eq!(different.len(), plan.runs.len());
    }
}

#[test]
fn corrections_of_a_variant_hold_for_what_it_learns_from_only() {
    let bench = Bench::new();
    let dataset = Dataset::open(std::slice::from_ref(&bench.data), &plan_heads()).unwrap();
    let fixes = bench.dir.path().join("fixes.csv");
    let mut text = "version,photo,action,head,label\n".to_string();
    for sample in &dataset.samples {
        text += &format!("1,{},relabel,age,20\n", sample.name);
    }
    text += &format!("1,{},drop,,\n", dataset.samples[0].name);
    std::fs::write(&fixes, text).unwrap();
    let toml = format!(
        "{SMALL}[[variants]]\nset = [{:?}]\n",
        format!("train.corrections=[\"{}\"]", fixes.display())
    );
    let plan = plan(&bench, &toml.replace("epochs=2", "epochs=1")).unwrap();
    let corrected = &plan.variants[1].corrected;
    assert_eq!((corrected.dropped_photos, corrected.notes.len()), (1, 1));
    let out = bench.out("out");
    let (outcome, _) = go(&plan, &out, None);
    let cells = |place: usize, file: &str, column: &str| -> Vec<String> {
        let path = out.join(&outcome.runs[place].folder).join(file);
        let text = std::fs::read_to_string(path).unwrap();
        let rows: Vec<Vec<&str>> = text.lines().map(|l| l.split(',').collect()).collect();
        let at = rows[0].iter().position(|c| *c == column).unwrap();
        rows[1..].iter().map(|r| r[at].to_string()).collect()
    };
    for fold in [0, 2] {
        let truth = |place: usize, file: &str| cells(place, file, "age_truth");
        let held_out = truth(fold, "test_predictions.csv");
        assert_eq!(held_out, truth(fold + 1, "test_predictions.csv"));
        assert!(held_out.iter().any(|l| *l != "under_30"));
        let learned = truth(fold + 1, "valid_predictions.csv");
        assert!(learned.iter().all(|l| l == "under_30"), "{learned:?}");
    }
    // The photo that is dropped is left out where it would be learned from, in one fold of the two.
    let photos = |place: usize| cells(place, "split.csv", "path").len();
    let missing: usize = [0, 2].map(|p| photos(p) - photos(p + 1)).iter().sum();
    assert_eq!(missing, 1);
    assert_ne!(plan.runs[0].data, plan.runs[1].data);
}
