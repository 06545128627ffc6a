//! Mixing photos: the rules a configuration gives ([`MixRule`]), what they do to photos and targets (`Mixing`), and which of them
//! a step follows.

pub(crate) mod blend;
mod mixer;
mod rule;

pub(super) use mixer::{Draw, Mixer, StepMix};
pub(super) use rule::ALPHA;
pub use rule::{MixKind, MixRule, Partner};
