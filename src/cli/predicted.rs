//! The photos that `predict` is asked about, and what it says of them, in lines.

use super::called::end_if_asked;
use super::columns::ColumnArgs;
use super::kept::Kept;
use super::prediction_row::More;
use super::sides::list;
use super::terminal::note;
use crate::data::columns::Naming;
use crate::data::held::is_held;
use crate::data::manifest::{is_listing, photos_of};
use crate::data::sources::expand;
use crate::error::shown;
use crate::input::find_images;
use crate::io::table::csv_line;
use crate::io::typed::{Columns, Kind};
use crate::location::{is_folder, without_query};
use crate::{Ensemble, Error, PhotoSource, Predict as _, Prediction, Predictor};
use std::borrow::Cow;
use std::path::PathBuf;

/// Photos after which results are printed.
pub(super) const BATCH: usize = 32;

/// A photo that is to be predicted.
pub(super) struct Photo {
    source: PhotoSource,
    /// As its listing calls it; a file that was named has its path.
    name: Option<String>,
}

impl Photo {
    /// What its line calls it.
    pub(super) fn name(&self) -> Cow<'_, str> {
        match (&self.name, &self.source) {
            (Some(name), _) => name.into(),
            (None, PhotoSource::File(path)) => path.display().to_string().into(),
            (None, other) => format!("{other:?}").into(),
        }
    }
}

/// All photos that are to be predicted.
pub(super) struct Wanted {
    pub(super) photos: Vec<Photo>,
    /// Rows of tables that have none.
    pub(super) faults: usize,
}

impl Wanted {
    /// Those files, the photos in those folders, and those that those tables hold or name.
    ///
    /// # Errors
    /// If a folder or a table cannot be read; if there are none.
    pub(super) fn find(paths: &[PathBuf], columns: &ColumnArgs) -> crate::Result<Self> {
        let mut wanted = Self {
            photos: Vec::new(),
            faults: 0,
        };
        let names = columns.names(&[])?.unwrap_or_default();
        let naming = Naming::given(&names).of_sources(1);
        let paths = &expand(paths)?;
        for path in paths {
            if is_folder(path) {
                let found = find_images(path)?;
                if !found.passed_over.is_empty() {
                    note(format!(
                        "passed over in {}: {}",
                        shown(path),
                        found.passed_over
                    ));
                }
                wanted.photos.extend(found.images.into_iter().map(of_file));
            } else if is_listing(path) {
                let (found, faults) = photos_of(path, naming)?;
                faults
                    .iter()
                    .for_each(|fault| note(format!("error: {fault}")));
                wanted.faults += faults.len();
                // What two tables call the same would be mixed up.
                let whole = |name: String, source: &PhotoSource| match (paths.len(), source) {
                    (1, _) => name,
                    (_, PhotoSource::File(file)) if !is_held(path) => file.display().to_string(),
                    _ => without_query(path).join(name).display().to_string(),
                };
                wanted
                    .photos
                    .extend(found.into_iter().map(|(name, source)| Photo {
                        name: Some(whole(name, &source)),
                        source,
                    }));
            } else {
                wanted.photos.push(of_file(path.clone()));
            }
        }
        if wanted.photos.is_empty() {
            return Err(Error::Invalid {
                what: list(paths),
                expected: "a photo in it".into(),
                found: "none".into(),
            });
        }
        Ok(wanted)
    }
}

fn of_file(path: PathBuf) -> Photo {
    Photo {
        source: path.into(),
        name: None,
    }
}

/// What is written of a photo.
pub(super) enum Rows {
    Json,
    Table(More),
    /// What the backbone of this model makes of it.
    Features(Predictor),
}

impl Rows {
    /// The columns of the lines, if these are CSV.
    pub(super) fn columns(&self, models: &Models) -> Columns {
        match self {
            Self::Json => Vec::new(),
            Self::Table(more) => more.columns(&models.ensemble),
            Self::Features(model) => {
                let width = model.description().model.backbone.num_features();
                let path = ("path".to_string(), Kind::Text);
                let features = (0..width).map(|i| (format!("feature_{i}"), Kind::Single));
                std::iter::once(path).chain(features).collect()
            }
        }
    }

    /// A line of each photo that can be read; gives the number of those that cannot.
    pub(super) fn of(
        &self,
        models: &mut Models,
        photos: &[Photo],
        take: &mut dyn FnMut(String) -> crate::Result<()>,
    ) -> crate::Result<usize> {
        let mut faults = 0;
        for part in photos.chunks(BATCH) {
            end_if_asked();
            let sources: Vec<PhotoSource> = part.iter().map(|p| p.source.clone()).collect();
            for (photo, line) in part.iter().zip(self.lines(models, part, sources)?) {
                match line {
                    Ok(line) => take(line)?,
                    Err(e) => {
                        faults += 1;
                        note(format!("error: {}{e:#}", about(photo)));
                    }
                }
            }
        }
        if faults > 0 {
            note(unread(faults, photos.len()));
        }
        Ok(faults)
    }

    fn lines(
        &self,
        models: &mut Models,
        photos: &[Photo],
        sources: Vec<PhotoSource>,
    ) -> crate::Result<Vec<crate::Result<String>>> {
        if let Self::Features(model) = self {
            let rows = photos.iter().zip(model.features_iter(sources));
            let line = |(photo, row): (&Photo, crate::Result<Vec<f32>>)| {
                let numbers = row?.into_iter().map(|v| v.to_string());
                csv_line(std::iter::once(photo.name().into_owned()).chain(numbers))
            };
            return Ok(rows.map(line).collect());
        }
        let answers = photos.iter().zip(models.predict_all(&sources)?);
        let line = |(photo, answer): (&Photo, crate::Result<Prediction>)| match self {
            Self::Table(more) => more.row(&photo.name(), &answer?),
            _ => Ok(answer?.to_json(Some(&photo.name()))),
        };
        Ok(answers.map(line).collect())
    }
}

/// What an error is about that does not say so: a photo that its listing holds is called by its row there.
fn about(photo: &Photo) -> String {
    match (&photo.name, &photo.source) {
        (Some(name), PhotoSource::Stored(_)) if !name.starts_with('#') => format!("{name}: "),
        _ => String::new(),
    }
}

/// What is said of photos that could not be read.
pub(super) fn unread(faults: usize, photos: usize) -> String {
    format!("{faults} of {photos} photos could not be read")
}

/// What predicts.
pub(super) struct Models {
    pub(super) ensemble: Ensemble,
    pub(super) kept: Option<Kept>,
}

impl Models {
    /// What they say of some photos.
    pub(super) fn predict_all(
        &mut self,
        photos: &[PhotoSource],
    ) -> crate::Result<Vec<crate::Result<Prediction>>> {
        match &mut self.kept {
            Some(kept) => kept.predict_all(&self.ensemble, photos),
            None => self.ensemble.predict_all(photos),
        }
    }

    /// The only one of them.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there are several.
    pub(super) fn only(&self) -> crate::Result<Predictor> {
        match self.ensemble.members() {
            [one] => Ok(one.clone()),
            several => Err(Error::Invalid {
                what: "--features".into(),
                expected: "one model".into(),
                found: format!("{} together", several.len()),
            }),
        }
    }
}
