//! A photo taken: everything drawn from back to front, and what a camera adds.

use super::canvas::{Canvas, View};
use super::photo::Photo;
use super::rng::{Rgb, blend, smoothstep};
use super::{draw, features, hair};
use crate::error::{Error, Result};
use image::codecs::jpeg::JpegEncoder;

impl Photo<'_> {
    /// The photo as a JPEG of (height, width).
    pub fn jpeg(self, size: (usize, usize)) -> Result<Vec<u8>> {
        let canvas = self.canvas(size);
        let bytes: Vec<u8> = canvas
            .pixels
            .iter()
            .flatten()
            .map(|c| (c + 0.5).clamp(0.0, 255.0) as u8)
            .collect();
        let mut out = Vec::new();
        let (width, height) = (canvas.width as u32, canvas.height as u32);
        JpegEncoder::new_with_quality(&mut out, 88)
            .encode(&bytes, width, height, image::ExtendedColorType::Rgb8)
            .map_err(|e| Error::Image {
                path: "portrait".into(),
                reason: format!("cannot be encoded: {e}"),
                source: None,
            })?;
        Ok(out)
    }

    fn canvas(mut self, size: (usize, usize)) -> Canvas {
        let (height, width) = (size.0 as f32, size.1 as f32);
        let half = self.tilt / 2.0;
        let n = 1.0 + half * half;
        let view = View {
            origin: (self.place.0 * width, self.place.1 * height),
            scale: self.zoom * height.min(width * 1.3),
            tilt: (2.0 * half / n, (1.0 - half * half) / n),
        };
        let mut canvas = Canvas::new(size, view);
        let (wall, (edge, from)) = (self.person.wall, self.person.wall_edge);
        canvas.each(|y, x, _| {
            let wall = blend(wall, edge, smoothstep(from - 0.02, from + 0.02, x));
            blend(wall, [30.0; 3], 0.25 * y * y)
        });
        hair::behind(&mut canvas, &self);
        draw::body(&mut canvas, &self);
        let face = draw::face(&mut canvas, &self);
        hair::front(&mut canvas, &self, &face);
        features::glasses(&mut canvas, &self);
        let (width, turn) = (self.person.width, self.turn);
        self.mask.draw(&mut canvas, self.state, width, turn);
        self.develop(&mut canvas);
        canvas
    }

    /// Light, colour temperature, softness and noise.
    fn develop(&mut self, canvas: &mut Canvas) {
        let d = &mut self.rng;
        let (gain, side) = (d.normal(0.95, 0.10), d.normal(0.0, 0.14));
        let warm = d.normal(0.0, 0.04);
        let tint: Rgb = [gain * (1.0 + warm), gain, gain * (1.0 - warm)];
        canvas.each(|_, x, c| {
            let light = 1.0 + side * (x - 0.5) * 2.0;
            [0, 1, 2].map(|i| c[i] * tint[i] * light)
        });
        let soft = d.between(0.0, 0.5);
        blur(canvas, soft);
        let grain = d.between(1.0, 5.0);
        for pixel in &mut canvas.pixels {
            let shared = d.normal(0.0, grain);
            *pixel = pixel.map(|c| c + shared);
        }
    }
}

/// A share `amount` of each pixel comes from its four neighbours.
fn blur(canvas: &mut Canvas, amount: f32) {
    let (width, height) = (canvas.width, canvas.height);
    let sharp = canvas.pixels.clone();
    for y in 0..height {
        for x in 0..width {
            let near = [
                sharp[y * width + x.saturating_sub(1)],
                sharp[y * width + (x + 1).min(width - 1)],
                sharp[y.saturating_sub(1) * width + x],
                sharp[(y + 1).min(height - 1) * width + x],
            ];
            let mean = [0, 1, 2].map(|c| near.iter().map(|p| p[c]).sum::<f32>() / 4.0);
            let pixel = &mut canvas.pixels[y * width + x];
            *pixel = blend(*pixel, mean, amount);
        }
    }
}
