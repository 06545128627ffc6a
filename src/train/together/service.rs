//! What the main thread does while parts are computed.

use super::early::{Early, Order};
use super::shared::{Shared, other_norm};
use super::turns::{Serve, Turns};
use crate::error::Result;
use crate::train::parts::{Contribution, Cut, Tree};
use crate::train::ranks::{Group, Round, whole};
use candle_core::{Tensor, TensorId};
use std::ops::Range;

/// Speaks to the other processes for the parts that are computed here.
pub(in crate::train) struct Service<'a> {
    group: &'a Group,
    parts: usize,
    own: Range<usize>,
    /// The part of the first thread.
    first: usize,
    /// Whether batch norms share their statistics.
    shares: bool,
    /// Of each variable its number and shape, in the optimiser's order.
    variables: Vec<(TensorId, Vec<usize>)>,
    early: Option<Early>,
    /// What the last part told, while no order is known.
    told: Option<Vec<(TensorId, Tensor)>>,
    order: Option<Order>,
}

impl<'a> Service<'a> {
    /// For the parts of a cut. `tells`: gradients are told of, and go out early if their `order` is known.
    pub(in crate::train) fn new(
        group: &'a Group,
        cut: &Cut,
        variables: Vec<(TensorId, Vec<usize>)>,
        (shares, tells): (bool, bool),
        order: Option<&Order>,
    ) -> Self {
        let order = order.filter(|_| tells);
        let early = order.map(|order| Early::new(order, &variables, cut, shares));
        Self {
            group,
            parts: cut.parts.len(),
            own: cut.own.clone(),
            first: cut.own.start,
            shares,
            told: (tells && early.is_none()).then(Vec::new),
            variables,
            early,
            order: None,
        }
    }

    /// Which parts are computed side by side: all of them where they share statistics.
    pub(in crate::train) fn sets(&self) -> Vec<Range<usize>> {
        if self.shares {
            vec![self.own.clone()]
        } else {
            self.own.clone().map(|part| part..part + 1).collect()
        }
    }

    /// What a job gives of each of some parts.
    ///
    /// # Errors
    /// That of a part, here or elsewhere.
    pub(in crate::train) fn run<T: Send>(
        &mut self,
        turns: &mut Turns,
        parts: Range<usize>,
        job: impl Fn(usize) -> Result<T> + Sync,
    ) -> Result<Vec<T>> {
        self.first = parts.start;
        let job = &job;
        let jobs = parts.map(|part| move || job(part));
        turns.run(jobs.collect(), self)
    }

    /// Takes the gradients of a part that go out early from among those of the variables, which come first in `found`.
    ///
    /// # Errors
    /// As [`Early::take`].
    pub(in crate::train) fn take(&mut self, part: usize, found: &mut Contribution) -> Result<()> {
        if let Some(told) = &self.told
            && part + 1 == self.own.end
        {
            let ids: Vec<TensorId> = self.variables.iter().map(|(id, _)| *id).collect();
            self.order = Some(Order::of(told, &ids, &found.tensors)?);
        }
        let Some(early) = &mut self.early else {
            return Ok(());
        };
        early.take(part, &mut found.tensors, self.group)?;
        let mut place = 0;
        found.tensors.retain(|_| {
            place += 1;
            early.leaves(place - 1)
        });
        Ok(())
    }

    /// Of the shapes of all gradients, keeps those that do not go out early.
    pub(in crate::train) fn keep(&self, shapes: &mut Vec<Vec<usize>>) {
        if let Some(early) = &self.early {
            let mut place = 0;
            shapes.retain(|_| {
                place += 1;
                early.leaves(place - 1)
            });
        }
    }

    /// After the parts of this process: takes part in what the others still do, where it computes none.
    ///
    /// # Errors
    /// That of another process.
    pub(in crate::train) fn end(&mut self) -> Result<()> {
        if self.group.place().1 == 1 || !self.shares && self.early.is_none() {
            return Ok(());
        }
        let own = if self.own.is_empty() {
            Round::Any
        } else {
            Round::End
        };
        loop {
            let (round, said) = self.group.round(own, &[])?;
            match (round, &mut self.early) {
                (Round::End, _) => return Ok(()),
                (Round::Bucket, Some(early)) => early.follow(&said, self.group)?,
                (Round::Norm, _) if self.shares => {}
                _ => return Err(other_norm()),
            }
        }
    }

    /// The sums of all gradients, out of those that went out early and `others`; and the order that gradients have, once all
    /// processes know it.
    ///
    /// # Errors
    /// That of another process.
    pub(in crate::train) fn finish(
        self,
        others: Vec<Option<Tensor>>,
    ) -> Result<(Vec<Option<Tensor>>, Option<Order>)> {
        let order = match self.told {
            Some(_) => {
                let variables = self.variables.len();
                Some(Order::agreed(self.order, variables, self.group)?)
            }
            None => None,
        };
        let sums = match self.early {
            Some(early) => early.merged(others),
            None => others,
        };
        Ok((sums, order))
    }
}

impl Serve for Service<'_> {
    fn found(&mut self, place: usize, parameter: TensorId, gradient: Tensor) -> Result<()> {
        let part = self.first + place;
        if let Some(early) = &mut self.early {
            return early.found(part, parameter, &gradient, self.group);
        }
        if let Some(told) = &mut self.told
            && part + 1 == self.own.end
        {
            told.push((parameter, gradient));
        }
        Ok(())
    }

    fn meet(&mut self, own: Vec<Shared>) -> Result<Shared> {
        let mut tree = Tree::new(self.parts);
        for (part, own) in (self.first..).zip(own) {
            tree.push(part..part + 1, own, Shared::plus)?;
        }
        if self.group.place().1 == 1 {
            return whole(tree);
        }
        let mut bytes = Vec::new();
        for (leaves, node) in tree.into_nodes() {
            for end in [leaves.start, leaves.end] {
                bytes.extend((end as u64).to_le_bytes());
            }
            node.write(&mut bytes);
        }
        let (_, said) = self.group.round(Round::Norm, &bytes)?;
        let mut tree = Tree::new(self.parts);
        for said in &said {
            let mut rest = said.as_slice();
            while !rest.is_empty() {
                let (leaves, node) = node(&mut rest).ok_or_else(other_norm)?;
                tree.push(leaves, node, Shared::plus)?;
            }
        }
        whole(tree)
    }
}

/// Reads a node of the tree.
fn node(bytes: &mut &[u8]) -> Option<(Range<usize>, Shared)> {
    let mut end = || -> Option<usize> {
        let (end, rest) = bytes.split_first_chunk::<8>()?;
        *bytes = rest;
        usize::try_from(u64::from_le_bytes(*end)).ok()
    };
    let leaves = end()?..end()?;
    Some((leaves, Shared::read(bytes)?))
}
