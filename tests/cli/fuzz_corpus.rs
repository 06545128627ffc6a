//! Damaged input of every kind gives an error or a value, never a panic: the corpus of the fuzz targets, and damage done to it,
//! the same at every run.

use crate::common::runs;
use crate::common::tiny;
use crate::targets;
use std::path::{Path, PathBuf};

/// Damaged variants of one input.
const VARIANTS: usize = 60;
/// Bytes of an input that are damaged: where the structure of large files stands.
const DAMAGED: usize = 32 << 10;

/// What files of other kinds begin with.
const STARTS: &[&[u8]] = &[
    b"version https://git-lfs.github.com/spec/v1\n",
    b"\xef\xbb\xbf <!DOCTYPE html><html>",
    b"<?xml version=\"1.0\"?>",
    b"{\"weight_map\": {\"a\": 1}}",
    b"[[[[{\"a\": [",
    b"PK\x03\x04\x14\0\0\0",
    b"\x80\x02}q\0.",
    b"\x08\x07\x12\xffpytorch",
    b"\xff\xfea\0b\0",
    b"\x1b[2J\x9b31m\xe2\x80\xae",
    b"\xff\xff\xff\xff\xff\xff\xff\xff{",
    b"\0\0\0\0\0\0\0\0\0\0\0\0",
];

/// A generator of numbers that anyone can follow (xorshift64*).
struct Draws(u64);

impl Draws {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % limit.max(1)
    }
}

/// Bytes changed, cut off, doubled, or numbers made extreme.
fn damaged(bytes: &[u8], draws: &mut Draws) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=draws.below(4) {
        let at = draws.below(bytes.len().min(DAMAGED));
        let end = (at + 1 + draws.below(16)).min(bytes.len());
        match draws.below(6) {
            0 => bytes.truncate(at),
            1 if at < end => {
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece.repeat(1 + draws.below(40)));
            }
            2 => bytes[at..end].fill(0),
            3 => bytes[at..end].fill(0xFF),
            4 => bytes[at..end].reverse(),
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = draws.below(256) as u8;
                }
            }
        }
    }
    bytes
}

fn files_in(folder: &Path, ending: &[&str]) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .map(|e| e.unwrap().path())
        .filter(|p| p.is_file())
        .filter(|p| ending.is_empty() || ending.iter().any(|e| p.to_string_lossy().ends_with(e)))
        .collect();
    files.sort();
    files
}

/// What a target starts from: its corpus, and what the tests have of its kind anyway.
fn seeds(name: &str) -> Vec<Vec<u8>> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let golden = |ending: &[&str]| files_in(&tests.join("golden"), ending);
    let mut files = files_in(&tests.join("fuzz/corpus").join(name), &[]);
    match name {
        "photo" => files.extend(golden(&[
            "exif_6.jpg",
            "progressive.jpg",
            "grey.png",
            "palette.png",
            "cmyk.jpg",
        ])),
        "pickle" => files.extend(golden(&[".pth", ".pkl"])),
        _ => {}
    }
    let mut seeds: Vec<Vec<u8>> = files.iter().map(|f| std::fs::read(f).unwrap()).collect();
    match name {
        "model" => seeds.push(tiny::model().to_bytes().unwrap()),
        "settings" => {
            let config = runs::Bench::config(&[]).unwrap();
            seeds.push(config.to_toml().unwrap().into_bytes());
        }
        _ => {}
    }
    assert!(!seeds.is_empty(), "{name} has nothing to start from");
    seeds
}

fn replay(name: &str) {
    let &(_, target) = targets::TARGETS.iter().find(|(n, _)| *n == name).unwrap();
    let seeds = seeds(name);
    let mut draws = Draws(0x9E37_79B9_7F4A_7C15);
    for seed in &seeds {
        target(seed);
    }
    for start in STARTS {
        // As they are, cut off anywhere, and before a file of the target's own kind.
        (0..=start.len()).for_each(|end| target(&start[..end]));
        target(&[start, &seeds[0][..]].concat());
    }
    for i in 0..VARIANTS {
        target(&damaged(&seeds[i % seeds.len()], &mut draws));
    }
}

macro_rules! replayed {
    ($($test:ident: $name:literal;)*) => {
        $(#[test]
        fn $test() {
            replay($name);
        })*
    };
}

replayed! {
    damaged_photos_do_not_panic: "photo";
    damaged_model_files_do_not_panic: "model";
    damaged_pickles_do_not_panic: "pickle";
    damaged_listings_do_not_panic: "manifest";
    damaged_corrections_do_not_panic: "corrections";
    damaged_heads_do_not_panic: "head";
    damaged_settings_do_not_panic: "settings";
    damaged_manifests_of_ensembles_do_not_panic: "ensemble";
}

#[test]
fn every_target_is_replayed_and_has_its_program() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/fuzz_targets");
    let programs: Vec<String> = files_in(&folder, &[".rs"])
        .iter()
        .map(|f| f.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    let mut names: Vec<&str> = targets::TARGETS.iter().map(|(n, _)| *n).collect();
    names.sort_unstable();
    assert_eq!(programs, names);
}
