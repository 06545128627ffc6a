//! Photos that may be of one thing or person, where the data does not say so: by their names, and by how they look.

use super::survey::Photo;
use crate::audit::health::hash::{difference_hash, perceptual_hash};
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Photos that are compared at most, in stretches of the list: copies mostly lie side by side.
const STRETCHES: usize = 10;
const STRETCH: usize = 30;
/// Pixels that are decoded at most for it, beyond which fewer photos are compared.
const PIXELS: usize = 400_000_000;
/// Bits in which photos that look alike may differ, in each hash: as in `hydranet health`.
const BITS: [u32; 2] = [6, 8];
/// Groups there are at least.
const GROUPS: usize = 5;

/// Names such as `anna_1` and `anna_2`, a line; nothing where they are not so. `labels` are how many labels the finest column
/// has: as many starts as labels are names of labels.
pub(super) fn by_name(photos: &[Photo], labels: usize) -> Option<String> {
    let mut groups: BTreeMap<String, usize> = BTreeMap::new();
    for photo in photos {
        let start = start_of(&photo.name).unwrap_or_else(|| photo.name.clone());
        *groups.entry(start).or_default() += 1;
    }
    let largest = groups.values().max().copied().unwrap_or(0);
    let several = groups.values().filter(|n| **n > 1).count();
    let is_grouped = several >= GROUPS.max(2 * labels)
        && 10 * groups.len() <= 7 * photos.len()
        && 2 * largest < photos.len();
    let first = groups.iter().find(|(_, n)| **n > 1)?;
    is_grouped.then(|| {
        format!(
            "the names look like {} groups, such as {} photos `{}…`: if photos of a group show the same person or thing, give \
             them one name in a column `person`, else the scores flatter",
            groups.len(),
            first.1,
            first.0
        )
    })
}

/// A photo's folders and the start of its name, before a number that is set off.
fn start_of(name: &str) -> Option<String> {
    let (stem, _) = name.rsplit_once('.')?;
    let digits = stem.trim_end_matches(|c: char| c.is_ascii_digit());
    let start = digits.trim_end_matches(['_', '-', ' ', '(', '.']);
    let (folder, own) = start.rsplit_once('/').unwrap_or(("", start));
    let is_set_off = digits.len() < stem.len() && start.len() < digits.len() && !own.is_empty();
    is_set_off.then(|| format!("{folder}/{own}"))
}

/// Pairs of photos that look alike among some, a line; nothing where there are none.
pub(super) fn by_look(photos: &[Photo]) -> Option<String> {
    let step = (photos.len() / STRETCHES).max(STRETCH);
    let places: BTreeSet<usize> = (0..photos.len())
        .step_by(step)
        .flat_map(|start| start..(start + STRETCH).min(photos.len()))
        .collect();
    let mut left = PIXELS;
    let looked: Vec<&Photo> = places
        .into_iter()
        .map(|i| &photos[i])
        .take_while(|photo| {
            let file = photo.source.file(Path::new(&photo.name));
            let sides = file.and_then(|file| file.ok()?.sides().ok());
            let pixels = sides.map_or(0, |[h, w]| h * w);
            left = left.saturating_sub(pixels);
            left > 0
        })
        .collect();
    let hashes: Vec<Option<[u64; 2]>> = looked
        .par_iter()
        .map(|photo| {
            let file = photo.source.file(Path::new(&photo.name))?.ok()?;
            let held = file.photo(3, &[]).ok()?;
            Some([perceptual_hash(&held).ok()?, difference_hash(&held).ok()?])
        })
        .collect();
    let (mut pairs, mut first) = (0, None);
    for (i, a) in hashes.iter().enumerate() {
        for (j, b) in hashes.iter().enumerate().skip(i + 1) {
            let (Some(a), Some(b)) = (a, b) else { continue };
            let alike = (0..2).all(|k| (a[k] ^ b[k]).count_ones() <= BITS[k]);
            if alike {
                pairs += 1;
                first.get_or_insert((i, j));
            }
        }
    }
    first.map(|(i, j)| {
        format!(
            "of {} photos that were compared {pairs} pairs look alike, such as `{}` and `{}`: if many do, give photos of one \
             thing one name in a column `person`; `hydranet health` finds all of them",
            looked.len(),
            looked[i].name,
            looked[j].name
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn photos(names: impl IntoIterator<Item = String>) -> Vec<Photo> {
        let photo = |name: String| Photo {
            source: PathBuf::from(&name).into(),
            name,
            side: None,
        };
        names.into_iter().map(photo).collect()
    }

    #[test]
    fn names_with_numbers_set_off_are_groups_unless_a_camera_or_a_label_gave_them() {
        let who = ["anna", "ben", "cid", "dora", "eve", "fay"];
        let of_persons = (0..60).map(|i| format!("cat/{}_{i}.jpg", who[i % 6]));
        let line = by_name(&photos(of_persons), 2).unwrap();
        assert!(
            line.contains("6 groups") && line.contains("`cat/anna…`"),
            "{line}"
        );
        let of_camera = (0..60).map(|i| format!("{}/IMG_{i:04}.jpg", who[i % 2]));
        assert_eq!(by_name(&photos(of_camera), 2), None);
        let of_labels = (0..60).map(|i| format!("{0}/{0}_{i}.jpg", who[i % 6]));
        assert_eq!(by_name(&photos(of_labels), 6), None);
        assert_eq!(
            by_name(&photos((0..60).map(|i| format!("{i}.jpg"))), 2),
            None
        );
    }
}
