//! `hydranet train --find-lr`.

use super::super::output::{Progress, say, show_training, stop_on_ctrl_c};
use super::run::{begin, find_broken};
use crate::Result;
use crate::data::dataset::Dataset;
use crate::report::figure::learning_rates;
use crate::report::figure_page;
use crate::train::config::Config;
use crate::train::find_lr::{find_lr, suggestion};
use crate::train::ranks::Group;
use std::path::Path;
use std::process::ExitCode;

/// Searches for learning rates, and says which to try.
pub(super) fn search(
    config: &Config,
    heads: &Path,
    mut dataset: Dataset,
    out: &Path,
    skip_broken: bool,
) -> Result<ExitCode> {
    let weights = begin(config, heads, &dataset)?;
    if skip_broken && !find_broken(config, &mut dataset, true, &Group::alone())? {
        say("stopped before anything was to be seen");
        return Ok(ExitCode::from(130));
    }
    let mut progress = Progress::new("find-lr");
    let trials = find_lr(
        config,
        weights,
        &dataset,
        out,
        100,
        &stop_on_ctrl_c(),
        &mut |event| show_training(&mut progress, &[], (1, config.train.batch), event),
    );
    progress.end();
    let trials = trials?;
    if let Some(figure) = learning_rates(&trials) {
        figure_page::write(&figure, out, "lr")?;
    }
    match suggestion(&trials) {
        Some(factor) => say(format!(
            "try train.lr_backbone={:.1e} train.lr_heads={:.1e}; the course of the loss is in {}",
            factor * config.train.lr_backbone,
            factor * config.train.lr_heads,
            out.join("lr.html").display()
        )),
        None => say("stopped before anything was to be seen"),
    }
    Ok(ExitCode::SUCCESS)
}
