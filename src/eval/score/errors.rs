//! Which heads the final class's errors come from.

use crate::eval::metrics::ConfusionMatrix;
use serde::Serialize;
use std::collections::BTreeMap;

/// Which heads the wrong final classes differ from the truth in. The *final class's* labels are compared, after the decision
/// rule.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ErrorSources {
    /// Photos whose final class is wrong.
    pub wrong: u64,
    /// Wrong photos by the exact set of wrong heads, commonest first.
    pub by_heads: Vec<WrongHeads>,
    /// One entry a head that is part of the final class, in the taxonomy's order; none where no photo's final class is known.
    pub heads: Vec<HeadErrors>,
}

/// Photos in which exactly these heads are wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WrongHeads {
    /// The heads, in the taxonomy's order.
    pub heads: Vec<String>,
    /// The photos.
    pub photos: u64,
}

/// What one head costs the final class.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HeadErrors {
    /// The head.
    pub head: String,
    /// Wrong photos in which this head is the only wrong one.
    pub alone: u64,
    /// Wrong photos in which this head is wrong, alone or with others.
    pub at_all: u64,
    /// The final class's accuracy if this head were always right and the others as they are.
    pub accuracy_if_right: f64,
    /// The final class's macro F1 likewise.
    pub macro_f1_if_right: f64,
}

impl ErrorSources {
    pub(crate) fn new(
        names: &[String],
        sets: &BTreeMap<Vec<usize>, u64>,
        if_right: &[ConfusionMatrix],
    ) -> Self {
        let count = |keep: &dyn Fn(&[usize]) -> bool| {
            let kept = sets.iter().filter(|(set, _)| keep(set));
            kept.map(|(_, photos)| photos).sum::<u64>()
        };
        let mut by_heads: Vec<WrongHeads> = sets
            .iter()
            .map(|(set, photos)| WrongHeads {
                heads: set.iter().map(|h| names[*h].clone()).collect(),
                photos: *photos,
            })
            .collect();
        // The sort is stable: equal counts stay in the order of the heads.
        by_heads.sort_by_key(|w| std::cmp::Reverse(w.photos));
        let heads = names.iter().zip(if_right).enumerate();
        let heads = heads.filter(|(_, (_, matrix))| matrix.total() > 0);
        Self {
            wrong: count(&|_| true),
            by_heads,
            heads: heads
                .map(|(h, (name, matrix))| HeadErrors {
                    head: name.clone(),
                    alone: count(&|set| set == [h]),
                    at_all: count(&|set| set.contains(&h)),
                    accuracy_if_right: matrix.accuracy(),
                    macro_f1_if_right: matrix.macro_f1(),
                })
                .collect(),
        }
    }
}
