//! The listing of a folder's photos.

use super::plan::Plan;
use super::survey::Survey;
use crate::data::columns::{ColumnNames, Naming};
use crate::data::dataset::Dataset;
use crate::data::sample::Split;
use crate::error::{Error, Result};
use crate::io::table::to_csv;
use crate::location::is_remote;
use std::path::Path;

/// The listing of a folder's photos, with paths from the folder of the listing on.
pub(super) fn manifest(
    survey: &Survey,
    plan: &Plan,
    folder: &Path,
    listing: &Path,
    names: &ColumnNames,
    said: &mut Vec<String>,
) -> Result<String> {
    let specs: Vec<_> = plan.heads.iter().map(|h| h.spec.clone()).collect();
    let (dataset, _) = Dataset::read_named(&[folder.to_path_buf()], &specs, Naming::given(names))?;
    let held_out = |name: &str, side: Option<Split>| {
        let place = dataset
            .samples
            .binary_search_by(|s| s.name.as_str().cmp(name));
        place.ok().and_then(|i| dataset.samples[i].split).or(side)
    };
    let mut titles = vec!["path".to_string()];
    titles.extend(survey.columns.iter().map(|c| c.name.clone()));
    let has_sides = survey.photos.iter().any(|p| p.side.is_some());
    if has_sides {
        titles.push("split".into());
    }
    let before = from_listing(folder, listing)?;
    let mut valid = 0;
    let mut rows = Vec::with_capacity(survey.photos.len());
    for (i, photo) in survey.photos.iter().enumerate() {
        let mut row = vec![format!("{before}{}", photo.name)];
        row.extend(survey.columns.iter().map(|c| c.cells[i].clone()));
        if has_sides {
            let side = held_out(&photo.name, photo.side);
            valid += usize::from(side != photo.side);
            row.push(side.map_or("", Split::name).into());
        }
        rows.push(row);
    }
    if valid > 0 {
        said.push(format!("no folder is for validation: {valid} photos of train are put on valid, to choose the epoch by"));
    }
    rows.sort();
    to_csv(titles, rows)
}

/// What leads from a listing's folder to another folder, with `/` at its end; the whole path where that lies elsewhere.
fn from_listing(folder: &Path, listing: &Path) -> Result<String> {
    if is_remote(folder) {
        let path = folder.display().to_string();
        return Ok(format!("{}/", path.trim_end_matches('/')));
    }
    let whole = |path: &Path| path.canonicalize().map_err(|e| Error::io("read", path, e));
    let folder = whole(folder)?;
    let beside = match listing.parent().filter(|p| !p.as_os_str().is_empty()) {
        Some(parent) if !parent.exists() => None,
        Some(parent) => Some(whole(parent)?),
        None => Some(whole(Path::new("."))?),
    };
    let inner = beside.and_then(|beside| folder.strip_prefix(beside).map(Path::to_path_buf).ok());
    let path = inner
        .unwrap_or(folder)
        .display()
        .to_string()
        .replace('\\', "/");
    Ok(match path.as_str() {
        "" => String::new(),
        path => format!("{path}/"),
    })
}
