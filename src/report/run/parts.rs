//! The scores of the final class and of each head.

use super::data::Source;
use super::{Figures, diagrams};
use crate::data::dataset::{Sample, Value as Label};
use crate::error::Result;
use crate::eval::metrics::Metric;
use crate::model::combine::argmax;
use crate::report::figure::Figure;
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Most final classes that are all named on a page; of more those that occur.
const CLASSES: usize = 1000;

/// The final classes as the page numbers them.
pub(super) struct Classes {
    pub(super) names: Vec<String>,
    pub(super) leaves: Vec<Vec<Option<usize>>>,
    places: BTreeMap<usize, usize>,
}

impl Classes {
    pub(super) fn new(source: &Source) -> Result<Self> {
        let taxonomy = &source.taxonomy;
        let used = || {
            let rows = source.rows.iter();
            let of_row = |row: &crate::eval::read_predictions::PredictionRow| {
                let truth = taxonomy.class_of(&row.truths(taxonomy));
                [Some(row.class), truth].into_iter().flatten()
            };
            rows.flat_map(of_row).collect::<BTreeSet<usize>>()
        };
        let all = match taxonomy.num_classes() {
            count if count <= CLASSES => (0..count).collect(),
            _ => used(),
        };
        Ok(Self {
            names: all
                .iter()
                .map(|c| taxonomy.class_name(*c))
                .collect::<Result<_>>()?,
            leaves: all
                .iter()
                .map(|c| taxonomy.decode(*c))
                .collect::<Result<_>>()?,
            places: all.into_iter().zip(0..).collect(),
        })
    }

    pub(super) fn place(&self, class: usize) -> Option<usize> {
        self.places.get(&class).copied()
    }
}

/// The final class, or a head.
#[derive(Serialize)]
pub(super) struct Part {
    name: String,
    /// `class`, `labels`, `ordered`, `number` or `several`.
    kind: &'static str,
    labels: Vec<String>,
    photos: u64,
    /// Name and value of each metric that is known.
    metrics: Vec<(&'static str, f64)>,
    /// Of each label, as `scores.json` has them.
    rows: Vec<Value>,
    /// Truth, prediction and photos of each cell that is not empty; nothing of several labels at once.
    cells: Vec<[u64; 3]>,
    figures: Vec<usize>,
}

pub(super) fn parts(source: &Source, classes: &Classes, figures: &mut Figures) -> Vec<Part> {
    let none = Value::Null;
    let scores = source.scores.as_ref().unwrap_or(&none);
    let mut parts = Vec::new();
    if source.taxonomy.has_classes() {
        let known = source.rows.iter().filter_map(|row| {
            let truth = source.taxonomy.class_of(&row.truths(&source.taxonomy))?;
            Some((row.prob, truth == row.class))
        });
        let drawn = honesty(known.collect());
        parts.push(Part::new(
            ("class", "class"),
            classes.names.clone(),
            &scores["class"],
            drawn,
            figures,
        ));
    }
    for (i, head) in source.heads.iter().enumerate() {
        let kind = match head {
            h if h.is_multi_label() => "several",
            h if h.labels.number.is_some() => "number",
            h if h.is_ordered() => "ordered",
            _ => "labels",
        };
        let mut drawn = Vec::new();
        if kind != "several" {
            let known = source.rows.iter().filter_map(|row| {
                let truth = row.truths(&source.taxonomy)[i]?;
                let probs = &row.heads[i].probs;
                let best = argmax(probs);
                Some((probs[best], best == truth))
            });
            drawn.extend(honesty(known.collect()));
        }
        if kind == "number" {
            drawn.extend(diagrams::numbers(&numbers(source, i)));
        }
        let of_head = scores["heads"].as_array().into_iter().flatten();
        let of_head = of_head.clone().find(|s| s["name"] == head.name.as_str());
        parts.push(Part::new(
            (&head.name, kind),
            head.labels.names.clone(),
            of_head.unwrap_or(&none),
            drawn,
            figures,
        ));
    }
    parts
}

fn honesty(photos: Vec<(f64, bool)>) -> Vec<Figure> {
    let reliability = diagrams::reliability(&photos);
    reliability
        .into_iter()
        .chain(diagrams::coverage(photos))
        .collect()
}

/// True number, what is said, and the photo's name, where both are known.
fn numbers(source: &Source, head: usize) -> Vec<(f64, f64, String)> {
    let samples = super::photos::samples(source);
    let rows = source.rows.iter().filter_map(|row| {
        let sample = samples.get(&(row.name.as_str(), row.listing.clone()))?;
        let [said, ..] = row.heads[head].number?;
        Some((number_of(sample, head)?, said, row.name.clone()))
    });
    rows.collect()
}

/// The number that the data gives for a head.
pub(super) fn number_of(sample: &Sample, head: usize) -> Option<f64> {
    match sample.values.get(head)? {
        Some(Label::Number(number)) => Some(*number),
        _ => None,
    }
}

impl Part {
    fn new(
        (name, kind): (&str, &'static str),
        labels: Vec<String>,
        scores: &Value,
        drawn: Vec<Figure>,
        figures: &mut Figures,
    ) -> Self {
        let metric = |m: Metric| Some((m.name(), scores[m.name()].as_f64()?));
        let rows = scores["confusion"].as_array().into_iter().flatten();
        let cells = rows.zip(0u64..).flat_map(|(row, truth)| {
            let row = row.as_array().into_iter().flatten().zip(0u64..);
            row.filter_map(move |(count, said)| {
                let count = count.as_u64().filter(|n| *n > 0)?;
                Some([truth, said, count])
            })
        });
        Self {
            name: name.into(),
            kind,
            labels,
            photos: scores["photos"].as_u64().unwrap_or(0),
            metrics: Metric::ALL.into_iter().filter_map(metric).collect(),
            rows: scores["labels"].as_array().cloned().unwrap_or_default(),
            cells: cells.collect(),
            figures: drawn.iter().map(|f| figures.add(f)).collect(),
        }
    }
}
