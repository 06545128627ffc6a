//! Scores as they are written: what was not measured is absent.

use super::{LabelScore, MAX_CONFUSION, NamedScore};
use crate::eval::metrics::{ConfusionMatrix, Metrics};
use serde::{Serialize, Serializer};

#[derive(Serialize)]
struct Written<'a> {
    name: &'a str,
    photos: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    accuracy: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    macro_f1: Option<f64>,
    #[serde(flatten)]
    more: Option<&'a Metrics>,
    labels: &'a [LabelScore],
    #[serde(skip_serializing_if = "is_left_out")]
    confusion: &'a ConfusionMatrix,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    levels: &'a [NamedScore],
}

impl Serialize for NamedScore {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let measured = self.photos > 0;
        Written {
            name: &self.name,
            photos: self.photos,
            accuracy: measured.then_some(self.accuracy),
            macro_f1: measured.then_some(self.macro_f1),
            more: measured.then_some(&self.more),
            labels: if measured { &self.labels } else { &[] },
            confusion: &self.confusion,
            levels: &self.levels,
        }
        .serialize(serializer)
    }
}

fn is_left_out(matrix: &&ConfusionMatrix) -> bool {
    matrix.num_classes() > MAX_CONFUSION || matrix.num_classes() == 0
}
