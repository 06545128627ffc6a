//! The pixels are those of libjpeg-turbo.

mod files;

use files::Checked;
use hydranet_jpeg::{Reduction, decode, decode_reduced, memory, read_header};

#[test]
fn every_jpeg_has_the_pixels_of_libjpeg_turbo() -> Checked {
    let files = files::all()?;
    assert!(files.len() > 50);
    for file in files {
        let picture = decode(&file.bytes).map_err(|e| format!("{}: {e}", file.name))?;
        assert_eq!(
            (picture.width, picture.height),
            (file.width, file.height),
            "{}",
            file.name
        );
        assert_eq!(picture.channels, file.channels, "{}", file.name);
        let other = picture
            .data
            .iter()
            .zip(&file.pixels)
            .filter(|(a, b)| a != b)
            .count();
        assert!(
            picture.data == file.pixels,
            "{}: {other} of {} bytes differ",
            file.name,
            file.pixels.len()
        );
    }
    Ok(())
}

#[test]
fn every_jpeg_at_a_fraction_of_its_size_has_the_pixels_of_pillows_draft_mode() -> Checked {
    let files = files::reduced()?;
    assert!(files.len() > 150);
    for file in files {
        let name = format!("{} / {}", file.name, file.by);
        let reduction = Reduction::ALL.into_iter().find(|r| r.by() == file.by);
        let picture = decode_reduced(&file.bytes, reduction.ok_or("a divisor")?)
            .map_err(|e| format!("{name}: {e}"))?;
        let sides = [picture.width, picture.height];
        assert_eq!(sides, [file.width, file.height], "{name}");
        assert_eq!(picture.channels, file.channels, "{name}");
        let pairs = picture.data.iter().zip(&file.pixels);
        let most = pairs.map(|(a, b)| a.abs_diff(*b)).max();
        assert!(picture.data == file.pixels, "{name}: {most:?} levels apart");
    }
    Ok(())
}

#[test]
fn a_smaller_picture_takes_less_memory_and_never_more_than_it_says() -> Checked {
    for file in files::all()? {
        let header = read_header(&file.bytes)?;
        let mut before = u64::MAX;
        for reduction in Reduction::ALL {
            let (needed, picture) = (
                memory(&header, reduction),
                decode_reduced(&file.bytes, reduction)?,
            );
            let size = [file.width, file.height].map(|side| reduction.side(side));
            assert_eq!([picture.width, picture.height], size, "{}", file.name);
            assert!(
                needed <= before && needed > picture.data.len() as u64,
                "{}",
                file.name
            );
            before = needed;
        }
    }
    Ok(())
}

#[test]
fn the_header_tells_what_decoding_gives() -> Checked {
    for file in files::all()? {
        let header = read_header(&file.bytes)?;
        assert_eq!(
            (header.width, header.height),
            (file.width, file.height),
            "{}",
            file.name
        );
        let four = ["cmyk", "ycck", "four_"]
            .iter()
            .any(|name| file.name.starts_with(name));
        assert_eq!(
            header.components,
            if four { 4 } else { file.channels },
            "{}",
            file.name
        );
        assert_eq!(
            header.progressive,
            file.name.contains("progressive"),
            "{}",
            file.name
        );
        assert!(memory(&header, Reduction::Whole) >= file.pixels.len() as u64 * 4 / 3);
    }
    Ok(())
}

#[test]
fn the_first_exif_block_is_given() -> Checked {
    let bytes = files::one("exif")?;
    assert!(
        read_header(&bytes)?
            .exif
            .is_some_and(|exif| exif.starts_with(b"II*\0"))
    );
    assert_eq!(read_header(&files::one("grey")?)?.exif, None);
    Ok(())
}

#[test]
fn what_follows_the_end_is_not_looked_at() -> Checked {
    for file in files::all()? {
        let mut bytes = file.bytes.clone();
        bytes.extend([0, 1, 0xFF, 0xD8, 0xFF, 0xC3, 9]);
        assert_eq!(decode(&bytes)?, decode(&file.bytes)?);
    }
    Ok(())
}

#[test]
fn a_header_of_a_large_picture_takes_no_memory_and_the_picture_is_refused_before_it_does() -> Checked
{
    for name in ["444_97x61_90", "420_progressive"] {
        let mut bytes = files::one(name)?;
        let frame = files::find(
            &bytes,
            if name.contains("progressive") {
                0xC2
            } else {
                0xC0
            },
        )?;
        bytes[frame + 5..frame + 9].copy_from_slice(&[0xFF, 0xFF, 0xFF, 0xFF]);
        let header = read_header(&bytes)?;
        assert_eq!((header.width, header.height), (65535, 65535));
        assert!(memory(&header, Reduction::Whole) > 8 << 30);
        for reduction in Reduction::ALL {
            let error = decode_reduced(&bytes, reduction).map_err(|e| e.to_string());
            assert!(error.is_err_and(|e| e.contains("cannot hold its 65535 x 65535 pixels")));
        }
    }
    Ok(())
}
