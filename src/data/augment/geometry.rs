//! Pictures turned, sheared, moved and tilted, as torchvision v2 defines it for tensors
//! (`torchvision/transforms/v2/functional/_geometry.py`). What lies beside the picture is 0.

use super::image::Image;
use rand::Rng;

/// How far in `RandomPerspective` moves a corner at most, as a share of half a side.
const DISTORTION: f64 = 0.5;

/// From where in the picture an output pixel comes; both in pixels, a pixel's centre at its index.
trait Map: Fn(f64, f64) -> (f64, f64) {}
impl<F: Fn(f64, f64) -> (f64, f64)> Map for F {}

impl Image {
    /// Turned by `degrees` against the clock about the centre, moved right and down by `by` = `[x, y]` pixels, and sheared by
    /// `shear` = `[x, y]` degrees about `centre` = `[x, y]`, the middle if there is none. The nearest pixel is taken, or four are
    /// mixed.
    pub(super) fn affine(
        &mut self,
        degrees: f64,
        by: [f64; 2],
        shear: [f64; 2],
        centre: Option<[f64; 2]>,
        mixed: bool,
    ) {
        let [height, width] = self.size.map(|n| n as f64);
        // From the middle of the picture.
        let [cx, cy] = centre.map_or([0.0; 2], |[x, y]| [x - width * 0.5, y - height * 0.5]);
        let [rotation, sx, sy] = [degrees, shear[0], shear[1]].map(f64::to_radians);
        let a = (rotation - sy).cos() / sy.cos();
        let b = -(rotation - sy).cos() * sx.tan() / sy.cos() - rotation.sin();
        let c = (rotation - sy).sin() / sy.cos();
        let d = -(rotation - sy).sin() * sx.tan() / sy.cos() + rotation.cos();
        let (mx, my) = (width * 0.5 - 0.5, height * 0.5 - 0.5);
        // The inverse, whose determinant is 1.
        self.sample(mixed, |x, y| {
            let (dx, dy) = (x - mx - cx - by[0], y - my - cy - by[1]);
            (d * dx - b * dy + cx + mx, a * dy - c * dx + cy + my)
        });
    }

    /// Tilted so that its corners, from the upper left one with the clock, come to lie at `corners` = `[x, y]`; four pixels are
    /// mixed.
    pub(crate) fn perspective(&mut self, corners: [[f64; 2]; 4]) {
        let [bottom, right] = self.size.map(|n| n as f64 - 1.0);
        let own = [[0.0, 0.0], [right, 0.0], [right, bottom], [0.0, bottom]];
        let mut rows = Vec::with_capacity(8);
        for ([x, y], [u, v]) in corners.into_iter().zip(own) {
            rows.push([x, y, 1.0, 0.0, 0.0, 0.0, -u * x, -u * y, u]);
            rows.push([0.0, 0.0, 0.0, x, y, 1.0, -v * x, -v * y, v]);
        }
        // Corners on one line: there is no such picture.
        let Some(k) = solved(rows) else { return };
        self.sample(true, |x, y| {
            let (x, y) = (x + 0.5, y + 0.5);
            let depth = k[6] * x + k[7] * y + 1.0;
            (
                (k[0] * x + k[1] * y + k[2]) / depth - 0.5,
                (k[3] * x + k[4] * y + k[5]) / depth - 0.5,
            )
        });
    }

    fn sample(&mut self, mixed: bool, from: impl Map) {
        let ([height, width], channels) = (self.size, self.channels);
        let source = std::mem::take(&mut self.bytes);
        let pixel = |x: f64, y: f64| {
            let inside = x >= 0.0 && y >= 0.0 && x < width as f64 && y < height as f64;
            inside.then(|| &source[(y as usize * width + x as usize) * channels..][..channels])
        };
        let mut to = vec![0; source.len()];
        for (place, to) in to.chunks_exact_mut(channels).enumerate() {
            let (x, y) = from((place % width) as f64, (place / width) as f64);
            if !mixed {
                if let Some(pixel) = pixel(x.round_ties_even(), y.round_ties_even()) {
                    to.copy_from_slice(pixel);
                }
                continue;
            }
            let (left, top) = (x.floor(), y.floor());
            let (fx, fy) = (x - left, y - top);
            let corners = [
                (pixel(left, top), (1.0 - fx) * (1.0 - fy)),
                (pixel(left + 1.0, top), fx * (1.0 - fy)),
                (pixel(left, top + 1.0), (1.0 - fx) * fy),
                (pixel(left + 1.0, top + 1.0), fx * fy),
            ];
            for (channel, to) in to.iter_mut().enumerate() {
                let values = corners
                    .iter()
                    .filter_map(|(p, w)| p.map(|p| f64::from(p[channel]) * w));
                *to = values.sum::<f64>().round_ties_even() as u8;
            }
        }
        self.bytes = to;
    }
}

/// Where the corners of a picture of `[height, width]` come to lie, drawn as torchvision's `RandomPerspective` draws them.
pub(super) fn corners([height, width]: [usize; 2], rng: &mut impl Rng) -> [[f64; 2]; 4] {
    let [down, right] = [height, width].map(|side| (DISTORTION * (side / 2) as f64) as usize + 1);
    let mut corner = |far_right: bool, far_down: bool| {
        let mut place = |far: bool, most: usize, side: usize| {
            let moved = rng.random_range(0..most.min(side));
            (if far { side - 1 - moved } else { moved }) as f64
        };
        [
            place(far_right, right, width),
            place(far_down, down, height),
        ]
    };
    [
        corner(false, false),
        corner(true, false),
        corner(true, true),
        corner(false, true),
    ]
}

/// The unknowns of linear equations, each a row with its right side last, by elimination with the greatest pivot.
fn solved(mut rows: Vec<[f64; 9]>) -> Option<[f64; 8]> {
    for column in 0..8 {
        let pivot = (column..8).max_by(|a, b| {
            let size = |row: &usize| rows[*row][column].abs();
            size(a).total_cmp(&size(b))
        })?;
        rows.swap(column, pivot);
        let first = rows[column];
        if first[column].abs() < 1e-12 {
            return None;
        }
        for (place, row) in rows.iter_mut().enumerate() {
            let factor = row[column] / first[column];
            if place != column {
                for (to, from) in row.iter_mut().zip(first) {
                    *to -= factor * from;
                }
            }
        }
    }
    Some(std::array::from_fn(|i| rows[i][8] / rows[i][i]))
}
