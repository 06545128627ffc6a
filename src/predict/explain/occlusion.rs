//! How far a label's probability falls where the photo is covered.

use crate::error::Result;
use crate::predict::Predictor;
use candle_core::{Device, Tensor};

/// Squares along the shorter side; each is covered with half of its neighbours.
const SQUARES: usize = 8;
/// Covered photos a pass.
const AT_ONCE: usize = 16;

/// The heat of each head's label: at each pixel the mean fall over the squares that cover it, if it is one.
pub(super) fn heats(
    predictor: &Predictor,
    image: &Tensor,
    wanted: &[usize],
) -> Result<Vec<Vec<f32>>> {
    let (_, channels, height, width) = image.dims4()?;
    let whole = predictor.head_probs(image)?.swap_remove(0);
    let pixels: Vec<f32> = image.flatten_all()?.to_vec1()?;
    let step = (height.min(width) / SQUARES).max(1);
    let side = 2 * step;
    let starts = |len: usize| {
        (0..len)
            .step_by(step)
            .map(move |at| at as isize - step as isize / 2)
    };
    let squares: Vec<[usize; 4]> = starts(height)
        .flat_map(|top| starts(width).map(move |left| (top, left)))
        .map(|(top, left)| {
            let range = |from: isize, len: usize| {
                let to = (from + side as isize).clamp(0, len as isize);
                [from.max(0) as usize, to as usize]
            };
            let ([top, bottom], [left, right]) = (range(top, height), range(left, width));
            [top, bottom, left, right]
        })
        .collect();
    let mut falls = vec![vec![0f32; height * width]; wanted.len()];
    let mut counts = vec![0f32; height * width];
    for squares in squares.chunks(AT_ONCE) {
        let mut covered = Vec::with_capacity(squares.len() * pixels.len());
        for [top, bottom, left, right] in squares {
            let start = covered.len();
            covered.extend_from_slice(&pixels);
            for plane in covered[start..].chunks_exact_mut(height * width) {
                for row in plane.chunks_exact_mut(width).take(*bottom).skip(*top) {
                    // The mean colour.
                    row[*left..*right].fill(0.0);
                }
            }
        }
        let shape = (squares.len(), channels, height, width);
        let covered = Tensor::from_vec(covered, shape, &Device::Cpu)?;
        let found = predictor.head_probs(&covered)?;
        for ([top, bottom, left, right], probs) in squares.iter().zip(found) {
            for y in *top..*bottom {
                for x in *left..*right {
                    counts[y * width + x] += 1.0;
                    for (head, label) in wanted.iter().enumerate() {
                        let fall = whole[head][*label] - probs[head][*label];
                        falls[head][y * width + x] += fall as f32;
                    }
                }
            }
        }
    }
    for fall in &mut falls {
        for (fall, count) in fall.iter_mut().zip(&counts) {
            *fall = (*fall / count.max(1.0)).max(0.0);
        }
    }
    Ok(falls)
}
