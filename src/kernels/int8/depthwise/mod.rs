//! Depthwise convolutions.
//!
//! With vectors, the rows that some output rows see are woven first: of each column and channel the bytes of four rows stand side
//! by side. A product of four bytes then adds four rows of the window at once, and a woven column serves all columns of the
//! window, and all output rows whose windows lie within these rows: of 3 × 3 with stride 1 two, of 5 × 5 four.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx_vnni;
#[cfg(target_arch = "x86_64")]
mod sweep;
#[cfg(target_arch = "x86_64")]
mod vnni;
#[cfg(target_arch = "x86_64")]
mod weave;

use super::{BLOCK, Finish, Path};
use crate::geometry::Geometry;
use std::ops::Range;

/// Rows that are woven together.
const WOVEN: usize = 4;

/// A kernel for each channel, packed.
#[derive(Clone, Debug)]
pub(super) struct Depthwise {
    path: Path,
    g: Geometry,
    /// The byte of the value 0 in the input.
    zero: u8,
    blocks: usize,
    /// Output rows that are done at once, and groups of woven rows.
    rows: usize,
    groups: usize,
    /// Block by block. For plain loops `[element][BLOCK]`, else `[column][group][output row][BLOCK][WOVEN]`.
    bytes: Vec<i8>,
    /// The same in 16 bits, the first two rows of all channels before the last two, for AVX2, whose products of bytes saturate.
    words: Vec<i16>,
}

impl Depthwise {
    /// Of `q`, a kernel for each channel.
    pub(super) fn new(path: Path, g: &Geometry, q: &[i8], zero: u8) -> Self {
        let (kh, kw, step) = (g.kh, g.kw, g.p.stride.0);
        let groups = kh.div_ceil(WOVEN);
        let within = (groups * WOVEN - kh) / step + 1;
        let rows = match within {
            4.. => 4,
            2..4 => 2,
            _ => 1,
        };
        let blocks = g.c.div_ceil(BLOCK);
        let weight = |c: usize, y: usize, x: usize| {
            if c < g.c && y < kh {
                q[(c * kh + y) * kw + x]
            } else {
                0
            }
        };
        let (mut bytes, mut words) = (Vec::new(), Vec::new());
        for block in 0..blocks {
            let channels = || block * BLOCK..(block + 1) * BLOCK;
            if path == Path::Portable {
                for element in 0..kh * kw {
                    let (y, x) = (element / kw, element % kw);
                    bytes.extend(channels().map(|c| weight(c, y, x)));
                }
                continue;
            }
            for place in 0..kw * groups * rows {
                let (x, group, row) =
                    (place / (groups * rows), place / rows % groups, place % rows);
                // Where the woven row stands in the window of this output row; of none the weight is 0.
                let of = |c: usize, woven: usize| {
                    let y = (group * WOVEN + woven).checked_sub(row * step);
                    y.map_or(0, |y| weight(c, y, x))
                };
                if path.has_words() {
                    for pair in [[0, 1], [2, 3]] {
                        let both = channels().flat_map(|c| pair.map(|w| i16::from(of(c, w))));
                        words.extend(both);
                    }
                } else {
                    bytes.extend(channels().flat_map(|c| [0, 1, 2, 3].map(|w| of(c, w))));
                }
            }
        }
        Self {
            path,
            g: *g,
            zero,
            blocks,
            rows,
            groups,
            bytes,
            words,
        }
    }

    /// Output rows of one image; `out` is theirs.
    ///
    /// # Panics
    /// If a slice is too short.
    pub(super) fn run(
        &self,
        x: &[u8],
        rows: Range<usize>,
        finish: &Finish,
        out: &mut [u8],
        scratch: &mut Vec<u8>,
    ) {
        let (g, channels) = (&self.g, self.blocks * BLOCK);
        assert_eq!(finish.channels(), channels, "channels");
        assert!(x.len() >= g.in_plane() * channels && rows.end <= g.oh);
        assert!(out.len() >= rows.len() * g.ow * channels);
        match self.path {
            Path::Portable => self.portable(x, rows, finish, out),
            #[cfg(target_arch = "x86_64")]
            Path::Avx2 => {
                self.make_room(scratch, 2);
                // SAFETY: a `Path` is one of this processor's; the slices are long enough by the assertions above.
                unsafe { avx2::run(self, x, rows, finish, out, scratch) }
            }
            #[cfg(target_arch = "x86_64")]
            Path::AvxVnni => {
                self.make_room(scratch, 1);
                // SAFETY: as above.
                unsafe { avx_vnni::run(self, x, rows, finish, out, scratch) }
            }
            #[cfg(target_arch = "x86_64")]
            Path::Vnni => {
                self.make_room(scratch, 1);
                // SAFETY: as above.
                unsafe { vnni::run(self, x, rows, finish, out, scratch) }
            }
        }
    }

    /// Columns that the windows of a row see.
    #[cfg(target_arch = "x86_64")]
    fn columns(&self) -> usize {
        (self.g.ow - 1) * self.g.p.stride.1 + self.g.kw
    }

    /// Room for the woven rows of a block, in values of so many bytes.
    #[cfg(target_arch = "x86_64")]
    fn make_room(&self, scratch: &mut Vec<u8>, bytes: usize) {
        let len = self.columns() * self.groups * WOVEN * BLOCK * bytes;
        if scratch.len() < len {
            scratch.resize(len, 0);
        }
    }

    /// The row of the image that is the `woven`-th seen from output row `first` on, if there is one.
    #[cfg(target_arch = "x86_64")]
    fn source(&self, first: usize, woven: usize) -> Option<usize> {
        let place = first * self.g.p.stride.0 + woven;
        let row = place.checked_sub(self.g.p.padding[0])?;
        (row < self.g.h).then_some(row)
    }

    fn portable(&self, x: &[u8], rows: Range<usize>, finish: &Finish, out: &mut [u8]) {
        let (g, channels) = (&self.g, self.blocks * BLOCK);
        let zeros = [self.zero; BLOCK];
        let positions = rows.flat_map(|y| (0..g.ow).map(move |x| (y, x)));
        for ((oy, ox), out) in positions.zip(out.chunks_exact_mut(channels)) {
            for block in 0..self.blocks {
                let at = block * BLOCK;
                let mut sums = [0i32; BLOCK];
                sums.copy_from_slice(&finish.start[at..][..BLOCK]);
                let weights = &self.bytes[block * g.kh * g.kw * BLOCK..];
                let elements = (0..g.kh).flat_map(|y| (0..g.kw).map(move |x| (y, x)));
                for ((ky, kx), w) in elements.zip(weights.chunks_exact(BLOCK)) {
                    let row = (oy * g.p.stride.0 + ky).checked_sub(g.p.padding[0]);
                    let col = (ox * g.p.stride.1 + kx).checked_sub(g.p.padding[2]);
                    let values = match (row, col) {
                        (Some(row), Some(col)) if row < g.h && col < g.w => {
                            &x[(row * g.w + col) * channels + at..][..BLOCK]
                        }
                        _ => &zeros,
                    };
                    for ((sum, x), w) in sums.iter_mut().zip(values).zip(w) {
                        *sum += i32::from(i16::from(*x) * i16::from(*w));
                    }
                }
                finish.bytes(block, &sums, None, &mut out[at..]);
            }
        }
    }
}

impl Path {
    /// Whether its products are of 16 bits.
    fn has_words(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        return self == Self::Avx2;
        #[cfg(not(target_arch = "x86_64"))]
        false
    }
}
