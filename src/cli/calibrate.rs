//! `hydranet calibrate`.

use super::output::{Progress, say, say_json};
use super::sides::DataArgs;
use super::terminal::note;
use crate::data::dataset::Split;
use crate::data::seen::record_valid;
use crate::data::targets::labels_that_apply;
use crate::eval::calibrate::{Abstain, CalibrationReport, calibrate, with_novelty};
use crate::io::lock::OutputLock;
use crate::train::finished::{cache_beside, features_of_file};
use crate::{Error, ModelFile};
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `hydranet calibrate`.
#[derive(Args)]
#[command(
    after_help = "Temperatures and the confidence to abstain below are found on the validation photos, what is novel by those of train and valid, on the sides where they stood when the model was trained: give the data it was trained on."
)]
pub(crate) struct Calibrate {
    /// The model file.
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    #[command(flatten)]
    data: DataArgs,
    /// The model file to write; --model is not changed.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Abstain below this probability of the final class.
    #[arg(long, value_name = "P")]
    min_confidence: Option<f64>,
    /// Abstain where needed for this share of the other validation photos to be predicted right.
    #[arg(long, value_name = "SHARE", conflicts_with = "min_confidence")]
    for_accuracy: Option<f64>,
    /// Leave out what tells novelty, which needs a pass over the training photos.
    #[arg(long)]
    no_novelty: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Calibrate {
    pub(crate) fn run(&self) -> crate::Result<ExitCode> {
        let abstain = match (self.min_confidence, self.for_accuracy) {
            (Some(least), _) => Abstain::Below(least),
            (_, Some(share)) => Abstain::ForAccuracy(share),
            _ => Abstain::Unchanged,
        };
        let _lock = OutputLock::take(&self.out)?;
        let file = ModelFile::read(&self.model)?;
        let spec = file.description.model.clone();
        let taxonomy = spec.taxonomy()?;
        let (dataset, sides) = self.data.open(&[&file.description])?;
        let valid = dataset.indices(Split::Valid);
        let train = if self.no_novelty {
            Vec::new()
        } else {
            dataset.indices(Split::Train)
        };
        for (split, side) in [("valid", &valid), ("train", &train)] {
            if side.is_empty() && !(split == "train" && self.no_novelty) {
                return Err(Error::EmptySplit {
                    split: split.into(),
                    origin: self.data.list(),
                    reason: format!("no photo stands on it ({sides})"),
                });
            }
        }
        let model = file.build()?;
        let cache = cache_beside(&self.model);
        let mut progress = Progress::new("calibrate");
        let of = valid.len() + train.len();
        let mut run = |indices: &[usize], before: usize| {
            let mut tell = |done| progress.show(before + done, of);
            let cache = cache.as_deref();
            features_of_file((&file, &model), (&dataset, indices), cache, &mut tell)
        };
        let of_valid = run(&valid, 0)?;
        let of_train = if train.is_empty() {
            None
        } else {
            Some(run(&train, valid.len())?)
        };
        progress.end();
        let labels: Vec<_> = valid
            .iter()
            .map(|i| labels_that_apply(&taxonomy, &dataset, *i))
            .collect();
        let classes: Vec<_> = labels.iter().map(|l| taxonomy.class_of(l)).collect();
        let file = match of_train {
            Some(of_train) => with_novelty(&file, &of_train, &of_valid)?,
            None => file,
        };
        let (mut file, report) = calibrate(&file, &of_valid, &labels, &classes, abstain)?;
        record_valid(&mut file.description, &dataset, &valid)?;
        file.write(&self.out)?;
        report.warnings().iter().for_each(note);
        if self.json {
            say_json(&report)?
        } else {
            self.table(&report)
        }
        Ok(ExitCode::SUCCESS)
    }

    fn table(&self, report: &CalibrationReport) {
        say(format!(
            "{:<15}{:>8}{:>13}{:>22}{:>22}",
            "", "photos", "temperature", "log loss", "calibration error"
        ));
        for t in &report.temperatures {
            let pair = |of: Option<[f64; 2]>| match of {
                Some([before, after]) => format!("{before:.4} → {after:.4}"),
                None => "-".into(),
            };
            say(format!(
                "{:<15}{:>8}{:>13.4}{:>22}{:>22}",
                t.name,
                t.photos,
                t.temperature,
                pair(t.log_loss),
                pair(t.calibration_error)
            ));
        }
        say(format!(
            "{}: abstains below {:.4}, {}",
            self.out.display(),
            report.min_confidence,
            if report.novelty {
                "tells novelty"
            } else {
                "does not tell novelty"
            }
        ));
    }
}
