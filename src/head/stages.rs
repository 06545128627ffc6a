//! A stage, or a list of stages, in a file.

use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};
use std::fmt;

/// What a file says under `from_stage`: one stage alone is written as its number.
pub(super) struct Stages(pub(super) Vec<usize>);

const EXPECTED: &str =
    "from_stage: expected the number of a stage, from 1, or a list of such numbers";

impl Serialize for Stages {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [one] => one.serialize(to),
            all => all.serialize(to),
        }
    }
}

impl<'de> Deserialize<'de> for Stages {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(NumberOrList)
    }
}

struct NumberOrList;

impl<'de> Visitor<'de> for NumberOrList {
    type Value = Stages;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(EXPECTED)
    }

    fn visit_u64<E: de::Error>(self, stage: u64) -> Result<Stages, E> {
        let found = de::Unexpected::Unsigned(stage);
        let stage = usize::try_from(stage).map_err(|_| E::invalid_value(found, &self))?;
        Ok(Stages(vec![stage]))
    }

    fn visit_i64<E: de::Error>(self, stage: i64) -> Result<Stages, E> {
        let found = de::Unexpected::Signed(stage);
        let stage = usize::try_from(stage).map_err(|_| E::invalid_value(found, &self))?;
        Ok(Stages(vec![stage]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Stages, A::Error> {
        let mut stages = Vec::new();
        while let Some(stage) = list.next_element()? {
            stages.push(stage);
        }
        if stages.is_empty() {
            return Err(de::Error::invalid_length(0, &self));
        }
        Ok(Stages(stages))
    }
}
