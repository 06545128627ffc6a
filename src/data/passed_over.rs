//! What listings and folders hold beside what is read: counted and named, so that nobody takes it for read.

use super::columns::{Columns, Naming};
use super::held::{self, is_held};
use super::manifest::photo_column;
use super::table::Table;
use super::template::PathCells;
use crate::error::shown;
use crate::head::HeadSpec;
use crate::input::is_image_name;
use crate::io::{is_tar, random_access};
use crate::location::{is_folder, is_remote};
use std::collections::BTreeSet;
use std::fs::DirEntry;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Names that a line lists.
const NAMED: usize = 5;

/// Bytes of a listing in which its header stands.
const START: u64 = 1 << 20;

/// What is passed over, a kind at a time.
#[derive(Default)]
struct Beside {
    files: Vec<String>,
    links: Vec<String>,
    folders: Vec<String>,
    columns: Vec<String>,
}

impl Beside {
    /// Takes note of an entry that is not read.
    fn add(&mut self, entry: &DirEntry, within: &Path) {
        let path = entry.path();
        let name = path.strip_prefix(within).unwrap_or(&path);
        let name = name.display().to_string();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => self.folders.push(name),
            // What a link leads to counts.
            Ok(kind) if kind.is_symlink() && path.is_dir() => self.links.push(name),
            _ => self.files.push(name),
        }
    }

    /// A line for each kind.
    fn lines(mut self, of: &Path, files: &str, folders: &str) -> Vec<String> {
        let kinds = [
            ("columns that are no head's", &mut self.columns),
            (files, &mut self.files),
            ("linked folders", &mut self.links),
            (folders, &mut self.folders),
        ];
        let line = |(what, names): (&str, &mut Vec<String>)| {
            names.sort();
            let more = match names.len().saturating_sub(NAMED) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let named: Vec<String> = names.iter().take(NAMED).map(|n| format!("`{n}`")).collect();
            (!names.is_empty()).then(|| {
                format!(
                    "{}: {} {what} passed over: {}{more}",
                    shown(of),
                    names.len(),
                    named.join(", ")
                )
            })
        };
        kinds.into_iter().filter_map(line).collect()
    }
}

fn entries(folder: &Path) -> impl Iterator<Item = DirEntry> {
    std::fs::read_dir(folder).into_iter().flatten().flatten()
}

fn is_hidden(entry: &DirEntry) -> bool {
    entry.file_name().to_string_lossy().starts_with('.')
}

/// What listings and folders that can be read hold and no head of these takes, a line for each kind.
pub(crate) fn beside_data(data: &[PathBuf], heads: &[HeadSpec], naming: Naming) -> Vec<String> {
    // What cannot be told apart was said when it was read.
    let data = super::sources::expand(data).unwrap_or_default();
    let of_source = |path: &PathBuf| {
        if !is_folder(path) {
            beside_listing(path, heads, naming)
        } else if let Some(listing) = super::person_folder::find_listing(path) {
            beside_people(&listing, heads)
        } else {
            beside_photos(path)
        }
    };
    data.iter().flat_map(of_source).collect()
}

/// Columns that are read: those of the heads, and these.
fn others(header: Vec<String>, own: &[&str], heads: &[HeadSpec]) -> Vec<String> {
    let is_read = |c: &str| own.contains(&c) || heads.iter().any(|h| h.column() == c);
    let names = header.into_iter().map(|c| c.trim().to_string());
    names.filter(|c| !is_read(c) && !c.is_empty()).collect()
}

fn beside_listing(path: &Path, heads: &[HeadSpec], naming: Naming) -> Vec<String> {
    // What is read once only, a pipe say, has been read.
    if !path.is_file() && !is_remote(path) {
        return Vec::new();
    }
    let Some((table, mut read)) = header(path, naming) else {
        return Vec::new();
    };
    read.extend(
        Columns::find(&table, heads, &[], naming)
            .iter()
            .flat_map(Columns::read),
    );
    let own: Vec<&str> = read.iter().map(|i| table.header[*i].as_str()).collect();
    let beside = Beside {
        columns: others(table.header.clone(), &own, heads),
        ..Beside::default()
    };
    beside.lines(path, "", "")
}

/// A listing without its rows, and the columns of its photos: what it has is told by its first lines.
fn header(path: &Path, naming: Naming) -> Option<(Table, Vec<usize>)> {
    if is_held(path) {
        // A shard has no header that could be read alone.
        if is_tar(path) {
            return None;
        }
        let (listing, table) = held::open(path, 0).ok()?;
        let photos = listing.photos(&table, naming);
        return Some((table, photos.map_or(Vec::new(), |p| p.own())));
    }
    let start = start_of(path)?;
    let end = std::str::from_utf8(&start).map_or_else(|e| e.valid_up_to(), str::len);
    let mut table = Table::parse(&start[..end], path, 0).ok()?;
    table.rows.clear();
    let photos = photo_column(&table, naming);
    let photos = photos.iter().flat_map(PathCells::read).collect();
    Some((table, photos))
}

/// The beginning of a file.
fn start_of(path: &Path) -> Option<Vec<u8>> {
    let mut start = Vec::new();
    if is_remote(path) {
        let file = random_access::open(path).ok()?;
        start.resize(file.size().min(START) as usize, 0);
        file.read_at(0, &mut start).ok()?;
    } else {
        let (file, _) = crate::io::read::open_within(path, crate::io::read::LISTING).ok()?;
        file.take(START).read_to_end(&mut start).ok()?;
    }
    Some(start)
}

fn beside_photos(folder: &Path) -> Vec<String> {
    match crate::input::find_images(folder) {
        Ok(found) if !found.passed_over.is_empty() => {
            vec![format!(
                "{}: passed over: {}",
                shown(folder),
                found.passed_over
            )]
        }
        _ => Vec::new(),
    }
}

fn beside_people(listing: &Path, heads: &[HeadSpec]) -> Vec<String> {
    let Ok(table) = Table::read(listing, 0) else {
        return Vec::new();
    };
    let path = table.header.iter().position(|c| c == "path");
    let people: BTreeSet<&str> = table
        .rows
        .iter()
        .filter_map(|row| Some(row.cells[path?].trim()))
        .collect();
    let images = listing.with_file_name("images");
    let mut beside = Beside::default();
    for entry in entries(&images).filter(|e| !is_hidden(e)) {
        let name = entry.file_name();
        if !name.to_str().is_some_and(|n| people.contains(n)) {
            beside.add(&entry, &images);
            continue;
        }
        for photo in entries(&entry.path()).filter(|e| !is_hidden(e)) {
            let is_file = photo.path().is_file();
            let is_text = photo.file_name().to_str().is_some();
            if !(is_file && is_text && is_image_name(&photo.path())) {
                beside.add(&photo, &images);
            }
        }
    }
    let own = ["id", "path", "person", "split", "mask"];
    beside.columns = others(table.header.clone(), &own, heads);
    beside.lines(
        listing,
        "files that are no photos by their names",
        "folders that no row names",
    )
}

/// What a folder of heads holds beside TOML files, a line for each kind.
pub fn beside_heads(folder: &Path) -> Vec<String> {
    let mut beside = Beside::default();
    let is_read = |e: &DirEntry| e.path().extension().is_some_and(|end| end == "toml");
    for entry in entries(folder).filter(|e| !is_hidden(e) && !is_read(e)) {
        let name = entry.file_name().to_string_lossy().to_lowercase();
        // The folder's own description is no head that was forgotten.
        if !name.starts_with("readme") {
            beside.add(&entry, folder);
        }
    }
    beside.lines(folder, "files that do not end in .toml", "folders")
}
