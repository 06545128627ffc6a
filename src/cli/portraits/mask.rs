//! Face masks: their kinds, colours and how they sit.

use super::canvas::Canvas;
use super::outline::{Outline, Point};
use super::person::Person;
use super::rng::{PortraitRng, Rgb, blend, shade, smoothstep};

/// How the mask is worn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaskState {
    /// Over nose, mouth and chin.
    Worn,
    /// Mouth and chin covered, the nose free.
    NoseFree,
    /// Around the chin, mouth and nose free.
    UnderChin,
    /// Only the mouth covered.
    MouthOnly,
    /// No mask.
    NotWorn,
}

impl MaskState {
    /// The label of the mask head.
    pub fn label(self) -> &'static str {
        match self {
            Self::Worn => "worn",
            Self::NoseFree | Self::UnderChin | Self::MouthOnly => "incorrect",
            Self::NotWorn => "not_worn",
        }
    }

    /// The photos of one person: one or two worn, one incorrect, one not worn.
    pub fn of_person(seed: u64, person: &Person) -> Vec<Self> {
        let d = &mut PortraitRng::new(seed, person.index, u64::MAX - 1);
        let wrong = d.weighted([
            (Self::NoseFree, 0.45),
            (Self::UnderChin, 0.35),
            (Self::MouthOnly, 0.2),
        ]);
        let mut states = vec![Self::Worn, wrong, Self::NotWorn];
        if d.chance(0.5) {
            states.push(Self::Worn);
        }
        states
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Pleated.
    Surgical,
    /// Two halves and a seam.
    Folded,
    /// Cloth, plain, striped or dotted.
    Cloth,
}

/// One mask.
#[derive(Clone, Copy, Debug)]
pub struct Mask {
    kind: Kind,
    colour: Rgb,
    second: Rgb,
    /// 0 plain, 1 striped, 2 dotted.
    pattern: u8,
    slack: f32,
}

impl Mask {
    /// A random mask.
    pub fn new(d: &mut PortraitRng) -> Self {
        let kind = d.weighted([
            (Kind::Surgical, 0.5),
            (Kind::Folded, 0.25),
            (Kind::Cloth, 0.25),
        ]);
        let white = [238.0, 240.0, 240.0];
        let black = [38.0, 38.0, 42.0];
        let colour = match kind {
            Kind::Surgical => d.weighted([
                ([142.0, 190.0, 216.0], 0.5),
                (white, 0.3),
                ([156.0, 206.0, 186.0], 0.1),
                (black, 0.1),
            ]),
            Kind::Folded => {
                d.weighted([(white, 0.6), (black, 0.25), ([170.0, 172.0, 176.0], 0.15)])
            }
            Kind::Cloth => d.pick([
                black,
                [60.0, 76.0, 120.0],
                [168.0, 64.0, 74.0],
                [110.0, 130.0, 98.0],
                [214.0, 186.0, 170.0],
            ]),
        };
        let plain = kind != Kind::Cloth;
        Self {
            kind,
            colour: d.near(colour, 8.0),
            second: d.pick([white, [220.0, 196.0, 120.0], [30.0, 34.0, 60.0]]),
            pattern: if plain { 0 } else { d.pick([0, 0, 1, 2]) },
            slack: d.between(-0.03, 0.03),
        }
    }

    /// Upper edge in the middle, upper edge at the sides, lower edge in the middle, half width.
    fn fit(&self, state: MaskState) -> Option<(f32, f32, f32, f32)> {
        let s = self.slack;
        match state {
            MaskState::Worn => Some((0.07 + s, 0.22 + s, 1.11, 0.70)),
            MaskState::NoseFree => Some((0.44 + s, 0.42 + s, 1.13, 0.69)),
            MaskState::UnderChin => Some((0.86 + s, 0.72 + s, 1.30, 0.60)),
            MaskState::MouthOnly => Some((0.43 + s, 0.45 + s, 0.80, 0.60)),
            MaskState::NotWorn => None,
        }
    }

    /// Draws the mask, worn as `state` says, on a face of this width, turned so far to the side.
    pub fn draw(&self, canvas: &mut Canvas, state: MaskState, width: f32, turn: f32) {
        let Some((top, side, bottom, half)) = self.fit(state) else {
            return;
        };
        let w = half * width;
        let tall = bottom - top;
        let near = 0.10 * turn;
        let ear = 0.72 * width;
        let string = blend(self.colour, [235.0; 3], 0.7);
        for sign in [-1.0, 1.0] {
            let (at, lobe) = ((sign * (w - 0.03), side + 0.05), (sign * ear, 0.0));
            let low = (sign * (w - 0.12), side + 0.6 * (bottom - side));
            let upper = Outline::line(&[at, lobe], [0.035; 3]);
            let lower = Outline::line(&[low, (sign * ear, 0.22)], [0.035; 3]);
            canvas.draw(&upper.and(lower), string, 0.9);
        }
        let bow = if self.kind == Kind::Folded { 0.05 } else { 0.0 };
        let right = [
            (near, top - bow),
            (
                near * 0.9 + 0.22 * w,
                top + 0.03 * tall + 0.2 * (side - top),
            ),
            (w, side),
            (w * 0.99, side + 0.45 * (bottom - side)),
            (near * 0.5 + w * 0.70, bottom - 0.14 * tall),
            (near * 0.5 + w * 0.30, bottom - 0.01),
        ];
        let mut points: Vec<Point> = right.to_vec();
        points.push((near * 0.5, bottom));
        let left = right.iter().rev().take(5).map(|(x, y)| (-x, *y));
        points.extend(
            left.zip([1.0, 1.0, 0.0, 0.0, 1.8])
                .map(|((x, y), by)| (x + by * near, y)),
        );
        let outline = Outline::smooth(&points);
        let shadow = canvas.cover(&outline.clone().moved((0.0, 0.04)));
        canvas.fill(&shadow, [40.0, 30.0, 30.0], 0.3);
        let cover = canvas.cover(&outline);
        let mask = *self;
        canvas.fill_with(&cover, |p| (mask.cloth(p, near, top, bottom, w), 1.0));
    }

    fn cloth(&self, (x, y): Point, middle: f32, top: f32, bottom: f32, half: f32) -> Rgb {
        let across = (x - middle) / half;
        let down = (y - top) / (bottom - top);
        let mut light = 1.04 - 0.22 * across * across - 0.16 * smoothstep(0.5, 1.1, down);
        let mut colour = self.colour;
        match self.kind {
            Kind::Surgical => {
                let fold = (down * 4.0).fract();
                if down > 0.12 && down < 0.92 {
                    light -= 0.16 * (1.0 - smoothstep(0.0, 0.25, fold));
                }
                light += 0.06 * (1.0 - smoothstep(0.0, 0.1, down));
            }
            Kind::Folded => {
                light += 0.08 * (1.0 - smoothstep(0.0, 0.5, across.abs()));
                light -= 0.22 * (1.0 - smoothstep(0.0, 0.05, across.abs()));
            }
            Kind::Cloth => {
                let dotted = |v: f32| (v * 7.0).fract() < 0.5;
                let second = match self.pattern {
                    1 => (y * 8.0).fract().abs() < 0.35,
                    2 => dotted(x + 4.0) && dotted(y + 4.0),
                    _ => false,
                };
                if second {
                    colour = self.second;
                }
            }
        }
        shade(colour, light)
    }
}
