//! What a file is that is no photo, told by its content, and what to do about it.

/// What the content is, with what to do, for messages; none if nothing is known of it.
pub(super) fn of(bytes: &[u8]) -> Option<&'static str> {
    let starts = |with: &[u8]| bytes.starts_with(with);
    let at = |i: usize, what: &[u8]| bytes.get(i..).is_some_and(|b| b.starts_with(what));
    let text = bytes.trim_ascii_start();
    let tag = |with: &[u8]| {
        text.get(..with.len())
            .is_some_and(|t| t.eq_ignore_ascii_case(with))
    };
    Some(if starts(b"GIF8") {
        "a GIF; convert it to PNG"
    } else if starts(b"RIFF") && at(8, b"WEBP") {
        "a WebP picture; convert it to PNG or JPEG"
    } else if at(4, b"ftyp") && [&b"avif"[..], b"avis"].iter().any(|b| at(8, b)) {
        "an AVIF picture; convert it to PNG or JPEG"
    } else if at(4, b"ftyp")
        && [&b"hei"[..], b"hev", b"mif1", b"msf1"]
            .iter()
            .any(|b| at(8, b))
    {
        "a HEIC picture, as telephones save them; convert it to JPEG"
    } else if at(4, b"ftyp") {
        "a video; take single pictures from it"
    } else if starts(b"II*\0") || starts(b"MM\0*") || starts(b"II+\0") || starts(b"MM\0+") {
        "a TIFF or a camera's raw picture; convert it to PNG or JPEG"
    } else if starts(b"\0\0\0\x0CJXL ") || starts(&[0xFF, 0x0A]) {
        "a JPEG XL picture; convert it to PNG or JPEG"
    } else if starts(b"\0\0\0\x0CjP  ") || starts(&[0xFF, 0x4F, 0xFF, 0x51]) {
        "a JPEG 2000 picture; convert it to PNG or JPEG"
    } else if starts(b"BM") && at(6, &[0; 4]) {
        "a BMP; convert it to PNG"
    } else if starts(b"8BPS") {
        "a Photoshop document; save it as PNG or JPEG"
    } else if starts(&[0, 0, 1, 0]) {
        "an icon (ICO); convert it to PNG"
    } else if starts(b"%PDF") {
        "a PDF document; save its pictures as PNG or JPEG"
    } else if starts(b"PK\x03\x04") {
        "a ZIP archive; unpack it"
    } else if starts(&[0x1F, 0x8B]) {
        "a gzip archive; unpack it"
    } else if starts(b"version https://git-lfs") {
        "a Git LFS pointer, not the photo itself; fetch the photo with `git lfs pull`"
    } else if tag(b"<!doctype html") || tag(b"<html") || tag(b"<head") {
        "an HTML page, as a download that failed leaves behind; fetch the photo again"
    } else if tag(b"<svg") || (tag(b"<?xml") && contains(bytes, b"<svg")) {
        "an SVG drawing; convert it to PNG"
    } else if tag(b"<?xml") {
        "an XML document, as a download that failed leaves behind; fetch the photo again"
    } else if !bytes.is_empty() && bytes.iter().all(|b| *b == 0) {
        "nothing but zeros, as a copy that was cut off leaves behind; fetch the photo again"
    } else if is_text(bytes) {
        "text, not a picture"
    } else {
        return None;
    })
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    let start = &bytes[..bytes.len().min(1024)];
    start.windows(part.len()).any(|w| w == part)
}

fn is_text(bytes: &[u8]) -> bool {
    let start = &bytes[..bytes.len().min(512)];
    let printable = |b: &u8| matches!(*b, b'\t' | b'\n' | b'\r' | 0x20..=0x7E | 0x80..);
    // A letter of several bytes may be cut by the end.
    let whole = std::str::from_utf8(start).map_or_else(|e| e.error_len().is_none(), |_| true);
    !start.is_empty() && whole && start.iter().all(printable)
}
