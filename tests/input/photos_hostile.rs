//! Photos made to do harm, or broken: what they take is bounded, what is missing is never filled, and what they are is said.

use super::pngs::{Picture, assemble, chunk, exif, zlib};
use crate::common::tiny;
use hydranet::input::photo::budget::MAX_MEMORY;
use hydranet::input::{Photo, find_images};
use hydranet::{Error, Predict as _};
use image::DynamicImage;
use image::metadata::Orientation;
use std::path::{Path, PathBuf};

fn golden(name: &str) -> Vec<u8> {
    std::fs::read(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/golden")
            .join(name),
    )
    .unwrap()
}

pub fn decode(bytes: &[u8]) -> Result<Photo, String> {
    match Photo::decode(bytes, Path::new("some.png")) {
        Ok(photo) => Ok(photo),
        Err(Error::Image { reason, .. }) => Err(reason),
        Err(e) => panic!("expected Error::Image, found {e:?}"),
    }
}

fn refused(bytes: &[u8], word: &str) {
    let reason = decode(bytes).unwrap_err();
    assert!(reason.contains(word), "expected `{word}`: {reason}");
}

/// A JPEG with an EXIF segment behind its first marker.
fn jpeg_with(block: &[u8]) -> Vec<u8> {
    let plain = golden("progressive.jpg");
    let mut bytes = plain[..2].to_vec();
    let length = (2 + 6 + block.len()) as u16;
    bytes.extend([0xFF, 0xE1]);
    bytes.extend(length.to_be_bytes());
    bytes.extend(b"Exif\0\0");
    bytes.extend(block);
    bytes.extend(&plain[2..]);
    bytes
}

/// As the crate `image` turns an upright photo that EXIF says lies otherwise.
fn turned(photo: &Photo, value: u8) -> Photo {
    let (height, width) = (photo.height as u32, photo.width as u32);
    let picture = image::RgbImage::from_raw(width, height, photo.rgb.clone()).unwrap();
    let mut picture = DynamicImage::ImageRgb8(picture);
    picture.apply_orientation(Orientation::from_exif(value).unwrap());
    Photo {
        height: picture.height() as usize,
        width: picture.width() as usize,
        rgb: picture.into_rgb8().into_raw(),
    }
}

#[test]
fn exif_orientation_counts_in_either_byte_order_and_integer_type_wherever_its_block_stands() {
    let picture = Picture::noise(2, 8, 11, 9, false);
    let stored = decode(&picture.file()).unwrap();
    let jpeg = decode(&golden("progressive.jpg")).unwrap();
    for value in 1..=8u8 {
        for big in [false, true] {
            for kind in [1u16, 3, 4] {
                let block = exif(big, kind, 1, u32::from(value));
                let what = format!("{value}, big-endian {big}, type {kind}");
                let eight = chunk(b"eXIf", &block);
                for file in [picture.with(&eight, &[]), picture.with(&[], &eight)] {
                    assert_eq!(decode(&file).unwrap(), turned(&stored, value), "{what}");
                }
                let found = decode(&jpeg_with(&block)).unwrap();
                assert_eq!(found, turned(&jpeg, value), "{what}");
            }
        }
    }
}

#[test]
fn an_orientation_that_means_nothing_is_upright() {
    let stored = decode(&golden("progressive.jpg")).unwrap();
    let six = exif(false, 3, 1, 6);
    let mut blocks = vec![
        exif(false, 3, 1, 0),
        exif(true, 3, 1, 9),
        exif(true, 4, 1, 6 << 16),
        exif(false, 2, 1, 6),
        exif(false, 3, 2, 6),
        exif(false, 12, 1, 6),
        b"II*\0\xFF\xFF\xFF\xFF".to_vec(),
        b"MM\0*\0\0\0\x08\xFF\xFF".to_vec(),
        b"XX*\0\x08\0\0\0".to_vec(),
        Vec::new(),
    ];
    blocks.extend((0..18).map(|kept| six[..kept].to_vec()));
    for block in blocks {
        assert_eq!(decode(&jpeg_with(&block)).unwrap(), stored, "{block:?}");
    }
    // Raw profiles in text chunks are not part of PNG's specification.
    let picture = Picture::noise(2, 8, 11, 9, false);
    let mut text = b"Raw profile type exif\0\0".to_vec();
    let hexadecimal: String = six.iter().map(|b| format!("{b:02x}")).collect();
    text.extend(zlib(
        format!("\nexif\n{:8}\n{hexadecimal}\n", six.len()).as_bytes(),
    ));
    let found = decode(&picture.with(&chunk(b"zTXt", &text), &[])).unwrap();
    assert_eq!(found, decode(&picture.file()).unwrap());
}

#[test]
fn every_kind_of_png_decodes_as_the_crate_image_decodes_it() {
    for (colour, depths) in [
        (0, &[1, 2, 4, 8, 16][..]),
        (2, &[8, 16]),
        (3, &[1, 2, 4, 8]),
        (4, &[8, 16]),
        (6, &[8, 16]),
    ] {
        for &depth in depths {
            for interlaced in [false, true] {
                for (height, width) in [(8, 8), (9, 13), (33, 17)] {
                    let picture = Picture::noise(colour, depth, height, width, interlaced);
                    let file = picture.file();
                    let expected = image::load_from_memory(&file).unwrap().to_rgb8();
                    let what = format!("{colour} {depth} {interlaced} {height}×{width}");
                    let found = decode(&file).expect(&what);
                    assert_eq!((found.height, found.width), (height, width), "{what}");
                    assert!(found.rgb == expected.into_raw(), "{what}");
                }
            }
        }
    }
}

#[test]
fn alpha_of_palettes_and_clear_colours_is_read_where_it_is_asked_for() {
    let spec = hydranet::InputSpec {
        channels: 4,
        ..hydranet::InputSpec::default()
    };
    for (colour, depth, clear) in [
        (3, 8, &[0u8, 50, 100][..]),
        (0, 8, &[0, 7]),
        (0, 4, &[0, 7]),
        (2, 8, &[0, 1, 0, 2, 0, 3]),
        (2, 16, &[0, 1, 0, 2, 0, 3]),
        (6, 8, &[]),
        (4, 16, &[]),
    ] {
        let mut picture = Picture::noise(colour, depth, 9, 9, false);
        if colour == 2 && depth == 8 {
            picture.rows[1..4].copy_from_slice(&[1, 2, 3]);
        }
        let clear = match clear {
            [] => Vec::new(),
            clear => chunk(b"tRNS", clear),
        };
        let file = picture.with(&clear, &[]);
        let expected = image::load_from_memory(&file).unwrap().to_rgba8();
        let found = spec.decode(&file, Path::new("x.png")).unwrap();
        assert!(found.rgb == expected.into_raw(), "{colour} {depth}");
    }
}

#[test]
fn a_png_from_which_anything_is_missing_is_refused() {
    for interlaced in [false, true] {
        let picture = Picture::noise(2, 8, 24, 16, interlaced);
        let whole = picture.file();
        assert!(decode(&whole).is_ok());
        for kept in 0..whole.len() {
            assert!(decode(&whole[..kept]).is_err(), "cut to {kept}");
        }
        // Any damaged byte of header, pixels or end is noticed by the checksums, or by the structure.
        for at in 0..whole.len() {
            for change in [0x01, 0x80, 0xFF] {
                let mut damaged = whole.clone();
                damaged[at] ^= change;
                assert!(decode(&damaged).is_err(), "byte {at} ^ {change:#x}");
            }
        }
        let rows = picture.rows.len();
        let row = 1 + 16 * 3;
        // Rows that are missing, with every checksum right.
        refused(&picture.of(&zlib(&picture.rows[..rows - row])), "missing");
        refused(&picture.of(&zlib(&picture.rows[..rows - 1])), "missing");
        refused(&picture.of(&zlib(&picture.rows[..row])), "missing");
        refused(&picture.of(&zlib(&[])), "missing");
        let mut wrong = zlib(&picture.rows);
        *wrong.last_mut().unwrap() ^= 1;
        refused(&picture.of(&wrong), "checksum of its pixels");
        let packed = zlib(&picture.rows);
        for cut in 1..=4 {
            refused(&picture.of(&packed[..packed.len() - cut]), "end early");
        }
        refused(&whole[..whole.len() - 12], "truncated");
    }
    // Several chunks are one stream, but not with others between.
    let picture = Picture::noise(2, 8, 24, 16, false);
    let packed = zlib(&picture.rows);
    let [front, back] = [&packed[..50], &packed[50..]].map(|p| chunk(b"IDAT", p));
    let empty = chunk(b"IDAT", &[]);
    let file = assemble(&picture.header(), &[&front[..], &empty, &back].concat());
    assert_eq!(decode(&file), decode(&picture.file()));
    let text = chunk(b"tEXt", b"Comment\0x");
    let apart = assemble(&picture.header(), &[&front[..], &text, &back].concat());
    refused(&apart, "several places");
    let own = chunk(b"ABCD", b"");
    refused(&picture.with(&own, &[]), "ABCD");
    // What is not used may be wrong.
    let mut text = chunk(b"tEXt", b"Comment\0x");
    text[9] ^= 1;
    assert!(decode(&picture.with(&text, &[])).is_ok());
}

#[test]
fn what_is_surplus_behind_the_pixels_of_a_png_is_passed_over() {
    for interlaced in [false, true] {
        let picture = Picture::noise(2, 8, 24, 16, interlaced);
        let photo = decode(&picture.file());
        let rows = &picture.rows;
        for surplus in [1, 1 + 16 * 3, rows.len()] {
            let more = [rows, &rows[..surplus]].concat();
            assert_eq!(decode(&picture.of(&zlib(&more))), photo, "{surplus}");
            let mut wrong = zlib(&more);
            *wrong.last_mut().unwrap() ^= 1;
            refused(&picture.of(&wrong), "checksum of its pixels");
        }
        for behind in [&b"\0"[..], b"surplus", &[0; 5000]] {
            let packed = [&zlib(rows), behind].concat();
            assert_eq!(decode(&picture.of(&packed)), photo);
            assert_eq!(decode(&[&picture.file(), behind].concat()), photo);
        }
        // A whole animation packed into one picture, or a bomb.
        refused(&picture.of(&zlib(&rows.repeat(3))), "more than twice");
    }
}

#[test]
fn rare_kinds_of_jpeg_are_named() {
    let whole = golden("exif_1.jpg");
    let frame = whole.windows(2).position(|w| w == [0xFF, 0xC0]).unwrap();
    let with = |at: usize, value: u8| {
        let mut bytes = whole.clone();
        bytes[frame + at] = value;
        bytes
    };
    refused(&with(4, 12), "12-bit");
    for (kind, name) in [
        (0xC3, "lossless"),
        (0xC9, "arithmetic"),
        (0xCA, "arithmetic"),
        (0xC5, "hierarchical"),
    ] {
        refused(&with(1, kind), name);
    }
    refused(&with(9, 2), "components");
}

#[test]
fn files_that_are_no_photo_are_named_with_what_to_do() {
    for (content, name) in [
        (&b"RIFF\x10\0\0\0WEBPVP8 "[..], "WebP"),
        (b"GIF89a", "GIF"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0", "HEIC"),
        (b"\0\0\0\x18ftypavif\0\0\0\0", "AVIF"),
        (b"\0\0\0\x18ftypisom\0\0\0\0", "video"),
        (b"II*\0\x08\0\0\0", "the TIFF is broken"),
        (b"MM\0*\0\0\0\x08", "the TIFF is broken"),
        (b"MM\0+\0\x08\0\0", "TIFF or a camera"),
        (b"BM\x36\0\0\0\0\0\0\0\x36\0", "the BMP is broken"),
        (b"%PDF-1.7\n", "PDF"),
        (b"\n<!DOCTYPE html><html>", "HTML"),
        (b"<HTML><head>", "HTML"),
        (b"<?xml version=\"1.0\"?><Error>", "XML"),
        (b"<svg xmlns=", "SVG"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
            "git lfs pull",
        ),
        (b"path,label\na.jpg,1\n", "text"),
        ("größe".as_bytes(), "text"),
        (&[0; 64], "zeros"),
        (b"PK\x03\x04", "zip archive; unpack"),
        (b"", "empty"),
        (&[1, 2, 3, 4], "the content is no photo (JPEG, PNG,"),
    ] {
        refused(content, name);
    }
}

#[test]
fn what_a_folder_holds_beside_photos_is_counted_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir_all(at("b")).unwrap();
    for name in [
        "z.JFIF",
        "b/a.jpe",
        "a.avif",
        "c.AVIF",
        "notes.txt",
        "README",
        ".hidden.jpg",
    ] {
        std::fs::write(at(name), "").unwrap();
    }
    #[cfg(unix)]
    for (to, name) in [("b", "linked"), ("z.JFIF", "linked.jpg"), ("no", "nowhere")] {
        std::os::unix::fs::symlink(at(to), at(name)).unwrap();
    }
    let found = find_images(folder.path()).unwrap();
    let names: Vec<PathBuf> = ["b/a.jpe", "linked.jpg", "z.JFIF"].map(at).into();
    assert_eq!(found.images, names);
    let passed = found.passed_over.to_string();
    assert_eq!(
        passed,
        format!(
            "1 linked folder ({}), 1 hidden file or folder, 1 broken link or special file ({}), 4 files that are no photo by name (without an extension 1, .avif 2, .txt 1)",
            at("linked").display(),
            at("nowhere").display()
        )
    );
    assert!(find_images(at("b")).unwrap().passed_over.is_empty());
}

#[test]
fn a_missing_photo_is_looked_for_by_similar_names() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir_all(at("Images")).unwrap();
    for name in ["Images/b.jpg", "cafe\u{301}.png", "d.JPG", " e.png"] {
        std::fs::write(at(name), "").unwrap();
    }
    for (asked, there, how) in [
        ("Images/b.jpg ", "b.jpg", "without the space"),
        ("Images\\b.jpg", "b.jpg", "`/` for `\\`"),
        ("images\\B.jpg ", "Images/b.jpg", "capital and small"),
        ("Images/b.jpeg", "b.jpg", "another extension"),
        ("Images/b.png", "b.jpg", "another extension"),
        ("images/b.jpg", "Images/b.jpg", "capital and small"),
        ("caf\u{e9}.png", "cafe\u{301}.png", "Unicode"),
        ("d.jpg", "d.JPG", "capital and small"),
        ("e.png", " e.png", "with a space"),
    ] {
        let message = format!("{:#}", Photo::open(at(asked)).unwrap_err());
        assert!(
            message.contains(&format!("{there}` is there")) && message.contains(how),
            "{asked}: {message}"
        );
    }
    let message = format!("{:#}", Photo::open(at("f.png")).unwrap_err());
    assert!(!message.contains("is there"), "{message}");
}

/// The most memory this process has had, in bytes.
#[cfg(target_os = "linux")]
fn most_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM")).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib << 10
}

/// Opens files on so many threads and says what memory it took.
#[cfg(target_os = "linux")]
#[test]
#[ignore = "run by tests below, in a process of its own"]
fn child_that_opens_photos() {
    let files = std::env::var("HYDRANET_TEST_PHOTOS").expect("what to open");
    let before = most_memory();
    // Long and narrow photos grow when they are resized.
    if std::env::var("HYDRANET_TEST_MODEL").is_ok() {
        let mut model = tiny::model();
        model.description.model.input.size = [224, 224];
        model.description.model.input.crop_pct = Some(0.875);
        let predictor = hydranet::Predictor::new(&model).unwrap();
        let files: Vec<_> = files.split(':').map(|f| Path::new(f).into()).collect();
        for told in predictor.predict_all(&files).unwrap() {
            println!("told {}", told.map(|p| p.name).unwrap());
        }
        println!("took {}", most_memory() - before);
        return;
    }
    std::thread::scope(|scope| {
        for file in files.split(':') {
            scope.spawn(move || {
                let told = match Photo::open(file) {
                    Ok(photo) => format!("{}×{}", photo.height, photo.width),
                    Err(e) => format!("{e:#}"),
                };
                println!("told {told}");
            });
        }
    });
    println!("took {}", most_memory() - before);
}

/// Opens the files at once, each on its own thread of a process of its own; gives what was said of them and the memory it took.
#[cfg(target_os = "linux")]
fn memory_of(files: &[PathBuf], more: &[(&str, &str)]) -> (String, u64) {
    let files: Vec<_> = files.iter().map(|f| f.to_str().unwrap()).collect();
    let out = std::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--ignored",
            "--exact",
            "input::tests::photos_hostile::child_that_opens_photos",
            "--nocapture",
        ])
        .env("HYDRANET_TEST_PHOTOS", files.join(":"))
        .envs(more.iter().copied())
        .output()
        .unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    let took = text.lines().find_map(|l| l.strip_prefix("took "));
    let took = took.unwrap_or_else(|| panic!("{text}")).parse().unwrap();
    (text, took)
}

#[cfg(target_os = "linux")]
#[test]
fn no_photo_takes_more_than_its_pixels_and_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let small = Picture::noise(2, 8, 64, 64, false);
    let bomb = zlib(&vec![0; 200 << 20]);
    let named = |name: &[u8], rest: &[u8]| [name, rest, &bomb[..]].concat();
    let huge_rgba = Picture {
        height: 13_000,
        width: 13_000,
        ..Picture::noise(6, 16, 8, 8, true)
    };
    let mut progressive = golden("progressive.jpg");
    let mut baseline = golden("exif_1.jpg");
    for (bytes, kind) in [(&mut progressive, 0xC2), (&mut baseline, 0xC0)] {
        let frame = bytes.windows(2).position(|w| w == [0xFF, kind]).unwrap();
        bytes[frame + 5..frame + 9].copy_from_slice(&[0x32, 0xC8, 0x32, 0xC8]);
    }
    let claimed = |picture: &Picture, bytes: usize| picture.of(&vec![0x78; bytes]);
    for (name, bytes, most) in [
        (
            "iccp",
            small.with(&chunk(b"iCCP", &named(b"p\0", b"\0")), &[]),
            16,
        ),
        (
            "ztxt",
            small.with(&chunk(b"zTXt", &named(b"t\0", b"\0")), &[]),
            16,
        ),
        (
            "itxt",
            small.with(&chunk(b"iTXt", &named(b"t\0", b"\x01\0\0\0")), &[]),
            16,
        ),
        (
            "exif",
            small.with(&chunk(b"eXIf", &vec![7; 30 << 20]), &[]),
            48,
        ),
        ("rgba", huge_rgba.file(), 16),
        ("rgba claimed", claimed(&huge_rgba, 2 << 20), 16),
        ("progressive", progressive, 16),
        ("baseline", baseline, 16),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let (told, took) = memory_of(&[path], &[]);
        assert!(took < most << 20, "{name}: {took} bytes; {told}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn many_threads_share_one_budget() {
    let folder = tempfile::tempdir().unwrap();
    let files: Vec<PathBuf> = (0..12)
        .map(|i| {
            // 8 bits of grey would be 36 MB a file; a bit is 4.5. As red, green and blue, 108 MB.
            let picture = Picture {
                rows: vec![0; 6_000 * 751],
                height: 6_000,
                width: 6_000,
                ..Picture::noise(0, 1, 8, 8, false)
            };
            // Every second one is turned.
            let turn = chunk(b"eXIf", &exif(false, 3, 1, 1 + 5 * (i % 2)));
            let path = folder.path().join(format!("{i}.png"));
            std::fs::write(&path, picture.with(&turn, &[])).unwrap();
            path
        })
        .collect();
    let (told, took) = memory_of(&files, &[]);
    assert_eq!(told.matches("told 6000×6000").count(), 12, "{told}");
    assert!(took < MAX_MEMORY + (64 << 20), "{took} bytes");
}

#[cfg(target_os = "linux")]
#[test]
fn photos_that_grow_when_they_are_resized_share_the_budget_too() {
    let folder = tempfile::tempdir().unwrap();
    let files: Vec<PathBuf> = (0..4)
        .map(|i| {
            let path = folder.path().join(format!("{i}.png"));
            let narrow = Picture {
                rows: vec![0; 8 * 2_001],
                width: 16_000,
                ..Picture::noise(0, 1, 8, 8, false)
            };
            std::fs::write(&path, narrow.file()).unwrap();
            path
        })
        .collect();
    let four = [("HYDRANET_TEST_MODEL", "1"), ("RAYON_NUM_THREADS", "4")];
    let (told, took) = memory_of(&files, &four);
    assert_eq!(told.matches("told ").count(), 4, "{told}");
    assert!(took < MAX_MEMORY + (256 << 20), "{took} bytes");
}
