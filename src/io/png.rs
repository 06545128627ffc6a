//! Pixels as a PNG (W3C, "Portable Network Graphics"), without filters: for pictures that a program drew.

use fdeflate::compress_to_vec;

/// A picture of red, green and blue pixels, rows from the top, `[height, width]`.
pub(crate) fn png(rgb: &[u8], [height, width]: [usize; 2]) -> Vec<u8> {
    let mut rows = Vec::with_capacity(rgb.len() + height);
    for row in rgb.chunks_exact(3 * width.max(1)) {
        rows.push(0);
        rows.extend_from_slice(row);
    }
    let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut header = Vec::new();
    for side in [width, height] {
        header.extend((side as u32).to_be_bytes());
    }
    // Eight bits a value, three values a pixel, and the only ways there are to compress, to filter and to interlace.
    header.extend([8, 2, 0, 0, 0]);
    for (kind, body) in [
        (b"IHDR", header),
        (b"IDAT", compress_to_vec(&rows)),
        (b"IEND", Vec::new()),
    ] {
        out.extend((body.len() as u32).to_be_bytes());
        let start = out.len();
        out.extend_from_slice(kind);
        out.extend_from_slice(&body);
        let sum = crc32fast::hash(&out[start..]);
        out.extend(sum.to_be_bytes());
    }
    out
}

#[cfg(all(test, feature = "cli"))]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_read_again_by_another_reader() {
        for size in [[1, 1], [3, 7], [70, 41]] {
            let rgb: Vec<u8> = (0..size[0] * size[1] * 3)
                .map(|i| (i * 37 % 251) as u8)
                .collect();
            let read = image::load_from_memory(&png(&rgb, size))
                .unwrap()
                .into_rgb8();
            assert_eq!(
                (read.height() as usize, read.width() as usize),
                (size[0], size[1])
            );
            assert_eq!(read.into_raw(), rgb);
        }
    }
}
