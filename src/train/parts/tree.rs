//! A sum whose order is fixed.

use crate::error::Result;
use std::ops::Range;

/// A binary tree of sums over so many leaves: the left branch of a node has the greatest power of two of its leaves. Floating-point
/// sums depend on their order, and this order depends on the number of leaves alone: nodes may be summed wherever their leaves
/// are, and then among each other.
pub(crate) struct Tree<T> {
    leaves: usize,
    /// Those that have no sibling yet, from left to right.
    nodes: Vec<(Range<usize>, T)>,
}

impl<T> Tree<T> {
    /// Over so many leaves, none of them known yet.
    pub(crate) fn new(leaves: usize) -> Self {
        Self {
            leaves,
            nodes: Vec::new(),
        }
    }

    /// Takes in the node over these leaves, right of those before, and sums what can be summed by it.
    ///
    /// # Errors
    /// Those of `plus`.
    pub(crate) fn push(
        &mut self,
        leaves: Range<usize>,
        value: T,
        plus: impl Fn(T, T) -> Result<T>,
    ) -> Result<()> {
        let (mut range, mut sum) = (leaves, value);
        while let Some((left, _)) = self.nodes.last()
            && self.are_siblings(left, &range)
            && let Some((left, value)) = self.nodes.pop()
        {
            range = left.start..range.end;
            sum = plus(value, sum)?;
        }
        self.nodes.push((range, sum));
        Ok(())
    }

    /// What is summed so far: one node, the whole, once all leaves are there.
    pub(crate) fn into_nodes(self) -> Vec<(Range<usize>, T)> {
        self.nodes
    }

    /// Whether two nodes are the branches of one.
    fn are_siblings(&self, left: &Range<usize>, right: &Range<usize>) -> bool {
        let (mut start, mut end) = (0, self.leaves);
        while end - start > 1 {
            let middle = start + (end - start).next_power_of_two() / 2;
            if left.end == middle && right.start == middle {
                return left.start == start && right.end == end;
            }
            if right.end <= middle {
                end = middle;
            } else if left.start >= middle {
                start = middle;
            } else {
                return false;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A sum that shows its order.
    fn sum(leaves: usize, of: impl Iterator<Item = (Range<usize>, String)>) -> Tree<String> {
        let mut tree = Tree::new(leaves);
        for (range, value) in of {
            let plus = |a: String, b: String| Ok(format!("({a} {b})"));
            tree.push(range, value, plus).unwrap();
        }
        tree
    }

    fn leaf(i: usize) -> (Range<usize>, String) {
        (i..i + 1, i.to_string())
    }

    #[test]
    fn the_left_branch_has_the_greatest_power_of_two() {
        for (leaves, expected) in [
            (1, "0"),
            (2, "(0 1)"),
            (3, "((0 1) 2)"),
            (4, "((0 1) (2 3))"),
            (7, "(((0 1) (2 3)) ((4 5) 6))"),
        ] {
            let nodes = sum(leaves, (0..leaves).map(leaf)).into_nodes();
            assert_eq!(nodes, [(0..leaves, expected.to_string())]);
        }
    }

    proptest! {
        #[test]
        fn a_sum_does_not_depend_on_who_computes_which_leaves(
            leaves in 1usize..40,
            mut cuts in prop::collection::vec(0usize..40, 0..6),
        ) {
            let whole = sum(leaves, (0..leaves).map(leaf)).into_nodes();
            prop_assert_eq!(whole.len(), 1);
            cuts.extend([0, leaves]);
            cuts.iter_mut().for_each(|cut| *cut = (*cut).min(leaves));
            cuts.sort_unstable();
            let shares = cuts.windows(2).map(|ends| sum(leaves, (ends[0]..ends[1]).map(leaf)));
            let nodes = shares.flat_map(Tree::into_nodes);
            prop_assert_eq!(sum(leaves, nodes).into_nodes(), whole);
        }
    }
}
