//! Threads that take turns.

use super::hook::{Hook, Said};
use super::shared::{Shared, other_norm};
use crate::error::{Error, Result};
use crate::tape::internal::Watch;
use candle_core::{Tensor, TensorId};
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{Builder, ScopedJoinHandle, scope};

/// Addresses, not memory, of a thread's stack: candle walks its graph by recursion.
const STACK: usize = 64 << 20;

/// What is done on the main thread meanwhile.
pub(super) trait Serve {
    /// The thread at a place has found the gradient of a use of a parameter.
    fn found(&mut self, place: usize, parameter: TensorId, gradient: Tensor) -> Result<()>;

    /// All threads wait, each with what it has; gives what they wait for.
    fn meet(&mut self, own: Vec<Shared>) -> Result<Shared>;
}

/// The threads of the parts that are computed here, of which one has its turn.
pub(in crate::train) struct Turns {
    hook: Arc<Hook>,
    said: Receiver<Said>,
    answers: Vec<Sender<Option<Shared>>>,
}

impl Turns {
    /// For at most so many threads. `shares`: batch norms share their statistics; `tells`: gradients are told.
    pub(in crate::train) fn new(threads: usize, shares: bool, tells: bool) -> Self {
        let (says, said) = channel();
        let (answers, waits): (Vec<_>, Vec<_>) = (0..threads).map(|_| channel()).unzip();
        let hook = Hook {
            shares,
            tells,
            said: says,
            answers: waits.into_iter().map(Mutex::new).collect(),
            turn: AtomicUsize::new(0),
        };
        Self {
            hook: Arc::new(hook),
            said,
            answers,
        }
    }

    /// What sees the passes.
    pub(in crate::train) fn watch(&self) -> Arc<dyn Watch> {
        self.hook.clone()
    }

    /// Runs jobs in turns, each on a thread of its own, up to where all of them wait or are done, again and again; `serve` has what
    /// they say. An error ends those that wait.
    ///
    /// # Errors
    /// That of a job, or of `serve`.
    pub(super) fn run<T: Send>(
        &mut self,
        jobs: Vec<impl FnOnce() -> Result<T> + Send>,
        serve: &mut impl Serve,
    ) -> Result<Vec<T>> {
        let hook = self.hook.clone();
        scope(|scope| {
            // Lost on any way out but the good one, a panic among them, which ends the wait of all others.
            let answers = std::mem::take(&mut self.answers);
            let mut threads = Vec::with_capacity(jobs.len());
            for (place, job) in jobs.into_iter().enumerate() {
                let done = Done(hook.clone());
                let run = move || {
                    let Done(hook) = &done;
                    hook.turn(place)?;
                    job()
                };
                let thread = Builder::new().stack_size(STACK);
                threads.push(thread.spawn_scoped(scope, run).map_err(no_thread));
            }
            let threads = threads.into_iter().collect::<Result<Vec<_>>>()?;
            let done = self.conduct(threads, &answers, serve)?;
            self.answers = answers;
            Ok(done)
        })
    }

    fn conduct<T>(
        &self,
        threads: Vec<ScopedJoinHandle<Result<T>>>,
        answers: &[Sender<Option<Shared>>],
        serve: &mut impl Serve,
    ) -> Result<Vec<T>> {
        let mut threads: Vec<_> = threads.into_iter().map(Some).collect();
        let mut done = Vec::with_capacity(threads.len());
        let mut answer = None;
        while done.len() < threads.len() {
            let mut waiting = Vec::new();
            for (place, thread) in threads.iter_mut().enumerate() {
                self.hook.turn.store(place, Ordering::SeqCst);
                let sent = answers.get(place).map(|to| to.send(answer.clone()));
                if !matches!(sent, Some(Ok(()))) {
                    return Err(other_norm());
                }
                loop {
                    match self.said.recv() {
                        Ok(Said::Found(id, gradient)) => serve.found(place, id, gradient)?,
                        Ok(Said::Waits(own)) => {
                            waiting.push(own);
                            break;
                        }
                        Ok(Said::Done) | Err(_) => {
                            match thread.take().map(ScopedJoinHandle::join) {
                                Some(Ok(found)) => done.push(found?),
                                Some(Err(panic)) => resume_unwind(panic),
                                None => return Err(other_norm()),
                            }
                            break;
                        }
                    }
                }
            }
            // All parts run the same network: they wait together, and end together.
            match (waiting.is_empty(), done.is_empty()) {
                (false, true) => answer = Some(serve.meet(waiting)?),
                (true, false) => {}
                _ => return Err(other_norm()),
            }
        }
        Ok(done)
    }
}

/// Says that a thread is done when it ends, in whatever way.
struct Done(Arc<Hook>);

impl Drop for Done {
    fn drop(&mut self) {
        // Nobody listens once the step has failed.
        let _ = self.0.said.send(Said::Done);
    }
}

fn no_thread(error: std::io::Error) -> Error {
    Error::Invalid {
        what: "a part of a batch".into(),
        expected: "a thread of its own".into(),
        found: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sums, and what was told.
    #[derive(Default)]
    struct Sum {
        meetings: usize,
        found: Vec<(usize, f32)>,
        fails_at: Option<usize>,
        panics: bool,
    }

    impl Serve for Sum {
        fn found(&mut self, place: usize, _: TensorId, gradient: Tensor) -> Result<()> {
            self.found.push((place, gradient.to_scalar()?));
            Ok(())
        }

        fn meet(&mut self, own: Vec<Shared>) -> Result<Shared> {
            self.meetings += 1;
            assert!(!self.panics, "as asked");
            if self.fails_at == Some(self.meetings) {
                return Err(failed("elsewhere"));
            }
            let mut own = own.into_iter();
            let first = own.next().unwrap();
            own.try_fold(first, Shared::plus)
        }
    }

    fn failed(what: &str) -> Error {
        Error::Invalid {
            what: what.into(),
            expected: "to work".into(),
            found: "that it does not".into(),
        }
    }

    type End = fn() -> Result<Vec<(f64, f64)>>;

    /// Three threads that meet twice; one of them ends by `end` in place of its second meeting.
    fn three(serve: &mut Sum, end: Option<(usize, End)>) -> Result<Vec<Vec<(f64, f64)>>> {
        let mut turns = Turns::new(3, true, true);
        let watch = turns.watch();
        let jobs = (0..3).map(|place| {
            let watch = watch.clone();
            move || -> Result<Vec<(f64, f64)>> {
                let first = watch.sums(vec![(place as f64, 1.0)])?;
                let value = Tensor::new(place as f32, &candle_core::Device::Cpu)?;
                watch.found(&value, &value);
                assert_eq!(watch.moves_statistics(), place == 0);
                match end {
                    Some((at, end)) if at == place => end(),
                    _ => Ok(watch.sums(first)?),
                }
            }
        });
        turns.run(jobs.collect(), serve)
    }

    #[test]
    fn threads_compute_in_turns_and_hear_the_sum_of_all() {
        let mut sum = Sum::default();
        let all = three(&mut sum, None).unwrap();
        assert_eq!(all, vec![vec![(9.0, 9.0)]; 3]);
        assert_eq!(sum.meetings, 2);
        assert_eq!(sum.found, [(0, 0.0), (1, 1.0), (2, 2.0)]);
    }

    /// Lets a job go on once its gradient was taken.
    struct Taken(Sender<()>);

    impl Serve for Taken {
        fn found(&mut self, _: usize, _: TensorId, _: Tensor) -> Result<()> {
            self.0.send(()).map_err(|_| failed("to tell"))
        }

        fn meet(&mut self, _: Vec<Shared>) -> Result<Shared> {
            Err(failed("to meet"))
        }
    }

    #[test]
    fn what_is_found_is_taken_while_the_thread_goes_on() {
        let mut turns = Turns::new(1, false, true);
        let watch = turns.watch();
        let (taken, until) = channel();
        let job = move || -> Result<()> {
            let value = Tensor::new(1f32, &candle_core::Device::Cpu)?;
            for _ in 0..3 {
                watch.found(&value, &value);
                until.recv().map_err(|_| failed("to hear"))?;
            }
            Ok(())
        };
        turns.run(vec![job], &mut Taken(taken)).unwrap();
    }

    #[test]
    fn an_error_of_one_thread_or_from_elsewhere_ends_all_of_them() {
        for place in 0..3 {
            let end: End = || Err(failed("a part"));
            let error = three(&mut Sum::default(), Some((place, end))).unwrap_err();
            assert!(error.to_string().starts_with("a part"), "{error}");
            // One that ends while others wait.
            let end: End = || Ok(Vec::new());
            let early = three(&mut Sum::default(), Some((place, end)));
            let message = early.unwrap_err().to_string();
            assert!(message.contains("the same norm"), "{message}");
        }
        for fails_at in [1, 2] {
            let mut sum = Sum {
                fails_at: Some(fails_at),
                ..Sum::default()
            };
            let error = three(&mut sum, None).unwrap_err();
            assert!(error.to_string().starts_with("elsewhere"), "{error}");
        }
    }

    #[test]
    fn a_panic_of_one_thread_is_one_of_all() {
        let end: End = || panic!("as asked");
        let panicked = std::panic::catch_unwind(|| three(&mut Sum::default(), Some((1, end))));
        assert!(panicked.is_err());
        let mut sum = Sum {
            panics: true,
            ..Sum::default()
        };
        let serve = std::panic::AssertUnwindSafe(|| three(&mut sum, None));
        assert!(std::panic::catch_unwind(serve).is_err());
    }
}
