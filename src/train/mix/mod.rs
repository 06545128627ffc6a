//! Mixing photos: the rules a configuration gives ([`MixRule`]), what they do to photos and targets ([`Mixing`]), and which of them
//! a step follows.

mod blend;
mod mixer;
mod rule;

pub use blend::{Mixing, Patch, draw_lambda, mix_pairs, mix_targets, opposite, opposite_alike};
pub(super) use mixer::{Draw, Mixer, StepMix};
pub(super) use rule::ALPHA;
pub use rule::{MixKind, MixRule, Partner};
