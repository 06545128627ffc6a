//! Mixing photos and their targets in place, with one λ and one partner for all heads of a photo: mix-up (Zhang et al. 2018),
//! CutMix (Yun et al. 2019), halves.

use crate::data::targets::Targets;
use crate::error::{Error, Result};
use crate::random::rng::{Purpose, keyed};
use rand_distr::{Beta, Distribution};
use std::collections::BTreeMap;
use std::ops::Range;

/// How two photos become one.
#[derive(Clone, Debug, PartialEq)]
pub enum Mixing {
    /// λ·x + (1 − λ)·partner.
    Blend(f64),
    /// A rectangle is the partner's.
    Paste(Patch),
}

impl Mixing {
    /// λ: what the photo keeps of itself.
    pub fn lambda(&self) -> f64 {
        match self {
            Self::Blend(lambda) => *lambda,
            Self::Paste(patch) => 1.0 - patch.share(),
        }
    }

    /// Each of two photos mixed with the other.
    fn exchange(&self, a: &mut [f32], b: &mut [f32]) {
        match self {
            Self::Blend(lambda) => {
                let l = *lambda as f32;
                for (a, b) in a.iter_mut().zip(b) {
                    (*a, *b) = (l * *a + (1.0 - l) * *b, l * *b + (1.0 - l) * *a);
                }
            }
            Self::Paste(patch) => patch
                .rows(a.len())
                .for_each(|row| a[row.clone()].swap_with_slice(&mut b[row])),
        }
    }

    /// A photo mixed with `other`, of the same size.
    pub fn mix_in(&self, image: &mut [f32], other: &[f32]) {
        match self {
            Self::Blend(lambda) => {
                let l = *lambda as f32;
                for (a, b) in image.iter_mut().zip(other) {
                    *a = l * *a + (1.0 - l) * b;
                }
            }
            Self::Paste(patch) => patch
                .rows(image.len())
                .for_each(|row| image[row.clone()].copy_from_slice(&other[row])),
        }
    }
}

/// A rectangle of a photo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch {
    /// Rows, from the top.
    pub y: Range<usize>,
    /// Columns, from the left.
    pub x: Range<usize>,
    /// Height and width of the photo.
    pub size: [usize; 2],
}

impl Patch {
    /// CutMix's: √(1 − λ) of the photo's height and width, around row and column `centre`, cut off at the photo's borders;
    /// rounded as timm's `rand_bbox` does.
    pub fn around(centre: [usize; 2], lambda: f64, size: [usize; 2]) -> Self {
        let ratio = (1.0 - lambda).max(0.0).sqrt();
        let side = |i: usize| {
            let whole = (size[i] as f64 * ratio) as usize;
            let end = (centre[i] + whole.div_ceil(2)).min(size[i]);
            centre[i].saturating_sub(whole / 2).min(end)..end
        };
        Self {
            y: side(0),
            x: side(1),
            size,
        }
    }

    /// The left (0), right (1), upper (2) or lower (3) half; of an odd side the middle belongs to the second.
    pub fn half(which: usize, size: [usize; 2]) -> Self {
        let [h, w] = size;
        let (y, x) = match which {
            0 => (0..h, 0..w / 2),
            1 => (0..h, w / 2..w),
            2 => (0..h / 2, 0..w),
            _ => (h / 2..h, 0..w),
        };
        Self { y, x, size }
    }

    /// Its share of the photo's area.
    pub fn share(&self) -> f64 {
        (self.y.len() * self.x.len()) as f64 / (self.size[0] * self.size[1]) as f64
    }

    /// Its rows in a photo of so many values, plane after plane.
    fn rows(&self, values: usize) -> impl Iterator<Item = Range<usize>> {
        let [h, w] = self.size;
        let planes = values / (h * w);
        (0..planes).flat_map(move |plane| {
            self.y.clone().map(move |y| {
                let row = (plane * h + y) * w;
                row + self.x.start..row + self.x.end
            })
        })
    }
}

/// λ of one step, from Beta(α, α); 1 (no blending) if α is 0.
///
/// # Errors
/// [`Error::Invalid`] if `alpha` is negative or not a number.
pub fn draw_lambda(alpha: f64, seed: u64, epoch: u64, step: u64) -> Result<f64> {
    if alpha == 0.0 {
        return Ok(1.0);
    }
    let beta = Beta::new(alpha, alpha).map_err(|_| Error::Invalid {
        what: "α of mixing".into(),
        expected: "a number of at least 0".into(),
        found: alpha.to_string(),
    })?;
    Ok(beta.sample(&mut keyed(seed, Purpose::Mix, epoch, step)))
}

/// The photo opposite: a batch comes in random order, so its mirror image is a random partner, and pairs can be mixed without a
/// copy of the batch. With an odd number the one in the middle is its own partner and stays as it is.
pub fn opposite(batch: usize) -> Vec<usize> {
    (0..batch).rev().collect()
}

/// The photo opposite among those of the same key; a photo without a key is its own partner.
pub fn opposite_alike(keys: &[Option<usize>]) -> Vec<usize> {
    let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (i, key) in keys.iter().enumerate() {
        if let Some(key) = key {
            groups.entry(*key).or_default().push(i);
        }
    }
    let mut partners: Vec<usize> = (0..keys.len()).collect();
    for group in groups.values() {
        for (i, j) in group.iter().zip(group.iter().rev()) {
            partners[*i] = *j;
        }
    }
    partners
}

/// Mixes a batch in place: each photo with its partner, whose partner it is; one that is its own stays as it is.
///
/// A head's target is blended by λ. Where one of the pair lacks the label, the other's counts alone, by its share.
///
/// # Shapes
/// `images` `(batch, …)` flat, the batch one of `partners`; each of `heads` of the same batch.
pub fn mix_pairs(images: &mut [f32], heads: &mut [Targets], partners: &[usize], how: &Mixing) {
    if how.lambda() == 1.0 || partners.len() < 2 {
        return;
    }
    let size = images.len() / partners.len();
    for (i, j) in partners.iter().enumerate().filter(|(i, j)| i < *j) {
        let (front, back) = images.split_at_mut(j * size);
        how.exchange(&mut front[i * size..][..size], &mut back[..size]);
    }
    for head in heads {
        let before = head.clone();
        for (i, j) in partners.iter().enumerate() {
            blend(head, i, &before, *j, how.lambda());
        }
    }
}

/// The targets of photos that were mixed with others by λ: each row with that of the same place in `others`.
pub fn mix_targets(heads: &mut [Targets], others: &[Targets], lambda: f64) {
    if lambda == 1.0 {
        return;
    }
    for (head, other) in heads.iter_mut().zip(others) {
        for i in 0..head.weights.len() {
            blend(head, i, other, i, lambda);
        }
    }
}

/// Row i of a head's targets blended with row j of `other`.
fn blend(head: &mut Targets, i: usize, other: &Targets, j: usize, lambda: f64) {
    let (l, n) = (lambda as f32, head.num_labels);
    let (own, others) = (l * head.weights[i], (1.0 - l) * other.weights[j]);
    let weight = own + others;
    head.weights[i] = weight;
    for c in 0..n {
        let blended = own * head.rows[i * n + c] + others * other.rows[j * n + c];
        head.rows[i * n + c] = if weight > 0.0 { blended / weight } else { 0.0 };
    }
}
