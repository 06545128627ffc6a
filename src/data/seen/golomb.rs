//! Golomb-coded sets of hashes, see [`SeenSet`].

use crate::error::{Error, Result};
use crate::model_file::SeenSet;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// Bits of a difference that are written as they are; also how rarely a stranger is taken for a member, once in 2²⁰.
const LOW: u32 = 20;

/// The code of a set.
pub(crate) fn encode(hashes: &[u64]) -> SeenSet {
    let count = hashes.len() as u64;
    let mut places: Vec<u64> = hashes.iter().map(|h| scaled(*h, count)).collect();
    places.sort_unstable();
    let mut bits = Writer::default();
    let mut before = 0;
    for place in places {
        let difference = place - before;
        (0..difference >> LOW).for_each(|_| bits.push(true));
        bits.push(false);
        (0..LOW)
            .rev()
            .for_each(|b| bits.push((difference >> b) & 1 == 1));
        before = place;
    }
    SeenSet {
        count,
        code: STANDARD_NO_PAD.encode(bits.bytes),
    }
}

/// A set that can be asked.
#[derive(Debug, Default)]
pub(crate) struct Members {
    count: u64,
    places: Vec<u64>,
}

impl Members {
    /// # Errors
    /// [`Error::Checkpoint`] if the code is not one of `count` members.
    pub(crate) fn decode(set: &SeenSet) -> Result<Self> {
        let broken = || Error::Checkpoint {
            origin: "the model's record of who it was trained on".into(),
            problem: format!(
                "the code of {} hashes is needed, found {} characters that are not; is the file damaged?",
                set.count,
                set.code.len()
            ),
            source: None,
        };
        let bytes = STANDARD_NO_PAD.decode(&set.code).map_err(|_| broken())?;
        let mut bits = bytes
            .iter()
            .flat_map(|byte| (0..8).rev().map(move |b| (byte >> b) & 1 == 1));
        // A member takes more than `LOW` bits, so what is claimed is bounded by what is there.
        if set.count.saturating_mul(u64::from(LOW) + 1) > bytes.len() as u64 * 8 {
            return Err(broken());
        }
        let mut places = Vec::with_capacity(set.count as usize);
        let mut place = 0u64;
        for _ in 0..set.count {
            let mut difference = 0u64;
            while bits.next().ok_or_else(broken)? {
                difference += 1;
            }
            for _ in 0..LOW {
                difference = (difference << 1) | u64::from(bits.next().ok_or_else(broken)?);
            }
            place = place.checked_add(difference).ok_or_else(broken)?;
            places.push(place);
        }
        // What is left fills the last byte.
        let left: Vec<bool> = bits.take(8).collect();
        if left.len() > 7 || left.contains(&true) {
            return Err(broken());
        }
        Ok(Self {
            count: set.count,
            places,
        })
    }

    pub(crate) fn contains(&self, hash: u64) -> bool {
        self.places.binary_search(&scaled(hash, self.count)).is_ok()
    }
}

/// A hash scaled to the range from 0 to below `count` · 2²⁰.
fn scaled(hash: u64, count: u64) -> u64 {
    ((u128::from(hash) * (u128::from(count) << LOW)) >> 64) as u64
}

#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
    used: u32,
}

impl Writer {
    fn push(&mut self, bit: bool) {
        if self.used == 0 {
            self.bytes.push(0);
        }
        if let Some(last) = self.bytes.last_mut() {
            *last |= u8::from(bit) << (7 - self.used);
        }
        self.used = (self.used + 1) % 8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn spread(n: u64, from: u64) -> Vec<u64> {
        let mixed = |i: u64| {
            (i + from)
                .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                .rotate_left(31)
        };
        (0..n)
            .map(|i| mixed(mixed(i)).wrapping_mul(0xbf58_476d_1ce4_e5b9))
            .collect()
    }

    proptest! {
        #[test]
        fn every_member_is_found(hashes in proptest::collection::vec(any::<u64>(), 0..300)) {
            let members = Members::decode(&encode(&hashes)).unwrap();
            prop_assert!(hashes.iter().all(|h| members.contains(*h)));
        }

        #[test]
        fn a_foreign_code_is_an_error_or_a_set_and_never_more(count in any::<u64>(), code in "[A-Za-z0-9+/]{0,200}") {
            if let Ok(members) = Members::decode(&SeenSet { count, code }) {
                prop_assert_eq!(members.places.len() as u64, count);
            }
        }
    }

    #[test]
    fn a_stranger_is_rarely_taken_for_a_member_and_a_member_takes_22_bits() {
        let set = encode(&spread(100_000, 0));
        let members = Members::decode(&set).unwrap();
        let wrong = spread(1_000_000, 1 << 40);
        let wrong = wrong.iter().filter(|h| members.contains(**h)).count();
        assert!(wrong < 10, "{wrong} of a million, about one is expected");
        let bits = set.code.len() as f64 * 6.0 / 100_000.0;
        assert!((21.0..22.5).contains(&bits), "{bits}");
    }
}
