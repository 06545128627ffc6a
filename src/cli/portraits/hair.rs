//! Hair on the head and on the jaw.

use super::canvas::{Canvas, Coverage};
use super::outline::{Outline, Point};
use super::person::{Beard, HairStyle, Person};
use super::photo::Photo;
use super::rng::{Rgb, blend, hash, shade};

const GREY: Rgb = [208.0, 206.0, 204.0];

/// A strand's colour: each is either grey or not, and some are lighter.
fn strand(person: &Person, (x, y): Point) -> Rgb {
    // Strands run downwards and a little outwards.
    let lane = (x * 46.0 + y * 3.0 * x).floor() as i32;
    let piece = (y * 3.0 + hash(lane, 1) * 5.0).floor() as i32;
    let grey = if hash(lane, piece) < person.grey {
        0.35 + 0.5 * person.grey
    } else {
        0.6 * person.grey
    };
    let light = 0.84 + 0.32 * hash(lane, 77) + 0.10 * (-y).clamp(-0.5, 1.0);
    shade(blend(person.hair, GREY, grey), light)
}

fn grow(canvas: &mut Canvas, person: &Person, cover: &Coverage, alpha: f32) {
    canvas.fill_with(cover, |p| (strand(person, p), alpha));
}

/// What hangs behind the head.
pub fn behind(canvas: &mut Canvas, photo: &Photo) {
    let p = photo.person;
    let w = p.width;
    let outline = match p.style {
        HairStyle::Long => Outline::mirrored(&[
            (0.0, -1.30),
            (0.58 * w, -1.12),
            (0.88 * w, -0.5),
            (0.93 * w, 0.3),
            (0.98 * w, 1.2),
            (0.80 * w, 1.75),
            (0.0, 1.6),
        ]),
        HairStyle::Bob => Outline::mirrored(&[
            (0.0, -1.28),
            (0.58 * w, -1.1),
            (0.90 * w, -0.5),
            (0.96 * w, 0.2),
            (0.88 * w, 0.82),
            (0.45 * w, 0.9),
            (0.0, 0.8),
        ]),
        HairStyle::Bun => Outline::ellipse((-0.1 * photo.turn, -1.34), (0.30, 0.24)),
        HairStyle::Curly => (0..13).fold(Outline::default(), |outline, i| {
            let t = i as f32 / 6.0 - 1.0;
            let y = -1.05 + 0.62 * t * t * t * t + 0.06 * hash(i, 3);
            outline.and(Outline::ellipse((t * 0.80 * w, y), (0.22, 0.26)))
        }),
        _ => return,
    };
    let cover = canvas.cover(&outline);
    grow(canvas, p, &cover, 1.0);
    canvas.fill(&cover, [20.0, 16.0, 16.0], 0.22);
}

/// The hair over the forehead and at the sides.
pub fn front(canvas: &mut Canvas, photo: &Photo, face: &Coverage) {
    let p = photo.person;
    let (w, back) = (p.width, p.receding);
    let part = 0.12 * photo.turn
        + if p.index.is_multiple_of(3) {
            0.15
        } else {
            -0.12
        };
    // Hairline in the middle and in the corners.
    let (middle, corner) = (-0.70 - 0.16 * back, -0.62 - 0.40 * back);
    let crown = match p.style {
        HairStyle::Bald | HairStyle::Buzz => -1.19,
        HairStyle::Short | HairStyle::Bun => -1.29,
        _ => -1.33,
    };
    let (low, out) = match p.style {
        HairStyle::Long => (0.75, 0.84),
        HairStyle::Bob => (0.55, 0.84),
        HairStyle::Curly => (0.05, 0.82),
        _ => (0.02, 0.775),
    };
    let inner = if matches!(p.style, HairStyle::Long | HairStyle::Bob) {
        0.68
    } else {
        0.70
    };
    if p.style == HairStyle::Bald {
        for sign in [-1.0, 1.0] {
            let side = Outline::smooth(&[
                (sign * 0.70 * w, 0.02),
                (sign * 0.79 * w, -0.1),
                (sign * 0.80 * w, -0.45),
                (sign * 0.70 * w, -0.72),
                (sign * 0.655 * w, -0.45),
                (sign * 0.69 * w, -0.2),
            ]);
            let cover = canvas.cover(&side);
            grow(canvas, p, &cover, 0.92);
        }
        canvas.glow((0.1, -0.92), (0.3, 0.16), [255.0; 3], 0.28, face);
        return;
    }
    let cap = Outline::smooth(&[
        (-inner * w, low),
        (-out * w, low - 0.1),
        (-(out + 0.02) * w, -0.5),
        (-0.55 * w, -1.05),
        (0.0, crown),
        (0.55 * w, -1.05),
        ((out + 0.02) * w, -0.5),
        (out * w, low - 0.1),
        (inner * w, low),
        (0.66 * w, -0.25),
        (0.60 * w, -0.50),
        (0.40 * w, corner),
        (part, middle),
        (-0.40 * w, corner),
        (-0.60 * w, -0.50),
        (-0.66 * w, -0.25),
    ]);
    let cover = canvas.cover(&cap);
    let thin = 0.35 * (back - 0.5).max(0.0);
    let alpha = if p.style == HairStyle::Buzz {
        0.72
    } else {
        1.0 - thin
    };
    grow(canvas, p, &cover, alpha);
    if p.style == HairStyle::Curly {
        for i in 0..9 {
            let t = i as f32 / 4.0 - 1.0;
            let curl = Outline::ellipse(
                (t * 0.60 * w, -0.93 + 0.22 * t * t - 0.1 * back),
                (0.15, 0.15),
            );
            let cover = canvas.cover(&curl);
            grow(canvas, p, &cover, 1.0 - thin);
        }
    }
    if p.fringe {
        let fringe = Outline::smooth(&[
            (-0.66 * w, -0.32),
            (-0.55 * w, -0.95),
            (0.0, -1.15),
            (0.55 * w, -0.95),
            (0.66 * w, -0.36),
            (0.35 * w, -0.44),
            (part, -0.40),
            (-0.35 * w, -0.46),
        ]);
        let cover = canvas.cover(&fringe);
        grow(canvas, p, &cover, 1.0);
    }
}

/// The beard, within the face and a little below it.
pub fn beard(canvas: &mut Canvas, photo: &Photo, face: &Coverage) {
    let p = photo.person;
    let (w, x) = (p.width, 0.08 * photo.turn);
    let moustache = Outline::smooth(&[
        (x - 0.27, 0.58),
        (x - 0.12, 0.45),
        (x, 0.46),
        (x + 0.12, 0.45),
        (x + 0.27, 0.58),
        (x, 0.53),
    ]);
    let jaw = |down: f32| {
        let mut right = vec![(0.74 * w, 0.05), (0.73 * w, 0.45), (0.60 * w, 0.84 + down)];
        right.extend([(0.34 * w, 1.05 + down), (0.0, 1.12 + down)]);
        let inner = [
            (0.0, 0.78),
            (0.30 * w, 0.72),
            (0.38 * w, 0.52),
            (0.62 * w, 0.30),
        ];
        let mut points: Vec<Point> = right.clone();
        points.extend(right.iter().rev().skip(1).map(|(x, y)| (-x, *y)));
        points.extend(inner.iter().rev().map(|(px, y)| (x - px, *y)));
        points.extend(inner.iter().skip(1).map(|(px, y)| (x + px, *y)));
        Outline::smooth(&points)
    };
    match p.beard {
        Beard::Shaven => {}
        Beard::Stubble => {
            let cover = canvas.cover(&jaw(0.0).and(moustache)).within(face);
            grow(canvas, p, &cover, 0.30);
        }
        Beard::Moustache => {
            let cover = canvas.cover(&moustache);
            grow(canvas, p, &cover, 0.9);
        }
        Beard::Full => {
            let cover = canvas.cover(&jaw(0.06).and(moustache));
            grow(canvas, p, &cover, 0.93);
        }
    }
}
