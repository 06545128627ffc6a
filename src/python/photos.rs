//! Photos as they come from an iterator of Python's.

use hydranet::{Photo, PhotoSource};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// What is remembered of photos that were taken.
#[derive(Default)]
pub(crate) struct Taken {
    /// The path of each that is a file, as it is shown.
    pub(crate) paths: Vec<Option<String>>,
    /// Why no more were taken: an exception of the iterator's, or Ctrl-C.
    pub(crate) failure: Option<PyErr>,
}

/// The photos of an iterator, taken with Python's lock and only then.
pub(crate) struct Photos {
    iterator: Py<PyAny>,
    taken: Arc<Mutex<Taken>>,
}

impl Photos {
    pub(crate) fn new(iterator: Py<PyAny>) -> (Self, Arc<Mutex<Taken>>) {
        let taken = Arc::<Mutex<Taken>>::default();
        let photos = Self {
            iterator,
            taken: Arc::clone(&taken),
        };
        (photos, taken)
    }

    /// The next one: a path, the bytes of a file, or height, width and pixels.
    fn draw(&self, py: Python) -> PyResult<Option<(PhotoSource, Option<String>)>> {
        py.check_signals()?;
        let iterator = self.iterator.bind(py).try_iter();
        let Some(photo) = iterator?.next().transpose()? else {
            return Ok(None);
        };
        if let Ok(bytes) = photo.cast::<PyBytes>() {
            return Ok(Some((bytes.as_bytes().to_vec().into(), None)));
        }
        if photo.is_instance_of::<PyTuple>() {
            let (height, width, pixels): (usize, usize, Bound<PyBytes>) = photo.extract()?;
            let photo = Photo {
                height,
                width,
                rgb: pixels.as_bytes().to_vec(),
            };
            return Ok(Some((photo.into(), None)));
        }
        let path: PathBuf = photo.extract()?;
        let shown = path.display().to_string();
        Ok(Some((path.into(), Some(shown))))
    }
}

impl Iterator for Photos {
    type Item = PhotoSource;

    fn next(&mut self) -> Option<PhotoSource> {
        let taken = Python::attach(|py| self.draw(py));
        let mut all = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        match taken {
            Ok(taken) => {
                let (photo, path) = taken?;
                all.paths.push(path);
                Some(photo)
            }
            Err(failure) => {
                all.failure = Some(failure);
                None
            }
        }
    }
}
