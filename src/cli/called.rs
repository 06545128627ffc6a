//! Commands called by another program in its own process, as the Python package does: what they would print goes to that program,
//! it may ask them to stop, and the same code runs that runs for the command.

use super::{Cli, Command};
use crate::Error;
use crate::error::shown;
use crate::train::Event;
use clap::Parser as _;
use std::cell::RefCell;
use std::ffi::OsString;
use std::fmt::{self, Debug, Formatter};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What a command says.
#[derive(Clone, Copy, Debug)]
pub enum Said<'a> {
    /// A line, or several, of its result: what it prints to standard output.
    Result(&'a str),
    /// A line of progress, a warning or a message: what it prints to standard error.
    Note(&'a str),
    /// How far something is that takes long.
    Progress {
        /// What.
        what: &'a str,
        /// How much is done.
        done: usize,
        /// How much there is.
        of: usize,
        /// Of what.
        unit: &'a str,
    },
    /// A run's event.
    Training {
        /// The heads, in the order of the event's figures.
        heads: &'a [String],
        /// The event.
        event: &'a Event<'a>,
    },
}

/// How a command ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All is well.
    Well,
    /// It has found faults, and said them.
    Faulty,
    /// It was asked to stop, and has saved what it had.
    Stopped,
}

/// Why a command did nothing.
#[derive(Debug)]
pub enum Refused {
    /// Its arguments are not understood; in words.
    Arguments(String),
    /// It failed.
    Failed(Error),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Who calls a command.
struct Caller {
    stop: Arc<AtomicBool>,
    /// Whether the command looks at `stop` itself, to save what it has.
    saves: bool,
    tell: Box<dyn FnMut(&Said)>,
}

impl Debug for Caller {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        f.debug_struct("Caller").finish_non_exhaustive()
    }
}

thread_local! {
    /// Who called the command that runs in this thread; `None` for the command itself.
    static CALLER: RefCell<Option<Caller>> = const { RefCell::new(None) };
}

/// The panic that ends a command which has nothing to save.
struct Interrupted;

/// Runs a command in this thread by its arguments, the first being its name. `tell` hears what it says; once `stop` is true it
/// saves what it has and ends.
///
/// # Errors
/// [`Refused`], if its arguments are not understood or it fails.
pub fn call(
    args: impl IntoIterator<Item = OsString>,
    stop: &Arc<AtomicBool>,
    tell: impl FnMut(&Said) + 'static,
) -> Result<Ended, Refused> {
    let args = [OsString::from("hydranet")].into_iter().chain(args);
    let cli = Cli::try_parse_from(args)
        .map_err(|e| Refused::Arguments(e.render().to_string().trim_end().into()))?;
    if cli.threads.is_some() {
        return Err(Refused::Arguments("--threads is for the command".into()));
    }
    #[cfg(feature = "serve")]
    if matches!(cli.command, Command::Serve(_)) {
        let words = "a server listens for signals, and so runs as a program of its own";
        return Err(Refused::Arguments(words.into()));
    }
    crate::tape::instruction_set()?;
    let saves = matches!(
        cli.command,
        Command::Train(_)
            | Command::Audit(_)
            | Command::Experiment(_)
            | Command::Label(_)
            | Command::Demo(_)
    );
    CALLER.replace(Some(Caller {
        stop: Arc::clone(stop),
        saves,
        tell: Box::new(tell),
    }));
    let run = std::panic::AssertUnwindSafe(|| cli.command.run(&mut None));
    let ended = std::panic::catch_unwind(run);
    CALLER.take();
    match ended {
        Ok(code) => Ok(match code? {
            ExitCode::SUCCESS => Ended::Well,
            code if code == ExitCode::from(130) => Ended::Stopped,
            _ => Ended::Faulty,
        }),
        Err(panic) if panic.is::<Interrupted>() => Ok(Ended::Stopped),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// Whether another program called the command in this thread.
pub(super) fn is_called() -> bool {
    CALLER.with_borrow(Option::is_some)
}

/// Tells the program that called the command; false if there is none.
pub(super) fn tell(said: &Said) -> bool {
    CALLER.with_borrow_mut(|caller| match caller {
        Some(caller) => {
            (caller.tell)(said);
            true
        }
        None => false,
    })
}

/// What the program that called the command asks it to stop with.
pub(super) fn stop() -> Option<Arc<AtomicBool>> {
    CALLER.with_borrow(|caller| Some(Arc::clone(&caller.as_ref()?.stop)))
}

/// Ends a command that has nothing to save, if that is asked for: by unwinding, so that every lock and temporary file is dropped
/// on the way.
pub(super) fn end_if_asked() {
    let asked = CALLER.with_borrow(|caller| {
        caller
            .as_ref()
            .is_some_and(|c| !c.saves && c.stop.load(Ordering::Relaxed))
    });
    if asked {
        std::panic::resume_unwind(Box::new(Interrupted));
    }
}

/// A prediction as `hydranet predict --json` prints it.
pub fn prediction_json(prediction: &crate::Prediction, path: Option<&str>) -> String {
    prediction.to_json(path)
}

/// What `hydranet predict` calls the columns of the table that it prints of these models' predictions.
pub fn prediction_columns(models: &crate::Ensemble) -> Vec<String> {
    super::prediction_row::columns(models)
}

/// A path as messages have it: without the query of a URL, which may open the file to anyone.
pub fn shown_path(path: &Path) -> String {
    shown(path)
}
