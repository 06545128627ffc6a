//! A program without MPI.

use super::Group;
use crate::error::{Error, Result};

/// Nothing but this process.
pub(crate) struct Launcher;

impl Launcher {
    /// # Errors
    /// [`Error::Invalid`] if an MPI started several of this process, which would be in each other's way.
    pub(crate) fn start() -> Result<Self> {
        let sizes = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE"].into_iter();
        let mut sizes = sizes.filter_map(|name| std::env::var(name).ok()?.parse::<usize>().ok());
        match sizes.next() {
            Some(size @ 2..) => Err(Error::Invalid {
                what: "training by mpirun".into(),
                expected: "a program that was built with --features mpi".into(),
                found: format!("one without it, started {size} times"),
            }),
            _ => Ok(Self),
        }
    }

    pub(crate) fn group(&self) -> Group {
        Group::alone()
    }
}
