//! `hydranet guide`.

use super::Cli;
use super::output::say;
use crate::guide::CHAPTERS;
use crate::{Error, Result};
use clap::builder::StyledStr;
use clap::{Args, Command, CommandFactory};
use std::fmt::Write;
use std::process::ExitCode;

/// Arguments of `hydranet guide`.
#[derive(Args)]
pub(crate) struct Guide {
    /// The chapter [default: the list of all].
    #[arg(value_name = "CHAPTER")]
    chapter: Option<String>,
    /// Write the chapter `commands` anew, from what the program knows.
    #[arg(long, hide = true, conflicts_with = "chapter")]
    generate: bool,
}

impl Guide {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        if self.generate {
            say(commands().trim_end());
            return Ok(ExitCode::SUCCESS);
        }
        let Some(wanted) = &self.chapter else {
            for (name, text) in CHAPTERS {
                let title = text.lines().next().unwrap_or_default();
                say(format!("{name:<14}{}", title.trim_start_matches("# ")));
            }
            return Ok(ExitCode::SUCCESS);
        };
        let found = CHAPTERS.iter().find(|(name, _)| name == wanted);
        let Some((_, text)) = found else {
            return Err(Error::UnknownName {
                what: "chapter",
                found: wanted.clone(),
                known: CHAPTERS.iter().map(|(name, _)| name.to_string()).collect(),
            });
        };
        say(text.trim_end());
        Ok(ExitCode::SUCCESS)
    }
}

/// The chapter of all commands and options, from their definitions.
fn commands() -> String {
    let mut text = String::from(
        "# Commands\n\nMade by `hydranet guide --generate` from the program's own definitions. Every command also takes `--threads N` and `--help`.\n",
    );
    let program = Cli::command();
    // Not every build has `serve`, whose own chapter has its options.
    for command in program
        .get_subcommands()
        .filter(|c| c.get_name() != "serve")
    {
        describe(&mut text, "hydranet", command);
    }
    text
}

fn describe(text: &mut String, before: &str, command: &Command) {
    if command.get_name() == "help" {
        return;
    }
    let name = format!("{before} {}", command.get_name());
    let about = command.get_long_about().or(command.get_about());
    // Writing into a string does not fail.
    let _ = write!(text, "\n## {name}\n\n{}\n", cell(about));
    let mut rows = String::new();
    for arg in command.get_arguments().filter(|a| !a.is_hide_set()) {
        let values = arg.get_value_names().unwrap_or_default();
        let value = if arg.get_action().takes_values() {
            values
                .iter()
                .map(|v| v.to_string())
                .collect::<Vec<_>>()
                .join(" ")
        } else {
            String::new()
        };
        let title = match arg.get_long() {
            Some(long) if arg.is_require_equals_set() => format!("--{long}[={value}]"),
            Some(long) => format!("--{long} {value}"),
            None => value,
        };
        let mut meaning = cell(arg.get_long_help().or(arg.get_help()));
        let defaults: Vec<_> = arg
            .get_default_values()
            .iter()
            .map(|d| d.to_string_lossy())
            .collect();
        if !defaults.is_empty() && arg.get_action().takes_values() {
            let _ = write!(meaning, " [default: {}]", defaults.join(", "));
        }
        let _ = writeln!(
            rows,
            "| `{}` | {meaning} |",
            title.trim().replace('|', "\\|")
        );
    }
    if !rows.is_empty() {
        let _ = write!(text, "\n| option | meaning |\n|---|---|\n{rows}");
    }
    if let Some(more) = command.get_after_help() {
        let _ = write!(text, "\n{}\n", cell(Some(more)));
    }
    for inner in command.get_subcommands() {
        describe(text, &name, inner);
    }
}

/// Help as one line of a table.
fn cell(help: Option<&StyledStr>) -> String {
    let help = help.map(ToString::to_string).unwrap_or_default();
    let words: Vec<&str> = help.split_whitespace().collect();
    let line = words.join(" ").replace('|', "\\|");
    // Angle brackets would be taken for HTML, square ones for a link.
    line.replace('<', "\\<").replace('[', "\\[")
}
