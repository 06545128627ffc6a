//! A model that predicts, and tensors that are read.

use crate::error;
use crate::photos::{Photos, Taken};
use hydranet::candle::DType;
use hydranet::cli::called::{prediction_columns, prediction_json};
use hydranet::{Ensemble, Prediction, Views};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// One model or several, see `hydranet.Predictor`.
#[pyclass(frozen, name = "Predictor", module = "hydranet._native")]
pub(crate) struct NativePredictor {
    models: Ensemble,
}

/// Features: photos, numbers a photo, and the numbers in the machine's own order of bytes.
type Features<'py> = (usize, usize, Bound<'py, PyBytes>);

/// A named tensor: its shape, and its numbers as `float32`.
type Named<'py> = (String, Vec<usize>, Bound<'py, PyBytes>);

/// The same, before Python has it.
type Read = (String, Vec<usize>, Vec<f32>);

#[pymethods]
impl NativePredictor {
    #[new]
    fn new(py: Python, path: PathBuf, flip: bool, five_crops: Option<f64>) -> PyResult<Self> {
        error::check_process(py)?;
        let views = Views { flip, five_crops };
        let read = || {
            let models = Ensemble::from_file(path)?;
            if views == Views::default() {
                Ok(models)
            } else {
                models.with_views(views)
            }
        };
        let models = py.detach(read).map_err(|e| error::of(py, &e))?;
        Ok(Self { models })
    }

    /// The heads and their labels, in order.
    fn heads(&self) -> Vec<(String, Vec<String>)> {
        let taxonomy = self.models.taxonomy();
        let heads = taxonomy.heads().iter().enumerate();
        heads
            .map(|(i, head)| (head.clone(), taxonomy.labels(i).to_vec()))
            .collect()
    }

    /// The names of the final classes, in order.
    fn classes(&self) -> Vec<String> {
        self.models.taxonomy().class_names()
    }

    /// The columns of `hydranet predict`, in order.
    fn columns(&self) -> Vec<String> {
        prediction_columns(&self.models)
    }

    /// What each model's file says of it, as JSON.
    fn descriptions(&self, py: Python) -> PyResult<Vec<String>> {
        let models = self.models.members().iter();
        models
            .map(|model| {
                let text = serde_json::to_string(model.description());
                text.map_err(|e| error::invalid(py, &e.to_string()))
            })
            .collect()
    }

    /// Of each photo of an iterator the prediction, as JSON and the classes' probabilities as bytes of `float64`, or an exception
    /// in its place; with `end` after the first of these no more.
    fn predict<'py>(
        &self,
        py: Python<'py>,
        photos: Py<PyAny>,
        end: bool,
    ) -> PyResult<Bound<'py, PyList>> {
        error::check_process(py)?;
        let (photos, taken) = Photos::new(photos);
        let answers = py.detach(|| {
            let mut answers = Vec::new();
            for answer in self.models.predict_iter(photos) {
                let failed = answer.is_err();
                answers.push(answer);
                if end && failed {
                    break;
                }
            }
            answers
        });
        let all = PyList::empty(py);
        for (answer, path) in answers.into_iter().zip(paths(&taken)?) {
            match answer {
                Ok(p) => all.append((json(&p, path), bytes(py, &p.class_probs)))?,
                Err(e) => all.append(error::of(py, &e).into_value(py))?,
            }
        }
        Ok(all)
    }

    /// The features of the photos of an iterator.
    fn features<'py>(&self, py: Python<'py>, photos: Py<PyAny>) -> PyResult<Features<'py>> {
        error::check_process(py)?;
        let [model] = self.models.members() else {
            let words = "features: expected one model, found an ensemble of several";
            return Err(error::invalid(py, words));
        };
        let (photos, taken) = Photos::new(photos);
        let rows = py.detach(|| model.features_iter(photos).collect::<Result<Vec<_>, _>>());
        let count = paths(&taken)?.len();
        let rows = rows.map_err(|e| error::of(py, &e))?;
        let width = model.description().model.backbone.num_features();
        let flat: Vec<u8> = rows
            .iter()
            .flatten()
            .flat_map(|v| v.to_ne_bytes())
            .collect();
        Ok((count, width, PyBytes::new(py, &flat)))
    }
}

/// The paths of the photos that were taken, or why there are no more.
fn paths(taken: &Arc<Mutex<Taken>>) -> PyResult<Vec<Option<String>>> {
    let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
    match taken.failure.take() {
        Some(failure) => Err(failure),
        None => Ok(std::mem::take(&mut taken.paths)),
    }
}

fn json(prediction: &Prediction, path: Option<String>) -> String {
    prediction_json(prediction, path.as_deref())
}

fn bytes<'py>(py: Python<'py>, values: &[f64]) -> Bound<'py, PyBytes> {
    let flat: Vec<u8> = values.iter().flat_map(|v| v.to_ne_bytes()).collect();
    PyBytes::new(py, &flat)
}

/// The tensors of a file, by their names.
#[pyfunction]
pub(crate) fn read_tensors(py: Python<'_>, path: PathBuf) -> PyResult<Vec<Named<'_>>> {
    let read = || -> hydranet::Result<Vec<Read>> {
        let bytes = std::fs::read(&path).map_err(|source| hydranet::Error::Io {
            action: "read",
            path: path.clone(),
            source,
        })?;
        let (_, tensors) = hydranet::read_tensors(&bytes, &path.display().to_string())?;
        let mut all = Vec::with_capacity(tensors.len());
        for (name, tensor) in tensors {
            let flat = tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
            all.push((name, tensor.dims().to_vec(), flat));
        }
        Ok(all)
    };
    let tensors = py.detach(read).map_err(|e| error::of(py, &e))?;
    let named = tensors.into_iter().map(|(name, shape, values)| {
        let flat: Vec<u8> = values.iter().flat_map(|v| v.to_ne_bytes()).collect();
        (name, shape, PyBytes::new(py, &flat))
    });
    Ok(named.collect())
}
