//! No picture with missing or damaged data is accepted, and nothing makes the decoder panic.

mod files;

use files::{Checked, Numbers, all, data};
use hydranet_jpeg::{Reduction, decode, decode_reduced, read_header};

/// Why a file is refused, or "".
fn refusal(bytes: &[u8]) -> String {
    decode(bytes).err().map_or(String::new(), |e| e.to_string())
}

#[test]
fn a_jpeg_cut_anywhere_is_refused_with_an_end_marker_or_without() -> Checked {
    for file in all()? {
        let start = data(&file.bytes)?;
        // Fill bytes before the end marker are no data.
        if file.name == "fill_bytes" {
            continue;
        }
        for end in (0..file.bytes.len() - 2).filter(|i| i % 5 == 0 || i + 9 > file.bytes.len()) {
            let mut bytes = file.bytes[..end].to_vec();
            assert!(decode(&bytes).is_err(), "{} cut at {end}", file.name);
            bytes.extend([0xFF, 0xD9]);
            let refusal = refusal(&bytes);
            assert!(
                !refusal.is_empty(),
                "{} cut at {end} with an end marker",
                file.name
            );
            if end > start && !file.name.contains("progressive") && !file.name.contains("scans") {
                assert!(
                    refusal.contains("truncated") || file.bytes[end - 1] == 0xFF,
                    "{}: {refusal}",
                    file.name
                );
            }
        }
    }
    Ok(())
}

#[test]
fn a_jpeg_that_is_cut_says_in_which_row() -> Checked {
    let file = files::one("420_97x61_90")?;
    let start = data(&file)?;
    let half = &file[..start + (file.len() - start) / 2];
    let words = refusal(&[half, &[0xFF, 0xD9]].concat());
    assert_eq!(words, "the JPEG is truncated: its data end in row 33 of 61");
    assert_eq!(
        refusal(half),
        "the JPEG is truncated: the file ends in row 33 of 61"
    );
    Ok(())
}

#[test]
fn a_jpeg_with_an_erased_stretch_is_refused() -> Checked {
    let (mut tried, mut numbers) = (0, Numbers(11));
    for file in all()? {
        let start = data(&file.bytes)?;
        for erased in [100, 200, 400] {
            for _ in 0..20 {
                let Some(room) = (file.bytes.len() - 2).checked_sub(start + erased) else {
                    continue;
                };
                let mut bytes = file.bytes.clone();
                let at = start + numbers.below(room);
                bytes[at..at + erased].fill(0);
                assert!(
                    decode(&bytes).is_err(),
                    "{} without {erased} bytes from {at} on",
                    file.name
                );
                tried += 1;
            }
        }
    }
    assert!(tried > 1000, "{tried}");
    Ok(())
}

#[test]
fn flat_pictures_of_zero_bytes_are_no_damage() -> Checked {
    // Made by a coder whose codes for "no difference" and "end of block" are single zero bits: 512 x 512 pixels in 1024 zero
    // bytes.
    let mut bytes = vec![0xFF, 0xD8, 0xFF, 0xDB, 0, 67, 0];
    bytes.extend([1; 64]);
    bytes.extend([0xFF, 0xC0, 0, 11, 8, 2, 0, 2, 0, 1, 1, 0x11, 0]);
    for class in [0x00, 0x10] {
        bytes.extend([
            0xFF, 0xC4, 0, 20, class, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        ]);
    }
    bytes.extend([0xFF, 0xDA, 0, 8, 1, 1, 0, 0, 63, 0]);
    bytes.extend(vec![0; 1024]);
    bytes.extend([0xFF, 0xD9]);
    let picture = decode(&bytes)?;
    assert!(picture.data.len() == 512 * 512 && picture.data.iter().all(|&v| v == 128));
    // A few bytes more are none either, but many and one less are.
    let end = bytes.len() - 2;
    bytes.splice(end..end, [0; 17]);
    assert!(
        refusal(&bytes).contains("17 bytes are left over"),
        "{}",
        refusal(&bytes)
    );
    bytes.remove(end);
    assert!(decode(&bytes)? == picture);
    bytes.drain(end - 1..end + 16);
    assert_eq!(
        refusal(&bytes),
        "the JPEG is truncated: its data end in row 505 of 512"
    );
    Ok(())
}

#[test]
fn a_progressive_jpeg_without_its_last_scans_is_refused() -> Checked {
    let file = files::one("420_progressive")?;
    let scans: Vec<usize> = (0..file.len() - 1)
        .filter(|&i| file[i..i + 2] == [0xFF, 0xDA])
        .collect();
    assert!(scans.len() > 5);
    for &at in &scans[1..] {
        let words = refusal(&[&file[..at], &[0xFF, 0xD9]].concat());
        assert!(
            words.starts_with("the JPEG is truncated: the last scans are missing"),
            "{words}"
        );
    }
    Ok(())
}

#[test]
fn restart_markers_must_come_in_their_order() -> Checked {
    for file in all()?.into_iter().filter(|f| f.name.contains("restarts")) {
        let places: Vec<usize> = (0..file.bytes.len() - 1)
            .filter(|&i| file.bytes[i] == 0xFF && file.bytes[i + 1] & 0xF8 == 0xD0)
            .collect();
        assert!(!places.is_empty());
        for at in places {
            let mut bytes = file.bytes.clone();
            bytes[at + 1] ^= 1;
            assert!(
                refusal(&bytes).contains("restart marker"),
                "{}",
                refusal(&bytes)
            );
            bytes.drain(at..at + 2);
            assert!(decode(&bytes).is_err());
        }
    }
    Ok(())
}

#[test]
fn damaged_files_never_make_it_panic_and_are_refused_alike_in_every_size() -> Checked {
    let files = all()?;
    let (mut numbers, mut refused, mut tried) = (Numbers(3), 0, 0);
    for round in 0..100_000 {
        let file = &files[round % files.len()];
        let mut bytes = file.bytes.clone();
        // Half of them in the headers, where more goes wrong.
        let reach = if round % 2 == 0 {
            bytes.len()
        } else {
            data(&file.bytes)?
        };
        for _ in 0..1 + numbers.below(4) {
            let at = numbers.below(reach).min(bytes.len() - 1);
            match numbers.below(6) {
                0 => bytes[at] ^= 1 << numbers.below(8),
                1 => bytes[at] = numbers.below(256) as u8,
                2 => bytes.truncate(at.max(1)),
                3 => bytes.insert(at, numbers.below(256) as u8),
                4 => bytes[at] = 0xFF,
                _ => drop(bytes.drain(at / 2..at / 2 + numbers.below(at / 2 + 1).min(9))),
            }
            if bytes.is_empty() {
                bytes.push(0);
            }
        }
        // A large picture is right to take its time, and is not what is tried here.
        let small =
            read_header(&bytes).is_ok_and(|h| u64::from(h.width) * u64::from(h.height) < 1 << 18);
        tried += 1;
        let why = small.then(|| decode(&bytes).err());
        refused += usize::from(!matches!(why, Some(None)));
        if let Some(why) = why {
            let reduction = Reduction::ALL[round / 2 % 4];
            assert_eq!(
                decode_reduced(&bytes, reduction).err(),
                why,
                "{}",
                file.name
            );
        }
    }
    assert!(refused * 10 > tried * 6, "{refused} of {tried}");
    Ok(())
}

#[test]
fn random_bytes_never_make_it_panic() {
    let mut numbers = Numbers(5);
    for round in 0..20_000 {
        let length = numbers.below(400);
        let mut bytes: Vec<u8> = (0..length).map(|_| numbers.below(256) as u8).collect();
        if round % 2 == 0 {
            bytes.splice(0..0, [0xFF, 0xD8, 0xFF]);
        }
        assert!(decode(&bytes).is_err());
    }
}

#[test]
fn the_last_bits_of_a_progressive_jpeg_are_not_taken_for_a_picture_when_erased() -> Checked {
    let (mut tried, mut alike) = (0, 0);
    for file in all()?
        .into_iter()
        .filter(|f| f.name.contains("progressive"))
    {
        let bytes = &file.bytes;
        let scan = bytes
            .windows(2)
            .rposition(|two| two == [0xFF, 0xDA])
            .ok_or("no scan")?;
        let start = scan + 2 + usize::from(u16::from_be_bytes([bytes[scan + 2], bytes[scan + 3]]));
        for at in (start..bytes.len())
            .step_by(7)
            .take_while(|at| at + 122 < bytes.len())
        {
            let mut bytes = bytes.clone();
            bytes[at..at + 120].fill(0);
            let words = refusal(&bytes);
            assert!(
                !words.is_empty(),
                "{} without 120 bytes from {at} on",
                file.name
            );
            tried += 1;
            alike += usize::from(words.contains("coefficients of one value"));
        }
    }
    assert!(tried > 100 && alike > 50, "{alike} of {tried}");
    Ok(())
}
