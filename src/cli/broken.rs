//! What is passed over, and photos that cannot be read: named before the work begins.

use super::output::Progress;
use super::terminal::note;
use crate::data::columns::{ColumnNames, Naming};
use crate::data::dataset::{Dataset, Fault};
use crate::data::faults::by_kind;
use crate::data::passed_over::{beside_data, beside_heads};
use crate::{HeadSpec, InputSpec};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

/// Says what data and a folder of heads hold and nothing reads.
pub(super) fn show_passed_over(
    data: &[PathBuf],
    heads: &Path,
    specs: &[HeadSpec],
    names: &ColumnNames,
) {
    let lines = beside_heads(heads).into_iter();
    let naming = Naming::given(names);
    lines.chain(beside_data(data, specs, naming)).for_each(note);
}

/// Looks every photo through and takes those out that cannot be read, which are named; false if stopped. Without `skip` there may
/// be none.
pub(super) fn take_out_broken(
    dataset: &mut Dataset,
    input: &InputSpec,
    skip: bool,
    stop: &AtomicBool,
) -> crate::Result<bool> {
    let of = dataset.samples.len();
    shown(of, |show| dataset.take_out_broken(input, skip, stop, show))
}

/// Shows how far a look through so many photos is, and names those that are passed over then; false if stopped.
pub(super) fn shown(
    of: usize,
    look: impl FnOnce(&mut dyn FnMut(usize, usize)) -> crate::Result<Option<Vec<Fault>>>,
) -> crate::Result<bool> {
    let mut progress = Progress::new("photos");
    let found = look(&mut |done, of| progress.show(done, of));
    progress.end();
    let Some(faults) = found? else {
        return Ok(false);
    };
    for line in by_kind(&faults) {
        note(format!("passed over: {line}"));
    }
    if !faults.is_empty() {
        note(format!(
            "{} of {of} photos cannot be read and are passed over",
            faults.len()
        ));
    }
    Ok(true)
}
