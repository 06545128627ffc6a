//! What heads are proposed, in words.

use super::plan::Plan;
use super::write::RARE;

/// Labels of a head that are shown.
const SHOWN: usize = 40;

/// Says what the heads are.
pub(super) fn describe(plan: &Plan, asked: &[String], said: &mut Vec<String>) {
    for head in &plan.heads {
        let labels = &head.spec.labels;
        let counts = labels.names.iter().zip(&head.counts);
        let mut shown: Vec<String> = counts
            .clone()
            .take(SHOWN)
            .map(|(l, n)| format!("{l} {n}"))
            .collect();
        if labels.names.len() > SHOWN {
            shown.push(format!("and {} more", labels.names.len() - SHOWN));
        }
        said.push(format!("head {}: {}", head.spec.name, shown.join(", ")));
        let rare: Vec<&str> = counts
            .filter(|(_, n)| **n < RARE)
            .map(|(l, _)| l.as_str())
            .collect();
        let words = |words: &[(String, usize)]| {
            let words: Vec<String> = words.iter().map(|(w, n)| format!("`{w}` {n}")).collect();
            words.join(", ")
        };
        let mut more = Vec::new();
        if head.spec.is_multi_label() {
            more.push("several labels at once, no part of the final class".into());
        }
        if !head.none.is_empty() {
            more.push(format!(
                "taken for none of the labels: {}",
                words(&head.none)
            ));
        }
        if !labels.when.is_empty() {
            let under = labels
                .when
                .iter()
                .map(|(h, l)| format!("{h} is {}", l.join(" or ")));
            more.push(format!(
                "only where {}",
                under.collect::<Vec<_>>().join(" and ")
            ));
        }
        if !rare.is_empty() {
            more.push(format!(
                "rare, with fewer than {} photos: {}",
                RARE,
                rare.join(", ")
            ));
        }
        if head.missing > 0 {
            more.push(format!("without a label: {} photos", head.missing));
        }
        if !head.unknown.is_empty() {
            more.push(format!(
                "taken for labels that nobody knows: {}",
                words(&head.unknown)
            ));
        }
        if !head.doubtful.is_empty() {
            more.push(format!(
                "a label, or one that nobody knows? kept as a label: {}",
                words(&head.doubtful)
            ));
        }
        if !asked.contains(&head.spec.name) {
            more.push(
                "not asked, since there would be too many final classes; it stays at hand".into(),
            );
        }
        said.extend(more.into_iter().map(|words| format!("  {words}")));
    }
    if !plan.impossible.is_empty() {
        said.push(format!(
            "impossible combinations, of which there is no photo: {} entries in model.toml",
            plan.impossible.len()
        ));
    }
    if plan.rare_pairs > 0 {
        said.push(format!(
            "{} more combinations have no photo, but few would be expected: they stay possible",
            plan.rare_pairs
        ));
    }
}
