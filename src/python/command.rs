//! A command in a thread of its own, while the thread that called it hears its events and listens for Ctrl-C.

use crate::error;
use hydranet::cli::called::{Ended, Refused, Said, call};
use hydranet::train::{EpochRecord, Event};
use pyo3::panic::PanicException;
use pyo3::prelude::*;
use serde_json::{Map, Value, json};
use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

/// How long Ctrl-C waits to be seen where nothing happens.
const LISTEN: Duration = Duration::from_millis(50);

/// Events that wait for a callback that takes its time; then the command waits for it.
const WAITING: usize = 64;

/// As large as a main thread's usually is.
const STACK: usize = 16 << 20;

/// Runs a command by its arguments. `on_event` is called with each event as JSON; the command saves what it has and ends once
/// that answers `False` or fails, or on Ctrl-C. Gives how it ended, and what it would have printed as its result.
///
/// Python's lock is held only while `on_event` runs.
#[pyfunction]
pub(crate) fn command(
    py: Python,
    args: Vec<OsString>,
    on_event: Bound<PyAny>,
) -> PyResult<(&'static str, Vec<String>)> {
    error::check_process(py)?;
    hydranet_kernels::keep_freed_memory();
    let stop = Arc::new(AtomicBool::new(false));
    let (sender, mut receiver) = sync_channel(WAITING);
    let asked = Arc::clone(&stop);
    let work = move || {
        // Whoever listened is there until the end.
        call(args, &asked, move |said| drop(sender.send(event(said))))
    };
    let thread = std::thread::Builder::new().name("hydranet".into());
    let thread = thread
        .stack_size(STACK)
        .spawn(|| catch_unwind(AssertUnwindSafe(work)))?;
    let (mut results, mut failure) = (Vec::new(), None);
    loop {
        let (heard, back) = py.detach(move || (receiver.recv_timeout(LISTEN), receiver));
        receiver = back;
        let told = match heard {
            Ok(Heard::Result(text)) => {
                results.push(text);
                Ok(true)
            }
            // After a failure nobody wants to hear more.
            Ok(Heard::Event(_)) if failure.is_some() => Ok(true),
            Ok(Heard::Event(event)) => tell(&on_event, &event.to_string()),
            Err(RecvTimeoutError::Timeout) => Ok(true),
            Err(RecvTimeoutError::Disconnected) => break,
        };
        let told = told.and_then(|on| py.check_signals().map(|()| on));
        if !matches!(told, Ok(true)) {
            stop.store(true, Ordering::Relaxed);
        }
        if let Err(error) = told {
            failure.get_or_insert(error);
        }
    }
    let ended = py.detach(|| thread.join());
    if let Some(failure) = failure {
        return Err(failure);
    }
    match ended {
        Ok(Ok(Ok(Ended::Well))) => Ok(("well", results)),
        Ok(Ok(Ok(Ended::Faulty))) => Ok(("faulty", results)),
        Ok(Ok(Ok(Ended::Stopped))) => Ok(("stopped", results)),
        Ok(Ok(Err(Refused::Arguments(words)))) => Err(error::invalid(py, &words)),
        Ok(Ok(Err(Refused::Failed(error)))) => Err(error::of(py, &error)),
        Ok(Err(panic)) | Err(panic) => {
            let words = panic.downcast_ref::<String>().map(String::as_str);
            let words = words.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(PanicException::new_err(
                words.unwrap_or("hydranet panicked").to_string(),
            ))
        }
    }
}

/// Whether to go on.
fn tell(on_event: &Bound<PyAny>, event: &str) -> PyResult<bool> {
    let answer = on_event.call1((event,))?;
    Ok(answer.extract::<bool>().unwrap_or(true))
}

/// What is sent from the command's thread.
enum Heard {
    Result(String),
    Event(Value),
}

fn event(said: &Said) -> Heard {
    Heard::Event(match said {
        Said::Result(text) => return Heard::Result((*text).into()),
        Said::Note(text) => json!({"kind": "note", "text": text}),
        Said::Progress {
            what,
            done,
            of,
            unit,
        } => json!({"kind": "progress", "what": what, "done": done, "of": of, "unit": unit}),
        Said::Training { heads, event } => training(heads, event),
    })
}

fn training(heads: &[String], event: &Event) -> Value {
    match event {
        Event::Found { found, of, file } => {
            json!({"kind": "found", "found": found, "of": of, "file": file.display().to_string()})
        }
        Event::Features { done, of } => json!({"kind": "features", "done": done, "of": of}),
        Event::Teacher { done, of } => json!({"kind": "teacher", "done": done, "of": of}),
        Event::Step {
            epoch,
            step,
            steps,
            photos,
            loss,
        } => {
            json!({"kind": "step", "epoch": epoch, "step": step, "steps": steps, "photos": photos, "loss": loss})
        }
        Event::Epoch(record) => epoch(heads, record),
        Event::Warning(text) => json!({"kind": "warning", "text": text}),
        _ => Value::Null,
    }
}

/// An epoch's figures, those of heads by the heads' names.
fn epoch(heads: &[String], record: &EpochRecord) -> Value {
    let mut value = serde_json::to_value(record).unwrap_or_default();
    if let Value::Object(figures) = &mut value {
        for name in ["head_accuracy", "head_macro_f1", "head_weights"] {
            if let Some(Value::Array(all)) = figures.get(name) {
                let named = heads.iter().cloned().zip(all.iter().cloned());
                let named: Map<String, Value> = named.collect();
                figures.insert(name.into(), named.into());
            }
        }
        figures.insert("kind".into(), "epoch".into());
    }
    value
}
