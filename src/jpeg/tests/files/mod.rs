//! The JPEGs beside which Pillow's pixels lie, and ways to change them. See `tests/golden/jpeg.py`.
#![allow(dead_code)]

use std::path::PathBuf;

pub type Checked = Result<(), Box<dyn std::error::Error>>;

pub struct File {
    /// What its sides are divided by.
    pub by: u32,
    pub name: String,
    pub bytes: Vec<u8>,
    pub width: u32,
    pub height: u32,
    pub channels: u8,
    pub pixels: Vec<u8>,
}

pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/jpeg")
}

/// All files, in the order of their names.
pub fn all() -> Result<Vec<File>, Box<dyn std::error::Error>> {
    read("pixels.bin", false)
}

/// All files at a half, a quarter and an eighth of their size. See `tests/golden/make_reduced_jpegs.py`.
pub fn reduced() -> Result<Vec<File>, Box<dyn std::error::Error>> {
    read("reduced.bin", true)
}

fn read(list: &str, reduced: bool) -> Result<Vec<File>, Box<dyn std::error::Error>> {
    let all = std::fs::read(folder().join(list))?;
    let mut rest = all.as_slice();
    let mut take = |n: usize| {
        let (head, tail) = rest.split_at_checked(n).unwrap_or((&[], &[]));
        rest = tail;
        head
    };
    let mut files = Vec::new();
    while let &[length] = take(1) {
        let name = String::from_utf8(take(usize::from(length)).to_vec())?;
        let by = if reduced { u32::from(take(1)[0]) } else { 1 };
        let &[w0, w1, h0, h1, channels] = take(5) else {
            return Err(format!("{list} is cut").into());
        };
        let (width, height) = (u16::from_le_bytes([w0, w1]), u16::from_le_bytes([h0, h1]));
        let pixels =
            take(usize::from(width) * usize::from(height) * usize::from(channels)).to_vec();
        let bytes = std::fs::read(folder().join(format!("{name}.jpg")))?;
        files.push(File {
            by,
            name,
            bytes,
            width: width.into(),
            height: height.into(),
            channels,
            pixels,
        });
    }
    Ok(files)
}

/// The bytes of one file.
pub fn one(name: &str) -> Result<Vec<u8>, std::io::Error> {
    std::fs::read(folder().join(format!("{name}.jpg")))
}

/// Where a marker stands first.
pub fn find(bytes: &[u8], marker: u8) -> Result<usize, String> {
    bytes
        .windows(2)
        .position(|two| two == [0xFF, marker])
        .ok_or(format!("no marker {marker:02X}"))
}

/// Where the coded data of the first scan begin.
pub fn data(bytes: &[u8]) -> Result<usize, String> {
    let at = find(bytes, 0xDA)?;
    Ok(at + 2 + usize::from(u16::from_be_bytes([bytes[at + 2], bytes[at + 3]])))
}

/// A small generator of numbers (xorshift).
pub struct Numbers(pub u64);

impl Numbers {
    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % end.max(1)
    }
}
