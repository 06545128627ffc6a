//! Curves over the epochs.

use super::data::Source;
use crate::report::figure::{Axis, Figure, Mark};

/// Width and height of a curve.
const SIZE: (f64, f64) = (520.0, 260.0);

/// Loss, learning rates, each head's scores, and how the heads were balanced, as far as they were recorded.
pub(super) fn figures(source: &Source) -> Vec<Figure> {
    let heads: Vec<&str> = source.taxonomy.heads().iter().map(String::as_str).collect();
    let of_heads = |suffix: &str| -> Vec<(String, String)> {
        let column = |head: &&str| (format!("{head}_{suffix}"), head.to_string());
        heads.iter().map(column).collect()
    };
    let with_class = |class: &str, suffix: &str| {
        let mut all = vec![(class.to_string(), "final class".to_string())];
        all.extend(of_heads(suffix));
        all
    };
    let named = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        let pair = |(column, name): &(&str, &str)| (column.to_string(), name.to_string());
        pairs.iter().map(pair).collect()
    };
    let joint = |suffix: &str| {
        let mut all = of_heads(suffix);
        all.push((format!("joint_{suffix}"), "joint".into()));
        all
    };
    let all = [
        (
            "loss",
            named(&[("train_loss", "training"), ("valid_loss", "validation")]),
            false,
        ),
        (
            "macro F1 on the validation side",
            with_class("macro_f1", "macro_f1"),
            true,
        ),
        (
            "accuracy on the validation side",
            with_class("accuracy", "accuracy"),
            true,
        ),
        (
            "learning rate at the end of the epoch",
            named(&[("lr_backbone", "backbone"), ("lr_heads", "heads")]),
            false,
        ),
        ("factor of each head's loss", joint("weight"), false),
        (
            "norm of each head's gradient on the backbone",
            joint("gradient"),
            false,
        ),
    ];
    all.into_iter()
        .filter_map(|(title, columns, share)| figure(source, title, &columns, share))
        .collect()
}

fn figure(
    source: &Source,
    title: &str,
    columns: &[(String, String)],
    share: bool,
) -> Option<Figure> {
    let found = columns
        .iter()
        .enumerate()
        .filter_map(|(series, (column, name))| Some((series, name, source.epochs.column(column)?)));
    let found: Vec<_> = found.collect();
    if found.is_empty() {
        return None;
    }
    let values = found.iter().flat_map(|(_, _, points)| points);
    let y = if share {
        Axis::new("", 0.0, 1.0)
    } else {
        Axis::around("", values.clone().map(|p| p.1))
    };
    let last = values
        .map(|p| p.0)
        .filter(|e| e.is_finite())
        .fold(1.0, f64::max);
    Some(Figure {
        title: title.into(),
        size: SIZE,
        x: Axis::new("epoch", 1.0, last).whole(),
        y,
        marks: found
            .into_iter()
            .map(|(series, name, points)| Mark::Line {
                series,
                name: name.clone(),
                points,
            })
            .collect(),
    })
}
