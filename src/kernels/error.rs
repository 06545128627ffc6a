//! What does not fit.

/// Sizes that do not fit each other, said in a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(pub String);

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

/// A value, or what does not fit.
pub type Result<T> = std::result::Result<T, Error>;

/// Returns an [`Error`] from the function, formatted as by `format!`.
macro_rules! bail {
    ($($message:tt)*) => {
        return Err($crate::Error(format!($($message)*)))
    };
}
pub(crate) use bail;
