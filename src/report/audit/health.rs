//! Cards of data health.

use super::shown::Shown;
use super::{Card, PageConfig, Tab};
use crate::audit::health::HealthReport;
use std::collections::BTreeMap;

pub(crate) fn tab(report: &HealthReport, config: &PageConfig, thumbs: &mut Shown) -> Tab {
    let mut cards = Vec::new();
    let mut of = report.findings.len();
    let mut shown: BTreeMap<&str, usize> = BTreeMap::new();
    for finding in &report.findings {
        let count = shown.entry(&finding.kind).or_default();
        *count += 1;
        if *count <= config.shown {
            cards.push(Card {
                photo: thumbs.of(finding.photo),
                kind: finding.kind.replace('_', " "),
                text: format!("{:.2}, {:+.1} robust units", finding.value, finding.units),
                ..Card::default()
            });
        }
    }
    of += report.copies.pairs.len();
    for pair in report.copies.pairs.iter().take(config.shown) {
        let kind = match (pair.same_pixels, pair.same_person) {
            (true, _) => "same picture",
            (false, true) => "near duplicates of one person",
            (false, false) => "near duplicates",
        };
        let mut text = format!("hashes differ in {} and {} bits", pair.phash, pair.dhash);
        if pair.two_sides {
            text += "; on two sides of the split";
        }
        if !pair.labels_differ.is_empty() {
            text += &format!("; labels differ: {}", pair.labels_differ.join(", "));
        }
        cards.push(Card {
            photo: thumbs.of(pair.second),
            kind: kind.into(),
            text,
            near: vec![thumbs.of(pair.first)],
            ..Card::default()
        });
    }
    if let Some(alike) = &report.alike {
        of += alike.pairs.len() + alike.looks.len();
        for pair in alike.pairs.iter().take(config.shown) {
            let [a, b] = &pair.persons;
            cards.push(Card {
                photo: thumbs.of(pair.photos[1]),
                kind: "persons that may be one".into(),
                text: format!("{a} and {b}: cosine {:.3}", pair.cosine),
                near: vec![thumbs.of(pair.photos[0])],
                ..Card::default()
            });
        }
        for look in alike.looks.iter().take(config.shown) {
            cards.push(Card {
                photo: thumbs.of(look.photo),
                kind: "may be of somebody else".into(),
                text: format!("{:+.1} robust units from its person's others", look.units),
                near: vec![thumbs.of(look.other)],
                ..Card::default()
            });
        }
    }
    if let Some(crop) = &report.crop {
        of += crop.changes.len();
        for change in crop.changes.iter().take(config.shown) {
            cards.push(Card {
                photo: thumbs.of(change.photo),
                kind: "changed by the crop".into(),
                text: format!(
                    "{}: {} with the crop, {} without; probabilities change by {:.2}",
                    change.head, change.with, change.without, change.change
                ),
                ..Card::default()
            });
        }
    }
    Tab {
        id: "health".into(),
        title: "data health".into(),
        kind: "health",
        head: None,
        labels: Vec::new(),
        classes: Vec::new(),
        of,
        cards,
    }
}
