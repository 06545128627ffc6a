//! The size of the input, by the shapes of the photos.

use crate::input::{InputSpec, PhotoSource};
use rayon::prelude::*;
use std::path::Path;

/// Photos whose headers are looked at.
const LOOKED: usize = 500;
/// Pixels of an input: as many as of 160 × 160, at which training on a processor takes minutes and not hours. On photos of
/// garments 5 epochs of it reached more than 8 at 128 × 128 (the guide's chapter `recipes`).
const PIXELS: f64 = 160.0 * 160.0;
/// Times the pixels of a photo that an input may have: tried up to 1.9, on those garments.
const ENLARGED: f64 = 2.0;
/// Sides are multiples of this.
const STEP: f64 = 16.0;
/// Shapes that differ by less are alike.
const ALIKE: f64 = 1.15;

/// A size, and why.
pub(super) struct Size {
    pub(super) input: [usize; 2],
    pub(super) why: String,
    /// If most of the photos are JPEGs that are large beside it: how many, in words.
    pub(super) large: Option<String>,
    /// Photos that were looked at and cannot be read.
    pub(super) unreadable: usize,
}

/// `[height, width]` for these photos: in the shape that most of them have, or square where they have many.
pub(super) fn propose(photos: &[&PhotoSource]) -> Size {
    let step = photos.len().div_ceil(LOOKED).max(1);
    let looked: Vec<&PhotoSource> = photos.iter().copied().step_by(step).collect();
    let found: Vec<(bool, [usize; 2])> = looked
        .par_iter()
        .filter_map(|photo| {
            let file = photo.file(Path::new("a photo"))?.ok()?;
            Some((file.is_jpeg(), file.sides().ok()?))
        })
        .collect();
    let sides: Vec<[usize; 2]> = found.iter().map(|(_, sides)| *sides).collect();
    let (input, why) = of_sides(&sides);
    Size {
        input,
        why,
        large: large(&found, input),
        unreadable: looked.len() - sides.len(),
    }
}

/// The size that suits the photos where `configured` is given, and why; that one if it does. None if no photo could be looked at.
pub(crate) fn fitting(
    photos: &[&PhotoSource],
    configured: [usize; 2],
) -> Option<([usize; 2], String)> {
    let Size {
        input,
        why,
        unreadable,
        ..
    } = propose(photos);
    if unreadable == photos.len().div_ceil(photos.len().div_ceil(LOOKED).max(1)) {
        return None;
    }
    Some((fitted(configured, input), why))
}

/// A size in the shape of the one that is proposed, with as many pixels as that or as `configured` has, whichever are more;
/// `configured` if it has that shape and about as many. Sides stay multiples of what those of `configured` are, so that a network
/// of patches takes it too.
fn fitted(configured: [usize; 2], proposed: [usize; 2]) -> [usize; 2] {
    let shape = |[h, w]: [usize; 2]| h as f64 / w as f64;
    let pixels = |[h, w]: [usize; 2]| h as f64 * w as f64;
    let (of_photos, own) = (shape(proposed), shape(configured));
    let area = pixels(configured).max(pixels(proposed));
    if (of_photos / own).max(own / of_photos) < ALIKE && area < ALIKE * pixels(configured) {
        return configured;
    }
    let all = |step: &usize| configured.iter().all(|side| side.is_multiple_of(*step));
    let step = [32, 16, 14, 8].into_iter().find(all).unwrap_or(1) as f64;
    let side = |pixels: f64| ((pixels / step).round() * step).max(step) as usize;
    [
        side((area * of_photos).sqrt()),
        side((area / of_photos).sqrt()),
    ]
}

/// Whether most photos, of which it is known which are JPEGs, would be decoded smaller than they are.
fn large(found: &[(bool, [usize; 2])], size: [usize; 2]) -> Option<String> {
    let spec = InputSpec {
        size,
        reduce: true,
        ..InputSpec::default()
    };
    let large = found
        .iter()
        .filter(|(jpeg, sides)| *jpeg && spec.reduces(*sides));
    let count = large.count();
    (2 * count > found.len()).then(|| {
        let all = found.len();
        format!(
            "{count} of {all} photos are JPEGs at least four times as high and wide as the input"
        )
    })
}

fn of_sides(sides: &[[usize; 2]]) -> ([usize; 2], String) {
    let shape = |[h, w]: &[usize; 2]| *h as f64 / *w as f64;
    let Some(middle) = median(sides.iter().map(shape)) else {
        return (
            [160, 160],
            "no photo could be looked at: a square, until some are there".into(),
        );
    };
    let area = median(sides.iter().map(|[h, w]| (h * w) as f64))
        .map_or(PIXELS, |area| (ENLARGED * area).min(PIXELS));
    let alike = sides
        .iter()
        .filter(|s| (shape(s) / middle).max(middle / shape(s)) < ALIKE)
        .count();
    let (low, high) = sides
        .iter()
        .fold(([usize::MAX; 2], [0; 2]), |(low, high), [h, w]| {
            (
                [low[0].min(*h), low[1].min(*w)],
                [high[0].max(*h), high[1].max(*w)],
            )
        });
    let looked = format!(
        "{} photos were looked at, {}×{} to {}×{} pixels (height × width)",
        sides.len(),
        low[0],
        low[1],
        high[0],
        high[1]
    );
    let (target, words) = if 10 * alike >= 8 * sides.len() {
        let words =
            format!("{alike} of them have nearly the shape {middle:.2} to 1, which is kept");
        (middle.clamp(0.25, 4.0), words)
    } else {
        let words = "their shapes differ: a square, to which each is resized. `crop_pct = 1.0` would keep the shapes and cut off what sticks out";
        (1.0, words.to_string())
    };
    let side = |pixels: f64| ((pixels / STEP).round() * STEP).clamp(32.0, 4096.0) as usize;
    let input = [side((area * target).sqrt()), side((area / target).sqrt())];
    (input, format!("{looked}; {words}"))
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::{fitted, large, of_sides};

    #[test]
    fn the_input_has_the_shape_of_the_photos_or_is_square() {
        assert_eq!(of_sides(&[[400, 300]; 9]).0, [192, 144]);
        assert_eq!(of_sides(&[[300, 300]; 9]).0, [160, 160]);
        // Half of them are wide and half are high.
        let mixed = [[[400, 200]; 5], [[200, 400]; 5]].concat();
        assert_eq!(of_sides(&mixed).0, [160, 160]);
        // Small photos are made larger, but not without bound.
        assert_eq!(of_sides(&[[160, 120]; 9]).0, [192, 144]);
        assert_eq!(of_sides(&[[48, 48]; 9]).0, [64, 64]);
        assert_eq!(of_sides(&[[8, 16_000]; 9]).0, [80, 320]);
        assert_eq!(of_sides(&[]).0, [160, 160]);
    }

    #[test]
    fn what_is_configured_suits_or_gets_the_shape_and_the_pixels() {
        let cases = [
            ([144, 112], [144, 112], [144, 112]),
            ([144, 112], [192, 144], [192, 144]),
            // More than is proposed stays as much.
            ([224, 224], [160, 160], [224, 224]),
            ([224, 224], [192, 144], [256, 192]),
            // Patches of 14 × 14.
            ([126, 126], [192, 144], [196, 140]),
        ];
        for (configured, proposed, wanted) in cases {
            assert_eq!(fitted(configured, proposed), wanted, "{configured:?}");
        }
    }

    #[test]
    fn photos_are_large_if_most_are_jpegs_of_four_times_the_inputs_sides() {
        let of = |found: &[(bool, [usize; 2])]| large(found, [144, 112]);
        let (high, low) = ((true, [576, 448]), (true, [575, 448]));
        let words = "2 of 3 photos are JPEGs at least four times as high and wide as the input";
        assert_eq!(of(&[high, low, high]).as_deref(), Some(words));
        assert_eq!(of(&[high, low]), None);
        assert_eq!(of(&[(false, [4000, 3000]); 3]), None);
        assert_eq!(of(&[]), None);
    }
}
