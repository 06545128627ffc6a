//! A run's folder, read back.

use super::data::{PhotoKey, Source};
use super::metrics::Epochs;
use crate::data::dataset::Dataset;
use crate::data::photo_names::LISTING;
use crate::error::{Error, Result};
use crate::eval::read_predictions::read_predictions;
use crate::head::HeadSpec;
use crate::train::config::Config;
use crate::train::run_folder::RunFolder;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

/// What a run's predictions and scores are called: those of photos held out, where there are any, before those of the validation
/// side.
const SCORED: [(&str, &str, &str); 2] = [
    ("test", "test_predictions.csv", "test_scores.json"),
    ("valid", "valid_predictions.csv", "scores.json"),
];

impl<'a> Source<'a> {
    /// Of a run's folder; `dataset` is what it was trained on, where that is at hand.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it is no run's folder, and what reading its files gives; a run that goes on, and files that are not
    /// there, are none.
    pub(crate) fn of_run(folder: &Path, dataset: Option<&'a Dataset>) -> Result<Self> {
        let file = folder.join("config.toml");
        if !file.is_file() {
            return Err(Error::Invalid {
                what: folder.display().to_string(),
                expected: "the folder of a run, with its config.toml".into(),
                found: if folder.is_dir() {
                    "a folder without it".into()
                } else {
                    "no folder".into()
                },
            });
        }
        let config = Config::read(&file)?;
        let spec = config.model_spec()?;
        let taxonomy = spec.taxonomy()?;
        let mut source = Self {
            name: name(folder),
            facts: of_config(&config, &spec.heads),
            notes: Vec::new(),
            settings: config.to_toml()?,
            heads: spec.heads,
            taxonomy,
            epochs: Epochs::read(&folder.join("metrics.csv"))?,
            side: String::new(),
            rows: Vec::new(),
            scores: None,
            persons: HashMap::new(),
            dataset,
            heat: BTreeMap::new(),
        };
        source.read_scores(folder)?;
        source.read_split(&folder.join("split.csv"))?;
        let epochs = source.epochs.len();
        let planned = config.train.epochs;
        source
            .facts
            .push(("epochs".into(), format!("{epochs} of {planned} trained")));
        if let Some((epoch, best)) = source.epochs.best("macro_f1") {
            source.facts.push((
                "highest macro F1".into(),
                format!("{best:.4} on the validation side, in epoch {epoch}"),
            ));
        }
        if epochs == 0 {
            source.notes.push("no epoch has ended yet".into());
        }
        Ok(source)
    }

    fn read_scores(&mut self, folder: &Path) -> Result<()> {
        let there = |(_, predictions, scores): &&(&str, &str, &str)| {
            folder.join(predictions).is_file() && folder.join(scores).is_file()
        };
        let Some((side, predictions, scores)) = SCORED.iter().find(there) else {
            self.notes.push(if RunFolder::holds_run(folder) {
                "no photo is scored: the run has not ended, or has no labelled validation side"
                    .into()
            } else {
                "no photo is scored: the folder holds no scores and predictions".into()
            });
            return Ok(());
        };
        self.side = side.to_string();
        self.rows = read_predictions(&folder.join(predictions), &self.taxonomy)?;
        let path = folder.join(scores);
        let bytes = crate::io::read::bytes(&path, crate::io::read::RECORD)?;
        let scores = serde_json::from_slice(&bytes).map_err(|e| Error::Config {
            origin: path.display().to_string(),
            message: "not the scores of a run".into(),
            source: Some(e.into()),
        })?;
        self.scores = Some(scores);
        Ok(())
    }

    /// Who is on the photos, and how many stand where.
    fn read_split(&mut self, path: &Path) -> Result<()> {
        if !path.exists() {
            self.notes
                .push("which photos were trained on is not recorded: there is no split.csv".into());
            return Ok(());
        }
        let bytes = crate::io::read::bytes(path, crate::io::read::RECORD)?;
        let fail = |e: csv::Error| Error::Data {
            path: path.into(),
            row: None,
            message: e.to_string(),
        };
        let mut reader = csv::Reader::from_reader(bytes.as_slice());
        let listed = reader
            .headers()
            .map_err(fail)?
            .iter()
            .position(|t| t == LISTING);
        let (mut photos, mut persons) = (BTreeMap::new(), BTreeMap::new());
        for row in reader.records() {
            let row = row.map_err(fail)?;
            let cell = |i: usize| row.get(i).unwrap_or_default();
            let (name, person, side) = (cell(0), cell(1), cell(2));
            *photos.entry(side.to_string()).or_insert(0usize) += 1;
            if !person.is_empty() {
                let of_side: &mut BTreeSet<String> = persons.entry(side.to_string()).or_default();
                of_side.insert(person.into());
                let key: PhotoKey = (name.into(), listed.map(|i| cell(i).into()));
                self.persons.insert(key, person.into());
            }
        }
        let words = [
            ("train", "training"),
            ("valid", "validation"),
            ("test", "test"),
            ("", "no side"),
        ];
        let counts = words.iter().filter_map(|(side, word)| {
            let count = photos.get(*side)?;
            let of = persons.get(*side).map_or(0, BTreeSet::len);
            let of = if of > 0 {
                format!(" of {of} persons")
            } else {
                String::new()
            };
            Some(format!("{count}{of} in {word}"))
        });
        let counts: Vec<String> = counts.collect();
        self.facts.insert(0, ("photos".into(), counts.join("; ")));
        Ok(())
    }
}

/// What a folder is called: by its last part, or all of it where that says nothing.
fn name(folder: &Path) -> String {
    let last = folder.file_name().map(|n| n.to_string_lossy().into_owned());
    last.unwrap_or_else(|| folder.display().to_string())
}

/// A configuration in words.
fn of_config(config: &Config, heads: &[HeadSpec]) -> Vec<(String, String)> {
    let train = &config.train;
    let mut facts = of_heads(heads);
    facts.insert(0, ("backbone".into(), config.model.backbone.to_string()));
    let weights = config.model.weights.as_deref().unwrap_or("random");
    facts.insert(1, ("weights".into(), weights.into()));
    facts.insert(2, ("input".into(), config.model.input.words()));
    let rates = format!(
        "learning rate {:.1e} of the backbone, {:.1e} of the heads; batches of {}; seed {}",
        train.lr_backbone, train.lr_heads, train.batch, train.seed
    );
    facts.push(("training".into(), rates));
    facts
}

/// Heads in words.
pub(super) fn of_heads(heads: &[HeadSpec]) -> Vec<(String, String)> {
    let words = |head: &HeadSpec| {
        let kind = match head {
            h if h.is_multi_label() => " (several at once)".into(),
            h => h.labels.number.map_or(String::new(), |n| {
                format!(" (a number from {} to {})", n.range[0], n.range[1])
            }),
        };
        let labels = head.labels.names.join(", ");
        (
            format!("head {}", head.name),
            format!("{}{kind}", crate::eval::score::shortened(&labels, 300)),
        )
    };
    heads.iter().map(words).collect()
}
