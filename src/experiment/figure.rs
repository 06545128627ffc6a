//! What is compared: a metric of the final class, or of one head.

use crate::error::Result;
use crate::eval::metrics::Metric;
use crate::eval::score::ScoreReport;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// A metric and whose it is. Written `macro_f1` for the final class, `age.macro_f1` for the head `age`.
///
/// ```
/// use hydranet::experiment::Figure;
/// let figure: Figure = "age.quadratic_kappa".parse()?;
/// assert_eq!(figure.head.as_deref(), Some("age"));
/// assert_eq!(figure.to_string(), "age.quadratic_kappa");
/// # Ok::<(), hydranet::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Figure {
    /// The head; `None`: the final class.
    pub head: Option<String>,
    /// The metric.
    pub metric: Metric,
}

impl Figure {
    /// Every defined figure of a report, by its name.
    pub fn all_of(report: &ScoreReport) -> BTreeMap<String, f64> {
        let heads = report.heads.iter().map(|h| (Some(h.name.clone()), h));
        heads
            .chain([(None, &report.class)])
            .flat_map(|(head, score)| {
                Metric::ALL.into_iter().filter_map(move |metric| {
                    let head = head.clone();
                    Some((Self { head, metric }.to_string(), score.get(metric)?))
                })
            })
            .collect()
    }

    /// Macro F1 of the final class and of each head.
    pub fn usual(heads: &[String]) -> Vec<Self> {
        let heads = heads.iter().cloned().map(Some);
        std::iter::once(None)
            .chain(heads)
            .map(|head| Self {
                head,
                metric: Metric::MacroF1,
            })
            .collect()
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.head {
            Some(head) => write!(f, "{head}.{}", self.metric),
            None => write!(f, "{}", self.metric),
        }
    }
}

impl FromStr for Figure {
    type Err = crate::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (head, metric) = match text.rsplit_once('.') {
            Some((head, metric)) => (Some(head.to_string()), metric),
            None => (None, text),
        };
        let metric = metric.parse()?;
        Ok(Self { head, metric })
    }
}

impl Serialize for Figure {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Figure {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
