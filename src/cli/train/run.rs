//! A run of training as a terminal shows it.

use super::super::broken::{show_passed_over, shown};
use super::super::output::{Progress, show_corrections, show_training, stop_on_ctrl_c};
use super::super::report::write_page;
use super::super::run_data::RunData;
use super::super::sides::SplitFiles;
use super::super::terminal::note;
use crate::data::dataset::{Dataset, Split};
use crate::data::sampling::Sampling;
use crate::data::seen::follow;
use crate::data::split_report::SplitReport;
use crate::model::JOINT;
use crate::model_file::Tensors;
use crate::train::config::{Config, load_weights, seen_by_weights};
use crate::train::loss::imbalance::{Imbalance, imbalances};
use crate::train::ranks::Group;
use crate::train::trainer::{Event, Outcome, Trainer};
use crate::{Error, Result};
use std::path::Path;

/// How a run is begun and shown.
#[derive(Clone, Copy, Default)]
pub(crate) struct How {
    pub(crate) resume: bool,
    pub(crate) skip_broken: bool,
    /// Whether its page is written after every epoch.
    pub(crate) live: bool,
}

/// Trains on data, which it reads and puts on their sides unless that is done, and writes the run's page.
pub(crate) fn run(
    config: &Config,
    heads: &Path,
    (dataset, data): (Option<Dataset>, &RunData),
    out: &Path,
    how: How,
    group: &Group,
) -> Result<Outcome> {
    let spec = config.model_spec()?;
    let mut dataset = match dataset {
        Some(dataset) => dataset,
        None => prepare(config, heads, data)?,
    };
    let weights = begin(config, heads, &dataset)?;
    // Kept features are computed from every photo before training begins anyway.
    let look = how.skip_broken || !config.train.keeps_features();
    if look && !find_broken(config, &mut dataset, how.skip_broken, group)? {
        return Ok(Outcome {
            stopped: true,
            progress: Default::default(),
            scores: None,
        });
    }
    let names = spec.heads.iter().map(|h| h.name.clone());
    let names: Vec<String> = names
        .chain(spec.joint.iter().map(|_| JOINT.into()))
        .collect();
    if group.is_first() {
        data.write(out)?;
    }
    let mut progress = Progress::new("train");
    let all = (config.train.epochs, config.train.batch);
    let outcome = Trainer::new(config, weights, &dataset)
        .out(out)
        .resume(how.resume)
        .stop(&stop_on_ctrl_c())
        .group(group)
        .on_event(|event| {
            show_training(&mut progress, &names, all, event);
            if let (true, Event::Epoch(_)) = (how.live, event)
                && let Err(e) = write_page(out, &dataset, true)
            {
                // The run is worth more than its picture.
                progress.line(&format!("warning: the page is not fresh: {e:#}"));
            }
        })
        .run();
    progress.end();
    let outcome = outcome?;
    if !outcome.stopped
        && group.is_first()
        && let Err(e) = write_page(out, &dataset, false)
    {
        note(format!("warning: the page was not written: {e:#}"));
    }
    Ok(outcome)
}

/// Decodes every photo once, and names those that are passed over; false if stopped. The first process of a group does it for all.
pub(super) fn find_broken(
    config: &Config,
    dataset: &mut Dataset,
    skip: bool,
    group: &Group,
) -> Result<bool> {
    let (input, of) = (config.model_spec()?.input, dataset.samples.len());
    let said = group.share(|| {
        let whole = shown(of, |show| {
            dataset.find_broken(&input, skip, &stop_on_ctrl_c(), show)
        })?;
        let places = dataset.skipped.iter().map(|place| *place as u64);
        let said = std::iter::once(u64::from(whole)).chain(places);
        Ok(said.flat_map(u64::to_le_bytes).collect())
    })?;
    let said = said
        .as_chunks()
        .0
        .iter()
        .map(|bytes| u64::from_le_bytes(*bytes));
    let mut said = said.map(|place| place as usize);
    let whole = said.next() == Some(1);
    dataset.skipped = said.collect();
    Ok(whole)
}

/// Says what the data is; the weights to start from.
pub(super) fn begin(config: &Config, heads: &Path, dataset: &Dataset) -> Result<Tensors> {
    note(SplitReport::new(
        dataset,
        &config.model_spec()?.taxonomy()?,
    )?);
    show_imbalances(config, dataset)?;
    load_weights(config, heads)
}

/// Says which heads have a label that is rare among the training photos, and what can be done.
pub(super) fn show_imbalances(config: &Config, dataset: &Dataset) -> Result<()> {
    if config.train.sampling != Sampling::EveryPhoto || dataset.indices(Split::Train).is_empty() {
        return Ok(());
    }
    for Imbalance {
        head,
        rarest: (rare, few),
        commonest: (common, many),
    } in imbalances(&config.model_spec()?, dataset)?
    {
        note(format!(
            "head `{head}`: {few:.0} photos in training are `{rare}`, {many:.0} are `{common}`; if the rare label matters as much, try --set heads.{head}.class_weights=balanced or --set 'train.sampling.by_head={{head=\"{head}\",power=0.5}}'"
        ));
    }
    Ok(())
}

/// The data, corrected, on its sides: those that are given, then those on which the weights to start from have seen it.
pub(in super::super) fn prepare(config: &Config, heads: &Path, data: &RunData) -> Result<Dataset> {
    let names = &config.model.columns;
    let mut dataset = Dataset::open_as(&data.data, &config.model_spec()?.heads, names)?;
    show_passed_over(&data.data, heads, &dataset.heads, names);
    SplitFiles::new(data.split_files.clone()).apply(&mut dataset)?;
    follow(&mut dataset, seen_by_weights(config, heads)?)?;
    show_corrections(&dataset.put_on_sides(
        &config.train.split,
        config.train.seed,
        &config.train.corrections,
    )?);
    if !data.unlabelled.is_empty() {
        if config.train.teacher.is_none() {
            return Err(Error::Invalid {
                what: "--unlabelled".into(),
                expected:
                    "train.teacher, who says what these photos show: --set train.teacher.model=FILE"
                        .into(),
                found: "none".into(),
            });
        }
        let count = dataset.add_unlabelled(&data.unlabelled)?;
        note(format!(
            "{count} photos without labels are on the training side"
        ));
    }
    Ok(dataset)
}

/// Configuration and data as the first process of a group has them, on all.
pub(super) fn shared(
    group: &Group,
    own: impl FnOnce() -> Result<(Config, RunData)>,
) -> Result<(Config, RunData)> {
    let said = group.share(|| {
        let (config, data) = own()?;
        let texts = [config.to_toml()?, data.to_toml()?];
        serde_json::to_vec(&texts).map_err(|e| unreadable(&e))
    })?;
    let [config, data]: [String; 2] = serde_json::from_slice(&said).map_err(|e| unreadable(&e))?;
    Ok((
        toml::from_str(&config).map_err(|e| unreadable(&e))?,
        toml::from_str(&data).map_err(|e| unreadable(&e))?,
    ))
}

fn unreadable(error: &dyn std::error::Error) -> Error {
    Error::Config {
        origin: "the first process's configuration".into(),
        message: error.to_string(),
        source: None,
    }
}
