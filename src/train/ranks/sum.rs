//! The sum of what all processes have computed of a batch.

use super::Group;
use crate::error::{Error, Result};
use crate::train::parts::{Contribution, Tree, plus};
use candle_core::{Device, Tensor};
use hydranet_tape::internal::with_values;
use std::ops::Range;

/// Values that are sent at once, unless one tensor has more: so much memory a sum takes beside the tensors.
const BUCKET: usize = 4 << 20;

/// A node of the tree that a process has summed by itself.
struct Node {
    leaves: Range<usize>,
    /// Which tensors there are.
    present: Vec<bool>,
    numbers: Vec<f64>,
}

impl Group {
    /// The sum, on all processes, over the parts of a batch, of which each gives the nodes it could sum. `shapes` are those of the
    /// tensors, and `numbers` is how many there are.
    ///
    /// Every process sums its own slice of every tensor, of all nodes, in the order of the tree; then all exchange the slices.
    /// That sends as little as a ring would.
    ///
    /// # Errors
    /// As [`agree`](Self::agree), with the error of a process that could not compute its parts.
    pub(in crate::train) fn sum(
        &self,
        parts: usize,
        own: Result<Tree<Contribution>>,
        shapes: &[Vec<usize>],
        numbers: usize,
    ) -> Result<Contribution> {
        let own = own.map(Tree::into_nodes);
        if self.place().1 == 1 {
            return only(own?);
        }
        let (own, said) = self.agree_on(own, |own| encoded(own))?;
        let nodes = said.iter().map(|said| decoded(said, shapes.len(), numbers));
        let nodes: Vec<Vec<Node>> = nodes.collect::<Option<_>>().ok_or_else(garbled)?;
        let mut tree = Tree::new(parts);
        for node in nodes.iter().flatten() {
            tree.push(node.leaves.clone(), node.numbers.clone(), |a, b| {
                Ok(plus(a, &b))
            })?;
        }
        let numbers = whole(tree)?;
        let mut tensors = Vec::with_capacity(shapes.len());
        while tensors.len() < shapes.len() {
            let first = tensors.len();
            let (mut end, mut values) = (first, 0);
            while end < shapes.len() && (end == first || values < BUCKET) {
                values += shapes[end].iter().product::<usize>();
                end += 1;
            }
            let own = own.iter().map(|(_, c)| &c.tensors[first..end]);
            let own: Vec<&[Option<Tensor>]> = own.collect();
            tensors.extend(self.bucket(parts, &own, &nodes, (first, &shapes[first..end]))?);
        }
        Ok(Contribution { tensors, numbers })
    }

    /// The sums of some tensors, of which each process has said its [nodes](encoded); `own` are this one's.
    ///
    /// # Errors
    /// If they cannot be sent, or are not of these shapes.
    pub(in crate::train) fn sum_bucket(
        &self,
        parts: usize,
        own: &[(Range<usize>, Contribution)],
        said: &[Vec<u8>],
        shapes: &[Vec<usize>],
    ) -> Result<Vec<Option<Tensor>>> {
        let nodes = said.iter().map(|said| decoded(said, shapes.len(), 0));
        let nodes: Vec<Vec<Node>> = nodes.collect::<Option<_>>().ok_or_else(garbled)?;
        let own: Vec<&[Option<Tensor>]> = own.iter().map(|(_, c)| &c.tensors[..]).collect();
        self.bucket(parts, &own, &nodes, (0, shapes))
    }

    /// The sums of some consecutive tensors from place `first` on; `own` are those of this process's nodes.
    fn bucket(
        &self,
        parts: usize,
        own: &[&[Option<Tensor>]],
        nodes: &[Vec<Node>],
        (first, shapes): (usize, &[Vec<usize>]),
    ) -> Result<Vec<Option<Tensor>>> {
        let (rank, size) = self.place();
        let sizes: Vec<usize> = shapes.iter().map(|dims| dims.iter().product()).collect();
        let slice = |values: usize, rank: usize| values * rank / size..values * (rank + 1) / size;
        let mut sent = vec![Vec::new(); size];
        for (place, values) in sizes.iter().enumerate() {
            for tensor in own.iter().filter_map(|tensors| tensors[place].as_ref()) {
                with_values(tensor, |all: &[f32]| {
                    if all.len() != *values {
                        candle_core::bail!("a gradient of {} values for {values}", all.len());
                    }
                    for (rank, sent) in sent.iter_mut().enumerate() {
                        sent.extend_from_slice(&all[slice(*values, rank)]);
                    }
                    Ok(())
                })?;
            }
        }
        let received = self.ranks.exchange(&sent)?;
        drop(sent);
        // The sums of this process's slices, one after the other.
        let mut sums = Vec::new();
        let mut places = vec![0; size];
        for (place, values) in sizes.iter().enumerate() {
            let length = slice(*values, rank).len();
            let mut tree = Tree::new(parts);
            for ((nodes, received), from) in nodes.iter().zip(&received).zip(&mut places) {
                for node in nodes {
                    let value = if node.present[first + place] {
                        let value = received.get(*from..*from + length).ok_or_else(garbled)?;
                        *from += length;
                        Some(value.to_vec())
                    } else {
                        None
                    };
                    tree.push(node.leaves.clone(), value, |a, b| Ok(added(a, b)))?;
                }
            }
            sums.extend(whole(tree)?.unwrap_or_default());
        }
        drop(received);
        let slices = self.ranks.exchange(&vec![sums; size])?;
        let mut places = vec![0; size];
        let tensors = shapes.iter().zip(sizes).enumerate();
        let tensor = |(place, (dims, values)): (usize, (&Vec<usize>, usize))| {
            if !nodes.iter().flatten().any(|n| n.present[first + place]) {
                return Ok(None);
            }
            let mut all = Vec::with_capacity(values);
            for (rank, from) in places.iter_mut().enumerate() {
                let length = slice(values, rank).len();
                let piece = slices[rank].get(*from..*from + length);
                all.extend_from_slice(piece.ok_or_else(garbled)?);
                *from += length;
            }
            Ok(Some(Tensor::from_vec(all, dims.as_slice(), &Device::Cpu)?))
        };
        tensors.map(tensor).collect()
    }
}

fn added(a: Option<Vec<f32>>, b: Option<Vec<f32>>) -> Option<Vec<f32>> {
    match (a, b) {
        (Some(mut a), Some(b)) => {
            a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
            Some(a)
        }
        (a, b) => a.or(b),
    }
}

/// The root of a tree over parts that all were computed.
///
/// # Errors
/// If a part is missing.
pub(in crate::train) fn whole<T>(tree: Tree<T>) -> Result<T> {
    only(tree.into_nodes())
}

fn only<T>(mut nodes: Vec<(Range<usize>, T)>) -> Result<T> {
    match (nodes.pop(), nodes.len()) {
        (Some((_, sum)), 0) => Ok(sum),
        (_, more) => Err(Error::Invalid {
            what: "the sum over the parts of a batch".into(),
            expected: "every part once".into(),
            found: format!("{more} sums beside each other"),
        }),
    }
}

fn garbled() -> Error {
    Error::Invalid {
        what: "a message of another process".into(),
        expected: "gradients of the same model and batch, from the same version of the program"
            .into(),
        found: "other ones".into(),
    }
}

/// Of each node its leaves, which tensors it has, and its numbers.
pub(in crate::train) fn encoded(nodes: &[(Range<usize>, Contribution)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (leaves, contribution) in nodes {
        for end in [leaves.start, leaves.end] {
            bytes.extend((end as u64).to_le_bytes());
        }
        let present = contribution.tensors.iter().map(|t| u8::from(t.is_some()));
        bytes.extend(present);
        bytes.extend(contribution.numbers.iter().flat_map(|n| n.to_le_bytes()));
    }
    bytes
}

/// `None` if these are no nodes of so many tensors and numbers.
fn decoded(bytes: &[u8], tensors: usize, numbers: usize) -> Option<Vec<Node>> {
    let of_node = 16 + tensors + 8 * numbers;
    if !bytes.len().is_multiple_of(of_node) {
        return None;
    }
    let word = |bytes: &[u8]| bytes.try_into().map_or([0; 8], |bytes: [u8; 8]| bytes);
    let end = |bytes: &[u8]| u64::from_le_bytes(word(bytes)) as usize;
    let nodes = bytes.chunks_exact(of_node).map(|node| Node {
        leaves: end(&node[..8])..end(&node[8..16]),
        present: node[16..16 + tensors].iter().map(|b| *b == 1).collect(),
        numbers: node[16 + tensors..]
            .chunks_exact(8)
            .map(|bytes| f64::from_le_bytes(word(bytes)))
            .collect(),
    });
    Some(nodes.collect())
}
