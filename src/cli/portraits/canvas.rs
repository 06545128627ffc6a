//! The canvas, and how much of its pixels an outline covers.

use super::outline::{Outline, Point, edges};
use super::rng::{Rgb, blend, smoothstep};

/// Where the face is on the canvas.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// The pixel of the face's origin.
    pub origin: Point,
    /// Pixels a face unit.
    pub scale: f32,
    /// Sine and cosine of the tilt of the head.
    pub tilt: Point,
}

impl View {
    fn pixel(&self, (x, y): Point) -> Point {
        let (sin, cos) = self.tilt;
        (
            self.origin.0 + self.scale * (cos * x - sin * y),
            self.origin.1 + self.scale * (sin * x + cos * y),
        )
    }

    fn face(&self, (px, py): Point) -> Point {
        let (sin, cos) = self.tilt;
        let (x, y) = (
            (px - self.origin.0) / self.scale,
            (py - self.origin.1) / self.scale,
        );
        (cos * x + sin * y, cos * y - sin * x)
    }
}

/// How much of each pixel an outline covers, within a rectangle of the canvas.
#[derive(Clone, Debug)]
pub struct Coverage {
    left: usize,
    top: usize,
    width: usize,
    shares: Vec<f32>,
}

impl Coverage {
    fn get(&self, x: usize, y: usize) -> f32 {
        if x < self.left || y < self.top || x >= self.left + self.width || self.width == 0 {
            return 0.0;
        }
        let i = (y - self.top) * self.width + x - self.left;
        self.shares.get(i).copied().unwrap_or(0.0)
    }

    /// Only what `other` covers too.
    pub fn within(self, other: &Self) -> Self {
        self.times(|x, y| other.get(x, y))
    }

    /// Only what `other` leaves free.
    pub fn outside(self, other: &Self) -> Self {
        self.times(|x, y| 1.0 - other.get(x, y))
    }

    fn times(mut self, by: impl Fn(usize, usize) -> f32) -> Self {
        for (i, share) in self.shares.iter_mut().enumerate() {
            *share *= by(self.left + i % self.width, self.top + i / self.width);
        }
        self
    }
}

/// Lines a pixel is cut into from top to bottom; from left to right coverage is exact.
const LINES: usize = 4;

/// An image being painted.
pub struct Canvas {
    /// Pixels a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Rows of pixels.
    pub pixels: Vec<Rgb>,
    view: View,
}

impl Canvas {
    /// A black canvas of (height, width).
    pub fn new((height, width): (usize, usize), view: View) -> Self {
        Self {
            width,
            height,
            pixels: vec![[0.0; 3]; width * height],
            view,
        }
    }

    /// The pixels an outline covers.
    pub fn cover(&self, outline: &Outline) -> Coverage {
        let polygons: Vec<Vec<Point>> = outline
            .0
            .iter()
            .map(|polygon| polygon.iter().map(|p| self.view.pixel(*p)).collect())
            .collect();
        let all = || polygons.iter().flatten();
        let range = |of: fn(&Point) -> f32, limit: usize| {
            let low = all().map(of).fold(f32::INFINITY, f32::min).floor();
            let high = all().map(of).fold(f32::NEG_INFINITY, f32::max).ceil();
            let low = low.clamp(0.0, limit as f32) as usize;
            (low, (high.clamp(0.0, limit as f32) as usize).max(low))
        };
        let (left, right) = range(|p| p.0, self.width);
        let (top, bottom) = range(|p| p.1, self.height);
        let width = right - left;
        let mut shares = vec![0.0; width * (bottom - top)];
        let mut crossings: Vec<(f32, i32)> = Vec::new();
        for line in top * LINES..bottom * LINES {
            let y = (line as f32 + 0.5) / LINES as f32;
            crossings.clear();
            for (a, b) in polygons.iter().flat_map(|p| edges(p)) {
                if (a.1 <= y) != (b.1 <= y) {
                    let x = a.0 + (b.0 - a.0) * (y - a.1) / (b.1 - a.1);
                    crossings.push((x - left as f32, if a.1 < b.1 { 1 } else { -1 }));
                }
            }
            crossings.sort_by(|a, b| a.0.total_cmp(&b.0));
            let row = (line / LINES - top) * width;
            let mut winding = 0;
            for pair in crossings.windows(2) {
                winding += pair[0].1;
                if winding != 0 {
                    span(&mut shares[row..row + width], pair[0].0, pair[1].0);
                }
            }
        }
        Coverage {
            left,
            top,
            width,
            shares,
        }
    }

    /// Paints one colour.
    pub fn fill(&mut self, cover: &Coverage, colour: Rgb, alpha: f32) {
        self.fill_with(cover, |_| (colour, alpha));
    }

    /// Paints the colour and alpha that `paint` gives for a point in face coordinates.
    pub fn fill_with(&mut self, cover: &Coverage, paint: impl Fn(Point) -> (Rgb, f32)) {
        for (i, share) in cover.shares.iter().enumerate() {
            if *share > 0.0 {
                let (x, y) = (cover.left + i % cover.width, cover.top + i / cover.width);
                let pixel = &mut self.pixels[y * self.width + x];
                let point = self.view.face((x as f32 + 0.5, y as f32 + 0.5));
                let (colour, alpha) = paint(point);
                *pixel = blend(*pixel, colour, share * alpha);
            }
        }
    }

    /// Paints an outline in one colour.
    pub fn draw(&mut self, outline: &Outline, colour: Rgb, alpha: f32) {
        let cover = self.cover(outline);
        self.fill(&cover, colour, alpha);
    }

    /// A soft spot that fades to its rim, within `clip`.
    pub fn glow(&mut self, at: Point, radii: Point, colour: Rgb, alpha: f32, clip: &Coverage) {
        let cover = self.cover(&Outline::ellipse(at, radii)).within(clip);
        self.fill_with(&cover, |(x, y)| {
            let (dx, dy) = ((x - at.0) / radii.0, (y - at.1) / radii.1);
            let fade = 1.0 - smoothstep(0.1, 1.0, (dx * dx + dy * dy).sqrt());
            (colour, alpha * fade)
        });
    }

    /// Changes every pixel, given its place as shares of height and width.
    pub fn each(&mut self, change: impl Fn(f32, f32, Rgb) -> Rgb) {
        for (i, pixel) in self.pixels.iter_mut().enumerate() {
            let (x, y) = (i % self.width, i / self.width);
            let share = |v: usize, n: usize| (v as f32 + 0.5) / n as f32;
            *pixel = change(share(y, self.height), share(x, self.width), *pixel);
        }
    }
}

/// Adds one line from `start` to `end` to a row of coverage.
fn span(row: &mut [f32], start: f32, end: f32) {
    let (start, end) = (start.max(0.0), end.min(row.len() as f32));
    if end <= start {
        return;
    }
    let last = (end.ceil() as usize).min(row.len());
    for (x, share) in row.iter_mut().enumerate().take(last).skip(start as usize) {
        let covered = end.min((x + 1) as f32) - start.max(x as f32);
        *share += covered / LINES as f32;
    }
}
