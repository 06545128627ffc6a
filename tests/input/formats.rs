//! WebP, TIFF, BMP and GIF: read as Pillow reads them, and never in part. `tests/golden/make_formats.py` made the files.

use super::photos_hostile::decode;
use hydranet::input::Photo;
use proptest::prelude::*;
use std::path::{Path, PathBuf};

/// The files and what Pillow reads from each.
fn files() -> Vec<(PathBuf, PathBuf)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/formats");
    let entries = std::fs::read_dir(&folder).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).collect();
    files.retain(|f| f.extension().is_some_and(|end| end != "png"));
    files.sort();
    assert_eq!(files.len(), 22);
    let expected = |file: &PathBuf| {
        let name = file.file_name().unwrap().to_str().unwrap();
        folder.join(name.replace('.', "_") + ".png")
    };
    files
        .into_iter()
        .map(|f| (expected(&f), f))
        .map(|(e, f)| (f, e))
        .collect()
}

fn file(name: &str) -> Vec<u8> {
    let all = files().into_iter();
    let found = all.map(|(f, _)| f).find(|f| f.ends_with(name));
    std::fs::read(found.unwrap()).unwrap()
}

#[test]
fn every_kind_of_file_reads_as_pillow_reads_it() {
    let mut failed = Vec::new();
    for (file, expected) in files() {
        let (photo, expected) = (Photo::open(&file), Photo::open(expected).unwrap());
        match photo {
            Ok(photo) if photo == expected => {}
            Ok(photo) => {
                let off = photo
                    .rgb
                    .iter()
                    .zip(&expected.rgb)
                    .map(|(a, b)| a.abs_diff(*b));
                let size = [photo.height, photo.width];
                failed.push(format!(
                    "{}: {size:?}, off by {:?}",
                    file.display(),
                    off.max()
                ));
            }
            Err(e) => failed.push(format!("{e:#}")),
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn alpha_is_kept_where_it_is_asked_for() {
    let input = hydranet::InputSpec {
        channels: 4,
        ..Default::default()
    };
    for name in ["alpha.webp", "lossy_alpha.webp", "alpha.tif"] {
        let photo = input.decode(&file(name), Path::new(name)).unwrap();
        let alpha = |row: usize, column: usize| photo.rgb[(row * photo.width + column) * 4 + 3];
        assert_eq!(
            [alpha(0, 0), alpha(10, 0), alpha(20, 20)],
            [0, 100, 255],
            "{name}"
        );
    }
}

#[test]
fn a_file_that_was_cut_is_refused_and_never_filled() {
    let mut filled = Vec::new();
    for (path, _) in files() {
        let bytes = std::fs::read(&path).unwrap();
        let whole = decode(&bytes).unwrap();
        for length in 0..bytes.len() {
            // What follows the first picture's pixels may be missing.
            if decode(&bytes[..length]).is_ok_and(|photo| photo != whole) {
                filled.push(format!("{} at {length} of {}", path.display(), bytes.len()));
                break;
            }
        }
    }
    assert!(filled.is_empty(), "{filled:#?}");
}

#[test]
fn a_raw_picture_of_a_camera_is_no_photo() {
    let plain = file("plain.tiff");
    assert!(decode(&plain).is_ok());
    // Of the first directory one entry becomes the mark of a smaller copy: the tag of compression's, which is not needed.
    let directory = u32::from_le_bytes(plain[4..8].try_into().unwrap()) as usize;
    let entries = usize::from(u16::from_le_bytes([plain[directory], plain[directory + 1]]));
    let compression = (0..entries)
        .map(|i| directory + 2 + 12 * i)
        .find(|at| plain[*at..*at + 2] == [0x03, 0x01])
        .unwrap();
    let mut small = plain.clone();
    small[compression..compression + 2].copy_from_slice(&[0xFE, 0]);
    let mut canon = plain;
    canon[8..10].copy_from_slice(b"CR");
    for bytes in [small, canon] {
        let reason = decode(&bytes).unwrap_err();
        assert!(
            reason.contains("a camera's raw picture; convert"),
            "{reason}"
        );
    }
}

#[test]
fn sizes_that_a_header_claims_are_refused_before_anything_is_kept() {
    let mut bmp = file("plain.bmp");
    bmp[18..26].copy_from_slice(&[0x30, 0x75, 0, 0, 0x30, 0x75, 0, 0]);
    let mut gif = file("plain.gif");
    gif[6..10].copy_from_slice(&[0x00, 0x80, 0x00, 0x80]);
    let mut small = file("plain.gif");
    small[6..10].copy_from_slice(&[7, 0, 7, 0]);
    for (bytes, word) in [
        (bmp, "30000×30000 pixels (height × width); at most 16384"),
        (gif, "32768×32768 pixels"),
        (small, "at least 8×8 is needed"),
    ] {
        let reason = decode(&bytes).unwrap_err();
        assert!(reason.contains(word), "{reason}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn damage_gives_an_error_or_a_photo_of_the_size_that_the_header_says(
        which in 0usize..22, at in any::<prop::sample::Index>(), more in any::<[(prop::sample::Index, u8); 3]>(), byte in any::<u8>(),
    ) {
        let mut bytes = std::fs::read(&files()[which].0).unwrap();
        let place = at.index(bytes.len());
        bytes[place] = byte;
        // Headers are where damage does most.
        for (at, byte) in more {
            let place = at.index(bytes.len().min(64));
            if byte.is_multiple_of(3) {
                bytes[place] = byte;
            }
        }
        match decode(&bytes) {
            Ok(photo) => prop_assert_eq!(photo.rgb.len(), photo.height * photo.width * 3),
            Err(reason) => prop_assert!(!reason.contains("panicked"), "{}", reason),
        }
    }
}
