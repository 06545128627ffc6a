//! `--columns`: what listings call their columns.

use crate::data::columns::{ColumnNames, check_names};
use crate::train::config::Config;
use crate::{HeadSpec, Result};
use clap::Args;

/// What columns are called.
#[derive(Args, Clone, Default)]
pub(super) struct ColumnArgs {
    /// What listings call their columns: path=image,person=sender_id,split=fold or a head's name=column. The path may be put
    /// together, as path=images/{image}.jpg. May be given several times.
    #[arg(long, value_name = "WORD=COLUMN", value_delimiter = ',', value_parser = pair)]
    columns: Vec<(String, String)>,
}

fn pair(text: &str) -> std::result::Result<(String, String), String> {
    let (word, name) = text
        .split_once('=')
        .ok_or("WORD=COLUMN is needed, as path=image or person=sender_id")?;
    Ok((word.trim().into(), name.trim().into()))
}

impl ColumnArgs {
    /// The names given, if there are any.
    pub(super) fn names(&self, heads: &[HeadSpec]) -> Result<Option<ColumnNames>> {
        let names: ColumnNames = self.columns.iter().cloned().collect();
        check_names(&names, heads)?;
        Ok((!names.is_empty()).then_some(names))
    }

    /// Puts the names given in the place of those of a configuration.
    pub(super) fn apply(&self, config: &mut Config) -> Result<()> {
        if let Some(names) = self.names(&config.model_spec()?.heads)? {
            let persons = ["person", "group"];
            if persons.iter().any(|word| names.contains_key(*word)) {
                config
                    .model
                    .columns
                    .retain(|word, _| !persons.contains(&word.as_str()));
            }
            config.model.columns.extend(names);
        }
        Ok(())
    }
}
