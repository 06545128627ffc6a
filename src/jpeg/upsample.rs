//! Components of fewer samples than pixels, brought to the picture's size as libjpeg-turbo's `jdsample` does.
//!
//! Halves are "fancy": a sample counts three parts and its neighbour one, and what is halved is rounded up and down in turn.
//! Other ratios, components of one or two samples across, and pictures of one pixel a block repeat their samples.

use crate::frame::{Component, Frame};
use crate::planes::Plane;

enum Kind {
    Full,
    /// Half across.
    Across,
    /// Half down.
    Down,
    /// Half across and down.
    Both,
    Repeat(usize, usize),
}

/// Gives a component's lines at the picture's size.
pub(crate) struct Lines {
    pub(crate) plane: Plane,
    kind: Kind,
    /// Sums of two lines, for [`Kind::Both`].
    sums: Vec<u16>,
    line: Vec<u8>,
}

impl Lines {
    pub(crate) fn new(plane: Plane, component: &Component, frame: &Frame) -> Self {
        let across = frame.max_h * frame.block / (component.h * component.size);
        let down = frame.max_v * frame.block / (component.v * component.size);
        let fancy = frame.block > 1;
        let kind = match (across, down) {
            (1, 1) => Kind::Full,
            (2, 1) if fancy && plane.width() > 2 => Kind::Across,
            (1, 2) if fancy => Kind::Down,
            (2, 2) if fancy && plane.width() > 2 => Kind::Both,
            _ => Kind::Repeat(across, down),
        };
        let line = if matches!(kind, Kind::Full) {
            0
        } else {
            plane.width() * across
        };
        Self {
            sums: vec![0; plane.width()],
            line: vec![0; line],
            plane,
            kind,
        }
    }

    /// Line `y` of the picture; at least as long as it is wide.
    pub(crate) fn line(&mut self, y: usize) -> &[u8] {
        // The line whose share is three quarters, and the nearer of its neighbours; beyond the edges it stands for itself.
        let near = self.plane.row(y / 2);
        let far = self.plane.row(if y.is_multiple_of(2) {
            (y / 2).saturating_sub(1)
        } else {
            y / 2 + 1
        });
        match self.kind {
            Kind::Full => return self.plane.row(y),
            Kind::Across => across(self.plane.row(y), &mut self.line),
            Kind::Down => {
                let bias = if y.is_multiple_of(2) { 1 } else { 2 };
                for ((out, &near), &far) in self.line.iter_mut().zip(near).zip(far) {
                    *out = ((3 * u16::from(near) + u16::from(far) + bias) >> 2) as u8;
                }
            }
            Kind::Both => {
                for ((out, &near), &far) in self.sums.iter_mut().zip(near).zip(far) {
                    *out = 3 * u16::from(near) + u16::from(far);
                }
                both(&self.sums, &mut self.line);
            }
            Kind::Repeat(across, down) => {
                for (out, &value) in self
                    .line
                    .chunks_exact_mut(across)
                    .zip(self.plane.row(y / down))
                {
                    out.fill(value);
                }
            }
        }
        &self.line
    }
}

/// Twice as many samples across. There are at least three.
fn across(from: &[u8], out: &mut [u8]) {
    let n = from.len();
    for (out, three) in out[2..2 * n - 2].chunks_exact_mut(2).zip(from.windows(3)) {
        let [left, here, right] = [three[0], three[1], three[2]].map(u16::from);
        out[0] = ((3 * here + left + 1) >> 2) as u8;
        out[1] = ((3 * here + right + 2) >> 2) as u8;
    }
    let wide = |i: usize| u16::from(from[i]);
    out[0] = from[0];
    out[1] = ((3 * wide(0) + wide(1) + 2) >> 2) as u8;
    out[2 * n - 2] = ((3 * wide(n - 1) + wide(n - 2) + 1) >> 2) as u8;
    out[2 * n - 1] = from[n - 1];
}

/// The same of sums of two lines, which count four times.
fn both(sums: &[u16], out: &mut [u8]) {
    let n = sums.len();
    for (out, three) in out[2..2 * n - 2].chunks_exact_mut(2).zip(sums.windows(3)) {
        let (left, here, right) = (three[0], three[1], three[2]);
        out[0] = ((3 * here + left + 8) >> 4) as u8;
        out[1] = ((3 * here + right + 7) >> 4) as u8;
    }
    out[0] = ((4 * sums[0] + 8) >> 4) as u8;
    out[1] = ((3 * sums[0] + sums[1] + 7) >> 4) as u8;
    out[2 * n - 2] = ((3 * sums[n - 1] + sums[n - 2] + 8) >> 4) as u8;
    out[2 * n - 1] = ((4 * sums[n - 1] + 7) >> 4) as u8;
}
