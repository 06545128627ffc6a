//! Photos with the heat of an explanation over them, and figures of how well heat says what a model goes by.

use crate::error::Result;
use crate::input::{InputSpec, Photo};
use crate::predict::{ExplainMethod, Explanation, Predictor};
use crate::random::rng::{Purpose, keyed};
use candle_core::{Device, Tensor};
use rand::seq::SliceRandom;
use std::collections::BTreeMap;

/// The part of a photo that is covered to see what a label rests on.
const COVERED: f64 = 0.1;

/// The photo as the network sees it, three channels a pixel, with the heat over it: from blue (none) to red.
pub(crate) fn overlay(pixels: &[u8], channels: usize, heat: &[f32]) -> Vec<u8> {
    let mut rgb = Vec::with_capacity(heat.len() * 3);
    for (pixel, heat) in pixels.chunks_exact(channels).zip(heat) {
        let colours = match *pixel {
            [r, g, b, ..] => [r, g, b],
            _ => [pixel[0]; 3],
        };
        for (value, warm) in colours.into_iter().zip(colour(*heat)) {
            // The warmer, the less of the photo.
            let share = 0.15 + 0.45 * heat;
            rgb.push((f32::from(value) * (1.0 - share) + warm * share) as u8);
        }
    }
    rgb
}

/// Blue, cyan, yellow, red: straight lines between them, as of the palette "jet" but for its dark ends.
fn colour(heat: f32) -> [f32; 3] {
    let channel = |middle: f32| (1.5 - (4.0 * heat - middle).abs()).clamp(0.0, 1.0) * 255.0;
    [channel(3.0), channel(2.0), channel(1.0)]
}

/// How well the heat of a head's labels says what the model goes by, over photos.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub(crate) struct HeatFigures {
    /// Photos looked at.
    pub photos: usize,
    /// The mean share of the heat in the lower half of the photo.
    pub lower_half: f64,
    /// By how much the label's probability falls in the mean where the hottest tenth of the photo is covered in the mean colour.
    pub hottest_covered: f64,
    /// The same of a tenth drawn at random, in squares.
    pub random_covered: f64,
}

impl HeatFigures {
    /// Takes a photo's explanations in, one a head.
    ///
    /// # Errors
    /// If the model cannot be asked about the covered photo.
    pub(crate) fn add(
        figures: &mut BTreeMap<String, Self>,
        predictor: &Predictor,
        image: &Tensor,
        explained: &[Explanation],
        seed: u64,
    ) -> Result<()> {
        for (head, e) in explained.iter().enumerate() {
            let [height, width] = e.size;
            let sum: f32 = e.heat.iter().sum();
            if sum == 0.0 {
                continue;
            }
            let lower: f32 = e.heat[height.div_ceil(2) * width..].iter().sum();
            let count = ((height * width) as f64 * COVERED) as usize;
            let mut hottest: Vec<usize> = (0..e.heat.len()).collect();
            hottest.sort_by(|a, b| e.heat[*b].total_cmp(&e.heat[*a]));
            let of = figures.entry(e.head.clone()).or_default();
            let fall = |places: &[usize]| -> Result<f64> {
                let covered = covered(image, places)?;
                let labels = predictor.taxonomy().labels(head);
                let label = labels.iter().position(|l| *l == e.label).unwrap_or(0);
                Ok(e.prob - predictor.head_probs(&covered)?[0][head][label])
            };
            of.hottest_covered += fall(&hottest[..count])?;
            of.random_covered += fall(&random(e.size, count, seed))?;
            of.lower_half += f64::from(lower / sum);
            of.photos += 1;
        }
        Ok(())
    }

    /// The sums over photos as means.
    pub(crate) fn means(mut self) -> Self {
        let photos = self.photos.max(1) as f64;
        for sum in [
            &mut self.lower_half,
            &mut self.hottest_covered,
            &mut self.random_covered,
        ] {
            *sum /= photos;
        }
        self
    }
}

/// The image with these pixels in the mean colour.
fn covered(image: &Tensor, places: &[usize]) -> Result<Tensor> {
    let mut values: Vec<f32> = image.flatten_all()?.to_vec1()?;
    let plane = values.len() / image.dim(1)?;
    for plane in values.chunks_exact_mut(plane) {
        for place in places {
            plane[*place] = 0.0;
        }
    }
    Ok(Tensor::from_vec(values, image.dims(), &Device::Cpu)?)
}

/// `count` pixels in squares of an eighth of the shorter side, drawn: heat lies in patches too.
fn random([height, width]: [usize; 2], count: usize, seed: u64) -> Vec<usize> {
    let side = (height.min(width) / 8).max(1);
    let squares = (0..height)
        .step_by(side)
        .flat_map(|y| (0..width).step_by(side).map(move |x| (y, x)));
    let mut squares: Vec<(usize, usize)> = squares.collect();
    squares.shuffle(&mut keyed(seed, Purpose::Explain, 0, 0));
    let pixels = squares.into_iter().flat_map(|(top, left)| {
        let rows = top..(top + side).min(height);
        rows.flat_map(move |y| (left..(left + side).min(width)).map(move |x| y * width + x))
    });
    pixels.take(count).collect()
}

/// A photo as the network sees it, its image, and what speaks for the labels.
///
/// # Errors
/// As [`Predictor::explain`].
pub(crate) fn explain(
    predictor: &Predictor,
    photo: &Photo,
    method: ExplainMethod,
    labels: &BTreeMap<String, String>,
) -> Result<(Vec<u8>, Tensor, Vec<Explanation>)> {
    let input: &InputSpec = predictor.input();
    let pixels = input.prepare(photo)?;
    let [height, width] = input.size;
    let mut planes = vec![0f32; pixels.len()];
    input.normalise_into(&pixels, &mut planes)?;
    let image = Tensor::from_vec(planes, (1, input.channels, height, width), &Device::Cpu)?;
    let explained = predictor.explain_image(&image, method, labels)?;
    Ok((pixels, image, explained))
}
