//! Who is drawn: everything that stays the same from photo to photo.

use super::rng::{PortraitRng, Rgb, blend, shade};

/// How hair is worn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HairStyle {
    /// A rim of hair at the sides.
    Bald,
    /// Close to the skull.
    Buzz,
    /// Above the ears.
    Short,
    /// Full and wavy, to the ears.
    Curly,
    /// To the jaw.
    Bob,
    /// To the shoulders and beyond.
    Long,
    /// Tied up on the head.
    Bun,
}

/// What grows on the jaw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beard {
    /// Nothing.
    Shaven,
    /// A shadow.
    Stubble,
    /// A moustache only.
    Moustache,
    /// A full beard.
    Full,
}

/// A person's looks. Lengths are in face units, amounts from 0 to 1.
#[derive(Clone, Debug)]
pub struct Person {
    /// Seed of the set; with the index, the key of every draw.
    pub seed: u64,
    /// Place in the set.
    pub index: u64,
    /// Female or male.
    pub female: bool,
    /// Years.
    pub age: u32,
    /// How strongly age shows in the skin.
    pub wear: f32,
    /// Tone of the skin.
    pub skin: Rgb,
    /// Factor of the face's width.
    pub width: f32,
    /// How far the jaw stands out.
    pub jaw: f32,
    /// Half width of the neck.
    pub neck: f32,
    /// Colour of the hair before it greyed.
    pub hair: Rgb,
    /// Share of grey strands.
    pub grey: f32,
    /// How hair is worn.
    pub style: HairStyle,
    /// Hair over the forehead.
    pub fringe: bool,
    /// How far the hairline has gone back.
    pub receding: f32,
    /// Thickness of the brows.
    pub brow: f32,
    /// From the middle of the face to an eye.
    pub eye_gap: f32,
    /// Half width of an eye.
    pub eye_size: f32,
    /// Colour of the eyes.
    pub iris: Rgb,
    /// How far lashes or their make-up show.
    pub lashes: f32,
    /// Half width of the nose.
    pub nose: f32,
    /// Thickness of a lip.
    pub lips: f32,
    /// Natural, or lipstick.
    pub lip_colour: Rgb,
    /// What grows on the jaw.
    pub beard: Beard,
    /// Whether there are earrings.
    pub earrings: bool,
    /// Colour of the frame of glasses.
    pub glasses: Option<Rgb>,
    /// Colour of the clothes.
    pub shirt: Rgb,
    /// Whether they have a collar.
    pub collar: bool,
    /// Background.
    pub wall: Rgb,
    /// A second colour of the background and where it begins.
    pub wall_edge: (Rgb, f32),
}

const SKINS: [Rgb; 7] = [
    [247.0, 214.0, 190.0],
    [238.0, 198.0, 168.0],
    [226.0, 182.0, 146.0],
    [209.0, 162.0, 122.0],
    [178.0, 130.0, 92.0],
    [140.0, 97.0, 68.0],
    [110.0, 76.0, 56.0],
];
const HAIRS: [Rgb; 6] = [
    [32.0, 26.0, 26.0],
    [56.0, 38.0, 30.0],
    [88.0, 58.0, 38.0],
    [124.0, 84.0, 52.0],
    [180.0, 140.0, 86.0],
    [120.0, 62.0, 40.0],
];
const WALLS: [Rgb; 8] = [
    [214.0, 214.0, 208.0],
    [176.0, 190.0, 204.0],
    [198.0, 184.0, 160.0],
    [150.0, 164.0, 150.0],
    [120.0, 130.0, 146.0],
    [226.0, 208.0, 190.0],
    [96.0, 92.0, 100.0],
    [190.0, 206.0, 190.0],
];
const SHIRTS: [Rgb; 8] = [
    [44.0, 52.0, 74.0],
    [232.0, 232.0, 230.0],
    [140.0, 52.0, 54.0],
    [70.0, 104.0, 90.0],
    [40.0, 40.0, 42.0],
    [150.0, 164.0, 190.0],
    [196.0, 164.0, 110.0],
    [118.0, 96.0, 132.0],
];

impl Person {
    /// The person at `index`. Gender and age band follow from the index, so six people in a row hold all six.
    pub fn new(seed: u64, index: u64) -> Self {
        // Photos are numbered from 0; this key is none of theirs.
        let d = &mut PortraitRng::new(seed, index, u64::MAX);
        let female = index % 2 == 1;
        let band = (index / 2 % 3) as usize;
        // Some years around the borders are left out: nobody could tell 59 from 60.
        let (youngest, oldest) = [(18, 26), (34, 55), (65, 85)][band];
        let age = (d.between(youngest as f32, oldest as f32 + 1.0) as u32).min(oldest);
        let within = (age - youngest) as f32 / (oldest - youngest) as f32;
        let (fresh, worn) = [(0.0, 0.07), (0.42, 0.55), (0.94, 1.08)][band];
        let wear = (fresh + (worn - fresh) * within + d.normal(0.0, 0.025)).clamp(0.0, 1.1);
        let either = |d: &mut PortraitRng, f: f32, m: f32| d.chance(if female { f } else { m });
        let by = |f: f32, m: f32| if female { f } else { m };

        let skin = d.pick(SKINS);
        let skin = d.near(skin, 6.0);
        let pale = blend(skin, [205.0, 190.0, 176.0], 0.16);
        let skin = blend(skin, pale, (wear - 0.5).max(0.0) * 2.0);
        let grey = match band {
            0 => 0.0,
            1 if d.chance(0.45) => d.between(0.0, 0.12),
            1 => d.between(0.12, 0.40),
            // Some dye it.
            _ if either(d, 0.07, 0.03) => 0.05,
            _ => d.between(0.72, 1.0),
        };
        let style = Self::style(d, female, band);
        let receding = match (female, band) {
            (true, _) => d.between(0.0, 0.12) + wear * 0.06,
            (false, 0) => d.between(0.0, 0.2),
            (false, 1) => d.between(0.1, 0.7),
            (false, _) => d.between(0.3, 1.0),
        };
        let bearded = [0.22, 0.30, 0.26][band];
        let beard = if female {
            Beard::Shaven
        } else {
            d.weighted([
                (Beard::Shaven, 0.34),
                (Beard::Stubble, 0.34),
                (Beard::Moustache, 0.08),
                (Beard::Full, bearded),
            ])
        };
        let made_up = either(d, 0.66, 0.02);
        let natural = blend(skin, [176.0, 84.0, 84.0], 0.5);
        let lipsticks = [
            [176.0, 36.0, 52.0],
            [196.0, 84.0, 100.0],
            [150.0, 44.0, 70.0],
        ];
        let wall = d.pick(WALLS);
        let wall = d.near(wall, 8.0);
        Self {
            seed,
            index,
            female,
            age,
            wear,
            skin,
            width: d.normal(by(0.96, 1.02), 0.035),
            jaw: d.normal(by(-0.035, 0.05), 0.03),
            neck: d.normal(by(0.34, 0.47), 0.03),
            hair: {
                let hair = d.pick(HAIRS);
                d.near(hair, 8.0)
            },
            grey,
            style,
            fringe: d.chance([by(0.36, 0.1), by(0.04, 0.0), 0.0][band]),
            receding,
            brow: d.normal(by(0.050, 0.106), 0.010).max(0.03),
            eye_gap: d.normal(0.335, 0.015),
            eye_size: d.normal(by(0.165, 0.150), 0.008) * (1.0 - 0.1 * wear),
            iris: d.pick([
                [70.0, 46.0, 30.0],
                [60.0, 40.0, 28.0],
                [86.0, 110.0, 70.0],
                [78.0, 116.0, 150.0],
            ]),
            lashes: if made_up || either(d, 0.75, 0.03) {
                d.between(0.6, 1.0)
            } else {
                d.between(0.0, by(0.5, 0.25))
            },
            nose: d.normal(by(0.135, 0.165), 0.015) * (1.0 + 0.12 * wear),
            lips: d.normal(by(0.085, 0.062), 0.01) * (1.0 - 0.3 * wear),
            lip_colour: if made_up { d.pick(lipsticks) } else { natural },
            beard,
            earrings: either(d, 0.6, 0.04),
            glasses: if d.chance([0.14, 0.22, 0.36][band]) {
                Some(d.pick([
                    [30.0, 28.0, 30.0],
                    [92.0, 60.0, 40.0],
                    [150.0, 150.0, 156.0],
                ]))
            } else {
                None
            },
            shirt: d.pick(SHIRTS),
            collar: either(d, 0.22, 0.55),
            wall,
            wall_edge: (shade(wall, d.between(0.7, 1.2)), d.between(-0.4, 1.4)),
        }
    }

    /// "male" or "female".
    pub fn gender(&self) -> &'static str {
        if self.female { "female" } else { "male" }
    }

    fn style(d: &mut PortraitRng, female: bool, band: usize) -> HairStyle {
        use HairStyle::{Bald, Bob, Bun, Buzz, Curly, Long, Short};
        match (female, band) {
            (true, 0) => d.weighted([(Long, 0.66), (Bob, 0.14), (Bun, 0.14), (Short, 0.06)]),
            (true, 1) => d.weighted([(Long, 0.46), (Bob, 0.3), (Bun, 0.14), (Short, 0.1)]),
            (true, _) => d.weighted([(Long, 0.24), (Bob, 0.36), (Curly, 0.26), (Short, 0.14)]),
            (false, 0) => d.weighted([
                (Short, 0.66),
                (Buzz, 0.14),
                (Curly, 0.09),
                (Long, 0.05),
                (Bald, 0.02),
            ]),
            (false, 1) => d.weighted([
                (Short, 0.62),
                (Buzz, 0.14),
                (Bald, 0.10),
                (Long, 0.03),
                (Curly, 0.03),
            ]),
            (false, _) => d.weighted([(Short, 0.58), (Bald, 0.36), (Long, 0.03), (Buzz, 0.03)]),
        }
    }
}
