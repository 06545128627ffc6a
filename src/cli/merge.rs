//! `hydranet merge`.

use super::evaluate::{COMMAND, print_merged};
use super::output::say;
use super::predict::{ANSWERS, PREDICTIONS, answered};
use super::predicted::unread;
use super::terminal::note;
use crate::Error;
use crate::eval::shards::{Kept, Row};
use crate::io::lock::OutputLock;
use crate::io::typed::{Columns, write_typed};
use crate::shard::join;
use clap::Args;
use serde::Deserialize;
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `hydranet merge`.
#[derive(Args)]
#[command(
    after_help = "Experiments and audits need no merge: the same command without --shard goes on from what the shards left in its folder, and that of health does with --merge."
)]
pub(crate) struct Merge {
    /// What was given to the shards as --out or --result.
    #[arg(value_name = "OUT")]
    out: PathBuf,
    /// The files of the shards, where they are not beside it.
    #[arg(value_name = "SHARD")]
    shards: Vec<PathBuf>,
}

impl Merge {
    pub(crate) fn run(&self) -> crate::Result<ExitCode> {
        let _lock = OutputLock::take(&self.out)?;
        let joined = join(&self.out, &self.shards)?;
        let work = &joined.work;
        let evaluates = match work.command.as_str() {
            COMMAND => true,
            ANSWERS | PREDICTIONS => false,
            other => {
                return Err(Error::Invalid {
                    what: format!("the shards of {}", self.out.display()),
                    expected: "those of predict or evaluate".into(),
                    found: format!("some of {other}"),
                });
            }
        };
        let (mut kept, mut faults) = (Kept::default(), 0);
        let columns = Option::<Columns>::deserialize(&work.options["columns"]);
        let columns = columns.map_err(|e| Error::Config {
            origin: "the options of the shards".into(),
            message: "their columns are none".into(),
            source: Some(e.into()),
        })?;
        write_typed(&self.out, columns.as_ref(), |put| {
            faults = match evaluates {
                true => joined.rows(|row: Row| put(kept.take(row)))?,
                false => joined.rows(put)?,
            };
            Ok(())
        })?;
        if evaluates {
            print_merged(&work.options, &kept)?;
        } else if work.command == ANSWERS {
            say(answered(work.photos, &self.out, faults));
        } else if faults > 0 {
            note(unread(faults, work.photos));
        }
        Ok(match faults {
            0 => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        })
    }
}
