//! What waits for a model: bounded, in the order it came, taken in batches.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What has a number of photos.
pub(super) trait Photos {
    fn photos(&self) -> usize;
}

/// A queue of requests, bounded by their photos.
pub(super) struct Queue<T> {
    waiting: Mutex<Waiting<T>>,
    changed: Condvar,
    most: usize,
}

struct Waiting<T> {
    jobs: VecDeque<(Instant, T)>,
    photos: usize,
    hurried: bool,
    closed: bool,
}

/// Why something may not wait.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// So many photos wait.
    Full(usize),
    Closed,
}

impl<T: Photos> Queue<T> {
    /// For at most so many photos.
    pub(super) fn new(most: usize) -> Self {
        let waiting = Waiting {
            jobs: VecDeque::new(),
            photos: 0,
            hurried: false,
            closed: false,
        };
        Self {
            waiting: Mutex::new(waiting),
            changed: Condvar::new(),
            most,
        }
    }

    /// Nothing panics while it holds the lock.
    fn lock(&self) -> MutexGuard<'_, Waiting<T>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The photos that wait.
    pub(super) fn photos(&self) -> usize {
        self.lock().photos
    }

    /// Puts a request at the end, or refuses it at once.
    pub(super) fn push(&self, job: T) -> Result<(), Refused> {
        let mut waiting = self.lock();
        if waiting.closed {
            return Err(Refused::Closed);
        }
        if waiting.photos + job.photos() > self.most {
            return Err(Refused::Full(waiting.photos));
        }
        waiting.photos += job.photos();
        waiting.jobs.push_back((Instant::now(), job));
        drop(waiting);
        self.changed.notify_one();
        Ok(())
    }

    /// From now on nothing waits for others to be taken with.
    pub(super) fn hurry(&self) {
        self.lock().hurried = true;
        self.changed.notify_all();
    }

    /// Takes out what waits, for which nobody waits any more.
    pub(super) fn clear(&self) {
        let mut waiting = self.lock();
        waiting.jobs.clear();
        waiting.photos = 0;
    }

    /// No more is taken in; what waits is still given out.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// The next requests: as soon as they have `most` photos together, or are as many as there are `clients`, each of whom has one
    /// under way, or when the first of them has waited for `delay`, or at once where it is hurried or closed. A request alone may
    /// have more photos. None once it is closed and empty.
    pub(super) fn take(
        &self,
        most: usize,
        delay: Duration,
        clients: impl Fn() -> usize,
    ) -> Option<Vec<T>> {
        let mut waiting = self.lock();
        loop {
            let left = match waiting.jobs.front() {
                None if waiting.closed => return None,
                None => {
                    let woken = self.changed.wait(waiting);
                    waiting = woken.unwrap_or_else(PoisonError::into_inner);
                    continue;
                }
                Some((since, _)) => delay.saturating_sub(since.elapsed()),
            };
            let no_more = waiting.hurried || waiting.closed || waiting.jobs.len() >= clients();
            if no_more || waiting.photos >= most || left.is_zero() {
                break;
            }
            let woken = self.changed.wait_timeout(waiting, left);
            waiting = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        let mut batch: Vec<T> = Vec::new();
        let mut photos = 0;
        while let Some((_, next)) = waiting.jobs.front() {
            let with_it = photos + next.photos();
            if !batch.is_empty() && with_it > most {
                break;
            }
            photos = with_it;
            batch.extend(waiting.jobs.pop_front().map(|(_, job)| job));
        }
        waiting.photos -= photos;
        Some(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Photos for usize {
        fn photos(&self) -> usize {
            *self
        }
    }

    const LONG: Duration = Duration::from_secs(3600);
    const MANY: fn() -> usize = || usize::MAX;

    #[test]
    fn what_does_not_fit_is_refused_at_once_and_fits_when_some_are_taken() {
        let queue = Queue::new(4);
        assert_eq!(queue.push(3), Ok(()));
        assert_eq!(queue.push(2), Err(Refused::Full(3)));
        assert_eq!(queue.push(1), Ok(()));
        assert_eq!(queue.photos(), 4);
        assert_eq!(queue.take(3, LONG, MANY), Some(vec![3]));
        assert_eq!(queue.push(2), Ok(()));
        assert_eq!(queue.take(3, LONG, MANY), Some(vec![1, 2]));
        assert_eq!(queue.photos(), 0);
    }

    #[test]
    fn a_batch_is_taken_when_it_is_full_when_the_first_has_waited_or_when_no_more_can_come() {
        let queue = Queue::new(100);
        for job in [2, 2, 50, 1] {
            queue.push(job).unwrap();
        }
        assert_eq!(queue.take(4, LONG, MANY), Some(vec![2, 2]));
        assert_eq!(queue.take(4, LONG, MANY), Some(vec![50]));
        // One photo is less than a batch: only time, or the end, gives it out.
        assert_eq!(queue.take(4, Duration::from_millis(1), MANY), Some(vec![1]));
        queue.push(1).unwrap();
        queue.close();
        assert_eq!(queue.push(1), Err(Refused::Closed));
        assert_eq!(queue.take(4, LONG, MANY), Some(vec![1]));
        assert_eq!(queue.take(4, LONG, MANY), None);
    }

    #[test]
    fn nobody_is_waited_for_when_all_who_could_ask_have_asked() {
        let queue = Queue::new(100);
        queue.push(1).unwrap();
        assert_eq!(queue.take(4, LONG, || 1), Some(vec![1]));
        queue.push(1).unwrap();
        std::thread::scope(|scope| {
            let taken = scope.spawn(|| queue.take(4, LONG, || 2));
            queue.push(1).unwrap();
            assert_eq!(taken.join().unwrap(), Some(vec![1, 1]));
        });
    }

    #[test]
    fn a_queue_that_is_hurried_gives_out_at_once_and_still_takes_in() {
        let queue = Queue::new(100);
        queue.hurry();
        queue.push(1).unwrap();
        assert_eq!(queue.take(4, LONG, MANY), Some(vec![1]));
    }

    #[test]
    fn whoever_waits_for_a_batch_is_woken_by_what_fills_it() {
        let queue = Queue::new(100);
        std::thread::scope(|scope| {
            let taken = scope.spawn(|| queue.take(3, LONG, MANY));
            for _ in 0..3 {
                queue.push(1).unwrap();
            }
            assert_eq!(taken.join().unwrap(), Some(vec![1, 1, 1]));
        });
    }
}
