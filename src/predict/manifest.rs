//! What an ensemble is made of: views, and a file that names its models.

use super::scores::Average;
use crate::error::{Cause, Error, Result};
use crate::io::recognise::what_instead_of_binary;
use crate::io::write_atomically;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Views of a photo that are predicted beside or instead of the photo itself (test-time augmentation).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Views {
    /// Each view mirrored left to right too.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub flip: bool,
    /// In place of the whole photo its middle and four corners, each this share of its height and width, above 0 and at most 1:
    /// of what the model's centre crop leaves, if it has one. Krizhevsky et al. 2012 took 224 of 256 pixels, 0.875.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub five_crops: Option<f64>,
}

impl Views {
    /// Views of one photo.
    pub(crate) fn count(&self) -> usize {
        let crops = if self.five_crops.is_some() { 5 } else { 1 };
        crops * if self.flip { 2 } else { 1 }
    }

    pub(super) fn validate(&self) -> Result<()> {
        match self.five_crops {
            Some(share) if !(share > 0.0 && share <= 1.0) => Err(Error::Invalid {
                what: "five_crops".into(),
                expected: "a share above 0, at most 1".into(),
                found: share.to_string(),
            }),
            _ => Ok(()),
        }
    }
}

/// A file that names the models of an ensemble: JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    /// `"ensemble"`.
    pub(crate) kind: String,
    /// Version of the format: 1.
    pub(crate) format: u32,
    /// How the models' scores become one.
    #[serde(default)]
    pub average: Average,
    /// The views of a photo each model sees.
    #[serde(default)]
    pub views: Views,
    /// Model files, relative to the manifest.
    pub models: Vec<PathBuf>,
}

impl Manifest {
    /// A manifest of model files, whose paths are relative to where it will be written.
    pub fn new(models: Vec<PathBuf>, average: Average, views: Views) -> Self {
        Self {
            kind: "ensemble".into(),
            format: 1,
            average,
            views,
            models,
        }
    }

    /// Reads a manifest.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Config`] with line and column if it is none.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = crate::io::read::bytes(path, crate::io::read::RECORD)?;
        Self::parse(&bytes, &path.display().to_string())
    }

    fn parse(bytes: &[u8], origin: &str) -> Result<Self> {
        let fail = |message: String, source: Option<Cause>| Error::Config {
            origin: origin.into(),
            message,
            source,
        };
        let manifest: Self = serde_json::from_slice(bytes).map_err(|e| {
            let message = match what_instead_of_binary(bytes) {
                Some(what) => {
                    format!("expected a model file or the manifest of an ensemble, found {what}")
                }
                None => "not the manifest of an ensemble".into(),
            };
            fail(message, Some(e.into()))
        })?;
        if manifest.kind != "ensemble" || manifest.format != 1 {
            let message = format!(
                "expected `kind` \"ensemble\" and `format` 1, found \"{}\" and {}",
                manifest.kind, manifest.format
            );
            return Err(fail(message, None));
        }
        let views = manifest.views.validate();
        views.map_err(|e| fail("its views cannot be used".into(), Some(e.into())))?;
        if manifest.models.is_empty() {
            Err(fail("expected at least one model, found none".into(), None))
        } else {
            Ok(manifest)
        }
    }

    /// Writes it: to a sibling first, then renamed.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        let text = serde_json::to_string_pretty(self).map_err(|e| Error::Config {
            origin: path.as_ref().display().to_string(),
            message: "cannot be written as JSON".into(),
            source: Some(e.into()),
        })?;
        write_atomically(path.as_ref(), format!("{text}\n").as_bytes())
    }
}
