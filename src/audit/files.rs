//! What an audit leaves for other programs.

use super::folds::OutOfFold;
use super::question::known;
use super::report::Audit;
use crate::data::dataset::Dataset;
use crate::error::Result;
use crate::io::table::{write_csv, write_json};
use crate::taxonomy::Taxonomy;
use std::path::Path;

pub(super) fn write(
    audit: &Audit,
    dataset: &Dataset,
    taxonomy: &Taxonomy,
    found: &OutOfFold,
    out: &Path,
) -> Result<()> {
    write_json(&out.join("audit.json"), audit)?;
    write_suspects(audit, dataset, &out.join("suspects.csv"))?;
    write_persons(audit, &out.join("persons.csv"))?;
    write_out_of_fold(dataset, taxonomy, found, &out.join("out_of_fold.csv"))
}

fn header(titles: &[&str]) -> Vec<String> {
    titles.iter().map(|t| t.to_string()).collect()
}

fn write_suspects(audit: &Audit, dataset: &Dataset, path: &Path) -> Result<()> {
    let titles = [
        "path",
        "person",
        "head",
        "given",
        "suggested",
        "score",
        "suggested_prob",
        "person_score",
        "rules",
    ];
    let rows = audit.suspects.iter().map(|s| {
        let rules: Vec<&str> = s.rules.iter().map(|r| r.name()).collect();
        let row = vec![
            s.path.clone(),
            s.person.clone().unwrap_or_default(),
            s.head.clone(),
            s.given.clone(),
            s.suggested.clone(),
            format!("{:.6}", s.score),
            format!("{:.6}", s.suggested_prob),
            format!("{:.6}", s.person_score),
            rules.join(" "),
        ];
        row.into_iter().chain(s.listing.clone())
    });
    let mut titles = header(&titles);
    titles.extend(dataset.listing_title());
    write_csv(path, &titles, rows)
}

/// A row for each person and head on which the person's photos agree.
fn write_persons(audit: &Audit, path: &Path) -> Result<()> {
    let titles = [
        "person",
        "photos",
        "head",
        "given",
        "vote",
        "score",
        "suspect",
        "disagreeing",
        "contradictions",
    ];
    let rows = audit.persons.iter().flat_map(|person| {
        person.heads.iter().map(|head| {
            vec![
                person.person.clone(),
                person.photos.to_string(),
                head.head.clone(),
                head.given.clone(),
                head.vote.clone(),
                format!("{:.6}", head.score),
                head.suspect.to_string(),
                head.disagreeing.join(" "),
                person.contradictions.join(" "),
            ]
        })
    });
    write_csv(path, titles, rows)
}

/// For each photo its fold, and for each head the given label and all probabilities, in all their digits: another program finds
/// the same issues from it.
fn write_out_of_fold(
    dataset: &Dataset,
    taxonomy: &Taxonomy,
    found: &OutOfFold,
    path: &Path,
) -> Result<()> {
    let mut titles = header(&["path", "person", "fold"]);
    // No label is asked for where a photo may have several.
    let is_asked = |head: &usize| !taxonomy.is_multi_label(*head);
    let heads = taxonomy.heads().iter().enumerate();
    for (head, name) in heads.filter(|(head, _)| is_asked(head)) {
        titles.push(format!("{name}_given"));
        titles.extend(taxonomy.labels(head).iter().map(|l| format!("{name}_{l}")));
    }
    let classes = if found.classes.is_empty() {
        0
    } else {
        taxonomy.num_classes()
    };
    titles.extend((classes > 0).then(|| "class_given".into()));
    titles.extend((0..classes).map(|c| format!("class_{c}")));
    titles.extend(dataset.listing_title());
    let known = known(dataset, taxonomy);
    let rows = dataset.samples.iter().enumerate().map(|(place, sample)| {
        let mut row = vec![
            sample.name.clone(),
            sample.person.clone().unwrap_or_default(),
            (found.folds[place] + 1).to_string(),
        ];
        let mut put = |given: Option<String>, probs: &[f64], width: usize| {
            row.push(given.unwrap_or_default());
            let own = &probs[place * width..(place + 1) * width];
            row.extend(own.iter().map(f64::to_string));
        };
        let heads = found.heads.iter().enumerate();
        for (head, probs) in heads.filter(|(head, _)| is_asked(head)) {
            let labels = taxonomy.labels(head);
            let given = known[place][head].map(|l| labels[l].clone());
            put(given, probs, labels.len());
        }
        if classes > 0 {
            let class = taxonomy.class_of(&known[place]);
            put(class.map(|c| c.to_string()), &found.classes, classes);
        }
        row.extend(dataset.listing(sample));
        row
    });
    write_csv(path, &titles, rows)
}
