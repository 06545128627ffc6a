//! The training loop.

use super::alike;
use super::config::Config;
pub use super::event::Event;
use super::loss::Loss;
use super::ranks::Group;
use super::run::{Run, check};
use super::run_folder::{Progress, RunFolder};
use super::tensorboard::Board;
use crate::data::dataset::Dataset;
use crate::error::{Error, Result};
use crate::eval::score::ScoreReport;
use crate::model_file::Tensors;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

/// How a run ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// Whether it was stopped before its end; [`Trainer::resume`] goes on.
    pub stopped: bool,
    /// Where it stands.
    pub progress: Progress,
    /// Scores of the best model on the validation split; `None` if stopped or without a validation split.
    pub scores: Option<ScoreReport>,
}

/// Looked at where no other flag is given.
static NEVER: AtomicBool = AtomicBool::new(false);

/// Trains the model of a configuration on a data set, and writes it to a folder.
///
/// ```no_run
/// # fn of(config: &hydranet::train::Config, dataset: &hydranet::data::Dataset) -> hydranet::Result<()> {
/// use hydranet::train::{Event, Trainer, load_weights};
///
/// let weights = load_weights(config, "heads".as_ref())?;
/// let outcome = Trainer::new(config, weights, dataset)
///     .out("runs/first")
///     .on_event(|event| match event {
///         Event::Epoch(record) => println!("epoch {}: {:?}", record.epoch, record.macro_f1),
///         _ => {}
///     })
///     .run()?;
/// println!("{:?}", outcome.scores);
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is trained before `run`"]
pub struct Trainer<'a> {
    config: &'a Config,
    weights: Tensors,
    dataset: &'a Dataset,
    losses: Vec<(String, &'a dyn Loss)>,
    out: PathBuf,
    resume: bool,
    stop: &'a AtomicBool,
    group: Option<&'a Group>,
    on_event: Box<dyn FnMut(&Event) + 'a>,
}

impl fmt::Debug for Trainer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let losses: Vec<&String> = self.losses.iter().map(|(head, _)| head).collect();
        f.debug_struct("Trainer")
            .field("out", &self.out)
            .field("resume", &self.resume)
            .field("losses", &losses)
            .finish_non_exhaustive()
    }
}

impl<'a> Trainer<'a> {
    /// `weights` are the tensors to start from, named `backbone.…` (and `heads.…`, to go on from a model), as
    /// [`load_weights`](super::load_weights) reads them; heads without tensors start afresh, and so does the backbone if
    /// there is none of its.
    pub fn new(config: &'a Config, weights: Tensors, dataset: &'a Dataset) -> Self {
        Self {
            config,
            weights,
            dataset,
            losses: Vec::new(),
            out: PathBuf::new(),
            resume: false,
            stop: &NEVER,
            group: None,
            on_event: Box::new(|_| ()),
        }
    }

    /// The folder that everything is written to: `best.safetensors`, `metrics.csv` and what else the chapter `training` of the
    /// guide lists. It has to be given.
    pub fn out(mut self, folder: impl Into<PathBuf>) -> Self {
        self.out = folder.into();
        self
    }

    /// Whether to go on with the run in the folder, if there is one; if there is none, one begins either way, so that a program
    /// that may be ended at any time is simply started again. Without it a folder that holds a run is refused.
    pub fn resume(mut self, resume: bool) -> Self {
        self.resume = resume;
        self
    }

    /// A flag that is looked at before each step: once it is true everything is saved, and the run ends as stopped.
    pub fn stop(mut self, flag: &'a AtomicBool) -> Self {
        self.stop = flag;
        self
    }

    /// The processes that train together, each of which runs a trainer of the same; this process alone where none are given. Only
    /// the first writes to the folder and has events.
    #[cfg(feature = "cli")]
    pub(crate) fn group(mut self, group: &'a Group) -> Self {
        self.group = Some(group);
        self
    }

    /// What to call with each event.
    pub fn on_event(mut self, callback: impl FnMut(&Event) + 'a) -> Self {
        self.on_event = Box::new(callback);
        self
    }

    /// Teaches the head of this name, or `joint`, by a loss of your own in the place of its configured kind. Of its settings
    /// `weight` stays in force, and `loss` says what its outputs are. The model's file says that there was such a loss
    /// (`own_losses`); a run that goes on is refused without it.
    pub fn loss(mut self, head: impl Into<String>, loss: &'a dyn Loss) -> Self {
        self.losses.push((head.into(), loss));
        self
    }

    /// Trains, from where it stands to the end.
    ///
    /// # Errors
    /// [`Error::Invalid`] or [`Error::Data`] if the configuration is not valid or the data is not of its heads; anything from
    /// reading, training and writing, a variable without a gradient and a loss that is not finite among them. What was saved
    /// before stays.
    pub fn run(mut self) -> Result<Outcome> {
        let alone = Group::alone();
        let group = self.group.take().unwrap_or(&alone);
        let outcome = self.run_in(group).map_err(|e| group.tell(e))?;
        group.end();
        Ok(outcome)
    }

    fn run_in(self, group: &Group) -> Result<Outcome> {
        let (stop, mut on_event) = (self.stop, self.on_event);
        if !group.is_first() {
            on_event = Box::new(|_| ());
        }
        if self.out.as_os_str().is_empty() {
            return Err(Error::Invalid {
                what: "Trainer::out".into(),
                expected: "a folder to write to".into(),
                found: "none".into(),
            });
        }
        check(self.config, self.dataset, &self.losses)?;
        alike::check(self.config, self.dataset, group)?;
        let (folder, resume) = if group.is_first() {
            let folder = RunFolder::create(&self.out, self.resume)?;
            (folder, RunFolder::holds_run(&self.out))
        } else {
            (RunFolder::of_another(&self.out), false)
        };
        let mut run = Run::new(
            self.config,
            self.weights,
            self.dataset,
            &self.losses,
            (folder, resume),
            group,
        )?;
        for unseen in run.objective.unseen() {
            on_event(&Event::Warning(&unseen.to_string()));
        }
        let ended = |run: Run, stopped, scores| Outcome {
            stopped,
            progress: run.progress,
            scores,
        };
        if !run.prepare(stop, &mut on_event)? {
            run.save()?;
            group.agree(Ok(Vec::new()))?;
            return Ok(ended(run, true, None));
        }
        let mut board = if group.is_first() {
            Board::open(self.config, self.dataset, &self.out)?
        } else {
            None
        };
        while !run.finished() {
            if !run.epoch(stop, &mut on_event)? {
                group.agree(Ok(Vec::new()))?;
                return Ok(ended(run, true, None));
            }
            if let (Some(board), Some(record)) = (&mut board, run.progress.records.last()) {
                board.epoch(record)?;
            }
        }
        let ended_before = run.progress.finished;
        run.progress.finished = true;
        run.save()?;
        let scores = if group.is_first() {
            run.validation.finish(&run.models.folder)?
        } else {
            None
        };
        if let (Some(board), Some(scores), false) = (&mut board, &scores, ended_before) {
            board.end(run.progress.epochs, scores)?;
        }
        group.agree(Ok(Vec::new()))?;
        Ok(ended(run, false, scores))
    }
}
