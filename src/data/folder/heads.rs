//! Which level of folders each head reads.

use super::layout::{JOINTS, Layout};
use super::photos::{ByFolder, instead_of_photos};
use crate::data::columns::{ColumnNames, Naming};
use crate::data::table::quoted;
use crate::error::{Error, Result};
use crate::head::HeadSpec;
use std::collections::BTreeSet;
use std::path::Path;

/// Names of folders that a message lists.
const NAMED: usize = 10;

/// A layout that serves some heads.
pub(super) struct Fit {
    pub(super) layout: Layout,
    /// The columns of heads that are found by their labels.
    pub(super) names: ColumnNames,
}

/// Of the ways in which names may be taken apart the one that gives most photos labels that the heads have, in doubt the one the
/// names themselves suggest.
///
/// # Errors
/// [`Error::Data`] if there is no photo, no level is of any head, or a head's labels are those of two levels.
pub(super) fn fit(
    folder: &Path,
    photos: &ByFolder,
    heads: &[HeadSpec],
    naming: Naming,
) -> Result<Fit> {
    let fail = |message: String| Error::Data {
        path: folder.into(),
        row: None,
        message,
    };
    if photos.is_empty() {
        return Err(fail(format!(
            "photos, in folders called as their labels, or a person folder's `train.csv` and `images/`, are needed, found {}",
            instead_of_photos(folder)
        )));
    }
    let mut best: Option<(usize, Fit)> = None;
    let mut doubt = None;
    let joints = JOINTS.into_iter().map(Some);
    let ways = std::iter::once(Layout::of(photos)).chain(
        std::iter::once(None)
            .chain(joints)
            .map(|joint| Layout::joined(photos, joint)),
    );
    for layout in ways {
        let (score, names) = match columns_of(photos, &layout, heads, naming) {
            Ok(found) => found,
            Err(message) => {
                doubt.get_or_insert(message);
                continue;
            }
        };
        if score > best.as_ref().map_or(0, |(score, _)| *score) {
            best = Some((score, Fit { layout, names }));
        }
    }
    best.map(|(_, fit)| fit).ok_or_else(|| {
        if let Some(message) = doubt {
            return fail(message);
        }
        let all: BTreeSet<&String> = photos.keys().flatten().collect();
        let mut found: Vec<&String> = all.into_iter().collect();
        let more = found.len().saturating_sub(NAMED);
        found.truncate(NAMED);
        let heads = heads.iter().map(|head| {
            let labels = head.labels.names.iter().take(NAMED);
            let labels: Vec<&str> = labels.map(String::as_str).collect();
            format!("`{}`: {}", head.name, labels.join(", "))
        });
        let heads: Vec<String> = heads.collect();
        let found = match (found.is_empty(), more) {
            (true, _) => "photos without folders".into(),
            (_, 0) => quoted(&found),
            (_, more) => format!("{} and {more} more", quoted(&found)),
        };
        fail(format!(
            "folders called as labels of a head ({}), or a person folder's `train.csv` and `images/`, are needed, found {found}",
            heads.join("; ")
        ))
    })
}

/// How many labels of photos are ones that the heads have, and the columns of heads that have none by name.
fn columns_of(
    photos: &ByFolder,
    layout: &Layout,
    heads: &[HeadSpec],
    naming: Naming,
) -> std::result::Result<(usize, ColumnNames), String> {
    let columns = layout.columns();
    let rows = photos
        .iter()
        .map(|(parts, found)| (layout.read(parts).1, found.len()));
    let rows: Vec<(Vec<String>, usize)> = rows.collect();
    let mut names = ColumnNames::new();
    let mut score = 0;
    for head in heads {
        let known = |cell: &str| {
            if head.labels.thresholds.is_empty() {
                head.labels.names.iter().any(|label| label == cell)
            } else {
                cell.parse::<f64>().is_ok_and(f64::is_finite)
            }
        };
        let photos = |place: usize| -> usize {
            let known = rows.iter().filter(|(cells, _)| known(&cells[place]));
            known.map(|(_, photos)| photos).sum()
        };
        let wanted = naming.of(&head.name).unwrap_or(head.column());
        if let Some(place) = columns.iter().position(|name| name == wanted) {
            score += photos(place);
            continue;
        }
        let labels = |place: usize| -> usize {
            let met: BTreeSet<&String> = rows.iter().map(|(cells, _)| &cells[place]).collect();
            met.into_iter().filter(|cell| known(cell)).count()
        };
        // Numbers could be anybody's.
        if !head.labels.thresholds.is_empty() {
            continue;
        }
        let counts: Vec<usize> = (0..columns.len()).map(labels).collect();
        let most = counts.iter().copied().max().unwrap_or(0);
        let best: Vec<usize> = (0..columns.len()).filter(|i| counts[*i] == most).collect();
        match best[..] {
            _ if most == 0 => {}
            [place] => {
                score += photos(place);
                names.insert(head.name.clone(), columns[place].clone());
            }
            _ => {
                let levels: Vec<&str> = best.iter().map(|i| columns[*i].as_str()).collect();
                return Err(format!(
                    "a level of folders for head `{0}` is needed, found its labels on {1}; `column = \"{2}\"` in the head's \
                     file says which",
                    head.name,
                    quoted(&levels),
                    levels[0]
                ));
            }
        }
    }
    Ok((score, names))
}
