//! `hydranet experiment` and `hydranet compare`.

use super::broken::take_out_broken;
use super::output::{Progress, say, say_json, show_corrections, show_training, stop_on_ctrl_c};
use crate::InputSpec;
use crate::data::dataset::Dataset;
use crate::experiment::{
    Comparison, Event, ExperimentFile, Figure, Outcome, Plan, State, Variant, collect, run,
    to_markdown,
};
use crate::report::figure::differences;
use crate::report::figure_page;
use crate::shard::Shard;
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Arguments of `hydranet experiment`.
#[derive(Args)]
#[command(
    after_help = "tests/experiments in hydranet's repository holds examples. Start the same command again to go on after an interruption, or with variants added: only what is not done yet is done."
)]
pub(crate) struct Experiment {
    /// The experiment: data, folds, seeds, the baseline's settings and what each variant changes.
    #[arg(value_name = "FILE.toml")]
    file: PathBuf,
    /// The folder of the experiment.
    #[arg(long, value_name = "DIR", required_unless_present = "dry_run")]
    out: Option<PathBuf>,
    /// A CSV listing or a person folder, in place of the file's; may be given several times.
    #[arg(long, value_name = "PATH")]
    data: Vec<PathBuf>,
    /// Minutes the runs may take from now, in place of the file's.
    #[arg(long, value_name = "N", value_parser = minutes)]
    minutes: Option<f64>,
    /// Name photos that cannot be read, and do everything without them.
    #[arg(long, conflicts_with = "dry_run")]
    skip_broken: bool,
    /// Print the variants and count the runs; do nothing.
    #[arg(long)]
    dry_run: bool,
    /// Do every N-th run only, from the I-th on, beside other workers in the same --out; the last to end writes the tables.
    #[arg(long, value_name = "I/N", conflicts_with = "dry_run")]
    shard: Option<Shard>,
}

/// A time that a clock can count.
fn minutes(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(minutes) if minutes > 0.0 && minutes <= 1e7 => Ok(minutes),
        _ => Err("expected a number above 0, at most 10000000".into()),
    }
}

impl Experiment {
    pub(crate) fn run(&self) -> crate::Result<ExitCode> {
        let mut file = ExperimentFile::read(&self.file)?;
        if !self.data.is_empty() {
            file.data.clone_from(&self.data);
        }
        let look = |dataset: &mut Dataset, input: &InputSpec| {
            if self.dry_run {
                Ok(true)
            } else {
                take_out_broken(dataset, input, self.skip_broken, &stop_on_ctrl_c())
            }
        };
        let origin = self.file.display().to_string();
        let Some(mut plan) = Plan::of_readable(&file, &origin, &mut { look })? else {
            say("stopped before the experiment began");
            return Ok(ExitCode::from(130));
        };
        plan.minutes = self.minutes.or(plan.minutes);
        plan.shard = self.shard;
        for (place, variant) in plan.variants.iter().enumerate() {
            // What is as with the baseline was said there.
            let files = |v: &Variant| v.config.train.corrections.clone();
            if place == 0 || files(variant) != files(&plan.variants[0]) {
                show_corrections(&variant.corrected);
            }
        }
        let out = match &self.out {
            Some(out) if !self.dry_run => out,
            _ => {
                show_plan(&plan);
                return Ok(ExitCode::SUCCESS);
            }
        };
        let mut progress = Progress::new("experiment");
        let mut drawn = Ok(());
        let mut shown: (Vec<String>, (usize, usize)) = Default::default();
        let outcome = run(&plan, out, &stop_on_ctrl_c(), &mut |event| match event {
            Event::Begin {
                run,
                title,
                place,
                of,
                resumed,
            } => {
                let config = &plan.variants[run.variant].config;
                let all = (config.train.epochs, config.train.batch);
                shown = (config.model.heads.clone(), all);
                let (fold, seed) = (run.fold, run.seed);
                let again = if *resumed { ", going on" } else { "" };
                progress.line(&format!(
                    "run {place} of {of}: {title}; fold {fold}, seed {seed}{again}"
                ));
            }
            Event::Training(event) => show_training(&mut progress, &shown.0, shown.1, event),
            Event::Ended(record) => {
                if let Some(why) = &record.failed {
                    progress.line(&format!("failed: {why}"));
                    return;
                }
                let figures: Vec<String> = plan
                    .metrics
                    .iter()
                    .filter_map(|m| Some((m.to_string(), record.scores.get(&m.to_string())?)))
                    .map(|(name, value)| format!("{name} {value:.4}"))
                    .collect();
                let seconds = record.seconds;
                progress.line(&format!("held out: {}; {seconds:.0} s", figures.join(", ")));
            }
            Event::Compared(comparison) => drawn = draw(comparison, out),
        });
        progress.end();
        let outcome = outcome?;
        drawn?;
        if let Some(comparison) = &outcome.comparison {
            say(comparison);
        }
        self.show_states(&outcome);
        say(format!(
            "results  {}, results.json, results.svg, results.html",
            out.join("results.csv").display()
        ));
        Ok(if outcome.stopped {
            ExitCode::from(130)
        } else {
            ExitCode::SUCCESS
        })
    }

    fn show_states(&self, outcome: &Outcome) {
        let count = |state: State| outcome.runs.iter().filter(|r| r.state == state).count();
        // Others may be at work on them.
        let begun = match self.shard {
            Some(_) => "begun",
            None => "stopped on the way",
        };
        let words = [
            (State::Done, "done"),
            (State::Failed, "failed"),
            (State::Stopped, begun),
            (State::ToDo, "to do"),
            (State::NoTime, "not begun for want of time"),
            (State::GivenUp, "given up"),
        ];
        let parts: Vec<String> = words
            .iter()
            .filter(|(state, _)| count(*state) > 0)
            .map(|(state, word)| format!("{} {word}", count(*state)))
            .collect();
        say(format!("{} runs: {}", outcome.runs.len(), parts.join(", ")));
    }
}

/// Writes results.svg and results.html, if there is a difference to be drawn.
fn draw(comparison: &Comparison, out: &Path) -> crate::Result<()> {
    match differences(comparison) {
        Some(figure) => figure_page::write(&figure, out, "results"),
        None => Ok(()),
    }
}

fn show_plan(plan: &Plan) {
    for (place, variant) in plan.variants.iter().enumerate() {
        say(format!("{place:>3} {}", variant.title));
    }
    say(format!(
        "{} runs: {} variants × {} folds × {} seeds",
        plan.runs.len(),
        plan.variants.len(),
        plan.folds,
        plan.runs.len() / plan.variants.len() / plan.folds
    ));
}

/// Arguments of `hydranet compare`.
#[derive(Args)]
pub(crate) struct Compare {
    /// Folders of runs, or of experiments. The first run's configuration is the baseline.
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// What to compare: macro_f1, age.quadratic_kappa …; may be given several times [default: macro F1 of the final class and of
    /// each head].
    #[arg(long, value_name = "NAME")]
    metric: Vec<Figure>,
    /// Confidence of the intervals [default: 0.95, or what the experiment says].
    #[arg(long, value_name = "P")]
    confidence: Option<f64>,
    /// Print Markdown.
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Also write results.csv, results.json, results.svg and results.html there.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Compare {
    pub(crate) fn run(&self) -> crate::Result<ExitCode> {
        let found = collect(&self.runs)?;
        let figures = if self.metric.is_empty() {
            &found.figures
        } else {
            &self.metric
        };
        let confidence = self.confidence.unwrap_or(found.confidence);
        let comparison = Comparison::new(&found.runs, figures, confidence)?;
        if self.json {
            say_json(&comparison)?;
        } else if self.markdown {
            say(to_markdown(&comparison).trim_end());
        } else {
            say(&comparison);
        }
        if let Some(out) = &self.out {
            let _lock = crate::io::lock::FolderLock::take(out)?;
            comparison.write(out)?;
            draw(&comparison, out)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
