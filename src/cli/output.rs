//! Progress on the terminal.

use super::called::{self, Said};
pub(crate) use super::stop::stop_on_ctrl_c;
use super::terminal::note;
pub(crate) use super::terminal::say;
use crate::data::corrections::CorrectionsReport;
use crate::train::run_folder::EpochRecord;
use crate::train::trainer::Event;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Prints a value as JSON.
pub(crate) fn say_json(value: &impl serde::Serialize) -> crate::Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(|e| crate::Error::Config {
        origin: "JSON output".into(),
        message: "cannot be written as JSON".into(),
        source: Some(e.into()),
    })?;
    say(crate::escape::printable_json(&text));
    Ok(())
}

/// Says what corrections did, if there are any.
pub(crate) fn show_corrections(report: &CorrectionsReport) {
    if !report.files.is_empty() {
        note(report);
    }
}

/// A bar with rate and time left on a terminal; plain lines, one every ten seconds, when piped.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    /// Whether it is told to the program that called the command.
    called: bool,
    what: String,
    unit: &'static str,
    /// When this stretch was first heard of, and how far it was then: the rate counts from there.
    start: (Instant, usize),
    last: Instant,
    /// How far it is.
    at: usize,
    /// The best score of the run that is shown.
    best: Option<f64>,
}

impl Progress {
    /// Of photos.
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self::of(what, "photos")
    }

    /// Of some other unit.
    pub(crate) fn of(what: impl Into<String>, unit: &'static str) -> Self {
        let called = called::is_called();
        let bar = (!called && std::io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::new(0);
            let style =
                format!("{{msg}} {{bar:30}} {{pos}}/{{len}} {unit}, {{per_sec}}, {{eta}} left");
            if let Ok(style) = ProgressStyle::with_template(&style) {
                bar.set_style(style);
            }
            bar
        });
        let now = Instant::now();
        Self {
            bar,
            called,
            what: what.into(),
            unit,
            start: (now, 0),
            last: now,
            at: 0,
            best: None,
        }
    }

    /// From here on, it is of another stretch of the work, or of the same begun anew.
    fn turn_to(&mut self, what: &str, done: usize) {
        if self.what != what || done < self.at {
            self.what = what.into();
            self.best = None;
            self.start = (Instant::now(), done);
            if let Some(bar) = &self.bar {
                bar.set_position(done as u64);
                bar.reset_eta();
            }
        }
    }

    pub(crate) fn show(&mut self, done: usize, of: usize) {
        self.at = done;
        if self.called {
            // From other threads nothing is told, and nothing ends by it.
            called::end_if_asked();
            called::tell(&Said::Progress {
                what: &self.what,
                done,
                of,
                unit: self.unit,
            });
        } else if let Some(bar) = &self.bar {
            bar.set_message(crate::escape::printable(&self.what).into_owned());
            bar.set_length(of as u64);
            bar.set_position(done as u64);
        } else if self.last.elapsed() > Duration::from_secs(10) {
            self.last = Instant::now();
            let (since, before) = self.start;
            let rate = (done - before.min(done)) as f64 / since.elapsed().as_secs_f64();
            // Nothing to reckon with yet at the start of a stretch.
            let pace = if rate > 0.0 {
                let left = of.saturating_sub(done) as f64 / rate;
                format!(", {rate:.1} a second, {left:.0} s left")
            } else {
                String::new()
            };
            note(format!("{}: {done} of {of} {}{pace}", self.what, self.unit));
        }
    }

    /// Prints a line above the bar.
    pub(crate) fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(crate::escape::printable(text)),
            None => note(text),
        }
    }

    pub(crate) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Shows a training run's events: one bar for all its `epochs` of steps of `batch` photos, and a line an epoch.
pub(crate) fn show_training(
    progress: &mut Progress,
    heads: &[String],
    (epochs, batch): (usize, usize),
    event: &Event,
) {
    called::tell(&Said::Training { heads, event });
    match event {
        Event::Found { found, of, file } => progress.line(&format!(
            "features: {found} of {of} are in {}",
            file.display()
        )),
        Event::Features { done, of } => {
            progress.turn_to("features", *done);
            progress.show(*done, *of);
        }
        Event::Teacher { done, of } => {
            progress.turn_to("teacher", *done);
            progress.show(*done, *of);
        }
        Event::Step {
            epoch,
            step,
            steps,
            loss,
            ..
        } => {
            let done = ((epoch - 1) * steps + step) * batch;
            progress.turn_to("training", done);
            progress.show(done, epochs * steps * batch);
            if let Some(bar) = &progress.bar {
                let best = progress
                    .best
                    .map_or(String::new(), |f1| format!(", best {f1:.3}"));
                bar.set_message(format!("epoch {epoch}/{epochs}, loss {loss:.3}{best}"));
            }
        }
        Event::Warning(text) => progress.line(text),
        Event::Epoch(r) => {
            let better = |f1: &f64| progress.best.is_none_or(|best| *f1 > best);
            progress.best = r.macro_f1.filter(better).or(progress.best);
            let figure = |f: Option<f64>| f.map_or("–".into(), |f| format!("{f:.3}"));
            let mut text = format!("epoch {}: loss {:.3}", r.epoch, r.train_loss);
            if let Some(loss) = r.valid_loss {
                text += &format!(
                    ", valid loss {loss:.3}, macro F1 {}, accuracy {}; {}",
                    figure(r.macro_f1),
                    figure(r.accuracy),
                    named(heads, r.head_accuracy.iter().copied()).join(", ")
                );
            }
            progress.line(&text);
            if let Some(balance) = balance(heads, r) {
                progress.line(&balance);
            }
        }
    }
}

/// Each head's name and figure.
fn named(heads: &[String], figures: impl Iterator<Item = Option<f64>>) -> Vec<String> {
    let text = |(head, figure): (&String, Option<f64>)| match figure {
        Some(figure) => format!("{head} {figure:.3}"),
        None => format!("{head} –"),
    };
    heads.iter().zip(figures).map(text).collect()
}

/// How the heads were balanced in an epoch, and how their gradients went together.
fn balance(heads: &[String], r: &EpochRecord) -> Option<String> {
    let mut parts = Vec::new();
    if !r.head_weights.is_empty() {
        let weights = named(heads, r.head_weights.iter().copied());
        parts.push(format!("weights {}", weights.join(", ")));
    }
    if let Some(g) = &r.gradients {
        let norms = named(heads, g.norms.iter().copied());
        parts.push(format!("gradients {}", norms.join(", ")));
        let cosines: Vec<String> = g
            .pairs(heads)
            .filter_map(|(a, b, cosine)| Some(format!("{a} with {b} {:+.2}", cosine?)))
            .collect();
        if !cosines.is_empty() {
            parts.push(format!("cosines {}", cosines.join(", ")));
        }
    }
    (!parts.is_empty()).then(|| format!("  {}", parts.join("; ")))
}
