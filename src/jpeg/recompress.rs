//! What is left of a picture that is written as a JPEG and read again: the loss without the file.

use crate::Error;
use crate::colour::{Space, convert};
use crate::frame::{Component, Frame};
use crate::planes::Plane;
use crate::upsample::Lines;

/// The tables of T.81, K.1, for brightness and for colour, row by row.
#[rustfmt::skip]
const TABLES: [[u16; 64]; 2] = [
    [
        16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62,
        18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
    ],
    [
        17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99, 99, 99, 99,
        99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
    ],
];

/// Makes of a picture of 1 (grey) or 3 channels (red, green, blue) what a JPEG of this quality, from 1 to 100, would keep of it: as
/// libjpeg-turbo writes it with its default settings (colour of half the size, standard tables, the accurate integer DCT), and
/// [`decode`](crate::decode) reads it.
///
/// # Errors
///
/// If it has other channels, or memory is not there.
pub fn recompress(
    pixels: &mut [u8],
    width: usize,
    height: usize,
    quality: u8,
) -> Result<(), Error> {
    let channels = pixels.len() / (width * height).max(1);
    if width == 0 || height == 0 || pixels.len() != width * height * channels {
        return Err(Error::Unsupported(format!(
            "{} bytes as a picture of {width} x {height}",
            pixels.len()
        )));
    }
    let space = match channels {
        1 => Space::Grey,
        3 => Space::Ycc,
        _ => {
            return Err(Error::Unsupported(format!(
                "a picture of {channels} channels"
            )));
        }
    };
    let halves = if channels == 3 { 2 } else { 1 };
    let frame = frame(width, height, channels, halves);
    let mut lines = Vec::with_capacity(channels);
    for (i, component) in frame.components.iter().enumerate() {
        let samples = match (space, i) {
            (Space::Grey, _) => whole(component, |y, x| pixels[y * width + x]),
            (_, 0) => whole(component, |y, x| luma(&pixels[3 * (y * width + x)..])),
            _ => halved(component, [width, height], |place| {
                chroma(&pixels[3 * place..], i)
            }),
        };
        let steps = TABLES[usize::from(i > 0)].map(|step| scaled(step, quality));
        let mut plane = Plane::whole(component)?;
        for row in 0..component.blocks_down {
            for column in 0..component.blocks_across {
                let block = block(&samples, component, row, column);
                let (coefficients, seen) = quantised(&transformed(&block), &steps);
                let at = plane.at(row, column);
                plane.write(&coefficients, seen, at);
            }
        }
        lines.push(Lines::new(plane, component, &frame));
    }
    for (y, out) in pixels.chunks_exact_mut(width * channels).enumerate() {
        let of_line: Vec<&[u8]> = lines.iter_mut().map(|l| l.line(y)).collect();
        convert(space, &of_line, out);
    }
    Ok(())
}

fn frame(width: usize, height: usize, channels: usize, halves: usize) -> Frame {
    let unit = 8 * halves;
    let (units_across, units_down) = (width.div_ceil(unit), height.div_ceil(unit));
    let component = |i: usize| {
        let (parts, of) = if i == 0 { (halves, 1) } else { (1, halves) };
        let (width, height) = (width.div_ceil(of), height.div_ceil(of));
        Component {
            id: i as u8,
            h: parts,
            v: parts,
            table: usize::from(i > 0),
            size: 8,
            width,
            height,
            blocks_across: width.div_ceil(8),
            blocks_down: height.div_ceil(8),
            padded_across: units_across * parts,
            padded_down: units_down * parts,
        }
    };
    Frame {
        progressive: false,
        block: 8,
        width,
        height,
        components: (0..channels).map(component).collect(),
        max_h: halves,
        max_v: halves,
        units_across,
        units_down,
    }
}

/// A step of a table at a quality, as libjpeg's `jpeg_set_quality` scales it.
fn scaled(step: u16, quality: u8) -> i32 {
    let quality = i32::from(quality.clamp(1, 100));
    let percent = if quality < 50 {
        5000 / quality
    } else {
        200 - 2 * quality
    };
    ((i32::from(step) * percent + 50) / 100).clamp(1, 255)
}

/// BT.601 in sixteen bits, as `jccolor`.
fn luma(pixel: &[u8]) -> u8 {
    let [r, g, b] = [pixel[0], pixel[1], pixel[2]].map(i32::from);
    ((19_595 * r + 38_470 * g + 7_471 * b + 32_768) >> 16) as u8
}

/// The difference of blue (1) or of red (2) to the luma.
fn chroma(pixel: &[u8], which: usize) -> i32 {
    let [r, g, b] = [pixel[0], pixel[1], pixel[2]].map(i32::from);
    let sum = match which {
        1 => -11_059 * r - 21_709 * g + 32_768 * b,
        _ => 32_768 * r - 27_439 * g - 5_329 * b,
    };
    (sum + (128 << 16) + 32_767) >> 16
}

/// Samples of the picture's size, in lines of whole blocks: the last one of a line goes on.
fn whole(component: &Component, sample: impl Fn(usize, usize) -> u8) -> Vec<u8> {
    let across = 8 * component.blocks_across;
    let lines = 0..component.height;
    let line = |y| (0..across).map(move |x| (y, x.min(component.width - 1)));
    lines.flat_map(line).map(|(y, x)| sample(y, x)).collect()
}

/// The same of half the size, each sample the mean of four, rounded down and up in turn; columns of the picture behind its last
/// one, and a line behind it, are the last once more.
fn halved(
    component: &Component,
    [width, height]: [usize; 2],
    sample: impl Fn(usize) -> i32,
) -> Vec<u8> {
    let at = |y: usize, x: usize| sample(y.min(height - 1) * width + x.min(width - 1));
    let mut samples = Vec::with_capacity(8 * component.blocks_across * component.height);
    for y in 0..component.height {
        for x in 0..8 * component.blocks_across {
            let above = at(2 * y, 2 * x) + at(2 * y, 2 * x + 1);
            let below = at(2 * y + 1, 2 * x) + at(2 * y + 1, 2 * x + 1);
            samples.push(((above + below + 1 + (x & 1) as i32) >> 2) as u8);
        }
    }
    samples
}

/// The samples of a block less 128; the last line goes on.
fn block(samples: &[u8], component: &Component, row: usize, column: usize) -> [i32; 64] {
    let across = 8 * component.blocks_across;
    std::array::from_fn(|i| {
        let y = (8 * row + i / 8).min(component.height - 1);
        i32::from(samples[y * across + 8 * column + i % 8]) - 128
    })
}

/// The forward transform, eight times its values, as libjpeg's `jfdctint` computes it: Loeffler, Ligtenberg and Moschytz's scheme
/// in integers, factors of 13 bits, two more bits between the passes.
fn transformed(block: &[i32; 64]) -> [i32; 64] {
    let mut rows = [0; 64];
    for r in 0..8 {
        let values = pass::<true>(std::array::from_fn(|i| block[8 * r + i]));
        rows[8 * r..8 * r + 8].copy_from_slice(&values);
    }
    let mut out = [0; 64];
    for c in 0..8 {
        let values = pass::<false>(std::array::from_fn(|i| rows[8 * i + c]));
        for (i, value) in values.into_iter().enumerate() {
            out[8 * i + c] = value;
        }
    }
    out
}

/// One pass over eight values; the first keeps two more bits, the second gives them up.
fn pass<const FIRST: bool>(x: [i32; 8]) -> [i32; 8] {
    let rounded = |v: i32, bits: u32| (v + (1 << (bits - 1))) >> bits;
    let odd_bits = if FIRST { 11 } else { 15 };
    let whole = |v: i32| if FIRST { v << 2 } else { rounded(v, 2) };
    let sum: [i32; 4] = std::array::from_fn(|i| x[i] + x[7 - i]);
    let difference: [i32; 4] = std::array::from_fn(|i| x[i] - x[7 - i]);
    let (t10, t13) = (sum[0] + sum[3], sum[0] - sum[3]);
    let (t11, t12) = (sum[1] + sum[2], sum[1] - sum[2]);
    let z1 = (t12 + t13) * 4433;
    let [t7, t6, t5, t4] = difference;
    let z5 = (t4 + t6 + t5 + t7) * 9633;
    let (a, b) = ((t4 + t7) * -7373, (t5 + t6) * -20_995);
    let (c, d) = ((t4 + t6) * -16_069 + z5, (t5 + t7) * -3196 + z5);
    [
        whole(t10 + t11),
        rounded(t7 * 12_299 + a + d, odd_bits),
        rounded(z1 + t13 * 6270, odd_bits),
        rounded(t6 * 25_172 + b + c, odd_bits),
        whole(t10 - t11),
        rounded(t5 * 16_819 + b + d, odd_bits),
        rounded(z1 - t12 * 15_137, odd_bits),
        rounded(t4 * 2446 + a + c, odd_bits),
    ]
}

/// Coefficients as they come back from a file, and the places of those that are not 0.
fn quantised(transformed: &[i32; 64], steps: &[i32; 64]) -> ([i16; 64], u8) {
    let mut seen = 0;
    let coefficients = std::array::from_fn(|i| {
        let (value, step) = (transformed[i], 8 * steps[i]);
        let level = (value.abs() + step / 2) / step * value.signum();
        if level != 0 {
            seen |= i as u8;
        }
        (level * steps[i]) as i16
    });
    (coefficients, seen)
}
