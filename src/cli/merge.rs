//! `hydranet merge`.

use super::evaluate::{COMMAND, print_merged};
use super::output::say;
use super::predict::{ANSWERS, PREDICTIONS, answered, unread};
use super::terminal::note;
use crate::Error;
use crate::eval::shards::{Kept, Row};
use crate::io::lock::OutputLock;
use crate::io::write_atomically_by;
use crate::shard::join;
use clap::Args;
use std::io::Write;
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
        write_atomically_by(&self.out, |file| {
            let failed = |e| Error::io("write", &self.out, e);
            if let Some(title) = work.options["title"].as_str() {
                writeln!(file, "{title}").map_err(failed)?;
            }
            faults = if evaluates {
                joined.rows(|row: Row| writeln!(file, "{}", kept.take(row)).map_err(failed))?
            } else {
                joined.rows(|row: String| writeln!(file, "{row}").map_err(failed))?
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
