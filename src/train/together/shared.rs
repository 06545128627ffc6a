//! What parts of a batch sum up at a batch norm.

use crate::error::{Error, Result};
use hydranet_kernels::moments::Moments;

/// Of each channel of a batch norm, in the forward pass and in the backward pass.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shared {
    /// Count, mean, and squared deviations.
    Moments(Vec<Moments>),
    /// Σ d and Σ d · (y − mean) of the gradient d behind the norm.
    Sums(Vec<(f64, f64)>),
}

impl Shared {
    /// Those of two sets of photos together.
    ///
    /// # Errors
    /// [`Error::Invalid`] if they are not of the same norm.
    pub(super) fn plus(self, other: Self) -> Result<Self> {
        match (self, other) {
            (Self::Moments(a), Self::Moments(b)) if a.len() == b.len() => {
                let joined = a.into_iter().zip(b).map(|(a, b)| a.join(b));
                Ok(Self::Moments(joined.collect()))
            }
            (Self::Sums(a), Self::Sums(b)) if a.len() == b.len() => {
                let sums = a.into_iter().zip(b);
                Ok(Self::Sums(
                    sums.map(|(a, b)| (a.0 + b.0, a.1 + b.1)).collect(),
                ))
            }
            _ => Err(other_norm()),
        }
    }

    /// Which of the two, and its numbers.
    fn numbers(&self) -> (u8, Vec<f64>) {
        match self {
            Self::Moments(all) => (
                0,
                all.iter().flat_map(|m| [m.count, m.mean, m.m2]).collect(),
            ),
            Self::Sums(all) => (1, all.iter().flat_map(|(a, b)| [*a, *b]).collect()),
        }
    }

    /// As bytes: which of the two, the number of its numbers, and they.
    pub(super) fn write(&self, bytes: &mut Vec<u8>) {
        let (kind, numbers) = self.numbers();
        bytes.push(kind);
        bytes.extend((numbers.len() as u64).to_le_bytes());
        bytes.extend(numbers.iter().flat_map(|n| n.to_le_bytes()));
    }

    /// Reads one that was [written](Self::write); `None` if it is none.
    pub(super) fn read(bytes: &mut &[u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        let (count, rest) = rest.split_first_chunk::<8>()?;
        let count = usize::try_from(u64::from_le_bytes(*count)).ok()?;
        let (numbers, rest) = rest.split_at_checked(count.checked_mul(8)?)?;
        *bytes = rest;
        let mut numbers = numbers
            .chunks_exact(8)
            .map(|n| f64::from_le_bytes(n.try_into().unwrap_or_default()));
        let mut next = || numbers.next().unwrap_or_default();
        match kind {
            0 => {
                let moments = (0..count / 3).map(|_| Moments {
                    count: next(),
                    mean: next(),
                    m2: next(),
                });
                Some(Self::Moments(moments.collect()))
            }
            1 => Some(Self::Sums(
                (0..count / 2).map(|_| (next(), next())).collect(),
            )),
            _ => None,
        }
    }
}

/// Parts, or processes, that are at different norms.
pub(super) fn other_norm() -> Error {
    Error::Invalid {
        what: "the statistics of batch norm over all parts of a batch".into(),
        expected: "those of the same norm from every part".into(),
        found: "other ones".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::parts::Tree;
    use proptest::prelude::*;

    /// The moments of a channel over these values.
    fn moments(values: &[f64]) -> Moments {
        let one = |mean: &f64| Moments {
            count: 1.0,
            mean: *mean,
            m2: 0.0,
        };
        values
            .iter()
            .map(one)
            .fold(Moments::default(), Moments::join)
    }

    proptest! {
        #[test]
        fn statistics_do_not_depend_on_who_computes_which_parts(
            parts in prop::collection::vec(prop::collection::vec(-3.0f64..5.0, 1..6), 1..9),
            mut cuts in prop::collection::vec(0usize..9, 0..4),
        ) {
            let whole = |nodes: Vec<(std::ops::Range<usize>, Shared)>| {
                let mut tree = Tree::new(parts.len());
                for (range, node) in nodes {
                    tree.push(range, node, Shared::plus).unwrap();
                }
                tree.into_nodes()
            };
            let leaves = |range: std::ops::Range<usize>| {
                whole(range.map(|i| (i..i + 1, Shared::Moments(vec![moments(&parts[i])]))).collect())
            };
            let alone = leaves(0..parts.len());
            cuts.extend([0, parts.len()]);
            cuts.iter_mut().for_each(|cut| *cut = (*cut).min(parts.len()));
            cuts.sort_unstable();
            // As processes send them.
            let mut nodes = Vec::new();
            for (range, node) in cuts.windows(2).flat_map(|ends| leaves(ends[0]..ends[1])) {
                let mut bytes = Vec::new();
                node.write(&mut bytes);
                let mut rest = bytes.as_slice();
                nodes.push((range, Shared::read(&mut rest).unwrap()));
                prop_assert!(rest.is_empty());
                prop_assert!(Shared::read(&mut &bytes[..bytes.len() - 1]).is_none());
            }
            prop_assert_eq!(&whole(nodes), &alone);
            // And they are those of all values.
            let all = parts.concat();
            let mean = all.iter().sum::<f64>() / all.len() as f64;
            let m2 = all.iter().map(|v| (v - mean).powi(2)).sum::<f64>();
            let Shared::Moments(found) = &alone[0].1 else {
                panic!("{alone:?}")
            };
            prop_assert_eq!(found[0].count, all.len() as f64);
            prop_assert!((found[0].mean - mean).abs() < 1e-12);
            prop_assert!((found[0].m2 - m2).abs() < 1e-10 * (1.0 + m2));
        }
    }

    #[test]
    fn parts_at_different_norms_are_an_error() {
        let sums = |n| Shared::Sums(vec![(1.0, 2.0); n]);
        assert_eq!(
            sums(1).plus(sums(1)).unwrap(),
            Shared::Sums(vec![(2.0, 4.0)])
        );
        for other in [sums(2), Shared::Moments(vec![Moments::default()])] {
            let message = sums(1).plus(other).unwrap_err().to_string();
            assert!(message.contains("the same norm"), "{message}");
        }
    }
}
