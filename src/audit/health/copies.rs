//! Photos that are there twice: the same bytes, the same pixels, nearly the same picture.

use super::HealthConfig;
use super::pass::Read;
use crate::data::dataset::{Dataset, Sample, Value, person_key};
use crate::data::targets::labels_of;
use crate::head::HeadSpec;
use rayon::prelude::*;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};

/// Of photos with one and the same hash, so many are compared one by one.
const CROWD: usize = 64;

/// Two photos that look alike.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NearPair {
    /// Index of the first in the data.
    pub first: usize,
    /// Index of the second, greater.
    pub second: usize,
    /// Their names.
    pub names: [String; 2],
    /// Bits in which the perceptual hashes differ.
    pub phash: u32,
    /// Bits in which the difference hashes differ.
    pub dhash: u32,
    /// Whether the decoded pixels are equal.
    pub same_pixels: bool,
    /// Whether the files are equal.
    pub same_bytes: bool,
    /// Whether they are of the same known person.
    pub same_person: bool,
    /// Whether they stand on two sides of the split: what is learned from is then measured on.
    pub two_sides: bool,
    /// Heads whose labels differ.
    pub labels_differ: Vec<String>,
}

/// Photos that are there twice.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Copies {
    /// Photos beyond the first of equal files.
    pub same_bytes: usize,
    /// Photos beyond the first of equal pixels, equal files among them.
    pub same_pixels: usize,
    /// Pairs of one person that look alike.
    pub within_persons: usize,
    /// Pairs of different persons, or of none known, that look alike.
    pub across_persons: usize,
    /// Pairs on two sides of the split.
    pub across_sides: usize,
    /// Photos not compared one by one, since 64 others have the same perceptual hash.
    pub crowded: usize,
    /// The pairs: equal pixels first, then across persons, then those that differ least; not more than were asked for.
    pub pairs: Vec<NearPair>,
}

/// All pairs of hashes that differ in at most `distance` ≤ 15 bits, as `(i, j, bits)` with i < j, sorted.
///
/// A hash is cut into four parts of 16 bits: if two differ in at most d bits, one of the parts differs in at most d / 4 (Norouzi,
/// Punjani, Fleet 2012, "Fast Search in Hamming Space with Multi-Index Hashing"). So only hashes that share such a part are
/// compared.
pub fn near_pairs(hashes: &[u64], distance: u32) -> Vec<(usize, usize, u32)> {
    let radius = distance / 4;
    let part = |hash: u64, p: usize| (hash >> (16 * p)) as u16;
    let masks: Vec<u16> = (0..=u16::MAX)
        .filter(|m| m.count_ones() <= radius)
        .collect();
    let tables: Vec<(Vec<u32>, Vec<u32>)> = (0..4)
        .map(|p| {
            let mut starts = vec![0u32; (1 << 16) + 1];
            for hash in hashes {
                starts[usize::from(part(*hash, p)) + 1] += 1;
            }
            for i in 0..1 << 16 {
                starts[i + 1] += starts[i];
            }
            let mut next = starts.clone();
            let mut places = vec![0u32; hashes.len()];
            for (i, hash) in hashes.iter().enumerate() {
                let at = &mut next[usize::from(part(*hash, p))];
                places[*at as usize] = i as u32;
                *at += 1;
            }
            (starts, places)
        })
        .collect();
    let of = |i: usize| {
        let mut found = Vec::new();
        for (p, (starts, places)) in tables.iter().enumerate() {
            for mask in &masks {
                let key = usize::from(part(hashes[i], p) ^ mask);
                for j in &places[starts[key] as usize..starts[key + 1] as usize] {
                    let j = *j as usize;
                    let differing = hashes[i] ^ hashes[j];
                    // Found by the first part that allows it, and not again by the others.
                    let before = (0..p).any(|q| part(differing, q).count_ones() <= radius);
                    let bits = differing.count_ones();
                    if j > i && bits <= distance && !before {
                        found.push((i, j, bits));
                    }
                }
            }
        }
        found.sort_unstable();
        found
    };
    (0..hashes.len())
        .into_par_iter()
        .flat_map_iter(of)
        .collect()
}

/// Compares all photos that were read.
pub(super) fn find(dataset: &Dataset, read: &Read, config: &HealthConfig) -> Copies {
    let mut copies = Copies {
        same_bytes: repeated(read.bytes.iter()),
        same_pixels: repeated(read.measures.iter().map(|m| &m.pixels)),
        ..Copies::default()
    };
    let mut groups: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for (row, measures) in read.measures.iter().enumerate() {
        groups.entry(measures.phash).or_default().push(row);
    }
    let hashes: Vec<u64> = groups.keys().copied().collect();
    let crowds: Vec<Vec<usize>> = groups.into_values().collect();
    copies.crowded = crowds.iter().map(|c| c.len().saturating_sub(CROWD)).sum();
    let own = (0..hashes.len()).map(|i| (i, i, 0));
    let mut pairs = Vec::new();
    for (i, j, phash) in own.chain(near_pairs(&hashes, config.phash)) {
        for (place, a) in crowds[i].iter().take(CROWD).enumerate() {
            let skip = if i == j { place + 1 } else { 0 };
            for b in crowds[j].iter().take(CROWD).skip(skip) {
                let dhash = (read.measures[*a].dhash ^ read.measures[*b].dhash).count_ones();
                if dhash <= config.dhash {
                    pairs.push(pair(dataset, read, [*a.min(b), *a.max(b)], phash, dhash));
                }
            }
        }
    }
    let count = |of: &dyn Fn(&NearPair) -> bool| pairs.iter().filter(|p| of(p)).count();
    copies.within_persons = count(&|p| p.same_person);
    copies.across_persons = count(&|p| !p.same_person);
    copies.across_sides = count(&|p| p.two_sides);
    pairs.sort_by_key(|p| {
        let differ = p.phash + p.dhash;
        (!p.same_pixels, p.same_person, differ, p.first, p.second)
    });
    pairs.truncate(config.listed);
    let names = dataset.unique_names();
    for pair in &mut pairs {
        pair.names = [pair.first, pair.second].map(|place| names[place].clone());
    }
    copies.pairs = pairs;
    copies
}

/// How many beyond the first of equal ones.
fn repeated<'a>(values: impl Iterator<Item = &'a [u8; 32]>) -> usize {
    let mut counts: HashMap<&[u8; 32], usize> = HashMap::new();
    values.for_each(|v| *counts.entry(v).or_default() += 1);
    counts.values().map(|n| n - 1).sum()
}

fn pair(dataset: &Dataset, read: &Read, rows: [usize; 2], phash: u32, dhash: u32) -> NearPair {
    let places = rows.map(|r| read.places[r]);
    let [a, b] = places.map(|i| &dataset.samples[i]);
    let [x, y] = rows.map(|r| &read.measures[r]);
    NearPair {
        first: places[0],
        second: places[1],
        names: [a.name.clone(), b.name.clone()],
        phash,
        dhash,
        same_pixels: x.pixels == y.pixels,
        same_bytes: read.bytes[rows[0]] == read.bytes[rows[1]],
        same_person: person_key(a) == person_key(b),
        two_sides: a.split.is_some() && b.split.is_some() && a.split != b.split,
        labels_differ: differing(&dataset.heads, [a, b]),
    }
}

/// The heads of which both photos have labels that are known, and not the same.
fn differing(heads: &[HeadSpec], [a, b]: [&Sample; 2]) -> Vec<String> {
    let values = a.values.iter().zip(&b.values);
    let differ = |head: &HeadSpec, x: &Value, y: &Value| labels_of(head, x) != labels_of(head, y);
    let heads = heads.iter().zip(values).filter(|(head, (x, y))| {
        let both = x.as_ref().zip(y.as_ref());
        both.is_some_and(|(x, y)| differ(head, x, y))
    });
    heads.map(|(head, _)| head.name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_differ_where_both_are_known_whatever_the_kind_of_head() {
        let heads = [
            HeadSpec::new("age", ["young", "old"]).with_thresholds([40.0]),
            HeadSpec::multi_label("tags", ["red", "long"]),
        ];
        let photo = |age: f64, tags: Option<Vec<usize>>| {
            let values = vec![Some(Value::Number(age)), tags.map(Value::Labels)];
            Sample::new("a.jpg", Vec::new(), values)
        };
        let one = photo(20.0, Some(vec![0]));
        let found = |other: Sample| differing(&heads, [&one, &other]);
        assert!(found(photo(39.0, Some(vec![0]))).is_empty());
        assert!(found(photo(20.0, None)).is_empty());
        assert_eq!(found(photo(20.0, Some(vec![0, 1]))), ["tags"]);
        assert_eq!(found(photo(50.0, Some(Vec::new()))), ["age", "tags"]);
    }
}
