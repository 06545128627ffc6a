//! Enums whose variants have names, in settings and files.

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
