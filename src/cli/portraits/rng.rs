//! Draws from a keyed generator by additions and multiplications only, so they are equal on every platform.

use crate::random::rng::{Purpose, keyed};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::RngCore;

/// A colour, each channel 0 to 255.
pub type Rgb = [f32; 3];

/// Random draws for one person or one photo.
pub struct PortraitRng(ChaCha8Rng);

impl PortraitRng {
    /// The draws of photo `b` of person `a`.
    pub fn new(seed: u64, a: u64, b: u64) -> Self {
        Self(keyed(seed, Purpose::Portrait, a, b))
    }

    /// From 0 to below 1.
    pub fn unit(&mut self) -> f32 {
        (self.0.next_u32() >> 8) as f32 / (1 << 24) as f32
    }

    /// From `low` to below `high`.
    pub fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// True with probability `p`.
    pub fn chance(&mut self, p: f32) -> bool {
        self.unit() < p
    }

    /// Close to a normal draw: the sum of four uniform ones, so never beyond 3.5 deviations.
    pub fn normal(&mut self, mean: f32, deviation: f32) -> f32 {
        let sum: f32 = (0..4).map(|_| self.unit()).sum();
        mean + deviation * (sum - 2.0) * 1.732
    }

    /// One of `choices`.
    pub fn pick<T: Copy, const N: usize>(&mut self, choices: [T; N]) -> T {
        choices[((self.unit() * N as f32) as usize).min(N - 1)]
    }

    /// One of `choices`, each as likely as its weight.
    pub fn weighted<T: Copy, const N: usize>(&mut self, choices: [(T, f32); N]) -> T {
        let total: f32 = choices.iter().map(|c| c.1).sum();
        let mut rest = self.unit() * total;
        for (choice, weight) in choices {
            rest -= weight;
            if rest < 0.0 {
                return choice;
            }
        }
        choices[N - 1].0
    }

    /// `colour` with each channel moved by up to `by`.
    pub fn near(&mut self, colour: Rgb, by: f32) -> Rgb {
        colour.map(|c| c + self.between(-by, by))
    }
}

/// `a` at 0, `b` at 1.
pub fn blend(a: Rgb, b: Rgb, t: f32) -> Rgb {
    [0, 1, 2].map(|i| a[i] + (b[i] - a[i]) * t)
}

/// `colour` times `by`: below 1 darker, above lighter.
pub fn shade(colour: Rgb, by: f32) -> Rgb {
    colour.map(|c| c * by)
}

/// 0 up to `low`, 1 from `high`, smooth between.
pub fn smoothstep(low: f32, high: f32, x: f32) -> f32 {
    let t = ((x - low) / (high - low)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// Noise from 0 to 1 that is fixed by two integers.
pub fn hash(x: i32, y: i32) -> f32 {
    let mut h = (x as u32).wrapping_mul(0x9E37_79B1) ^ (y as u32).wrapping_mul(0x85EB_CA77);
    h = (h ^ (h >> 15)).wrapping_mul(0x2C1B_3C6D);
    h = (h ^ (h >> 12)).wrapping_mul(0x297A_2D39);
    ((h ^ (h >> 15)) >> 8) as f32 / (1 << 24) as f32
}
