//! Heads and `model.toml` as texts in which each choice is explained.

use super::plan::{Plan, Planned};
use super::size::Size;
use crate::data::columns::ColumnNames;
use crate::taxonomy::Labels;
use std::fmt::Write;

/// Labels with fewer photos are called rare.
pub(super) const RARE: usize = 10;
/// How many times the photos of the rarest label the most frequent one may have.
const UNEVEN: usize = 5;

/// A text as TOML.
fn quoted(text: &str) -> String {
    toml::Value::String(text.into()).to_string()
}

fn list<'a>(words: impl IntoIterator<Item = &'a String>) -> String {
    let words: Vec<String> = words.into_iter().map(|w| quoted(w)).collect();
    format!("[{}]", words.join(", "))
}

/// Labels by head, as an inline table.
fn table(labels: &Labels) -> String {
    let entry =
        |(head, labels): (&String, &Vec<String>)| format!("{} = {}", key(head), list(labels));
    let entries: Vec<String> = labels.iter().map(entry).collect();
    format!("{{ {} }}", entries.join(", "))
}

/// A key, bare where it can be.
fn key(name: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !name.is_empty() && name.chars().all(is_bare) {
        name.into()
    } else {
        quoted(name)
    }
}

/// Text as one line of a comment.
fn comment(text: &str) -> String {
    crate::escape::one_line(text).into_owned()
}

fn with_counts(words: &[(String, usize)]) -> String {
    let words: Vec<String> = words.iter().map(|(w, n)| format!("`{w}` ({n})")).collect();
    words.join(", ")
}

/// The file of a head.
pub(super) fn head(planned: &Planned, source: &str) -> String {
    let spec = &planned.spec;
    let (labels, column) = (&spec.labels, spec.column());
    let mut text = String::new();
    let all: usize = planned.counts.iter().sum();
    let mut line = |words: &str| {
        // Writing into a string does not fail.
        let _ = writeln!(text, "{words}");
    };
    let missing = match planned.missing {
        0 => String::new(),
        n => format!(", {n} photos without one"),
    };
    let named = if spec.is_multi_label() {
        format!("named {all} times")
    } else {
        format!("of {all} photos")
    };
    line(&comment(&format!(
        "# `{column}` of {source}: {} labels {named}{missing}.",
        labels.names.len()
    )));
    line(&format!("name = {}", quoted(&spec.name)));
    if spec.is_multi_label() {
        line("# A cell may name several labels at once. The head is no part of the final class.");
        line("kind = \"multi_label\"");
    }
    if labels.column.is_some() {
        line("# The column of the listing, or the level of folders, that it reads.");
        line(&format!("column = {}", quoted(column)));
    }
    line(if spec.is_multi_label() {
        "# Photos of each:"
    } else {
        "# The place of a label is its digit in the final class. Photos of each:"
    });
    line("labels = [");
    for (name, count) in labels.names.iter().zip(&planned.counts) {
        let rare = if *count < RARE { ", rare" } else { "" };
        line(&format!("    {}, # {count}{rare}", quoted(name)));
    }
    line("]");
    if !labels.thresholds.is_empty() {
        line(
            "# The column holds numbers; these borders, at thirds of them or at their middle, make them labels. Put them where they mean something.",
        );
        line(&format!("thresholds = {:?}", labels.thresholds));
    } else if planned.counted {
        line("# If these numbers have an order, say so, and scores count how far off a label is:");
        line("# ordered = true");
    }
    if !planned.none.is_empty() {
        line(&comment(&format!(
            "# Words that say that a photo has none of the labels, beside `-`: {}",
            with_counts(&planned.none)
        )));
        let none = labels.multi_label.iter().flat_map(|several| &several.none);
        line(&format!("none = {}", list(none)));
    }
    if !labels.unknown.is_empty() {
        line(&if planned.unknown.is_empty() {
            "# Words that say that nobody knows: such a cell is a label that is missing."
                .to_string()
        } else {
            comment(&format!(
                "# Words that say that nobody knows: such a cell is a label that is missing. {}",
                with_counts(&planned.unknown)
            ))
        });
        line(&format!("unknown = {}", list(&labels.unknown)));
    }
    if !planned.doubtful.is_empty() {
        line(&comment(&format!(
            "# {} may be a label or say that nobody knows. It is kept as a label; if it is none, move it to `unknown`.",
            with_counts(&planned.doubtful)
        )));
    }
    if !labels.when.is_empty() {
        line("# It has no labels elsewhere, so it is asked under these labels only.");
        line(&format!("when = {}", table(&labels.when)));
    }
    let least = planned
        .counts
        .iter()
        .filter(|n| **n > 0)
        .min()
        .copied()
        .unwrap_or(1);
    let most = planned.counts.iter().max().copied().unwrap_or(0);
    if spec.is_multi_label() {
        line("# Where most labels are absent from most photos, a loss that looks less at those:");
        line("# loss = { asymmetric = {} }");
    } else if most > UNEVEN * least {
        line(&format!(
            "# The most frequent label has {} times the photos of the rarest. If rare labels are overlooked, let them count more:",
            most / least
        ));
        line("# class_weights = \"balanced\"");
    }
    line(
        "# A share of the features is left out at random in training, so that the head leans on none alone.",
    );
    line(&format!("dropout = {:?}", spec.layers.dropout));
    text
}

/// `model.toml`; `heads` are the names of those that are asked together, the others stay at hand.
pub(super) fn model(plan: &Plan, heads: &[String], names: &ColumnNames, size: &Size) -> String {
    let mut text = String::new();
    let mut line = |words: &str| {
        let _ = writeln!(text, "{words}");
    };
    line("# The backbone whose weights come with hydranet. Others: hydranet guide backbones.");
    line("backbone = \"tf_efficientnet_lite0\"");
    line("weights = \"tf_efficientnet_lite0.in1k.safetensors\"");
    line("# Their order gives the digits of the final class.");
    line(&format!("heads = {}", list(heads)));
    if heads.len() < plan.heads.len() {
        line(
            "# The other heads in this folder would make too many final classes; put those in that you need.",
        );
    }
    if plan.rare_pairs > 0 {
        line(&format!(
            "# {} combinations of labels have no photo, and too few photos have their labels to say that they are impossible.",
            plan.rare_pairs
        ));
    }
    let asked = |entry: &&Labels| entry.keys().all(|head| heads.contains(head));
    let impossible: Vec<String> = plan.impossible.iter().filter(asked).map(table).collect();
    if !impossible.is_empty() {
        line(
            "# Combinations without any photo: no final classes, and an error in the data. Take out what only happens to be missing.",
        );
        line(&format!(
            "impossible = [\n    {},\n]",
            impossible.join(",\n    ")
        ));
    }
    if !names.is_empty() {
        line("# What the listing calls its columns.");
        let entries: Vec<String> = names
            .iter()
            .map(|(w, n)| format!("{} = {}", key(w), quoted(n)))
            .collect();
        line(&format!("columns = {{ {} }}", entries.join(", ")));
    }
    line("");
    line("[input]");
    line(&comment(&format!("# {}.", size.why)));
    line("# [height, width]; time grows with the area, and small things need more of it.");
    line(&format!("size = {:?}", size.input));
    if let Some(large) = &size.large {
        line(&format!(
            "# {large}. Such are decoded at a half, a quarter or an eighth of their size, several times as fast; pixels change by a grey level or two, in training and prediction alike."
        ));
        line("reduce = true");
    }
    text
}
