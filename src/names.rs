//! Enums whose variants have names, in settings and files.

use serde::de::value::{MapAccessDeserializer, MapDeserializer};
use serde::de::{Error, IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::collections::HashMap;
use std::marker::PhantomData;

/// Gives an enum `ALL`, `name`, `Display` and `FromStr` by the names of its variants, behind which other words for them may
/// stand; `what` is what an error calls them.
macro_rules! named {
    ($type:ident, $what:literal, { $($variant:ident => $name:literal $(| $other:literal)*),+ $(,)? }) => {
        impl $type {
            /// All of them, in order.
            pub(crate) const ALL: [Self; [$($name),+].len()] = [$(Self::$variant),+];

            /// The name, as in settings and files.
            pub(crate) fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name),+
                }
            }
        }

        #[automatically_derived]
        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }

        #[automatically_derived]
        impl std::str::FromStr for $type {
            type Err = crate::Error;

            fn from_str(name: &str) -> crate::Result<Self> {
                match name {
                    $($name $(| $other)* => Ok(Self::$variant),)+
                    _ => Err(crate::Error::UnknownName {
                        what: $what,
                        found: name.into(),
                        known: Self::ALL.map(|one| one.name().to_string()).to_vec(),
                    }),
                }
            }
        }
    };
}

pub(crate) use named;

/// A choice by its name, `"focal"`, or as a table with its settings, `{ focal = { gamma = 2.0 } }`. A name alone stands for the
/// table without settings.
pub(crate) fn word_or_table<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    from: D,
) -> Result<T, D::Error> {
    struct Choice<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Choice<T> {
        type Value = T;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a name, or a table with one name and its settings")
        }

        fn visit_str<E: Error>(self, name: &str) -> Result<T, E> {
            let alone: Result<T, E> = T::deserialize(name.into_deserializer());
            alone.or_else(|_| {
                let none = HashMap::<&str, bool>::new();
                let table = MapDeserializer::new(std::iter::once((name, none)));
                T::deserialize(MapAccessDeserializer::new(table))
            })
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
            T::deserialize(MapAccessDeserializer::new(map))
        }
    }

    from.deserialize_any(Choice(PhantomData))
}

/// As [`word_or_table`], of a choice that may be left out.
pub(crate) fn some_word_or_table<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    from: D,
) -> Result<Option<T>, D::Error> {
    word_or_table(from).map(Some)
}
