//! The library's errors as Python's exceptions.

use hydranet::cli::called::shown_path;
use hydranet::{Error, HubErrorKind, Remedy};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::io::ErrorKind;
use std::sync::OnceLock;

/// An exception of the package: a class of its module `_errors`, with attributes.
fn exception(py: Python, class: &str, words: &str, attributes: &Bound<PyDict>) -> PyErr {
    let made = || {
        let module = py.import("hydranet._errors")?;
        module.getattr("_made")?.call1((class, words, attributes))
    };
    made().map_or_else(|e| e, PyErr::from_value)
}

/// The exception of an error, with all its causes in its words.
pub(crate) fn of(py: Python, error: &Error) -> PyErr {
    let attributes = PyDict::new(py);
    // Texts and numbers alone can be put into a dictionary without fail.
    let set = |name: &str, value: Option<&str>| drop(attributes.set_item(name, value));
    let class = match error {
        Error::Io { path, source, .. } => {
            set("filename", Some(&shown_path(path)));
            drop(attributes.set_item("errno", source.raw_os_error()));
            match source.kind() {
                ErrorKind::NotFound => "MissingFileError",
                _ => "FileError",
            }
        }
        Error::Image { path, .. } => {
            set("photo", Some(&shown_path(path)));
            "ImageError"
        }
        Error::Config { .. } => "ConfigError",
        Error::Data { path, row, .. } => {
            set("filename", Some(&shown_path(path)));
            drop(attributes.set_item("line", *row));
            "DataError"
        }
        Error::UnknownLabel { .. } | Error::EmptySplit { .. } => "DataError",
        Error::Checkpoint { .. } => "ModelFileError",
        Error::Hub { kind, .. } => {
            set("kind", Some(of_hub(*kind)));
            "HubError"
        }
        Error::LostGradient { .. } | Error::NotFinite { .. } => "TrainingError",
        Error::Candle(_) => "ComputeError",
        // Whatever else there is, is about what was given.
        _ => "InvalidError",
    };
    let words = format!("{error:#}");
    let words = words.trim_end();
    match remedy(error) {
        Some(remedy) => exception(py, class, &format!("{words}; {remedy}"), &attributes),
        None => exception(py, class, words, &attributes),
    }
}

/// What was given cannot be used.
pub(crate) fn invalid(py: Python, words: &str) -> PyErr {
    exception(py, "InvalidError", words, &PyDict::new(py))
}

/// Refuses to compute in a process that was forked from one that had: it does not have the threads that would, and would wait for
/// them forever.
pub(crate) fn check_process(py: Python) -> PyResult<()> {
    static BEGUN_IN: OnceLock<u32> = OnceLock::new();
    let here = std::process::id();
    if *BEGUN_IN.get_or_init(|| here) == here {
        return Ok(());
    }
    let words = "this process was forked from one that had computed with hydranet, and lacks its threads; start processes by \
        multiprocessing's method `spawn`";
    Err(exception(py, "ComputeError", words, &PyDict::new(py)))
}

fn of_hub(kind: HubErrorKind) -> &'static str {
    match kind {
        HubErrorKind::TryAgain => "try_again",
        HubErrorKind::NotFound => "not_found",
        HubErrorKind::Forbidden => "forbidden",
        HubErrorKind::Offline => "offline",
        HubErrorKind::Corrupt => "corrupt",
        _ => "invalid",
    }
}

/// The package's word for what helps, if anything behind the error was refused.
fn remedy(error: &Error) -> Option<&'static str> {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = next {
        if let Some(Error::Refused { remedy, .. }) = cause.downcast_ref() {
            return match remedy {
                Remedy::AttachHeads => Some("`hydranet heads attach` does that"),
                Remedy::ExtractHeads => Some("`hydranet heads extract` does that"),
                Remedy::RenameHead => Some("`hydranet heads rename` gives it another name"),
                Remedy::HeadsFolder => Some("heads= names the folder"),
                Remedy::Resume => Some("give resume=True, or another out="),
                Remedy::SkipBroken => Some("skip_broken=True goes on without them"),
                _ => None,
            };
        }
        next = cause.source();
    }
    None
}
