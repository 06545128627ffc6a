//! What a pass calls while it runs.

use super::shared::{Shared, other_norm};
use crate::error::Error;
use crate::tape::internal::Watch;
use candle_core::{Result, Tensor, TensorId, bail};
use hydranet_kernels::moments::Moments;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Mutex, PoisonError};

/// What the thread of a part says in its turn.
pub(super) enum Said {
    /// The gradient of a use of the parameter with this number.
    Found(TensorId, Tensor),
    /// It waits for the same of all parts.
    Waits(Shared),
    /// It is done, well or not.
    Done,
}

/// Sees the passes of all parts that are computed here: one of them has its turn.
pub(super) struct Hook {
    /// Whether batch norms share their statistics.
    pub(super) shares: bool,
    /// Whether gradients are told.
    pub(super) tells: bool,
    pub(super) said: Sender<Said>,
    /// By place: what each thread waits for. A thread begins with nothing.
    pub(super) answers: Vec<Mutex<Receiver<Option<Shared>>>>,
    /// The place of the thread that has its turn.
    pub(super) turn: AtomicUsize,
}

impl Hook {
    /// Waits for the next turn of the thread at a place; what it waited for, if it did for anything.
    ///
    /// # Errors
    /// If the step has ended for another reason.
    pub(super) fn turn(&self, place: usize) -> Result<Option<Shared>> {
        let answers = self.answers[place].lock();
        match answers.unwrap_or_else(PoisonError::into_inner).recv() {
            Ok(answer) => Ok(answer),
            Err(_) => bail!("this part of the batch is not computed further"),
        }
    }

    fn of_all(&self, own: Shared) -> Result<Shared> {
        let place = self.turn.load(Ordering::SeqCst);
        if self.said.send(Said::Waits(own)).is_err() {
            bail!("nobody computes the batch any more");
        }
        self.turn(place)?.ok_or_else(|| wrapped(other_norm()))
    }
}

fn wrapped(error: Error) -> candle_core::Error {
    candle_core::Error::wrap(error)
}

impl Watch for Hook {
    fn shares_statistics(&self) -> bool {
        self.shares
    }

    fn moves_statistics(&self) -> bool {
        self.turn.load(Ordering::SeqCst) == 0
    }

    fn moments(&self, own: Vec<Moments>) -> Result<Vec<Moments>> {
        match self.of_all(Shared::Moments(own))? {
            Shared::Moments(all) => Ok(all),
            Shared::Sums(_) => Err(wrapped(other_norm())),
        }
    }

    fn sums(&self, own: Vec<(f64, f64)>) -> Result<Vec<(f64, f64)>> {
        match self.of_all(Shared::Sums(own))? {
            Shared::Sums(all) => Ok(all),
            Shared::Moments(_) => Err(wrapped(other_norm())),
        }
    }

    fn found(&self, parameter: &Tensor, gradient: &Tensor) {
        if self.tells {
            // Nobody listens once the step has failed.
            let _ = self
                .said
                .send(Said::Found(parameter.id(), gradient.clone()));
        }
    }
}
