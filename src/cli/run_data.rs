//! What a run was trained on, in its folder, so that it goes on without being told again.

use crate::io::{create_folder, write_atomically};
use crate::location::absolute;
use crate::train::run_folder::RunFolder;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The file.
const NAME: &str = "data.toml";

/// Listings and folders of photos, files of sides, and folders of photos without labels, as whole paths.
#[derive(Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RunData {
    pub(super) data: Vec<PathBuf>,
    #[serde(default)]
    pub(super) split_files: Vec<PathBuf>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) unlabelled: Vec<PathBuf>,
}

impl RunData {
    /// Whether a run's folder says on what it was trained.
    pub(super) fn is_in(run: &Path) -> bool {
        run.join(NAME).is_file()
    }

    /// What is given, unless it is nothing: then what the run in this folder began with.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the folder does not say it, [`Error::Config`] if it is not understood.
    pub(super) fn or_of(self, run: &Path) -> Result<Self> {
        if !self.data.is_empty() {
            return Ok(self);
        }
        let path = run.join(NAME);
        if !path.is_file() {
            return Err(Error::Invalid {
                what: format!("--resume with --out {}", run.display()),
                expected: "--data too, for the folder does not say on what the run began".into(),
                found: format!("no file {}", path.display()),
            });
        }
        let text = crate::io::read::text(&path, crate::io::read::SETTINGS)?;
        let mut begun: Self = toml::from_str(&text).map_err(|e| Error::Config {
            origin: path.display().to_string(),
            message: e.to_string(),
            source: None,
        })?;
        if !self.split_files.is_empty() {
            begun.split_files = self.split_files;
        }
        Ok(begun)
    }

    /// As TOML.
    ///
    /// # Errors
    /// [`Error::Config`] if a path is no text.
    pub(super) fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(|e| Error::Config {
            origin: "the data's paths".into(),
            message: "cannot be told to another process".into(),
            source: Some(e.into()),
        })
    }

    /// Writes it into the folder of a run that begins; the one of a run that is there stays.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(super) fn write(&self, run: &Path) -> Result<()> {
        if RunFolder::holds_run(run) {
            return Ok(());
        }
        let whole = |paths: &[PathBuf]| {
            let paths = paths.iter();
            let whole = paths.map(|p| absolute(p).map_err(|e| Error::io("find", p, e)));
            whole.collect::<Result<Vec<_>>>()
        };
        let whole = Self {
            data: whole(&self.data)?,
            split_files: whole(&self.split_files)?,
            unlabelled: whole(&self.unlabelled)?,
        };
        // A path may be no text; then `--resume` asks for it.
        let Ok(text) = toml::to_string(&whole) else {
            return Ok(());
        };
        create_folder(run)?;
        write_atomically(&run.join(NAME), text.as_bytes())
    }
}
