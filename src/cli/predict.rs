//! `hydranet predict`.

use super::called::end_if_asked;
use super::kept::Kept;
use super::output::{Progress, say};
use super::prediction_row::More;
use super::shards::{model_fingerprint, work};
use super::sides::list;
use super::terminal::{note, say_data};
use super::views::ViewArgs;
use crate::data::person_folder;
use crate::input::find_images;
use crate::io::lock::OutputLock;
use crate::io::table::csv_line;
use crate::io::write_atomically_by;
use crate::shard::{self, Shard};
use crate::{Ensemble, Error, PhotoSource, Predict as _, Prediction};
use clap::Args;
use serde_json::json;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Photos after which results are printed.
const BATCH: usize = 32;

/// Arguments of `hydranet predict`.
#[derive(Args)]
#[command(group(clap::ArgGroup::new("written").args(["out", "result"])))]
pub(crate) struct Predict {
    /// The model file, or the manifest of an ensemble.
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    #[command(flatten)]
    views: ViewArgs,
    /// Photos, and folders whose photos are all taken.
    #[arg(required_unless_present = "listing", value_name = "PHOTO|FOLDER")]
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
    /// Print one JSON object a line instead of CSV.
    #[arg(long)]
    json: bool,
    /// Write the predictions there instead of printing them.
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
        let options = json!({"title": person_folder::RESULT.join(","), "images": folder.display().to_string()});
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
        let paths: Vec<PathBuf> = names.iter().map(|n| folder.join(n)).collect();
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
        let mut paths = Vec::new();
        for path in &self.paths {
            if path.is_dir() {
                let found = find_images(path)?;
                if !found.passed_over.is_empty() {
                    note(format!(
                        "passed over in {}: {}",
                        path.display(),
                        found.passed_over
                    ));
                }
                paths.extend(found.images);
            } else {
                paths.push(path.clone());
            }
        }
        if paths.is_empty() {
            return Err(Error::Invalid {
                what: list(&self.paths),
                expected: "a photo in it".into(),
                found: "none".into(),
            });
        }
        models.kept = Kept::beside(&self.model, &models.ensemble, paths.len());
        let more = More::of(&models.ensemble);
        let title = if self.json {
            None
        } else {
            Some(more.header(&models.ensemble)?)
        };
        match (&self.out, self.shard) {
            (Some(out), Some(shard)) => {
                let mine = &paths[shard.range(paths.len())];
                let names = paths.iter().map(|p| p.as_os_str().as_encoded_bytes());
                let work = work(PREDICTIONS, self.model()?, names, json!({"title": title}));
                self.write_shard(shard, out, &work, |put| {
                    self.rows(models, &more, mine, &mut |row| put(&row.into()))
                })
            }
            (Some(out), None) => {
                let _lock = OutputLock::take(out)?;
                let mut faults = 0;
                write_atomically_by(out, |file| {
                    let mut put = |row: String| {
                        writeln!(file, "{row}").map_err(|e| Error::io("write", out, e))
                    };
                    title.map_or(Ok(()), &mut put)?;
                    faults = self.rows(models, &more, &paths, &mut put)?;
                    Ok(())
                })?;
                Ok(faults)
            }
            (None, _) => {
                title.iter().for_each(|title| say_data(title));
                self.rows(models, &more, &paths, &mut |row| {
                    if self.json {
                        say(row)
                    } else {
                        say_data(&row)
                    }
                    Ok(())
                })
            }
        }
    }

    /// A line of each photo that can be read, in JSON or CSV; gives the number of those that cannot.
    fn rows(
        &self,
        models: &mut Models,
        more: &More,
        paths: &[PathBuf],
        take: &mut dyn FnMut(String) -> crate::Result<()>,
    ) -> crate::Result<usize> {
        let mut faults = 0;
        for part in paths.chunks(BATCH) {
            end_if_asked();
            for (path, outcome) in part.iter().zip(models.predict_all(part)?) {
                let path = path.display().to_string();
                match outcome {
                    Ok(p) if self.json => take(p.to_json(Some(&path)))?,
                    Ok(p) => take(more.row(&path, &p)?)?,
                    Err(e) => {
                        faults += 1;
                        note(format!("error: {e:#}"));
                    }
                }
            }
        }
        if faults > 0 {
            note(unread(faults, paths.len()));
        }
        Ok(faults)
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

/// What is said of photos that could not be read.
pub(super) fn unread(faults: usize, photos: usize) -> String {
    format!("{faults} of {photos} photos could not be read")
}

/// What predicts.
struct Models {
    ensemble: Ensemble,
    kept: Option<Kept>,
}

impl Models {
    /// What they say of some files.
    fn predict_all(&mut self, files: &[PathBuf]) -> crate::Result<Vec<crate::Result<Prediction>>> {
        if let Some(kept) = &mut self.kept {
            return kept.predict_all(&self.ensemble, files);
        }
        let photos: Vec<PhotoSource> = files.iter().map(|p| p.as_path().into()).collect();
        self.ensemble.predict_all(&photos)
    }
}
