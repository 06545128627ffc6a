//! Processes that reach each other by MPI.

use super::{Group, Ranks};
use crate::error::{Error, Result};
use ::mpi::Threading;
use ::mpi::datatype::{Partition, PartitionMut};
use ::mpi::environment::{Universe, initialize_with_threading};
use ::mpi::topology::SimpleCommunicator;
use ::mpi::traits::{Communicator, CommunicatorCollectives, Equivalence};

/// What launchers tell the processes that they start: Open MPI's own, and those that speak PMI.
const STARTED: [&str; 4] = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMI_RANK", "PMIX_RANK"];

/// The processes that `mpirun` started, from the start of MPI to its end.
pub(crate) struct Launcher {
    universe: Option<Universe>,
}

impl Launcher {
    /// Starts MPI where a launcher started this process.
    ///
    /// # Errors
    /// [`Error::Invalid`] if MPI cannot be started.
    pub(crate) fn start() -> Result<Self> {
        if STARTED.iter().all(|name| std::env::var_os(name).is_none()) {
            return Ok(Self { universe: None });
        }
        match initialize_with_threading(Threading::Funneled) {
            Some((universe, Threading::Funneled | Threading::Serialized | Threading::Multiple)) => {
                Ok(Self {
                    universe: Some(universe),
                })
            }
            _ => Err(Error::Invalid {
                what: "MPI".into(),
                expected: "to start, beside threads that do not speak to it".into(),
                found: "that it does not".into(),
            }),
        }
    }

    /// The processes, or this one alone.
    pub(crate) fn group(&self) -> Group {
        match &self.universe {
            Some(universe) => Group::new(Box::new(Mpi(universe.world()))),
            None => Group::alone(),
        }
    }
}

impl Drop for Launcher {
    /// MPI ends where all processes end it; one that panicked would wait for the others, and they for it.
    fn drop(&mut self) {
        if let (Some(universe), true) = (&self.universe, std::thread::panicking()) {
            universe.world().abort(101);
        }
    }
}

struct Mpi(SimpleCommunicator);

impl Mpi {
    /// Lists of these lengths, one after the other, from all processes.
    fn lengths(&self, own: &[i32]) -> Vec<i32> {
        let mut all = vec![0; own.len() * self.size()];
        self.0.all_gather_into(own, &mut all[..]);
        all
    }
}

impl Ranks for Mpi {
    fn rank(&self) -> usize {
        self.0.rank() as usize
    }

    fn size(&self) -> usize {
        self.0.size() as usize
    }

    fn gather(&self, own: &[u8]) -> Result<Vec<Vec<u8>>> {
        let counts = self.lengths(&[count(own.len())?]);
        let mut all = Received::new(counts)?;
        let mut into = PartitionMut::new(&mut all.values[..], &all.counts[..], &all.starts[..]);
        self.0.all_gather_varcount_into(own, &mut into);
        Ok(all.lists())
    }

    fn exchange(&self, own: &[Vec<f32>]) -> Result<Vec<Vec<f32>>> {
        let (rank, size) = (self.rank(), self.size());
        let sent: Vec<i32> = own
            .iter()
            .map(|list| count(list.len()))
            .collect::<Result<_>>()?;
        let starts = starts(&sent)?;
        let values = own.concat();
        // What each sends to this one.
        let counts = self.lengths(&sent).into_iter().skip(rank).step_by(size);
        let mut all = Received::new(counts.collect())?;
        let from = Partition::new(&values[..], &sent[..], &starts[..]);
        let mut into = PartitionMut::new(&mut all.values[..], &all.counts[..], &all.starts[..]);
        self.0.all_to_all_varcount_into(&from, &mut into);
        Ok(all.lists())
    }
}

/// Lists that are received, one after the other.
struct Received<T> {
    values: Vec<T>,
    counts: Vec<i32>,
    starts: Vec<i32>,
}

impl<T: Clone + Default + Equivalence> Received<T> {
    fn new(counts: Vec<i32>) -> Result<Self> {
        let starts = starts(&counts)?;
        let all = counts.iter().map(|n| *n as usize).sum();
        Ok(Self {
            values: vec![T::default(); all],
            counts,
            starts,
        })
    }

    fn lists(&self) -> Vec<Vec<T>> {
        let places = self.starts.iter().zip(&self.counts);
        places
            .map(|(start, count)| self.values[*start as usize..][..*count as usize].to_vec())
            .collect()
    }
}

/// Where lists of these lengths begin.
fn starts(counts: &[i32]) -> Result<Vec<i32>> {
    let mut next = 0;
    let starts = counts.iter().map(|n| {
        let start = count(next)?;
        next += *n as usize;
        Ok(start)
    });
    let starts = starts.collect::<Result<_>>()?;
    count(next)?;
    Ok(starts)
}

/// A number of values as MPI counts them.
fn count(values: usize) -> Result<i32> {
    values.try_into().map_err(|_| Error::Invalid {
        what: "values that processes send each other at once".into(),
        expected: format!("at most {}, as MPI counts them", i32::MAX),
        found: values.to_string(),
    })
}
