//! Eyes, brows, nose, mouth and glasses.

use super::canvas::{Canvas, Coverage};
use super::outline::Outline;
use super::photo::Photo;
use super::rng::{Rgb, blend, shade};

/// The eye on one side and its brow.
pub fn eye(canvas: &mut Canvas, photo: &Photo, sign: f32, face: &Coverage) {
    let p = photo.person;
    let (x, r) = (sign * p.eye_gap + 0.07 * photo.turn, p.eye_size);
    let open = 0.52 * r * photo.lids * (1.0 - 0.24 * p.wear);
    let droop = 0.03 * p.wear;
    canvas.glow((x, -0.03), (0.24, 0.15), shade(p.skin, 0.66), 0.6, face);
    let white = Outline::smooth(&[
        (x - sign * r, 0.02),
        (x - sign * 0.3 * r, -open),
        (x + sign * 0.4 * r, -open + droop),
        (x + sign * r, droop),
        (x, open * 0.8),
    ]);
    let cover = canvas.cover(&white);
    canvas.fill(&cover, [236.0, 232.0, 228.0], 1.0);
    let look = (x + 0.02 * photo.turn, -0.01);
    let iris = canvas
        .cover(&Outline::ellipse(look, (0.075, 0.08)))
        .within(&cover);
    canvas.fill(&iris, p.iris, 1.0);
    let pupil = canvas
        .cover(&Outline::ellipse(look, (0.036, 0.038)))
        .within(&cover);
    canvas.fill(&pupil, [14.0, 12.0, 12.0], 1.0);
    canvas.draw(
        &Outline::ellipse((look.0 + 0.025, -0.035), (0.016, 0.016)),
        [255.0; 3],
        0.9,
    );
    let lid = [
        (x - sign * r, 0.02),
        (x - sign * 0.3 * r, -open),
        (x + sign * 0.4 * r, -open + droop),
        (x + sign * r, droop),
    ];
    let thick = 0.022 + 0.04 * p.lashes;
    let line = Outline::line(&lid, [thick * 0.5, thick, thick * 1.2]);
    canvas.draw(&line, [36.0, 26.0, 24.0], 0.65 + 0.35 * p.lashes);
    if p.lashes > 0.5 {
        let tip = [
            (x + sign * 0.7 * r, -open * 0.5),
            (x + sign * 1.35 * r, -open * 0.9),
        ];
        canvas.draw(
            &Outline::line(&tip, [0.035, 0.03, 0.012]),
            [30.0, 22.0, 22.0],
            p.lashes,
        );
    }
    brow(canvas, photo, sign, x);
}

fn brow(canvas: &mut Canvas, photo: &Photo, sign: f32, x: f32) {
    let p = photo.person;
    let y = if p.female { -0.265 } else { -0.235 } + 0.02 * p.wear;
    let arch = if p.female { 0.075 } else { 0.035 };
    let points = [
        (x - sign * 0.19, y + 0.02),
        (x, y - arch * 0.7),
        (x + sign * 0.13, y - arch),
        (x + sign * 0.25, y + 0.03),
    ];
    let grey = (p.grey * 0.85 - 0.1).clamp(0.0, 1.0);
    let colour: Rgb = blend(shade(p.hair, 0.85), [196.0, 194.0, 192.0], grey);
    let line = Outline::line(&points, [p.brow * 0.9, p.brow, p.brow * 0.35]);
    canvas.draw(&line, colour, 0.92);
}

/// The nose.
pub fn nose(canvas: &mut Canvas, photo: &Photo, face: &Coverage) {
    let p = photo.person;
    let (x, r) = (0.12 * photo.turn, p.nose);
    let dark = shade(p.skin, 0.62);
    let side = if photo.turn > 0.0 { -1.0 } else { 1.0 };
    let bridge = [
        (0.07 * photo.turn + side * 0.07, -0.12),
        (x + side * 0.06, 0.14),
        (x + side * r, 0.33),
    ];
    let cover = canvas
        .cover(&Outline::line(&bridge, [0.03, 0.05, 0.07]))
        .within(face);
    canvas.fill(&cover, dark, 0.42);
    canvas.glow((x, 0.38), (r * 1.4, 0.10), dark, 0.85, face);
    canvas.glow(
        (x - side * 0.02, 0.26),
        (r * 0.8, 0.14),
        [255.0; 3],
        0.3,
        face,
    );
    for sign in [-1.0, 1.0] {
        let hole = Outline::ellipse((x + sign * r * 0.5, 0.36), (0.045, 0.026));
        canvas.draw(&hole, shade(p.skin, 0.3), 0.85);
    }
}

/// The lips, and teeth in a broad smile.
pub fn mouth(canvas: &mut Canvas, photo: &Photo) {
    let p = photo.person;
    let x = 0.09 * photo.turn;
    let (half, up) = (0.23 + 0.05 * photo.smile, 0.05 * photo.smile);
    let lips = Outline::smooth(&[
        (x - half, 0.64 - up),
        (x - 0.07, 0.635 - p.lips * 0.8),
        (x, 0.645 - p.lips * 0.6),
        (x + 0.07, 0.635 - p.lips * 0.8),
        (x + half, 0.64 - up),
        (x + 0.1, 0.66 + p.lips),
        (x - 0.1, 0.66 + p.lips),
    ]);
    canvas.draw(&lips, p.lip_colour, 0.95);
    let line = [(x - half, 0.64 - up), (x, 0.655), (x + half, 0.64 - up)];
    if photo.smile > 0.65 {
        let teeth = Outline::smooth(&[
            (x - half * 0.75, 0.64 - up * 0.6),
            (x, 0.635),
            (x + half * 0.75, 0.64 - up * 0.6),
            (x, 0.70),
        ]);
        canvas.draw(&teeth, [240.0, 236.0, 228.0], 1.0);
    } else {
        canvas.draw(
            &Outline::line(&line, [0.02, 0.03, 0.02]),
            shade(p.lip_colour, 0.42),
            0.9,
        );
    }
}

/// Glasses, over the hair at the temples and under the mask.
pub fn glasses(canvas: &mut Canvas, photo: &Photo) {
    let p = photo.person;
    let Some(frame) = p.glasses else {
        return;
    };
    let x = 0.08 * photo.turn;
    for sign in [-1.0, 1.0] {
        let at = (x + sign * (p.eye_gap + 0.01), 0.02);
        let rim = canvas.cover(&Outline::ellipse(at, (0.245, 0.19)));
        let lens = canvas.cover(&Outline::ellipse(at, (0.215, 0.16)));
        canvas.fill(&lens, [240.0, 246.0, 250.0], 0.10);
        canvas.fill(&rim.outside(&lens), frame, 0.95);
        let arm = [(at.0 + sign * 0.24, 0.0), (sign * 0.75 * p.width, -0.03)];
        canvas.draw(&Outline::line(&arm, [0.04; 3]), frame, 0.95);
    }
    let bridge = [
        (x - p.eye_gap + 0.23, 0.0),
        (x, -0.03),
        (x + p.eye_gap - 0.23, 0.0),
    ];
    canvas.draw(&Outline::line(&bridge, [0.04; 3]), frame, 0.95);
}
