//! Arguments in, library calls, text out.

// What stands here is the help, plain text.
#![allow(rustdoc::invalid_html_tags)]

mod audit;
mod broken;
mod calibrate;
pub mod called;
mod columns;
mod completions;
mod data;
mod decide;
mod demo;
mod ensemble;
mod evaluate;
mod experiment;
mod explain;
mod export;
mod folders;
mod guide;
mod heads;
mod health;
mod hints;
mod hub;
mod init;
mod kept;
mod label;
pub mod load;
mod merge;
mod model;
mod output;
pub mod portraits;
mod predict;
mod predicted;
mod prediction_row;
mod recipe;
mod report;
mod run_data;
#[cfg(feature = "serve")]
mod serve;
mod shards;
mod sides;
mod soup;
mod stop;
mod terminal;
mod train;
mod views;
mod weights;

use crate::train::ranks::Launcher;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// One pretrained image backbone, a separate head for each category, trained jointly, combined into one final class.
#[derive(Parser)]
#[command(
    version,
    about,
    after_help = "Start with `hydranet demo`: it needs nothing else."
)]
struct Cli {
    /// Threads to compute with [default: one a core]. Results do not depend on it.
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Look at a folder of photos or a CSV, and write heads, model.toml and a listing for them, ready to train.
    Init(init::Init),
    /// Read everything, decode every photo, list every fault with file and line.
    Check(data::Check),
    /// Look for photos that are there twice, blurred, dark, empty or of somebody else, and for what the crop cuts off.
    Health(health::Health),
    /// Fine-tune; everything is written to a run folder.
    Train(train::Train),
    /// Score a model on labelled photos.
    Evaluate(evaluate::Evaluate),
    /// Train variants of a baseline over folds of persons and seeds, and compare them.
    Experiment(experiment::Experiment),
    /// Make a page of a run, or of several side by side: curves, confusions, errors, and the photos behind every count.
    Report(Box<report::Report>),
    /// Compare finished runs: what differs, by how much, and whether that is more than chance.
    Compare(experiment::Compare),
    /// Compare rules that decide the final class, or write a model file with one of them.
    Decide(decide::Decide),
    /// Make a model's probabilities honest: temperatures, when to abstain, what is novel.
    Calibrate(calibrate::Calibrate),
    /// Find labels that are likely wrong.
    Audit(Box<audit::Audit>),
    /// Write the probabilities of photos' labels, each by models that have not seen its person, for another training to learn from.
    Label(label::Label),
    /// Show where in photos each head's decision lies.
    Explain(explain::Explain),
    /// Predict the final class of photos, folders or a listing.
    Predict(predict::Predict),
    /// Put the files of all shards of predict or evaluate together, into what the command alone would have written.
    Merge(merge::Merge),
    /// Answer over HTTP: photos in, predictions as JSON out.
    #[cfg(feature = "serve")]
    Serve(serve::Serve),
    /// Write the manifest of an ensemble of models.
    Ensemble(ensemble::EnsembleArgs),
    /// Average the weights of several runs into one model.
    Soup(soup::SoupArgs),
    /// Print what a model file says about itself.
    Inspect(model::Inspect),
    /// Write a model as a file for other programs.
    Export(export::Export),
    /// Upload a folder or a model file to the Hugging Face Hub.
    Push(hub::Push),
    /// Fetch all files of a repository on the Hugging Face Hub into a folder.
    Pull(hub::Pull),
    /// List pretrained weights: what travels with the program, what is in the folder weights, and what can be fetched.
    Weights(weights::Weights),
    /// Change the heads of model files: replace, add, remove, rename, reset, graft, extract, attach, merge.
    Heads(heads::Heads),
    /// List the recipes of training, or print one as a file for --config.
    Recipe(recipe::ShowRecipe),
    /// Print what a shell needs to complete commands and options.
    Completions(completions::Completions),
    /// Print a chapter of the guide.
    Guide(guide::Guide),
    /// Draw synthetic portraits, fine-tune on them, score and predict: everything at once, in one to two minutes.
    Demo(demo::Demo),
}

/// The folder of heads where none is named.
const HEADS: &str = "heads";

/// Where the configuration comes from.
#[derive(Args)]
struct ConfigArgs {
    /// Folder with model.toml and one TOML file a head.
    #[arg(long, default_value = HEADS, value_name = "DIR")]
    heads: PathBuf,
    /// TOML file whose tables [train], [model] and [heads.<name>] win over the heads folder.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One setting, which wins over everything: train.epochs=5, heads.age.thresholds=[30,58], model.input.size=[144,112]. An
    /// empty value takes a key away.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
}

impl ConfigArgs {
    fn load(&self) -> crate::Result<crate::train::config::Config> {
        crate::train::config::Config::load(&self.heads, self.config.as_deref(), &self.settings)
    }
}

/// What the command does with its arguments.
pub fn main() -> ExitCode {
    hydranet_kernels::keep_freed_memory();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) if e.use_stderr() => {
            let text = e.render().to_string();
            match crate::escape::printable(&text) {
                std::borrow::Cow::Borrowed(_) => drop(e.print()),
                // An argument may be the name of somebody's file.
                spelt => terminal::note(spelt.trim_end()),
            }
            return ExitCode::from(2);
        }
        // Help and version are results like any other.
        Err(e) => {
            terminal::delivered(terminal::open().and_then(|()| e.print()));
            terminal::flush();
            return ExitCode::SUCCESS;
        }
    };
    if let Some(threads) = cli.threads {
        // Fails only if the pool was built before, which nothing here does.
        let _ = rayon::ThreadPoolBuilder::new()
            .num_threads(threads.into())
            .build_global();
    }
    let command = cli.command;
    // MPI ends after the last word is said: a launcher ends the others when one has ended.
    let mut launcher = None;
    let result = crate::tape::instruction_set().and_then(|_| command.run(&mut launcher));
    terminal::flush();
    match result {
        Ok(code) => code,
        Err(error) => {
            terminal::note(format!("error: {}", hints::advised(&error, &command)));
            ExitCode::FAILURE
        }
    }
}

impl Command {
    /// Does it; `launcher` keeps what other processes are reached by, if it needs them.
    fn run(&self, launcher: &mut Option<Launcher>) -> crate::Result<ExitCode> {
        match self {
            Self::Init(c) => c.run(),
            Self::Check(c) => c.run(),
            Self::Health(c) => c.run(),
            Self::Train(c) => c.run(&launcher.insert(Launcher::start()?).group()),
            Self::Evaluate(c) => c.run(),
            Self::Experiment(c) => c.run(),
            Self::Report(c) => c.run(),
            Self::Compare(c) => c.run(),
            Self::Decide(c) => c.run(),
            Self::Calibrate(c) => c.run(),
            Self::Ensemble(c) => c.run(),
            Self::Soup(c) => c.run(),
            Self::Audit(c) => c.run(),
            Self::Label(c) => c.run(),
            Self::Explain(c) => c.run(),
            Self::Predict(c) => c.run(),
            Self::Merge(c) => c.run(),
            #[cfg(feature = "serve")]
            Self::Serve(c) => c.run(),
            Self::Inspect(c) => c.run(),
            Self::Export(c) => c.run(),
            Self::Push(c) => c.run(),
            Self::Pull(c) => c.run(),
            Self::Weights(c) => c.run(),
            Self::Heads(c) => c.run(),
            Self::Recipe(c) => c.run(),
            Self::Completions(c) => c.run(),
            Self::Guide(c) => c.run(),
            Self::Demo(c) => c.run(),
        }
    }
}
