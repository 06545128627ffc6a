//! The data that a model is used on, with every photo on the side where it stood in training.

use super::broken::take_out_broken;
use super::columns::ColumnArgs;
use super::output::{Progress, show_corrections};
use super::terminal::note;
use crate::data::columns::Naming;
use crate::data::corrections::Corrections;
use crate::data::dataset::{Dataset, Split};
use crate::data::seen::{Sides, apply_split_file, settle};
use crate::error::shown;
use crate::{Description, Error, Result};
use clap::Args;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

/// Which photos, and what is known about them.
#[derive(Args)]
pub(super) struct DataArgs {
    /// A listing in CSV or Parquet, a shard in tar, or a folder of photos; may be given several times.
    #[arg(long, required = true, value_name = "PATH")]
    pub(super) data: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) columns: ColumnArgs,
    #[command(flatten)]
    pub(super) split_files: SplitFiles,
    /// Corrections to apply, in TOML or CSV; may be given several times.
    #[arg(long, value_name = "FILE")]
    pub(super) corrections: Vec<PathBuf>,
    /// Name photos that cannot be read, and go on without them.
    #[arg(long)]
    pub(super) skip_broken: bool,
}

/// Where sides are given beside the listing.
#[derive(Args, Clone, Default)]
pub(super) struct SplitFiles {
    /// The split.csv of a run, or any CSV with the columns path and split: the sides of the photos, as if the listing gave them;
    /// may be given several times.
    #[arg(long = "split-file", value_name = "FILE")]
    files: Vec<PathBuf>,
}

impl SplitFiles {
    /// These files.
    pub(super) fn new(files: Vec<PathBuf>) -> Self {
        Self { files }
    }

    /// The files.
    pub(super) fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Applies them, and says which of their rows are of no photo.
    pub(super) fn apply(&self, dataset: &mut Dataset) -> Result<()> {
        for file in &self.files {
            let strangers = apply_split_file(dataset, file)?;
            if strangers > 0 {
                note(format!(
                    "passed over: {strangers} rows of {} whose photo is in no listing",
                    shown(file)
                ));
            }
        }
        Ok(())
    }
}

impl DataArgs {
    /// The photos, corrected, on the sides where they stood when these models were trained, and how many stand where, which is
    /// told.
    pub(super) fn open(&self, models: &[&Description]) -> Result<(Dataset, Sides)> {
        let spec = &models[0].model;
        let given = self.columns.names(&spec.heads)?;
        // Of listings like the one the model was trained on the columns are known.
        let remembered = models[0].columns();
        let naming = match &given {
            Some(names) => Naming::given(names),
            None => Naming::remembered(&remembered),
        };
        let mut dataset = Dataset::open_named(&self.data, &spec.heads, naming)?;
        self.split_files.apply(&mut dataset)?;
        if self.skip_broken {
            // Nothing is lost if it is ended.
            take_out_broken(&mut dataset, &spec.input, true, &AtomicBool::new(false))?;
        }
        let corrections = Corrections::read(&self.corrections)?;
        let progress = Mutex::new(Progress::new("photos"));
        let sides = settle(&mut dataset, models, &corrections, &|done, of| {
            if let Ok(mut progress) = progress.try_lock() {
                progress.show(done, of);
            }
        });
        if let Ok(progress) = progress.lock() {
            progress.end();
        }
        let sides = sides?;
        note(&sides);
        if sides.asks_for_sides {
            note("--split-file FILE gives the sides, as the run's split.csv has them");
        }
        show_corrections(&corrections.apply(&mut dataset)?);
        dataset.check_possible(&spec.taxonomy()?)?;
        Ok((dataset, sides))
    }

    /// The same, and which of the photos stand on the side named, or `all`; there has to be one.
    pub(super) fn select(
        &self,
        models: &[&Description],
        split: &str,
    ) -> Result<(Dataset, Vec<usize>, Sides)> {
        let side: Option<Split> = match split {
            "all" => None,
            side => Some(side.parse()?),
        };
        let (dataset, sides) = self.open(models)?;
        let indices: Vec<usize> = match side {
            None => (0..dataset.samples.len()).collect(),
            Some(side) => dataset.indices(side),
        };
        if indices.is_empty() {
            return Err(Error::EmptySplit {
                split: split.into(),
                origin: self.list(),
                reason: format!("no photo stands on it ({sides}); choose another with --split"),
            });
        }
        Ok((dataset, indices, sides))
    }

    /// The listings, for messages.
    pub(super) fn list(&self) -> String {
        list(&self.data)
    }
}

/// Paths in a row, for messages.
pub(super) fn list(paths: &[PathBuf]) -> String {
    let paths: Vec<String> = paths.iter().map(|p| shown(p)).collect();
    paths.join(", ")
}
