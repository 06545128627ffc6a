//! The rows of a PNG as red, green, blue and alpha.

use super::canvas::Canvas;

/// How pixels are stored.
pub(super) struct Pixels<'a> {
    colour: u8,
    /// Bits of a sample.
    depth: usize,
    /// Samples of a pixel.
    samples: usize,
    /// Red, green and blue of each index.
    pub(super) palette: &'a [u8],
    /// Alpha of each index, or the one colour that is clear.
    pub(super) clear: &'a [u8],
}

impl Pixels<'_> {
    pub(super) fn new(colour: u8, depth: u8) -> Result<Self, String> {
        let (samples, depths): (_, &[u8]) = match colour {
            0 => (1, &[1, 2, 4, 8, 16]),
            2 => (3, &[8, 16]),
            3 => (1, &[1, 2, 4, 8]),
            4 => (2, &[8, 16]),
            6 => (4, &[8, 16]),
            _ => (0, &[]),
        };
        if !depths.contains(&depth) {
            return Err(format!(
                "the PNG is broken: its header says colour type {colour} with {depth} bits a sample, which does not exist"
            ));
        }
        Ok(Self {
            colour,
            depth: usize::from(depth),
            samples,
            palette: &[],
            clear: &[],
        })
    }

    pub(super) fn check(&self) -> Result<(), String> {
        let colours = self.palette.len();
        if self.colour == 3 && (colours == 0 || !colours.is_multiple_of(3) || colours > 768) {
            return Err(format!(
                "the PNG is broken: a palette (PLTE) of 3 to 768 bytes, 3 a colour, is needed before the pixels, found {colours} bytes"
            ));
        }
        Ok(())
    }

    pub(super) fn row_bytes(&self, width: usize) -> usize {
        (width * self.samples * self.depth).div_ceil(8)
    }

    /// Bytes from a pixel to the one before it, as filters see it.
    pub(super) fn filter_step(&self) -> usize {
        (self.samples * self.depth / 8).max(1)
    }

    /// Puts a row of `width` pixels at row, first column and step of columns.
    pub(super) fn place(
        &self,
        row: &[u8],
        width: usize,
        canvas: &mut Canvas,
        [y, first, step]: [usize; 3],
    ) {
        match (self.colour, self.depth) {
            (2, 8) if self.clear.len() != 6 => {
                let pixels = row.chunks_exact(3).map(|p| [p[0], p[1], p[2], 255]);
                canvas.row(y, first, step, pixels);
            }
            (6, 8) => {
                let pixels = row.chunks_exact(4).map(|p| [p[0], p[1], p[2], p[3]]);
                canvas.row(y, first, step, pixels);
            }
            (0, 8) if self.clear.len() != 2 => {
                canvas.row(y, first, step, row.iter().map(|v| [*v, *v, *v, 255]));
            }
            _ => canvas.row(y, first, step, (0..width).map(|x| self.pixel(row, x))),
        }
    }

    fn pixel(&self, row: &[u8], x: usize) -> [u8; 4] {
        let sample = |i: usize| self.sample(row, x * self.samples + i);
        let byte = |value: u16| match self.depth {
            16 => ((u32::from(value) + 128) / 257) as u8,
            depth => (u32::from(value) * 255 / ((1 << depth) - 1)) as u8,
        };
        let clear = |colour: &[u16]| {
            let same = |(v, bytes): (&u16, &[u8])| u16::from_be_bytes([bytes[0], bytes[1]]) == *v;
            let all = self.clear.len() == 2 * colour.len()
                && colour.iter().zip(self.clear.chunks_exact(2)).all(same);
            if all { 0 } else { 255 }
        };
        match self.colour {
            0 => {
                let grey = byte(sample(0));
                [grey, grey, grey, clear(&[sample(0)])]
            }
            2 => {
                let [r, g, b] = [sample(0), sample(1), sample(2)];
                [byte(r), byte(g), byte(b), clear(&[r, g, b])]
            }
            3 => {
                let index = usize::from(sample(0));
                // An index beyond the palette is black, as in libpng.
                let colour = self.palette.get(3 * index..3 * index + 3);
                let colour = colour.unwrap_or(&[0, 0, 0]);
                let alpha = self.clear.get(index).copied().unwrap_or(255);
                [colour[0], colour[1], colour[2], alpha]
            }
            4 => {
                let grey = byte(sample(0));
                [grey, grey, grey, byte(sample(1))]
            }
            _ => [0, 1, 2, 3].map(|i| byte(sample(i))),
        }
    }

    fn sample(&self, row: &[u8], i: usize) -> u16 {
        match self.depth {
            16 => u16::from_be_bytes([row[2 * i], row[2 * i + 1]]),
            8 => u16::from(row[i]),
            depth => {
                let bit = i * depth;
                let shift = 8 - depth - bit % 8;
                u16::from(row[bit / 8] >> shift) & ((1 << depth) - 1)
            }
        }
    }
}

/// Takes a row's filter off, given the row above.
pub(super) fn unfilter(
    filter: u8,
    row: &mut [u8],
    above: &[u8],
    step: usize,
) -> Result<(), String> {
    match filter {
        0 => {}
        1 => {
            for i in step..row.len() {
                row[i] = row[i].wrapping_add(row[i - step]);
            }
        }
        2 => {
            for (v, up) in row.iter_mut().zip(above) {
                *v = v.wrapping_add(*up);
            }
        }
        3 => {
            for i in 0..row.len() {
                let left = if i < step { 0 } else { row[i - step] };
                let mean = (u16::from(left) + u16::from(above[i])) / 2;
                row[i] = row[i].wrapping_add(mean as u8);
            }
        }
        4 => {
            for i in 0..row.len().min(step) {
                row[i] = row[i].wrapping_add(above[i]);
            }
            for i in step..row.len() {
                let near = paeth(row[i - step], above[i], above[i - step]);
                row[i] = row[i].wrapping_add(near);
            }
        }
        _ => {
            return Err(format!(
                "the PNG is broken: a row has the filter {filter}; 0 to 4 are known"
            ));
        }
    }
    Ok(())
}

/// Of left, up and both, the one nearest to left + up − both.
fn paeth(left: u8, up: u8, both: u8) -> u8 {
    let [a, b, c] = [left, up, both].map(i16::from);
    let (to_a, to_b, to_c) = ((b - c).abs(), (a - c).abs(), (a + b - 2 * c).abs());
    if to_a <= to_b && to_a <= to_c {
        left
    } else if to_b <= to_c {
        up
    } else {
        both
    }
}
