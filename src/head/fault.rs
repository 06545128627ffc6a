//! What is wrong with one setting of a head, before it is known which head's it is.

use std::fmt::Display;

/// A setting that is not valid.
pub(super) struct Fault {
    /// Its name.
    pub what: String,
    /// What is expected.
    pub expected: String,
    /// What was found.
    pub found: String,
}

/// A [`Fault`] as the outcome of a check.
pub(super) fn fault(
    what: impl Into<String>,
    expected: impl Into<String>,
    found: impl Display,
) -> Result<(), Fault> {
    Err(Fault {
        what: what.into(),
        expected: expected.into(),
        found: found.to_string(),
    })
}

/// Whether a setting is a share: from 0 to below 1.
pub(super) fn check_share(what: &str, value: f64) -> Result<(), Fault> {
    if (0.0..1.0).contains(&value) {
        Ok(())
    } else {
        fault(what, "a number from 0 to below 1", value)
    }
}
