//! PNG files made byte by byte, right and wrong.
#![allow(dead_code)]

/// A chunk with its checksum.
pub fn chunk(name: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut sum = crc32fast::Hasher::new();
    sum.update(name);
    sum.update(data);
    let mut bytes = (data.len() as u32).to_be_bytes().to_vec();
    bytes.extend(name);
    bytes.extend(data);
    bytes.extend(sum.finalize().to_be_bytes());
    bytes
}

/// Compressed as PNG compresses.
pub fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut encoder, bytes).unwrap();
    encoder.finish().unwrap()
}

/// An EXIF block with one tag, the orientation.
pub fn exif(big: bool, kind: u16, count: u32, value: u32) -> Vec<u8> {
    let two = |v: u16| {
        if big {
            v.to_be_bytes()
        } else {
            v.to_le_bytes()
        }
    };
    let four = |v: u32| {
        if big {
            v.to_be_bytes()
        } else {
            v.to_le_bytes()
        }
    };
    let mut block = if big { b"MM".to_vec() } else { b"II".to_vec() };
    block.extend(two(42));
    block.extend(four(8));
    block.extend(two(1));
    block.extend(two(0x0112));
    block.extend(two(kind));
    block.extend(four(count));
    match kind {
        1 | 2 => block.extend([value as u8, 0, 0, 0]),
        3 => {
            block.extend(two(value as u16));
            block.extend([0, 0]);
        }
        _ => block.extend(four(value)),
    }
    block.extend(four(0));
    block
}

pub fn assemble(header: &[u8], rest: &[u8]) -> Vec<u8> {
    let end = chunk(b"IEND", &[]);
    [b"\x89PNG\r\n\x1a\n", header, rest, &end].concat()
}

/// A picture's header and its rows, filtered, as they are compressed.
#[derive(Clone)]
pub struct Picture {
    pub colour: u8,
    pub depth: u8,
    pub height: usize,
    pub width: usize,
    pub interlaced: bool,
    pub rows: Vec<u8>,
}

impl Picture {
    /// Of noise, with every filter in turn.
    pub fn noise(colour: u8, depth: u8, height: usize, width: usize, interlaced: bool) -> Self {
        let samples = [1, 0, 3, 1, 2, 0, 4][usize::from(colour)];
        let passes: &[[usize; 4]] = if interlaced {
            &[
                [0, 0, 8, 8],
                [4, 0, 8, 8],
                [0, 4, 4, 8],
                [2, 0, 4, 4],
                [0, 2, 2, 4],
                [1, 0, 2, 2],
                [0, 1, 1, 2],
            ]
        } else {
            &[[0, 0, 1, 1]]
        };
        let mut draws = 0x9E37_79B9_7F4A_7C15u64;
        let mut rows = Vec::new();
        for [x, y, dx, dy] in passes {
            let width = width.saturating_sub(*x).div_ceil(*dx);
            for row in 0..height.saturating_sub(*y).div_ceil(*dy) {
                if width == 0 {
                    break;
                }
                rows.push((row % 5) as u8);
                for _ in 0..(width * samples * usize::from(depth)).div_ceil(8) {
                    draws ^= draws << 13;
                    draws ^= draws >> 7;
                    draws ^= draws << 17;
                    rows.push((draws >> 32) as u8);
                }
            }
        }
        Self {
            colour,
            depth,
            height,
            width,
            interlaced,
            rows,
        }
    }

    /// Header, and a palette if it needs one.
    pub fn header(&self) -> Vec<u8> {
        let mut header = Vec::new();
        header.extend((self.width as u32).to_be_bytes());
        header.extend((self.height as u32).to_be_bytes());
        header.extend([self.depth, self.colour, 0, 0, u8::from(self.interlaced)]);
        let mut bytes = chunk(b"IHDR", &header);
        if self.colour == 3 {
            let colours: Vec<u8> = (0..3usize << self.depth).map(|i| (i * 7) as u8).collect();
            bytes.extend(chunk(b"PLTE", &colours));
        }
        bytes
    }

    /// With these compressed rows.
    pub fn of(&self, packed: &[u8]) -> Vec<u8> {
        assemble(&self.header(), &chunk(b"IDAT", packed))
    }

    /// With chunks before and behind the pixels.
    pub fn with(&self, before: &[u8], behind: &[u8]) -> Vec<u8> {
        let pixels = chunk(b"IDAT", &zlib(&self.rows));
        assemble(&self.header(), &[before, &pixels, behind].concat())
    }

    pub fn file(&self) -> Vec<u8> {
        self.with(&[], &[])
    }
}
