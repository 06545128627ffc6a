//! Body, face and features.

use super::dice::{Rgb, blend, hash, shade};
use super::hair;
use super::person::Person;
use super::photo::Photo;
use super::shapes::{Canvas, Coverage, Outline, Point};

/// Shoulders, clothes and neck.
pub fn body(canvas: &mut Canvas, photo: &Photo) {
    let p = photo.person;
    let broad = 0.55 + p.neck;
    let shoulders = Outline::mirrored(&[
        (0.0, 1.28),
        (p.neck, 1.30),
        (broad, 1.48),
        (broad + 0.45, 1.70),
        (broad + 0.6, 2.8),
        (0.0, 2.8),
    ]);
    canvas.draw(&shoulders, p.shirt, 1.0);
    let dark = shade(p.skin, 0.8);
    let deep = if p.collar { 1.5 } else { 1.62 };
    let neck = Outline::smooth(&[
        (-p.neck, 0.6),
        (p.neck, 0.6),
        (p.neck, 1.3),
        (0.0, deep),
        (-p.neck, 1.3),
    ]);
    let cover = canvas.cover(&neck);
    canvas.fill(&cover, dark, 1.0);
    canvas.glow((0.0, 0.95), (0.7, 0.4), shade(p.skin, 0.5), 0.6, &cover);
    if p.collar {
        for sign in [-1.0, 1.0] {
            let wing = Outline::polygon(&[
                (sign * (p.neck + 0.03), 1.16),
                (sign * (p.neck + 0.2), 1.36),
                (sign * 0.22, 1.74),
                (0.0, 1.52),
            ]);
            canvas.draw(&wing, blend(p.shirt, [255.0; 3], 0.3), 1.0);
        }
    }
}

/// The head with all its features; returns the pixels of the face.
pub fn face(canvas: &mut Canvas, photo: &Photo) -> Coverage {
    let p = photo.person;
    let (w, jaw, sag) = (p.width, p.jaw, 0.035 * p.wear);
    ears(canvas, photo);
    let outline = Outline::mirrored(&[
        (0.0, -1.17),
        (0.44 * w, -1.06),
        (0.70 * w, -0.66),
        (0.745 * w, -0.15),
        (0.71 * w, 0.28),
        ((0.60 + jaw + sag) * w, 0.66),
        ((0.36 + jaw) * w, 0.93 + sag * 0.6),
        (0.14 + jaw, 1.05),
        (0.0, 1.06),
    ]);
    let face = canvas.cover(&outline);
    canvas.fill(&face, p.skin, 1.0);
    let dark = shade(p.skin, 0.62);
    for sign in [-1.0, 1.0] {
        let side = 0.5 + 0.3 * sign * photo.turn;
        canvas.glow((sign * 0.78 * w, 0.3), (0.4, 1.1), dark, 0.55 * side, &face);
        let blush = blend(p.skin, [222.0, 92.0, 84.0], 0.5);
        let at = (sign * 0.42 + 0.06 * photo.turn, 0.34);
        canvas.glow(at, (0.24, 0.2), blush, 0.5 * (1.0 - p.wear).max(0.1), &face);
    }
    canvas.glow((0.0, 1.12), (0.7, 0.22), dark, 0.5, &face);
    canvas.glow((0.05, -0.45), (0.5, 0.3), [255.0; 3], 0.14, &face);
    hair::beard(canvas, photo, &face);
    age_lines(canvas, photo, &face);
    for sign in [-1.0, 1.0] {
        eye(canvas, photo, sign, &face);
    }
    nose(canvas, photo, &face);
    mouth(canvas, photo);
    face
}

fn ears(canvas: &mut Canvas, photo: &Photo) {
    let p = photo.person;
    for sign in [-1.0, 1.0] {
        let x = sign * 0.755 * p.width - 0.03 * photo.turn;
        let long = 0.20 + 0.03 * p.wear;
        canvas.draw(
            &Outline::ellipse((x, 0.05), (0.09, long)),
            shade(p.skin, 0.9),
            1.0,
        );
        canvas.draw(
            &Outline::ellipse((x, 0.05), (0.045, 0.11)),
            shade(p.skin, 0.7),
            0.7,
        );
        if p.earrings {
            let ring = Outline::ellipse((x, 0.33), (0.055, 0.075));
            canvas.draw(&ring, [236.0, 206.0, 120.0], 1.0);
        }
    }
}

/// A line that shows with `strength`, dark with a lighter edge below.
fn crease(
    canvas: &mut Canvas,
    p: &Person,
    points: &[Point],
    width: f32,
    strength: f32,
    face: &Coverage,
) {
    if strength <= 0.02 {
        return;
    }
    let line = Outline::line(points, [width * 0.4, width, width * 0.4]);
    let cover = canvas.cover(&line).within(face);
    canvas.fill(&cover, shade(p.skin, 0.52), strength.min(1.0));
    let light = canvas.cover(&line.moved((0.0, width))).within(face);
    canvas.fill(
        &light,
        blend(p.skin, [255.0; 3], 0.35),
        0.4 * strength.min(1.0),
    );
}

/// Wrinkles, eye bags and spots.
fn age_lines(canvas: &mut Canvas, photo: &Photo, face: &Coverage) {
    let (p, x) = (photo.person, 0.06 * photo.turn);
    let wear = p.wear;
    let late = ((wear - 0.55) * 2.5).clamp(0.0, 1.0);
    for (i, y) in [-0.50, -0.60, -0.70, -0.41].into_iter().enumerate() {
        let strength = 1.25 * wear - 0.22 * i as f32;
        let half = 0.34 - 0.04 * i as f32;
        let wave = 0.02 * (hash(p.index as i32, i as i32) - 0.5);
        let points = [
            (x - half, y + 0.03),
            (x - 0.1, y + wave),
            (x + 0.12, y - wave),
            (x + half, y + 0.03),
        ];
        crease(canvas, p, &points, 0.046, strength, face);
    }
    for sign in [-1.0, 1.0] {
        let at = sign * p.eye_gap + x;
        for (y, to) in [(-0.04, -0.13), (0.0, 0.01), (0.04, 0.14)] {
            let points = [(at + sign * 0.2, y), (at + sign * 0.36, to)];
            crease(canvas, p, &points, 0.044, late * 0.95, face);
        }
        let bag = (1.4 * wear - 0.1).min(1.1);
        let points = [
            (at - sign * 0.15, 0.10),
            (at, 0.20 + 0.03 * late),
            (at + sign * 0.15, 0.11),
        ];
        canvas.glow(
            (at, 0.14),
            (0.2, 0.1),
            shade(p.skin, 0.55),
            0.8 * bag.max(0.0),
            face,
        );
        crease(canvas, p, &points, 0.040, bag, face);
        let fold = [
            (x + sign * 0.19, 0.34),
            (x + sign * 0.32, 0.52),
            (x + sign * 0.36, 0.70),
        ];
        crease(canvas, p, &fold, 0.036, 1.1 * wear - 0.15, face);
        let jowl = [
            (x + sign * 0.34, 0.72),
            (x + sign * 0.40, 0.86),
            (x + sign * 0.32, 0.98),
        ];
        crease(canvas, p, &jowl, 0.036, late * 0.8, face);
        let frown = [(x + sign * 0.06, -0.32), (x + sign * 0.05, -0.18)];
        crease(canvas, p, &frown, 0.03, wear - 0.4, face);
    }
    for i in 0..6 {
        let place = |k: i32| hash(p.index as i32 * 31 + i, k) - 0.5;
        let at = (place(1) * 1.1, place(2) * 1.1 - 0.15);
        let spot = blend(p.skin, [112.0, 74.0, 48.0], 0.6);
        canvas.glow(at, (0.06, 0.05), spot, 0.8 * late, face);
    }
}

fn eye(canvas: &mut Canvas, photo: &Photo, sign: f32, face: &Coverage) {
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

fn nose(canvas: &mut Canvas, photo: &Photo, face: &Coverage) {
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

fn mouth(canvas: &mut Canvas, photo: &Photo) {
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
