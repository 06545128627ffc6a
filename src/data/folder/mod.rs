//! Folders of photos without a listing: a folder a label, sides, levels of labels, several labels in one name.

mod heads;
mod layout;
mod photos;

use super::columns::{Columns, Naming};
use super::sample::{Fault, Sample};
use super::table::{Row, Table};
use crate::error::Result;
use crate::head::HeadSpec;
use heads::{Fit, fit};
pub(crate) use layout::Layout;
pub(crate) use photos::{ByFolder, instead_of_photos};
use std::path::Path;

/// A folder's photos and how they are read, before there are heads.
pub(crate) struct Folder {
    pub(crate) photos: ByFolder,
    pub(crate) layout: Layout,
}

impl Folder {
    /// Looks at the folders' names alone.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if a folder cannot be listed.
    pub(crate) fn look(folder: &Path) -> Result<Self> {
        let photos = photos::find(folder)?;
        let layout = Layout::of(&photos);
        Ok(Self { photos, layout })
    }
}

/// Reads the photos of a folder, labelled by the folders they lie in. A head takes the level that its column names, or else the
/// one whose names are its labels. Photos in folders that are no labels are left out and come back as a fault a folder.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) if a folder cannot be listed, [`Error::Data`](crate::Error::Data) if no level is of any head.
pub(crate) fn read_folder(
    folder: &Path,
    source: usize,
    heads: &[HeadSpec],
    naming: Naming,
) -> Result<(Vec<Sample>, Vec<Fault>)> {
    let photos = photos::find(folder)?;
    let Fit { layout, names } = fit(folder, &photos, heads, naming)?;
    let names = naming.and(names);
    let naming = Naming::remembered(&names);
    let mut table = Table {
        path: folder.into(),
        source,
        header: layout.columns(),
        rows: Vec::new(),
        faults: Vec::new(),
    };
    let columns = Columns::find(&table, heads, &[], naming)?;
    let (mut samples, mut faults) = (Vec::new(), Vec::new());
    for (parts, found) in &photos {
        let (split, cells) = layout.read(parts);
        let row = Row { line: 0, cells };
        let (values, person, _) = columns.parse(&mut table, &row, heads, &[]);
        let own = std::mem::take(&mut table.faults);
        if !own.is_empty() {
            let (parts, count) = (parts.join("/"), found.len());
            faults.extend(own.into_iter().map(|fault| Fault {
                row: None,
                message: format!("folder `{parts}`, {count} photos: {}", fault.message),
                ..fault
            }));
            continue;
        }
        samples.extend(found.iter().map(|found| Sample {
            photo: found.path.clone().into(),
            name: found.name.clone(),
            person: person.clone(),
            split,
            values: values.clone(),
            row: None,
            source,
        }));
    }
    samples.sort_by(|a, b| a.name.cmp(&b.name));
    Ok((samples, faults))
}
