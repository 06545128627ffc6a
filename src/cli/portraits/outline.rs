//! Outlines in face coordinates.
//!
//! Face coordinates: the origin lies between the eyes' height and the nose, x to the right, y down, the chin near y = 1.

/// A point, (x, y).
pub type Point = (f32, f32);

/// A filled outline: the union of closed polygons.
#[derive(Clone, Debug, Default)]
pub struct Outline(pub(crate) Vec<Vec<Point>>);

impl Outline {
    /// A smooth closed curve through `points` (Catmull–Rom).
    pub fn smooth(points: &[Point]) -> Self {
        Self::default().with(curve(points, true))
    }

    /// A polygon.
    pub fn polygon(points: &[Point]) -> Self {
        Self::default().with(points.to_vec())
    }

    /// A smooth closed curve through the right half, top to bottom, and its mirror image.
    pub fn mirrored(right: &[Point]) -> Self {
        let left = right.iter().rev().filter(|p| p.0 != 0.0);
        let all: Vec<Point> = right
            .iter()
            .copied()
            .chain(left.map(|p| (-p.0, p.1)))
            .collect();
        Self::smooth(&all)
    }

    /// An ellipse.
    pub fn ellipse((x, y): Point, (rx, ry): Point) -> Self {
        // A quarter circle through rational points, mirrored: no sine needed.
        let quarter = (0..8).map(|i| {
            let t = i as f32 / 8.0;
            let n = 1.0 + t * t;
            ((1.0 - t * t) / n, 2.0 * t / n)
        });
        let quarter: Vec<Point> = quarter.collect();
        let turned = |(c, s): Point, turn: usize| match turn {
            0 => (c, s),
            1 => (-s, c),
            2 => (-c, -s),
            _ => (s, -c),
        };
        let points = (0..4).flat_map(|turn| quarter.iter().map(move |p| turned(*p, turn)));
        Self::default().with(points.map(|(c, s)| (x + rx * c, y + ry * s)).collect())
    }

    /// A smooth line through `points`, `widths` wide at its start, middle and end.
    pub fn line(points: &[Point], widths: [f32; 3]) -> Self {
        let middle = curve(points, false);
        let last = (middle.len() - 1).max(1) as f32;
        let radius = |i: usize| {
            let t = 2.0 * i as f32 / last;
            let (a, b, t) = if t < 1.0 {
                (widths[0], widths[1], t)
            } else {
                (widths[1], widths[2], t - 1.0)
            };
            (a + (b - a) * t) / 2.0
        };
        let mut out = Self::default();
        for (i, pair) in middle.windows(2).enumerate() {
            let (a, b) = (pair[0], pair[1]);
            let (dx, dy) = (b.0 - a.0, b.1 - a.1);
            let length = (dx * dx + dy * dy).sqrt().max(1e-6);
            let normal = (-dy / length, dx / length);
            let (r, s) = (radius(i), radius(i + 1));
            out = out.with(vec![
                (a.0 + normal.0 * r, a.1 + normal.1 * r),
                (b.0 + normal.0 * s, b.1 + normal.1 * s),
                (b.0 - normal.0 * s, b.1 - normal.1 * s),
                (a.0 - normal.0 * r, a.1 - normal.1 * r),
            ]);
        }
        for (i, p) in middle.iter().enumerate() {
            out = out.and(Self::ellipse(*p, (radius(i), radius(i))));
        }
        out
    }

    /// The union of two outlines.
    pub fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// The outline moved by (x, y).
    pub fn moved(mut self, (x, y): Point) -> Self {
        for p in self.0.iter_mut().flatten() {
            *p = (p.0 + x, p.1 + y);
        }
        self
    }

    /// Adds a polygon, turned so that all wind the same way.
    fn with(mut self, mut points: Vec<Point>) -> Self {
        let area: f32 = edges(&points).map(|(a, b)| a.0 * b.1 - b.0 * a.1).sum();
        if area < 0.0 {
            points.reverse();
        }
        self.0.push(points);
        self
    }
}

/// The sides of a closed polygon.
pub fn edges(points: &[Point]) -> impl Iterator<Item = (Point, Point)> + '_ {
    let next = points.iter().cycle().skip(1);
    points.iter().copied().zip(next.copied())
}

/// Catmull–Rom through `points`, five steps a piece.
fn curve(points: &[Point], closed: bool) -> Vec<Point> {
    let n = points.len() as isize;
    if n < 3 {
        return points.to_vec();
    }
    let at = |i: isize| {
        let i = if closed {
            i.rem_euclid(n)
        } else {
            i.clamp(0, n - 1)
        };
        points[i as usize]
    };
    let mut out = Vec::new();
    for i in 0..if closed { n } else { n - 1 } {
        let (a, b, c, d) = (at(i - 1), at(i), at(i + 1), at(i + 2));
        for step in 0..5 {
            let t = step as f32 / 5.0;
            let mix = |a: f32, b: f32, c: f32, d: f32| {
                let cubic = (3.0 * (b - c) + d - a) * t + 2.0 * a - 5.0 * b + 4.0 * c - d;
                b + 0.5 * t * (c - a + t * cubic)
            };
            out.push((mix(a.0, b.0, c.0, d.0), mix(a.1, b.1, c.1, d.1)));
        }
    }
    if !closed {
        out.extend(points.last());
    }
    out
}
