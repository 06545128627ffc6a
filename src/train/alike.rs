//! Whether the processes of a run were given the same.

use super::config::Config;
use super::ranks::Group;
use super::run_folder::Beginning;
use crate::data::dataset::Dataset;
use crate::error::{Error, Result};
use crate::tape::instruction_set;

/// Looked at before anything is computed: whether all processes were given the same, and compute it alike.
///
/// # Errors
/// [`Error::Invalid`] naming what is other on which process, or the number of parts if it is none that they can share.
pub(super) fn check(config: &Config, dataset: &Dataset, group: &Group) -> Result<()> {
    let (_, size) = group.place();
    if size == 1 {
        return Ok(());
    }
    if !config.train.parts.is_multiple_of(size) {
        return Err(Error::Invalid {
            what: "train.parts".into(),
            expected: format!("a multiple of {size}, the number of processes"),
            found: config.train.parts.to_string(),
        });
    }
    const NAMES: [&str; 5] = [
        "version of the program",
        "instruction set (HYDRANET_ISA sets one that all have)",
        "settings",
        "rows of the listings in their order",
        "persons of the photos",
    ];
    let [order, persons] = Beginning::rows(dataset);
    let settings = config.to_toml()?;
    let own = [
        env!("CARGO_PKG_VERSION"),
        instruction_set()?,
        &settings,
        &order,
        &persons,
    ];
    let own = serde_json::to_vec(&own).unwrap_or_default();
    let said = group.agree(Ok(own))?;
    let said = said.iter().map(|said| serde_json::from_slice(said));
    let said: Vec<Vec<String>> = said.collect::<Result<_, _>>().unwrap_or_default();
    for (rank, of_rank) in said.iter().enumerate() {
        let pairs = said[0].iter().zip(of_rank).zip(NAMES);
        if let Some((_, name)) = pairs.into_iter().find(|((a, b), _)| a != b) {
            return Err(Error::Invalid {
                what: format!("process {} of {size}", rank + 1),
                expected: format!("the same {name} as the first process"),
                found: "another".into(),
            });
        }
    }
    Ok(())
}
