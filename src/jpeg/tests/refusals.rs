//! What is not decoded is refused by its name.

mod files;

use files::{Checked, data, find, one};
use hydranet_jpeg::{Error, decode};

fn refusal(bytes: &[u8]) -> String {
    decode(bytes).err().map_or(String::new(), |e| e.to_string())
}

fn contains(bytes: &[u8], words: &str) {
    let refusal = refusal(bytes);
    assert!(
        refusal.contains(words),
        "expected {words:?}, found {refusal:?}"
    );
}

#[test]
fn other_processes_are_refused_by_their_names() -> Checked {
    let file = one("444_97x61_90")?;
    let frame = find(&file, 0xC0)?;
    for (marker, name) in [
        (0xC3, "a lossless JPEG is not supported"),
        (0xC5, "a hierarchical JPEG"),
        (0xC7, "a hierarchical, lossless JPEG"),
        (0xC9, "a JPEG with arithmetic coding"),
        (0xCA, "a JPEG with arithmetic coding"),
        (0xCB, "a lossless JPEG with arithmetic coding"),
        (0xCC, "a JPEG with arithmetic coding"),
        (0xCF, "a hierarchical JPEG with arithmetic coding"),
        (0xDE, "a hierarchical JPEG"),
        (0xDC, "(DNL)"),
    ] {
        let mut bytes = file.clone();
        bytes[frame + 1] = marker;
        contains(&bytes, name);
        assert!(matches!(decode(&bytes), Err(Error::Unsupported(_))));
    }
    Ok(())
}

#[test]
fn frames_that_are_not_decoded_are_refused_by_what_they_are() -> Checked {
    let file = one("420_97x61_90")?;
    let frame = find(&file, 0xC0)?;
    for (at, value, words) in [
        (4, 12, "a 12-bit JPEG is not supported"),
        (4, 16, "16 bits a sample, 8 were expected"),
        (9, 2, "components"),
        (11, 0x02, "the sampling 0 x 2"),
        (11, 0x52, "the sampling 5 x 2"),
        (14, 0x21, "named_below"),
        (12, 4, "the quantisation table 4"),
        (
            12,
            3,
            "the quantisation table 3, which the file does not define",
        ),
        (13, 1, "names component 1 twice"),
    ] {
        let mut bytes = file.clone();
        bytes[frame + at] = value;
        if words == "named_below" {
            // Two of three across.
            bytes[frame + 11] = 0x31;
            contains(&bytes, "a JPEG with fractional sampling (2 x 1 of 3 x 1)");
        } else {
            contains(&bytes, words);
        }
    }
    let mut bytes = file.clone();
    bytes[frame + 5..frame + 7].fill(0);
    contains(
        &bytes,
        "a JPEG that tells its height behind its first scan (DNL)",
    );
    let mut bytes = file;
    bytes[frame + 7..frame + 9].fill(0);
    contains(&bytes, "the width 0");
    Ok(())
}

#[test]
fn tables_that_are_not_there_are_named() -> Checked {
    let file = one("420_optimised")?;
    let scan = find(&file, 0xDA)?;
    for (value, words) in [
        (0x20, "the DC Huffman table 2, which"),
        (0x03, "the AC Huffman table 3, which"),
        (0x40, "0 to 3"),
    ] {
        let mut bytes = file.clone();
        bytes[scan + 6] = value;
        contains(&bytes, words);
    }
    let table = find(&file, 0xDB)?;
    let mut bytes = file;
    bytes[table + 9] = 0;
    contains(&bytes, "has a step of 0");
    Ok(())
}

#[test]
fn what_is_no_jpeg_is_told_from_a_broken_one() -> Checked {
    for bytes in [
        &b""[..],
        b"\xFF",
        b"\x89PNG\r\n\x1A\n",
        b"GIF89a",
        b"<html>",
    ] {
        assert_eq!(decode(bytes), Err(Error::NotJpeg));
    }
    contains(&[0xFF, 0xD8], "truncated: the file ends at byte 2");
    contains(&[0xFF, 0xD8, 0xFF, 0xD9], "no frame header");
    contains(
        &[0xFF, 0xD8, 7],
        "a marker was expected at byte 2, found 07",
    );
    let file = one("grey")?;
    let start = data(&file)?;
    contains(
        &[&file[..start], &[0xFF, 0xD9]].concat(),
        "its data end in row 1 of 29",
    );
    Ok(())
}

#[test]
fn a_scan_that_is_left_out_or_sent_twice_is_missed() -> Checked {
    let file = one("scans_apart")?;
    let scans: Vec<usize> = (0..file.len() - 1)
        .filter(|&i| file[i..i + 2] == [0xFF, 0xDA])
        .collect();
    contains(
        &[&file[..scans[2]], &file[file.len() - 2..]].concat(),
        "component 3 was not sent",
    );
    contains(
        &[&file[..scans[1]], &file[scans[0]..]].concat(),
        "component 1 is sent twice",
    );
    let file = one("420_progressive")?;
    let scans: Vec<usize> = (0..file.len() - 1)
        .filter(|&i| file[i..i + 2] == [0xFF, 0xDA])
        .collect();
    contains(
        &[&file[..scans[1]], &file[scans[0]..]].concat(),
        "out of order",
    );
    Ok(())
}

#[test]
fn bytes_left_over_behind_a_scan_are_damage_but_for_a_few_behind_the_last() -> Checked {
    let surplus: [&[u8]; 5] = [&[0], &[0; 4], &[0xFF], &[0x55], b"\xFF\0\x12\x34"];
    for file in files::all()? {
        let end = file.bytes.len() - 2;
        if file.bytes[end - 1] == 0xFF {
            continue;
        }
        let with = |more: &[u8]| [&file.bytes[..end], more, &file.bytes[end..]].concat();
        for few in surplus {
            assert_eq!(decode(&with(few))?, decode(&file.bytes)?, "{}", file.name);
        }
        contains(&with(&[0x55; 17]), "17 bytes are left over");
        assert!(decode(&with(&[0; 400])).is_err(), "{}", file.name);
    }
    // Before another scan a few are too many, for what follows would be another scan's.
    let file = one("scans_apart")?;
    let mut scans = (0..file.len() - 1).filter(|&i| file[i..i + 2] == [0xFF, 0xDA]);
    let second = scans.nth(1).ok_or("one scan")?;
    contains(
        &[&file[..second], &[0x55], &file[second..]].concat(),
        "1 bytes are left over",
    );
    Ok(())
}

#[test]
fn a_wrong_length_of_other_programs_data_harms_nothing() -> Checked {
    let file = one("444_97x61_90")?;
    let at = find(&file, 0xDB)?;
    for junk in [&b"\0"[..], b"junk \xFF\0 and more"] {
        let bytes = [&file[..at], junk, &file[at..]].concat();
        assert_eq!(decode(&bytes)?, decode(&file)?);
    }
    // Behind a table it may be the table.
    let at = find(&file, 0xC0)?;
    contains(
        &[&file[..at], &[7], &file[at..]].concat(),
        "a marker was expected",
    );
    Ok(())
}
