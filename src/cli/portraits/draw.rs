//! Body, head and the marks of age.

use super::canvas::{Canvas, Coverage};
use super::outline::{Outline, Point};
use super::person::Person;
use super::photo::Photo;
use super::rng::{blend, hash, shade};
use super::{features, hair};

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
        features::eye(canvas, photo, sign, &face);
    }
    features::nose(canvas, photo, &face);
    features::mouth(canvas, photo);
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
    canvas.fill(&cover, shade(p.skin, 0.44), strength.min(1.0));
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
    let late = ((wear - 0.58) * 3.0).clamp(0.0, 1.0);
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
        crease(canvas, p, &frown, 0.036, 1.5 * wear - 0.3, face);
    }
    for i in 0..6 {
        let place = |k: i32| hash(p.index as i32 * 31 + i, k) - 0.5;
        let at = (place(1) * 1.1, place(2) * 1.1 - 0.15);
        let spot = blend(p.skin, [112.0, 74.0, 48.0], 0.6);
        canvas.glow(at, (0.06, 0.05), spot, 0.8 * late, face);
    }
}
