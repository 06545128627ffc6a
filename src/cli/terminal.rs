//! What is printed: results, which must arrive or the program fails, and progress, which nobody need read.

use super::called::{self, Said};
use crate::escape::printable;
use anstream::{AutoStream, ColorChoice};
use clap::builder::styling::AnsiColor;
use std::borrow::Cow;
use std::fmt::Display;
use std::io::{ErrorKind, IsTerminal, Result, Write};
use std::sync::atomic::{AtomicBool, Ordering};

/// Prints a line of a result to standard output. A closed pipe ends the program quietly: whoever reads has read enough. Any other
/// failure ends it with a message: half a result must not pass for a whole one.
pub(crate) fn say(text: impl Display) {
    print(&printable(&text.to_string()));
}

/// As [`say`], of data in CSV: to a file or another program as they are, and to a terminal as text.
pub(crate) fn say_data(text: &str) {
    if called::tell(&Said::Result(text)) {
        return;
    }
    if std::io::stdout().is_terminal() {
        print(&printable(text));
    } else {
        print(text);
    }
}

/// Whether nothing is printed.
static QUIET: AtomicBool = AtomicBool::new(false);

/// Prints nothing from here on: of processes that work together one speaks.
pub(crate) fn be_quiet() {
    QUIET.store(true, Ordering::Relaxed);
}

fn print(text: &str) {
    if QUIET.load(Ordering::Relaxed) || called::tell(&Said::Result(text)) {
        return;
    }
    delivered(open().and_then(|()| writeln!(std::io::stdout().lock(), "{text}")));
}

/// Fails where standard output was closed before the program began: what is written to it then is lost without an error.
pub(crate) fn open() -> Result<()> {
    if hydranet_kernels::stdout_was_closed() {
        Err(std::io::Error::other("it is closed"))
    } else {
        Ok(())
    }
}

/// Ends the program at once, and leaves no lock files behind.
pub(crate) fn exit(code: i32) -> ! {
    crate::io::lock::OutputLock::remove_all();
    std::process::exit(code)
}

/// Sees to it that all that was printed has arrived.
pub(crate) fn flush() {
    delivered(std::io::stdout().lock().flush());
}

/// Ends the program if something could not be printed.
pub(crate) fn delivered(written: Result<()>) {
    match written {
        Ok(()) => {}
        Err(e) if e.kind() == ErrorKind::BrokenPipe => exit(0),
        Err(e) => {
            note(format!(
                "error: cannot write to standard output: {e}; what was printed is not whole"
            ));
            exit(1);
        }
    }
}

/// Prints a line of progress, a warning or a message to standard error. If it cannot be shown, the work goes on.
pub(crate) fn note(text: impl Display) {
    let text = text.to_string();
    let text = printable(&text);
    if QUIET.load(Ordering::Relaxed) || called::tell(&Said::Note(&text)) {
        return;
    }
    // In one piece, so that lines of several processes in one log do not mix.
    let line = format!("{}\n", coloured(&text));
    let _ = std::io::stderr().lock().write_all(line.as_bytes());
}

/// Words that a line begins with, and their colours.
const COLOURS: [(&str, AnsiColor); 3] = [
    ("error:", AnsiColor::Red),
    ("warning:", AnsiColor::Yellow),
    ("passed over:", AnsiColor::Yellow),
];

/// The line, its first word in colour where standard error is a terminal that shows any and nobody asked for none (`NO_COLOR`).
fn coloured(line: &str) -> Cow<'_, str> {
    let Some((word, colour)) = COLOURS.iter().find(|(word, _)| line.starts_with(word)) else {
        return line.into();
    };
    if AutoStream::choice(&std::io::stderr()) == ColorChoice::Never {
        return line.into();
    }
    let style = colour.on_default().bold();
    format!("{style}{word}{style:#}{}", &line[word.len()..]).into()
}
