//! What differs from one photo of a person to the next.

use super::mask::{Mask, MaskState};
use super::person::Person;
use super::rng::PortraitRng;

/// Everything that differs between two photos of a person.
pub struct Photo<'a> {
    /// Who.
    pub person: &'a Person,
    /// How the mask is worn.
    pub state: MaskState,
    /// Which mask, if any is worn.
    pub mask: Mask,
    /// Turn of the head to the side; near features move by it.
    pub turn: f32,
    /// How far the corners of the mouth go up.
    pub smile: f32,
    /// How far the eyes are open, about 1.
    pub lids: f32,
    /// Tilt of the head.
    pub tilt: f32,
    /// Its size in the photo.
    pub zoom: f32,
    /// Its place in the photo.
    pub place: (f32, f32),
    /// For what the camera adds.
    pub rng: PortraitRng,
}

impl<'a> Photo<'a> {
    /// Photo number `number` of `person`.
    pub fn new(person: &'a Person, number: u64, state: MaskState) -> Self {
        let mut rng = PortraitRng::new(person.seed, person.index, number);
        let d = &mut rng;
        Self {
            person,
            state,
            mask: Mask::new(d),
            turn: d.normal(0.0, 0.35).clamp(-1.0, 1.0),
            smile: d.between(-0.3, 1.0),
            lids: d.between(0.85, 1.1),
            tilt: d.normal(0.0, 0.05),
            zoom: d.normal(0.335, 0.016),
            place: (d.normal(0.5, 0.025), d.normal(0.53, 0.02)),
            rng,
        }
    }
}
