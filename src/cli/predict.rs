//! `hydranet predict`.

use super::columns::ColumnArgs;
use super::kept::Kept;
use super::output::{Progress, say};
use super::predicted::{BATCH, Models, Rows, Wanted};
use super::prediction_row::More;
use super::shards::{model_fingerprint, work};
use super::terminal::{note, say_data};
use super::views::ViewArgs;
use crate::PhotoSource;
use crate::data::person_folder;
use crate::io::lock::OutputLock;
use crate::io::table::csv_line;
use crate::io::typed::{Kind, check_form, write_typed};
use crate::shard::{self, Shard};
use clap::Args;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Arguments of `hydranet predict`.
#[derive(Args)]
#[command(group(clap::ArgGroup::new("written").args(["out", "result"])))]
pub(crate) struct Predict {
    /// The model file, or the manifest of an ensemble.
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    #[command(flatten)]
    views: ViewArgs,
    /// Photos, folders whose photos are all taken, and listings in CSV or Parquet or shards in tar, or folders of these, whose
    /// photos are.
    #[arg(required_unless_present = "listing", value_name = "PHOTO|FOLDER|TABLE")]
    paths: Vec<PathBuf>,
    /// A listing with the header ImageID,ans, to be answered in --result.
    #[arg(
        long,
        requires = "result",
        conflicts_with = "paths",
        value_name = "CSV"
    )]
    listing: Option<PathBuf>,
    /// The folder of the listing's photos [default: `images` beside the listing].
    #[arg(long, requires = "listing", value_name = "DIR")]
    images: Option<PathBuf>,
    /// Where the answered listing is written.
    #[arg(long, requires = "listing", value_name = "CSV")]
    result: Option<PathBuf>,
    #[command(flatten)]
    columns: ColumnArgs,
    /// Print one JSON object a line instead of CSV.
    #[arg(long)]
    json: bool,
    /// In place of predictions what the backbone makes of each photo, a column a number.
    #[arg(long, conflicts_with_all = ["json", "listing", "five_crops", "flip"])]
    features: bool,
    /// Write the predictions there instead of printing them, in Parquet if the name ends in .parquet.
    #[arg(long, conflicts_with = "listing", value_name = "FILE")]
    out: Option<PathBuf>,
    /// Predict the I-th of N parts of the photos only, and write a file beside --out or --result from which `merge` puts all
    /// together.
    #[arg(long, value_name = "I/N", requires = "written")]
    shard: Option<Shard>,
}

/// What the shards of `--listing` are merged as.
pub(super) const ANSWERS: &str = "predict --listing";
/// What the shards of other predictions are merged as.
pub(super) const PREDICTIONS: &str = "predict";

impl Predict {
    pub(crate) fn run(&self) -> crate::Result<ExitCode> {
        let ensemble = self.views.open(&self.model)?;
        let mut models = Models {
            ensemble,
            kept: None,
        };
        let faults = match (&self.listing, &self.result) {
            (Some(listing), Some(result)) => self.answer(&mut models, listing, result)?,
            _ => self.print(&mut models)?,
        };
        Ok(match faults {
            0 => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        })
    }

    fn answer(&self, models: &mut Models, listing: &Path, result: &Path) -> crate::Result<usize> {
        check_form(result, false)?;
        let names = person_folder::read_listing(listing)?;
        let folder = self
            .images
            .clone()
            .unwrap_or_else(|| listing.with_file_name("images"));
        models.kept = Kept::beside(&self.model, &models.ensemble, names.len());
        let Some(shard) = self.shard else {
            let mut answers = Vec::with_capacity(names.len());
            let faults = self.answers(models, &folder, &names, &mut |class| {
                answers.push(class);
                Ok(())
            })?;
            person_folder::write_result(result, &names, &answers)?;
            say(answered(names.len(), result, faults));
            return Ok(faults);
        };
        let columns = person_folder::RESULT.map(|name| (name, Kind::Text));
        let options = json!({"columns": columns, "images": folder.display().to_string()});
        let work = work(ANSWERS, self.model()?, &names, options);
        self.write_shard(shard, result, &work, |put| {
            let mine = &names[shard.range(names.len())];
            let mut next = mine.iter();
            self.answers(models, &folder, mine, &mut |class| match next.next() {
                Some(name) => put(&csv_line([name, &class.to_string()])?.into()),
                None => Ok(()),
            })
        })
    }

    /// The class of each photo of a listing, 0 of one that cannot be read; gives the number of these.
    fn answers(
        &self,
        models: &mut Models,
        folder: &Path,
        names: &[String],
        take: &mut dyn FnMut(usize) -> crate::Result<()>,
    ) -> crate::Result<usize> {
        let paths: Vec<PhotoSource> = names.iter().map(|n| folder.join(n).into()).collect();
        let (mut done, mut faults) = (0, 0);
        let mut progress = Progress::new("predict");
        for part in paths.chunks(BATCH) {
            for outcome in models.predict_all(part)? {
                take(outcome.map(|p| p.class).unwrap_or_else(|e| {
                    faults += 1;
                    progress.line(&format!("error: {e:#}; answered with class 0"));
                    0
                }))?;
                done += 1;
            }
            progress.show(done, paths.len());
        }
        progress.end();
        Ok(faults)
    }

    fn print(&self, models: &mut Models) -> crate::Result<usize> {
        if let Some(out) = &self.out {
            check_form(out, !self.json)?;
        }
        let wanted = Wanted::find(&self.paths, &self.columns)?;
        let photos = &wanted.photos;
        let rows = self.kind(models)?;
        if !self.features {
            models.kept = Kept::beside(&self.model, &models.ensemble, photos.len());
        }
        let columns = (!self.json).then(|| rows.columns(models));
        let faults = match (&self.out, self.shard) {
            (Some(out), Some(shard)) => {
                let mine = &photos[shard.range(photos.len())];
                let names = photos.iter().map(|p| p.name().into_owned());
                let options = json!({"columns": columns});
                let work = work(PREDICTIONS, self.model()?, names, options);
                self.write_shard(shard, out, &work, |put| {
                    rows.of(models, mine, &mut |row| put(&row.into()))
                })
            }
            (Some(out), None) => {
                let _lock = OutputLock::take(out)?;
                write_typed(out, columns.as_ref(), |put| rows.of(models, photos, put))
            }
            (None, _) => {
                if let Some(columns) = columns {
                    say_data(&csv_line(columns.iter().map(|(name, _)| name))?);
                }
                rows.of(models, photos, &mut |row| {
                    if self.json {
                        say(row)
                    } else {
                        say_data(&row)
                    }
                    Ok(())
                })
            }
        };
        Ok(faults? + wanted.faults)
    }

    /// What is written of a photo.
    fn kind(&self, models: &Models) -> crate::Result<Rows> {
        Ok(match (self.features, self.json) {
            (true, _) => Rows::Features(models.only()?),
            (false, true) => Rows::Json,
            (false, false) => Rows::Table(More::of(&models.ensemble)),
        })
    }

    /// What tells the models, seen as the arguments say, from others.
    fn model(&self) -> crate::Result<String> {
        model_fingerprint(&self.model, self.views.views())
    }

    /// Writes a shard of what will be `out`; gives the number of photos that cannot be read.
    fn write_shard(
        &self,
        shard: Shard,
        out: &Path,
        work: &shard::Work,
        rows: impl FnOnce(
            &mut dyn FnMut(&serde_json::Value) -> crate::Result<()>,
        ) -> crate::Result<usize>,
    ) -> crate::Result<usize> {
        let path = shard::path_of(out, shard);
        let _lock = OutputLock::take(&path)?;
        let faults = shard::write(&path, shard, work, rows)?;
        note(format!(
            "shard {shard} of {}: {}",
            out.display(),
            path.display()
        ));
        Ok(faults)
    }
}

/// What is said of a listing that is answered.
pub(super) fn answered(photos: usize, result: &Path, faults: usize) -> String {
    let result = result.display();
    format!("{photos} photos answered in {result}, {faults} unreadable")
}
