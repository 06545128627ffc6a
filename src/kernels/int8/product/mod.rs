//! Rows of bytes times a matrix of weights: pointwise convolutions, and others over copies of their windows.
//!
//! `vpmaddubsw` adds two products of u8 · i8 in 16 bits and saturates: 255 · 127 · 2 does not fit. Weights and maps keep their
//! eight bits nevertheless. Weights are packed four by four; where |w₀| + |w₁| > 128 for a pair of them in a block, the block has
//! these four twice: with weights from −64 to 64, and with what is missing, at most 63. Then 255 · 128 = 32,640 is the most that
//! a pair sums to, and the result is exact. Of the weights of a trained network few are so great that this costs much. `vpdpbusd`
//! adds four products in 32 bits and needs none of it, in registers of 256 bits (AVX-VNNI) or of 512.

#[cfg(target_arch = "x86_64")]
pub(super) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(super) mod vnni;

use super::{BLOCK, Finish, Path};

/// Weights that are read together: those of four values of a row.
pub(super) const QUAD: usize = 4;

/// The longest row whose sums fit in 32 bits, with their `start`: 2 · 255 · 127 · 32,768 < 2³¹.
pub(super) const LONGEST: usize = 32_768;

/// The greatest sum of two magnitudes that `vpmaddubsw` takes without saturation.
const PAIR: i32 = 128;

/// A matrix of weights, packed.
#[derive(Clone, Debug)]
pub(super) struct Product {
    path: Path,
    /// Values of a row that are read: a multiple of [`QUAD`].
    depth: usize,
    blocks: usize,
    /// Block by block. For plain loops `[value][BLOCK]`, else `[four values][BLOCK][QUAD]`.
    weights: Vec<i8>,
    /// Where the weights of each block begin, and those of the end.
    begins: Vec<usize>,
    /// Where in a row each four weights of all blocks read, for registers of 256 bits.
    places: Vec<u32>,
}

/// The rows of a product.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub values: &'a [u8],
    /// From one row to the next.
    pub stride: usize,
    pub count: usize,
}

impl Product {
    /// Of `q`, a row of `depth` weights for each output channel.
    pub(super) fn new(path: Path, q: &[i8], depth: usize) -> Self {
        assert!(depth > 0 && depth <= LONGEST, "rows of {depth} weights");
        let rows: Vec<&[i8]> = q.chunks(depth).collect();
        let filled = depth.next_multiple_of(QUAD);
        let mut product = Self {
            path,
            depth: filled,
            blocks: rows.len().div_ceil(BLOCK),
            weights: Vec::with_capacity(rows.len().next_multiple_of(BLOCK) * filled),
            begins: vec![0],
            places: Vec::new(),
        };
        let weight = |o: usize, k: usize| {
            let row = rows.get(o).copied().unwrap_or_default();
            row.get(k).copied().unwrap_or(0)
        };
        for block in 0..product.blocks {
            for first in (0..filled).step_by(QUAD) {
                let mut four = [[0i8; QUAD]; BLOCK];
                for (c, four) in four.iter_mut().enumerate() {
                    for (k, w) in four.iter_mut().enumerate() {
                        *w = weight(block * BLOCK + c, first + k);
                    }
                }
                product.push(first, &four);
            }
            product.begins.push(product.weights.len());
        }
        product
    }

    /// Four weights of each channel of a block.
    fn push(&mut self, first: usize, four: &[[i8; QUAD]; BLOCK]) {
        match self.path {
            Path::Portable => {
                let values = (0..QUAD).flat_map(|k| four.iter().map(move |w| w[k]));
                self.weights.extend(values);
            }
            #[cfg(target_arch = "x86_64")]
            Path::Vnni => self.weights.extend(four.as_flattened()),
            #[cfg(target_arch = "x86_64")]
            Path::AvxVnni => {
                self.weights.extend(four.as_flattened());
                self.places.push(first as u32);
            }
            #[cfg(target_arch = "x86_64")]
            Path::Avx2 => {
                let mut pairs = four.as_flattened().chunks(2);
                let sum = |pair: &[i8]| pair.iter().map(|w| i32::from(*w).abs()).sum::<i32>();
                let place = first as u32;
                if pairs.all(|pair| sum(pair) <= PAIR) {
                    self.weights.extend(four.as_flattened());
                    self.places.push(place);
                } else {
                    let within = |w: &i8| (*w).clamp(-64, 64);
                    self.weights.extend(four.as_flattened().iter().map(within));
                    let rest = |w: &i8| w - within(w);
                    self.weights.extend(four.as_flattened().iter().map(rest));
                    self.places.extend([place; 2]);
                }
            }
        }
    }

    /// The bytes of every row: `(count, channels)`, with those of `added` added, which lies as they do.
    ///
    /// # Panics
    /// If a slice is too short for it.
    pub(super) fn run(&self, rows: Rows, finish: &Finish, added: Option<&[u8]>, out: &mut [u8]) {
        let channels = self.blocks * BLOCK;
        assert_eq!(finish.channels(), channels, "channels");
        let len = rows.count * channels;
        assert!(out.len() >= len && added.is_none_or(|a| a.len() >= len));
        if rows.count == 0 {
            return;
        }
        assert!(rows.values.len() >= (rows.count - 1) * rows.stride + self.depth);
        match self.path {
            Path::Portable => self.portable(rows, finish, added, out),
            // SAFETY: a `Path` is one of this processor's; all that is read and written is there by the assertions above.
            #[cfg(target_arch = "x86_64")]
            Path::Avx2 | Path::AvxVnni => unsafe { avx2::run(self, rows, finish, added, out) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Path::Vnni => unsafe { vnni::run(self, rows, finish, added, out) },
        }
    }

    fn portable(&self, rows: Rows, finish: &Finish, added: Option<&[u8]>, out: &mut [u8]) {
        let channels = self.blocks * BLOCK;
        let outs = out.chunks_exact_mut(channels).take(rows.count).enumerate();
        for (r, out) in outs {
            let values = &rows.values[r * rows.stride..][..self.depth];
            for block in 0..self.blocks {
                let mut sums = [0i32; BLOCK];
                sums.copy_from_slice(&finish.start[block * BLOCK..][..BLOCK]);
                let weights = &self.weights[self.begins[block]..self.begins[block + 1]];
                for (x, w) in values.iter().zip(weights.chunks_exact(BLOCK)) {
                    for (sum, w) in sums.iter_mut().zip(w) {
                        // 255 · 127 fits in 16 bits.
                        *sum += i32::from(i16::from(*x) * i16::from(*w));
                    }
                }
                let at = block * BLOCK;
                let added = added.map(|a| &a[r * channels + at..]);
                finish.bytes(block, &sums, added, &mut out[at..]);
            }
        }
    }
}
