//! Photos of which no label is known, to be taught by what a teacher says of them.

use super::dataset::{Dataset, Sample, Split};
use crate::error::{Error, Result};
use crate::input::find_images;
use crate::io::files::Files;
use std::collections::HashSet;
use std::path::PathBuf;

impl Dataset {
    /// Puts the photos below these folders on the training side, each for itself and without labels. Files that are in the data
    /// already stay what they are there. Gives the number of photos that came in.
    ///
    /// # Errors
    /// [`Error::Io`] if a folder cannot be listed, [`Error::Data`] if there is no photo that is not in the data in it.
    pub(crate) fn add_unlabelled(&mut self, folders: &[PathBuf]) -> Result<usize> {
        let mut files = Files::default();
        let known = self
            .samples
            .iter()
            .map(|sample| files.file(&sample.whole_path()));
        let mut known: HashSet<_> = known.collect();
        let before = self.samples.len();
        for folder in folders {
            let (source, so_far) = (self.sources.len(), self.samples.len());
            for path in find_images(folder)?.images {
                if !known.insert(files.file(&path)) {
                    continue;
                }
                let name = path.strip_prefix(folder).unwrap_or(&path);
                let name = name.to_string_lossy().replace('\\', "/");
                let mut sample = Sample::new(name, path, vec![None; self.heads.len()]);
                sample.split = Some(Split::Train);
                sample.source = source;
                self.samples.push(sample);
            }
            if self.samples.len() == so_far {
                return Err(Error::Data {
                    path: folder.clone(),
                    row: None,
                    message:
                        "photos without labels are needed that are not in the data, found none"
                            .into(),
                });
            }
            self.sources.push(folder.clone());
        }
        Ok(self.samples.len() - before)
    }
}
