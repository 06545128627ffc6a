//! The processes that train one model together, and what they say to each other.
//!
//! Each of them holds the whole model and computes its parts of every batch. What they [agree](Group::agree) on is how they are
//! doing: an error anywhere is told the next time all of them speak, and ends the run for all. Everything else follows from
//! numbers that are the same on all of them.

mod alone;
#[cfg(feature = "mpi")]
mod mpi;
#[cfg(all(feature = "cli", not(feature = "mpi")))]
#[path = "without_mpi.rs"]
mod mpi;
mod round;
mod sum;

use crate::error::{Error, Result};
#[cfg(feature = "cli")]
pub(crate) use mpi::Launcher;
pub(in crate::train) use round::Round;
use std::cell::Cell;
use std::ops::Range;
pub(in crate::train) use sum::{encoded, whole};

/// How processes reach each other. All of them call the same functions in the same order.
pub(crate) trait Ranks {
    /// Which of them this one is, from 0.
    fn rank(&self) -> usize;

    /// How many there are.
    fn size(&self) -> usize;

    /// What each of them gives, in their order, on all of them.
    ///
    /// # Errors
    /// If it cannot be sent.
    fn gather(&self, own: &[u8]) -> Result<Vec<Vec<u8>>>;

    /// Sends the list at each place to the process of that number; gives what this one was sent, in their order.
    ///
    /// # Errors
    /// If it cannot be sent.
    fn exchange(&self, own: &[Vec<f32>]) -> Result<Vec<Vec<f32>>>;
}

/// Bytes that one message holds at most.
const MESSAGE: usize = 64 << 20;

/// The processes of a run.
pub(crate) struct Group {
    ranks: Box<dyn Ranks>,
    /// Whether an error has been told to all: then nothing more is said.
    over: Cell<bool>,
}

impl Group {
    pub(crate) fn new(ranks: Box<dyn Ranks>) -> Self {
        Self {
            ranks,
            over: Cell::new(false),
        }
    }

    /// This process by itself.
    pub(crate) fn alone() -> Self {
        Self::new(Box::new(alone::Alone))
    }

    /// Which of how many processes this one is.
    pub(crate) fn place(&self) -> (usize, usize) {
        (self.ranks.rank(), self.ranks.size())
    }

    /// Whether it is the one that writes and prints.
    pub(crate) fn is_first(&self) -> bool {
        self.ranks.rank() == 0
    }

    /// Says how it went here, and hears how it went elsewhere: what each process says, in their order.
    ///
    /// # Errors
    /// The one that is given, or [`Error::Process`] with that of another process: then the run is over for all.
    pub(crate) fn agree(&self, own: Result<Vec<u8>>) -> Result<Vec<Vec<u8>>> {
        let (rank, size) = self.place();
        if size == 1 {
            return own.map(|said| vec![said]);
        }
        let message = match &own {
            Ok(said) => [&[0], said.as_slice()].concat(),
            Err(e) => [&[1], format!("{e:#}").as_bytes()].concat(),
        };
        let all = self.ranks.gather(&message)?;
        let failed = |said: &Vec<u8>| said.first() != Some(&0);
        let Some(first) = all.iter().position(failed) else {
            return Ok(all.into_iter().map(|said| said[1..].to_vec()).collect());
        };
        self.over.set(true);
        let other = |place: usize| Error::Process {
            rank: place,
            size,
            problem: String::from_utf8_lossy(all[place].get(1..).unwrap_or_default()).into(),
        };
        Err(own
            .err()
            .filter(|_| failed(&all[rank]))
            .unwrap_or_else(|| other(first)))
    }

    /// As [`agree`](Self::agree), with `said` of what was made here, which is given back.
    pub(in crate::train) fn agree_on<T>(
        &self,
        own: Result<T>,
        said: impl Fn(&T) -> Vec<u8>,
    ) -> Result<(T, Vec<Vec<u8>>)> {
        match own {
            Ok(own) => {
                let all = self.agree(Ok(said(&own)))?;
                Ok((own, all))
            }
            Err(e) => Err(self.tell(e)),
        }
    }

    /// Ends the run for all with an error that not all know yet: the others hear of it when they next agree on something.
    pub(crate) fn tell(&self, error: Error) -> Error {
        if self.over.get() {
            return error;
        }
        match self.agree(Err(error)) {
            Err(error) => error,
            // `agree` gives back the error that it is given.
            Ok(_) => Error::Invalid {
                what: "the processes of a run".into(),
                expected: "to hear of an error".into(),
                found: "that it was lost".into(),
            },
        }
    }

    /// Nothing more is said: each goes its way.
    pub(crate) fn end(&self) {
        self.over.set(true);
    }

    /// Whether it is so on any of them.
    ///
    /// # Errors
    /// As [`agree`](Self::agree).
    pub(crate) fn any(&self, own: Result<bool>) -> Result<bool> {
        let all = self.agree(own.map(|own| vec![u8::from(own)]))?;
        Ok(all.concat().contains(&1))
    }

    /// What the first process makes, on all of them.
    ///
    /// # Errors
    /// As [`agree`](Self::agree).
    pub(crate) fn share(&self, make: impl FnOnce() -> Result<Vec<u8>>) -> Result<Vec<u8>> {
        let own = if self.is_first() {
            make()
        } else {
            Ok(Vec::new())
        };
        if self.ranks.size() == 1 {
            return own;
        }
        let (own, said) = self.agree_on(own, |own| length(own))?;
        let length = lengths(&said)[0];
        let mut all = Vec::with_capacity(length);
        for start in (0..length).step_by(MESSAGE) {
            let piece = own.get(start..(start + MESSAGE).min(length));
            all.extend(self.ranks.gather(piece.unwrap_or_default())?.swap_remove(0));
        }
        Ok(all)
    }

    /// Which of so many things this process does, of which each does its share.
    pub(crate) fn own(&self, all: usize) -> Range<usize> {
        let (rank, size) = self.place();
        all * rank / size..all * (rank + 1) / size
    }

    /// Rows that each process has made of its [share](Self::own), all of them in order.
    ///
    /// # Errors
    /// As [`agree`](Self::agree).
    pub(crate) fn rows(&self, own: Result<Vec<f32>>) -> Result<Vec<f32>> {
        let (_, size) = self.place();
        if size == 1 {
            return own;
        }
        let (own, said) = self.agree_on(own, |own| length(own))?;
        let longest = lengths(&said).into_iter().max().unwrap_or(0);
        let mut all = vec![Vec::new(); size];
        let at_once = (MESSAGE / size_of::<f32>() / size).max(1);
        for start in (0..longest).step_by(at_once) {
            let end = (start + at_once).min(own.len());
            let piece = own.get(start..end).unwrap_or_default().to_vec();
            let pieces = self.ranks.exchange(&vec![piece; size])?;
            all.iter_mut()
                .zip(pieces)
                .for_each(|(all, piece)| all.extend(piece));
        }
        Ok(all.concat())
    }
}

fn length<T>(of: &[T]) -> Vec<u8> {
    (of.len() as u64).to_le_bytes().to_vec()
}

fn lengths(said: &[Vec<u8>]) -> Vec<usize> {
    let length =
        |said: &Vec<u8>| <[u8; 8]>::try_from(said.as_slice()).map_or(0, u64::from_le_bytes);
    said.iter().map(|said| length(said) as usize).collect()
}
