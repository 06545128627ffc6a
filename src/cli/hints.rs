//! What the command adds to an error of the library: which of its own words helps.

use super::Command;
use crate::error::{Error, HubErrorKind, Remedy};

/// The words of an error with all its causes, and advice where the command has some.
pub(super) fn advised(error: &Error, command: &Command) -> String {
    let words = format!("{error:#}");
    let words = words.trim_end();
    match advice(error, command) {
        Some(advice) => format!("{words}; {advice}"),
        None => words.into(),
    }
}

fn advice(error: &Error, command: &Command) -> Option<&'static str> {
    if let (Error::Hub { kind, .. }, Command::Push(push)) = (error, command) {
        let lacking = *kind == HubErrorKind::NotFound && !push.create;
        return lacking.then_some("give --create");
    }
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = next {
        if let Some(Error::Refused { remedy, .. }) = cause.downcast_ref() {
            return Some(option(*remedy));
        }
        next = cause.source();
    }
    None
}

/// The command's word for it.
fn option(remedy: Remedy) -> &'static str {
    match remedy {
        Remedy::AttachHeads => "`hydranet heads attach` does that",
        Remedy::ExtractHeads => "`hydranet heads extract` does that",
        Remedy::RenameHead => {
            "`hydranet heads rename` writes a copy in which it has another name, `hydranet heads remove` one without it"
        }
        Remedy::HeadsFolder => "--heads names the folder",
        Remedy::Resume => "give --resume, or another --out",
        Remedy::SkipBroken => "--skip-broken goes on without them",
        Remedy::Overwrite => "give --overwrite",
    }
}
