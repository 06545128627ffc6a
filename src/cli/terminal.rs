//! What is printed: results, which must arrive or the program fails, and progress, which nobody need read.

use crate::printable;
use std::fmt::Display;
use std::io::{ErrorKind, IsTerminal, Result, Write};

/// Prints a line of a result to standard output. A closed pipe ends the program quietly: whoever reads has read enough. Any other
/// failure ends it with a message: half a result must not pass for a whole one.
pub(crate) fn say(text: impl Display) {
    let text = text.to_string();
    delivered(writeln!(std::io::stdout().lock(), "{}", printable(&text)));
}

/// As [`say`], of data in CSV: to a file or another program as they are, and to a terminal as text.
pub(crate) fn say_data(text: &str) {
    let mut out = std::io::stdout().lock();
    let text = if out.is_terminal() {
        printable(text)
    } else {
        text.into()
    };
    delivered(writeln!(out, "{text}"));
}

/// Sees to it that all that was printed has arrived.
pub(crate) fn flush() {
    delivered(std::io::stdout().lock().flush());
}

/// Ends the program if something could not be printed.
pub(crate) fn delivered(written: Result<()>) {
    match written {
        Ok(()) => {}
        Err(e) if e.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        Err(e) => {
            note(format!(
                "error: cannot write to standard output: {e}; what was printed is not whole"
            ));
            std::process::exit(1);
        }
    }
}

/// Prints a line of progress, a warning or a message to standard error. If it cannot be shown, the work goes on.
pub(crate) fn note(text: impl Display) {
    // In one piece, so that lines of several processes in one log do not mix.
    let text = text.to_string();
    let line = format!("{}\n", printable(&text));
    let _ = std::io::stderr().lock().write_all(line.as_bytes());
}
