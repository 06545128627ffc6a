//! The photos of a folder or a CSV, with what stands beside them.

use super::column::Column;
use super::paths::find_path;
use crate::data::columns::{ColumnNames, Naming};
use crate::data::folder::{Folder, instead_of_photos};
use crate::data::held::{self, is_held};
use crate::data::manifest::photo_column;
use crate::data::person_folder::find_listing;
use crate::data::photo_cells::Photos;
use crate::data::sample::Split;
use crate::data::table::Table;
use crate::error::{Error, Result, shown};
use crate::input::PhotoSource;
use crate::location::{folder_of, is_folder};
use std::path::{Path, PathBuf};

/// A photo.
pub(super) struct Photo {
    /// As listings name it.
    pub(super) name: String,
    pub(super) source: PhotoSource,
    /// The side that its folders say.
    pub(super) side: Option<Split>,
}

/// What was found.
pub(super) struct Survey {
    pub(super) photos: Vec<Photo>,
    /// Columns of a CSV but those of the photos' paths, or levels of folders.
    pub(super) columns: Vec<Column>,
    /// How the paths stand in a CSV; nothing for a folder.
    pub(super) names: ColumnNames,
    pub(super) is_folder: bool,
    /// What was found, in words.
    pub(super) said: Vec<String>,
}

impl Survey {
    /// Looks at a folder or a CSV.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read, [`Error::Data`] if it holds no photos, or nothing about them.
    pub(super) fn of(path: &Path) -> Result<Self> {
        if is_folder(path) {
            Self::of_folder(path)
        } else {
            Self::of_listing(path)
        }
    }

    fn of_folder(path: &Path) -> Result<Self> {
        let fail = |message: String| Error::Data {
            path: path.into(),
            row: None,
            message,
        };
        if let Some(listing) = find_listing(path) {
            return Err(fail(format!(
                "a CSV, or photos in folders called as their labels, are needed, found a person folder, which is data as it \
                 is; for its columns give {}",
                listing.display()
            )));
        }
        let folder = Folder::look(path)?;
        let layout = &folder.layout;
        let mut photos = Vec::new();
        let mut cells: Vec<Vec<String>> = vec![Vec::new(); layout.columns().len()];
        for (parts, found) in &folder.photos {
            let (side, labels) = layout.read(parts);
            for photo in found {
                photos.push(Photo {
                    name: photo.name.clone(),
                    source: photo.path.clone().into(),
                    side,
                });
                for (cells, label) in cells.iter_mut().zip(&labels) {
                    cells.push(label.clone());
                }
            }
        }
        if cells.iter().all(|cells| cells.iter().all(String::is_empty)) {
            let listings = listings(path);
            let found = match (&listings[..], photos.len()) {
                ([], 0) => instead_of_photos(path),
                ([], n) => format!("{n} photos that lie in no such folders"),
                ([first, ..], _) => format!(
                    "none, but a CSV; `hydranet init {}` looks at it",
                    first.display()
                ),
            };
            return Err(fail(format!(
                "photos in folders called as their labels are needed, found {found}"
            )));
        }
        let columns = layout.columns().into_iter().zip(cells);
        let mut said = vec![format!("{}: {} photos", shown(path), photos.len())];
        if let Some(depth) = layout.sides {
            let what = if layout.one_side {
                "one side only, which says nothing and is passed over"
            } else {
                "sides of the split"
            };
            said.push(format!("  level {} of the folders: {what}", depth + 1));
        }
        let joined = layout
            .levels
            .iter()
            .filter_map(|level| Some((level.depth, level.joint?)));
        for (depth, joint) in joined {
            said.push(format!(
                "  level {} of the folders: several labels in a name, joined by `{joint}`",
                depth + 1
            ));
        }
        Ok(Self {
            photos,
            columns: columns
                .map(|(name, cells)| Column::new(name, cells))
                .collect(),
            names: ColumnNames::new(),
            is_folder: true,
            said,
        })
    }

    fn of_listing(path: &Path) -> Result<Self> {
        let Listing {
            table,
            mut photos,
            names,
            words,
            columns,
        } = Listing::read(path)?;
        let folder = folder_of(path);
        let rows: Vec<_> = table
            .rows
            .iter()
            .filter_map(|row| Some((row, photos.photo(row, folder)?)))
            .collect();
        let title = photos.title(&table);
        let own = photos.own();
        let columns = columns.into_iter().filter(|i| !own.contains(i));
        let columns = columns.map(|i| {
            let cells = rows.iter().map(|(row, _)| row.cells[i].trim().to_string());
            Column::new(&table.header[i], cells.collect())
        });
        let columns = columns.collect();
        let photos = rows.into_iter().map(|(_, (name, source))| Photo {
            source,
            name,
            side: None,
        });
        let photos: Vec<Photo> = photos.collect();
        let mut said = vec![
            format!("{}: {} rows", shown(path), photos.len()),
            format!("  `{title}`: photos; {words}"),
        ];
        let faulty = table.rows.len() + table.faults.len() - photos.len();
        if faulty > 0 {
            said.push(format!("  {faulty} rows have no photo, or not as many cells as the header; `hydranet check` lists them"));
        }
        Ok(Self {
            photos,
            columns,
            names,
            is_folder: false,
            said,
        })
    }
}

/// A listing, and where its photos are.
struct Listing {
    table: Table,
    photos: Photos,
    /// How they are named to other commands.
    names: ColumnNames,
    /// Where they lie, in words.
    words: String,
    /// The columns that have cells.
    columns: Vec<usize>,
}

impl Listing {
    fn read(path: &Path) -> Result<Self> {
        let (mut columns, mut stored) = (None, None);
        let table = if is_held(path) {
            let (listing, mut table) = held::open(path, 0)?;
            stored = listing
                .any_photos(&table)
                .map(|found| (listing.usual(), found));
            let cells = listing.cells();
            let mut rows = Vec::new();
            listing.rows(&mut table, &cells, &mut |_, row| rows.push(row))?;
            table.rows = rows;
            columns = Some(cells);
            table
        } else {
            Table::read(path, 0)?
        };
        let mut names = ColumnNames::new();
        let (photos, usual, name, words) = match stored {
            Some((usual, (name, photos))) => (Some(photos), usual, name, "their bytes".to_string()),
            None => {
                let found = find_path(&table)?;
                (None, "path", found.path, found.words)
            }
        };
        if name != usual {
            names.insert("path".into(), name);
        }
        let photos = match photos {
            Some(photos) => photos,
            None => Photos::Paths(photo_column(&table, Naming::given(&names))?),
        };
        let columns = columns.unwrap_or_else(|| (0..table.header.len()).collect());
        Ok(Self {
            table,
            photos,
            names,
            words,
            columns,
        })
    }
}

/// The CSV files in a folder.
fn listings(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries.map(|e| e.path());
    let mut found: Vec<PathBuf> = paths
        .filter(|p| p.extension().is_some_and(|e| e.eq_ignore_ascii_case("csv")))
        .collect();
    found.sort();
    found
}
