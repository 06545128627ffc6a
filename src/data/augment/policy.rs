//! Which operations a policy chooses from, how strong they may be, and how it puts them together.

use super::image::{Image, cut};
use super::operation::Operation;
use crate::error::{Error, Result};
use rand::Rng;
use rand::seq::IndexedRandom;
use serde::{Deserialize, Serialize};

/// Operations chosen at random, after flip and resizing, each as torchvision v2 defines it for bytes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum AugmentPolicy {
    /// RandAugment (Cubuk et al. 2020): so many operations out of fourteen, of one strength.
    RandAugment {
        /// Operations a photo.
        #[serde(default = "two")]
        operations: usize,
        /// Their strength, from 0 to 30.
        #[serde(default = "nine")]
        magnitude: usize,
    },
    /// TrivialAugment, wide (Müller, Hutter 2021): one operation out of fourteen, of any strength up to a great one.
    TrivialAugment,
    /// The pictures of AugMix (Hendrycks et al. 2020), without its loss of consistency: three chains of one to three operations
    /// each, mixed with each other and with the photo in random shares.
    AugMix {
        /// The strength of the operations, from 1 to 10.
        #[serde(default = "three")]
        severity: usize,
    },
}

fn two() -> usize {
    2
}

fn three() -> usize {
    3
}

fn nine() -> usize {
    9
}

/// An operation by its strength, the strengths from the least to the greatest, and whether the sign is drawn as well.
pub(crate) type Choice = (fn(f64) -> Operation, [f64; 2], bool);

/// Steps of strength, of RandAugment and TrivialAugment.
const STEPS: usize = 31;
/// Of AugMix.
const FEW_STEPS: usize = 10;
/// AugMix's chains.
const CHAINS: usize = 3;

impl AugmentPolicy {
    pub(super) fn validate(&self) -> Result<()> {
        let (what, range, found) = match *self {
            Self::RandAugment { operations, .. } if !(1..=14).contains(&operations) => {
                ("rand_augment.operations", [1, 14], operations)
            }
            Self::RandAugment { magnitude, .. } => {
                ("rand_augment.magnitude", [0, STEPS - 1], magnitude)
            }
            Self::AugMix { severity } => ("aug_mix.severity", [1, FEW_STEPS], severity),
            Self::TrivialAugment => return Ok(()),
        };
        let [least, most] = range;
        if (least..=most).contains(&found) {
            return Ok(());
        }
        Err(Error::Invalid {
            what: format!("augment.policy.{what}"),
            expected: format!("a number from {least} to {most}"),
            found: found.to_string(),
        })
    }

    /// What it chooses from, for pictures of `[height, width]`.
    pub(crate) fn choices(&self, [height, width]: [usize; 2]) -> Vec<Choice> {
        use Operation as O;
        // Greatest of shears, shifts down and right, turns, light and colour; posterised bits.
        let (shear, down, right, turn, light, bits) = match self {
            Self::RandAugment { .. } => {
                let shift = |side: usize| 150.0 / 331.0 * side as f64;
                (0.3, shift(height), shift(width), 30.0, 0.9, [8.0, 4.0])
            }
            Self::TrivialAugment => (0.99, 32.0, 32.0, 135.0, 0.99, [8.0, 2.0]),
            Self::AugMix { .. } => {
                let shift = |side: usize| side as f64 / 3.0;
                (0.3, shift(height), shift(width), 30.0, 0.9, [4.0, 0.0])
            }
        };
        let identity: Choice = (|_| O::Identity, [0.0; 2], false);
        let mut choices: Vec<Choice> = vec![
            (O::ShearX, [0.0, shear], true),
            (O::ShearY, [0.0, shear], true),
            (O::TranslateX, [0.0, right], true),
            (O::TranslateY, [0.0, down], true),
            (O::Rotate, [0.0, turn], true),
            (O::Brightness, [0.0, light], true),
            (O::Color, [0.0, light], true),
            (O::Contrast, [0.0, light], true),
            (O::Sharpness, [0.0, light], true),
            (|m| O::Posterize(m.round_ties_even()), bits, false),
            (O::Solarize, [1.0, 0.0], false),
            (|_| O::AutoContrast, [0.0; 2], false),
            (|_| O::Equalize, [0.0; 2], false),
        ];
        if !matches!(self, Self::AugMix { .. }) {
            choices.push(identity);
        }
        choices
    }

    /// An operation at `step` of `steps`.
    fn draw(choices: &[Choice], [step, steps]: [usize; 2], rng: &mut impl Rng) -> Operation {
        let Some((operation, [first, last], signed)) = choices.choose(rng) else {
            return Operation::Identity;
        };
        let strength = first + (last - first) * step as f64 / (steps - 1) as f64;
        operation(if *signed && rng.random_bool(0.5) {
            -strength
        } else {
            strength
        })
    }

    pub(super) fn apply(&self, image: &mut Image, rng: &mut impl Rng) {
        let choices = self.choices(image.size);
        match *self {
            Self::RandAugment {
                operations,
                magnitude,
            } => {
                for _ in 0..operations {
                    Self::draw(&choices, [magnitude, STEPS], rng).apply(image, false);
                }
            }
            Self::TrivialAugment => {
                let step = rng.random_range(0..STEPS);
                Self::draw(&choices, [step, STEPS], rng).apply(image, false);
            }
            Self::AugMix { severity } => {
                // Shares from flat Dirichlet distributions: of the photo and the chains, then of the chains.
                let [own, chained] = shares(rng);
                let of_chains: [f64; CHAINS] = shares(rng);
                let scaled = |v: &u8| f32::from(*v) * own as f32;
                let mut sum: Vec<f32> = image.bytes.iter().map(scaled).collect();
                for share in of_chains {
                    let mut chain = image.clone();
                    for _ in 0..rng.random_range(1..=3) {
                        let step = rng.random_range(0..severity);
                        Self::draw(&choices, [step, FEW_STEPS], rng).apply(&mut chain, true);
                    }
                    let share = (share * chained) as f32;
                    for (sum, value) in sum.iter_mut().zip(chain.bytes) {
                        *sum += share * f32::from(value);
                    }
                }
                for (to, sum) in image.bytes.iter_mut().zip(sum) {
                    *to = cut(sum);
                }
            }
        }
    }
}

/// Shares of 1, all splits alike likely.
fn shares<const N: usize>(rng: &mut impl Rng) -> [f64; N] {
    // Exponential draws over their sum.
    let drawn: [f64; N] =
        std::array::from_fn(|_| -(1.0 - rng.random::<f64>()).ln() + f64::MIN_POSITIVE);
    let sum: f64 = drawn.iter().sum();
    drawn.map(|v| v / sum)
}
