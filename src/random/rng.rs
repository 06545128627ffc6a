//! Seeded random draws. Every draw comes from a generator keyed by what it is for, never by who draws first, so the same seed
//! gives the same numbers for any number of threads.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// What a draw is for; keeps the streams of one sample apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Purpose {
    /// Splitting people into train, valid and test, and into folds.
    Split = 1,
    /// The order of photos in an epoch.
    Shuffle = 3,
    /// Augmentation of one photo.
    Augment = 4,
    /// λ of a step's mixing.
    Mix = 5,
    /// Synthetic portraits.
    Portrait = 7,
    /// A fixed view of one photo.
    View = 8,
    /// Which photos an epoch takes.
    Sample = 9,
    /// The way of mixing of a step.
    MixRule = 10,
    /// The rectangle of a step's mixing.
    Patch = 11,
    /// Whom photos are mixed with.
    Partner = 12,
    /// The orders in which a step's gradients are projected off each other.
    Surgery = 13,
    /// Persons drawn for an interval.
    Bootstrap = 14,
    /// First directions of an iteration to principal ones.
    Novelty = 16,
    /// Labels made wrong on purpose.
    Inject = 15,
    /// What of a photo is covered, to compare with what an explanation says.
    Explain = 17,
}

/// The generator of one purpose at `(seed, a, b)`, for instance `(seed, epoch, sample)`.
///
/// ChaCha with 8 rounds: its output is fixed by its specification, on every platform and in every version.
pub fn keyed(seed: u64, purpose: Purpose, a: u64, b: u64) -> ChaCha8Rng {
    let mut key = [0u8; 32];
    for (chunk, value) in key.chunks_exact_mut(8).zip([seed, purpose as u64, a, b]) {
        chunk.copy_from_slice(&value.to_le_bytes());
    }
    ChaCha8Rng::from_seed(key)
}
