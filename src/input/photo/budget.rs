//! One budget of memory for all photos that are being read and decoded, whatever the number of threads.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// The most bytes that all photos being read, decoded and prepared in this process take at once, every copy counted: the file,
/// what the decoder keeps, the decoded photo and the copies made of it. Who needs more than is free waits; a photo that alone
/// needs more is refused by its header, before anything is allocated. A [`Photo`](super::Photo) that has been handed out is no
/// longer counted.
pub const MAX_MEMORY: u64 = 1 << 30;

static BUDGET: Budget = Budget::new(MAX_MEMORY);

thread_local! {
    /// Rooms that this thread holds.
    static HELD: Cell<usize> = const { Cell::new(0) };
}

struct Budget {
    total: u64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    used: u64,
    /// Whoever waits is served in the order they came, so that large photos get their turn.
    last_ticket: u64,
    served: u64,
}

/// A part of the budget, given back when dropped. It stays on its thread.
pub(crate) struct Room {
    pub(super) bytes: u64,
    budget: &'static Budget,
    stays: PhantomData<*const ()>,
}

impl Room {
    /// Waits until `bytes` are free.
    ///
    /// A thread that holds room already gets more at once: it could wait for itself, as when a thread of rayon takes up another
    /// photo in the midst of one.
    pub(crate) fn take(bytes: u64) -> Self {
        BUDGET.take(bytes)
    }

    /// Makes it `bytes` in all if that is possible without waiting.
    pub(crate) fn resize(&mut self, bytes: u64) -> bool {
        let mut state = self.budget.lock();
        let others = state.used - self.bytes;
        let alone = HELD.get() > 1 || others == 0;
        if bytes > self.bytes && others + bytes > self.budget.total && !alone {
            return false;
        }
        state.used = others + bytes;
        self.bytes = bytes;
        drop(state);
        self.budget.changed.notify_all();
        true
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.budget.lock().used -= self.bytes;
        HELD.set(HELD.get() - 1);
        self.budget.changed.notify_all();
    }
}

impl Budget {
    const fn new(total: u64) -> Self {
        Self {
            total,
            state: Mutex::new(State {
                used: 0,
                last_ticket: 0,
                served: 0,
            }),
            changed: Condvar::new(),
        }
    }

    /// Nothing panics while it holds the lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&'static self, bytes: u64) -> Room {
        let mut state = self.lock();
        if HELD.get() == 0 {
            let ticket = state.last_ticket;
            state.last_ticket += 1;
            let full = |s: &State| s.used > 0 && s.used + bytes > self.total;
            while state.served != ticket || full(&state) {
                state = self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            state.served += 1;
        }
        state.used += bytes;
        drop(state);
        self.changed.notify_all();
        HELD.set(HELD.get() + 1);
        Room {
            bytes,
            budget: self,
            stays: PhantomData,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    #[test]
    fn no_more_than_the_budget_is_ever_held_and_everyone_gets_a_turn() {
        static SMALL: Budget = Budget::new(100);
        let (held, most) = (AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let (held, most) = (&held, &most);
                scope.spawn(move || {
                    for turn in 0..40 {
                        let bytes = 1 + (thread * 37 + turn * 11) % 100;
                        let mut room = SMALL.take(bytes);
                        let now = held.fetch_add(bytes, Ordering::SeqCst) + bytes;
                        most.fetch_max(now, Ordering::SeqCst);
                        std::thread::sleep(Duration::from_micros(200));
                        held.fetch_sub(bytes, Ordering::SeqCst);
                        if room.resize(100) {
                            let now = held.fetch_add(100, Ordering::SeqCst) + 100;
                            most.fetch_max(now, Ordering::SeqCst);
                            held.fetch_sub(100, Ordering::SeqCst);
                        }
                    }
                });
            }
        });
        assert!(most.load(Ordering::SeqCst) <= 100);
        assert_eq!(SMALL.lock().used, 0);
    }

    #[test]
    fn a_thread_that_holds_room_never_waits_for_itself() {
        static SMALL: Budget = Budget::new(100);
        let first = SMALL.take(90);
        let second = SMALL.take(90);
        drop((first, second));
        assert_eq!(SMALL.lock().used, 0);
    }
}
