//! What the folders of photos stand for: sides, and labels, one a level or several in one name.

use super::photos::ByFolder;
use crate::data::sample::Split;
use std::collections::BTreeSet;

/// What joins labels in the name of a folder, as in `Apple___Black_rot`.
pub(super) const JOINTS: [&str; 4] = ["___", "__", " - ", "--"];
/// Labels that are taken out of one name at most.
const PIECES: usize = 4;
/// Levels of folders that are looked at.
const LEVELS: usize = 8;

/// A level of folders whose names are labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Level {
    /// Its depth below the folder.
    pub(crate) depth: usize,
    /// What joins the labels in its names, if they have several.
    pub(crate) joint: Option<&'static str>,
    /// How many labels its names have at most.
    pieces: usize,
}

/// How folders are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// The depth of folders that are called as sides, if there are any.
    pub(crate) sides: Option<usize>,
    /// Whether all those folders are one and the same side, which then says nothing.
    pub(crate) one_side: bool,
    /// The levels of labels, from the outermost on.
    pub(crate) levels: Vec<Level>,
}

impl Layout {
    /// As the names say: a level all of whose names are words for sides is one of sides, a first level of one folder is none of
    /// labels where others follow, and names are taken apart where at least two and half of them have the same joint.
    pub(super) fn of(photos: &ByFolder) -> Self {
        Self::with(photos, |names| {
            JOINTS.into_iter().find(|joint| {
                let joined = names.iter().filter(|n| is_joined(n, joint)).count();
                joined >= 2 && 2 * joined >= names.len()
            })
        })
    }

    /// With this joint, or none, on all levels.
    pub(super) fn joined(photos: &ByFolder, joint: Option<&'static str>) -> Self {
        Self::with(photos, |_| joint)
    }

    fn with(photos: &ByFolder, joint: impl Fn(&BTreeSet<&str>) -> Option<&'static str>) -> Self {
        let deepest = photos.keys().map(Vec::len).max().unwrap_or(0).min(LEVELS);
        let names = |depth: usize| -> BTreeSet<&str> {
            let parts = photos.keys().filter_map(|parts| parts.get(depth));
            parts.map(String::as_str).collect()
        };
        let all: Vec<BTreeSet<&str>> = (0..deepest).map(names).collect();
        let is_side = |names: &BTreeSet<&str>| names.iter().all(|n| Split::of_word(n).is_ok());
        let sides = all.iter().position(is_side);
        let one_side = sides.is_some_and(|depth| {
            let words = all[depth].iter().filter_map(|n| Split::of_word(n).ok());
            words.collect::<BTreeSet<_>>().len() == 1
        });
        // Folders around everything say nothing.
        let whole = |depth: usize| {
            let all_below = photos.keys().all(|parts| parts.len() > depth + 1);
            all[depth].len() == 1 && all_below
        };
        let first = (0..deepest)
            .find(|depth| Some(*depth) != sides && !whole(*depth))
            .unwrap_or(deepest);
        let levels = (first..deepest).filter(|depth| Some(*depth) != sides);
        let level = |depth: usize| {
            let joint = joint(&all[depth]);
            let pieces = |joint| all[depth].iter().map(|n| pieces(n, joint).count()).max();
            Level {
                depth,
                joint,
                pieces: joint.and_then(pieces).unwrap_or(1),
            }
        };
        Self {
            sides,
            one_side,
            levels: levels.map(level).collect(),
        }
    }

    /// What the columns of labels are called: `kind` if there is one, else `level1`, `level2` ….
    pub(crate) fn columns(&self) -> Vec<String> {
        match self.levels.iter().map(|level| level.pieces).sum() {
            1 => vec!["kind".into()],
            n => (1..=n).map(|i| format!("level{i}")).collect(),
        }
    }

    /// The side and the labels that the folders of a photo say; an empty label is one they do not.
    pub(crate) fn read(&self, parts: &[String]) -> (Option<Split>, Vec<String>) {
        let side = self.sides.filter(|_| !self.one_side);
        let side = side.and_then(|depth| Split::of_word(parts.get(depth)?).ok());
        let mut labels = Vec::new();
        for level in &self.levels {
            let start = labels.len();
            let name = parts.get(level.depth).map_or("", String::as_str);
            match level.joint {
                Some(joint) => labels.extend(pieces(name, joint).map(String::from)),
                None => labels.push(name.trim().into()),
            }
            labels.resize(start + level.pieces, String::new());
        }
        (side, labels)
    }
}

fn pieces<'a>(name: &'a str, joint: &'a str) -> impl Iterator<Item = &'a str> {
    name.splitn(PIECES, joint).map(str::trim)
}

/// Whether a name is two labels or more, joined.
fn is_joined(name: &str, joint: &str) -> bool {
    pieces(name, joint).count() > 1 && pieces(name, joint).all(|piece| !piece.is_empty())
}

#[cfg(test)]
mod tests {
    use super::super::photos::Found;
    use super::*;

    fn layout(folders: &[&str]) -> (Layout, ByFolder) {
        let photos = folders.iter().map(|folder| {
            let parts = folder.split('/').filter(|p| !p.is_empty());
            let found = Found {
                name: format!("{folder}/1.jpg"),
                path: "".into(),
            };
            (parts.map(String::from).collect(), vec![found])
        });
        let photos = photos.collect();
        (Layout::of(&photos), photos)
    }

    /// What the folders of a photo say.
    type Said = (Option<Split>, Vec<String>);

    fn read(folders: &[&str]) -> (Vec<String>, Vec<Said>) {
        let (layout, photos) = layout(folders);
        let rows = photos.keys().map(|parts| layout.read(parts)).collect();
        (layout.columns(), rows)
    }

    fn labels(labels: &[&str]) -> Vec<String> {
        labels.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_folder_is_a_label_and_a_level_of_them_a_column() {
        let (columns, rows) = read(&["cat", "dog"]);
        assert_eq!(columns, ["kind"]);
        assert_eq!(rows, [(None, labels(&["cat"])), (None, labels(&["dog"]))]);
        let (columns, rows) = read(&["fruit/apple", "fruit/pear", "leaf", ""]);
        assert_eq!(columns, ["level1", "level2"]);
        assert_eq!(rows[0].1, labels(&["", ""]));
        assert_eq!(rows[1].1, labels(&["fruit", "apple"]));
        assert_eq!(rows[3].1, labels(&["leaf", ""]));
    }

    #[test]
    fn words_for_sides_are_sides_wherever_they_stand() {
        for folders in [
            ["Train/cat", "Train/dog", "validation/cat", "test/dog"],
            [
                "all/training/cat",
                "all/training/dog",
                "all/val/cat",
                "all/testing/dog",
            ],
            ["cat/train", "dog/train", "cat/valid", "dog/test"],
        ] {
            let (columns, mut rows) = read(&folders);
            rows.sort();
            assert_eq!(columns, ["kind"], "{folders:?}");
            let expected = [
                (Some(Split::Train), labels(&["cat"])),
                (Some(Split::Train), labels(&["dog"])),
                (Some(Split::Valid), labels(&["cat"])),
                (Some(Split::Test), labels(&["dog"])),
            ];
            assert_eq!(rows, expected);
        }
        // A vehicle is no side, and one side alone says nothing.
        let (_, rows) = read(&["train", "bus"]);
        assert_eq!(rows[1], (None, labels(&["train"])));
        let (columns, rows) = read(&["train/cat", "train/dog"]);
        assert_eq!((columns.len(), rows[0].0), (1, None));
    }

    #[test]
    fn joined_names_are_taken_apart_where_most_are_joined() {
        let (columns, rows) = read(&["Apple___Black_rot", "Corn_(maize)___healthy", "Empty"]);
        assert_eq!(columns, ["level1", "level2"]);
        assert_eq!(rows[0].1, labels(&["Apple", "Black_rot"]));
        assert_eq!(rows[2].1, labels(&["Empty", ""]));
        let (columns, rows) = read(&["black_rot", "fire truck", "x-ray", "a__b"]);
        assert_eq!((columns.len(), &rows[0].1[0][..]), (1, "a__b"));
    }
}
