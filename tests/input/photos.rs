//! Decoding and preparing photos, good and broken. `tests/golden/photos.py` made the fixtures.

use hydranet::input::{Photo, Region, find_images};
use hydranet::{Error, InputSpec, Interpolation};
use image::{DynamicImage, ImageFormat};
use std::io::Cursor;
use std::path::{Path, PathBuf};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

fn open(name: &str) -> Photo {
    Photo::open(golden(name)).unwrap()
}

fn png(picture: DynamicImage) -> Vec<u8> {
    let mut bytes = Vec::new();
    picture
        .write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png)
        .unwrap();
    bytes
}

fn decode(bytes: &[u8]) -> Result<Photo, Error> {
    Photo::decode(bytes, Path::new("some.jpg"))
}

/// The reason an image was refused.
fn reason(bytes: &[u8]) -> String {
    match decode(bytes) {
        Err(Error::Image { path, reason, .. }) => {
            assert_eq!(path, Path::new("some.jpg"));
            reason
        }
        other => panic!("expected Error::Image, found {other:?}"),
    }
}

fn largest_difference(a: &[u8], b: &[u8]) -> u8 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
}

#[test]
fn resizing_agrees_with_pillow_to_one_level() {
    let source = open("resize_source.png");
    let mut failed = Vec::new();
    for name in ["down", "up", "mixed", "same"] {
        for (kind, interpolation) in [
            ("bilinear", Interpolation::Bilinear),
            ("bicubic", Interpolation::Bicubic),
        ] {
            let expected = open(&format!("resize_{name}_{kind}.png"));
            let spec = InputSpec {
                size: [expected.height, expected.width],
                interpolation,
                ..InputSpec::default()
            };
            let worst = largest_difference(&spec.prepare(&source).unwrap(), &expected.rgb);
            if worst > 1 {
                failed.push(format!("{name} {kind}: {worst} levels"));
            }
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
}

/// `tests/golden/make_crops.py` made the pictures.
#[test]
fn crop_pct_agrees_with_the_evaluation_transform_of_timm_to_one_level() {
    let mut tried = 0;
    let mut failed = Vec::new();
    let source = open("resize_source.png");
    for entry in std::fs::read_dir(golden("")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some(case) = name
            .strip_prefix("crop_")
            .and_then(|n| n.strip_suffix(".png"))
        else {
            continue;
        };
        let (photo, case) = match case.strip_prefix("turned_") {
            Some(case) => (turned(&source), case),
            None => (source.clone(), case),
        };
        let expected = open(&name);
        let mut parts = case.split('_').skip(1);
        let percent: f64 = parts.next().unwrap().parse().unwrap();
        let spec = InputSpec {
            size: [expected.height, expected.width],
            crop_pct: Some(percent / 100.0),
            interpolation: match parts.next().unwrap() {
                "bilinear" => Interpolation::Bilinear,
                _ => Interpolation::Bicubic,
            },
            ..InputSpec::default()
        };
        let worst = largest_difference(&spec.prepare(&photo).unwrap(), &expected.rgb);
        if worst > 1 {
            failed.push(format!("{name}: {worst} levels"));
        }
        tried += 1;
    }
    assert!(failed.is_empty(), "{failed:?}");
    assert_eq!(tried, 14);
}

/// A quarter turn counterclockwise.
fn turned(photo: &Photo) -> Photo {
    let at = |y: usize, x: usize| {
        let pixel = (x * photo.width + photo.width - 1 - y) * 3;
        &photo.rgb[pixel..pixel + 3]
    };
    let (height, width) = (photo.width, photo.height);
    Photo {
        height,
        width,
        rgb: (0..height)
            .flat_map(|y| (0..width).flat_map(move |x| at(y, x)))
            .copied()
            .collect(),
    }
}

#[test]
fn crop_pct_leaves_the_same_middle_to_augmentation_and_is_checked() {
    let spec = |crop_pct| InputSpec {
        size: [32, 32],
        crop_pct,
        ..InputSpec::default()
    };
    // 61 × 47 covers 36: 46 × 36, of which 32 × 32 are 42.4 × 41.8 pixels.
    let region = spec(Some(0.875)).region(61, 47);
    let expected = Region {
        top: 9,
        left: 2,
        height: 42,
        width: 42,
    };
    assert_eq!(region, expected);
    assert_eq!(spec(None).region(61, 47).height, 61);
    for wrong in [0.0, -1.0, 1.1, f64::NAN] {
        let error = format!("{:#}", spec(Some(wrong)).validate().unwrap_err());
        assert!(error.contains("input.crop_pct"), "{error}");
    }
    spec(Some(1.0)).validate().unwrap();
    // Nobody asked: nothing is said of it in files.
    assert!(
        !serde_json::to_string(&spec(None))
            .unwrap()
            .contains("crop_pct")
    );
    let needle = Photo {
        height: 8,
        width: 16_000,
        rgb: vec![0; 8 * 16_000 * 3],
    };
    let error = format!("{:#}", spec(Some(0.01)).prepare(&needle).unwrap_err());
    assert!(error.contains("at most 512 MiB"), "{error}");
}

#[test]
fn every_exif_orientation_is_turned_upright() {
    let upright = open("exif_1.jpg");
    assert_eq!((upright.height, upright.width), (40, 24));
    for orientation in 1..=8 {
        let photo = open(&format!("exif_{orientation}.jpg"));
        assert_eq!(
            (photo.height, photo.width),
            (40, 24),
            "orientation {orientation}"
        );
        for (y, x, colour) in [
            (8, 5, [255, 0, 0]),
            (8, 18, [0, 255, 0]),
            (32, 5, [0, 0, 255]),
            (32, 18, [255, 255, 255]),
        ] {
            let at = (y * 24 + x) * 3;
            let worst = largest_difference(&photo.rgb[at..at + 3], &colour);
            assert!(worst < 12, "orientation {orientation} at {y}, {x}: {worst}");
        }
    }
}

#[test]
fn a_cmyk_jpeg_becomes_the_rgb_that_pillow_gives() {
    let photo = open("cmyk.jpg");
    let worst = largest_difference(&photo.rgb, &open("cmyk_as_rgb.png").rgb);
    assert!(worst <= 3, "{worst} levels");
}

#[test]
fn grey_and_progressive_jpegs_are_read() {
    let grey = open("grey.jpg");
    assert!(grey.rgb.chunks(3).all(|p| p[0] == p[1] && p[1] == p[2]));
    assert_eq!(open("progressive.jpg").rgb.len(), 61 * 47 * 3);
}

#[test]
fn a_palette_png_becomes_the_rgb_that_pillow_gives() {
    assert_eq!(open("palette.png"), open("palette_as_rgb.png"));
}

#[test]
fn sixteen_bit_grey_and_alpha_pngs_become_eight_bit_rgb() {
    let deep = image::ImageBuffer::from_pixel(9, 8, image::Rgb([65_535u16, 32_768, 0]));
    let deep = decode(&png(DynamicImage::ImageRgb16(deep))).unwrap();
    assert_eq!(deep.rgb[..3], [255, 128, 0]);
    let grey = image::ImageBuffer::from_pixel(9, 8, image::Luma([77u8]));
    let grey = decode(&png(DynamicImage::ImageLuma8(grey))).unwrap();
    assert_eq!((grey.height, grey.width), (8, 9));
    assert_eq!(grey.rgb, [77; 8 * 9 * 3]);
    let clear = image::ImageBuffer::from_pixel(9, 8, image::Rgba([1u8, 2, 3, 0]));
    let clear = decode(&png(DynamicImage::ImageRgba8(clear))).unwrap();
    assert_eq!(clear.rgb[..3], [1, 2, 3]);
}

#[test]
fn a_jpeg_truncated_anywhere_is_refused() {
    for name in ["exif_6.jpg", "progressive.jpg", "grey.jpg", "cmyk.jpg"] {
        let whole = std::fs::read(golden(name)).unwrap();
        assert!(decode(&whole).is_ok(), "{name}");
        for kept in 1..whole.len() {
            match decode(&whole[..kept]) {
                Err(Error::Image { .. }) => {}
                other => panic!("{name} cut to {kept} bytes: {other:?}"),
            }
        }
        assert!(reason(&whole[..whole.len() / 2]).contains("truncated"));
        // A download that was cut off and padded with zeros is just as broken.
        let mut padded = whole.clone();
        let half = whole.len() / 2;
        padded[half..].fill(0);
        let reason = reason(&padded);
        assert!(
            ["truncated", "damaged"].iter().any(|w| reason.contains(w)),
            "{name}: {reason}"
        );
    }
}

#[test]
fn a_png_truncated_anywhere_in_its_pixels_is_refused() {
    let whole = std::fs::read(golden("resize_source.png")).unwrap();
    // The last twelve bytes are the end chunk, which holds nothing.
    for kept in 1..whole.len() - 16 {
        assert!(decode(&whole[..kept]).is_err(), "cut to {kept} bytes");
    }
}

#[test]
fn a_picture_of_one_pixel_is_refused_with_its_size() {
    let bytes = png(DynamicImage::new_rgb8(1, 1));
    assert_eq!(
        reason(&bytes),
        "1×1 pixels (height × width); at least 8×8 is needed"
    );
}

#[test]
fn too_wide_a_picture_is_refused_before_it_is_decoded() {
    let mut bytes = png(DynamicImage::new_luma8(20_000, 8));
    assert_eq!(
        reason(&bytes),
        "8×20000 pixels (height × width); at most 16384 a side are allowed"
    );
    // The pixels are not even there: only the header was looked at.
    bytes.truncate(40);
    assert!(reason(&bytes).contains("at most 16384"));
}

#[test]
fn too_large_a_picture_is_refused_before_it_is_decoded() {
    // A JPEG header that claims 16,000 × 16,000 pixels.
    let mut bytes = std::fs::read(golden("exif_1.jpg")).unwrap();
    let frame = bytes.windows(2).position(|w| w == [0xFF, 0xC0]).unwrap();
    bytes[frame + 5..frame + 9].copy_from_slice(&[0x3E, 0x80, 0x3E, 0x80]);
    assert_eq!(
        reason(&bytes),
        "16000×16000 pixels (height × width), 732 MiB decoded; at most 512 MiB are allowed"
    );
}

#[test]
fn what_is_no_photo_is_refused_in_words() {
    assert_eq!(
        reason(b""),
        "a photo (JPEG, PNG, WebP, TIFF, BMP or GIF) is needed, the content is an empty file (0 bytes); was it cut off when it was fetched or copied?"
    );
    assert_eq!(
        reason(b"This is a text file."),
        "a photo (JPEG, PNG, WebP, TIFF, BMP or GIF) is needed, the content is a text that begins with `This is a text file.`"
    );
    let broken = reason(b"GIF89a\x10\0\x10\0");
    let begins = "the GIF is broken, truncated or of an unknown kind: ";
    assert!(broken.starts_with(begins), "{broken}");
    let folder = tempfile::tempdir().unwrap();
    let missing = Photo::open(folder.path().join("no.jpg")).unwrap_err();
    assert!(matches!(missing, Error::Io { action: "read", .. }));
    assert!(missing.to_string().contains("no.jpg"));
    let message = format!("{:#}", Photo::open(folder.path()).unwrap_err());
    assert!(message.ends_with("found a folder"), "{message}");
}

#[test]
fn the_centre_crop_is_taken_where_the_photo_is_larger() {
    let spec = InputSpec {
        size: [4, 4],
        crop: Some([4, 4]),
        ..InputSpec::default()
    };
    let region = |top, left, height, width| Region {
        top,
        left,
        height,
        width,
    };
    assert_eq!(spec.region(8, 9), region(2, 2, 4, 4));
    assert_eq!(spec.region(3, 9), region(0, 2, 3, 4));
    let rgb = (0..8 * 9 * 3).map(|i| i as u8).collect::<Vec<u8>>();
    let photo = Photo {
        height: 8,
        width: 9,
        rgb: rgb.clone(),
    };
    let expected: Vec<u8> = (2..6)
        .flat_map(|y| rgb[(y * 9 + 2) * 3..(y * 9 + 6) * 3].to_vec())
        .collect();
    assert_eq!(spec.prepare(&photo).unwrap(), expected);
}

#[test]
fn pixels_outside_the_crop_do_not_leak_into_it() {
    let mut photo = open("resize_source.png");
    let spec = InputSpec {
        size: [16, 16],
        crop: Some([41, 31]),
        interpolation: Interpolation::Bicubic,
        ..InputSpec::default()
    };
    let before = spec.prepare(&photo).unwrap();
    let r = spec.region(photo.height, photo.width);
    for y in 0..photo.height {
        for x in 0..photo.width {
            let inside =
                (r.top..r.top + r.height).contains(&y) && (r.left..r.left + r.width).contains(&x);
            if !inside {
                let at = (y * photo.width + x) * 3;
                photo.rgb[at..at + 3].fill(0);
            }
        }
    }
    assert_eq!(spec.prepare(&photo).unwrap(), before);
}

#[test]
fn normalising_makes_planes_of_x_minus_mean_over_std() {
    let spec = InputSpec {
        size: [1, 2],
        mean: [0.5, 0.0, 1.0],
        std: [0.5, 1.0, 0.25],
        ..InputSpec::default()
    };
    let mut out = [0f32; 6];
    spec.normalise_into(&[0, 0, 0, 255, 255, 255], &mut out)
        .unwrap();
    assert_eq!(out, [-1.0, 1.0, 0.0, 1.0, -4.0, 0.0]);
    let wrong = spec.normalise_into(&[0; 5], &mut out);
    assert!(matches!(wrong, Err(Error::Shape { .. })));
}

#[test]
fn a_photo_whose_bytes_do_not_fit_its_size_is_refused() {
    let photo = Photo {
        height: 8,
        width: 8,
        rgb: vec![0; 10],
    };
    let prepared = InputSpec::default().prepare(&photo);
    assert!(matches!(prepared, Err(Error::Shape { .. })));
    let outside = Region {
        left: 40,
        ..open("grey.jpg").region()
    };
    let resized = open("grey.jpg").resize(outside, [8, 8], Interpolation::Bilinear);
    assert!(matches!(resized, Err(Error::Invalid { .. })));
}

#[test]
fn photos_are_found_below_a_folder_in_order() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("b/.hidden")).unwrap();
    for name in [
        "z.JPG",
        "b/a.png",
        "a.jpeg",
        "._a.jpeg",
        "notes.txt",
        "b/.hidden/c.jpg",
    ] {
        std::fs::write(folder.path().join(name), "").unwrap();
    }
    let expected: Vec<PathBuf> = ["a.jpeg", "b/a.png", "z.JPG"]
        .iter()
        .map(|n| folder.path().join(n))
        .collect();
    assert_eq!(find_images(folder.path()).unwrap().images, expected);
    assert!(matches!(
        find_images(folder.path().join("none")),
        Err(Error::Io { action: "list", .. })
    ));
}
