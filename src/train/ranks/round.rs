//! What processes do together while they compute their parts of a batch.

use super::Group;
use crate::error::{Error, Result};

/// One thing that all processes do at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::train) enum Round {
    /// Whatever the others do: of a process that computes no part.
    Any,
    /// Sums up the statistics of a batch norm.
    Norm,
    /// Sums up a bucket of gradients.
    Bucket,
    /// Has computed its parts.
    End,
}

const ROUNDS: [Round; 4] = [Round::Any, Round::Norm, Round::Bucket, Round::End];

impl Group {
    /// Begins a round with all other processes: what it is, and what each says in it, in their order; nothing of those that compute
    /// no part.
    ///
    /// # Errors
    /// As [`agree`](Self::agree), and [`Error::Invalid`] if processes do different things.
    pub(in crate::train) fn round(&self, own: Round, said: &[u8]) -> Result<(Round, Vec<Vec<u8>>)> {
        let all = self.agree(Ok([&[own as u8], said].concat()))?;
        let round = |said: &Vec<u8>| said.first().and_then(|i| ROUNDS.get(usize::from(*i)));
        let mut rounds = all.iter().map(round).filter(|r| *r != Some(&Round::Any));
        match rounds.next() {
            Some(Some(first)) if rounds.all(|r| r == Some(first)) => {
                let said = all.iter().map(|said| said[1..].to_vec());
                Ok((*first, said.collect()))
            }
            _ => Err(Error::Invalid {
                what: "the processes of a run".into(),
                expected: "to compute their parts of a batch in the same order".into(),
                found: "that they do not".into(),
            }),
        }
    }
}
