//! Doing the runs that are not done yet.

use super::code::Code;
use super::comparison::Comparison;
use super::figure::Figure;
use super::held_out::score_held_out;
use super::limits::{Deadline, is_hopeless};
use super::plan::{Plan, PlannedRun};
use super::record::RunRecord;
use super::runs::FinishedRun;
use super::state::{INDEX, Index, RunState, State};
use crate::error::{Error, Result};
use crate::io::lock::{FolderLock, OutputLock};
use crate::io::table::write_json;
use crate::shard::Shard;
use crate::train::config::{load_weights, seen_by_weights};
use crate::train::run_folder::RunFolder;
use crate::train::trainer;
use crate::train::trainer::Trainer;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// What an experiment tells while it goes on.
pub enum Event<'a> {
    /// A run begins, or goes on.
    Begin {
        /// The run.
        run: &'a PlannedRun,
        /// Its title.
        title: &'a str,
        /// Its place among all runs, from 1.
        place: usize,
        /// All runs.
        of: usize,
        /// Whether it goes on from where it was stopped.
        resumed: bool,
    },
    /// Something of its training.
    Training(&'a trainer::Event<'a>),
    /// It is done, or has failed.
    Ended(&'a RunRecord),
    /// What the finished runs say, at the end: nobody else writes to the experiment's own files meanwhile.
    Compared(&'a Comparison),
}

/// How an experiment ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Every run, in the plan's order.
    pub runs: Vec<RunState>,
    /// What the finished ones say; `None` if none of the baseline is.
    pub comparison: Option<Comparison>,
    /// Whether it was stopped from outside.
    pub stopped: bool,
}

/// Does the runs of a plan that are not done yet, each in a folder of its own in `out/runs`, and writes `experiment.json` (where
/// every run stands), `results.json` and `results.csv` (the comparison). A run is known by its fingerprint: one that is done is
/// never done again, one that was stopped goes on from its own state, and a variant that was added costs its own runs only.
///
/// `stop` ends it cleanly. [`Plan::minutes`] counts from now: a run that would not end in time, judged by the longest finished
/// run of its variant, or of any variant if there is none, is not begun, and one that is under way when the time is over is
/// stopped.
///
/// With [`Plan::shard`] only every N-th run is done, and other workers may do theirs in the same folder. Each writes the
/// experiment's own files when it ends, of all runs that are done by then, so that the last one writes them of all.
///
/// # Errors
/// Anything from reading, training and writing. What was done before stays.
pub fn run(
    plan: &Plan,
    out: &Path,
    stop: &AtomicBool,
    on_event: &mut dyn FnMut(&Event),
) -> Result<Outcome> {
    let _lock = match plan.shard {
        None => FolderLock::take(out)?,
        Some(shard) => {
            check_shard(plan, shard)?;
            FolderLock::share(out)?
        }
    };
    let folder = out.join("runs");
    crate::io::create_folder(&folder)?;
    let mut bench = Bench {
        plan,
        out,
        code: Code::of_this_program()?,
        deadline: Deadline::new(plan.minutes),
        records: vec![None; plan.runs.len()],
        states: vec![State::ToDo; plan.runs.len()],
        done: vec![None; plan.runs.len()],
    };
    (0..plan.runs.len()).try_for_each(|place| bench.look(place))?;
    let alone = plan.shard.is_none();
    let mut comparison = if alone { bench.write_results()? } else { None };
    let mut stopped = false;
    let (first, step) = plan.shard.map_or((0, 1), Shard::place);
    for place in (first..plan.runs.len()).step_by(step) {
        let _run = if alone {
            None
        } else {
            Some(OutputLock::take(&bench.folder(&plan.runs[place]))?)
        };
        if !alone {
            bench.look(place)?;
        }
        if matches!(bench.states[place], State::Done | State::Failed) {
            continue;
        }
        stopped = stopped || stop.load(Ordering::Relaxed);
        bench.states[place] = if stopped {
            bench.waiting(place)
        } else if bench.is_given_up(place)? {
            State::GivenUp
        } else if bench.fits(place) {
            bench.go(place, stop, on_event)?
        } else {
            match bench.waiting(place) {
                State::ToDo => State::NoTime,
                begun => begun,
            }
        };
        if bench.states[place] == State::Done {
            bench.read(place)?;
            if alone {
                comparison = bench.write_results()?;
            }
        }
    }
    let _turn = if alone {
        None
    } else {
        Some(FolderLock::wait(out)?)
    };
    if alone {
        bench.write_index()?;
    } else {
        (0..plan.runs.len()).try_for_each(|place| bench.look(place))?;
        comparison = bench.write_results()?;
    }
    if let Some(comparison) = &comparison {
        on_event(&Event::Compared(comparison));
    }
    Ok(Outcome {
        runs: bench.index(),
        comparison,
        stopped: stopped || stop.load(Ordering::Relaxed),
    })
}

/// Refuses to do some of the runs where what is done follows from the scores of others.
fn check_shard(plan: &Plan, shard: Shard) -> Result<()> {
    match plan.give_up {
        None => Ok(()),
        Some(_) => Err(Error::Invalid {
            what: format!("the shard {shard} of an experiment"),
            expected: "one without `give_up`, which goes by the scores of all runs before".into(),
            found: "one with it; take it out of the file, or do all runs in one place".into(),
        }),
    }
}

struct Bench<'a> {
    plan: &'a Plan,
    out: &'a Path,
    code: Code,
    deadline: Deadline,
    /// Of the runs that were begun, in the plan's order.
    records: Vec<Option<RunRecord>>,
    states: Vec<State>,
    /// The runs that are done, as they were read, in the plan's order.
    done: Vec<Option<FinishedRun>>,
}

impl Bench<'_> {
    fn folder(&self, run: &PlannedRun) -> PathBuf {
        self.out.join("runs").join(run.folder())
    }

    /// Looks where a run stands in its folder, if it was begun.
    fn look(&mut self, place: usize) -> Result<()> {
        let folder = self.folder(&self.plan.runs[place]);
        if let Some(record) = RunRecord::read(&folder)? {
            self.states[place] = State::of(&record);
            self.records[place] = Some(record);
            self.read(place)?;
        }
        Ok(())
    }

    /// A run that is left alone.
    fn waiting(&self, place: usize) -> State {
        match self.records[place] {
            Some(_) => State::Stopped,
            None => State::ToDo,
        }
    }

    /// Trains and scores one run.
    fn go(
        &mut self,
        place: usize,
        stop: &AtomicBool,
        on_event: &mut dyn FnMut(&Event),
    ) -> Result<State> {
        let (plan, run) = (self.plan, &self.plan.runs[place]);
        let folder = self.folder(run);
        let resumed = RunFolder::holds_run(&folder);
        let title = &plan.variants[run.variant].title;
        on_event(&Event::Begin {
            run,
            title,
            place: place + 1,
            of: plan.runs.len(),
            resumed,
        });
        crate::io::create_folder(&folder)?;
        let mut record = RunRecord {
            title: title.clone(),
            changes: plan.variants[run.variant].changes.clone(),
            fold: run.fold,
            folds: plan.folds,
            seed: run.seed,
            fingerprint: run.fingerprint.clone(),
            data: run.data.clone(),
            code: self.code.clone(),
            finished: false,
            failed: None,
            seconds: self.records[place].as_ref().map_or(0.0, |r| r.seconds),
            epochs: 0,
            scores: BTreeMap::new(),
        };
        record.write(&folder)?;
        let start = Instant::now();
        let before = record.seconds;
        let cache = self.out.join("features");
        let (config, mut dataset) = (plan.config(run, &cache), plan.dataset(run)?);
        let weights = load_weights(&config, &plan.heads)?;
        dataset.seen = seen_by_weights(&config, &plan.heads)?;
        let deadline = self.deadline;
        // Training looks at one flag; time has its say through it.
        let halt = AtomicBool::new(false);
        let outcome = Trainer::new(&config, weights, &dataset)
            .out(&folder)
            .resume(resumed)
            .stop(&halt)
            .on_event(|event| {
                on_event(&Event::Training(event));
                if stop.load(Ordering::Relaxed) || deadline.is_over() {
                    halt.store(true, Ordering::Relaxed);
                }
            })
            .run();
        match outcome {
            // One variant that does not converge is a result, and no reason to end the others.
            Err(e @ Error::NotFinite { .. }) => record.failed = Some(e.to_string()),
            Err(e) => return Err(e),
            Ok(outcome) => {
                record.epochs = outcome.progress.epochs;
                if !outcome.stopped
                    && let Some(report) = score_held_out(&config, &dataset, &folder, &cache, stop)?
                {
                    record.finished = true;
                    record.scores = Figure::all_of(&report);
                }
            }
        }
        record.seconds = before + start.elapsed().as_secs_f64();
        record.write(&folder)?;
        let state = State::of(&record);
        if state != State::Stopped {
            on_event(&Event::Ended(&record));
        }
        self.records[place] = Some(record);
        Ok(state)
    }

    /// Whether a run is expected to end in time.
    fn fits(&self, place: usize) -> bool {
        let variant = self.plan.runs[place].variant;
        let longest = |of: &dyn Fn(usize) -> bool| {
            let finished = (0..self.states.len()).filter(|i| self.states[*i] == State::Done);
            let records = finished.filter(|i| of(self.plan.runs[*i].variant));
            let seconds = records.filter_map(|i| Some(self.records[i].as_ref()?.seconds));
            seconds.reduce(f64::max)
        };
        let expected = longest(&|v| v == variant).or(longest(&|_| true));
        let spent = self.records[place].as_ref().map_or(0.0, |r| r.seconds);
        self.deadline
            .leaves((expected.unwrap_or(0.0) - spent).max(0.0))
    }

    /// Whether a variant's runs so far say that it will not be worth more.
    fn is_given_up(&self, place: usize) -> Result<bool> {
        let variant = self.plan.runs[place].variant;
        let Some(rule) = self.plan.give_up.filter(|_| variant > 0) else {
            return Ok(false);
        };
        let mut runs = self.finished(|v| v == 0);
        if runs.is_empty() {
            return Ok(false);
        }
        runs.extend(self.finished(|v| v == variant));
        is_hopeless(rule, &runs, &self.plan.metrics[0], self.plan.confidence)
    }

    /// Reads a run, if it is done.
    fn read(&mut self, place: usize) -> Result<()> {
        if self.states[place] == State::Done {
            let folder = self.folder(&self.plan.runs[place]);
            self.done[place] = Some(FinishedRun::read(&folder)?);
        }
        Ok(())
    }

    /// The finished runs of some variants, in the plan's order.
    fn finished(&self, of: impl Fn(usize) -> bool) -> Vec<FinishedRun> {
        let runs = self.plan.runs.iter().zip(&self.done);
        let some = runs.filter(|(run, _)| of(run.variant));
        some.filter_map(|(_, done)| done.clone()).collect()
    }

    fn index(&self) -> Vec<RunState> {
        let runs = self.plan.runs.iter().zip(&self.states);
        runs.map(|(run, state)| RunState {
            title: self.plan.variants[run.variant].title.clone(),
            fold: run.fold,
            seed: run.seed,
            state: *state,
            folder: Path::new("runs").join(run.folder()),
            fingerprint: run.fingerprint.clone(),
        })
        .collect()
    }

    fn write_index(&self) -> Result<()> {
        let index = Index {
            metrics: self.plan.metrics.clone(),
            confidence: self.plan.confidence,
            runs: self.index(),
        };
        write_json(&self.out.join(INDEX), &index)
    }

    fn write_results(&self) -> Result<Option<Comparison>> {
        self.write_index()?;
        let mut runs = self.finished(|v| v == 0);
        if runs.is_empty() {
            return Ok(None);
        }
        runs.extend(self.finished(|v| v > 0));
        // An area under a curve, say, is not defined on every set of photos.
        let defined = |m: &&Figure| runs.iter().any(|r| r.scores.contains_key(&m.to_string()));
        let metrics: Vec<Figure> = self.plan.metrics.iter().filter(defined).cloned().collect();
        let comparison = Comparison::new(&runs, &metrics, self.plan.confidence)?;
        comparison.write(self.out)?;
        Ok(Some(comparison))
    }
}
