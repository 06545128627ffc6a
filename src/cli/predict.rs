//! `hydranet predict`.

use super::kept::Kept;
use super::output::{Progress, say};
use super::sides::list;
use super::terminal::{note, say_data};
use super::views::ViewArgs;
use crate::data::person_folder;
use crate::eval::predictions::{
    group_cells, group_header, label_cell, number_cells, number_header,
};
use crate::input::find_images;
use crate::io::table::to_csv;
use crate::{Ensemble, Error, PhotoSource, Predict as _, Prediction};
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Photos after which results are printed.
const BATCH: usize = 32;

/// Arguments of `hydranet predict`.
#[derive(Args)]
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
}

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
        let paths: Vec<PathBuf> = names.iter().map(|n| folder.join(n)).collect();
        models.kept = Kept::beside(&self.model, &models.ensemble, paths.len());
        let mut answers = Vec::with_capacity(names.len());
        let mut faults = 0;
        let mut progress = Progress::new("predict");
        for part in paths.chunks(BATCH) {
            for outcome in models.predict_all(part)? {
                answers.push(outcome.map(|p| p.class).unwrap_or_else(|e| {
                    faults += 1;
                    progress.line(&format!("error: {e:#}; answered with class 0"));
                    0
                }));
            }
            progress.show(answers.len(), paths.len());
        }
        progress.end();
        person_folder::write_result(result, &names, &answers)?;
        say(format!(
            "{} photos answered in {}, {faults} unreadable",
            names.len(),
            result.display()
        ));
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
        if !self.json {
            say_data(&line(more.columns(&models.ensemble))?);
        }
        let mut faults = 0;
        for part in paths.chunks(BATCH) {
            for (path, outcome) in part.iter().zip(models.predict_all(part)?) {
                let path = path.display().to_string();
                match outcome {
                    Ok(p) if self.json => say(p.to_json(Some(&path))),
                    Ok(p) => say_data(&more.row(&path, &p)?),
                    Err(e) => {
                        faults += 1;
                        note(format!("error: {e:#}"));
                    }
                }
            }
        }
        if faults > 0 {
            note(format!(
                "{faults} of {} photos could not be read",
                paths.len()
            ));
        }
        Ok(faults)
    }
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

/// What the columns of its table are called.
pub(super) fn columns(models: &Ensemble) -> Vec<String> {
    More::of(models).columns(models)
}

/// Columns that only some models have.
struct More {
    abstains: bool,
    novelty: bool,
}

impl More {
    fn of(ensemble: &Ensemble) -> Self {
        let mut members = ensemble.members().iter().map(|m| m.description());
        let abstains = members.clone().any(|d| d.decision.min_confidence > 0.0);
        let novelty = members.all(|d| d.novelty.is_some());
        Self { abstains, novelty }
    }

    fn columns(&self, ensemble: &Ensemble) -> Vec<String> {
        let taxonomy = ensemble.taxonomy();
        let numbers = ensemble.numbers();
        let mut cells = ["path", "class", "name", "prob"].map(String::from).to_vec();
        for (i, head) in taxonomy.heads().iter().enumerate() {
            cells.push(head.clone());
            cells.extend(taxonomy.labels(i).iter().map(|l| format!("{head}_{l}")));
            if numbers[i] {
                cells.extend(number_header(head));
            }
            cells.extend(group_header(taxonomy, i));
        }
        for (has, name) in [(self.abstains, "abstains"), (self.novelty, "novelty")] {
            if has {
                cells.push(name.into());
            }
        }
        cells
    }

    fn row(&self, path: &str, p: &Prediction) -> crate::Result<String> {
        let (class, prob) = (p.class.to_string(), format!("{:.6}", p.prob));
        let mut cells = vec![path.into(), class, p.name.clone(), prob];
        for head in &p.heads {
            cells.push(label_cell(head));
            cells.extend(head.probs.iter().map(|p| format!("{p:.6}")));
            cells.extend(number_cells(head));
            cells.extend(group_cells(head));
        }
        if self.abstains {
            cells.push(p.abstains.to_string());
        }
        if self.novelty {
            cells.push(format!("{:.4}", p.novelty.unwrap_or_default()));
        }
        line(cells)
    }
}

fn line(cells: Vec<String>) -> crate::Result<String> {
    let table = to_csv(cells, None::<[&str; 0]>)?;
    Ok(table.trim_end_matches('\n').into())
}
