//! Which column of a table names photos, and where they lie.

use crate::data::table::{Row, Table, quoted};
use crate::error::Result;
use crate::input::is_image_name;
use std::path::{Path, PathBuf};

/// Rows whose photos are looked for.
const LOOKED: usize = 50;
/// Folders beside a table in which they are looked for.
const FOLDERS: usize = 100;
/// Endings that names may lack.
const ENDINGS: [&str; 5] = [".jpg", ".jpeg", ".png", ".JPG", ".PNG"];

/// How the paths of photos stand in a table.
pub(super) struct FoundPath {
    /// The column, or a template over it.
    pub(super) path: String,
    /// Where the photos lie, in words.
    pub(super) words: String,
}

/// The column whose cells are names of photos, by their endings or because files of these names are there.
///
/// # Errors
/// [`Error::Data`](crate::Error::Data) if there is none.
pub(super) fn find_path(table: &Table) -> Result<FoundPath> {
    let folder = table.path.parent().unwrap_or(Path::new(""));
    let step = table.rows.len().div_ceil(LOOKED).max(1);
    let rows: Vec<&Row> = table.rows.iter().step_by(step).collect();
    let share = |column: usize| {
        let is_name = |row: &&&Row| is_image_name(Path::new(row.cells[column].trim()));
        10 * rows.iter().filter(is_name).count() >= 9 * rows.len()
    };
    let (named, others): (Vec<usize>, Vec<usize>) =
        (0..table.header.len()).partition(|i| share(*i));
    let named = named.into_iter().map(|i| (i, &[""][..]));
    let others = others.into_iter().map(|i| (i, &ENDINGS[..]));
    let within = folders(folder);
    // Most files found wins, then the first column, folder and ending; names of photos count without a file.
    let mut best: Option<(usize, usize, String)> = None;
    for (column, endings) in named.chain(others) {
        let name = &table.header[column];
        // In a template a brace would begin another column.
        let usable = !rows.is_empty() && !name.is_empty() && !name.contains(['{', '}']);
        let all_found = best.as_ref().is_some_and(|(most, ..)| *most == rows.len());
        for ending in endings.iter().filter(|_| usable && !all_found) {
            for within in &within {
                let there = |row: &&&Row| {
                    let cell = row.cells[column].trim();
                    let path = folder.join(within).join(format!("{cell}{ending}"));
                    !cell.is_empty() && path.is_file()
                };
                let found = rows.iter().filter(there).count();
                let least = if ending.is_empty() {
                    0
                } else {
                    rows.len().div_ceil(2)
                };
                if found >= least && best.as_ref().is_none_or(|(most, ..)| found > *most) {
                    let inner = within.display().to_string().replace('\\', "/");
                    let path = match (inner.is_empty(), ending.is_empty()) {
                        (true, true) => name.clone(),
                        (true, false) => format!("{{{name}}}{ending}"),
                        (false, _) => format!("{inner}/{{{name}}}{ending}"),
                    };
                    best = Some((found, column, path));
                }
            }
        }
    }
    let Some((found, _, path)) = best else {
        return Err(table.header_error(format!(
            "a column of photos is needed, with names that end in .jpg or .png, or of files that are there, found {}",
            quoted(&table.header)
        )));
    };
    let words = match found {
        0 => format!(
            "none of {} that were looked for is there, neither beside {} nor in a folder beside it",
            rows.len(),
            table.path.display()
        ),
        n if n == rows.len() => format!("files of the form `{path}`"),
        n => format!(
            "files of the form `{path}`, of which {n} of {} that were looked for are there",
            rows.len()
        ),
    };
    Ok(FoundPath { path, words })
}

/// The folder itself, and those in it.
fn folders(folder: &Path) -> Vec<PathBuf> {
    let here = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let entries = std::fs::read_dir(here).into_iter().flatten().flatten();
    let names = entries
        .filter(|e| e.path().is_dir())
        .filter_map(|e| e.file_name().into_string().ok());
    let mut names: Vec<String> = names
        .filter(|n| !n.starts_with('.') && !n.contains(['{', '}']))
        .collect();
    names.sort();
    let inner = names.into_iter().take(FOLDERS).map(PathBuf::from);
    std::iter::once(PathBuf::new()).chain(inner).collect()
}
