//! `hydranet train --dry-run`.

use super::super::output::say;
use super::super::terminal::note;
use super::run::show_imbalances;
use crate::Result;
use crate::data::dataset::{Dataset, Split};
use crate::data::split_report::SplitReport;
use crate::train::config::{Config, load_weights};
use crate::train::dry_run::{Part, Plan, dry_run};
use crate::train::loss::unseen::without_photos;
use std::path::Path;

/// Says what would be trained.
pub(super) fn show_plan(config: &Config, heads: &Path, dataset: &Dataset) -> Result<()> {
    let spec = config.model_spec()?;
    dataset.check_possible(&spec.taxonomy()?)?;
    say(SplitReport::new(dataset, &spec.taxonomy()?)?);
    without_photos(&spec, dataset)?.iter().for_each(note);
    show_imbalances(config, dataset)?;
    let Plan {
        parts,
        multiply_adds,
    } = dry_run(config, load_weights(config, heads)?)?;
    let names = parts.iter().map(|p| p.name.len());
    let width = names.max().unwrap_or(0).max(8);
    say(format!(
        "{:width$}  {:>12}  {:>12}  {:>13}  {:>10}  {:>16}",
        "", "parameters", "trained", "learning rate", "from epoch", "multiplications"
    ));
    for p in &parts {
        let (lr, from) = match p.from {
            Some(from) => (format!("{:.3e}", p.lr), from.to_string()),
            None => ("-".into(), "-".into()),
        };
        let cost = p
            .multiply_adds
            .map_or_else(String::new, |n| format!("  {n:>16}"));
        say(format!(
            "{:width$}  {:>12}  {:>12}  {lr:>13}  {from:>10}{cost}",
            p.name, p.parameters, p.trained
        ));
    }
    let sum = |of: fn(&Part) -> usize| parts.iter().map(of).sum::<usize>();
    say(format!(
        "{:width$}  {:>12}  {:>12}",
        "all",
        sum(|p| p.parameters),
        sum(|p| p.trained)
    ));
    say(costs(
        config,
        dataset.indices(Split::Train).len(),
        multiply_adds,
    )?);
    Ok(())
}

/// What photos become, how many are computed, and what each costs.
fn costs(config: &Config, photos: usize, multiply_adds: Option<u64>) -> Result<String> {
    let (train, input) = (&config.train, config.model_spec()?.input);
    let [height, width] = input.size;
    let channels = input.channels;
    let computed = if train.keeps_features() {
        match train.feature_views {
            0 | 1 => "the features of each are computed once".into(),
            views => format!("the features of {views} views each are computed once"),
        }
    } else {
        format!("in batches of {}", train.batch)
    };
    let cost = multiply_adds.map_or(String::new(), |n| {
        let giga = n as f64 / 1e9;
        let backward = if train.keeps_features() {
            ""
        } else {
            "; a step of training takes some three times that"
        };
        format!("\ncost   {giga:.3} G multiplications and additions a photo, forward{backward}")
    });
    Ok(format!(
        "input  {height} × {width}, {channels} channels; {photos} photos in training, {} epochs, {computed}{cost}",
        train.epochs
    ))
}
